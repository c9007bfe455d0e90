//! Models: modules, layers, losses, initialization.
//!
//! A [`Module`] is a tree whose leaves are parameters, buffers, counts and generators;
//! `#[derive(Module)]` makes a struct one. [`Forward`] maps a tensor to a tensor. This crate does
//! not depend on optimizers, data sets or files.
//!
//! Options have one form: chained setters with PyTorch's names, and PyTorch's defaults. A layer
//! `X` with required arguments takes its options as `XOptions`: `X::new(…)` has the defaults and
//! is `f32`, `X::with_options(…, options)` is of any type. A loss or an activation has only
//! options, and so has the setters itself: `HuberLoss::new().delta(0.5)`.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod check;
pub mod init;
mod layers;
mod lora;
mod losses;
mod summary;
mod tree;

pub use adamant_derive::{Module, Stateful};
pub use adamant_tensor::{StateDict, StateError, Stateful, cross_entropy, linear_cross_entropy};
pub use layers::activation::{
    Celu, Elu, Gelu, GeluTanh, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid, LogSoftmax,
    Mish, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softplus, Softsign, Tanh, Threshold,
};
pub use layers::attention::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions};
pub use layers::batch_norm::{BatchNorm1d, BatchNorm2d, BatchNormOptions, SyncBatchNorm};
pub use layers::bilinear::{Bilinear, BilinearOptions};
pub use layers::conv::{
    Conv1d, Conv1dOptions, Conv2d, Conv2dOptions, ConvOptions, ConvTranspose2d,
    ConvTranspose2dOptions,
};
pub use layers::dropout::{Dropout, Dropout2d};
pub use layers::embedding::{Embedding, EmbeddingOptions};
pub use layers::kv_cache::KvCache;
pub use layers::lambda::Lambda;
pub use layers::linear::{Linear, LinearOptions};
pub use layers::norm::{
    GroupNorm, GroupNormOptions, LayerNorm, LayerNormOptions, RmsNorm, RmsNormOptions,
};
pub use layers::pooling::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AvgPool2d,
    MaxPool2d,
};
pub use layers::recurrent::{Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Rnn, RnnOptions};
pub use layers::rotary::{RotaryEmbedding, RotaryEmbeddingOptions, RotaryScaling};
#[doc(hidden)]
pub use layers::running_statistics::{
    BatchStatistics, RunningStatistics, record_statistics, with_cumulative_statistics,
};
pub use layers::sequential::{Layer, Sequential};
pub use layers::shape::{Flatten, Identity};
pub use layers::squeeze_excitation::{SqueezeExcitation, SqueezeExcitationOptions};
#[doc(hidden)]
pub use layers::sync_batch_norm::{Meeting, with_shards};
pub use layers::transformer::{
    TransformerActivation, TransformerEncoderLayer, TransformerEncoderLayerOptions,
};
pub use lora::{Lora, LoraError, LoraInit, LoraOptions, MergeError, TargetModules};
pub use losses::{
    BceLoss, BceWithLogitsLoss, Classes, CosineEmbeddingLoss, CrossEntropyLoss, HuberLoss,
    KlDivLoss, L1Loss, MseLoss, NllLoss, Reduction, SmoothL1Loss, Targets, TripletMarginLoss,
    bce_loss, bce_with_logits, cosine_embedding_loss, huber_loss, kl_div, l1_loss, mse_loss,
    nll_loss, smooth_l1_loss, triplet_margin_loss,
};
pub use summary::{Summary, SummaryRow, summary, summary_of};
pub use tree::adapter::AdapterSlot;
pub use tree::buffer::{Buffer, Counter, SharedGenerator, Training};
pub use tree::checkpoint::checkpoint_module;
#[doc(hidden)]
pub use tree::deep_copy::deep_copy;
pub use tree::load::{LoadError, LoadOptions, load_with};
pub use tree::load_report::LoadReport;
#[doc(hidden)]
pub use tree::module::Part;
pub use tree::module::{Forward, Leaf, LeafMut, Module, Path};
pub use tree::module_dict::ModuleDict;
pub use tree::observe::observe;
pub use tree::state::{check_module_state, load_module_state, module_state};
