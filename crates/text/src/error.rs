//! The error of a text or of tokens that a tokenizer cannot handle.

use thiserror::Error;

/// Why a text cannot be encoded, or tokens decoded.
#[derive(Error, Clone, PartialEq, Eq)]
#[error("found {found}, expected {expected}")]
pub struct TextError {
    /// A description of what was found.
    pub found: String,
    /// A description of what was expected.
    pub expected: String,
}

adamant_tensor::debug_as_display!(TextError);

impl TextError {
    /// The error of a text, of which the message shows the beginning.
    pub(crate) fn encode(text: &str, reason: impl std::fmt::Display) -> Self {
        let start: String = text.chars().take(40).collect();
        let more = if start.len() < text.len() { "…" } else { "" };
        let expected = format!("one that the tokenizer can encode: {reason}");
        TextError { found: format!("the text {start:?}{more}"), expected }
    }

    /// The error of tokens.
    pub(crate) fn decode(tokens: &[usize], reason: impl std::fmt::Display) -> Self {
        let expected = format!("some that the tokenizer can decode: {reason}");
        TextError { found: format!("{} tokens", tokens.len()), expected }
    }
}
