//! Gradients against differences: is the derivative that was written the
//! derivative of what was computed?

use crate::generator::Generator;
use crate::grad::{GradOptions, grad};
use crate::grad_mode::enable_grad;
use crate::tensor::Tensor;
use std::fmt;
use thiserror::Error;

/// The first element whose gradient is not what differences say.
#[derive(Clone, PartialEq, Error)]
#[error(
    "gradcheck: input {input}, element {element}: the gradient is {analytic:e}, \
     differences say {numeric:e}"
)]
pub struct GradCheckError {
    /// Which input.
    pub input: usize,
    /// Which of its elements, in row-major order.
    pub element: usize,
    /// What backward gave.
    pub analytic: f64,
    /// What central differences gave.
    pub numeric: f64,
}

/// As `Display`: it is what `main` prints of an error, and `unwrap`.
impl fmt::Debug for GradCheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

/// Checks the gradients of `f` at `inputs` against central differences.
///
/// An output of several numbers is first weighted with random numbers and summed.
/// Gradients agree if they differ by at most 10⁻⁶ (1 + |difference quotient|).
///
/// PyTorch: `torch.autograd.gradcheck`.
///
/// # Errors
/// The first element that does not agree.
///
/// ```
/// use adamant_tensor::{Tensor, gradcheck};
/// let x = Tensor::from_vec(vec![0.5, -1.0], [2]).unwrap();
/// gradcheck(|inputs| inputs[0].tanh(), &[x]).unwrap();
/// ```
pub fn gradcheck(
    f: impl Fn(&[Tensor<f64>]) -> Tensor<f64>,
    inputs: &[Tensor<f64>],
) -> Result<(), GradCheckError> {
    let weighted = |inputs: &[Tensor<f64>]| weighted_sum(&f(inputs), 1);
    let leaves: Vec<_> = inputs.iter().map(|x| x.detach().requires_grad()).collect();
    let output = enable_grad(|| weighted(&leaves));
    let analytic: Vec<Vec<f64>> = if output.is_tracked() {
        let options = GradOptions::default().allow_unused(true);
        let grads = grad(&output, &leaves.iter().collect::<Vec<_>>(), options);
        grads.iter().map(Tensor::to_vec).collect()
    } else {
        inputs.iter().map(|x| vec![0.0; x.numel()]).collect() // constant
    };
    for (input, analytic) in analytic.iter().enumerate() {
        for (element, &analytic) in analytic.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = inputs.to_vec();
                let mut values = moved[input].to_vec();
                values[element] += step;
                let shape = moved[input].shape();
                moved[input] = Tensor::from_vec(values, shape).expect("as many elements as before");
                weighted(&moved).item()
            };
            let numeric = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            // Written so that NaN does not agree with anything.
            let agrees = (analytic - numeric).abs() <= TOLERANCE * (1.0 + numeric.abs());
            if !agrees {
                return Err(GradCheckError { input, element, analytic, numeric });
            }
        }
    }
    Ok(())
}

/// Checks second derivatives: [`gradcheck`] of the gradients of `f`, with respect
/// to the inputs and to the gradient that arrives at the output.
///
/// PyTorch: `torch.autograd.gradgradcheck`.
///
/// # Errors
/// The first element that does not agree.
///
/// ```
/// use adamant_tensor::{Tensor, gradgradcheck};
/// let x = Tensor::from_vec(vec![0.5, -1.0], [2]).unwrap();
/// gradgradcheck(|inputs| inputs[0].tanh(), &[x]).unwrap();
/// ```
pub fn gradgradcheck(
    f: impl Fn(&[Tensor<f64>]) -> Tensor<f64>,
    inputs: &[Tensor<f64>],
) -> Result<(), GradCheckError> {
    let gradients = |inputs_and_arriving: &[Tensor<f64>]| {
        enable_grad(|| {
            let (arriving, inputs) = inputs_and_arriving.split_last().expect("it was put there");
            let leaves: Vec<_> = inputs.iter().map(|x| x.clone().requires_grad()).collect();
            let output = (f(&leaves) * arriving).sum();
            if !output.is_tracked() {
                return Tensor::scalar(0.0); // constant: all derivatives are 0
            }
            let options = GradOptions::default().create_graph(true).allow_unused(true);
            let grads = grad(&output, &leaves.iter().collect::<Vec<_>>(), options);
            let sums = (3..).zip(&grads).map(|(seed, grad)| weighted_sum(grad, seed));
            sums.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::scalar(0.0))
        })
    };
    let output = f(&inputs.iter().map(Tensor::detach).collect::<Vec<_>>());
    let arriving = Tensor::uniform(output.shape(), 0.5, 1.5, &mut Generator::seed(2));
    let inputs: Vec<_> = inputs.iter().cloned().chain([arriving]).collect();
    gradcheck(gradients, &inputs)
}

