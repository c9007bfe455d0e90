//! Masks that drop elements at random, for dropout and for adapters.

use adamant_tensor::{Float, Generator, Tensor};

/// `x` times a mask of this shape, which broadcasts: 0 with probability `p`, else `1 / (1 − p)`.
pub(crate) fn masked<T: Float>(
    x: &Tensor<T>,
    shape: &[usize],
    p: f64,
    rng: &mut Generator,
) -> Tensor<T> {
    // With p = 1 nothing is kept, and the scale is 0 as in PyTorch, not ∞.
    let keep = if p == 1.0 { 0.0 } else { 1.0 / (1.0 - p) };
    x * Tensor::build(shape, |out| rng.bernoulli_mask(out, p, T::from_f64(keep)))
}
