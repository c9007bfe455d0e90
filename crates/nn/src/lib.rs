//! Models: modules, layers, initialisation.
//!
//! A [`Module`] is a tree whose leaves are parameters (and the generators of
//! random layers); `#[derive(Module)]` makes one of a struct. [`Forward`] is
//! the common way through it. This crate refuses to know optimizers, data
//! sets and files.

#![forbid(unsafe_code)]

mod activation;
mod attention;
mod buffer;
mod containers;
mod dropout;
pub mod init;
mod layer_norm;
mod linear;
mod module;
mod recurrent;
mod sequential;
mod state;
mod summary;
mod transformer;

pub use activation::{Relu, Sigmoid, Tanh};
pub use adamant_nn_derive::Module;
pub use adamant_tensor::{StateDict, StateError, Stateful, cross_entropy};
pub use attention::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions};
pub use buffer::{Buffer, Counter, Training};
pub use dropout::Dropout;
pub use linear::Linear;
#[doc(hidden)]
pub use module::Part;
pub use module::{Forward, Leaf, Module, Path};
pub use recurrent::{Gru, Lstm, RecurrentOptions, Rnn};
pub use sequential::{Layer, Sequential};
pub use state::{PartialLoad, check_module_state, load_module_state, module_state};
pub use summary::{Summary, SummaryRow, summary, summary_of};
pub use transformer::{
    TransformerActivation, TransformerEncoderLayer, TransformerEncoderLayerOptions,
};
