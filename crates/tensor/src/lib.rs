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

mod anomaly;
mod array;
mod attention_options;
mod backward;
mod checkpoint;
mod create;
mod dims;
mod display;
mod draw_tape;
mod error;
mod functional;
mod generator;
mod grad;
mod grad_cell;
mod grad_mode;
mod gradcheck;
mod graph;
mod hooks;
mod indices;
mod layout;
mod literal;
mod mask;
mod node;
mod ops;
mod parameter;
mod pending;
mod random;
mod shape;
mod state;
mod storage;
mod tensor;

pub use adamant_kernels::{Element, Float, num_threads, set_num_threads};
pub use anomaly::detect_anomaly;
pub use array::Array;
pub use attention_options::AttentionOptions;
pub use checkpoint::checkpoint;
pub use dims::{Dim, Dims};
pub use functional::{hessian, hvp, jacobian, jvp, vjp};
pub use generator::Generator;
pub use grad::{GradOptions, Outputs, grad};
pub use grad_mode::{enable_grad, is_grad_enabled, no_grad};
pub use gradcheck::{GradCheckError, gradcheck, gradgradcheck};
pub use graph::graph_to_dot;
pub use hooks::HookHandle;
pub use indices::Indices;
pub use mask::Mask;
pub use ops::attention::{scaled_dot_product_attention, scaled_dot_product_attention_with_weights};
pub use ops::avg_pool::AvgPool2dOptions;
pub use ops::clamp::Bound;
pub use ops::conv_options::{Conv1dOptions, Conv2dOptions, ConvOptions};
pub use ops::cross_entropy::cross_entropy;
pub use ops::index::Indexing;
pub use ops::max_pool::MaxPool2dOptions;
pub use ops::operand::Operand;
pub use ops::pad_mode::PadMode;
pub use ops::windows::{AdaptiveSize, PerDim};
pub use parameter::{Parameter, TakenValue, ValueMut, take_values};
pub use shape::{REST, Shape};
pub use state::{Mismatch, StateDict, StateError, Stateful, Value};
pub use storage::{MemoryStats, empty_cache, memory_stats, reset_peak_memory_stats};
pub use tensor::{ShapeError, Tensor};
