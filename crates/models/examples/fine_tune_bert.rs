//! Fine-tunes a pretrained BERT to classify sentences: by default, which of nine plays a line is from.
//! First a new head alone on the frozen encoder; then its layers are thawed from the top, one after
//! the other, each added to the running optimizer as a parameter group with a lower learning rate.
//! Each stage is a run, in a folder of its own.
//!
//! ```text
//! python examples/pretrained/fetch.py
//! cargo run --release -p adamant-models --example fine_tune_bert -- --model pretrained/all-MiniLM-L6-v2
//! ```

mod common;

use adamant::data::Table;
use adamant::prelude::*;
use adamant_models::{Bert, BertConfig};
use adamant_text::Tokenizer;
use clap::Parser;
use common::sentences::{Classifier, Sentences, Test};
use common::{Failure, RunArgs, count, plays};
use std::path::PathBuf;
use std::process::ExitCode;

/// Learn to classify sentences, from a pretrained BERT
#[derive(Parser)]
struct Args {
    /// Folder with config.json, tokenizer.json and the weights of a BERT, such as all-MiniLM-L6-v2:
    /// examples/pretrained/fetch.py downloads it
    #[arg(long, value_name = "FOLDER")]
    model: PathBuf,
    /// CSV file with the columns `text` and `label` [default: lines of nine plays]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The number of layers to thaw, from the top
    #[arg(long, default_value_t = 3)]
    thaw: usize,
    /// Passes over the training sentences in each stage
    #[arg(long, default_value_t = 1, value_parser = count)]
    epochs: usize,
    /// Tokens of a sentence; the rest is cut off
    #[arg(long, default_value_t = 48, value_parser = count)]
    tokens: usize,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Stateful)]
struct Training {
    model: Classifier,
    adam: Adam,
    loader: DataLoader<Sentences>,
    loss: Mean,
    step: u64,
}

impl Training {
    /// Trains for a stage, or for what is left of it, and prints its results.
    fn run(&mut self, to: RunFolder, epochs: usize, test: &Test) -> Result<(), Failure> {
        self.step = 0;
        self.loss.reset();
        let steps = (epochs * self.loader.len()) as u64;
        let mut run = to.total_steps(steps).resume(self)?;
        while self.step < steps {
            let batch = self.loader.next_batch();
            self.adam.zero_grad();
            let loss = cross_entropy(&self.model.forward(&batch.inputs), &batch.targets);
            loss.backward();
            self.adam.step();
            self.step += 1;
            self.loss.update(loss.item(), batch.targets.len());
            run.log(self.step, &[("loss", loss.item().into())]);
            run.step(self.step, self)?;
        }
        let stage = run.folder().file_name().unwrap_or_default().display().to_string();
        run.finish(self.step, self)?;
        test.print(&stage, Some(self.loss.value()), &mut self.model);
        Ok(())
    }
}

/// The tokenizer of the model, if they fit each other and `--tokens`.
fn tokenizer(args: &Args) -> Result<Tokenizer, Failure> {
    let (config, tokenizer) = (BertConfig::open(&args.model)?, Tokenizer::open(&args.model)?);
    let (found, most) = (tokenizer.vocab_size(), config.vocab_size);
    if found > most {
        return Err(format!("the tokenizer: found {found} tokens, expected at most {most}").into());
    }
    // A pair of sentences has three special tokens.
    let most = config.max_position_embeddings;
    if !(4..=most).contains(&args.tokens) {
        return Err(format!("--tokens: found {}, expected 4 to {most}", args.tokens).into());
    }
    Ok(tokenizer.max_length(args.tokens))
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Failure> {
    let table = args.data.as_ref().map_or_else(plays::speeches, |path| {
        // A text may be a number, or `NA`.
        Csv::new().strings(["text"]).missing([""; 0]).read(path)
    })?;
    let names = table.classes("label")?.names;
    let mut rng = Generator::seed(args.run.seed);
    let [train, test] = table.stratified_split("label", [0.8, 0.2], &mut rng)?;
    let tokenizer = tokenizer(args)?;
    let sentences = |table: &Table| -> Result<_, Failure> {
        let texts: Vec<&str> =
            table.strings("text")?.iter().map(|text| text.as_deref().unwrap_or("")).collect();
        let labels = table.class_indices("label", &names)?;
        Ok(Vec::from_iter(tokenizer.encode_batch(&texts)?.into_iter().zip(labels)))
    };
    let test = Test { loader: DataLoader::new(sentences(&test)?, 64), classes: names.len() };
    let loader = DataLoader::new(sentences(&train)?, 32).shuffle(&mut rng);

    let bert = Bert::open(&args.model, &mut rng)?;
    let head = Linear::new(bert.hidden_size(), names.len(), &mut rng);
    let mut model = Classifier { bert, head };
    println!("{} sentences of {} classes to learn from\n", train.len(), names.len());
    println!("stage            loss   F1 score     accuracy");
    test.print("before", None, &mut model);

    model.bert.set_requires_grad(false);
    let adam = Adam::new(model.head.parameters(), AdamOptions::default().lr(1e-2))?;
    let mut now = Training { model, adam, loader, loss: Mean::new(), step: 0 };
    now.run(args.run.open_stage("fine_tune_bert", "head")?, args.epochs, &test)?;
    let mut lr = 2e-4;
    for i in (0..now.model.bert.encoder.layer.len()).rev().take(args.thaw) {
        let layer = &now.model.bert.encoder.layer[i];
        layer.set_requires_grad(true);
        now.adam.add_param_group(ParamGroup::new(layer.parameters()).lr(lr))?;
        lr *= 0.6;
        now.run(args.run.open_stage("fine_tune_bert", &format!("layer-{i}"))?, args.epochs, &test)?;
    }
    Ok(())
}
