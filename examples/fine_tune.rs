//! Fine-tuning on the real MNIST: train on the digits 0 to 4, then learn 5 to 9
//! from a thousand images: first a new head alone on the frozen body, then the
//! body too, added to the running optimizer as a second parameter group.
//!
//! ```text
//! cargo run --release --example fine_tune
//! ```
//!
//! ```text
//! 30596 images of 0 to 4, 1000 of 5 to 9
//!
//! 0-4       epoch 1/3: loss 0.1261  (net: 109061 weights at 1.0e-3)
//! 0-4       epoch 2/3: loss 0.0462  (net: 109061 weights at 1.0e-3)
//! 0-4       epoch 3/3: loss 0.0298  (net: 109061 weights at 1.0e-3)
//! 5-9, head epoch 1/4: loss 1.4113  (head: 325 weights at 3.0e-3)
//! 5-9, head epoch 2/4: loss 0.8474  (head: 325 weights at 3.0e-3)
//! 5-9, head epoch 3/4: loss 0.7318  (head: 325 weights at 1.5e-3)
//! 5-9, head epoch 4/4: loss 0.6889  (head: 325 weights at 1.5e-3)
//! 5-9, all  epoch 1/4: loss 0.4566  (head: 325 weights at 7.5e-4, body: 108736 weights at 5.0e-4)
//! 5-9, all  epoch 2/4: loss 0.2340  (head: 325 weights at 7.5e-4, body: 108736 weights at 5.0e-4)
//! 5-9, all  epoch 3/4: loss 0.1648  (head: 325 weights at 3.8e-4, body: 108736 weights at 2.5e-4)
//! 5-9, all  epoch 4/4: loss 0.1329  (head: 325 weights at 3.8e-4, body: 108736 weights at 2.5e-4)
//!
//! stage     trained        rates at first        loss   digits 0-4   digits 5-9
//! 0-4       everything     1.0e-3              0.0298      99.16 %            -
//! 5-9, head new head       3.0e-3              0.6889      99.16 %      78.46 %
//! 5-9, all  head and body  7.5e-4 and 5.0e-4   0.1329      98.09 %      91.42 %
//! ```

use adamant::optim::AdamGroup;
use adamant::prelude::*;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::error::Error;

/// Train on the digits 0 to 4, then learn 5 to 9 from few images
#[derive(Parser)]
struct Args {
    /// Passes over the images of 0 to 4
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Passes over the images of 5 to 9, in each of the two stages
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    tune_epochs: u32,
    /// Images of 5 to 9 to learn from
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Where the random numbers start
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Module)]
struct Net {
    body: Sequential,
    head: Linear,
}

impl Net {
    fn new(rng: &mut Generator) -> Self {
        let body = Sequential::new()
            .add(Linear::new(784, 128, rng))
            .add(Relu)
            .add(Linear::new(128, 64, rng))
            .add(Relu);
        Net { body, head: Linear::new(64, 5, rng) }
    }
}

impl Forward for Net {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.head.forward(&self.body.forward(x))
    }
}

/// What a stage came to: a line of the table.
struct Stage {
    name: &'static str,
    trained: &'static str,
    rates: String,
    loss: f64,
    /// Accuracy on old and new digits, with the head that each was learnt with.
    accuracies: [Option<f64>; 2],
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut rng = Generator::seed(args.seed);
    let mnist = Mnist::bundled()?;
    let low = mnist.train.filter(|_index, target| target < 5);
    let high = mnist.train.filter(|_index, target| target >= 5).take(args.images as usize);
    let test_low = mnist.test.filter(|_index, target| target < 5);
    let test_high = mnist.test.filter(|_index, target| target >= 5);
    println!("{} images of 0 to 4, {} of 5 to 9\n", low.len(), high.len());
    let mut low = DataLoader::new(&low, 64).shuffle(&mut rng);
    let mut high = DataLoader::new(&high, 32).shuffle(&mut rng);
    let mut stages = Vec::new();

    let mut net = Net::new(&mut rng);
    let everything = ParamGroup::new(net.named_parameters()).name("net");
    let mut adam = Adam::with_groups([everything], AdamOptions::default())?;
    let before = rates(&adam);
    let loss = train("0-4", &net, &mut adam, None, &mut low, 0, args.epochs);
    let accuracies = [Some(accuracy(&net, &test_low, 0)), None];
    stages.push(Stage { name: "0-4", trained: "everything", rates: before, loss, accuracies });

