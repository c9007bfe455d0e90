//! Comparison of an array with PyTorch's.

use adamant::prelude::*;
use adamant::tensor::Float;

/// Asserts that each element of `found` equals that of the fixture's array `name`, within a relative
/// `tolerance`.
///
/// If the terms of a sum cancel, the result is only as exact as its terms: four roundings of the
/// array's largest element are allowed in addition. (Gradients of attention in `f32` need two;
/// `torch.testing.assert_close` would allow 1e-5.)
#[track_caller]
pub(crate) fn close<T: Float>(found: &Tensor<T>, fixture: &StateDict, name: &str, tolerance: f64) {
    let expected = fixture.get(name).and_then(|value| value.array::<T>());
    let expected: Tensor<T> = expected.unwrap_or_else(|| panic!("no {name}")).clone().into();
    assert_eq!(found.shape(), expected.shape(), "{name}");
    let [found, expected] = [found, &expected].map(|x| x.to_vec().into_iter().map(T::to_f64));
    let largest = expected.clone().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let epsilon = if T::DTYPE == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON };
    for (i, (found, expected)) in found.zip(expected).enumerate() {
        let fits = (found - expected).abs() <= tolerance * expected.abs() + 4.0 * epsilon * largest;
        assert!(fits, "{name}, element {i}: {found:e} is not {expected:e}");
    }
}
