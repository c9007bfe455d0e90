//! Writes what a language model makes of a text to a safetensors file, for `examples/pretrained/llm.py`:
//! its tokens, their scores and the loss of each.
//!
//! ```text
//! cargo run --release -p adamant-models --example llama_logits -- MODEL TEXT OUT.safetensors
//! ```

use adamant_checkpoint::save_safetensors;
use adamant_models::{GenerateOptions, Llama};
use adamant_tensor::{Generator, Indices, StateDict, Tensor, no_grad};
use adamant_text::Tokenizer;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Vec::from_iter(std::env::args().skip(1));
    let [model, text, out] = &args[..] else { return Err("expected MODEL TEXT OUT".into()) };
    let start = Instant::now();
    let (model, tokenizer) = (Llama::open(model)?, Tokenizer::open(model)?);
    println!("opened in {:.2?}", start.elapsed());
    let tokens = tokenizer.encode_without_special_tokens(&std::fs::read_to_string(text)?)?;
    let (inputs, targets) = (&tokens[..tokens.len() - 1], &tokens[1..]);
    let start = Instant::now();
    let logits = no_grad(|| model.forward(&Indices::from(inputs).reshape([1, inputs.len()])));
    println!("{} tokens in {:.2?}", inputs.len(), start.elapsed());
    let start = Instant::now();
    let options = GenerateOptions::default().max_new_tokens(50);
    let greedy = model.generate(&tokens[..20], options, &mut Generator::seed(0));
    println!("50 tokens generated in {:.2?}", start.elapsed());
    let rows = logits.log_softmax(-1);
    let nll =
        targets.iter().enumerate().map(|(i, &target)| -rows.select(1, i).select(1, target).item());
    let indices =
        |tokens: &[usize]| Tensor::from(&tokens.iter().map(|&t| t as f32).collect::<Vec<_>>()[..]);
    let mut state = StateDict::new();
    state.insert("tokens", indices(&tokens));
    state.insert("greedy", indices(&greedy));
    state.insert("nll", Tensor::from(&nll.collect::<Vec<f32>>()[..]));
    state.insert("logits", logits.squeeze(0));
    save_safetensors(&state, out)?;
    Ok(())
}
