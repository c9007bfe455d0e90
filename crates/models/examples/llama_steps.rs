//! Trains a language model for some steps, for `examples/pretrained/train_llm.py`, which compares the losses
//! with those of PyTorch: all weights, or adapters that are written to a folder first.
//!
//! ```text
//! cargo run --release -p adamant-models --example llama_steps -- MODEL TEXT STEPS TOKENS LR [ADAPTERS [LAYERS]]
//! ```
//!
//! The first `LAYERS` layers run again in the backward pass, to save memory; none by default. Step `i` trains on the `i`-th `TOKENS` tokens of the text. Prints the loss of each step, its seconds
//! apart from the first, the largest memory of the process and that of its tensors, as JSON.

use adamant::memory_stats;
use adamant::prelude::save_peft;
use adamant_models::Llama;
use adamant_nn::{Lora, LoraOptions, Module};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{Generator, Indices, Storage};
use adamant_text::Tokenizer;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Vec::from_iter(std::env::args().skip(1));
    let [model, text, steps, length, lr, adapters @ ..] = &args[..] else {
        return Err("expected MODEL TEXT STEPS TOKENS LR [ADAPTERS [LAYERS]]".into());
    };
    let (steps, length, lr): (usize, usize, f64) = (steps.parse()?, length.parse()?, lr.parse()?);
    let tokens =
        Tokenizer::open(model)?.encode_without_special_tokens(&std::fs::read_to_string(text)?)?;
    let mut model = match adapters {
        [] => Llama::open(model)?,
        _ => Llama::open_frozen(model, Storage::Bf16)?,
    };
    if let [_, layers] = adapters {
        model.checkpoint_layers(layers.parse()?);
    }
    let parameters = match adapters.first() {
        None => model.parameters(),
        Some(folder) => {
            let options = LoraOptions::default().rank(8).lora_alpha(16.0);
            let options = options.target_modules(["q_proj", "v_proj"]);
            let lora = Lora::new(&model, options, &mut Generator::seed(0))?;
            save_peft(folder, &lora)?;
            lora.parameters()
        }
    };
    let mut adam = Adam::new(parameters, AdamOptions::default().lr(lr))?;
    let (mut losses, mut seconds) = (Vec::new(), Vec::new());
    for passage in tokens.windows(length + 1).step_by(length).take(steps) {
        let start = Instant::now();
        adam.zero_grad();
        let loss =
            model.loss(&Indices::from(&passage[..length]).reshape([1, length]), &passage[1..]);
        loss.backward();
        adam.step();
        losses.push(loss.item());
        seconds.push(start.elapsed().as_secs_f64());
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 =
        peak.and_then(|kb| kb.trim().strip_suffix(" kB")).unwrap_or("0").parse()?;
    println!(
        "{{\"losses\": {losses:?}, \"seconds\": {:?}, \"megabytes\": {}, \"of_tensors\": {}}}",
        &seconds[1..],
        kilobytes * 1024.0 / 1e6,
        memory_stats().peak_bytes as f64 / 1e6
    );
    Ok(())
}
