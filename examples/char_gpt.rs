//! A small GPT that learns to write like Shakespeare, a character at a time, from nine plays.
//!
//! ```text
//! cargo run --release --example char_gpt
//! ```
//!
//! ```text
//! 990247 characters, 65 different; 354401 parameters, 2 threads
//!
//! step   600: loss 2.795, on another play 2.356 (36486 tokens/s)
//! step  1200: loss 2.030, on another play 2.015 (37311 tokens/s)
//! step  1800: loss 1.758, on another play 1.934 (35526 tokens/s)
//! step  2400: loss 1.635, on another play 1.872 (34252 tokens/s)
//! step  3000: loss 1.572, on another play 1.846 (34469 tokens/s)
//!
//! That groans that be me such a call plife
//! Till say all where see to be chis villain
//! I am morriaged hath me him the conten's offence.
//!
//! SIR ANDREW:
//! O, that is vash this well go thou are anjoy, and stails;
//! Plainters I proyour her weath here thou grace,
//! And her he fand age, come you grace of the tombit
//! hate hors man shakes. She and should somes again court.
//!
//! Enter KING LEAR and in the joy heavens
//!
//! …
//! ```

mod common;

use adamant::prelude::*;
use clap::Parser;
use common::saves::{Mean, Saves, Saving};
use common::{end, progress_bar, rate};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

/// Train a small GPT on nine plays, and let it write
#[derive(Parser)]
struct Args {
    /// Steps of training
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Passages in a batch
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Characters in a passage
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..))]
    context: u32,
    /// Layers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    layers: u32,
    /// Features of a character; each of four heads has a quarter of them
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(4..))]
    width: u32,
    /// Adam's highest learning rate
    #[arg(long, default_value_t = 2e-3, value_parser = rate, allow_negative_numbers = true)]
    lr: f64,
    /// Characters to write at the end
    #[arg(long, default_value_t = 500)]
    write: u32,
    /// The seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    saving: Saving,
}

const HEADS: usize = 4;

/// The start of the last play, Julius Caesar, which is the test set.
const LAST_PLAY: &[u8] = b"Enter FLAVIUS, MARULLUS";

/// The plays as indices into `alphabet`.
struct Text {
    alphabet: Vec<u8>,
    train: Vec<usize>,
    test: Vec<usize>,
}

impl Text {
    fn bundled() -> io::Result<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/shakespeare/plays.txt");
        let bytes = std::fs::read(path)?;
        let mut alphabet = bytes.clone();
        alphabet.sort_unstable();
        alphabet.dedup();
        let index = |byte: &u8| alphabet.binary_search(byte).expect("a byte of the plays");
        let indices: Vec<usize> = bytes.iter().map(index).collect();
        let mut windows = bytes.windows(LAST_PLAY.len());
        let last = windows.position(|text| text == LAST_PLAY).expect("all nine plays");
        let (train, test) = indices.split_at(last);
        Ok(Text { train: train.to_vec(), test: test.to_vec(), alphabet })
    }
}

/// Passages from random positions: `[N, L]` characters, and for each the next one.
fn batch(text: &[usize], n: usize, context: usize, rng: &mut Generator) -> (Indices, Vec<usize>) {
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let start = rng.below(text.len() - context);
        inputs.extend_from_slice(&text[start..start + context]);
        targets.extend_from_slice(&text[start + 1..start + context + 1]);
    }
    (Indices::from_vec(inputs, [n, context]).expect("n passages"), targets)
}

/// Causal attention, then a perceptron, each with a residual connection.
#[derive(Module)]
struct Block {
    norm1: LayerNorm,
    attention: MultiheadAttention,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl Block {
    fn new(width: usize, rng: &mut Generator) -> Self {
        Block {
            norm1: LayerNorm::new([width]),
            attention: MultiheadAttention::new(width, HEADS, rng),
            norm2: LayerNorm::new([width]),
            widen: Linear::new(width, 4 * width, rng),
            narrow: Linear::new(4 * width, width, rng),
        }
    }
}

impl Forward for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let seen = self.norm1.forward(x);
        let x =
            x + self.attention.attend(&seen, &seen, &seen, AttentionMasks::default().causal(true));
        let h = self.widen.forward(&self.norm2.forward(&x)).gelu();
        x + self.narrow.forward(&h)
    }
}

