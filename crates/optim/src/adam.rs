//! Adam (Kingma and Ba, 2015) and its variants, as `torch.optim.Adam` computes them.

use crate::algorithm::{Algorithm, Hyperparameters, Memory, take_step};
use crate::error::{OptimError, at_least_0, below_1};
use crate::group::{Group, Slot};
use crate::optimizer::GroupOptimizer;
use crate::param_group::Setting;
use adamant_kernels::{AdamBuffers, AdamScalars, SweepSize, adam};
use adamant_tensor::{Array, Float, Parameter, Shape, StateDict, StateError, Value};

/// Adam:
///
/// ```text
/// g ← g + λ p
/// m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
/// p ← p − lr · m / (1 − β₁ᵗ) / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// With the variants that [`AdamOptions`] names. A parameter without a gradient
/// is left alone: its value, its moments and its step count `t` stay as they
/// are, and nothing is remembered of it. A gradient of zeros is a gradient:
/// moments decay, and the parameter may move.
///
/// The step counts are the parameters' own. Scalars are computed in `f64` and
/// rounded once. In `f32` every bit is PyTorch's, given square roots that are
/// right to the last bit; `docs/numerics.md` says how, and where PyTorch's are not.
///
/// PyTorch: `torch.optim.Adam`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Optimizer};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::from_vec(vec![3.0f32], [1]).unwrap());
/// let mut adam = Adam::new([p.clone()], AdamOptions::default().lr(0.1)).unwrap();
/// for _ in 0..200 {
///     adam.zero_grad(true);
///     p.tensor().powf(2.0).sum().backward();
///     adam.step();
/// }
/// assert!(p.tensor().item().abs() < 1e-2);
/// ```
pub type Adam<T = f32> = GroupOptimizer<T, AdamOptions>;

