//! Fine-tuning: a net learns the digits 0 to 4 from thousands of images, then 5 to 9 from few. First
//! a new head alone on the frozen body, then the body too, thawed and added to the running optimizer
//! as a second parameter group. Each stage is a run, in a folder of its own.
//!
//! ```text
//! cargo run --release --example fine_tune
//! cargo run --release -p adamant-cli -- plot runs/fine_tune/5-9-all runs/fine_tune/scratch
//! ```

mod common;

use adamant::data::{Dataset, IntoSource};
use adamant::prelude::*;
use clap::Parser;
use common::digit_net::DigitNet;
use common::{RunArgs, accuracy, count};
use std::mem::swap;
use std::process::ExitCode;

/// Train on the digits 0 to 4, then learn 5 to 9 from few images
#[derive(Parser)]
struct Args {
    /// Passes over the images of 0 to 4
    #[arg(long, default_value_t = 3, value_parser = count)]
    epochs: usize,
    /// Passes over the images of 5 to 9, in each of the two stages; from scratch twice that number
    #[arg(long, default_value_t = 30, value_parser = count)]
    tune_epochs: usize,
    #[command(flatten)]
    run: RunArgs,
}

/// Training images of each of 5 to 9.
const FEW: usize = 5;

type Failure = Box<dyn std::error::Error>;

#[derive(Stateful)]
struct Training {
    net: DigitNet,
    adam: Adam,
    schedule: StepLr,
    loader: DataLoader,
    loss: Mean,
    step: u64,
}

impl Training {
    /// Trains for a stage, or for what is left of it. Prints the loss of the last epoch and the
    /// accuracy on `test`, which it returns.
    fn run(&mut self, to: RunFolder, epochs: usize, test: &LabeledImages) -> Result<f64, Failure> {
        self.step = 0;
        let steps = (epochs * self.loader.len()) as u64;
        let mut run = to.total_steps(steps).resume(self)?;
        while self.step < steps {
            if self.loader.batches_left() == 0 {
                self.loss.reset();
            }
            let batch = self.loader.next_batch();
            self.adam.zero_grad();
            let loss = cross_entropy(&self.net.forward(&batch.inputs), &batch.targets);
            loss.backward();
            self.adam.step();
            self.step += 1;
            self.loss.update(loss.item(), batch.targets.len());
            if self.loader.batches_left() == 0 {
                run.log(self.step, &[("loss", self.loss.value()), ("lr", self.adam.lr(0))]);
                self.schedule.step(&mut self.adam);
            }
            run.step(self.step, self)?;
        }
        let stage = run.folder().file_name().unwrap_or_default().display().to_string();
        run.finish(self.step, self)?;
        let (loss, accuracy) = (self.loss.value(), accuracy(&mut self.net, five(test)));
        println!("{stage:9} {loss:10.4} {:10.2} %", 100.0 * accuracy);
        Ok(accuracy)
    }
}

/// These digits, as classes 0 to 4.
fn five(images: &LabeledImages) -> impl IntoSource<Batch = Batch> + use<> {
    images.clone().map(|(image, digit)| Ok((image, digit % 5)))
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Failure> {
    let mnist = Mnist::bundled()?;
    let mut taken = [0; 10];
    let few = mnist.train.filter(|_index, digit| {
        taken[digit] += 1;
        taken[digit] <= FEW
    });
    let [low, test_low] = [&mnist.train, &mnist.test].map(|set| set.filter(|_, digit| digit < 5));
    let [high, test_high] = [&few, &mnist.test].map(|set| set.filter(|_, digit| digit >= 5));
    println!("{} images of 0 to 4, {} of 5 to 9\n", low.len(), high.len());
    println!("stage     train loss     accuracy");
    let stage = |name: &str| args.run.open_stage("fine_tune", name);

    let mut rng = Generator::seed(args.run.seed);
    let low = DataLoader::new(five(&low), 64).shuffle(&mut rng);
    let high = DataLoader::new(five(&high), 10).shuffle(&mut rng);
    let net = DigitNet::new(&mut rng);
    let mut other_head = Linear::new(128, 5, &mut rng);
    let adam = Adam::new(net.parameters(), AdamOptions::default())?;
    let schedule = StepLr::new(&adam, 1, 0.3);
    let mut now = Training { net, adam, schedule, loader: low, loss: Mean::new(), step: 0 };
    now.run(stage("0-4")?, args.epochs, &test_low)?;

    // A new head, and a frozen body: it has no gradient and is not in the new optimizer.
    swap(&mut now.net.head, &mut other_head);
    now.net.body.set_requires_grad(false);
    now.adam = Adam::new(now.net.head.parameters(), AdamOptions::default().lr(1e-2))?;
    let half = args.tune_epochs.div_ceil(2) as u64;
    now.schedule = StepLr::new(&now.adam, half, 0.5);
    now.loader = high;
    now.run(stage("5-9-head")?, args.tune_epochs, &test_high)?;

    // Thaw the body into a group of its own, with its own learning rate and some weight decay. The
    // run resumes after that: what it has saved belongs to an optimizer with both groups.
    now.net.body.set_requires_grad(true);
    let body = ParamGroup::new(now.net.body.parameters()).lr(2e-3).weight_decay(1e-4);
    now.adam.add_param_group(body)?;
    let tuned = now.run(stage("5-9-all")?, args.tune_epochs, &test_high)?;
    now.net.head = other_head;
    let old = 100.0 * accuracy(&mut now.net, five(&test_low));

    // The comparison: the same net, images and number of passes, but from scratch.
    now.net = DigitNet::new(&mut rng);
    now.adam = Adam::new(now.net.parameters(), AdamOptions::default().lr(3e-3))?;
    now.schedule = StepLr::new(&now.adam, half, 0.5);
    let scratch = now.run(stage("scratch")?, 2 * args.tune_epochs, &test_high)?;

    let gain = 100.0 * (tuned - scratch);
    println!("\nfrom the same {FEW} images of each digit, fine-tuning gains {gain:.2} points");
    println!("with its old head, the fine-tuned body reads 0 to 4 with {old:.2} %");
    Ok(())
}
