//! Adam (Kingma and Ba, 2015), as `torch.optim.Adam` computes it.

use crate::Optimizer;
use crate::error::OptimError;
use crate::group::ParamGroup;
use adamant_kernels::{AdamBuffers, AdamScalars};
use adamant_tensor::{Array, Float, Parameter, Shape};

/// The defaults that groups start from: PyTorch's, unless set.
///
/// ```
/// use adamant_optim::AdamOptions;
/// let options = AdamOptions::default().lr(3e-4).betas(0.9, 0.99);
/// assert_eq!((options.lr, options.eps, options.weight_decay), (3e-4, 1e-8, 0.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
    /// The learning rate: 10⁻³.
    pub lr: f64,
    /// The decay of the running means of the gradient and of its square: 0.9 and 0.999.
    pub betas: (f64, f64),
    /// What is added to the denominator: 10⁻⁸.
    pub eps: f64,
    /// The L2 decay that is added to the gradient: 0.
    pub weight_decay: f64,
}

impl Default for AdamOptions {
    fn default() -> Self {
        AdamOptions { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamOptions {
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
}

/// A group of an [`Adam`]: parameters, and the hyperparameters in force for them.
#[derive(Debug)]
pub struct AdamGroup<T: Float = f32> {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the running means.
    pub betas: (f64, f64),
    /// What is added to the denominator.
    pub eps: f64,
    /// The L2 decay.
    pub weight_decay: f64,
    slots: Vec<Slot<T>>,
}

impl<T: Float> AdamGroup<T> {
    /// The group's parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &Parameter<T>> {
        self.slots.iter().map(|slot| &slot.param)
    }
}

/// A parameter and what Adam remembers of it; nothing before its first step.
#[derive(Debug)]
struct Slot<T: Float> {
    param: Parameter<T>,
    moments: Option<Moments<T>>,
}

struct Moments<T: Float> {
    step: u64,
    exp_avg: Array<T>,
    exp_avg_sq: Array<T>,
}

impl<T: Float> std::fmt::Debug for Moments<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Moments(step {})", self.step)
    }
}

/// Adam:
///
/// ```text
/// g ← g + λ p
/// m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
/// p ← p − lr · m / (1 − β₁ᵗ) / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// A parameter without a gradient is left alone: its value, its moments and
/// its step count `t` stay as they are.
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
#[derive(Debug)]
pub struct Adam<T: Float = f32> {
    defaults: AdamOptions,
    groups: Vec<AdamGroup<T>>,
}

impl<T: Float> Adam<T> {
    /// Adam for these parameters, as one group.
    ///
    /// # Errors
    /// If there is no parameter, one stands twice, or a hyperparameter is out of range.
    pub fn new(
        params: impl IntoIterator<Item = Parameter<T>>,
        options: AdamOptions,
    ) -> Result<Self, OptimError> {
        Adam::with_groups([ParamGroup::new(params)], options)
    }

    /// Adam for several groups; what a group does not set comes from `options`.
    ///
    /// # Errors
    /// If there is no group, or one could not be [added](Adam::add_param_group).
    pub fn with_groups(
        groups: impl IntoIterator<Item = ParamGroup<T>>,
        options: AdamOptions,
    ) -> Result<Self, OptimError> {
        let mut adam = Adam { defaults: options, groups: Vec::new() };
        groups.into_iter().try_for_each(|group| adam.add_param_group(group))?;
        if adam.groups.is_empty() {
            return Err(OptimError::NoParameters { group: 0 });
        }
        Ok(adam)
    }

    /// Adds a group, at any time: its parameters begin at their own first step.
    ///
    /// # Errors
    /// If the group is empty, a parameter stands twice, here or in another
    /// group, or a hyperparameter is out of range. Nothing is changed then.
    pub fn add_param_group(&mut self, group: ParamGroup<T>) -> Result<(), OptimError> {
        let ParamGroup { params, lr, betas, eps, weight_decay } = group;
        let index = self.groups.len();
        let mut new = AdamGroup {
            lr: lr.unwrap_or(self.defaults.lr),
            betas: betas.unwrap_or(self.defaults.betas),
            eps: eps.unwrap_or(self.defaults.eps),
            weight_decay: weight_decay.unwrap_or(self.defaults.weight_decay),
            slots: Vec::with_capacity(params.len()),
        };
        new.check(index)?;
        if params.is_empty() {
            return Err(OptimError::NoParameters { group: index });
        }
        let mut owners: std::collections::HashMap<usize, usize> = (self.groups.iter().enumerate())
            .flat_map(|(i, group)| group.params().map(move |param| (param.id(), i)))
            .collect();
        for (i, param) in params.into_iter().enumerate() {
            if let Some(other) = owners.insert(param.id(), index) {
                let shape = param.shape().to_vec();
                return Err(OptimError::Duplicate { group: index, index: i, shape, other });
            }
            new.slots.push(Slot { param, moments: None });
        }
        self.groups.push(new);
        Ok(())
    }