/// A group of an [`Adam`].
pub type AdamGroup<T = f32> = Group<T, AdamOptions>;

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
    fn scalars<T: Float>(&self, t: u64) -> AdamScalars<T> {
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

/// What Adam remembers of a parameter.
#[derive(Clone)]
pub struct Moments<T: Float> {
    step: u64,
    exp_avg: Array<T>,
    exp_avg_sq: Array<T>,
    max_exp_avg_sq: Option<Array<T>>,
    /// Whether the maximum is one of bias-corrected moments.
    max_is_corrected: bool,
}

impl<T: Float> Moments<T> {
    /// How often the parameter has been moved.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The running mean of the gradient.
    #[must_use]
    pub fn exp_avg(&self) -> &Array<T> {
        &self.exp_avg
    }

    /// The running mean of the gradient's square.
    #[must_use]
    pub fn exp_avg_sq(&self) -> &Array<T> {
        &self.exp_avg_sq
    }

    /// With amsgrad: the largest that it has been.
    #[must_use]
    pub fn max_exp_avg_sq(&self) -> Option<&Array<T>> {
        self.max_exp_avg_sq.as_ref()
    }
}

impl<T: Float> Memory<T> for Moments<T> {
    const PARTS: &'static [&'static str] =
        &["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "max_is_corrected"];

    fn save(&self, prefix: &str, state: &mut StateDict) {
        state.insert(format!("{prefix}.step"), self.step as i64);
        state.insert(format!("{prefix}.exp_avg"), self.exp_avg.clone());
        state.insert(format!("{prefix}.exp_avg_sq"), self.exp_avg_sq.clone());
        if let Some(max_exp_avg_sq) = &self.max_exp_avg_sq {
            state.insert(format!("{prefix}.max_exp_avg_sq"), max_exp_avg_sq.clone());
            state.insert(format!("{prefix}.max_is_corrected"), self.max_is_corrected);
        }
    }

    fn load(
        prefix: &str,
        shape: &[usize],
        state: &StateDict,
        errors: &mut StateError,
    ) -> Option<Self> {
        let name = |part: &str| format!("{prefix}.{part}");
        let has = |part: &str| state.get(&name(part)).is_some();
        if !<Self as Memory<T>>::PARTS.iter().any(|part| has(part)) {
            return None; // never moved
        }
        let step = take_step(prefix, state, errors);
        let exp_avg = errors.take(state.array(&name("exp_avg"), shape)).cloned();
        let mut second_moment = |part: &str| {
            let name = name(part);
            let array: &Array<T> = errors.take(state.array(&name, shape))?;
            let wrong = |x: &T| !(x.is_finite() && *x >= T::ZERO);
            if let Some((i, x)) = array.to_vec().iter().enumerate().find(|(_, x)| wrong(x)) {
                errors.push(format!(
                    "`{name}`: found {x} at element {i}, expected finite numbers of at least 0"
                ));
            }
            Some(array.clone())
        };
        let exp_avg_sq = second_moment("exp_avg_sq");
        let max_exp_avg_sq =
            if has("max_exp_avg_sq") { second_moment("max_exp_avg_sq") } else { None };
        let flag = name("max_is_corrected"); // missing from an older state
        let corrected =
            state.get(&flag).is_some() && errors.take(state.bool(&flag)).unwrap_or(false);
        Some(Moments {
            step: step?,
            exp_avg: exp_avg?,
            exp_avg_sq: exp_avg_sq?,
            max_exp_avg_sq,
            max_is_corrected: corrected,
        })
    }
}

impl<T: Float> Algorithm<T> for AdamOptions {
    type Memory = Moments<T>;

    fn advance(&self, memory: &mut Option<Moments<T>>, parameter: &Parameter<T>) {
        let zeros = || Array::full(Shape::from(parameter.shape()), T::ZERO);
        let moments = memory.get_or_insert_with(|| Moments {
            step: 0,
            exp_avg: zeros(),
            exp_avg_sq: zeros(),
            max_exp_avg_sq: None,
            max_is_corrected: false,
        });
        let corrected = self.amsgrad == Amsgrad::Corrected;
        let other = moments.max_exp_avg_sq.is_none() || moments.max_is_corrected != corrected;
        // Switched off, the maximum stays as it is. Switched on after the fact, or
        // to the other reading, it starts from the present second moment.
        if self.amsgrad != Amsgrad::Off && other {
            moments.max_is_corrected = corrected;
            let mut maximum = moments.exp_avg_sq.clone();
            if corrected && moments.step > 0 {
                let correction = T::from_f64(1.0 - self.betas.1.powf(moments.step as f64));
                maximum.make_mut().iter_mut().for_each(|v| *v /= correction);
            }
            moments.max_exp_avg_sq = Some(maximum);
        }
        moments.step += 1;
    }

    fn update(groups: &mut [Group<T, Self>], size: SweepSize) {
        let buffers = groups.iter_mut().flat_map(|group| {
            let options = group.hyper;
            group.slots.iter_mut().filter_map(move |slot| buffers(options, slot))
        });
        adam(buffers, size);
    }
}

/// What the kernel needs of a parameter that is at hand.
fn buffers<T: Float>(
    options: AdamOptions,
    slot: &mut Slot<T, Moments<T>>,
) -> Option<AdamBuffers<'_, T>> {
    let (value, grad) = slot.at_hand.as_mut()?;
    let moments = slot.memory.as_mut()?;
    let max_exp_avg_sq =
        moments.max_exp_avg_sq.as_mut().filter(|_| options.amsgrad != Amsgrad::Off);
    Some(AdamBuffers {
        param: value,
        grad: grad.array().as_slice().expect("a collected gradient is contiguous"),
        exp_avg: moments.exp_avg.make_mut(),
        exp_avg_sq: moments.exp_avg_sq.make_mut(),
        max_exp_avg_sq: max_exp_avg_sq.map(Array::make_mut),
        scalars: options.scalars(moments.step),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NamedParameter, Optimizer, ParamGroup};
    use adamant_tensor::{Stateful, Tensor};

    fn parameter(values: &[f64]) -> Parameter<f64> {
        Parameter::new(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
    }

    fn set_grad(parameter: &Parameter<f64>, values: &[f64]) {
        parameter.set_grad(Some(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()));
    }

    /// The algorithm as PyTorch's documentation of 1.12 prints it, line by line.
    fn printed(mut theta: f64, grads: &[f64], options: AdamOptions) -> f64 {
        let AdamOptions { lr: gamma, betas: (beta1, beta2), eps, weight_decay: lambda, .. } =
            options;
        let (mut m, mut v, mut v_max) = (0.0, 0.0, 0.0f64);
        for (t, gradient) in (1..).zip(grads) {
            let mut g = if options.maximize { -gradient } else { *gradient };
            if lambda != 0.0 {
                g += lambda * theta;
            }
            m = beta1 * m + (1.0 - beta1) * g;
            v = beta2 * v + (1.0 - beta2) * g * g;
            let m_hat = m / (1.0 - beta1.powi(t));
            let v_hat = v / (1.0 - beta2.powi(t));
            if options.amsgrad == Amsgrad::Off {
                theta -= gamma * m_hat / (v_hat.sqrt() + eps);
            } else {
                v_max = v_max.max(v_hat);
                theta -= gamma * m_hat / (v_max.sqrt() + eps);
            }
        }
        theta
    }

    #[test]
    fn steps_follow_the_printed_algorithm() {
        let options = AdamOptions::default().lr(0.1).betas(0.8, 0.95).eps(1e-4);
        let grads = [4.0, 0.5, -0.25, 0.0, 1e-3, 2.0];
        for options in [
            AdamOptions::default(),
            options,
            options.weight_decay(0.1),
            options.weight_decay(0.1).maximize(true),
            options.betas(0.3, 0.5),
            options.amsgrad_corrected(),
            options.amsgrad_corrected().maximize(true).weight_decay(0.1),
        ] {
            let p = parameter(&[1.0]);
            let mut adam = Adam::new([p.clone()], options).unwrap();
            for g in grads {
                set_grad(&p, &[g]);
                adam.step();
            }
            let (found, expected) = (p.tensor().item(), printed(1.0, &grads, options));
            assert!((found - expected).abs() < 1e-14, "{options:?}: {found} {expected}");
        }
    }

    #[test]
    fn the_two_readings_of_amsgrad_differ() {
        let run = |options| {
            let p = parameter(&[1.0]);
            let mut adam = Adam::new([p.clone()], options).unwrap();
            for g in [1.0, 0.1, 0.1] {
                set_grad(&p, &[g]);
                adam.step();
            }
            p.tensor().item()
        };
        let options = AdamOptions::default().lr(0.1);
        assert_ne!(run(options.amsgrad(true)), run(options.amsgrad_corrected()));
    }

    #[test]
    fn the_maximum_passes_nan_on() {
        let p = parameter(&[1.0, 1.0]);
        let options = AdamOptions::default().amsgrad(true);
        let mut adam = Adam::new([p.clone()], options).unwrap();
        for g in [[1.0, f64::NAN], [1.0, 1.0]] {
            set_grad(&p, &g);
            adam.step();
        }
        let maximum = adam.memory(&p).unwrap().max_exp_avg_sq().unwrap().to_vec();
        assert!(maximum[0].is_finite() && maximum[1].is_nan());
    }

    #[test]
    fn none_leaves_alone_and_zero_does_not() {
        let (a, b) = (parameter(&[1.0]), parameter(&[1.0]));
        let mut adam = Adam::new([a.clone(), b.clone()], AdamOptions::default()).unwrap();
        set_grad(&a, &[1.0]);
        adam.step();
        assert!(adam.memory(&b).is_none() && b.tensor().item() == 1.0);
        let before = a.tensor().item();
        a.set_grad(None);
        set_grad(&b, &[1.0]);
        adam.step(); // b's first step is as a's first
        assert_eq!((a.tensor().item(), b.tensor().item()), (before, before));
        assert_eq!((adam.memory(&a).unwrap().step(), adam.memory(&b).unwrap().step()), (1, 1));
        adam.zero_grad(false); // b's gradient is zero now, a's still none
        adam.step();
        assert_eq!(adam.memory(&a).unwrap().step(), 1);
        assert_eq!(adam.memory(&b).unwrap().step(), 2);
        assert_ne!(b.tensor().item(), before); // its first moment still moves it
    }

    #[test]
    fn amsgrad_switched_on_late_starts_from_the_present_moment() {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        set_grad(&p, &[10.0]);
        adam.step();
        let present = adam.memory(&p).unwrap().exp_avg_sq().to_vec();
        adam.change_group(0, |options| options.amsgrad = Amsgrad::Raw).unwrap();
        set_grad(&p, &[0.0]);
        adam.step();
        assert_eq!(adam.memory(&p).unwrap().max_exp_avg_sq().unwrap().to_vec(), present);
    }

    #[test]
    fn the_maximum_starts_anew_when_its_reading_changes() {
        let p = parameter(&[1.0]);
        let options = AdamOptions::default().amsgrad(true);
        let mut adam = Adam::new([p.clone()], options).unwrap();
        set_grad(&p, &[10.0]);
        adam.step();
        let corrected = adam.memory(&p).unwrap().exp_avg_sq().to_vec()[0] / (1.0 - 0.999);
        adam.change_group(0, |options| options.amsgrad = Amsgrad::Corrected).unwrap();
        set_grad(&p, &[0.0]);
        adam.step();
        let maximum = adam.memory(&p).unwrap().max_exp_avg_sq().unwrap().to_vec()[0];
        assert!((maximum / corrected - 1.0).abs() < 1e-12, "{maximum} {corrected}");
    }

    #[test]
    fn names_that_do_not_tell_apart_are_refused() {
        let named = |name: &str| (name.to_string(), parameter(&[1.0]));
        let refuse =
            |group| Adam::with_groups([group], AdamOptions::default()).unwrap_err().to_string();
        let twice = refuse(ParamGroup::new([named("a"), named("a")]));
        assert!(twice.contains("group 0: two parameters named `a`"), "{twice}");
        let mixed = [named("a").into(), NamedParameter::from(parameter(&[1.0]))];
        let mixed = refuse(ParamGroup::new(mixed));
        assert!(mixed.contains("1 parameters with a name and 1 without"), "{mixed}");
    }

    #[test]
    fn a_hook_can_remove_itself() {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
        let id = std::sync::Arc::new(std::sync::Mutex::new(None));
        let (own, calls) = (id.clone(), std::sync::Arc::new(std::sync::Mutex::new(0)));
        let count = calls.clone();
        *id.lock().unwrap() = Some(adam.register_step_post_hook(move |adam| {
            *count.lock().unwrap() += 1;
            assert!(adam.remove_hook(own.lock().unwrap().unwrap()));
        }));
        (0..3).for_each(|_| adam.step());
        assert_eq!(*calls.lock().unwrap(), 1);
    }

    #[test]
    fn nonsense_in_a_state_is_refused() {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        set_grad(&p, &[1.0]);
        adam.step();
        let before = adam.state_dict();
        let bad: [(&str, Value); 6] = [
            ("groups.0.base_lr", f64::NAN.into()),
            ("groups.0.params.0.step", 0.into()),
            ("groups.0.params.0.exp_avg_sqs", 1.into()),
            ("groups.0.amsgrads", true.into()),
            ("groups.0.beta1", 1.0.into()),
            ("groups.0.params.0.exp_avg", Tensor::<f32>::ones([1]).array().clone().into()),
        ];
        let mut all = before.clone();
        for (name, value) in bad {
            let mut state = before.clone();
            state.insert(name, value.clone());
            all.insert(name, value);
            assert_eq!(adam.load_state_dict(&state).unwrap_err().mismatches().len(), 1, "{name}");
        }
        assert_eq!(adam.load_state_dict(&all).unwrap_err().mismatches().len(), 6);
        assert_eq!(adam.state_dict(), before);
    }

    #[test]
    fn what_cannot_work_is_refused_and_named() {
        let p = parameter(&[1.0]);
        let options = AdamOptions::default();
        let refuse = |options| Adam::new([p.clone()], options).unwrap_err().to_string();
        assert_eq!(
            refuse(options.lr(-1.0)),
            "the defaults: lr is -1; expected a finite number of at least 0"
        );
        assert!(refuse(options.lr(f64::NAN)).contains("lr is NaN"));
        assert!(refuse(options.betas(1.0, 0.9)).contains("beta1 is 1"));
        assert!(refuse(options.betas(0.9, -0.1)).contains("beta2 is -0.1"));
        assert!(refuse(options.eps(-1.0)).contains("eps is -1"));
        assert!(refuse(options.weight_decay(f64::NAN)).contains("weight_decay is NaN"));
        let none = Adam::<f64>::new([], options).unwrap_err();
        assert_eq!(none, OptimError::NoParameters { group: 0 });
        let twice = Adam::new([p.clone(), p.clone()], options).unwrap_err().to_string();
        assert!(twice.contains("group 0: parameter 1 (shape [1]) is also in group 0"), "{twice}");

        let mut adam = Adam::new([p.clone()], options).unwrap();
        let q = parameter(&[2.0]);
        let mut refuse = |group| adam.add_param_group(group).unwrap_err().to_string();
        let named = [("q".to_string(), q.clone()), ("p".to_string(), p.clone())];
        let error = refuse(ParamGroup::new(named));
        assert!(
            error.contains("group 1: parameter 1 (`p`, shape [1]) is also in group 0"),
            "{error}"
        );
        let group = || ParamGroup::new([q.clone()]);
        assert!(refuse(group().lr(f64::NAN)).contains("parameter group 1: lr is NaN"));
        assert!(refuse(group().betas(0.5, 1.0)).contains("parameter group 1: beta2 is 1"));
        assert!(refuse(group().momentum(0.9)).contains("parameter group 1: Adam has no momentum"));
        assert!(refuse(ParamGroup::new(Vec::<Parameter<f64>>::new())).contains("no parameters"));
        assert_eq!(adam.param_groups().len(), 1);
        adam.add_param_group(group().lr(0.5).name("late")).unwrap();
        let late = &adam.param_groups()[1];
        assert_eq!((late.lr, late.eps, late.name()), (0.5, 1e-8, Some("late")));
    }

    #[test]
    fn a_step_keeps_the_parameters_buffer() {
        let p = parameter(&[1.0; 100]);
        let address = p.tensor().array().as_slice().unwrap().as_ptr();
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        for _ in 0..3 {
            let loss = adam.step_with(|adam| {
                adam.zero_grad(true);
                let loss = p.tensor().powf(2.0).sum();
                loss.backward();
                loss
            });
            assert!(loss.item() > 0.0);
        }
        assert_eq!(p.tensor().array().as_slice().unwrap().as_ptr(), address);
    }

    #[test]
    fn the_closure_runs_once_with_gradients_on() {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        let mut calls = 0;
        adamant_tensor::no_grad(|| {
            adam.step_with(|_| {
                calls += 1;
                p.tensor().sum().backward();
            });
        });
        assert_eq!(calls, 1);
        assert_eq!(adam.memory(&p).unwrap().step(), 1);
    }

    #[test]
    fn hooks_run_in_order_and_can_be_removed() {
        use std::sync::{Arc, Mutex};
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let note = |text: &'static str| {
            let calls = calls.clone();
            move |_: &mut Adam<f64>| calls.lock().unwrap().push(text)
        };
        adam.register_step_post_hook(note("after 1"));
        let first = adam.register_step_pre_hook(note("before 1"));
        adam.register_step_pre_hook(note("before 2"));
        adam.register_step_post_hook(note("after 2"));
        adam.step();
        assert_eq!(*calls.lock().unwrap(), ["before 1", "before 2", "after 1", "after 2"]);
        calls.lock().unwrap().clear();
        assert!(adam.remove_hook(first) && !adam.remove_hook(first));
        adam.step();
        assert_eq!(*calls.lock().unwrap(), ["before 2", "after 1", "after 2"]);
    }

    #[test]
    fn state_is_a_snapshot_that_continues_the_run() {
        let run = |adam: &mut Adam<f64>, p: &Parameter<f64>, steps: usize| {
            for i in 0..steps {
                set_grad(p, &[i as f64, -1.0]);
                adam.step();
            }
        };
        let options = AdamOptions::default().amsgrad(true).weight_decay(0.1);
        let p = parameter(&[1.0, 2.0]);
        let mut adam = Adam::new([p.clone()], options).unwrap();
        run(&mut adam, &p, 5);
        let state = adam.state_dict();
        let q = Parameter::new(p.tensor().detach());
        let mut twin = Adam::new([q.clone()], AdamOptions::default()).unwrap();
        twin.load_state_dict(&state).unwrap();
        run(&mut adam, &p, 5);
        assert_ne!(adam.state_dict(), state);
        assert_eq!(twin.state_dict(), state);
        run(&mut twin, &q, 5);
        assert_eq!(p.tensor().to_vec(), q.tensor().to_vec());
        assert_eq!(adam.state_dict(), twin.state_dict());
    }

    #[test]
    fn a_state_that_does_not_fit_says_all_and_changes_nothing() {
        let stepped = |values: &[f64]| {
            let p = parameter(values);
            let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
            set_grad(&p, values);
            adam.step();
            adam
        };
        let mut adam = stepped(&[1.0, 2.0]);
        let before = adam.state_dict();
        let mut state = stepped(&[1.0, 2.0, 3.0]).state_dict();
        state.insert("groups", 2);
        state.insert("groups.0.lr", -1.0);
        state.insert("groups.0.maximize", "yes");
        let error = adam.load_state_dict(&state).unwrap_err();
        let text = error.to_string();
        for part in [
            "`groups`: found 2 of them, expected 1",
            "lr is -1",
            "`groups.0.maximize`: found the text \"yes\"",
            "exp_avg`: found f64 [3], expected f64 [2]",
            "exp_avg_sq`: found f64 [3]",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(error.mismatches().len(), 5, "{text}");
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let mut state = before.clone();
            let moment = Tensor::from_vec(vec![0.0, bad], [2]).unwrap();
            state.insert("groups.0.params.0.exp_avg_sq", moment.array().clone());
            let text = adam.load_state_dict(&state).unwrap_err().to_string();
            assert!(text.contains("at element 1, expected finite numbers of at least 0"), "{text}");
        }
        assert_eq!(adam.state_dict(), before);
    }

    #[test]
    fn names_match_in_another_order() {
        let named = |names: [&str; 2], seed: f64| {
            let params = names.map(|name| {
                let value = if name == "a" { seed } else { -seed };
                (name.to_string(), parameter(&[value]))
            });
            let mut adam =
                Adam::with_groups([ParamGroup::new(params.clone())], AdamOptions::default())
                    .unwrap();
            for (_, p) in &params {
                set_grad(p, &p.tensor().to_vec());
            }
            adam.step();
            (adam, params)
        };
        let (source, source_params) = named(["a", "b"], 3.0);
        let (mut target, target_params) = named(["b", "a"], 7.0);
        target.load_state_dict(&source.state_dict()).unwrap();
        let moment =
            |adam: &Adam<f64>, p: &Parameter<f64>| adam.memory(p).unwrap().exp_avg().to_vec();
        assert_eq!(moment(&target, &target_params[1].1), moment(&source, &source_params[0].1));
        let (other, _) = named(["a", "c"], 1.0);
        let error = target.load_state_dict(&other.state_dict()).unwrap_err().to_string();
        assert!(
            error.contains("found a parameter `c`") && error.contains("no parameter `b`"),
            "{error}"
        );
    }

    #[test]
    fn an_older_state_without_newer_flags_is_read() {
        let p = parameter(&[1.0]);
        let mut adam = Adam::new([p], AdamOptions::default().maximize(true)).unwrap();
        let state = adam.state_dict();
        let mut older = StateDict::new();
        let newer = ["amsgrad", "maximize", "decoupled_weight_decay"];
        for (name, value) in
            state.iter().filter(|(name, _)| !newer.iter().any(|n| name.contains(n)))
        {
            older.insert(name, value.clone());
        }
        adam.load_state_dict(&older).unwrap();
        assert!(!adam.param_groups()[0].maximize);
    }
}
