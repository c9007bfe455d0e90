//! Tensors with a tape: reverse-mode automatic differentiation, to any order.
//!
//! * [`Tensor`] is an immutable value: numbers, and where gradients are wanted,
//!   a node of the tape. Views copy nothing.
//! * [`Parameter`] is the one thing that changes in place.
//! * [`Tensor::backward`] and [`grad()`] replay the tape.
//! * An operation lives in one file of `ops/`: formula, check, forward,
//!   backward, tests.
//! * [`StateDict`] and [`Stateful`] are how anything is saved and put back.
//!
//! This crate refuses to know layers, optimizers, data sets and files.

#![forbid(unsafe_code)]

mod array;
mod backward;
mod create;
mod dims;
mod display;
mod generator;
mod grad_cell;
mod grad_mode;
mod gradcheck;
mod indices;
mod literal;
mod mask;
mod node;
mod ops;
mod parameter;
mod random;
mod shape;
mod state;
mod storage;
mod tensor;

pub use adamant_kernels::{Element, Float, num_threads, set_num_threads};
pub use array::Array;
pub use backward::{GradOptions, grad};
pub use dims::{Dim, Dims};
pub use generator::Generator;
pub use grad_mode::{enable_grad, is_grad_enabled, no_grad};
pub use gradcheck::{GradCheckError, gradcheck, gradgradcheck};
pub use indices::Indices;
pub use mask::Mask;
pub use ops::avg_pool::AvgPool2dOptions;
pub use ops::conv_options::{Conv1dOptions, Conv2dOptions, ConvOptions};
pub use ops::cross_entropy::cross_entropy;
pub use ops::max_pool::MaxPool2dOptions;
pub use ops::operand::Operand;
pub use ops::windows::PerDim;
pub use parameter::{Parameter, ValueMut};
pub use shape::{REST, Shape};
pub use state::{StateDict, StateError, Stateful, Value};
pub use storage::{MemoryStats, memory_stats};
pub use tensor::{ShapeError, Tensor};
