//! Numerical checks of gradients: backward functions are compared with difference quotients of the
//! forward computation.

use crate::state::generator::Generator;
use crate::tape::mode::enable_grad;
use crate::tape::tensor::Tensor;
use crate::tools::grad::{GradOptions, grad};
use thiserror::Error;

/// The first element whose gradient is wrong.
#[derive(Clone, PartialEq, Error)]
pub enum GradCheckError {
    /// The gradient differs from the difference quotient.
    #[error(
        "gradcheck: input {input}, element {element}: the gradient is {gradient:e}, but \
         the difference quotient is {quotient:e}"
    )]
    Quotient {
        /// The index of the input.
        input: usize,
        /// The row-major index of the element.
        element: usize,
        /// The gradient from the backward pass.
        gradient: f64,
        /// The quotient of central differences.
        quotient: f64,
    },
    /// A pass with `create_graph` computes a different gradient.
    #[error(
        "gradgradcheck: input {input}, element {element}: the gradient is {gradient:e}, but \
         with create_graph it is {recorded:e}"
    )]
    Recorded {
        /// The index of the input.
        input: usize,
        /// The row-major index of the element.
        element: usize,
        /// The gradient from an ordinary pass.
        gradient: f64,
        /// The gradient from a pass with `create_graph`.
        recorded: f64,
    },
}

crate::debug_as_display!(GradCheckError);

/// The step of the difference quotients.
const STEP: f64 = 1e-5;
/// The tolerance for a gradient and its difference quotient.
const TOLERANCE: f64 = 1e-6;
/// The tolerance for two formulas of the same gradient, which differ only by rounding.
const ROUNDING: f64 = 1e-10;

/// Whether the two differ by at most `tolerance · (1 + |expected|)`; false for NaN.
fn agree(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * (1.0 + expected.abs())
}

/// The gradients of `output` with respect to `leaves`; `None` if `output` is not tracked.
fn gradients(
    output: &Tensor<f64>,
    leaves: &[Tensor<f64>],
    create_graph: bool,
) -> Option<Vec<Tensor<f64>>> {
    let options = GradOptions::default().create_graph(create_graph).allow_unused(true);
    let leaves: Vec<_> = leaves.iter().collect();
    output.is_tracked().then(|| grad(output, &leaves, options))
}

/// Checks the gradients of `f` at `inputs` against central differences.
///
/// The elements of the output are summed with random weights. A gradient agrees if it differs by at
/// most 10⁻⁶ (1 + |difference quotient|).
///
/// PyTorch: `torch.autograd.gradcheck`.
///
/// # Errors
/// The first element whose gradient does not agree.
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
    first_order(&f, inputs)
}

/// `dyn`, so that the check is compiled once and not for each function.
type Function<'f> = &'f dyn Fn(&[Tensor<f64>]) -> Tensor<f64>;

fn first_order(f: Function<'_>, inputs: &[Tensor<f64>]) -> Result<(), GradCheckError> {
    let weighted = |inputs: &[Tensor<f64>]| weighted_sum(&f(inputs), 1);
    let leaves: Vec<_> = inputs.iter().map(|x| x.detach().requires_grad()).collect();
    let output = enable_grad(|| weighted(&leaves));
    let analytic: Vec<Vec<f64>> = match gradients(&output, &leaves, false) {
        Some(grads) => grads.iter().map(Tensor::to_vec).collect(),
        None => inputs.iter().map(|x| vec![0.0; x.numel()]).collect(), // constant
    };
    for (input, gradients) in analytic.iter().enumerate() {
        for (element, &gradient) in gradients.iter().enumerate() {
            let at = |step: f64| {
                let mut moved = inputs.to_vec();
                let mut values = moved[input].to_vec();
                values[element] += step;
                let shape = moved[input].shape();
                moved[input] = Tensor::from_vec(values, shape).expect("the same shape as before");
                weighted(&moved).item()
            };
            let quotient = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            if !agree(gradient, quotient, TOLERANCE) {
                return Err(GradCheckError::Quotient { input, element, gradient, quotient });
            }
        }
    }
    Ok(())
}