    /// Sets the learning rate of a group.
    ///
    /// # Errors
    /// If it is negative or NaN. Nothing is changed then.
    ///
    /// # Panics
    /// If there is no such group.
    #[track_caller]
    pub fn set_lr(&mut self, group: usize, lr: f64) -> Result<(), OptimError> {
        let count = self.groups.len();
        assert!(group < count, "set_lr: group {group} of an optimizer with {count}");
        at_least_0(group, "lr", lr)?;
        self.groups[group].lr = lr;
        Ok(())
    }

    /// The groups, with the hyperparameters in force.
    #[must_use]
    pub fn param_groups(&self) -> &[AdamGroup<T>] {
        &self.groups
    }
}

impl<T: Float> AdamGroup<T> {
    fn check(&self, group: usize) -> Result<(), OptimError> {
        at_least_0(group, "lr", self.lr)?;
        below_1(group, "beta1", self.betas.0)?;
        below_1(group, "beta2", self.betas.1)?;
        at_least_0(group, "eps", self.eps)?;
        at_least_0(group, "weight_decay", self.weight_decay)
    }

    /// The numbers of step `t`: in f64, rounded once.
    fn scalars(&self, t: u64) -> AdamScalars<T> {
        let (beta1, beta2) = self.betas;
        let bias_correction = |beta: f64| 1.0 - beta.powf(t as f64);
        AdamScalars {
            weight_decay: T::from_f64(self.weight_decay),
            one_minus_beta1: T::from_f64(1.0 - beta1),
            beta2: T::from_f64(beta2),
            one_minus_beta2: T::from_f64(1.0 - beta2),
            bias_correction2_sqrt: T::from_f64(bias_correction(beta2).sqrt()),
            negative_step_size: T::from_f64(-self.lr / bias_correction(beta1)),
            eps: T::from_f64(self.eps),
        }
    }
}

fn at_least_0(group: usize, name: &'static str, found: f64) -> Result<(), OptimError> {
    let expected = "a number of at least 0";
    let error = OptimError::Hyperparameter { group, name, found, expected };
    if found >= 0.0 { Ok(()) } else { Err(error) } // NaN is no such number
}

fn below_1(group: usize, name: &'static str, found: f64) -> Result<(), OptimError> {
    let expected = "a number from 0 to below 1";
    let error = OptimError::Hyperparameter { group, name, found, expected };
    if (0.0..1.0).contains(&found) { Ok(()) } else { Err(error) }
}

impl<T: Float> Optimizer<T> for Adam<T> {
    fn step(&mut self) {
        for group in &mut self.groups {
            let mut slots = std::mem::take(&mut group.slots);
            for slot in &mut slots {
                let Some(grad) = slot.param.grad() else { continue };
                let moments = slot.moments.get_or_insert_with(|| Moments::new(&slot.param));
                moments.step += 1;
                let buffers = AdamBuffers {
                    param: &mut slot.param.value_mut(),
                    grad: grad.array().as_slice().expect("a collected gradient is contiguous"),
                    exp_avg: moments.exp_avg.make_mut(),
                    exp_avg_sq: moments.exp_avg_sq.make_mut(),
                };
                adamant_kernels::adam(buffers, group.scalars(moments.step));
            }
            group.slots = slots;
        }
    }

    fn zero_grad(&mut self, set_to_none: bool) {
        let params = self.groups.iter().flat_map(AdamGroup::params);
        params.for_each(|param| param.zero_grad(set_to_none));
    }
}