    // A new head; the body is frozen: it gets no gradient, so Adam leaves it alone.
    let old_head = std::mem::replace(&mut net.head, Linear::new(64, 5, &mut rng));
    net.body.set_requires_grad(false);
    let head = ParamGroup::new(net.head.named_parameters()).name("head").lr(3e-3);
    let mut adam = Adam::with_groups([head], AdamOptions::default())?;
    let mut schedule = StepLr::new(&adam, 2, 0.5); // halve the rates every second epoch
    let before = rates(&adam);
    let scheduled = Some(&mut schedule);
    let loss = train("5-9, head", &net, &mut adam, scheduled, &mut high, 5, args.tune_epochs);
    let accuracies = both(&mut net, &old_head, &test_low, &test_high);
    stages.push(Stage { name: "5-9, head", trained: "new head", rates: before, loss, accuracies });

    // Thaw the body into a group of its own, with a rate of its own and some decay.
    net.body.set_requires_grad(true);
    let body = ParamGroup::new(net.body.named_parameters()).name("body");
    adam.add_param_group(body.lr(5e-4).weight_decay(1e-4))?;
    let before = rates(&adam);
    let scheduled = Some(&mut schedule);
    let loss = train("5-9, all", &net, &mut adam, scheduled, &mut high, 5, args.tune_epochs);
    let accuracies = both(&mut net, &old_head, &test_low, &test_high);
    stages.push(Stage {
        name: "5-9, all",
        trained: "head and body",
        rates: before,
        loss,
        accuracies,
    });

    print_table(&stages);
    Ok(())
}

/// The groups' rates: `3.0e-3 and 5.0e-4`.
fn rates(adam: &Adam) -> String {
    let rates: Vec<String> = adam.param_groups().iter().map(|g| format!("{:.1e}", g.lr)).collect();
    rates.join(" and ")
}

/// The groups: `head: 325 weights at 1.5e-3, body: …`.
fn describe(adam: &Adam) -> String {
    let group = |group: &AdamGroup| {
        let weights: usize = group.params().map(Parameter::numel).sum();
        format!("{}: {weights} weights at {:.1e}", group.name().unwrap_or("unnamed"), group.lr)
    };
    adam.param_groups().iter().map(group).collect::<Vec<_>>().join(", ")
}

/// Trains, prints a line for each epoch, and gives the last one's mean loss.
fn train(
    stage: &str,
    net: &Net,
    adam: &mut Adam,
    mut schedule: Option<&mut StepLr>,
    loader: &mut DataLoader<'_>,
    first_digit: usize,
    epochs: u32,
) -> f64 {
    let mut mean = f64::NAN;
    for epoch in 1..=epochs {
        let bar = progress_bar(stage, loader.len());
        let (mut total, mut steps) = (0.0, 0);
        for batch in loader.epoch() {
            let targets: Vec<usize> = batch.targets.iter().map(|t| t - first_digit).collect();
            adam.zero_grad(true);
            let loss = cross_entropy(&net.forward(&batch.inputs), &targets);
            loss.backward();
            adam.step();
            total += f64::from(loss.item());
            steps += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        mean = total / f64::from(steps);
        println!("{stage:9} epoch {epoch}/{epochs}: loss {mean:.4}  ({})", describe(adam));
        if let Some(schedule) = &mut schedule {
            schedule.step(adam);
        }
    }
    mean
}

/// A bar on the terminal; nothing where there is none.
fn progress_bar(stage: &str, batches: usize) -> ProgressBar {
    let bar = ProgressBar::new(batches as u64);
    let template = "{prefix} {bar:30} {percent:>3} %  {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
    bar.set_prefix(stage.to_string());
    bar
}

/// The part of the images that are read right, in percent.
fn accuracy(net: &Net, data: &Dataset, first_digit: usize) -> f64 {
    let mut right = 0;
    no_grad(|| {
        for batch in DataLoader::new(data, 1000).epoch() {
            let guesses = net.forward(&batch.inputs).argmax(1);
            right +=
                guesses.iter().zip(&batch.targets).filter(|&(g, t)| g + first_digit == *t).count();
        }
    });
    100.0 * right as f64 / data.len() as f64
}

/// Accuracy on old digits with the old head, and on new ones with the new head.
fn both(net: &mut Net, old_head: &Linear, low: &Dataset, high: &Dataset) -> [Option<f64>; 2] {
    let new = accuracy(net, high, 5);
    let weights = |head: &Linear| Linear { weight: head.weight.clone(), bias: head.bias.clone() };
    let new_head = std::mem::replace(&mut net.head, weights(old_head));
    let old = accuracy(net, low, 0);
    net.head = new_head;
    [Some(old), Some(new)]
}

fn print_table(stages: &[Stage]) {
    println!("\nstage     trained        rates at first        loss   digits 0-4   digits 5-9");
    let percent = |x: Option<f64>| x.map_or("-".to_string(), |x| format!("{x:.2} %"));
    for stage in stages {
        let [old, new] = stage.accuracies.map(percent);
        println!(
            "{:9} {:14} {:19} {:6.4}   {old:>10}   {new:>10}",
            stage.name, stage.trained, stage.rates, stage.loss
        );
    }
}