#[derive(Module)]
struct Gpt {
    characters: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Gpt {
    fn new(alphabet: usize, args: &Args, rng: &mut Generator) -> Self {
        let width = args.width as usize;
        Gpt {
            characters: Embedding::new(alphabet, width, rng),
            positions: Embedding::new(args.context as usize, width, rng),
            blocks: (0..args.layers).map(|_| Block::new(width, rng)).collect(),
            norm: LayerNorm::new([width]),
            head: Linear::new(width, alphabet, rng),
        }
    }

    /// `[N, L]` characters to `[N, L, alphabet]` scores for each next character.
    fn forward(&self, x: &Indices) -> Tensor {
        let length = x.shape()[1];
        let positions = Indices::from((0..length).collect::<Vec<_>>());
        let mut h = self.characters.forward(x) + self.positions.forward(&positions);
        for block in &self.blocks {
            h = block.forward(&h);
        }
        self.head.forward(&self.norm.forward(&h))
    }

    fn loss(&self, inputs: &Indices, targets: &[usize]) -> Tensor {
        cross_entropy(&self.forward(inputs).flatten(0, 1), targets)
    }

    /// Generates text after a line break, a character at a time.
    fn write(&self, text: &Text, length: usize, context: usize, rng: &mut Generator) -> String {
        let mut written = vec![text.alphabet.binary_search(&b'\n').expect("a text with lines")];
        no_grad(|| {
            for _ in 0..length {
                let seen = &written[written.len().saturating_sub(context)..];
                let x = Indices::from(seen).reshape([1, seen.len()]);
                let scores = self.forward(&x).select(1, seen.len() - 1).select(0, 0);
                // A temperature below 1 makes fewer odd words.
                let chances = (scores / 0.8).softmax(0).to_vec();
                let mut at = rng.uniform() as f32;
                let drawn = chances.iter().position(|&chance| {
                    at -= chance;
                    at < 0.0
                });
                written.push(drawn.unwrap_or(chances.len() - 1));
            }
        });
        written[1..].iter().map(|&i| char::from(text.alphabet[i])).collect()
    }
}

fn main() -> ExitCode {
    end(run(&Args::parse(), &mut io::stdout().lock()))
}

fn run(args: &Args, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    if !(args.width as usize).is_multiple_of(HEADS) {
        return Err(format!("width is {}; expected a multiple of {HEADS}", args.width).into());
    }
    let text = Text::bundled()?;
    let (size, context) = (args.batch_size as usize, args.context as usize);
    let mut rng = Generator::seed(args.seed);
    let mut model = Gpt::new(text.alphabet.len(), args, &mut rng);
    let options = AdamOptions::adamw().lr(args.lr);
    let mut adam = Adam::new(model.parameters(), options)?;
    let steps = args.steps.into();
    let mut schedule = OneCycleLr::new(&mut adam, args.lr, steps);
    writeln!(
        out,
        "{} characters, {} different; {} parameters, {} threads\n",
        text.train.len(),
        text.alphabet.len(),
        model.num_parameters(),
        adamant::num_threads()
    )?;

    let mut saves = Saves::new(&args.saving, "char_gpt")?;
    let bar = progress_bar("training", steps);
    let (mut step, mut mean) = (0, Mean::default());
    let (start, mut tokens) = (Instant::now(), 0);
    while saves.another(
        &mut step,
        steps,
        &mut [
            ("model", &mut model),
            ("optimizer", &mut adam),
            ("schedule", &mut schedule),
            ("rng", &mut rng),
            ("mean", &mut mean),
        ],
    )? {
        let (inputs, targets) = batch(&text.train, size, context, &mut rng);
        adam.zero_grad();
        let loss = model.loss(&inputs, &targets);
        loss.backward();
        clip_grad_norm_if_finite(&model.parameters(), 1.0)?;
        adam.step();
        schedule.step(&mut adam);

        step += 1;
        tokens += size * context;
        mean.add(loss.item(), size);
        let per_second = tokens as f64 / start.elapsed().as_secs_f64();
        bar.set_position(step);
        bar.set_message(format!("loss {:.3}  {per_second:.0} tokens/s", loss.item()));
        if step.is_multiple_of(steps.div_ceil(5)) || step == steps {
            let test = no_grad(|| {
                let mut rng = Generator::seed(1);
                let (inputs, targets) = batch(&text.test, 64, context, &mut rng);
                model.loss(&inputs, &targets).item()
            });
            let loss = mean.get();
            bar.suspend(|| {
                writeln!(
                    out,
                    "step {step:5}: loss {loss:.3}, on another play {test:.3} ({per_second:.0} tokens/s)"
                )
            })?;
            mean = Mean::default();
        }
    }
    drop(saves);
    bar.finish_and_clear();
    writeln!(out, "\n{}", model.write(&text, args.write as usize, context, &mut rng))?;
    Ok(())
}
