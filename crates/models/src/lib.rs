//! Models that others have trained, to fine-tune: one file a model, with the names of its weights'
//! usual home.

#![forbid(unsafe_code)]

mod bert;
mod config;
mod conv;
mod efficientnet_lite;
mod llama;
mod model_error;
mod resnet;

pub use crate::bert::{
    Activation, Bert, BertConfig, BertEmbeddings, BertEncoder, BertLayer, BertPooler,
    mean_of_tokens,
};
pub use crate::efficientnet_lite::{
    Block, DepthwiseSeparable, EfficientNetLite, EfficientNetLiteOptions, InvertedResidual,
};
pub use crate::llama::{
    GenerateOptions, Llama, LlamaAttention, LlamaCache, LlamaConfig, LlamaLayer, LlamaMlp,
    LlamaModel,
};
pub use crate::model_error::ModelError;
pub use crate::resnet::{BasicBlock, ResNet, ResNetOptions};
