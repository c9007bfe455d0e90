//! Models: modules, layers, losses, initialisation.
//!
//! A [`Module`] is a tree whose leaves are parameters, buffers, counts and generators;
//! `#[derive(Module)]` makes a struct one. [`Forward`] maps a tensor to a tensor. This crate does
//! not depend on optimizers, data sets or files.
//!
//! Options have one form: chained setters with PyTorch's names, and PyTorch's defaults. A layer
//! `X` that also has required arguments takes them as `XOptions`: `X::new(…)` has the defaults and
//! is `f32`, `X::with_options(…, options)` is of any type. A loss or an activation has only
//! options, and so has the setters itself: `HuberLoss::new().delta(0.5)`.

#![forbid(unsafe_code)]

mod activation;
mod attention;
mod batch_norm;
mod bilinear;
mod buffer;
mod check;
mod containers;
mod conv;
mod deep_copy;
mod dropout;
mod embedding;
pub mod init;
mod lambda;
mod linear;
mod losses;
mod module;
mod module_dict;
mod norm;
mod observe;
mod panic_context;
mod pooling;
mod recurrent;
mod sequential;
mod shape;
mod state;
mod stateless;
mod summary;
mod transformer;

pub use activation::{
    Elu, Gelu, GeluTanh, Hardtanh, LeakyRelu, LogSoftmax, Relu, Sigmoid, Silu, Softmax, Softplus,
    Softsign, Tanh,
};
pub use adamant_nn_derive::Module;
pub use adamant_tensor::{StateDict, StateError, Stateful, cross_entropy};
pub use attention::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions};
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNormOptions};
pub use bilinear::{Bilinear, BilinearOptions};
pub use buffer::{Buffer, Counter, SharedGenerator, Training};
pub use conv::{
    Conv1d, Conv1dOptions, Conv2d, Conv2dOptions, ConvOptions, ConvTranspose2d,
    ConvTranspose2dOptions,
};
#[doc(hidden)]
pub use deep_copy::deep_copy;
pub use dropout::{Dropout, Dropout2d};
pub use embedding::{Embedding, EmbeddingOptions};
pub use lambda::Lambda;
pub use linear::{Linear, LinearOptions};
pub use losses::{
    BceLoss, BceWithLogitsLoss, Classes, CosineEmbeddingLoss, CrossEntropyLoss, HuberLoss,
    KlDivLoss, L1Loss, MseLoss, NllLoss, Reduction, SmoothL1Loss, Targets, TripletMarginLoss,
    bce_loss, bce_with_logits, cosine_embedding_loss, huber_loss, kl_div, l1_loss, mse_loss,
    nll_loss, smooth_l1_loss, triplet_margin_loss,
};
#[doc(hidden)]
pub use module::Part;
pub use module::{Forward, Leaf, LeafMut, Module, Path};
pub use module_dict::ModuleDict;
pub use norm::{GroupNorm, GroupNormOptions, LayerNorm, LayerNormOptions, RmsNorm, RmsNormOptions};
pub use observe::observe;
pub use pooling::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AvgPool2d,
    MaxPool2d,
};
pub use recurrent::{Gru, GruOptions, Lstm, LstmOptions, Nonlinearity, Rnn, RnnOptions};
pub use sequential::{Layer, Sequential};
pub use shape::{Flatten, Identity};
pub use state::{PartialLoad, check_module_state, load_module_state, load_partial, module_state};
pub use summary::{Summary, SummaryRow, summary, summary_of};
pub use transformer::{
    TransformerActivation, TransformerEncoderLayer, TransformerEncoderLayerOptions,
};
