//! A small GPT that learns to write like Shakespeare, a character at a time, from eight plays.
//!
//! ```text
//! cargo run --release --example char_gpt
//! ```
//!
//! ```text
//! 990247 characters, 65 different; 354401 parameters
//!
//! step   600: loss 2.799, on another play 2.316
//! step  1200: loss 2.037, on another play 2.028
//! step  1800: loss 1.767, on another play 1.913
//! step  2400: loss 1.639, on another play 1.842
//! step  3000: loss 1.580, on another play 1.822
//!
//! GLOUCESTER:
//! Now, with you know be good you soft with for death,
//! And wooth with thee pard--
//! Were dought.
//!
//! SEBASTIAN:
//! Should I do the fine his be thought?
//!
//! …
//! ```

mod common;

use adamant::data::read_text;
use adamant::prelude::*;
use clap::Parser;
use common::{RunArgs, count, rate};
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
    /// Layers
    #[arg(long, default_value_t = 3, value_parser = count)]
    layers: usize,
    /// Features of a character in each of the four heads
    #[arg(long, default_value_t = 24, value_parser = count)]
    head_width: usize,
    /// Adam's highest learning rate
    #[arg(long, default_value_t = 2e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// Characters to write at the end
    #[arg(long, default_value_t = 500)]
    write: usize,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    run: RunArgs,
}

const PLAYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/shakespeare/plays.txt");
/// The start of the last play, Julius Caesar, which is the test set.
const LAST_PLAY: &str = "Enter FLAVIUS, MARULLUS";
const HEADS: usize = 4;

type Passages = Batch<Indices, Vec<usize>>;

#[derive(Module)]
struct Gpt {
    characters: Embedding,
    positions: Embedding,
    layers: Vec<TransformerEncoderLayer>,
    norm: LayerNorm,
    head: Linear,
}

impl Gpt {
    fn new(alphabet: usize, args: &Args, rng: &mut Generator) -> Self {
        let width = HEADS * args.head_width;
        let options = TransformerEncoderLayerOptions::default().dim_feedforward(4 * width);
        let options = options.activation(TransformerActivation::Gelu).norm_first(true).dropout(0.0);
        let mut layer = |_| TransformerEncoderLayer::with_options(width, HEADS, options, rng);
        let layers = (0..args.layers).map(&mut layer).collect();
        Gpt {
            characters: Embedding::new(alphabet, width, rng),
            positions: Embedding::new(args.context, width, rng),
            layers,
            norm: LayerNorm::new([width]),
            head: Linear::new(width, alphabet, rng),
        }
    }

    /// `[N, L]` characters to `[N, L, alphabet]` scores for each next character.
    fn forward(&self, x: &Indices) -> Tensor {
        let positions = Indices::from(Vec::from_iter(0..x.shape()[1]));
        let mut h = self.characters.forward(x) + self.positions.forward(&positions);
        for layer in &self.layers {
            h = layer.forward_masked(&h, AttentionMasks::default().causal(true));
        }
        self.head.forward(&self.norm.forward(&h))
    }

    fn loss(&self, passages: &Passages) -> Tensor {
        cross_entropy(&self.forward(&passages.inputs).flatten(0, 1), &passages.targets)
    }

    /// Continues a text by `length` characters, each drawn after the last `context` ones.
    fn write(&self, text: &mut Vec<usize>, length: usize, context: usize, rng: &mut Generator) {
        for _ in 0..length {
            let seen = &text[text.len().saturating_sub(context)..];
            let x = Indices::from(seen).reshape([1, seen.len()]);
            let scores = no_grad(|| self.forward(&x)).select(1, seen.len() - 1).select(0, 0);
            // A temperature below 1 makes fewer odd words.
            let sums = (scores / 0.8).softmax(0).cumsum(0).to_vec();
            let drawn = rng.uniform() as f32;
            text.push(sums.partition_point(|&sum| sum <= drawn).min(sums.len() - 1));
        }
    }
}

#[derive(Stateful)]
struct Training {
    model: Gpt,
    adam: Adam,
    schedule: OneCycleLr,
    loader: DataLoader<Passages>,
    loss: Mean,
    step: u64,
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Box<dyn Error>> {
    let text = read_text(PLAYS)?;
    let vocabulary = CharVocabulary::fit(&text);
    let (train, test) = text.split_at(text.find(LAST_PLAY).ok_or("the last play is missing")?);
    let [train, test] = [vocabulary.encode(train)?, vocabulary.encode(test)?];
    let mut rng = Generator::seed(args.seed);
    let model = Gpt::new(vocabulary.len(), args, &mut rng);
    let mut adam = Adam::new(model.parameters(), AdamOptions::adamw().lr(args.lr))?;
    let schedule = OneCycleLr::new(&mut adam, args.lr, args.steps);
    println!(
        "{} characters, {} different; {} parameters\n",
        train.len(),
        vocabulary.len(),
        model.num_parameters()
    );
    // A passage for training starts at any character; those of the test set are adjacent.
    let passages = TokenWindows::new(train, args.context)?.stride(1);
    let loader = DataLoader::new(passages, args.batch_size).shuffle(&mut rng);
    let test = DataLoader::new(TokenWindows::new(test, args.context)?, 64);

    let mut now = Training { model, adam, schedule, loader, loss: Mean::new(), step: 0 };
    let run = args.run.open("char_gpt")?.total_steps(args.steps).config("lr", args.lr);
    let mut run = run.resume(&mut now)?;
    while now.step < args.steps {
        let batch = now.loader.next_batch();
        now.adam.zero_grad();
        let loss = now.model.loss(&batch);
        loss.backward();
        clip_grad_norm_if_finite(&now.model.parameters(), 1.0)?;
        now.adam.step();
        now.schedule.step(&mut now.adam);

        now.step += 1;
        now.loss.update(loss.item(), batch.targets.len());
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
    run.finish(now.step, &now)?;

    let mut written = vocabulary.encode("\n")?;
    now.model.write(&mut written, args.write, args.context, &mut rng);
    println!("{}", vocabulary.decode(&written));
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
