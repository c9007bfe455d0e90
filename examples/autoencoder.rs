//! An autoencoder on MNIST, which compresses 784 pixels to 16 values. It writes a picture with
//! digits above their reconstructions.
//!
//! ```text
//! cargo run --release --example autoencoder
//! ```
//!
//! ```text
//! 784 pixels compressed to 16 values, 437664 parameters, 60000 images
//!
//! epoch 1/5: squared error 0.0434, on test images 0.0272
//! epoch 2/5: squared error 0.0231, on test images 0.0203
//! epoch 3/5: squared error 0.0184, on test images 0.0175
//! epoch 4/5: squared error 0.0166, on test images 0.0165
//! epoch 5/5: squared error 0.0160, on test images 0.0163
//!
//! digits above their reconstructions: target/autoencoder.png
//! ```

mod common;

use adamant::data::Dataset;
use adamant::prelude::*;
use clap::Parser;
use common::saves::{Mean, Saves, Saving};
use common::{SIDE, end, gray, in_a_folder, in_build_folder, mnist, progress_bar, write_digits};
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Compress digits to a few values and reconstruct them
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Values that a digit is compressed to
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=784))]
    code: u32,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of training images [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// The picture [default: autoencoder.png in Cargo's build folder]
    #[arg(long, value_name = "FILE", value_parser = in_a_folder)]
    png: Option<PathBuf>,
    #[command(flatten)]
    saving: Saving,
}

#[derive(Module)]
struct Autoencoder {
    encoder: Sequential,
    decoder: Sequential,
}

impl Autoencoder {
    fn new(code: usize, rng: &mut Generator) -> Self {
        let pixels = SIDE * SIDE;
        Autoencoder {
            encoder: Sequential::new()
                .add(Linear::new(pixels, 256, rng))
                .add(Relu)
                .add(Linear::new(256, 64, rng))
                .add(Relu)
                .add(Linear::new(64, code, rng)),
            decoder: Sequential::new()
                .add(Linear::new(code, 64, rng))
                .add(Relu)
                .add(Linear::new(64, 256, rng))
                .add(Relu)
                .add(Linear::new(256, pixels, rng))
                .add(Sigmoid),
        }
    }
}

impl Forward for Autoencoder {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.decoder.forward(&self.encoder.forward(x))
    }
}

/// The number of digits in the picture.
const SHOWN: usize = 8;

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mnist = mnist(args.images)?;
    let mut rng = Generator::seed(args.seed);
    let mut model = Autoencoder::new(args.code as usize, &mut rng);
    let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(2e-3))?;
    let mut loader = DataLoader::new(&mnist.train, 128).shuffle(&mut rng);
    let steps = u64::from(args.epochs) * loader.len() as u64;
    let mut schedule = CosineAnnealingLr::new(&adam, steps);
    writeln!(
        out,
        "784 pixels compressed to {} values, {} parameters, {} images\n",
        args.code,
        model.num_parameters(),
        mnist.train.len()
    )?;

    let images = gray(&mnist.test.batch(&(0..1000).collect::<Vec<_>>())?.inputs);
    let test_error =
        |model: &Autoencoder| no_grad(|| mse_loss(&model.forward(&images), &images).item());
    let mut saves = Saves::new(&args.saving, "autoencoder")?;
    let bar = progress_bar("training", steps);
    let (mut step, mut mean) = (0, Mean::default());
    while saves.another(
        &mut step,
        steps,
        &mut [
            ("model", &mut model),
            ("optimizer", &mut adam),
            ("schedule", &mut schedule),
            ("loader", &mut loader),
            ("mean", &mut mean),
        ],
    )? {
        let batch = loader.next_batch();
        let images = gray(&batch.inputs);
        adam.zero_grad();
        let loss = mse_loss(&model.forward(&images), &images);
        loss.backward();
        adam.step();
        schedule.step(&mut adam);

        step += 1;
        mean.add(loss.item(), batch.targets.len());
        bar.set_position(step);
        bar.set_message(format!("error {:.4}", loss.item()));
        if loader.batches_left() == 0 {
            let (epoch, epochs) = (step / loader.len() as u64, args.epochs);
            let (error, test) = (mean.get(), test_error(&model));
            bar.suspend(|| {
                writeln!(
                    out,
                    "epoch {epoch}/{epochs}: squared error {error:.4}, on test images {test:.4}"
                )
            })?;
            mean = Mean::default();
        }
    }
    bar.finish_and_clear();

    let digits = gray(&mnist.test.batch(&(0..SHOWN).collect::<Vec<_>>())?.inputs);
    let back = no_grad(|| model.forward(&digits));
    let png = args.png.clone().unwrap_or_else(|| in_build_folder("autoencoder.png"));
    write_digits(&png, &[digits, back])?;
    writeln!(out, "\ndigits above their reconstructions: {}", png.display())?;
    Ok(())
}
