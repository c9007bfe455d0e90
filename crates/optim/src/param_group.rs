//! Parameters that are trained alike, as a user describes them.

use adamant_tensor::{Float, Parameter};

/// A parameter, with the name that a model gives it or without.
#[derive(Clone, Debug)]
pub struct NamedParameter<T: Float = f32> {
    pub(crate) name: Option<String>,
    pub(crate) parameter: Parameter<T>,
}

impl<T: Float> From<Parameter<T>> for NamedParameter<T> {
    fn from(parameter: Parameter<T>) -> Self {
        NamedParameter { name: None, parameter }
    }
}

impl<T: Float> From<(String, Parameter<T>)> for NamedParameter<T> {
    fn from((name, parameter): (String, Parameter<T>)) -> Self {
        NamedParameter { name: Some(name), parameter }
    }
}

/// Parameters, and what differs for them from the optimizer's defaults.
///
/// The parameters come from a model's `parameters()`, or with their names from
/// its `named_parameters()`: names appear in errors and in the state, where
/// they match parameters that stand in another order.
///
/// PyTorch: `{"params": …, "lr": …}`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Optimizer, ParamGroup};
/// use adamant_tensor::{Parameter, Tensor};
/// let (body, head) = (Parameter::new(Tensor::<f32>::ones([2])), Parameter::new(Tensor::ones([2])));
/// let mut adam = Adam::new([head], AdamOptions::default()).unwrap();
/// adam.add_param_group(ParamGroup::new([body]).lr(1e-4).weight_decay(1e-2)).unwrap();
/// assert_eq!((adam.param_groups()[0].lr, adam.param_groups()[1].lr), (1e-3, 1e-4));
/// ```
#[derive(Clone, Debug)]
pub struct ParamGroup<T: Float = f32> {
    pub(crate) params: Vec<NamedParameter<T>>,
    pub(crate) name: Option<String>,
    pub(crate) settings: Vec<Setting>,
}

/// A hyperparameter that a group sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// The learning rate.
    Lr(f64),
    /// Adam's decay of the running means.
    Betas(f64, f64),
    /// Adam's addition to the denominator.
    Eps(f64),
    /// The decay of the weights.
    WeightDecay(f64),
    /// Adam's maximum of the second moment.
    Amsgrad(bool),
    /// Climb instead of descend.
    Maximize(bool),
    /// Adam's decay of the weights themselves.
    DecoupledWeightDecay(bool),
    /// SGD's momentum.
    Momentum(f64),
    /// SGD's dampening of the momentum.
    Dampening(f64),
    /// SGD's look ahead.
    Nesterov(bool),
}

impl Setting {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Setting::Lr(_) => "lr",
            Setting::Betas(..) => "betas",
            Setting::Eps(_) => "eps",
            Setting::WeightDecay(_) => "weight_decay",
            Setting::Amsgrad(_) => "amsgrad",
            Setting::Maximize(_) => "maximize",
            Setting::DecoupledWeightDecay(_) => "decoupled_weight_decay",
            Setting::Momentum(_) => "momentum",
            Setting::Dampening(_) => "dampening",
            Setting::Nesterov(_) => "nesterov",
        }
    }
}

impl<T: Float> ParamGroup<T> {
    /// These parameters, with the optimizer's defaults.
    #[must_use]
    pub fn new<P: Into<NamedParameter<T>>>(params: impl IntoIterator<Item = P>) -> Self {
        let params = params.into_iter().map(Into::into).collect();
        ParamGroup { params, name: None, settings: Vec::new() }
    }

    /// A name for the group, kept in the state.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn set(mut self, setting: Setting) -> Self {
        self.settings.push(setting);
        self
    }

    /// The learning rate.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        self.set(Setting::Lr(lr))
    }

    /// Adam: the decay of the running means of the gradient and of its square.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        self.set(Setting::Betas(beta1, beta2))
    }

    /// Adam: what is added to the denominator.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        self.set(Setting::Eps(eps))
    }

    /// The decay of the weights.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        self.set(Setting::WeightDecay(weight_decay))
    }

    /// Adam: whether to divide by the largest second moment that has been.
    #[must_use]
    pub fn amsgrad(self, on: bool) -> Self {
        self.set(Setting::Amsgrad(on))
    }

    /// Whether to climb instead of descend.
    #[must_use]
    pub fn maximize(self, on: bool) -> Self {
        self.set(Setting::Maximize(on))
    }

    /// Adam: whether the decay acts on the weights themselves, as in AdamW.
    #[must_use]
    pub fn decoupled_weight_decay(self, on: bool) -> Self {
        self.set(Setting::DecoupledWeightDecay(on))
    }

    /// SGD: the momentum.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        self.set(Setting::Momentum(momentum))
    }

    /// SGD: the dampening of the momentum.
    #[must_use]
    pub fn dampening(self, dampening: f64) -> Self {
        self.set(Setting::Dampening(dampening))
    }

    /// SGD: whether to look ahead along the momentum.
    #[must_use]
    pub fn nesterov(self, on: bool) -> Self {
        self.set(Setting::Nesterov(on))
    }
}
