//! Text and the tokens of pretrained language models.
//!
//! A [`Tokenizer`] is read from the `tokenizer.json` of a Hugging Face model or from the vocabulary of
//! a GGUF file, and maps text to indices of tokens and back.

#![forbid(unsafe_code)]

mod error;
mod gguf;
mod special;
mod tokenizer;

pub use crate::error::TextError;
pub use crate::tokenizer::{Pair, Tokenizer};
