//! Fine-tuning on MNIST. A convolutional net learns the digits 0 to 4 from thousands of images. Then
//! it learns 5 to 9 from few images: first a new head alone on the frozen body, then the body too,
//! thawed and added to the running optimizer as a second parameter group. For comparison, a net is
//! trained from scratch on the same few images.
//!
//! ```text
//! cargo run --release --example fine_tune
//! ```
//!
//! ```text
//! 30596 images of 0 to 4, 25 of 5 to 9
//!
//! 0-4       epoch  1/3: loss 0.1514  (net: 107973 weights at 1.0e-3)
//! 0-4       epoch  2/3: loss 0.0481  (net: 107973 weights at 3.0e-4)
//! 0-4       epoch  3/3: loss 0.0403  (net: 107973 weights at 9.0e-5)
//! 5-9, head epoch 15/30: loss 0.2696  (head: 645 weights at 1.0e-2)
//! 5-9, head epoch 30/30: loss 0.1861  (head: 645 weights at 5.0e-3)
//! 5-9, all  epoch 15/30: loss 0.0075  (head: 645 weights at 2.5e-3, body: 107328 weights at 2.0e-3)
//! 5-9, all  epoch 30/30: loss 0.0174  (head: 645 weights at 1.3e-3, body: 107328 weights at 1.0e-3)
//! scratch   epoch 15/60: loss 0.2667  (net: 107973 weights at 3.0e-3)
//! scratch   epoch 30/60: loss 0.0698  (net: 107973 weights at 1.5e-3)
//! scratch   epoch 45/60: loss 0.0330  (net: 107973 weights at 7.5e-4)
//! scratch   epoch 60/60: loss 0.0075  (net: 107973 weights at 3.8e-4)
//!
//! stage     trained        train loss   digits 0-4   digits 5-9
//! 0-4       everything         0.0403      99.71 %            -
//! 5-9, head new head           0.1861      99.71 %      75.13 %
//! 5-9, all  head and body      0.0174      98.95 %      85.27 %
//! scratch   everything         0.0075            -      73.98 %
//!
//! from the same 5 images of each digit, fine-tuning gains 11.29 points
//! ```

mod common;

use adamant::data::Dataset;
use adamant::optim::AdamGroup;
use adamant::prelude::*;
use clap::Parser;
use common::saves::{Mean, Rows, Saves, Saving};
use common::{SIDE, accuracy, end, progress_bar};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Train on the digits 0 to 4, then learn 5 to 9 from few images
#[derive(Parser)]
struct Args {
    /// Passes over the images of 0 to 4
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Passes over the images of 5 to 9, in each of the two stages; from scratch twice that number
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    tune_epochs: u32,
    /// Training images of 0 to 4 [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Training images of each of 5 to 9
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    tune_images: u32,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    saving: Saving,
}

/// The body turns an image into features; the head classifies them as one of five digits.
#[derive(Module)]
struct Net {
    body: Sequential,
    head: Linear,
}

const WIDTH: usize = 128;

impl Net {
    fn new(rng: &mut Generator) -> Self {
        let body = Sequential::new()
            .add(Conv2d::new(1, 16, 3, rng)) // [N, 16, 26, 26]
            .add(Relu)
            .add(MaxPool2d::new(2)) // [N, 16, 13, 13]
            .add(Conv2d::new(16, 32, 3, rng)) // [N, 32, 11, 11]
            .add(Relu)
            .add(MaxPool2d::new(2)) // [N, 32, 5, 5]
            .add(Dropout::new(0.5, rng))
            .add(Flatten::default())
            .add(Linear::new(32 * 5 * 5, WIDTH, rng))
            .add(Relu)
            .add(Dropout::new(0.5, rng));
        Net { body, head: Linear::new(WIDTH, 5, rng) }
    }
}

impl Forward for Net {
    /// `[N, 784] → [N, 5]`
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.body.forward(&x.reshape([REST, 1, SIDE, SIDE])))
    }
}