impl<T: Float> Moments<T> {
    fn new(param: &Parameter<T>) -> Self {
        let zeros = || Array::full(Shape::from(param.shape()), T::ZERO);
        Moments { step: 0, exp_avg: zeros(), exp_avg_sq: zeros() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::Tensor;

    fn parameter(values: &[f64]) -> Parameter<f64> {
        Parameter::new(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
    }

    fn set_grad(param: &Parameter<f64>, values: &[f64]) {
        param.set_grad(Some(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()));
    }

    /// The formulas of the documentation, literally.
    fn textbook(mut p: f64, grads: &[f64], options: AdamOptions) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        let (beta1, beta2) = options.betas;
        for (t, g) in (1..).zip(grads) {
            let g = g + options.weight_decay * p;
            m = beta1 * m + (1.0 - beta1) * g;
            v = beta2 * v + (1.0 - beta2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - beta1.powi(t)), v / (1.0 - beta2.powi(t)));
            p -= options.lr * m_hat / (v_hat.sqrt() + options.eps);
        }
        p
    }

    #[test]
    fn steps_follow_the_formulas() {
        let options = AdamOptions::default().lr(0.1).betas(0.8, 0.95).eps(1e-4).weight_decay(0.1);
        for options in [AdamOptions::default(), options] {
            let param = parameter(&[1.0, -2.0]);
            let mut adam = Adam::new([param.clone()], options).unwrap();
            let grads = [0.5, -0.25, 0.0, 4.0];
            for g in grads {
                set_grad(&param, &[g, 10.0 * g]);
                adam.step();
            }
            let expected =
                [textbook(1.0, &grads, options), textbook(-2.0, &grads.map(|g| 10.0 * g), options)];
            for (found, expected) in param.tensor().to_vec().into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-14, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_parameter_without_gradient_is_left_alone() {
        let (a, b) = (parameter(&[1.0]), parameter(&[1.0]));
        let options = AdamOptions::default().weight_decay(0.1);
        let mut adam = Adam::new([a.clone(), b.clone()], options).unwrap();
        set_grad(&a, &[1.0]);
        adam.step();
        assert_ne!(a.tensor().item(), 1.0);
        assert_eq!(b.tensor().item(), 1.0);
        assert!(adam.groups[0].slots[1].moments.is_none());
        set_grad(&b, &[1.0]);
        adam.step(); // b's first step is as a's first
        assert_eq!(b.tensor().item(), textbook(1.0, &[1.0], options));
    }

    #[test]
    fn what_cannot_work_is_refused_and_named() {
        let p = parameter(&[1.0]);
        let refuse = |options| Adam::new([p.clone()], options).unwrap_err().to_string();
        let options = AdamOptions::default();
        assert_eq!(
            refuse(options.lr(-1.0)),
            "parameter group 0: lr is -1; expected a number of at least 0"
        );
        let mut adam = Adam::new([p.clone()], options).unwrap();
        assert!(adam.set_lr(0, f64::NAN).is_err() && adam.set_lr(0, 0.5).is_ok());
        assert_eq!(adam.param_groups()[0].lr, 0.5);
        assert!(refuse(options.lr(f64::NAN)).contains("lr is NaN"));
        assert!(refuse(options.betas(1.0, 0.9)).contains("beta1 is 1"));
        assert!(refuse(options.betas(0.9, -0.1)).contains("beta2 is -0.1"));
        assert!(refuse(options.eps(-1.0)).contains("eps is -1"));
        assert!(refuse(options.weight_decay(f64::NAN)).contains("weight_decay is NaN"));
        assert_eq!(
            Adam::<f64>::new([], options).unwrap_err(),
            OptimError::NoParameters { group: 0 }
        );
        let mut adam = Adam::new([p.clone()], options).unwrap();
        let error = adam.add_param_group(ParamGroup::new([parameter(&[2.0]), p.clone()]));
        let shape = vec![1];
        assert_eq!(
            error.unwrap_err(),
            OptimError::Duplicate { group: 1, index: 1, shape, other: 0 }
        );
        assert_eq!(adam.param_groups().len(), 1);
    }

    #[test]
    fn a_step_keeps_the_parameters_buffer() {
        let p = parameter(&[1.0; 100]);
        let address = p.tensor().array().as_slice().unwrap().as_ptr();
        let mut adam = Adam::new([p.clone()], AdamOptions::default()).unwrap();
        for _ in 0..3 {
            let loss = p.tensor().powf(2.0).sum();
            adam.zero_grad(true);
            loss.backward();
            adam.step();
        }
        assert_eq!(p.tensor().array().as_slice().unwrap().as_ptr(), address);
    }
}
