//! Optimizers: from parameters and their gradients to better parameters.
//!
//! * [`Adam`] and [`Sgd`] are [groups](ParamGroup) of parameters and an algorithm;
//! * [`Algorithm`] is the interface for algorithms, also those of other crates;
//! * a [`Scheduler`] changes the learning rates; a [`Rule`] is the formula of one;
//! * [`clip_grad_norm`] and [`clip_grad_value`] limit gradients.
//!
//! An optimizer knows [parameters](adamant_tensor::Parameter) and their
//! gradients. It does not know models, losses or data sets.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod adam;
mod algorithm;
mod clip;
mod count;
mod error;
mod fields;
mod group;
mod hooks;
mod learning_rates;
mod non_finite;
mod optimizer;
mod param_group;
mod reader;
mod scheduler;
mod sgd;
mod sharing;
mod step;
mod valid_range;

pub use adam::{Adam, AdamGroup, AdamOptions, AdamState, Amsgrad};
pub use adamant_kernels::{Cut, Shared};
pub use algorithm::{Algorithm, Hyperparameters, ParameterState, Sums, zeros};
pub use clip::{clip_grad_norm, clip_grad_norm_if_finite, clip_grad_value};
pub use error::OptimError;
pub use fields::Fields;
pub use group::{Group, SteppedState};
pub use hooks::HookId;
pub use learning_rates::LearningRates;
pub use non_finite::NonFinite;
pub use optimizer::{GroupOptimizer, Optimizer};
pub use param_group::{NamedParameter, ParamGroup};
pub use scheduler::{
    AnnealStrategy, CosineAnnealingLr, CosineAnnealingLrOptions, ExponentialLr, LambdaLr, LinearLr,
    MultiStepLr, OneCycleLr, OneCycleLrOptions, PlateauMode, ReduceLrOnPlateau,
    ReduceLrOnPlateauOptions, Rule, Schedule, Scheduler, SequentialLr, StepLr, SwaLr, SwaLrOptions,
    ThresholdMode,
};
/// The rules of this crate's schedules: a [`StepLr`] is a `Schedule<rules::Step>`.
pub mod rules {
    pub use crate::scheduler::{
        CosineAnnealing, Exponential, Lambda, Linear, MultiStep, OneCycle, Step, Swa,
    };
}
pub use sgd::{Sgd, SgdOptions, SgdState};
pub use valid_range::ValidRange;
