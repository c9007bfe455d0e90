//! Trains a multi-layer perceptron on MNIST.
//!
//! ```text
//! cargo run --release --example mnist_mlp
//! cargo run --release --example mnist_mlp -- --help
//! ```
//!
//! ```text
//! epoch 1/3: loss 0.2295, accuracy 93.07 %, test accuracy 96.64 % (92754 images/s)
//! epoch 2/3: loss 0.0844, accuracy 97.38 %, test accuracy 97.44 % (92330 images/s)
//! epoch 3/3: loss 0.0470, accuracy 98.53 %, test accuracy 98.04 % (93686 images/s)
//! …
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::saves::{Mean, Rows, Saves, Saving, Stopwatch};
use common::{end, hits, in_a_folder, percent, progress_bar, rate};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Train a multi-layer perceptron on MNIST
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Images in a batch
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Adam's learning rate at the start; it falls linearly to 0
    #[arg(long, default_value_t = 1e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// Widths of the hidden layers
    #[arg(long, default_value = "256,128", value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    hidden: Vec<u32>,
    /// The seed of the random numbers, for the weights and the order of the images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of threads [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// Folder with the four files of MNIST, or of Fashion-MNIST [default: the bundled MNIST]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Write the trained weights to this file, as safetensors
    #[arg(long, value_name = "FILE", value_parser = in_a_folder)]
    export: Option<PathBuf>,
    /// Draw the loss and accuracy of each epoch to this SVG file
    #[arg(long, value_name = "FILE", value_parser = svg_in_a_folder)]
    plot: Option<PathBuf>,
    #[command(flatten)]
    saving: Saving,
}

const PIXELS: usize = 784;
const CLASSES: usize = 10;

/// The results of an epoch.
struct Epoch {
    loss: f64,
    accuracy: f64,
    test_accuracy: f64,
    seconds: f64,
}

impl From<[f64; 4]> for Epoch {
    fn from([loss, accuracy, test_accuracy, seconds]: [f64; 4]) -> Self {
        Epoch { loss, accuracy, test_accuracy, seconds }
    }
}

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    if let Some(threads) = args.threads {
        adamant::set_num_threads(threads as usize)?;
    }
    let mnist = match &args.data {
        Some(folder) => Mnist::open(folder)?,
        None => Mnist::bundled()?,
    };

    let mut rng = Generator::seed(args.seed);
    let hidden = args.hidden.iter().map(|&width| width as usize);
    let widths: Vec<usize> = [PIXELS].into_iter().chain(hidden).chain([CLASSES]).collect();
    let mut model = Sequential::new();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            model = model.add(Relu);
        }
        model = model.add(Linear::new(pair[0], pair[1], &mut rng));
    }
    let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(args.lr))?;
    let mut loader = DataLoader::new(&mnist.train, args.batch_size as usize).shuffle(&mut rng);
    let steps = u64::from(args.epochs) * loader.len() as u64;
    let mut schedule = LinearLr::new(&mut adam, 1.0, 0.0, steps);

    let shape: Vec<String> = widths.iter().map(usize::to_string).collect();
    writeln!(out, "{} training and {} test images", mnist.train.len(), mnist.test.len())?;
    writeln!(out, "{} perceptron, {} parameters", shape.join("-"), model.num_parameters())?;
    writeln!(
        out,
        "{} {}, batch {}, Adam with a rate falling from {} to 0, seed {}, {} threads\n",
        args.epochs,
        if args.epochs == 1 { "epoch" } else { "epochs" },
        args.batch_size,
        args.lr,
        args.seed,
        adamant::num_threads()
    )?;

    let mut saves = Saves::new(&args.saving, "mnist_mlp")?;
    let bar = progress_bar("training", steps);
    let (mut step, mut epochs) = (0, Rows::default());
    let (mut mean, mut right) = (Mean::default(), Mean::default());
    let mut time = Stopwatch::start();
    while saves.another(
        &mut step,
        steps,
        &mut [
            ("model", &mut model),
            ("optimizer", &mut adam),
            ("schedule", &mut schedule),
            ("loader", &mut loader),
            ("loss", &mut mean),
            ("right", &mut right),
            ("time", &mut time),
            ("epochs", &mut epochs),
        ],
    )? {
        let batch = loader.next_batch();
        adam.zero_grad();
        let logits = model.forward(&batch.inputs);
        let loss = cross_entropy(&logits, &batch.targets);
        loss.backward();
        adam.step();
        schedule.step(&mut adam);

        step += 1;
        let size = batch.targets.len();
        mean.add(loss.item(), size);
        right.add(hits(&logits.argmax(1), &batch.targets) as f32 / size as f32, size);
        bar.set_position(step);
        bar.set_message(format!("loss {:.4}  accuracy {:5.2} %", mean.get(), 100.0 * right.get()));
        if loader.batches_left() == 0 {
            let seconds = time.seconds();
            let (loss, accuracy) = (mean.get(), 100.0 * right.get());
            let confusion = confusion_matrix(&model, &mnist.test);
            let test_right = (0..CLASSES).map(|class| confusion[class][class]).sum();
            let test_accuracy = percent(test_right, mnist.test.len());
            epochs.0.push([loss, accuracy, test_accuracy, seconds]);
            bar.suspend(|| {
                writeln!(
                    out,
                    "epoch {}/{}: loss {loss:.4}, accuracy {accuracy:.2} %, \
                     test accuracy {test_accuracy:.2} % ({:.0} images/s)",
                    epochs.0.len(),
                    args.epochs,
                    mean.count() / seconds
                )
            })?;
            (mean, right, time) = (Mean::default(), Mean::default(), Stopwatch::start());
        }
    }
    bar.finish_and_clear();

    let epochs: Vec<Epoch> = epochs.0.into_iter().map(Epoch::from).collect();
    let confusion = confusion_matrix(&model, &mnist.test);
    write_table(out, &epochs)?;
    write_confusion(out, &confusion)?;
    if let Some(path) = &args.export {
        save_safetensors(&model.state_dict(), path)?;
        writeln!(out, "\nweights: {}", path.display())?;
    }
    if let Some(path) = &args.plot {
        plot(&epochs, path)?;
        writeln!(out, "\ncurves: {}", path.display())?;
    }
    Ok(())
}

