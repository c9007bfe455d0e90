//! A recurrent net learns to continue a wave. It is trained to predict the next sample of noisy
//! sines; then it continues sines of a test set from its own predictions, and draws some.
//!
//! ```text
//! cargo run --release --example lstm_sine
//! ```
//!
//! ```text
//! 17217 parameters; squared error of predicting 0: 0.2832
//! it reads 60 samples and continues with 40
//!
//! step  250: squared error of the next 0.12066, of 40 continued 0.2188
//! step  500: squared error of the next 0.00677, of 40 continued 0.0915
//! step  750: squared error of the next 0.00413, of 40 continued 0.0594
//! step 1000: squared error of the next 0.00281, of 40 continued 0.0362
//! step 1250: squared error of the next 0.00237, of 40 continued 0.0084
//! step 1500: squared error of the next 0.00216, of 40 continued 0.0050
//!
//! the continuation has 1.8 % of the error of predicting 0
//! waves and their continuations: runs/lstm_sine/waves.svg
//! ```

mod common;

use adamant::data::Dataset;
use adamant::prelude::*;
use clap::Parser;
use common::{RunArgs, count, rate};
use plotters::prelude::*;
use std::error::Error;
use std::f64::consts::TAU;
use std::path::Path;
use std::process::ExitCode;

/// Teach an LSTM to continue waves
#[derive(Parser)]
struct Args {
    /// Steps of training
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Waves in a batch
    #[arg(long, default_value_t = 32, value_parser = count)]
    batch_size: usize,
    /// Size of the hidden state
    #[arg(long, default_value_t = 64, value_parser = count)]
    hidden: usize,
    /// Adam's highest learning rate; it rises for the first 30 % of the steps, then falls to almost 0
    #[arg(long, default_value_t = 5e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    run: RunArgs,
}

/// The number of samples that the net reads, and the number that it predicts.
const HEARD: usize = 60;
const AHEAD: usize = 40;
/// The standard deviation of the noise on the samples that it reads.
const NOISE: f32 = 0.05;

type Waves = Batch<Tensor, Tensor>;

/// Batches of noisy sines of random amplitude, period and phase, `[N, L, 1]`; the targets are the
/// next samples, without noise.
fn waves(n: usize, batch_size: usize, rng: &mut Generator) -> DataLoader<Waves> {
    let mut draw = |low, high| Tensor::uniform([n, 1, 1], low, high, rng);
    let (amplitude, period, phase) = (draw(0.5, 1.0), draw(10.0, 30.0), draw(0.0, TAU));
    let time = Tensor::from(Vec::from_iter((0..HEARD + AHEAD).map(|t| t as f32))).unsqueeze(1);
    let waves = amplitude * (time * TAU as f32 / period + phase).sin();
    let noisy = waves.augment(|wave: Tensor, rng| {
        let noisy = &wave + NOISE * Tensor::randn(wave.shape(), rng);
        Ok((noisy.narrow(0, 0, HEARD + AHEAD - 1), wave.narrow(0, 1, HEARD + AHEAD - 1)))
    });
    DataLoader::new(noisy, batch_size).seed(rng.next_u64())
}

#[derive(Module)]
struct Net {
    lstm: Lstm,
    head: Linear,
}

impl Net {
    /// `[N, L, 1]` samples to the `[N, L, 1]` next samples.
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.lstm.forward(x))
    }

    /// The `AHEAD` samples after `heard`, each predicted from the previous one.
    fn continue_from(&self, heard: &Tensor) -> Tensor {
        let (h, mut state) = self.lstm.forward_from(heard, None);
        let mut samples = vec![self.head.forward(&h.narrow(1, heard.shape()[1] - 1, 1))];
        for last in 0..AHEAD - 1 {
            let (h, next) = self.lstm.forward_from(&samples[last], Some((&state.0, &state.1)));
            samples.push(self.head.forward(&h));
            state = next;
        }
        Tensor::cat(&Vec::from_iter(&samples), 1)
    }
}

