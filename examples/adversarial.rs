//! Gradients with respect to the input: a small perceptron learns to classify digits. Then each
//! pixel of a digit is moved a little in the direction in which the loss grows (the fast gradient
//! sign method of Goodfellow, Shlens and Szegedy, 2015).
//!
//! ```text
//! cargo run --release --example adversarial
//! ```

mod common;

use adamant::data::Dataset;
use adamant::prelude::*;
use clap::Parser;
use common::pictures::{self, gray};
use common::{RunArgs, count};
use std::error::Error;
use std::process::ExitCode;

/// Fool a digit classifier with small changes of the pixels
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 2, value_parser = count)]
    epochs: usize,
    #[command(flatten)]
    run: RunArgs,
}

/// The distances by which a pixel is moved; white is 1.
const DISTANCES: [f32; 5] = [0.0, 0.02, 0.05, 0.1, 0.2];

#[derive(Stateful)]
struct Training {
    model: Sequential,
    adam: Adam,
    loader: DataLoader,
    loss: Mean,
    step: u64,
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let mnist = Mnist::bundled()?;
    let mut rng = Generator::seed(args.run.seed);
    let model = Sequential::new()
        .add(Linear::new(784, 128, &mut rng))
        .add(Relu)
        .add(Linear::new(128, 10, &mut rng));
    let adam = Adam::new(model.parameters(), AdamOptions::default())?;
    let loader = DataLoader::new(&mnist.train, 64).shuffle(&mut rng);
    let steps = (args.epochs * loader.len()) as u64;
    let mut now = Training { model, adam, loader, loss: Mean::new(), step: 0 };
    let mut run = args.run.open("adversarial")?.total_steps(steps).resume(&mut now)?;
    while now.step < steps {
        let batch = now.loader.next_batch();
        now.adam.zero_grad();
        let loss = cross_entropy(&now.model.forward(&gray(&batch.inputs)), &batch.targets);
        loss.backward();
        now.adam.step();
        now.step += 1;
        now.loss.update(loss.item(), batch.targets.len());
        if now.step.is_multiple_of(100) {
            run.log(now.step, &[("loss", now.loss.value())]);
            now.loss.reset();
        }
        run.step(now.step, &now)?;
    }
    let picture = run.folder().join("misread.svg");
    run.finish(now.step, &now)?;

    // From here on, the pixels require gradients, not the weights.
    let model = now.model;
    model.set_requires_grad(false);
    let test = mnist.test.batch(&(0..2000).collect::<Vec<_>>())?;
    let images = gray(&test.inputs).requires_grad();
    let loss = cross_entropy(&model.forward(&images), &test.targets);
    let slope = grad(&loss, &[&images], GradOptions::default()).remove(0);
    let moved = |distance: f32| (images.detach() + slope.sign() * distance).clamp(0.0, 1.0);

    println!("each pixel moved by     test accuracy");
    for distance in DISTANCES {
        let mut accuracy = Accuracy::new();
        accuracy.update(&model.forward(&moved(distance)), &test.targets);
        println!("{distance:19}   {:13.2} %", 100.0 * accuracy.value());
    }

    // Digits that are read correctly until each pixel is moved by 0.1.
    let [right, wrong] = [0.0, 0.1].map(|distance| model.forward(&moved(distance)).argmax(1));
    let misread = |&i: &usize| right[i] == test.targets[i] && wrong[i] != test.targets[i];
    let misread: Vec<usize> = (0..test.targets.len()).filter(misread).take(10).collect();
    let rows = DISTANCES.map(|distance| {
        let images = moved(distance).index_select(0, &misread);
        let read = model.forward(&images).argmax(1);
        (format!("each pixel moved by {distance}: read as {read:?}"), images)
    });
    let rows = rows.each_ref().map(|(caption, images)| (caption.as_str(), images.clone()));
    pictures::write(&picture, "Digits, and what they are read as", &rows)?;
    println!("\nten of the digits: {}", picture.display());
    Ok(())
}