/// The stages: their names, and the trained part.
const STAGES: [[&str; 2]; 4] = [
    ["0-4", "everything"],
    ["5-9, head", "new head"],
    ["5-9, all", "head and body"],
    ["scratch", "everything"],
];

/// Everything that changes in a run.
struct Run {
    net: Net,
    /// The head for 0 to 4, while the net has the one for 5 to 9.
    other_head: Linear,
    adam: Adam,
    schedule: StepLr,
    loss: Mean,
    /// For each finished stage: the loss, and the accuracies on 0 to 4 and 5 to 9, NaN where the
    /// net is not trained for them.
    done: Rows<3>,
}

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(args.seed);
    let mnist = Mnist::bundled()?;
    let low = five(&mnist.train, 0)?;
    let images = args.images.map_or(low.len(), |images| low.len().min(images as usize));
    let low = low.subset((0..images).collect());
    let high = five(&first_of_each(&mnist.train, args.tune_images), 5)?;
    let [test_low, test_high] = [five(&mnist.test, 0)?, five(&mnist.test, 5)?];
    writeln!(out, "{} images of 0 to 4, {} of 5 to 9\n", low.len(), high.len())?;
    let mut low = DataLoader::new(&low, 64).shuffle(&mut rng);
    let mut high = DataLoader::new(&high, 10).shuffle(&mut rng);
    let mut saves = Saves::new(&args.saving, "fine_tune")?;

    let net = Net::new(&mut rng);
    let other_head = Linear::new(WIDTH, 5, &mut rng);
    let everything = ParamGroup::new(net.named_parameters()).name("net");
    let adam = Adam::with_groups([everything], AdamOptions::default())?;
    let schedule = StepLr::new(&adam, 1, 0.3);
    let (loss, done) = (Mean::default(), Rows::default());
    let mut run = Run { net, other_head, adam, schedule, loss, done };
    run.train(0, &mut low, args.epochs, &mut saves, out)?;
    run.done.0.push([run.loss.get(), accuracy(&mut run.net, &test_low), f64::NAN]);

    // A new head, and a frozen body: it has no gradient and is not in the new optimizer.
    std::mem::swap(&mut run.net.head, &mut run.other_head);
    run.net.body.set_requires_grad(false);
    let head = ParamGroup::new(run.net.head.named_parameters()).name("head").lr(1e-2);
    run.adam = Adam::with_groups([head], AdamOptions::default())?;
    let half = args.tune_epochs.div_ceil(2).into();
    run.schedule = StepLr::new(&run.adam, half, 0.5);
    run.train(1, &mut high, args.tune_epochs, &mut saves, out)?;
    let both = |run: &mut Run| {
        let new = accuracy(&mut run.net, &test_high);
        std::mem::swap(&mut run.net.head, &mut run.other_head);
        let old = accuracy(&mut run.net, &test_low);
        std::mem::swap(&mut run.net.head, &mut run.other_head);
        [run.loss.get(), old, new]
    };
    let row = both(&mut run);
    run.done.0.push(row);

    // Thaw the body into a group of its own, with its own learning rate and some weight decay.
    run.net.body.set_requires_grad(true);
    let body = ParamGroup::new(run.net.body.named_parameters()).name("body");
    run.adam.add_param_group(body.lr(2e-3).weight_decay(1e-4))?;
    run.train(2, &mut high, args.tune_epochs, &mut saves, out)?;
    let row = both(&mut run);
    run.done.0.push(row);

    // The comparison: the same net, images and number of passes, but from scratch.
    run.net = Net::new(&mut rng);
    let everything = ParamGroup::new(run.net.named_parameters()).name("net");
    run.adam = Adam::with_groups([everything], AdamOptions::default().lr(3e-3))?;
    run.schedule = StepLr::new(&run.adam, half, 0.5);
    run.train(3, &mut high, 2 * args.tune_epochs, &mut saves, out)?;
    run.done.0.push([run.loss.get(), f64::NAN, accuracy(&mut run.net, &test_high)]);

    write_table(out, &run.done.0)?;
    let [.., [_, _, tuned], [_, _, scratch]] = run.done.0[..] else {
        unreachable!("there are four stages")
    };
    let (images, gain) = (args.tune_images, tuned - scratch);
    writeln!(
        out,
        "\nfrom the same {images} images of each digit, fine-tuning gains {gain:.2} points"
    )?;
    Ok(())
}

