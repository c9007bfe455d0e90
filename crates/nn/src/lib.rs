//! Models: modules, layers, initialisation.
//!
//! A [`Module`] is a tree whose leaves are parameters (and the generators of
//! random layers); `#[derive(Module)]` makes one of a struct. [`Forward`] is
//! the common way through it. This crate refuses to know optimizers, data
//! sets and files.

#![forbid(unsafe_code)]

mod activation;
mod batch_norm;
mod buffer;
mod containers;
mod dropout;
pub mod init;
mod linear;
mod module;
mod norm;
mod sequential;
mod state;
mod summary;

pub use activation::{Relu, Sigmoid, Tanh};
pub use adamant_nn_derive::Module;
pub use adamant_tensor::{StateDict, StateError, Stateful, cross_entropy};
pub use batch_norm::{BatchNorm1d, BatchNorm2d, BatchNormOptions};
pub use buffer::{Buffer, Counter, Training};
pub use dropout::Dropout;
pub use linear::Linear;
#[doc(hidden)]
pub use module::Part;
pub use module::{Forward, Leaf, Module, Path};
pub use norm::{GroupNorm, LayerNorm, RmsNorm};
pub use sequential::{Layer, Sequential};
pub use state::{PartialLoad, check_module_state, load_module_state, module_state};
pub use summary::{Summary, SummaryRow, summary, summary_of};
