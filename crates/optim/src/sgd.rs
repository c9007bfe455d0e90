//! Stochastic gradient descent, as `torch.optim.SGD` computes it.

use crate::algorithm::{Algorithm, Hyperparameters, ParameterState, zeros};
use crate::fields::Fields;
use crate::optimizer::GroupOptimizer;
use crate::valid_range::ValidRange;
use adamant_kernels::{SgdScalars, Shared, sgd};
use adamant_tensor::{Array, Float, Shape};

/// Stochastic gradient descent, with momentum `μ`, dampening `τ` and decay `λ`:
///
/// ```text
/// g ← g + λ p
/// b ← g at the first step, then μ b + (1 − τ) g
/// p ← p − lr · b,   or with Nesterov's momentum   p ← p − lr · (g + μ b)
/// ```
///
/// PyTorch: `torch.optim.SGD`.
///
/// ```
/// use adamant_optim::{Optimizer, Sgd, SgdOptions};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::from_vec(vec![3.0f32], [1]).unwrap());
/// let mut sgd = Sgd::new([p.clone()], SgdOptions::default().lr(0.1).momentum(0.5)).unwrap();
/// for _ in 0..100 {
///     sgd.zero_grad();
///     p.tensor().powf(2.0).sum().backward();
///     sgd.step();
/// }
/// assert!(p.tensor().item().abs() < 1e-6);
/// ```
pub type Sgd<T = f32> = GroupOptimizer<T, SgdOptions>;

/// The hyperparameters of [`Sgd`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// The learning rate; default 10⁻³.
    pub lr: f64,
    /// The fraction of the running sum that is kept; default 0.
    pub momentum: f64,
    /// The fraction of the gradient that is kept out of the running sum; default 0.
    pub dampening: f64,
    /// The weight decay, added to the gradient; default 0.
    pub weight_decay: f64,
    /// Whether to use Nesterov's momentum; default false.
    pub nesterov: bool,
    /// Whether to ascend instead of descend; default false.
    pub maximize: bool,
}

impl Default for SgdOptions {
    fn default() -> Self {
        SgdOptions {
            lr: 1e-3,
            momentum: 0.0,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            maximize: false,
        }
    }
}

impl SgdOptions {
    /// The learning rate; default 10⁻³.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        SgdOptions { lr, ..self }
    }

    /// The fraction of the running sum that is kept; default 0.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        SgdOptions { momentum, ..self }
    }

    /// The fraction of the gradient that is kept out of the running sum; default 0.
    #[must_use]
    pub fn dampening(self, dampening: f64) -> Self {
        SgdOptions { dampening, ..self }
    }

    /// The weight decay, added to the gradient; default 0.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        SgdOptions { weight_decay, ..self }
    }

    /// Whether to use Nesterov's momentum; default false.
    #[must_use]
    pub fn nesterov(self, on: bool) -> Self {
        SgdOptions { nesterov: on, ..self }
    }

    /// Whether to ascend instead of descend; default false.
    #[must_use]
    pub fn maximize(self, on: bool) -> Self {
        SgdOptions { maximize: on, ..self }
    }

    fn scalars<T: Float>(&self, first: bool) -> SgdScalars<T> {
        SgdScalars {
            sign: T::from_f64(if self.maximize { -1.0 } else { 1.0 }),
            weight_decay: T::from_f64(self.weight_decay),
            momentum: T::from_f64(self.momentum),
            one_minus_dampening: T::from_f64(1.0 - self.dampening),
            first,
            nesterov: self.nesterov,
            negative_lr: T::from_f64(-self.lr),
        }
    }
}

impl Hyperparameters for SgdOptions {
    const OPTIMIZER: &'static str = "Sgd";

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
        fields.momentum("momentum", &mut self.momentum, ValidRange::AT_LEAST_0);
        fields.float("dampening", &mut self.dampening, ValidRange::FINITE);
        fields.float("weight_decay", &mut self.weight_decay, ValidRange::AT_LEAST_0);
        fields.flag("nesterov", &mut self.nesterov);
        fields.flag("maximize", &mut self.maximize);
        // As in PyTorch. A schedule may lead the momentum through 0.
        let fits = !self.nesterov || (self.momentum > 0.0 && self.dampening == 0.0);
        let expected = "a momentum and no dampening with it";
        fields.require_when_set(fits, "nesterov", self.nesterov, expected);
    }
}