/// Checks the second derivatives of `f` at `inputs`: runs [`gradcheck`] on the gradients of `f`,
/// with respect to the inputs and to the gradient of the output.
///
/// An operation may compute its gradient with one formula in an ordinary pass and with another,
/// differentiable one in a pass with `create_graph`. So the gradients of both passes are compared
/// first: they agree if they differ by at most 10⁻¹⁰ (1 + |gradient|).
///
/// PyTorch: `torch.autograd.gradgradcheck`.
///
/// # Errors
/// The first element whose gradients do not agree.
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
    second_order(&f, inputs)
}

fn second_order(f: Function<'_>, inputs: &[Tensor<f64>]) -> Result<(), GradCheckError> {
    let gradients_of_f = |inputs: &[Tensor<f64>], arriving: &Tensor<f64>, create_graph: bool| {
        let leaves: Vec<_> = inputs.iter().map(|x| x.clone().requires_grad()).collect();
        gradients(&(f(&leaves) * arriving).sum(), &leaves, create_graph)
    };
    let output = f(&inputs.iter().map(Tensor::detach).collect::<Vec<_>>());
    let arriving = Tensor::uniform(output.shape(), 0.5, 1.5, &mut Generator::seed(2));
    let pass = |create_graph| {
        let inputs: Vec<_> = inputs.iter().map(Tensor::detach).collect();
        enable_grad(|| gradients_of_f(&inputs, &arriving, create_graph)).unwrap_or_default()
    };
    for (input, (plain, recorded)) in pass(false).iter().zip(pass(true)).enumerate() {
        for (element, (gradient, recorded)) in
            plain.to_vec().into_iter().zip(recorded.to_vec()).enumerate()
        {
            if !agree(recorded, gradient, ROUNDING) {
                return Err(GradCheckError::Recorded { input, element, gradient, recorded });
            }
        }
    }
    let weighted_gradients = |inputs_and_arriving: &[Tensor<f64>]| {
        enable_grad(|| {
            let (arriving, inputs) = inputs_and_arriving.split_last().expect("`arriving` is last");
            let grads = gradients_of_f(inputs, arriving, true).unwrap_or_default(); // constant
            let sums = (3..).zip(&grads).map(|(seed, grad)| weighted_sum(grad, seed));
            sums.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::scalar(0.0))
        })
    };
    let inputs: Vec<_> = inputs.iter().cloned().chain([arriving.clone()]).collect();
    first_order(&weighted_gradients, &inputs)
}

/// The sum with random weights, so that wrong gradients cannot cancel.
fn weighted_sum(x: &Tensor<f64>, seed: u64) -> Tensor<f64> {
    let weights = Tensor::uniform(x.shape(), 0.5, 1.5, &mut Generator::seed(seed));
    (x * weights).sum()
}

/// The check that the tests of operations use.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Checks first and second derivatives of `f` at inputs of these shapes with elements from
    /// `domain`, in turn contiguous, transposed, sliced and broadcast.
    #[track_caller]
    pub(crate) fn check_op(
        f: impl Fn(&[Tensor<f64>]) -> Tensor<f64>,
        shapes: &[&[usize]],
        domain: std::ops::Range<f64>,
    ) {
        check_layouts(&f, shapes, domain);
    }

    #[track_caller]
    fn check_layouts(f: Function<'_>, shapes: &[&[usize]], domain: std::ops::Range<f64>) {
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
            let checks = [("first", first_order(f, &inputs)), ("second", second_order(f, &inputs))];
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
        assert!(matches!(error, GradCheckError::Quotient { input: 0, element: 1, .. }));
        assert!(error.to_string().contains("input 0, element 1"), "{error}");
    }

    #[test]
    fn a_different_gradient_with_create_graph_is_found() {
        let doubled = |inputs: &[Tensor<f64>]| {
            let x = &inputs[0];
            let saved = x.clone();
            Tensor::custom("doubled", &[x], x.detach().powf(2.0), move |g| {
                let factor = if crate::is_grad_enabled() { 4.0 } else { 2.0 };
                vec![Some(g * &saved * factor)]
            })
        };
        let x = Tensor::from_vec(vec![0.0, 2.0], [2]).unwrap();
        assert!(gradcheck(doubled, std::slice::from_ref(&x)).is_ok());
        let error = gradgradcheck(doubled, &[x]).unwrap_err();
        assert!(matches!(error, GradCheckError::Recorded { input: 0, element: 1, .. }), "{error}");
    }

    #[test]
    fn a_wrong_second_derivative_is_found() {
        let cut = |inputs: &[Tensor<f64>]| {
            let x = &inputs[0];
            let saved = x.detach(); // cuts the graph
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
