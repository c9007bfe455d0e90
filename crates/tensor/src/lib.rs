//! Tensors with reverse-mode automatic differentiation, to any order.
//!
//! * [`Tensor`] is an immutable n-dimensional array. If it is tracked, it also holds a node of the
//!   tape. Views share elements.
//! * [`Parameter`] is the only type that changes in place.
//! * [`Tensor::backward`] and [`grad()`] run the backward pass over the tape.
//! * Each operation is one file of `ops/`: formula, checks, forward, backward, tests.
//! * [`StateDict`] and [`Stateful`] save and restore state.
//!
//! This crate does not know about layers, optimizers, data sets or files.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod arrays;
mod ops;
mod state;
mod tape;
mod tools;

pub use adamant_kernels::{Element, Float, RecurrentCell, num_threads, set_num_threads};
pub use arrays::array::Array;
pub use arrays::dims::{Dim, Dims};
pub use arrays::error::ShapeError;
pub use arrays::indices::Indices;
pub use arrays::keepdim::{KeepDim, ReduceDims, keepdim};
pub use arrays::mask::Mask;
pub use arrays::shape::{REST, Shape};
pub use ops::elementwise::clamp::Bound;
pub use ops::elementwise::operand::Operand;
pub use ops::elementwise::swiglu::swiglu;
pub use ops::index::indexing::Indexing;
pub use ops::layer::avg_pool::AvgPool2dOptions;
pub use ops::layer::conv_params::{Conv1dParams, Conv2dParams, ConvParams};
pub use ops::layer::cross_entropy::cross_entropy;
pub use ops::layer::linear_cross_entropy::{linear_cross_entropy, linear_cross_entropy_losses};
pub use ops::layer::max_pool::MaxPool2dOptions;
pub use ops::layer::recurrence::{Direction, RecurrentWeights, recurrence};
pub use ops::layer::windows::{AdaptiveSize, PerDim};
pub use ops::matrix::attention::{
    scaled_dot_product_attention, scaled_dot_product_attention_with_weights,
};
pub use ops::matrix::attention_options::AttentionOptions;
pub use ops::shape::pad_mode::PadMode;
pub use state::dict::StateDict;
pub use state::generator::Generator;
pub use state::mismatch::{Mismatch, StateError};
#[doc(hidden)]
pub use state::shown::shown;
pub use state::source::{SourceError, StateSource, ValueKind};
pub use state::stateful::Stateful;
#[doc(hidden)]
pub use state::stateful::StatefulField;
pub use state::value::Value;
pub use tape::anomaly::detect_anomaly;
pub use tape::hooks::HookHandle;
pub use tape::mode::{enable_grad, is_grad_enabled, no_grad};
pub use tape::parameter::Parameter;
pub use tape::stored::{NewValue, Storage};
pub use tape::taken::{TakenValue, take_values};
pub use tape::tensor::Tensor;
pub use tape::value_mut::ValueMut;
pub use tape::weight::Weight;
pub use tools::checkpoint::checkpoint;
pub use tools::functional::{hessian, hvp, jacobian, jvp, vjp};
pub use tools::grad::{GradOptions, Outputs, grad};
pub use tools::gradcheck::{GradCheckError, gradcheck, gradgradcheck};
pub use tools::graph::graph_to_dot;
pub use tools::memory::{MemoryStats, empty_cache, memory_stats, reset_peak_memory_stats};
