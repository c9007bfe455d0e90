//! Trains a multi-layer perceptron on MNIST.
//!
//! ```text
//! cargo run --release --example mnist_mlp
//! cargo run --release --example mnist_mlp -- --help
//! cargo run --release -p adamant-cli -- plot runs/mnist_mlp
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::{ParallelArgs, RunArgs, count, rate};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Train a multi-layer perceptron on MNIST
#[derive(Parser)]
struct Args {
    /// Passes over the training images
    #[arg(long, default_value_t = 3, value_parser = count)]
    epochs: usize,
    /// Images in a batch
    #[arg(long, default_value_t = 64, value_parser = count)]
    batch_size: usize,
    /// Adam's learning rate at the start; it falls linearly to 0
    #[arg(long, default_value_t = 1e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// Widths of the hidden layers
    #[arg(long, default_value = "256,128", value_delimiter = ',', value_parser = count)]
    hidden: Vec<usize>,
    /// Folder with the four files of MNIST, or of Fashion-MNIST [default: the bundled MNIST]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Write the trained weights to this file, as safetensors
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    #[command(flatten)]
    parallel: ParallelArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// Everything that changes: what a checkpoint saves.
#[derive(Stateful)]
struct Training {
    model: Sequential,
    adam: Adam,
    schedule: LinearLr,
    loader: DataLoader<Vec<ShardBatch>>,
    loss: Mean,
    accuracy: Mean,
    step: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    args.parallel.run(|parallel| train(&args, parallel))
}

fn train(args: &Args, parallel: &DataParallel) -> Result<(), Box<dyn Error>> {
    let mnist = args.data.as_ref().map_or_else(Mnist::bundled, Mnist::open)?;
    let mut rng = Generator::seed(args.run.seed);
    let widths = [&[784], &args.hidden[..], &[10]].concat();
    let mut model = Sequential::new();
    for (i, pair) in widths.windows(2).enumerate() {
        model = if i > 0 { model.add(Relu) } else { model };
        model = model.add(Linear::new(pair[0], pair[1], &mut rng));
    }
    let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(args.lr))?;
    parallel.share(&mut adam);
    let loader = DataLoader::new(&mnist.train, args.batch_size).shuffle(&mut rng);
    let loader = loader.shards(parallel.shards());
    let steps = (args.epochs * loader.len()) as u64;
    let schedule = LinearLr::new(&mut adam, 1.0, 0.0, steps);
    let sizes = (mnist.train.len(), mnist.test.len(), model.num_parameters());

    let (loss, accuracy) = (Mean::new(), Mean::new());
    let mut now = Training { model, adam, schedule, loader, loss, accuracy, step: 0 };
    let run = args.run.open_on("mnist_mlp", parallel)?.total_steps(steps);
    let mut run =
        run.config("lr", args.lr).config("widths", format!("{widths:?}")).resume(&mut now)?;
    run.println(format!("{} training and {} test images", sizes.0, sizes.1));
    run.println(format!("perceptron {widths:?}, {} parameters", sizes.2));
    while now.step < steps {
        let (shards, mut correct, mut samples) = (now.loader.next_batch(), 0.0, 0.0);
        now.adam.zero_grad();
        let loss = parallel.backward(&now.model, &now.adam, shards, |batch| {
            let logits = now.model.forward(&batch.inputs);
            let pairs = logits.argmax(1).into_iter().zip(&batch.targets);
            correct += pairs.filter(|(found, target)| found == *target).count() as f64;
            samples += batch.targets.len() as f64;
            cross_entropy(&logits, &batch.targets)
        })?;
        now.adam.step();
        now.schedule.step(&mut now.adam);

        now.step += 1;
        let [correct, samples] = parallel.sum([correct, samples])?;
        now.loss.update(loss, samples as usize);
        now.accuracy.update(correct / samples, samples as usize);
        let results = [("loss", now.loss.value()), ("accuracy", now.accuracy.value())];
        if now.loader.batches_left() == 0 {
            let test = evaluate(&now.model, &mnist.test).accuracy();
            run.log(now.step, &[results[0], results[1], ("test accuracy", test)]);
            let epoch = now.step / now.loader.len() as u64;
            let [loss, accuracy] = [now.loss.value(), 100.0 * now.accuracy.value()];
            run.println(format!(
                "epoch {epoch}/{}: loss {loss:.4}, accuracy {accuracy:.2} %, test accuracy {:.2} %",
                args.epochs,
                100.0 * test
            ));
            now.loss.reset();
            now.accuracy.reset();
        } else if now.step.is_multiple_of(100) {
            run.log(now.step, &results);
        }
        run.step(now.step, &now)?;
    }
    run.println(evaluate(&now.model, &mnist.test));
    run.finish(now.step, &now)?;
    if let (Some(path), 0) = (&args.export, parallel.transport().rank()) {
        save_safetensors(&now.model.state_dict(), path)?;
    }
    Ok(())
}

/// The digits of the test images, and what the model takes them for.
fn evaluate(model: &Sequential, test: &LabeledImages) -> ConfusionMatrix {
    let mut confusion = ConfusionMatrix::new(10);
    no_grad(|| {
        for batch in DataLoader::new(test, 1000).epoch() {
            confusion.update(&model.forward(&batch.inputs), &batch.targets);
        }
    });
    confusion
}
