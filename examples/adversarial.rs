//! Gradients with respect to the input: a small perceptron learns to classify digits. Then each
//! pixel of a digit is moved a little in the direction in which the loss grows (the fast gradient
//! sign method of Goodfellow, Shlens and Szegedy, 2015).
//!
//! ```text
//! cargo run --release --example adversarial
//! ```
//!
//! ```text
//! each pixel moved by     test accuracy
//!                   0           95.05 %
//!                0.02           87.30 %
//!                0.05           56.20 %
//!                 0.1            9.60 %
//!                 0.2            0.05 %
//!
//! moved by 0.1, it reads 7 as 3, 2 as 5, 1 as 6, 4 as 9, 1 as 7, 4 as 8, 9 as 2, 9 as 4, 0 as 5, 6 as 8
//! before and after: target/adversarial.png
//! ```

mod common;

use adamant::data::Dataset;
use adamant::prelude::*;
use clap::Parser;
use common::saves::{Saves, Saving};
use common::{
    end, gray, hits, in_a_folder, in_build_folder, mnist, percent, progress_bar, write_digits,
};
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Fool a digit classifier with small changes of the pixels
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of training images [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// The picture of misread digits [default: adversarial.png in Cargo's build folder]
    #[arg(long, value_name = "FILE", value_parser = in_a_folder)]
    png: Option<PathBuf>,
    #[command(flatten)]
    saving: Saving,
}

/// The distances by which a pixel is moved; white is 1.
const STEPS: [f32; 5] = [0.0, 0.02, 0.05, 0.1, 0.2];
/// The distance in the picture.
const SHOWN: f32 = 0.1;

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mnist = mnist(args.images)?;
    let mut rng = Generator::seed(args.seed);
    let mut model = Sequential::new()
        .add(Linear::new(784, 128, &mut rng))
        .add(Relu)
        .add(Linear::new(128, 10, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default())?;
    let mut loader = DataLoader::new(&mnist.train, 64).shuffle(&mut rng);
    let steps = u64::from(args.epochs) * loader.len() as u64;
    let mut saves = Saves::new(&args.saving, "adversarial")?;
    let bar = progress_bar("training", steps);
    let mut step = 0;
    while saves.another(
        &mut step,
        steps,
        &mut [("model", &mut model), ("optimizer", &mut adam), ("loader", &mut loader)],
    )? {
        let batch = loader.next_batch();
        adam.zero_grad();
        let loss = cross_entropy(&model.forward(&gray(&batch.inputs)), &batch.targets);
        loss.backward();
        adam.step();
        step += 1;
        bar.set_position(step);
        bar.set_message(format!("loss {:.4}", loss.item()));
    }
    drop(saves);
    bar.finish_and_clear();

    // From here on, the pixels require gradients, not the weights.
    model.set_requires_grad(false);
    let test = mnist.test.batch(&(0..2000).collect::<Vec<_>>())?;
    let images = gray(&test.inputs).requires_grad();
    let loss = cross_entropy(&model.forward(&images), &test.targets);
    let [slope] = &grad(&loss, &[&images], GradOptions::default())[..] else {
        unreachable!("one gradient for one input")
    };
    let moved = |step: f32| (images.detach() + slope.sign() * step).clamp(0.0, 1.0);

    writeln!(out, "each pixel moved by     test accuracy")?;
    for step in STEPS {
        let guesses = model.forward(&moved(step)).argmax(1);
        let right = percent(hits(&guesses, &test.targets), test.targets.len());
        writeln!(out, "{step:19}   {right:13.2} %")?;
    }

    let before = model.forward(&images.detach()).argmax(1);
    let after = model.forward(&moved(SHOWN)).argmax(1);
    let is_fooled = |&i: &usize| before[i] == test.targets[i] && after[i] != test.targets[i];
    let fooled: Vec<usize> = (0..test.targets.len()).filter(is_fooled).take(10).collect();
    let pick = |x: &Tensor| x.index_select(0, &fooled);
    let png = args.png.clone().unwrap_or_else(|| in_build_folder("adversarial.png"));
    write_digits(&png, &[pick(&images.detach()), pick(&moved(SHOWN))])?;
    let readings: Vec<String> =
        fooled.iter().map(|&i| format!("{} as {}", before[i], after[i])).collect();
    writeln!(out, "\nmoved by {SHOWN}, it reads {}", readings.join(", "))?;
    writeln!(out, "before and after: {}", png.display())?;
    Ok(())
}
