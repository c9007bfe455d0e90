//! Limits for gradients.

use crate::error::OptimError;
use adamant_tensor::{Float, Parameter};

/// Scales all gradients by one factor so that their norm, as one vector, is at most `max_norm`;
/// returns the norm before.
///
/// The factor is `max_norm / (norm + 10⁻⁶)`, at most 1. The norm is 0 if no parameter has a
/// gradient. With an infinite `max_norm`, gradients of a finite norm stay as they are, and those of an
/// infinite or NaN norm all become NaN, as in PyTorch. [`clip_grad_norm_if_finite`] returns an
/// error instead.
///
/// PyTorch: `torch.nn.utils.clip_grad_norm_(params, max_norm)`, which accepts a negative `max_norm`
/// and reverses the gradients.
///
/// # Panics
/// If `max_norm` is negative or NaN.
///
/// ```
/// use adamant_optim::clip_grad_norm;
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f64>::ones([2]));
/// p.set_grad(Some(Tensor::from_vec(vec![3.0, 4.0], [2]).unwrap()));
/// assert_eq!(clip_grad_norm(&[p.clone()], 1.0), 5.0);
/// assert!((p.grad().unwrap().to_vec()[0] - 0.6).abs() < 1e-6);
/// ```
#[track_caller]
pub fn clip_grad_norm<T: Float>(params: &[Parameter<T>], max_norm: f64) -> f64 {
    check_limit("clip_grad_norm", "max_norm", max_norm);
    let norm = total_norm(params);
    limit_norm(params, norm, max_norm);
    norm.to_f64()
}

/// [`clip_grad_norm`] for gradients that must be finite.
///
/// PyTorch: `torch.nn.utils.clip_grad_norm_(params, max_norm, error_if_nonfinite=True)`.
///
/// # Errors
/// If the norm is infinite or NaN; the gradients stay as they are.
///
/// # Panics
/// If `max_norm` is negative or NaN.
///
/// ```
/// use adamant_optim::clip_grad_norm_if_finite;
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f64>::ones([1]));
/// p.set_grad(Some(Tensor::from([f64::NAN])));
/// assert!(clip_grad_norm_if_finite(&[p], 1.0).is_err());
/// ```
#[track_caller]
pub fn clip_grad_norm_if_finite<T: Float>(
    params: &[Parameter<T>],
    max_norm: f64,
) -> Result<f64, OptimError> {
    check_limit("clip_grad_norm_if_finite", "max_norm", max_norm);
    let total = total_norm(params);
    let norm = total.to_f64();
    if !norm.is_finite() {
        return Err(OptimError::NonFiniteNorm { norm });
    }
    limit_norm(params, total, max_norm);
    Ok(norm)
}

/// As in PyTorch, the norm of the norms, each in the parameters' type.
fn total_norm<T: Float>(params: &[Parameter<T>]) -> T {
    let grads = params.iter().filter_map(Parameter::grad);
    let norms = grads.map(|grad| (&grad * &grad).sum().item().sqrt());
    norms.fold(T::ZERO, |sum, norm| norm.mul_add(norm, sum)).sqrt()
}

fn limit_norm<T: Float>(params: &[Parameter<T>], norm: T, max_norm: f64) {
    let factor = T::from_f64(max_norm) / (norm + T::from_f64(1e-6));
    let is_small = factor >= T::ONE; // false for NaN
    if !is_small {
        change_grads(params, |g| g * factor);
    }
}

/// Clamps every element of every gradient to `[−limit, limit]`; NaN stays NaN.
///
/// PyTorch: `torch.nn.utils.clip_grad_value_(params, limit)`.
///
/// # Panics
/// If `limit` is negative or NaN.
///
/// ```
/// use adamant_optim::clip_grad_value;
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// p.set_grad(Some(Tensor::from_vec(vec![3.0, -0.1], [2]).unwrap()));
/// clip_grad_value(&[p.clone()], 0.5);
/// assert_eq!(p.grad().unwrap().to_vec(), [0.5, -0.1]);
/// ```
#[track_caller]
pub fn clip_grad_value<T: Float>(params: &[Parameter<T>], limit: f64) {
    check_limit("clip_grad_value", "limit", limit);
    let limit = T::from_f64(limit);
    change_grads(params, |g| {
        let below = if g > limit { limit } else { g };
        if below < -limit { -limit } else { below }
    });
}

