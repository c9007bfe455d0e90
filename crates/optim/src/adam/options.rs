//! Adam's hyperparameters, and the numbers of a step.

use crate::algorithm::Hyperparameters;
use crate::error::{OptimError, at_least_0, below_1};
use crate::param_group::Setting;
use adamant_kernels::AdamScalars;
use adamant_tensor::{Float, StateDict, StateError, Value};

/// Adam's hyperparameters: PyTorch's defaults, unless set.
///
/// ```
/// use adamant_optim::AdamOptions;
/// let options = AdamOptions::default().lr(3e-4).betas(0.9, 0.99);
/// assert_eq!((options.lr, options.eps, options.weight_decay), (3e-4, 1e-8, 0.0));
/// assert_eq!(AdamOptions::adamw().weight_decay, 1e-2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// The learning rate: 10⁻³.
    pub lr: f64,
    /// The decay of the running means of the gradient and of its square: 0.9 and 0.999.
    pub betas: (f64, f64),
    /// What is added to the denominator: 10⁻⁸.
    pub eps: f64,
    /// The decay of the weights: 0.
    pub weight_decay: f64,
    /// Whether to divide by the largest second moment that has been, and which.
    pub amsgrad: Amsgrad,
    /// Whether to climb instead of descend.
    pub maximize: bool,
    /// Whether the decay acts on the weights themselves (AdamW) instead of the gradient.
    pub decoupled_weight_decay: bool,
}

/// Of what AMSGrad (Reddi, Kale and Kumar, 2018) takes the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Amsgrad {
    /// No maximum: Adam.
    #[default]
    Off,
    /// The second moment `v`, corrected for its bias afterwards: what PyTorch computes.
    Raw,
    /// The bias-corrected `v / (1 − β₂ᵗ)`: what PyTorch's documentation printed
    /// up to 2024, and what optax computes.
    Corrected,
}

impl Default for AdamOptions {
    fn default() -> Self {
        AdamOptions {
            lr: 1e-3,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            amsgrad: Amsgrad::Off,
            maximize: false,
            decoupled_weight_decay: false,
        }
    }
}

impl AdamOptions {
    /// The defaults of AdamW: a decoupled weight decay of 10⁻².
    ///
    /// PyTorch: `torch.optim.AdamW`.
    #[must_use]
    pub fn adamw() -> Self {
        Self::default().weight_decay(1e-2).decoupled_weight_decay(true)
    }

    /// Sets the learning rate.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        AdamOptions { lr, ..self }
    }

    /// Sets the decay of the running means of the gradient and of its square.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        AdamOptions { betas: (beta1, beta2), ..self }
    }

    /// Sets what is added to the denominator.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        AdamOptions { eps, ..self }
    }

    /// Sets the decay of the weights.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        AdamOptions { weight_decay, ..self }
    }

    /// Sets whether to divide by the largest second moment that has been.
    ///
    /// PyTorch: `amsgrad=True`.
    #[must_use]
    pub fn amsgrad(self, on: bool) -> Self {
        AdamOptions { amsgrad: if on { Amsgrad::Raw } else { Amsgrad::Off }, ..self }
    }

    /// AMSGrad with the maximum of the bias-corrected second moment: the
    /// algorithm as PyTorch's documentation of 1.12 printed it.
    #[must_use]
    pub fn amsgrad_corrected(self) -> Self {
        AdamOptions { amsgrad: Amsgrad::Corrected, ..self }
    }

    /// Sets whether to climb instead of descend.
    #[must_use]
    pub fn maximize(self, on: bool) -> Self {
        AdamOptions { maximize: on, ..self }
    }

    /// Sets whether the decay acts on the weights themselves instead of the gradient.
    #[must_use]
    pub fn decoupled_weight_decay(self, on: bool) -> Self {
        AdamOptions { decoupled_weight_decay: on, ..self }
    }

    /// The numbers of step `t`.
    pub(super) fn scalars<T: Float>(&self, t: u64) -> AdamScalars<T> {
        let (beta1, beta2) = self.betas;
        let bias_correction = |beta: f64| 1.0 - beta.powf(t as f64);
        let (l2, decoupled) = match self.decoupled_weight_decay {
            true => (0.0, self.weight_decay),
            false => (self.weight_decay, 0.0),
        };
        let corrected = (self.amsgrad == Amsgrad::Corrected).then(|| bias_correction(beta2));
        AdamScalars {
            sign: T::from_f64(if self.maximize { -1.0 } else { 1.0 }),
            weight_decay: T::from_f64(l2),
            shrink: T::from_f64(1.0 - self.lr * decoupled),
            one_minus_beta1: T::from_f64(1.0 - beta1),
            from_gradient: T::from_f64(1.0 - beta1) >= T::from_f64(0.5),
            minus_beta1: T::from_f64(1.0 - beta1) - T::ONE,
            beta2: T::from_f64(beta2),
            one_minus_beta2: T::from_f64(1.0 - beta2),
            bias_correction2_sqrt: T::from_f64(bias_correction(beta2).sqrt()),
            corrected_maximum: corrected.map(T::from_f64),
            negative_step_size: T::from_f64(-(self.lr / bias_correction(beta1))),
            eps: T::from_f64(self.eps),
        }
    }
}

