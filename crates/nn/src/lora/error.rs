//! Why adapters cannot be added to a model, merged or loaded.

use super::Lora;
use adamant_tensor::{Float, StateError};
use std::fmt;
use thiserror::Error;

/// Why adapters cannot be added to a model, merged or loaded.
#[derive(Clone, Error)]
#[non_exhaustive]
pub enum LoraError {
    /// An option is out of its range.
    #[error("LoraOptions: {option} is {found}; expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// A name in `target_modules` is not that of a linear layer, or there are no names.
    #[error(
        "Lora: target_modules: found {}, expected names of linear layers: {}",
        list(found),
        list(linears)
    )]
    Target {
        /// The names without a layer; empty if there are no names at all.
        found: Vec<String>,
        /// The paths of all linear layers of the model.
        linears: Vec<String>,
    },
    /// A layer already has an adapter.
    #[error("Lora: `{layer}`: found an adapter, expected none; `Lora::unload` removes it")]
    Occupied {
        /// The path of the layer.
        layer: String,
    },
    /// The weight of a layer is also used elsewhere, where merging would change it too.
    #[error("Lora: merging into `{weight}` would change `{other}`, which is tied to it")]
    Tied {
        /// The weight.
        weight: String,
        /// Its other name.
        other: String,
    },
    /// A state does not fit the adapters.
    #[error(transparent)]
    State(#[from] StateError),
}
adamant_tensor::debug_as_display!(LoraError);

/// Why [`Lora::merge_and_unload`] has not merged, with the adapters.
#[derive(Error)]
#[error("{error}")]
pub struct MergeError<T: Float = f32> {
    /// The adapters, which are still in the model.
    pub lora: Box<Lora<T>>,
    /// The reason.
    pub error: LoraError,
}

impl<T: Float> fmt::Debug for MergeError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names in backquotes, the first ten.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "none".into(),
        n if n > shown.len() => format!("{} and {} more", shown.join(", "), n - shown.len()),
        _ => shown.join(", "),
    }
}
