//! The convolutional net of PyTorch's MNIST example.
//!
//! ```text
//! cargo run --release --example mnist_cnn
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::pictures::SIDE;
use common::{RunArgs, accuracy, count, rate};
use std::error::Error;
use std::process::ExitCode;

/// Train a convolutional net on MNIST
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 2, value_parser = count)]
    epochs: usize,
    /// Images in a batch
    #[arg(long, default_value_t = 16, value_parser = count)]
    batch_size: usize,
    /// Adam's highest learning rate; it rises for the first 10 % of the steps, then falls to almost 0
    #[arg(long, default_value_t = 2e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// The number of training images
    #[arg(long, default_value_t = 60_000, value_parser = count)]
    images: usize,
    #[command(flatten)]
    run: RunArgs,
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

#[derive(Stateful)]
struct Training {
    net: Net,
    adam: Adam,
    schedule: OneCycleLr,
    loader: DataLoader,
    loss: Mean,
    step: u64,
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let Mnist { train, test } = Mnist::bundled()?;
    let train = train.take(args.images);
    let mut rng = Generator::seed(args.run.seed);
    let net = Net::new(&mut rng);
    let options = AdamOptions::adamw().lr(args.lr).weight_decay(0.1);
    let mut adam = Adam::new(net.parameters(), options)?;
    let loader = DataLoader::new(&train, args.batch_size).shuffle(&mut rng);
    let steps = (args.epochs * loader.len()) as u64;
    let cycle = OneCycleLrOptions::default().pct_start(0.1);
    let schedule = OneCycleLr::with_options(&mut adam, args.lr, steps, cycle);
    let (images, parameters) = (train.len(), net.num_parameters());
    println!("{images} images, {parameters} parameters, {} threads", adamant::num_threads());

    let mut now = Training { net, adam, schedule, loader, loss: Mean::new(), step: 0 };
    let mut run = args.run.open("mnist_cnn")?.total_steps(steps).resume(&mut now)?;
    while now.step < steps {
        let batch = now.loader.next_batch();
        now.adam.zero_grad();
        let loss = cross_entropy(&now.net.forward(&batch.inputs), &batch.targets);
        loss.backward();
        now.adam.step();
        now.schedule.step(&mut now.adam);

        now.step += 1;
        now.loss.update(loss.item(), batch.targets.len());
        let loss = now.loss.value();
        if now.loader.batches_left() == 0 {
            let (test, epoch) = (accuracy(&mut now.net, &test), now.step / now.loader.len() as u64);
            run.log(now.step, &[("loss", loss), ("test accuracy", test)]);
            let test = 100.0 * test;
            run.println(format!(
                "epoch {epoch}/{}: loss {loss:.4}, test accuracy {test:.2} %",
                args.epochs
            ));
            now.loss.reset();
        } else if now.step.is_multiple_of(100) {
            run.log(now.step, &[("loss", loss)]);
        }
        run.step(now.step, &now)?;
    }
    run.finish(now.step, &now)?;
    println!("test accuracy {:.2} %", 100.0 * accuracy(&mut now.net, &test));
    Ok(())
}