/// The images of the five digits from `first`, as classes 0 to 4.
fn five(data: &LabeledImages, first: usize) -> Result<TensorDataset, Box<dyn Error>> {
    let part = data.filter(|_index, target| (first..first + 5).contains(&target));
    let all = part.batch(&(0..part.len()).collect::<Vec<_>>())?;
    let classes = all.targets.iter().map(|target| target - first).collect();
    Ok(TensorDataset::new(all.inputs, classes)?)
}

/// The first `images` images of each digit.
fn first_of_each(data: &LabeledImages, images: u32) -> LabeledImages {
    let mut taken = [0; 10];
    data.filter(|_index, digit| {
        taken[digit] += 1;
        taken[digit] <= images
    })
}

impl Run {
    /// Trains, and writes a line for the last epoch with each set of learning rates.
    fn train(
        &mut self,
        stage: u64,
        loader: &mut DataLoader,
        epochs: u32,
        saves: &mut Saves,
        out: &mut impl Write,
    ) -> Result<(), Box<dyn Error>> {
        let [name, _] = STAGES[stage as usize];
        let (mut step, steps) = (0, u64::from(epochs) * loader.len() as u64);
        let bar = progress_bar(name, steps);
        while saves.another_of_stage(
            stage,
            &mut step,
            steps,
            &mut [
                ("model", &mut self.net),
                ("other head", &mut self.other_head),
                ("optimizer", &mut self.adam),
                ("schedule", &mut self.schedule),
                ("loader", loader),
                ("loss", &mut self.loss),
                ("done", &mut self.done),
            ],
        )? {
            if loader.batches_left() == 0 {
                self.loss = Mean::default();
            }
            let batch = loader.next_batch();
            self.adam.zero_grad();
            let loss = cross_entropy(&self.net.forward(&batch.inputs), &batch.targets);
            loss.backward();
            self.adam.step();

            step += 1;
            self.loss.add(loss.item(), batch.targets.len());
            bar.set_position(step);
            if loader.batches_left() == 0 {
                let groups = describe(&self.adam);
                self.schedule.step(&mut self.adam);
                if step == steps || groups != describe(&self.adam) {
                    let (epoch, loss) = (step / loader.len() as u64, self.loss.get());
                    bar.suspend(|| {
                        writeln!(
                            out,
                            "{name:9} epoch {epoch:2}/{epochs}: loss {loss:.4}  ({groups})"
                        )
                    })?;
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// The groups: `head: 645 weights at 1.5e-3, body: …`.
fn describe(adam: &Adam) -> String {
    let group = |group: &AdamGroup| {
        let weights: usize = group.params().map(Parameter::numel).sum();
        format!("{}: {weights} weights at {:.1e}", group.name().unwrap_or("unnamed"), group.lr)
    };
    adam.param_groups().iter().map(group).collect::<Vec<_>>().join(", ")
}

fn write_table(out: &mut impl Write, done: &[[f64; 3]]) -> io::Result<()> {
    writeln!(out, "\nstage     trained        train loss   digits 0-4   digits 5-9")?;
    let percent = |x: f64| if x.is_nan() { "-".to_string() } else { format!("{x:.2} %") };
    for ([name, trained], &[loss, old, new]) in STAGES.iter().zip(done) {
        let [old, new] = [old, new].map(percent);
        writeln!(out, "{name:9} {trained:14} {loss:>10.4}   {old:>10}   {new:>10}")?;
    }
    Ok(())
}
