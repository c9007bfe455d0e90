//! What is near enough to PyTorch's.

use adamant::prelude::*;
use adamant::tensor::Float;

/// Panics unless `found` is the fixture's array `name` to within `tolerance`, relative to its
/// largest element: a sum whose terms cancel is only as exact as they are.
#[track_caller]
pub(crate) fn close<T: Float>(found: &Tensor<T>, fixture: &StateDict, name: &str, tolerance: f64) {
    let expected = fixture.get(name).and_then(|value| value.array::<T>());
    let expected: Tensor<T> = expected.unwrap_or_else(|| panic!("no {name}")).clone().into();
    assert_eq!(found.shape(), expected.shape(), "{name}");
    let [found, expected] = [found, &expected].map(|x| x.to_vec().into_iter().map(T::to_f64));
    let largest = expected.clone().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.zip(expected).enumerate() {
        let fits = (found - expected).abs() <= tolerance * largest;
        assert!(fits, "{name}, element {i}: {found} is not {expected}");
    }
}
