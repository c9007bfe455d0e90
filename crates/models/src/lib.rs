//! Models that others have trained, to fine-tune: one file a model, with the names of its weights'
//! usual home.

#![forbid(unsafe_code)]

mod conv;
mod efficientnet_lite;
mod resnet;

pub use efficientnet_lite::{
    Block, DepthwiseSeparable, EfficientNetLite, EfficientNetLiteOptions, InvertedResidual,
};
pub use resnet::{BasicBlock, ResNet, ResNetOptions};
