//! Adam (Kingma and Ba, 2015) and its variants, as `torch.optim.Adam` computes them.

mod moments;
mod options;
#[cfg(test)]
mod tests;

pub use moments::Moments;
pub use options::{AdamOptions, Amsgrad};

use crate::algorithm::Algorithm;
use crate::count;
use crate::group::{Group, Slot};
use crate::optimizer::GroupOptimizer;
use adamant_kernels::{AdamBuffers, SweepSize, adam};
use adamant_tensor::{Array, Float, Parameter, Shape};

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
        moments.step = count::next(moments.step);
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
        param: value.make_mut(),
        grad: grad.array().as_slice().expect("a collected gradient is contiguous"),
        exp_avg: moments.exp_avg.make_mut(),
        exp_avg_sq: moments.exp_avg_sq.make_mut(),
        max_exp_avg_sq: max_exp_avg_sq.map(Array::make_mut),
        scalars: options.scalars(moments.step),
    })
}
