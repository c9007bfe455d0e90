//! Models that others have trained, to fine-tune: one file a model, with the names of its weights'
//! usual home.

#![forbid(unsafe_code)]

mod llama;

pub use crate::llama::{
    GenerateOptions, Llama, LlamaAttention, LlamaCache, LlamaConfig, LlamaError, LlamaLayer,
    LlamaMlp, LlamaModel,
};
