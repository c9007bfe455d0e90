//! Gradients held down.

use crate::error::OptimError;
use adamant_tensor::{Float, Parameter};

/// Scales all gradients by one factor so that their norm, as of one long
/// vector, is at most `max_norm`; gives the norm that they had.
///
/// The factor is `max_norm / (norm + 10⁻⁶)`, at most 1. With no gradient the
/// norm is 0.
///
/// PyTorch: `torch.nn.utils.clip_grad_norm_(params, max_norm, error_if_nonfinite)`.
///
/// # Errors
/// If `error_if_nonfinite` and the norm is infinite or NaN. Nothing is changed then.
///
/// ```
/// use adamant_optim::clip_grad_norm;
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f64>::ones([2]));
/// p.set_grad(Some(Tensor::from_vec(vec![3.0, 4.0], [2]).unwrap()));
/// assert_eq!(clip_grad_norm(&[p.clone()], 1.0, true).unwrap(), 5.0);
/// assert!((p.grad().unwrap().to_vec()[0] - 0.6).abs() < 1e-6);
/// ```
pub fn clip_grad_norm<T: Float>(
    params: &[Parameter<T>],
    max_norm: f64,
    error_if_nonfinite: bool,
) -> Result<f64, OptimError> {
    let grads = params.iter().filter_map(Parameter::grad);
    // As in PyTorch: the norm of the norms, each in the parameters' type.
    let norms = grads.map(|grad| (&grad * &grad).sum().item().sqrt());
    let total = norms.fold(T::ZERO, |sum, norm| norm.mul_add(norm, sum)).sqrt();
    let norm = total.to_f64();
    if error_if_nonfinite && !norm.is_finite() {
        return Err(OptimError::NonFiniteNorm { norm });
    }
    let factor = T::from_f64(max_norm) / (total + T::from_f64(1e-6));

    if factor >= T::ONE {
        return Ok(norm);
    }
    change_grads(params, |g| g * factor);
    Ok(norm)
}

/// Brings every element of every gradient into `[−limit, limit]`; NaN stays NaN.
///
/// PyTorch: `torch.nn.utils.clip_grad_value_(params, limit)`.
///
/// ```
/// use adamant_optim::clip_grad_value;
/// use adamant_tensor::{Parameter, Tensor};
/// let p = Parameter::new(Tensor::<f32>::ones([2]));
/// p.set_grad(Some(Tensor::from_vec(vec![3.0, -0.1], [2]).unwrap()));
/// clip_grad_value(&[p.clone()], 0.5);
/// assert_eq!(p.grad().unwrap().to_vec(), [0.5, -0.1]);
/// ```
pub fn clip_grad_value<T: Float>(params: &[Parameter<T>], limit: f64) {
    let limit = T::from_f64(limit);
    change_grads(params, |g| {
        let below = if g > limit { limit } else { g };
        if below < -limit { -limit } else { below }
    });
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
        assert_eq!(clip_grad_norm(&all, 1.5, true).unwrap(), 3.0);
        let after: Vec<f64> = params.iter().flat_map(|p| p.grad().unwrap().to_vec()).collect();
        for (found, expected) in after.iter().zip([1.0, 0.0, 0.5, 1.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
        assert!(frozen.grad().is_none());
        clip_grad_norm(&all, 10.0, true).unwrap(); // small enough: as they are
        assert_eq!(params[0].grad().unwrap().to_vec(), after[..2]);
    }

    #[test]
    fn a_norm_that_is_not_finite_is_an_error_if_asked() {
        let p = with_grad(&[f64::INFINITY, 1.0]);
        let error = clip_grad_norm(std::slice::from_ref(&p), 1.0, true).unwrap_err();
        assert_eq!(error, OptimError::NonFiniteNorm { norm: f64::INFINITY });
        assert_eq!(p.grad().unwrap().to_vec(), [f64::INFINITY, 1.0]);
        clip_grad_norm(std::slice::from_ref(&p), 1.0, false).unwrap(); // as PyTorch: ∞ · 0 is NaN
        let after = p.grad().unwrap().to_vec();
        assert!(after[0].is_nan() && after[1] == 0.0);
    }
}
