//! Adam's hyperparameters, and the scalars of a step.

use crate::algorithm::Hyperparameters;
use crate::fields::Fields;
use crate::valid_range::ValidRange;
use adamant_kernels::{AdamScalars, powi};
use adamant_tensor::Float;

/// Adam's hyperparameters, with PyTorch's defaults.
///
/// ```
/// use adamant_optim::AdamOptions;
/// let options = AdamOptions::default().lr(3e-4).betas(0.9, 0.99);
/// assert_eq!((options.lr, options.eps, options.weight_decay), (3e-4, 1e-8, 0.0));
/// assert_eq!(AdamOptions::adamw().weight_decay, 1e-2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// The learning rate; default 10⁻³.
    pub lr: f64,
    /// The decay of the running means of the gradient and of its square; default 0.9 and 0.999.
    pub betas: (f64, f64),
    /// The term added to the denominator; default 10⁻⁸.
    pub eps: f64,
    /// The weight decay; default 0.
    pub weight_decay: f64,
    /// Whether to divide by the largest second moment so far, and by which; default no.
    pub amsgrad: Amsgrad,
    /// Whether to ascend instead of descend; default false.
    pub maximize: bool,
    /// Whether the decay acts on the weights themselves (AdamW) instead of the gradient; default
    /// false.
    pub decoupled_weight_decay: bool,
}

/// The second moment whose maximum AMSGrad (Reddi, Kale and Kumar, 2018) takes.
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

    /// The learning rate; default 10⁻³.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        AdamOptions { lr, ..self }
    }

    /// The decay of the running means of the gradient and of its square; default 0.9 and 0.999.
    #[must_use]
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        AdamOptions { betas: (beta1, beta2), ..self }
    }

    /// The term added to the denominator; default 10⁻⁸.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        AdamOptions { eps, ..self }
    }

    /// The weight decay; default 0.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        AdamOptions { weight_decay, ..self }
    }

    /// Whether to divide by the largest second moment so far; default false.
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

    /// Whether to ascend instead of descend; default false.
    #[must_use]
    pub fn maximize(self, on: bool) -> Self {
        AdamOptions { maximize: on, ..self }
    }

    /// Whether the decay acts on the weights themselves instead of the gradient; default false.
    #[must_use]
    pub fn decoupled_weight_decay(self, on: bool) -> Self {
        AdamOptions { decoupled_weight_decay: on, ..self }
    }

    /// The scalars of step `t`.
    pub(super) fn scalars<T: Float>(&self, t: u64) -> AdamScalars<T> {
        let (beta1, beta2) = self.betas;
        let bias_correction = |beta: f64| 1.0 - powi(beta, t);
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

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
        fields.momentum("beta1", &mut self.betas.0, ValidRange::BELOW_1);
        fields.float("beta2", &mut self.betas.1, ValidRange::BELOW_1);
        fields.float("eps", &mut self.eps, ValidRange::AT_LEAST_0);
        fields.float("weight_decay", &mut self.weight_decay, ValidRange::AT_LEAST_0);
        let (mut on, mut corrected) =
            (self.amsgrad != Amsgrad::Off, self.amsgrad == Amsgrad::Corrected);
        fields.flag_or_false("amsgrad", &mut on);
        fields.flag_or_false("amsgrad_corrected", &mut corrected);
        let fits = on || !corrected;
        fields.require(fits, "amsgrad_corrected", corrected, "amsgrad with it");
        self.amsgrad = match (on, corrected) {
            (false, _) => Amsgrad::Off,
            (true, false) => Amsgrad::Raw,
            (true, true) => Amsgrad::Corrected,
        };
        fields.flag_or_false("maximize", &mut self.maximize);
        fields.flag_or_false("decoupled_weight_decay", &mut self.decoupled_weight_decay);
    }
}
