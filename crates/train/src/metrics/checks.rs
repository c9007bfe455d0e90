//! What all metrics check of their arguments.

use adamant_tensor::{Float, Tensor};
use std::borrow::Cow;

/// The elements in row-major order, copied only if they are not contiguous.
#[track_caller]
pub(crate) fn elements<T: Float>(x: &Tensor<T>) -> Cow<'_, [T]> {
    match x.array().as_slice() {
        Some(elements) => Cow::Borrowed(elements),
        None => Cow::Owned(x.to_vec()),
    }
}

/// Panics unless there are `expected` targets.
#[track_caller]
pub(super) fn check_len(op: &str, targets: &[usize], expected: usize) {
    assert!(
        targets.len() == expected,
        "{op}: targets has {} elements; expected {expected}, one for each sample",
        targets.len()
    );
}

/// Panics unless each of `values` is a class.
#[track_caller]
pub(super) fn check_classes(op: &str, name: &str, values: &[usize], classes: usize) {
    if let Some(index) = values.iter().position(|&value| value >= classes) {
        panic!("{op}: {name}[{index}] is {}; expected a class below {classes}", values[index]);
    }
}
