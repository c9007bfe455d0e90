//! Stochastic gradient descent, as `torch.optim.SGD` computes it.

use crate::algorithm::{Algorithm, Hyperparameters, Memory};
use crate::count;
use crate::error::{OptimError, at_least_0, check};
use crate::group::{Group, Slot};
use crate::optimizer::GroupOptimizer;
use crate::param_group::Setting;
use adamant_kernels::{SgdBuffers, SgdScalars, SweepSize, sgd};
use adamant_tensor::{Array, Float, Parameter, Shape, StateDict, StateError, Value};

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

/// The hyperparameters of [`Sgd`]: PyTorch's defaults, unless set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// The learning rate: 10⁻³.
    pub lr: f64,
    /// How much of the running sum is kept: 0.
    pub momentum: f64,
    /// How much of the gradient is kept out of the running sum: 0.
    pub dampening: f64,
    /// The decay of the weights, added to the gradient: 0.
    pub weight_decay: f64,
    /// Whether to look ahead along the running sum.
    pub nesterov: bool,
    /// Whether to climb instead of descend.
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
    /// Sets the learning rate.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        SgdOptions { lr, ..self }
    }

    /// Sets how much of the running sum is kept.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        SgdOptions { momentum, ..self }
    }

    /// Sets how much of the gradient is kept out of the running sum.
    #[must_use]
    pub fn dampening(self, dampening: f64) -> Self {
        SgdOptions { dampening, ..self }
    }

    /// Sets the decay of the weights.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        SgdOptions { weight_decay, ..self }
    }

    /// Sets whether to look ahead along the running sum.
    #[must_use]
    pub fn nesterov(self, on: bool) -> Self {
        SgdOptions { nesterov: on, ..self }
    }

    /// Sets whether to climb instead of descend.
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

    fn set(&mut self, setting: Setting) -> bool {
        match setting {
            Setting::Lr(lr) => self.lr = lr,
            Setting::Momentum(momentum) => self.momentum = momentum,
            Setting::Dampening(dampening) => self.dampening = dampening,
            Setting::WeightDecay(weight_decay) => self.weight_decay = weight_decay,
            Setting::Nesterov(on) => self.nesterov = on,
            Setting::Maximize(on) => self.maximize = on,
            Setting::Betas(..)
            | Setting::Eps(_)
            | Setting::Amsgrad(_)
            | Setting::DecoupledWeightDecay(_) => return false,
        }
        true
    }

    fn problems(&self, place: &str) -> Vec<OptimError> {
        let finite = self.dampening.is_finite();
        let checks = [
            at_least_0(place, "lr", self.lr),
            at_least_0(place, "momentum", self.momentum),
            check(place, "dampening", self.dampening, finite, "a finite number"),
            at_least_0(place, "weight_decay", self.weight_decay),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    /// As in PyTorch, Nesterov's variant is refused without momentum when it is chosen; a schedule
    /// may lead the momentum through 0, and such a state loads.
    fn check(&self, place: &str) -> Result<(), OptimError> {
        if let Some(problem) = self.problems(place).into_iter().next() {
            return Err(problem);
        }
        let fits = !self.nesterov || (self.momentum > 0.0 && self.dampening == 0.0);
        check(place, "nesterov", self.nesterov, fits, "a momentum and no dampening with it")
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }

    fn set_momentum(&mut self, momentum: f64) {
        self.momentum = momentum;
    }

    fn save(&self, prefix: &str, state: &mut StateDict) {
        let mut insert = |name: &str, value: Value| state.insert(format!("{prefix}.{name}"), value);
        insert("lr", self.lr.into());
        insert("momentum", self.momentum.into());
        insert("dampening", self.dampening.into());
        insert("weight_decay", self.weight_decay.into());
        insert("nesterov", self.nesterov.into());
        insert("maximize", self.maximize.into());
    }

    fn load(&mut self, prefix: &str, state: &StateDict, errors: &mut StateError) {
        let mut float = |name: &str| errors.take(state.float(&format!("{prefix}.{name}")));
        self.lr = float("lr").unwrap_or(self.lr);
        self.momentum = float("momentum").unwrap_or(self.momentum);
        self.dampening = float("dampening").unwrap_or(self.dampening);
        self.weight_decay = float("weight_decay").unwrap_or(self.weight_decay);
        let mut flag = |name: &str| errors.take(state.bool(&format!("{prefix}.{name}")));
        self.nesterov = flag("nesterov").unwrap_or(self.nesterov);
        self.maximize = flag("maximize").unwrap_or(self.maximize);
    }
}

/// What SGD remembers of a parameter.
#[derive(Clone)]
pub struct Momentum<T: Float> {
    step: u64,
    /// `None` until there was a step with momentum.
    buffer: Option<Array<T>>,
    /// Whether the buffer was made for the step at hand.
    first: bool,
}

impl<T: Float> Momentum<T> {
    /// How often the parameter has been moved.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The running sum, if there was momentum.
    #[must_use]
    pub fn buffer(&self) -> Option<&Array<T>> {
        self.buffer.as_ref()
    }
}

impl<T: Float> Memory<T> for Momentum<T> {
    const PARTS: &'static [&'static str] = &["step", "momentum_buffer"];

    fn save(&self, prefix: &str, state: &mut StateDict) {
        state.insert(format!("{prefix}.step"), count::saved(self.step));
        if let Some(buffer) = &self.buffer {
            state.insert(format!("{prefix}.momentum_buffer"), buffer.clone());
        }
    }

    fn load(
        prefix: &str,
        shape: &[usize],
        state: &StateDict,
        errors: &mut StateError,
    ) -> Option<Self> {
        let (step, buffer) = (format!("{prefix}.step"), format!("{prefix}.momentum_buffer"));
        let has = |name: &str| state.get(name).is_some();
        if !has(&step) && !has(&buffer) {
            return None; // never moved
        }
        let buffer = match has(&buffer) {
            true => Some(errors.take(state.array(&buffer, shape))?.clone()),
            false => None,
        };
        let step = count::take(errors, state, &step, 1)?;
        Some(Momentum { step, buffer, first: false })
    }
}

