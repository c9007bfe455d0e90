//! Optimizers: from parameters and their gradients to better parameters.
//!
//! * [`Adam`] and [`Sgd`] are [groups](ParamGroup) of parameters and a rule;
//! * a [`Scheduler`] moves their rates;
//! * [`clip_grad_norm`] and [`clip_grad_value`] hold gradients down.
//!
//! An optimizer sees [parameters](adamant_tensor::Parameter) and their
//! gradients. It refuses to know what a model, a loss or a data set is.

#![forbid(unsafe_code)]

mod adam;
mod algorithm;
mod clip;
mod count;
mod error;
mod group;
mod hooks;
mod non_finite;
mod optimizer;
mod param_group;
mod rates;
mod scheduler;
mod sgd;

pub use adam::{Adam, AdamGroup, AdamOptions, Amsgrad, Moments};
pub use algorithm::{Algorithm, Hyperparameters, Memory};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use error::OptimError;
pub use group::Group;
pub use hooks::HookId;
pub use non_finite::NonFinite;
pub use optimizer::{GroupOptimizer, Optimizer};
pub use param_group::{NamedParameter, ParamGroup, Setting};
pub use rates::Rates;
pub use scheduler::{
    Anneal, CosineAnnealing, CosineAnnealingLr, Exponential, ExponentialLr, Lambda, LambdaLr,
    Linear, LinearLr, MultiStep, MultiStepLr, OneCycle, OneCycleLr, PlateauMode, Problem,
    ReduceLrOnPlateau, Rule, Schedule, Scheduler, SequentialLr, Step, StepLr, ThresholdMode,
};
pub use sgd::{Momentum, Sgd, SgdOptions};
