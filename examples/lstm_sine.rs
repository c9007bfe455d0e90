//! A recurrent net learns to continue a wave. It is trained to predict the next sample of noisy
//! sines; then it continues sines of a test set from its own predictions.
//!
//! ```text
//! cargo run --release --example lstm_sine
//! ```
//!
//! ```text
//! 17217 parameters; it reads 60 samples and continues with 40
//! squared error of predicting 0 for 40 samples: 0.2888
//!
//! step  250: squared error of the next sample 0.12103, of 40 continued 0.1608
//! step  500: squared error of the next sample 0.00692, of 40 continued 0.0557
//! step  750: squared error of the next sample 0.00419, of 40 continued 0.0250
//! step 1000: squared error of the next sample 0.00280, of 40 continued 0.0163
//! step 1250: squared error of the next sample 0.00235, of 40 continued 0.0070
//! step 1500: squared error of the next sample 0.00218, of 40 continued 0.0062
//!
//! the continuation has 2.2 % of the error of predicting 0
//!
//! a wave (o) and its continuation by the net (x; * for both)
//!
//!                       ****
//!                     x*    *o
//!                    *o      x*
//!                   *          *
//!                  *            *
//!   x             *              *
//!   ox           *                o
//!    o*         *                 xo
//!      *       *                   x*o
//!       *    **                      xo   x*
//!        ****                         x***o
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::saves::{Mean, Saves, Saving};
use common::{end, progress_bar, rate};
use std::error::Error;
use std::f32::consts::TAU;
use std::io::{self, Write};
use std::process::ExitCode;

/// Teach an LSTM to continue waves
#[derive(Parser)]
struct Args {
    /// Steps of training
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Waves in a batch
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Size of the hidden state
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    hidden: u32,
    /// Adam's highest learning rate; it rises for the first 30 % of the steps, then falls to almost 0
    #[arg(long, default_value_t = 5e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    saving: Saving,
}

/// The number of samples that the net reads, and the number that it predicts.
const HEARD: usize = 60;
const AHEAD: usize = 40;
/// The standard deviation of the noise on the samples that it reads.
const NOISE: f32 = 0.05;

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

    /// The `ahead` samples after `heard`, each predicted from the previous one.
    fn continue_from(&self, heard: &Tensor, ahead: usize) -> Tensor {
        no_grad(|| {
            let (h, mut state) = self.lstm.forward_from(heard, None);
            let mut sample = self.head.forward(&h.narrow(1, heard.shape()[1] - 1, 1));
            let mut samples = vec![sample.clone()];
            while samples.len() < ahead {
                let (h, next) = self.lstm.forward_from(&sample, Some((&state.0, &state.1)));
                sample = self.head.forward(&h);
                state = next;
                samples.push(sample.clone());
            }
            Tensor::cat(&samples.iter().collect::<Vec<_>>(), 1)
        })
    }
}

/// `[N, L, 1]`: sines of random amplitude, period and phase.
fn waves(n: usize, length: usize, rng: &mut Generator) -> Tensor {
    let mut samples = Vec::with_capacity(n * length);
    for _ in 0..n {
        let mut draw = |low: f32, high: f32| low + (high - low) * rng.uniform() as f32;
        let (amplitude, period, phase) = (draw(0.5, 1.0), draw(10.0, 30.0), draw(0.0, TAU));
        samples.extend((0..length).map(|t| amplitude * (t as f32 * TAU / period + phase).sin()));
    }
    Tensor::from_vec(samples, [n, length, 1]).expect("n waves")
}

fn noisy(waves: &Tensor, rng: &mut Generator) -> Tensor {
    waves + NOISE * Tensor::randn(waves.shape(), rng)
}

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(args.seed);
    let (hidden, size) = (args.hidden as usize, args.batch_size as usize);
    let mut net =
        Net { lstm: Lstm::new(1, hidden, &mut rng), head: Linear::new(hidden, 1, &mut rng) };
    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(args.lr))?;
    let steps = args.steps.into();
    let mut schedule = OneCycleLr::new(&mut adam, args.lr, steps);
    let test = waves(200, HEARD + AHEAD, &mut rng);
    let (heard, rest) = (noisy(&test.narrow(1, 0, HEARD), &mut rng), test.narrow(1, HEARD, AHEAD));
    let error = |net: &Net| mse_loss(&net.continue_from(&heard, AHEAD), &rest).item();
    let baseline = rest.square().mean().item();
    writeln!(
        out,
        "{} parameters; it reads {HEARD} samples and continues with {AHEAD}\n\
         squared error of predicting 0 for {AHEAD} samples: {baseline:.4}\n",
        net.num_parameters(),
    )?;

    let mut saves = Saves::new(&args.saving, "lstm_sine")?;
    let bar = progress_bar("training", steps);
    let (mut step, mut mean) = (0, Mean::default());
    while saves.another(
        &mut step,
        steps,
        &mut [
            ("model", &mut net),
            ("optimizer", &mut adam),
            ("schedule", &mut schedule),
            ("rng", &mut rng),
            ("mean", &mut mean),
        ],
    )? {
        let clean = waves(size, HEARD + AHEAD, &mut rng);
        let x = noisy(&clean, &mut rng);
        adam.zero_grad();
        let predicted = net.forward(&x.narrow(1, 0, HEARD + AHEAD - 1));
        let loss = mse_loss(&predicted, &clean.narrow(1, 1, HEARD + AHEAD - 1));
        loss.backward();
        clip_grad_norm_if_finite(&net.parameters(), 1.0)?;
        adam.step();
        schedule.step(&mut adam);

        step += 1;
        mean.add(loss.item(), size);
        bar.set_position(step);
        bar.set_message(format!("loss {:.5}", loss.item()));
        if step.is_multiple_of(steps.div_ceil(6)) || step == steps {
            let (next, ahead) = (mean.get(), error(&net));
            bar.suspend(|| {
                writeln!(
                    out,
                    "step {step:4}: squared error of the next sample {next:.5}, of {AHEAD} continued {ahead:.4}"
                )
            })?;
            mean = Mean::default();
        }
    }
    bar.finish_and_clear();
    let percent = 100.0 * f64::from(error(&net) / baseline);
    writeln!(out, "\nthe continuation has {percent:.1} % of the error of predicting 0")?;

    let predicted = net.continue_from(&heard.narrow(0, 0, 1), AHEAD);
    writeln!(out, "\na wave (o) and its continuation by the net (x; * for both)")?;
    draw(out, &rest.narrow(0, 0, 1).to_vec(), &predicted.to_vec())?;
    Ok(())
}

/// Two curves as text, from −1.2 to 1.2.
fn draw(out: &mut impl Write, wave: &[f32], predicted: &[f32]) -> io::Result<()> {
    const ROWS: usize = 13;
    let row = |x: f32| (((1.2 - x.clamp(-1.2, 1.2)) / 2.4) * (ROWS - 1) as f32).round() as usize;
    for r in 0..ROWS {
        let mark = |(&o, &x): (&f32, &f32)| match (row(o) == r, row(x) == r) {
            (true, true) => '*',
            (true, false) => 'o',
            (false, true) => 'x',
            (false, false) => ' ',
        };
        let line: String = wave.iter().zip(predicted).map(mark).collect();
        writeln!(out, "  {}", line.trim_end())?;
    }
    Ok(())
}
