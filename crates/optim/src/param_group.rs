//! Parameters that are trained alike, as a user describes them.

use adamant_tensor::{Float, Parameter, Value};

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

/// Parameters, and the hyperparameters that differ for them from the optimizer's.
///
/// The parameters come from a model's `parameters()`, or with their names from
/// its `named_parameters()`: names appear in errors and in the state, where
/// they match parameters in another order.
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
    /// Hyperparameters by name.
    pub(crate) overrides: Vec<(String, Value)>,
}

/// From `parameters()`.
impl<T: Float> From<Vec<Parameter<T>>> for ParamGroup<T> {
    fn from(params: Vec<Parameter<T>>) -> Self {
        ParamGroup::new(params)
    }
}

impl<T: Float, const N: usize> From<[Parameter<T>; N]> for ParamGroup<T> {
    fn from(params: [Parameter<T>; N]) -> Self {
        ParamGroup::new(params)
    }
}

/// From `named_parameters()`.
impl<T: Float> From<Vec<(String, Parameter<T>)>> for ParamGroup<T> {
    fn from(params: Vec<(String, Parameter<T>)>) -> Self {
        ParamGroup::new(params)
    }
}

impl<T: Float> ParamGroup<T> {
    /// These parameters, with the optimizer's hyperparameters.
    #[must_use]
    pub fn new<P: Into<NamedParameter<T>>>(params: impl IntoIterator<Item = P>) -> Self {
        let params = params.into_iter().map(Into::into).collect();
        ParamGroup { params, name: None, overrides: Vec::new() }
    }

    /// A name for the group, kept in the state.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets a hyperparameter by its name in the optimizer's state. This works for the optimizers
    /// of other crates; those of this one have a method for each hyperparameter.
    ///
    /// ```
    /// use adamant_optim::{Adam, AdamOptions, ParamGroup};
    /// use adamant_tensor::{Parameter, Tensor};
    /// let p = Parameter::new(Tensor::<f32>::ones([2]));
    /// let group = ParamGroup::new([p]).set("eps", 1e-6).set("trust_clip", 10.0);
    /// let error = Adam::new(group, AdamOptions::default()).unwrap_err();
    /// assert_eq!(error.to_string(), "parameter group 0: Adam has no trust_clip");
    /// ```
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.overrides.push((name.into(), value.into()));
        self
    }

    /// The learning rate.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        self.set("lr", lr)
    }

    /// Adam: the decay of the running means of the gradient and of its square.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        self.set("beta1", beta1).set("beta2", beta2)
    }

    /// Adam: the term added to the denominator.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        self.set("eps", eps)
    }

    /// The weight decay.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        self.set("weight_decay", weight_decay)
    }

    /// Adam: whether to divide by the largest second moment so far.
    #[must_use]
    pub fn amsgrad(self, on: bool) -> Self {
        self.set("amsgrad", on).set("amsgrad_corrected", false)
    }

    /// Adam: AMSGrad with the maximum of the bias-corrected second moment.
    #[must_use]
    pub fn amsgrad_corrected(self) -> Self {
        self.set("amsgrad", true).set("amsgrad_corrected", true)
    }

    /// Whether to ascend instead of descend.
    #[must_use]
    pub fn maximize(self, on: bool) -> Self {
        self.set("maximize", on)
    }

    /// Adam: whether the decay acts on the weights themselves, as in AdamW.
    #[must_use]
    pub fn decoupled_weight_decay(self, on: bool) -> Self {
        self.set("decoupled_weight_decay", on)
    }

    /// SGD: the momentum.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        self.set("momentum", momentum)
    }

    /// SGD: the dampening of the momentum.
    #[must_use]
    pub fn dampening(self, dampening: f64) -> Self {
        self.set("dampening", dampening)
    }

    /// SGD: whether to use Nesterov's momentum.
    #[must_use]
    pub fn nesterov(self, on: bool) -> Self {
        self.set("nesterov", on)
    }
}