impl<T: Float> Algorithm<T> for SgdOptions {
    type Memory = Momentum<T>;

    fn advance(&self, memory: &mut Option<Momentum<T>>, parameter: &Parameter<T>) {
        let memory = memory.get_or_insert(Momentum { step: 0, buffer: None, first: false });
        memory.step = count::next(memory.step);
        memory.first = self.momentum != 0.0 && memory.buffer.is_none();
        if memory.first {
            memory.buffer = Some(Array::full(Shape::from(parameter.shape()), T::ZERO));
        }
    }

    fn update(groups: &mut [Group<T, Self>], size: SweepSize) {
        let buffers = groups.iter_mut().flat_map(|group| {
            let options = group.hyper;
            group.slots.iter_mut().filter_map(move |slot| buffers(options, slot))
        });
        sgd(buffers, size);
    }
}

/// What the kernel needs of a parameter that is at hand.
fn buffers<T: Float>(
    options: SgdOptions,
    slot: &mut Slot<T, Momentum<T>>,
) -> Option<SgdBuffers<'_, T>> {
    let (value, grad) = slot.at_hand.as_mut()?;
    let memory = slot.memory.as_mut()?;
    let buffer = memory.buffer.as_mut().filter(|_| options.momentum != 0.0);
    Some(SgdBuffers {
        param: value.make_mut(),
        grad: grad.array().as_slice().expect("a collected gradient is contiguous"),
        momentum_buffer: buffer.map(Array::make_mut),
        scalars: options.scalars(memory.first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Optimizer;
    use adamant_tensor::{Stateful, Tensor};

    #[test]
    fn a_state_that_does_not_fit_is_refused() {
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
