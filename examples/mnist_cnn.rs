//! The convolutional net of PyTorch's MNIST example.
//!
//! ```text
//! cargo run --release --example mnist_cnn
//! ```
//!
//! ```text
//! 60000 images, 1199882 parameters, 2 threads
//!
//! epoch 1/2: loss 0.2350, test accuracy 98.41 % (1237 images/s)
//! epoch 2/2: loss 0.0656, test accuracy 99.14 % (1209 images/s)
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::saves::{Mean, Saves, Saving, Stopwatch};
use common::{SIDE, accuracy, end, mnist, progress_bar, rate};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Train a convolutional net on MNIST
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Images in a batch
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Adam's highest learning rate; it rises for the first 10 % of the steps, then falls to almost 0
    #[arg(long, default_value_t = 2e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of training images [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    #[command(flatten)]
    saving: Saving,
}

#[derive(Module)]
struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    dropout1: Dropout,
    dropout2: Dropout,
    fc1: Linear,
    fc2: Linear,
}

impl Net {
    fn new(rng: &mut Generator) -> Self {
        Net {
            conv1: Conv2d::new(1, 32, 3, rng),
            conv2: Conv2d::new(32, 64, 3, rng),
            dropout1: Dropout::new(0.25, rng),
            dropout2: Dropout::new(0.5, rng),
            fc1: Linear::new(9216, 128, rng),
            fc2: Linear::new(128, 10, rng),
        }
    }
}

impl Forward for Net {
    /// `[N, 784] → [N, 10]`
    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x.reshape([REST, 1, SIDE, SIDE]);
        let x = self.conv1.forward(&x).relu(); // [N, 32, 26, 26]
        let x = self.conv2.forward(&x).relu(); // [N, 64, 24, 24]
        let x = x.max_pool2d(2, MaxPool2dOptions::default()); // [N, 64, 12, 12]
        let x = self.dropout1.forward(&x).flatten(1, -1);
        let x = self.fc1.forward(&x).relu();
        self.fc2.forward(&self.dropout2.forward(&x))
    }
}

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mnist = mnist(args.images)?;
    let mut rng = Generator::seed(args.seed);
    let mut net = Net::new(&mut rng);
    let mut adam = Adam::new(net.parameters(), AdamOptions::adamw().lr(args.lr).weight_decay(0.1))?;
    let mut loader = DataLoader::new(&mnist.train, args.batch_size as usize).shuffle(&mut rng);
    let steps = u64::from(args.epochs) * loader.len() as u64;
    let mut schedule = OneCycleLr::with_options(
        &mut adam,
        args.lr,
        steps,
        OneCycleLrOptions::default().pct_start(0.1),
    );
    writeln!(
        out,
        "{} images, {} parameters, {} threads\n",
        mnist.train.len(),
        net.num_parameters(),
        adamant::num_threads()
    )?;

    let mut saves = Saves::new(&args.saving, "mnist_cnn")?;
    let bar = progress_bar("training", steps);
    let (mut step, mut mean) = (0, Mean::default());
    let mut time = Stopwatch::start();
    while saves.another(
        &mut step,
        steps,
        &mut [
            ("model", &mut net),
            ("optimizer", &mut adam),
            ("schedule", &mut schedule),
            ("loader", &mut loader),
            ("mean", &mut mean),
            ("time", &mut time),
        ],
    )? {
        let batch = loader.next_batch();
        adam.zero_grad();
        let loss = cross_entropy(&net.forward(&batch.inputs), &batch.targets);
        loss.backward();
        adam.step();
        schedule.step(&mut adam);

        step += 1;
        mean.add(loss.item(), batch.targets.len());
        bar.set_position(step);
        bar.set_message(format!("loss {:.4}", mean.get()));
        if loader.batches_left() == 0 {
            let seconds = time.seconds();
            let accuracy = accuracy(&mut net, &mnist.test);
            bar.suspend(|| {
                writeln!(
                    out,
                    "epoch {}/{}: loss {:.4}, test accuracy {accuracy:.2} % ({:.0} images/s)",
                    step / loader.len() as u64,
                    args.epochs,
                    mean.get(),
                    mean.count() / seconds
                )
            })?;
            (mean, time) = (Mean::default(), Stopwatch::start());
        }
    }
    bar.finish_and_clear();
    Ok(())
}
