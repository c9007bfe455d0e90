//! Optimizers: from parameters and their gradients to better parameters.
//!
//! An optimizer sees [parameters](adamant_tensor::Parameter) and their
//! gradients. It refuses to know what a model, a loss or a data set is.

#![forbid(unsafe_code)]

mod adam;
mod error;
mod group;

pub use adam::{Adam, AdamGroup, AdamOptions};
pub use error::OptimError;
pub use group::ParamGroup;

use adamant_tensor::Float;

/// What every optimizer does.
pub trait Optimizer<T: Float = f32> {
    /// Moves every parameter that has a gradient; leaves alone those that have none.
    ///
    /// PyTorch: `optimizer.step()`.
    fn step(&mut self);

    /// Forgets every gradient (`true`), or sets to zero what is there (`false`).
    ///
    /// PyTorch: `optimizer.zero_grad(set_to_none)`.
    fn zero_grad(&mut self, set_to_none: bool);
}
