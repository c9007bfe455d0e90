//! A language model that is fine-tuned.

use super::Failure;
use adamant::prelude::*;
use adamant_models::{GenerateOptions, Llama};
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
    let mut text = tokenizer.encode_with_special_tokens(prompt)?;
    let options = GenerateOptions::default().max_new_tokens(60).do_sample(true).temperature(0.8);
    text.extend(model.generate(&text, options, &mut Generator::seed(0)));
    Ok(tokenizer.decode(&text)?)
}
