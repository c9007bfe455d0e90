//! Parameters that are trained alike.

use adamant_tensor::{Float, Parameter};

/// Parameters, and what differs for them from the optimizer's defaults.
///
/// PyTorch: `{"params": …, "lr": …}`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, ParamGroup};
/// use adamant_tensor::{Parameter, Tensor};
/// let (body, head) = (Parameter::new(Tensor::<f32>::ones([2])), Parameter::new(Tensor::ones([2])));
/// let mut adam = Adam::new([head], AdamOptions::default()).unwrap();
/// adam.add_param_group(ParamGroup::new([body]).lr(1e-4).weight_decay(1e-2)).unwrap();
/// assert_eq!((adam.param_groups()[0].lr, adam.param_groups()[1].lr), (1e-3, 1e-4));
/// ```
#[derive(Clone, Debug)]
pub struct ParamGroup<T: Float = f32> {
    pub(crate) params: Vec<Parameter<T>>,
    pub(crate) lr: Option<f64>,
    pub(crate) betas: Option<(f64, f64)>,
    pub(crate) eps: Option<f64>,
    pub(crate) weight_decay: Option<f64>,
}

impl<T: Float> ParamGroup<T> {
    /// These parameters, with the optimizer's defaults.
    #[must_use]
    pub fn new(params: impl IntoIterator<Item = Parameter<T>>) -> Self {
        let params = params.into_iter().collect();
        ParamGroup { params, lr: None, betas: None, eps: None, weight_decay: None }
    }

    /// The learning rate.
    #[must_use]
    pub fn lr(mut self, lr: f64) -> Self {
        self.lr = Some(lr);
        self
    }

    /// The decay of the running means of the gradient and of its square.
    #[must_use]
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        self.betas = Some((beta1, beta2));
        self
    }

    /// What is added to the denominator.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = Some(eps);
        self
    }

    /// The decay of the weights.
    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }
}
