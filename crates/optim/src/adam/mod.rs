//! Adam (Kingma and Ba, 2015) and its variants, as `torch.optim.Adam` computes them.

mod options;
mod state;
#[cfg(test)]
mod tests;

pub use options::{AdamOptions, Amsgrad};
pub use state::AdamState;

use crate::algorithm::{Algorithm, ParameterState};
use crate::group::Group;
use crate::optimizer::GroupOptimizer;
use adamant_kernels::{AdamScalars, Shared, adam, powi};
use adamant_tensor::{Array, Float};

/// Adam:
///
/// ```text
/// g ← g + λ p
/// m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
/// p ← p − lr · m / (1 − β₁ᵗ) / (√v / √(1 − β₂ᵗ) + ε)
/// ```
///
/// [`AdamOptions`] has variants. A parameter without a gradient keeps its value, its moments and
/// its step count `t`; before its first gradient it has no state. A gradient of zeros is a
/// gradient: moments decay, and the parameter may change.
///
/// Each parameter has a step count of its own. Scalars are computed in `f64` and
/// rounded once. In `f32` every bit is PyTorch's, given correctly rounded square roots;
/// `docs/numerics.md` explains how, and where PyTorch's are not.
///
/// PyTorch: `torch.optim.Adam`.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Optimizer};
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::from_vec(vec![3.0f32], [1]).unwrap());
/// let mut adam = Adam::new([p.clone()], AdamOptions::default().lr(0.1)).unwrap();
/// for _ in 0..200 {
///     adam.zero_grad();
///     p.tensor().powf(2.0).sum().backward();
///     adam.step();
/// }
/// assert!(p.tensor().item().abs() < 1e-2);
/// ```
pub type Adam<T = f32> = GroupOptimizer<T, AdamOptions>;

/// A group of an [`Adam`].
pub type AdamGroup<T = f32> = Group<T, AdamOptions>;

impl<T: Float> Algorithm<T> for AdamOptions {
    type State = AdamState<T>;
    type Buffers<'a> = (
        &'a mut [T],
        &'a [T],
        &'a mut [T],
        &'a mut [T],
        Option<&'a mut [T]>,
        Shared<AdamScalars<T>>,
    );
    type Sums = ();

    /// Switched off, the maximum stays as it is. Switched on later, or to the other reading, it
    /// starts from the current second moment.
    fn prepare(
        &self,
        step: u64,
        state: Option<&AdamState<T>>,
        shape: &[usize],
    ) -> Option<AdamState<T>> {
        let is_corrected = self.amsgrad == Amsgrad::Corrected;
        let fits = |moments: &AdamState<T>| {
            self.amsgrad == Amsgrad::Off
                || moments.max_exp_avg_sq.is_some() && moments.max_is_corrected == is_corrected
        };
        if state.is_some_and(fits) {
            return None;
        }
        let mut moments = state.cloned().unwrap_or_else(|| AdamState::new(shape));
        if !fits(&moments) {
            let mut maximum = moments.exp_avg_sq.clone();
            if is_corrected && step > 1 {
                let correction = T::from_f64(1.0 - powi(self.betas.1, step - 1));
                maximum.make_mut().iter_mut().for_each(|v| *v /= correction);
            }
            moments.max_exp_avg_sq = Some(maximum);
            moments.max_is_corrected = is_corrected;
        }
        Some(moments)
    }

    fn buffers<'a>(
        &self,
        step: u64,
        state: &'a mut AdamState<T>,
        param: &'a mut [T],
        grad: &'a [T],
    ) -> Self::Buffers<'a> {
        let maximum = state.max_exp_avg_sq.as_mut().filter(|_| self.amsgrad != Amsgrad::Off);
        (
            param,
            grad,
            state.exp_avg.make_mut(),
            state.exp_avg_sq.make_mut(),
            maximum.map(Array::make_mut),
            Shared(self.scalars(step)),
        )
    }

    fn update((param, grad, m, v, maximum, Shared(scalars)): Self::Buffers<'_>, _: ()) {
        adam(param, grad, m, v, maximum, scalars);
    }
}
