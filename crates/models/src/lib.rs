//! Models that others have trained, to fine-tune: one file a model, with the names of its weights'
//! usual home.

#![forbid(unsafe_code)]

mod bert;
mod config;
mod llama;

pub use crate::bert::{
    Activation, Bert, BertConfig, BertEmbeddings, BertEncoder, BertLayer, BertPooler,
    mean_of_tokens,
};
pub use crate::llama::{
    GenerateOptions, Llama, LlamaAttention, LlamaCache, LlamaConfig, LlamaError, LlamaLayer,
    LlamaMlp, LlamaModel,
};
