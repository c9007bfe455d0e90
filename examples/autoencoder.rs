//! An autoencoder on MNIST, which compresses 784 pixels to 16 values. It writes a picture with
//! digits above their reconstructions.
//!
//! ```text
//! cargo run --release --example autoencoder
//! ```

mod common;

use adamant::data::Dataset;
use adamant::prelude::*;
use clap::Parser;
use common::pictures::{self, SIDE, gray};
use common::{RunArgs, count};
use std::error::Error;
use std::process::ExitCode;

/// Compress digits to a few values and reconstruct them
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 5, value_parser = count)]
    epochs: usize,
    /// Values that a digit is compressed to
    #[arg(long, default_value_t = 16, value_parser = count)]
    code: usize,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Module)]
struct Autoencoder {
    encoder: Sequential,
    decoder: Sequential,
}

impl Autoencoder {
    fn new(code: usize, rng: &mut Generator) -> Self {
        let encoder = Sequential::new().add(Linear::new(SIDE * SIDE, 256, rng)).add(Relu);
        let encoder = encoder.add(Linear::new(256, 64, rng)).add(Relu);
        let encoder = encoder.add(Linear::new(64, code, rng));
        let decoder = Sequential::new().add(Linear::new(code, 64, rng)).add(Relu);
        let decoder = decoder.add(Linear::new(64, 256, rng)).add(Relu);
        let decoder = decoder.add(Linear::new(256, SIDE * SIDE, rng)).add(Sigmoid);
        Autoencoder { encoder, decoder }
    }
}

impl Forward for Autoencoder {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.decoder.forward(&self.encoder.forward(x))
    }
}

#[derive(Stateful)]
struct Training {
    model: Autoencoder,
    adam: Adam,
    schedule: CosineAnnealingLr,
    loader: DataLoader,
    error: Mean,
    step: u64,
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let mnist = Mnist::bundled()?;
    let mut rng = Generator::seed(args.run.seed);
    let model = Autoencoder::new(args.code, &mut rng);
    let adam = Adam::new(model.parameters(), AdamOptions::default().lr(2e-3))?;
    let loader = DataLoader::new(&mnist.train, 128).shuffle(&mut rng);
    let steps = (args.epochs * loader.len()) as u64;
    let schedule = CosineAnnealingLr::new(&adam, steps);
    println!(
        "784 pixels compressed to {} values, {} parameters",
        args.code,
        model.num_parameters()
    );

    let test = gray(&mnist.test.batch(&Vec::from_iter(0..1000))?.inputs);
    let mut now = Training { model, adam, schedule, loader, error: Mean::new(), step: 0 };
    let run = args.run.open("autoencoder")?.total_steps(steps).config("code", args.code);
    let mut run = run.resume(&mut now)?;
    while now.step < steps {
        let images = gray(&now.loader.next_batch().inputs);
        now.adam.zero_grad();
        let error = mse_loss(&now.model.forward(&images), &images);
        error.backward();
        now.adam.step();
        now.schedule.step(&mut now.adam);

        now.step += 1;
        now.error.update(error.item(), images.shape()[0]);
        let error = now.error.value();
        if now.loader.batches_left() == 0 {
            let test_error = no_grad(|| mse_loss(&now.model.forward(&test), &test).item());
            run.log(now.step, &[("squared error", error), ("test error", test_error.into())]);
            let epoch = now.step / now.loader.len() as u64;
            run.println(format!(
                "epoch {epoch}/{}: squared error {error:.4}, on test images {test_error:.4}",
                args.epochs
            ));
            now.error.reset();
        } else if now.step.is_multiple_of(100) {
            run.log(now.step, &[("squared error", error)]);
        }
        run.step(now.step, &now)?;
    }
    let picture = run.folder().join("digits.svg");
    run.finish(now.step, &now)?;

    let digits = test.narrow(0, 0, 10);
    let back = no_grad(|| now.model.forward(&digits));
    let title = format!("MNIST digits compressed to {} values", args.code);
    let caption =
        format!("reconstructions, mean squared error {:.4}", mse_loss(&back, &digits).item());
    pictures::write(&picture, &title, &[("test images", digits), (&caption, back)])?;
    println!("digits above their reconstructions: {}", picture.display());
    Ok(())
}
