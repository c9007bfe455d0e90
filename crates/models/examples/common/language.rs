//! A language model that is fine-tuned.

use super::Failure;
use adamant::prelude::*;
use adamant_models::{GenerateOptions, Llama, LlamaConfig};
use adamant_text::Tokenizer;

/// The most batches of the held-out text that are looked at.
const HELD_OUT: usize = 32;

/// `[N, L]` tokens, and the next token of each.
pub(crate) type Passages = Batch<Indices, Vec<usize>>;

/// A model and its adapters, if these are trained in its place. They alone are then its state.
pub(crate) struct Tuned {
    pub(crate) model: Llama,
    pub(crate) lora: Option<Lora>,
}

impl Tuned {
    fn state(&self) -> &dyn Stateful {
        self.lora.as_ref().map_or(&self.model as &dyn Stateful, |lora| lora)
    }

    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        self.lora.as_ref().map_or_else(|| self.model.parameters(), |lora| lora.parameters())
    }
}

impl Stateful for Tuned {
    fn state_dict(&self) -> StateDict {
        self.state().state_dict()
    }
    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.state().check_state_dict(state)
    }
    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        match &mut self.lora {
            Some(lora) => lora.load_state_dict(state),
            None => self.model.load_state_dict(state),
        }
    }
}

/// Checks that the model has a row for each token, and reads passages of this length.
pub(crate) fn check(
    config: &LlamaConfig,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<(), Failure> {
    let (found, most) = (tokenizer.vocab_size(), config.vocab_size);
    if found > most {
        return Err(format!("the tokenizer: found {found} tokens, expected at most {most}").into());
    }
    let most = config.max_position_embeddings;
    if context > most {
        let expected = format!("expected at most {most}, the model's longest text");
        return Err(format!("--context: found {context}, {expected}").into());
    }
    Ok(())
}

/// The perplexity of the first passages.
pub(crate) fn perplexity(model: &Llama, passages: &DataLoader<Passages>) -> f64 {
    let mut perplexity = Perplexity::new();
    for batch in passages.clone().epoch().take(HELD_OUT) {
        let loss = no_grad(|| model.loss(&batch.inputs, &batch.targets));
        perplexity.update(loss.item(), batch.targets.len());
    }
    perplexity.value()
}

/// What the model makes of a prompt.
pub(crate) fn write(model: &Llama, tokenizer: &Tokenizer, prompt: &str) -> Result<String, Failure> {
    let mut text = tokenizer.encode(prompt)?;
    if text.is_empty() {
        return Err(
            format!("--prompt: found {prompt:?}, expected a text of at least one token").into()
        );
    }
    let options = GenerateOptions::default().max_new_tokens(60).do_sample(true).temperature(0.8);
    text.extend(model.generate(&text, options, &mut Generator::seed(0)));
    Ok(tokenizer.decode(&text)?)
}