/// The state of a parameter under [`Sgd`].
#[derive(Clone)]
pub struct SgdState<T: Float> {
    shape: Shape,
    /// `None` until there is a step with momentum.
    buffer: Option<Array<T>>,
    /// The step that made the buffer, which is its gradient then; 0 if the buffer was loaded, or the
    /// next step has the same number: that of a step after the last count.
    made_at: u64,
}

impl<T: Float> SgdState<T> {
    /// The running sum; `None` until there is a step with momentum.
    #[must_use]
    pub fn buffer(&self) -> Option<&Array<T>> {
        self.buffer.as_ref()
    }
}

impl<T: Float> ParameterState<T> for SgdState<T> {
    fn new(shape: &[usize]) -> Self {
        SgdState { shape: shape.into(), buffer: None, made_at: 0 }
    }

    fn fields(&mut self, fields: &mut Fields<'_>) {
        fields.optional_array("momentum_buffer", &mut self.buffer, &self.shape);
    }
}

impl<T: Float> Algorithm<T> for SgdOptions {
    type State = SgdState<T>;
    type Buffers<'a> = (&'a mut [T], &'a [T], Option<&'a mut [T]>, Shared<SgdScalars<T>>);
    type Sums = ();

    fn prepare(
        &self,
        step: u64,
        state: Option<&SgdState<T>>,
        shape: &[usize],
    ) -> Option<SgdState<T>> {
        match state {
            Some(state) if state.made_at == step => Some(SgdState { made_at: 0, ..state.clone() }),
            Some(state) if state.buffer.is_some() || self.momentum == 0.0 => None,
            None if self.momentum == 0.0 => Some(SgdState::new(shape)),
            _ => Some(SgdState { shape: shape.into(), buffer: Some(zeros(shape)), made_at: step }),
        }
    }

    fn buffers<'a>(
        &self,
        step: u64,
        state: &'a mut SgdState<T>,
        param: &'a mut [T],
        grad: &'a [T],
    ) -> Self::Buffers<'a> {
        let buffer = state.buffer.as_mut().filter(|_| self.momentum != 0.0);
        let scalars = self.scalars(state.made_at == step);
        (param, grad, buffer.map(Array::make_mut), Shared(scalars))
    }

    fn update((param, grad, buffer, Shared(scalars)): Self::Buffers<'_>, _: ()) {
        sgd(param, grad, buffer, scalars);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Optimizer;
    use adamant_tensor::{Parameter, Stateful, Tensor, Value};

    #[test]
    fn a_wrong_state_is_refused() {
        let p = Parameter::new(Tensor::<f64>::ones([2]));
        p.set_grad(Some(Tensor::ones([2])));
        let mut sgd = Sgd::new([p], SgdOptions::default().momentum(0.9)).unwrap();
        sgd.step();
        let before = sgd.state_dict();
        for (name, value) in [
            ("groups.0.params.0.step", Value::from(-5)),
            ("groups.0.momentum", Value::from(-0.5)),
            ("groups.0.nesterov", Value::from("yes")),
            ("optimizer", Value::from("Adam")),
        ] {
            let mut state = before.clone();
            state.insert(name, value);
            assert!(sgd.load_state_dict(&state).is_err(), "{name}");
        }
        assert_eq!(sgd.state_dict(), before);
    }

    #[test]
    fn nesterov_needs_momentum_and_no_dampening() {
        let refuse = |options| {
            let p = Parameter::new(Tensor::<f64>::ones([2]));
            Sgd::new([p], options).unwrap_err().to_string()
        };
        let options = SgdOptions::default().nesterov(true);
        assert!(refuse(options).contains("nesterov is true; expected a momentum"));
        assert!(refuse(options.momentum(0.9).dampening(0.1)).contains("no dampening"));
    }
}