#[derive(Stateful)]
struct Training {
    net: Net,
    adam: Adam,
    schedule: OneCycleLr,
    loader: DataLoader<Waves>,
    error: Mean,
    step: u64,
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(args.seed);
    let (lstm, head) = (Lstm::new(1, args.hidden, &mut rng), Linear::new(args.hidden, 1, &mut rng));
    let net = Net { lstm, head };
    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(args.lr))?;
    let schedule = OneCycleLr::new(&mut adam, args.lr, args.steps);
    let loader = waves(20_000, args.batch_size, &mut rng).shuffle(&mut rng);
    let test = waves(200, 200, &mut rng).next_batch();
    let heard = test.inputs.narrow(1, 0, HEARD);
    let rest = test.targets.narrow(1, HEARD - 1, AHEAD);
    let error =
        |net: &Net| f64::from(no_grad(|| mse_loss(&net.continue_from(&heard), &rest)).item());
    let baseline = f64::from(rest.square().mean().item());
    println!("{} parameters; squared error of predicting 0: {baseline:.4}", net.num_parameters());
    println!("it reads {HEARD} samples and continues with {AHEAD}\n");

    let mut now = Training { net, adam, schedule, loader, error: Mean::new(), step: 0 };
    let run = args.run.open("lstm_sine")?.total_steps(args.steps).config("lr", args.lr);
    let mut run = run.resume(&mut now)?;
    while now.step < args.steps {
        let batch = now.loader.next_batch();
        now.adam.zero_grad();
        let loss = mse_loss(&now.net.forward(&batch.inputs), &batch.targets);
        loss.backward();
        clip_grad_norm_if_finite(&now.net.parameters(), 1.0)?;
        now.adam.step();
        now.schedule.step(&mut now.adam);

        now.step += 1;
        now.error.update(loss.item(), batch.targets.shape()[0]);
        let (step, next) = (now.step, now.error.value());
        if step.is_multiple_of(args.steps.div_ceil(6)) || step == args.steps {
            let ahead = error(&now.net);
            run.log(step, &[("squared error", next), ("error continued", ahead)]);
            run.println(format!(
                "step {step:4}: squared error of the next {next:.5}, of {AHEAD} continued {ahead:.4}"
            ));
            now.error.reset();
        } else if step.is_multiple_of(50) {
            run.log(step, &[("squared error", next)]);
        }
        run.step(step, &now)?;
    }
    let picture = run.folder().join("waves.svg");
    run.finish(now.step, &now)?;

    let percent = 100.0 * error(&now.net) / baseline;
    println!("\nthe continuation has {percent:.1} % of the error of predicting 0");
    draw(&picture, &test, &no_grad(|| now.net.continue_from(&heard)))
        .map_err(|error| format!("{}: {error}", picture.display()))?;
    println!("waves and their continuations: {}", picture.display());
    Ok(())
}

/// Draws the first waves of the test set, each with the continuation by the net.
fn draw(path: &Path, test: &Waves, continued: &Tensor) -> Result<(), Box<dyn Error>> {
    let (gray, blue, red) = (RGBColor(120, 120, 120), RGBColor(0, 114, 178), RGBColor(213, 94, 0));
    let root = SVGBackend::new(path, (900, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled("Noisy waves, continued by an LSTM", ("sans-serif", 22))?;
    let (legend, charts) = root.split_vertically(30);
    let names = [("— wave", gray), ("● read by the net", blue), ("━ continued by the net", red)];
    for ((name, color), x) in names.into_iter().zip([60, 160, 330]) {
        legend.draw(&Text::new(name, (x, 10), ("sans-serif", 16).into_font().color(&color)))?;
    }
    for (i, area) in charts.split_evenly((3, 1)).iter().enumerate() {
        let points = |samples: &Tensor, start: usize| (start..).zip(samples.select(0, i).to_vec());
        let mut chart = ChartBuilder::on(area);
        chart.margin(10).x_label_area_size(36).y_label_area_size(50);
        let mut chart = chart.build_cartesian_2d(0..HEARD + AHEAD, -1.2f32..1.2)?;
        let mut axes = chart.configure_mesh();
        axes.light_line_style(TRANSPARENT)
            .label_style(("sans-serif", 13))
            .x_desc("sample")
            .y_desc("value")
            .draw()?;
        let heard = points(&test.inputs.narrow(1, 0, HEARD), 0);
        chart.draw_series(LineSeries::new(points(&test.targets, 1), gray))?;
        chart.draw_series(heard.map(|point| Circle::new(point, 3, blue.filled())))?;
        chart.draw_series(LineSeries::new(points(continued, HEARD), red.stroke_width(3)))?;
    }
    root.present()?;
    Ok(())
}