#[track_caller]
fn check_limit(function: &str, name: &str, limit: f64) {
    assert!(limit >= 0.0, "{function}: {name} is {limit}; expected a number of at least 0");
}

fn change_grads<T: Float>(params: &[Parameter<T>], f: impl Fn(T) -> T + Sync) {
    for parameter in params {
        parameter.change_grad(|grad| adamant_kernels::map_assign(grad, &f));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::Tensor;

    fn with_grad(values: &[f64]) -> Parameter<f64> {
        let grad = Tensor::from_vec(values.to_vec(), [values.len()]).unwrap();
        let parameter = Parameter::new(Tensor::ones([values.len()]));
        parameter.set_grad(Some(grad));
        parameter
    }

    #[test]
    fn the_norm_is_of_all_gradients_together() {
        let params = [with_grad(&[2.0, 0.0]), with_grad(&[1.0]), with_grad(&[2.0])];
        let frozen = Parameter::new(Tensor::ones([2]));
        let all = [params.as_slice(), std::slice::from_ref(&frozen)].concat();
        assert_eq!(clip_grad_norm(&all, 1.5), 3.0);
        let after: Vec<f64> = params.iter().flat_map(|p| p.grad().unwrap().to_vec()).collect();
        for (found, expected) in after.iter().zip([1.0, 0.0, 0.5, 1.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
        assert!(frozen.grad().is_none());
        clip_grad_norm(&all, 10.0); // small enough: unchanged
        assert_eq!(params[0].grad().unwrap().to_vec(), after[..2]);
    }

    #[test]
    fn the_factor_has_pytorchs_addition_to_the_norm() {
        // `clip_grad_norm_` of 3e-6, 4e-6 to 1e-6, and of 3, 4 to 5, in double precision
        for (grad, max_norm, expected) in [
            ([3e-6, 4e-6], 1e-6, [5e-7, 6.666666666666666e-7]),
            ([3.0, 4.0], 5.0, [2.99999940000012, 3.99999920000016]),
        ] {
            let p = with_grad(&grad);
            clip_grad_norm(std::slice::from_ref(&p), max_norm);
            for (found, expected) in p.grad().unwrap().to_vec().into_iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-14, "{found:e} {expected:e}");
            }
        }
    }

    #[test]
    fn limits_of_infinity_and_zero_are_valid() {
        let p = with_grad(&[3.0, 4.0]);
        let clip = |max_norm| clip_grad_norm(std::slice::from_ref(&p), max_norm);
        assert_eq!(clip(f64::INFINITY), 5.0);
        assert_eq!(p.grad().unwrap().to_vec(), [3.0, 4.0]);
        assert_eq!(clip(0.0), 5.0);
        assert_eq!(p.grad().unwrap().to_vec(), [0.0, 0.0]);
    }

    #[test]
    fn a_norm_that_is_not_finite_can_be_an_error() {
        let p = with_grad(&[f64::INFINITY, 1.0]);
        let error = clip_grad_norm_if_finite(std::slice::from_ref(&p), 1.0).unwrap_err();
        assert_eq!(error, OptimError::NonFiniteNorm { norm: f64::INFINITY });
        assert_eq!(p.grad().unwrap().to_vec(), [f64::INFINITY, 1.0]);
        clip_grad_norm(std::slice::from_ref(&p), 1.0); // as in PyTorch, ∞ · 0 is NaN
        let after = p.grad().unwrap().to_vec();
        assert!(after[0].is_nan() && after[1] == 0.0);
    }
}
