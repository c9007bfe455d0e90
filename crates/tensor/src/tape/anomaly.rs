//! Anomaly detection: finds the operation that yields a NaN or an infinity.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::tape::mode::Mode;
use crate::tape::node::Gradients;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::panic::Location;

/// Runs `f` and panics at the first operation that yields a NaN or an infinity, with the name of
/// the operation, its line in the program, and the element.
///
/// * In forward, an operation is reported for any NaN in its result, so NaNs in data are found at
///   their first use, and for an infinity if all its inputs are finite. Operations on untracked
///   tensors are checked too.
/// * In a backward pass inside `f`, an operation is reported for a NaN in the gradient of an input
///   if the gradient of its output has no NaN, and for an infinity if that gradient is finite. An
///   operation recorded by [`create_graph`](crate::GradOptions::create_graph) is reported with a
///   line in a backward function.
///
/// Not reported:
///
/// * infinities that `masked_fill` and `pad` write: the value is one of their inputs, as in
///   attention masks;
/// * gradients that a backward pass starts from, or that hooks return;
/// * a sum of the gradients of several uses of a tensor that overflows;
/// * intermediate results inside backward functions and hooks;
/// * tensors that are not results of operations: `from_vec`, `full`, a parameter's update.
///
/// Every result is read once more, so use this for debugging only. The setting belongs to this
/// thread and is restored when `f` returns or panics.
///
/// PyTorch: `torch.autograd.detect_anomaly()`, which checks only for NaNs in backward.
///
/// # Panics
/// When a NaN or an infinity is found.
///
/// ```should_panic
/// use adamant_tensor::{Tensor, detect_anomaly};
/// let x = Tensor::from_vec(vec![1.0f32, 0.0], [2]).unwrap();
/// detect_anomaly(|| {
///     let y = &x / &x; // panics: `div` yields NaN at element [1]
///     y.sum()
/// });
/// ```
pub fn detect_anomaly<R>(f: impl FnOnce() -> R) -> R {
    let _guard = Mode { detect_anomaly: true, ..Mode::now() }.enter();
    f()
}

/// Panics if the value of an operation holds a NaN, or an infinity while all inputs are finite.
#[cold]
#[track_caller]
pub(crate) fn check_value<T: Float>(op: &str, inputs: &[&Tensor<T>], value: &Array<T>) {
    let Some(found) = NotFinite::in_array(value) else { return };
    let input = |kind: fn(T) -> bool| {
        inputs.iter().position(|input| input.array.to_vec().into_iter().any(kind))
    };
    let already = if found.is_nan {
        input(T::is_nan).map_or(String::new(), |i| format!("; its input {i} already holds a NaN"))
    } else if input(|x| !x.is_finite()).is_some() {
        return;
    } else {
        String::new()
    };
    panic!("detect_anomaly: `{op}` ({}) yields {found}{already}", Location::caller());
}

/// Panics if a backward function returned a NaN or an infinity that `arrived`, the gradient of the
/// output, does not explain.
#[cold]
#[track_caller]
pub(crate) fn check_gradients<T: Float>(
    op: &str,
    location: &Location<'_>,
    arrived: &Tensor<T>,
    grads: &Gradients<T>,
) {
    let arrived = NotFinite::in_array(&arrived.array);
    for (i, grad) in grads.iter().enumerate() {
        let Some(found) = grad.as_ref().and_then(|grad| NotFinite::in_array(&grad.array)) else {
            continue;
        };
        let explained = arrived.as_ref().is_some_and(|arrived| arrived.is_nan || !found.is_nan);
        assert!(
            explained,
            "detect_anomaly: the backward of `{op}` ({location}) yields {found}: the gradient \
             of input {i}"
        );
    }
}

/// The first NaN of an array, or its first infinity if it has no NaN.
struct NotFinite {
    is_nan: bool,
    value: String,
    index: Vec<usize>,
    shape: Shape,
}

impl NotFinite {
    fn in_array<T: Float>(array: &Array<T>) -> Option<NotFinite> {
        let array = array.contiguous("detect_anomaly");
        let elements = array.contiguous_slice();
        let position = elements
            .iter()
            .position(|x| x.is_nan())
            .or_else(|| elements.iter().position(|x| !x.is_finite()))?;
        let shape = array.shape().clone();
        let mut index = vec![0; shape.len()];
        let mut rest = position;
        for (index, &size) in index.iter_mut().zip(shape.iter()).rev() {
            (*index, rest) = (rest % size, rest / size);
        }
        let value = elements[position];
        Some(NotFinite { is_nan: value.is_nan(), value: value.to_string(), index, shape })
    }
}

