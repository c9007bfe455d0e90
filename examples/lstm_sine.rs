//! A recurrent net learns to continue a wave. It is trained to predict the next sample of noisy
//! sines; then it continues sines of a test set from its own predictions, and draws some.
//!
//! ```text
//! cargo run --release --example lstm_sine
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::waves::{AHEAD, HEARD, Waves, draw, waves};
use common::{RunArgs, count, rate};
use std::error::Error;
use std::process::ExitCode;

/// Teach an LSTM to continue waves
#[derive(Parser)]
struct Args {
    /// Steps of training
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Size of the hidden state
    #[arg(long, default_value_t = 64, value_parser = count)]
    hidden: usize,
    /// Adam's highest learning rate; it rises for the first 30 % of the steps, then falls to almost 0
    #[arg(long, default_value_t = 5e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    #[command(flatten)]
    run: RunArgs,
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
    let mut rng = Generator::seed(args.run.seed);
    let (lstm, head) = (Lstm::new(1, args.hidden, &mut rng), Linear::new(args.hidden, 1, &mut rng));
    let net = Net { lstm, head };
    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(args.lr))?;
    let schedule = OneCycleLr::new(&mut adam, args.lr, args.steps);
    let loader = waves(20_000, 32, &mut rng).shuffle(&mut rng);
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
    draw(&picture, &test.targets, &heard, &no_grad(|| now.net.continue_from(&heard)))
        .map_err(|error| format!("{}: {error}", picture.display()))?;
    println!("waves and their continuations: {}", picture.display());
    Ok(())
}
