//! A recurrent net learns to go on with a wave: it sees the beginning of a sum of two sines, and
//! predicts the rest from its own predictions.
//!
//! ```text
//! cargo run --release --example lstm_sine
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::{progress_bar, quietly};
use std::error::Error;
use std::f32::consts::TAU;
use std::io::{self, Write};

/// Teach an LSTM to continue waves
#[derive(Parser)]
struct Args {
    /// Steps of training
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Numbers that the net remembers
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..))]
    hidden: u32,
    /// Adam's learning rate at the start
    #[arg(long, default_value_t = 5e-3)]
    lr: f64,
    /// Where the random numbers start
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// What it sees of a wave, and what it is to predict, in samples.
const SEEN: usize = 60;
const AHEAD: usize = 40;
const WAVES: usize = 32;

#[derive(Module)]
struct Net {
    lstm: Lstm,
    head: Linear,
}

impl Net {
    /// `[N, L, 1]` samples to the `[N, L, 1]` that follow them.
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.lstm.forward(x);
        x + self.head.forward(&h)
    }

    /// What follows `seen`, `ahead` samples of it.
    fn go_on(&self, seen: &Tensor, ahead: usize) -> Tensor {
        no_grad(|| {
            let (h, mut state) = self.lstm.forward_from(seen, None);
            let last = seen.shape()[1] - 1;
            let mut sample = seen.narrow(1, last, 1) + self.head.forward(&h.narrow(1, last, 1));
            let mut samples = vec![sample.clone()];
            while samples.len() < ahead {
                let (h, next) = self.lstm.forward_from(&sample, Some((&state.0, &state.1)));
                sample = &sample + self.head.forward(&h);
                state = next;
                samples.push(sample.clone());
            }
            Tensor::cat(&samples.iter().collect::<Vec<_>>(), 1)
        })
    }
}

/// `[N, L, 1]`: sums of two sines of random pitch, height and beginning.
fn waves(n: usize, length: usize, rng: &mut Generator) -> Tensor {
    let mut samples = Vec::with_capacity(n * length);
    for _ in 0..n {
        let mut draw = |low: f32, high: f32| low + (high - low) * rng.uniform() as f32;
        let sines: Vec<[f32; 3]> = (0..2)
            .map(|i| [draw(0.3, 0.6), draw(12.0, 20.0) / (1 + i) as f32, draw(0.0, TAU)])
            .collect();
        let sample = |t: usize| -> f32 {
            sines
                .iter()
                .map(|[height, period, start]| height * (t as f32 * TAU / period + start).sin())
                .sum()
        };
        samples.extend((0..length).map(sample));
    }
    Tensor::from_vec(samples, [n, length, 1]).expect("n waves")
}

fn main() -> Result<(), Box<dyn Error>> {
    quietly(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut rng = Generator::seed(args.seed);
    let hidden = args.hidden as usize;
    let net = Net { lstm: Lstm::new(1, hidden, &mut rng), head: Linear::new(hidden, 1, &mut rng) };
    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(args.lr))?;
    let mut schedule = CosineAnnealingLr::new(&adam, u64::from(args.steps));
    let test = waves(100, SEEN + AHEAD, &mut rng);
    let (seen, rest) = (test.narrow(1, 0, SEEN), test.narrow(1, SEEN, AHEAD));
    let error = |net: &Net| mse_loss(&net.go_on(&seen, AHEAD), &rest).item();
    writeln!(
        out,
        "{} parameters; it sees {SEEN} samples and predicts {AHEAD}; to predict 0 is an error of {:.3}\n",
        net.num_parameters(),
        rest.square().mean().item()
    )?;

    let bar = progress_bar("training", args.steps as usize);
    for step in 1..=args.steps {
        let x = waves(WAVES, SEEN + 1, &mut rng);
        adam.zero_grad(true);
        let loss = mse_loss(&net.forward(&x.narrow(1, 0, SEEN)), &x.narrow(1, 1, SEEN));
        loss.backward();
        clip_grad_norm(&net.parameters(), 1.0, true)?;
        adam.step();
        schedule.step(&mut adam);
        bar.inc(1);
        bar.set_message(format!("error of one sample {:.5}", loss.item()));
        if step % args.steps.div_ceil(5) == 0 || step == args.steps {
            bar.suspend(|| {
                writeln!(out, "step {step:4}: squared error of {AHEAD} samples {:.4}", error(&net))
            })?;
        }
    }
    bar.finish_and_clear();

    let one = test.narrow(0, 0, 1);
    let predicted = net.go_on(&one.narrow(1, 0, SEEN), AHEAD);
    writeln!(out, "\na wave (o) and what the net expects (x) after {SEEN} samples")?;
    draw(out, &one.narrow(1, SEEN, AHEAD).to_vec(), &predicted.to_vec())?;
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