/// The sum with random weights: no gradient hides behind another.
fn weighted_sum(x: &Tensor<f64>, seed: u64) -> Tensor<f64> {
    let weights = Tensor::uniform(x.shape(), 0.5, 1.5, &mut Generator::seed(seed));
    (x * weights).sum()
}

/// How the tests of operations call the two checks.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Checks `f` to second order on inputs of these shapes with elements from
    /// `domain`, laid out contiguously, transposed, sliced, and broadcast.
    #[track_caller]
    pub(crate) fn check_op(
        f: impl Fn(&[Tensor<f64>]) -> Tensor<f64>,
        shapes: &[&[usize]],
        domain: std::ops::Range<f64>,
    ) {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::uniform(shape, domain.start, domain.end, &mut rng);
        let contiguous =
            |shape: &[usize], draw: &mut dyn FnMut(&[usize]) -> Tensor<f64>| draw(shape);
        let transposed = |shape: &[usize], draw: &mut dyn FnMut(&[usize]) -> Tensor<f64>| {
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            let order: Vec<usize> = (0..shape.len()).rev().collect();
            draw(&reversed).permute(&order[..])
        };
        let sliced = |shape: &[usize], draw: &mut dyn FnMut(&[usize]) -> Tensor<f64>| {
            let Some(last) = shape.len().checked_sub(1) else { return draw(shape) };
            let mut larger = shape.to_vec();
            larger[last] += 3;
            draw(&larger).narrow(last, 2, shape[last])
        };
        let broadcast = |shape: &[usize], draw: &mut dyn FnMut(&[usize]) -> Tensor<f64>| {
            let smaller: Vec<usize> = shape.iter().map(|&size| size.min(1)).collect();
            draw(&smaller).broadcast_to(shape)
        };
        type Layout<'l> =
            &'l dyn Fn(&[usize], &mut dyn FnMut(&[usize]) -> Tensor<f64>) -> Tensor<f64>;
        let layouts: [(&str, Layout<'_>); 4] = [
            ("contiguous", &contiguous),
            ("transposed", &transposed),
            ("sliced", &sliced),
            ("broadcast", &broadcast),
        ];
        for (name, layout) in layouts {
            let inputs: Vec<_> = shapes.iter().map(|shape| layout(shape, &mut draw)).collect();
            let checks =
                [("first", gradcheck(&f, &inputs)), ("second", gradgradcheck(&f, &inputs))];
            for (order, result) in checks {
                if let Err(error) = result {
                    panic!("{order} derivative, {name} inputs of shapes {shapes:?}: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_gradient_is_found() {
        let wrong = |inputs: &[Tensor<f64>]| {
            let x = &inputs[0];
            let saved = x.clone();
            Tensor::custom("wrong", &[x], x.detach().powf(2.0), move |g| {
                vec![Some(g * &saved * 3.0)]
            })
        };
        let x = Tensor::from_vec(vec![0.0, 2.0], [2]).unwrap();
        let error = gradcheck(wrong, &[x]).unwrap_err();
        assert_eq!((error.input, error.element), (0, 1));
        assert!(error.to_string().contains("input 0, element 1"), "{error}");
    }

    #[test]
    fn a_wrong_second_derivative_is_found() {
        let cut = |inputs: &[Tensor<f64>]| {
            let x = &inputs[0];
            let saved = x.detach(); // forgets where the input came from
            Tensor::custom("cut", &[x], x.detach().powf(2.0), move |g| vec![Some(g * &saved * 2.0)])
        };
        let detached = |inputs: &[Tensor<f64>]| {
            let x = &inputs[0];
            Tensor::custom("detached", &[x], x.detach() * 2.0, |g| vec![Some(g.detach() * 2.0)])
        };
        let x = Tensor::from_vec(vec![2.0], [1]).unwrap();
        assert!(gradcheck(detached, std::slice::from_ref(&x)).is_ok());
        assert!(gradgradcheck(detached, std::slice::from_ref(&x)).is_err());
        assert!(gradcheck(cut, std::slice::from_ref(&x)).is_ok());
        assert!(gradgradcheck(cut, &[x]).is_err());
    }
}