impl std::fmt::Display for NotFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at element {:?} of shape {}", self.value, self.index, self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn tensor(values: &[f64]) -> Tensor<f64> {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()
    }

    /// The message with which `f` panics under anomaly detection.
    fn found<R>(f: impl FnOnce() -> R) -> Option<String> {
        let result = catch_unwind(AssertUnwindSafe(|| detect_anomaly(f)));
        assert!(!Mode::now().detect_anomaly);
        Some(*result.err()?.downcast::<String>().unwrap())
    }

    fn assert_found<R>(parts: &[&str], f: impl FnOnce() -> R) {
        let message = found(f).expect("an anomaly");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}\n{parts:?}");
    }

    #[test]
    fn forward_names_the_first_operation_and_its_line() {
        let x = tensor(&[1.0, 0.0, 4.0, 0.0]).reshape([2, 2]);
        let line = format!("{}:{}:", file!(), line!() + 2);
        assert_found(&["`div`", &line, "yields NaN at element [0, 1] of shape [2, 2]"], || {
            let quotient = &x / &x;
            quotient.exp().sum()
        });
        assert_found(&["`exp`", "yields inf at element [1]"], || tensor(&[1.0, 1e3]).exp());
        let tracked = x.requires_grad();
        assert_found(&["`div`", "yields NaN"], || &tracked / &tracked);
    }

    #[test]
    fn nans_in_data_are_found_at_their_first_use() {
        let x = tensor(&[1.0, f64::NAN]);
        assert_found(&["`mul`", "its input 1 already holds a NaN"], || tensor(&[2.0, 2.0]) * &x);
        assert!(found(|| tensor(&[f64::INFINITY]) * 2.0).is_none());
        assert_found(&["`sub`", "NaN"], || tensor(&[f64::INFINITY]) - tensor(&[f64::INFINITY]));
    }

    #[test]
    fn infinities_written_on_purpose_are_accepted() {
        let x = tensor(&[1.0, 2.0]);
        let masked = || x.masked_fill(&x.gt(1.0), f64::NEG_INFINITY).pad(&[(1, 0)], f64::INFINITY);
        assert!(found(masked).is_none());
    }

    #[test]
    fn backward_names_the_recorded_operation_and_its_line() {
        let x = tensor(&[4.0, 0.0]).requires_grad();
        let line = format!("{}:{}:", file!(), line!() + 1);
        let y = (x.powf(0.5) * 3.0).sum();
        let parts = ["the backward of `pow", &line, "yields inf at element [1] of shape [2]"];
        assert_found(&parts, || y.backward_retain_graph());
        y.backward(); // does not panic without detection
    }

    #[test]
    fn given_gradients_and_hooks_are_not_reported() {
        let x = tensor(&[1.0, 2.0]).requires_grad();
        let y = &x * 2.0;
        y.register_hook(|g| Some(g * f64::NAN));
        assert!(found(|| y.sum().backward()).is_none());
        assert!(found(|| (&x * 2.0).backward_with(&tensor(&[f64::INFINITY, 1.0]))).is_none());
        assert_found(&["the backward of `mul`", "NaN"], || {
            (&x * 0.0).backward_with(&tensor(&[f64::INFINITY, 1.0]));
        });
    }

    #[test]
    fn steps_inside_a_backward_function_are_not_checked() {
        let x = tensor(&[0.0, 1.0]).requires_grad();
        let inner = x.detach();
        let masked = Tensor::custom("masked", &[&x], x.detach(), move |g| {
            let _infinite = Tensor::ones([2]) / &inner;
            vec![Some(g.clone())]
        });
        assert!(found(|| masked.sum().backward()).is_none());
    }

    #[test]
    fn operations_in_a_checkpointed_segment_are_named() {
        let x = tensor(&[4.0, 0.0]).requires_grad();
        let inner = x.clone();
        let line = format!("{}:{}:", file!(), line!() + 1);
        let y = checkpoint(move || inner.powf(0.5) * 3.0);
        assert_found(&["the backward of `pow", &line], || y.sum().backward());
    }
}
