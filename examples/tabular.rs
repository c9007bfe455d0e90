//! From a CSV file to a classifier: tumours, benign or malignant, by thirty measurements of their
//! cells. A perceptron trains until the loss on the validation part no longer falls, and its best
//! weights are tested. Then a row is predicted by what the run has saved alone.
//!
//! ```text
//! cargo run --release --example tabular
//! ```

mod common;

use adamant::data::Labeled;
use adamant::prelude::*;
use clap::Parser;
use common::{RunArgs, count};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

/// Learn to classify the rows of a table
#[derive(Parser)]
struct Args {
    /// Epochs without a lower loss on the validation part, after which the training stops
    #[arg(long, default_value_t = 20, value_parser = count)]
    patience: usize,
    #[command(flatten)]
    run: RunArgs,
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/breast_cancer/wdbc.csv");
const TARGET: &str = "diagnosis";

#[derive(Stateful)]
struct Training {
    encoder: TableEncoder,
    classes: Vec<String>,
    model: Sequential,
    adam: Adam,
    loader: DataLoader,
    stopping: EarlyStopping,
    epoch: u64,
}

fn perceptron(features: usize, rng: &mut Generator) -> Sequential {
    Sequential::new()
        .add(Linear::new(features, 32, rng))
        .add(Relu)
        .add(Dropout::new(0.5, rng))
        .add(Linear::new(32, 2, rng))
}

/// The logits without dropout. Sets the model to training mode afterwards.
fn evaluate(model: &mut Sequential, inputs: &Tensor) -> Tensor {
    model.eval();
    let logits = no_grad(|| model.forward(inputs));
    model.train();
    logits
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let table = Csv::new().read(DATA)?;
    let target = table.classes(TARGET)?;
    let mut rng = Generator::seed(args.run.seed);
    let parts = stratified_split(target.indices, [0.6, 0.2, 0.2], &mut rng)?;
    let rows = parts.each_ref().map(|part| table.rows(part.indices()));
    // The means and standard deviations are those of the training part.
    let features = table.column_names().filter(|&name| name != TARGET);
    let mut encoder = TableEncoder::new().standardize(features);
    encoder.fit(&rows[0])?;
    let inputs = |part: usize| encoder.transform(&rows[part]);
    let [train, validation, test] = [inputs(0)?, inputs(1)?, inputs(2)?];
    let [train_classes, validation_classes, test_classes] = parts.each_ref().map(Labeled::labels);

    let model = perceptron(encoder.num_features(), &mut rng);
    let adam = Adam::new(model.parameters(), AdamOptions::adamw().lr(3e-3))?;
    let loader = DataLoader::new(TensorDataset::new(train, train_classes)?, 32).shuffle(&mut rng);
    let stopping = EarlyStopping::new(PlateauMode::Min).patience(args.patience as u64);
    let classes = target.names;
    let mut now = Training { encoder, classes, model, adam, loader, stopping, epoch: 0 };
    let mut run = args.run.open("tabular")?.resume(&mut now)?;
    while !now.stopping.should_stop() {
        let mut mean = Mean::new();
        for batch in now.loader.epoch() {
            now.adam.zero_grad();
            let loss = cross_entropy(&now.model.forward(&batch.inputs), &batch.targets);
            loss.backward();
            now.adam.step();
            mean.update(loss.item(), batch.targets.len());
        }
        now.epoch += 1;
        let logits = evaluate(&mut now.model, &validation);
        let loss = cross_entropy(&logits, &validation_classes).item().into();
        run.log(now.epoch, &[("loss", mean.value()), ("validation loss", loss)]);
        now.stopping.step(loss, &now.model);
        run.step(now.epoch, &now)?;
    }
    now.stopping.restore_best(&mut now.model)?;
    let folder = run.folder().to_path_buf();
    run.finish(now.epoch, &now)?;

    let best = now.epoch - now.stopping.bad_steps();
    println!("stopped after epoch {}; the weights are those after epoch {best}", now.epoch);
    let logits = evaluate(&mut now.model, &test);
    let (mut confusion, mut auroc) = (ConfusionMatrix::new(2), Auroc::new());
    confusion.update(&logits, &test_classes);
    auroc.update(&logits.softmax(1).narrow(1, 1, 1), &test_classes);
    let (accuracy, count) = (100.0 * confusion.accuracy(), test_classes.len());
    println!("{count} test rows: accuracy {accuracy:.1} %, AUROC {:.4}", auroc.value());
    println!("0 is {}, 1 is {}\n{confusion}", now.classes[0], now.classes[1]);
    predict(&folder, &rows[2].rows(&[0]))
}

/// What a program that only predicts does: the run has saved all that it needs.
fn predict(folder: &Path, rows: &Table) -> Result<(), Box<dyn Error>> {
    let (_, state) = Run::newest(folder)?;
    let (mut encoder, mut classes) = (TableEncoder::new(), Vec::<String>::new());
    encoder.load_state_dict(&state.part("encoder"))?;
    classes.load_state_dict(&state.part("classes"))?;
    let mut model = perceptron(encoder.num_features(), &mut Generator::seed(0));
    model.load_state_dict(&state.part("model"))?;

    let probabilities = evaluate(&mut model, &encoder.transform(rows)?).softmax(1);
    for (row, &class) in probabilities.to_vec().chunks(2).zip(&probabilities.argmax(1)) {
        println!("a new row: {} ({:.1} %)", classes[class], 100.0 * row[class]);
    }
    Ok(())
}
