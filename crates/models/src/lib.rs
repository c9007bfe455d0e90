//! Pretrained models to fine-tune. Their weights have the names of Hugging Face, torchvision or timm.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

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