impl Hyperparameters for AdamOptions {
    const OPTIMIZER: &'static str = "Adam";

    fn set(&mut self, setting: Setting) -> bool {
        match setting {
            Setting::Lr(lr) => self.lr = lr,
            Setting::Betas(beta1, beta2) => self.betas = (beta1, beta2),
            Setting::Eps(eps) => self.eps = eps,
            Setting::WeightDecay(weight_decay) => self.weight_decay = weight_decay,
            Setting::Amsgrad(on) => *self = self.amsgrad(on),
            Setting::Maximize(on) => self.maximize = on,
            Setting::DecoupledWeightDecay(on) => self.decoupled_weight_decay = on,
            Setting::Momentum(_) | Setting::Dampening(_) | Setting::Nesterov(_) => return false,
        }
        true
    }

    fn problems(&self, place: &str) -> Vec<OptimError> {
        let checks = [
            at_least_0(place, "lr", self.lr),
            below_1(place, "beta1", self.betas.0),
            below_1(place, "beta2", self.betas.1),
            at_least_0(place, "eps", self.eps),
            at_least_0(place, "weight_decay", self.weight_decay),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.betas.0 = momentum;
    }

    fn save(&self, prefix: &str, state: &mut StateDict) {
        let mut insert = |name: &str, value: Value| state.insert(format!("{prefix}.{name}"), value);
        insert("lr", self.lr.into());
        insert("beta1", self.betas.0.into());
        insert("beta2", self.betas.1.into());
        insert("eps", self.eps.into());
        insert("weight_decay", self.weight_decay.into());
        insert("amsgrad", (self.amsgrad != Amsgrad::Off).into());
        insert("amsgrad_corrected", (self.amsgrad == Amsgrad::Corrected).into());
        insert("maximize", self.maximize.into());
        insert("decoupled_weight_decay", self.decoupled_weight_decay.into());
    }

    fn load(&mut self, prefix: &str, state: &StateDict, errors: &mut StateError) {
        let mut float = |name: &str| errors.take(state.float(&format!("{prefix}.{name}")));
        self.lr = float("lr").unwrap_or(self.lr);
        self.betas.0 = float("beta1").unwrap_or(self.betas.0);
        self.betas.1 = float("beta2").unwrap_or(self.betas.1);
        self.eps = float("eps").unwrap_or(self.eps);
        self.weight_decay = float("weight_decay").unwrap_or(self.weight_decay);
        // An older state may be without the flags that came later: they are off.
        let mut flag = |name: &str| {
            let name = format!("{prefix}.{name}");
            state.get(&name).is_some() && errors.take(state.bool(&name)).unwrap_or(false)
        };
        self.amsgrad = match (flag("amsgrad"), flag("amsgrad_corrected")) {
            (false, _) => Amsgrad::Off,
            (true, false) => Amsgrad::Raw,
            (true, true) => Amsgrad::Corrected,
        };
        self.maximize = flag("maximize");
        self.decoupled_weight_decay = flag("decoupled_weight_decay");
    }
}