fn svg_in_a_folder(path: &str) -> Result<PathBuf, String> {
    let path = in_a_folder(path)?;
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        Ok(path)
    } else {
        Err("expected a name that ends in .svg: the curves are drawn as SVG".into())
    }
}

/// Counts of each digit (row) classified as each digit (column).
fn confusion_matrix(model: &Sequential, data: &LabeledImages) -> Vec<[usize; CLASSES]> {
    let mut counts = vec![[0; CLASSES]; CLASSES];
    no_grad(|| {
        for batch in DataLoader::new(data, 1000).epoch() {
            let guesses = model.forward(&batch.inputs).argmax(1);
            for (guess, target) in guesses.into_iter().zip(batch.targets) {
                counts[target][guess] += 1;
            }
        }
    });
    counts
}

fn write_table(out: &mut impl Write, epochs: &[Epoch]) -> io::Result<()> {
    writeln!(out, "\nepoch    loss   accuracy   test accuracy   seconds")?;
    for (number, epoch) in (1..).zip(epochs) {
        writeln!(
            out,
            "{number:5}  {:6.4}   {:6.2} %        {:6.2} %   {:7.2}",
            epoch.loss, epoch.accuracy, epoch.test_accuracy, epoch.seconds
        )?;
    }
    Ok(())
}

fn write_confusion(out: &mut impl Write, confusion: &[[usize; CLASSES]]) -> io::Result<()> {
    let mut pairs: Vec<(usize, usize, usize)> = (0..CLASSES)
        .flat_map(|a| (a + 1..CLASSES).map(move |b| (confusion[a][b] + confusion[b][a], a, b)))
        .collect();
    pairs.sort_by_key(|&(count, a, b)| (std::cmp::Reverse(count), a, b));
    writeln!(out, "\nmost confused digits of the test images")?;
    for (count, a, b) in pairs.into_iter().take(5).filter(|&(count, ..)| count > 0) {
        let (ab, ba) = (confusion[a][b], confusion[b][a]);
        writeln!(
            out,
            "  {a} and {b}: {count:3} times ({ab} × {a} read as {b}, {ba} × {b} read as {a})"
        )?;
    }
    Ok(())
}

/// Draws two charts by epoch: the loss, and the accuracy on training and test images.
fn plot(epochs: &[Epoch], path: &Path) -> Result<(), Box<dyn Error>> {
    use plotters::prelude::*;

    let root = SVGBackend::new(path, (900, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(450);
    let accuracies = || epochs.iter().flat_map(|epoch| [epoch.accuracy, epoch.test_accuracy]);
    let highest_loss = epochs.iter().map(|epoch| epoch.loss).fold(0.0, f64::max);
    let lowest_accuracy = accuracies().fold(100.0, f64::min).floor();
    type Curve = (&'static str, RGBColor, fn(&Epoch) -> f64);
    let loss: [Curve; 1] = [("training", BLUE, |epoch| epoch.loss)];
    let accuracy: [Curve; 2] =
        [("training", BLUE, |epoch| epoch.accuracy), ("test", RED, |epoch| epoch.test_accuracy)];
    let charts = [
        (left, "Loss", 0.0..highest_loss * 1.05, &loss[..]),
        (right, "Accuracy (%)", lowest_accuracy..100.0, &accuracy[..]),
    ];
    for (area, title, range, curves) in charts {
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(15)
            .x_label_area_size(30)
            .y_label_area_size(45)
            .build_cartesian_2d(0.5..epochs.len() as f64 + 0.5, range)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("epoch")
            .x_labels(epochs.len().min(10) + 1)
            .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x}") } else { String::new() })
            .draw()?;
        for &(name, color, value) in curves {
            let points = (1..).zip(epochs).map(|(x, epoch)| (f64::from(x), value(epoch)));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 15, y)], color));
        }
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    }
    root.present()?;
    Ok(())
}
