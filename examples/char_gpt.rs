//! A small GPT that learns to write like Shakespeare, a character at a time, from eight plays.
//!
//! ```text
//! cargo run --release --example char_gpt
//! ```

mod common;

use adamant::data::read_text;
use adamant::prelude::*;
use clap::Parser;
use common::gpt::{Gpt, Passages};
use common::{ParallelArgs, RunArgs, count, rate};
use std::error::Error;
use std::process::ExitCode;

/// Train a small GPT on eight plays, and let it write
#[derive(Parser)]
struct Args {
    /// Steps of training
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Passages in a batch
    #[arg(long, default_value_t = 16, value_parser = count)]
    batch_size: usize,
    /// Characters in a passage
    #[arg(long, default_value_t = 64, value_parser = count)]
    context: usize,
    /// Adam's highest learning rate
    #[arg(long, default_value_t = 2e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// Characters to write at the end
    #[arg(long, default_value_t = 500)]
    write: usize,
    #[command(flatten)]
    parallel: ParallelArgs,
    #[command(flatten)]
    run: RunArgs,
}

const PLAYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/shakespeare/plays.txt");
/// The start of the last play, Julius Caesar, which is the test set.
const LAST_PLAY: &str = "Enter FLAVIUS, MARULLUS";

#[derive(Stateful)]
struct Training {
    model: Gpt,
    adam: Adam,
    schedule: OneCycleLr,
    loader: DataLoader<Vec<ShardBatch<Passages>>>,
    loss: Mean,
    step: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    args.parallel.run(|parallel| train(&args, parallel))
}

fn train(args: &Args, parallel: &DataParallel) -> Result<(), Box<dyn Error>> {
    let text = read_text(PLAYS)?;
    let vocabulary = CharVocabulary::fit(&text);
    let (train, test) = text.split_at(text.find(LAST_PLAY).ok_or("the last play is missing")?);
    let [train, test] = [vocabulary.encode(train)?, vocabulary.encode(test)?];
    let mut rng = Generator::seed(args.run.seed);
    let model = Gpt::new(vocabulary.len(), args.context, &mut rng);
    let mut adam = Adam::new(model.parameters(), AdamOptions::adamw().lr(args.lr))?;
    let schedule = OneCycleLr::new(&mut adam, args.lr, args.steps);
    parallel.share(&mut adam);
    let (characters, different, weights) = (train.len(), vocabulary.len(), model.num_parameters());
    // A passage for training starts at any character; those of the test set are adjacent.
    let passages = TokenWindows::new(train, args.context)?.stride(1);
    let loader = DataLoader::new(passages, args.batch_size).shuffle(&mut rng);
    let loader = loader.shards(parallel.shards());
    let test = DataLoader::new(TokenWindows::new(test, args.context)?, 64);

    let mut now = Training { model, adam, schedule, loader, loss: Mean::new(), step: 0 };
    let run = args.run.open_on("char_gpt", parallel)?.total_steps(args.steps).config("lr", args.lr);
    let mut run = run.resume(&mut now)?;
    run.println(format!("{characters} characters, {different} different; {weights} parameters\n"));
    while now.step < args.steps {
        let shards = now.loader.next_batch();
        now.adam.zero_grad();
        let loss =
            parallel.backward(&now.model, &now.adam, shards, |batch| now.model.loss(&batch))?;
        let norm = parallel.clip_grad_norm(&now.adam, 1.0)?;
        if !norm.is_finite() {
            return Err(format!("the gradient's norm is {norm}; expected a finite number").into());
        }
        now.adam.step();
        now.schedule.step(&mut now.adam);

        now.step += 1;
        now.loss.update(loss, 1);
        let (step, loss) = (now.step, now.loss.value());
        if step.is_multiple_of(args.steps.div_ceil(5)) || step == args.steps {
            let test = test_loss(&now.model, &test);
            run.log(step, &[("loss", loss), ("test loss", test)]);
            run.println(format!("step {step:5}: loss {loss:.3}, on another play {test:.3}"));
            now.loss.reset();
        } else if step.is_multiple_of(50) {
            run.log(step, &[("loss", loss)]);
        }
        run.step(step, &now)?;
    }
    let mut written = vocabulary.encode("\n")?;
    now.model.write(&mut written, args.write, &mut rng);
    run.println(vocabulary.decode(&written));
    run.finish(now.step, &now)?;
    Ok(())
}

/// The mean loss of all characters of the play.
fn test_loss(model: &Gpt, play: &DataLoader<Passages>) -> f64 {
    let mut mean = Mean::new();
    for batch in play.clone().epoch() {
        mean.update(no_grad(|| model.loss(&batch)).item(), batch.targets.len());
    }
    mean.value()
}
