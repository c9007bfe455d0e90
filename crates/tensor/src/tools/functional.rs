//! Derivatives of functions, as in `torch.autograd.functional`.
//!
//! Each takes a function of tensors and the inputs at which to differentiate it. Only the values of
//! the inputs are used, and results are untracked. For further derivatives, use [`grad()`] with
//! [`create_graph`](GradOptions::create_graph).

use crate::arrays::shape::Shape;
use crate::tape::mode::enable_grad;
use crate::tape::tensor::Tensor;
use crate::tools::grad::{GradOptions, grad};
use adamant_kernels::Float;

/// The value of `f` at `inputs`, and the vector-Jacobian product `vᵀ J`.
///
/// `v` has the shape of the value. There is a product for each input, of its shape; it is zero for
/// an input that the value does not depend on.
///
/// PyTorch: `torch.autograd.functional.vjp(f, inputs, v)`.
///
/// # Panics
/// If `v` does not have the shape of the value.
///
/// ```
/// use adamant_tensor::{Tensor, vjp};
/// let x = Tensor::from_vec(vec![1.0f64, 2.0], [2]).unwrap();
/// let v = Tensor::from_vec(vec![10.0, 100.0], [2]).unwrap();
/// let (value, product) = vjp(|x| &x[0] * &x[0], &[&x], &v);
/// assert_eq!(value.to_vec(), [1.0, 4.0]);
/// assert_eq!(product[0].to_vec(), [20.0, 400.0]);
/// ```
#[must_use]
#[track_caller]
pub fn vjp<T: Float>(
    f: impl FnOnce(&[Tensor<T>]) -> Tensor<T>,
    inputs: &[&Tensor<T>],
    v: &Tensor<T>,
) -> (Tensor<T>, Vec<Tensor<T>>) {
    let (leaves, value) = at(f, inputs);
    check_vector("vjp: the value", &value, v);
    let products = pull(&value, &v.detach(), &leaves, GradOptions::default());
    (value.detach(), products)
}

/// The value of `f` at `inputs`, and the Jacobian-vector product `J v`: the derivative of the value
/// in direction `v`.
///
/// `v` has a tensor for each input, of its shape; the product has the shape of the value. It is
/// computed in two backward passes, as the derivative of `uᵀ J v` with respect to `u`, so every
/// operation of `f` must be differentiable twice.
///
/// PyTorch: `torch.autograd.functional.jvp(f, inputs, v)`.
///
/// # Panics
/// If the shapes in `v` are not those of the inputs.
///
/// ```
/// use adamant_tensor::{Tensor, jvp};
/// let x = Tensor::from_vec(vec![1.0f64, 2.0], [2]).unwrap();
/// let v = Tensor::from_vec(vec![10.0, 100.0], [2]).unwrap();
/// let (_, product) = jvp(|x| (&x[0] * &x[0]).sum(), &[&x], &[&v]);
/// assert_eq!(product.item(), 420.0);
/// ```
#[must_use]
#[track_caller]
pub fn jvp<T: Float>(
    f: impl FnOnce(&[Tensor<T>]) -> Tensor<T>,
    inputs: &[&Tensor<T>],
    v: &[&Tensor<T>],
) -> (Tensor<T>, Tensor<T>) {
    check_vectors("jvp", inputs, v);
    let (leaves, value) = at(f, inputs);
    let u = Tensor::zeros(value.array.shape()).requires_grad();
    let pulled = pull(&value, &u, &leaves, GradOptions::default().create_graph(true));
    (value.detach(), pull_all(&pulled, v, &[&u]).swap_remove(0))
}

/// The Jacobian of `f` at `inputs`: all `∂valueᵢ/∂inputⱼ`.
///
/// The result for each input has the value's shape followed by the input's. This takes a backward
/// pass for each element of the value.
///
/// PyTorch: `torch.autograd.functional.jacobian(f, inputs)`.
///
/// ```
/// use adamant_tensor::{Tensor, jacobian};
/// let x = Tensor::from_vec(vec![1.0f64, 2.0], [2]).unwrap();
/// let jacobians = jacobian(|x| &x[0] * &x[0], &[&x]);
/// assert_eq!(jacobians[0].shape(), [2, 2]);
/// assert_eq!(jacobians[0].to_vec(), [2.0, 0.0, 0.0, 4.0]);
/// ```
#[must_use]
#[track_caller]
pub fn jacobian<T: Float>(
    f: impl FnOnce(&[Tensor<T>]) -> Tensor<T>,
    inputs: &[&Tensor<T>],
) -> Vec<Tensor<T>> {
    let (leaves, value) = at(f, inputs);
    rows(&value, &leaves)
}

/// The value of `f` at `inputs`, which has a single element, and the Hessian-vector product `H v`.
///
/// Both `v` and the product have a tensor for each input, of its shape. This takes two backward
/// passes, whatever the size of the Hessian.
///
/// PyTorch: `torch.autograd.functional.hvp(f, inputs, v)` (and `vhp`: the Hessian is symmetric).
///
/// # Panics
/// If the value does not have a single element, or the shapes in `v` are not those of the inputs.
///
/// ```
/// use adamant_tensor::{Tensor, hvp};
/// let x = Tensor::from_vec(vec![1.0f64, 2.0], [2]).unwrap();
/// let v = Tensor::from_vec(vec![10.0, 100.0], [2]).unwrap();
/// let (value, product) = hvp(|x| x[0].powf(3.0).sum(), &[&x], &[&v]);
/// assert_eq!(value.item(), 9.0);
/// assert_eq!(product[0].to_vec(), [60.0, 1200.0]); // 6 x v
/// ```
#[must_use]
#[track_caller]
pub fn hvp<T: Float>(
    f: impl FnOnce(&[Tensor<T>]) -> Tensor<T>,
    inputs: &[&Tensor<T>],
    v: &[&Tensor<T>],
) -> (Tensor<T>, Vec<Tensor<T>>) {
    check_vectors("hvp", inputs, v);
    let (leaves, value) = at(f, inputs);
    let gradient = gradient("hvp", &value, &leaves);
    let products = pull_all(&gradient, v, &leaves.iter().collect::<Vec<_>>());
    (value.detach(), products)
}

/// The Hessian of `f` at `input`: all `∂²f/∂xᵢ∂xⱼ`, where the value of `f` has a single element.
///
/// Its shape is the input's shape followed by itself. This takes a backward pass for each element
/// of the input.
///
/// PyTorch: `torch.autograd.functional.hessian(f, input)`.
///
/// # Panics
/// If the value of `f` does not have a single element.
///
/// ```
/// use adamant_tensor::{Tensor, hessian};
/// let x = Tensor::from_vec(vec![1.0f64, 2.0], [2]).unwrap();
/// assert_eq!(hessian(|x| x.powf(3.0).sum(), &x).to_vec(), [6.0, 0.0, 0.0, 12.0]);
/// ```
#[must_use]
#[track_caller]
pub fn hessian<T: Float>(f: impl FnOnce(&Tensor<T>) -> Tensor<T>, input: &Tensor<T>) -> Tensor<T> {
    let (leaves, value) = at(|x| f(&x[0]), &[input]);
    let gradient = gradient("hessian", &value, &leaves).swap_remove(0);
    rows(&gradient, &leaves).swap_remove(0)
}

/// Leaves with the values of the inputs, and the tracked value of `f` at these leaves.
#[track_caller]
fn at<T: Float>(
    f: impl FnOnce(&[Tensor<T>]) -> Tensor<T>,
    inputs: &[&Tensor<T>],
) -> (Vec<Tensor<T>>, Tensor<T>) {
    let leaves: Vec<_> = inputs.iter().map(|x| x.detach().requires_grad()).collect();
    let value = enable_grad(|| f(&leaves));
    (leaves, value)
}

/// `vᵀ J` for each leaf; zeros where the output does not depend on it.
#[track_caller]
fn pull<T: Float>(
    output: &Tensor<T>,
    v: &Tensor<T>,
    leaves: &[Tensor<T>],
    options: GradOptions,
) -> Vec<Tensor<T>> {
    if !output.is_tracked() {
        return leaves.iter().map(|x| Tensor::zeros(x.array.shape())).collect();
    }
    grad((output, v), &leaves.iter().collect::<Vec<_>>(), options.allow_unused(true))
}

/// [`pull`] from several outputs.
#[track_caller]
fn pull_all<T: Float>(
    outputs: &[Tensor<T>],
    v: &[&Tensor<T>],
    leaves: &[&Tensor<T>],
) -> Vec<Tensor<T>> {
    // An output that is not tracked is constant and adds nothing.
    let v: Vec<_> = v.iter().map(|v| v.detach()).collect();
    let pairs = outputs.iter().zip(&v);
    let tracked: Vec<_> = pairs.filter(|(output, _)| output.is_tracked()).collect();
    grad(&tracked[..], leaves, GradOptions::default().allow_unused(true))
}

/// The recorded gradient of a value with a single element.
#[track_caller]
fn gradient<T: Float>(op: &str, value: &Tensor<T>, leaves: &[Tensor<T>]) -> Vec<Tensor<T>> {
    let shape = value.array.shape();
    assert!(
        shape.numel() == 1,
        "{op}: the function returned a tensor of shape {shape}; expected a single element"
    );
    pull(value, &Tensor::ones(shape), leaves, GradOptions::default().create_graph(true))
}

/// The Jacobian of the output for each leaf, computed row by row.
#[track_caller]
fn rows<T: Float>(output: &Tensor<T>, leaves: &[Tensor<T>]) -> Vec<Tensor<T>> {
    let count = output.numel();
    let mut jacobians: Vec<Vec<T>> =
        leaves.iter().map(|x| Vec::with_capacity(count * x.numel())).collect();
    for row in 0..count {
        let one_hot = Tensor::build(output.shape(), |out| {
            out.fill(T::ZERO);
            out[row] = T::ONE;
        });
        let grads = pull(output, &one_hot, leaves, GradOptions::default().retain_graph(true));
        for (jacobian, grad) in jacobians.iter_mut().zip(grads) {
            jacobian.extend(grad.to_vec());
        }
    }
    let assemble = |(x, values): (&Tensor<T>, Vec<T>)| {
        let shape: Shape = output.shape().iter().chain(x.shape()).copied().collect();
        Tensor::from_vec(values, shape).expect("a row for each element of the output")
    };
    leaves.iter().zip(jacobians).map(assemble).collect()
}

#[track_caller]
fn check_vectors<T: Float>(op: &str, inputs: &[&Tensor<T>], v: &[&Tensor<T>]) {
    assert!(
        inputs.len() == v.len(),
        "{op}: {} inputs, but {} vectors; expected one for each input",
        inputs.len(),
        v.len()
    );
    for (i, (input, v)) in inputs.iter().zip(v).enumerate() {
        check_vector(format_args!("{op}: input {i}"), input, v);
    }
}

#[track_caller]
fn check_vector<T: Float>(what: impl std::fmt::Display, of: &Tensor<T>, v: &Tensor<T>) {
    let (expected, found) = (of.array.shape(), v.array.shape());
    assert!(
        found == expected,
        "{what} has shape {expected}, but its vector has shape {found}; expected equal shapes"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Generator, no_grad};

    fn tensor(values: &[f64], shape: &[usize]) -> Tensor<f64> {
        Tensor::from_vec(values.to_vec(), shape).unwrap()
    }

    fn assert_close(found: &Tensor<f64>, expected: &Tensor<f64>) {
        assert_eq!(found.shape(), expected.shape());
        for (a, b) in found.to_vec().iter().zip(expected.to_vec()) {
            assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{found:?}\n{expected:?}");
        }
    }

    #[test]
    fn the_jacobian_of_a_matrix_product_is_the_matrix() {
        let mut rng = Generator::seed(0);
        let [a, x] = [[3, 2], [2, 1]].map(|shape| Tensor::<f64>::randn(shape, &mut rng));
        let [u, v] = [[3, 1], [2, 1]].map(|shape| Tensor::<f64>::randn(shape, &mut rng));
        let f = |inputs: &[Tensor<f64>]| a.matmul(&inputs[0]);
        let jacobian = no_grad(|| jacobian(f, &[&x]));
        assert_eq!(jacobian[0].shape(), [3, 1, 2, 1]);
        assert_close(&jacobian[0].reshape([3, 2]), &a);
        let (value, pulled) = vjp(f, &[&x], &u);
        assert_close(&value, &a.matmul(&x));
        assert_close(&pulled[0], &a.transpose(0, 1).matmul(&u));
        let (value, pushed) = jvp(f, &[&x], &[&v]);
        assert_close(&value, &a.matmul(&x));
        assert_close(&pushed, &a.matmul(&v));
        assert!(!value.is_tracked() && !pushed.is_tracked() && !pulled[0].is_tracked());
    }

    #[test]
    fn the_hessian_of_a_quadratic_form_is_symmetric() {
        let mut rng = Generator::seed(1);
        let a = Tensor::<f64>::randn([3, 3], &mut rng);
        let [x, v] = [(); 2].map(|()| Tensor::<f64>::randn([3, 1], &mut rng));
        let f = |x: &Tensor<f64>| x.transpose(0, 1).matmul(&a).matmul(x).sum();
        let symmetric = &a + a.transpose(0, 1);
        let hessian = hessian(f, &x);
        assert_eq!(hessian.shape(), [3, 1, 3, 1]);
        assert_close(&hessian.reshape([3, 3]), &symmetric);
        let (value, product) = hvp(|x| f(&x[0]), &[&x], &[&v]);
        assert_close(&value, &f(&x));
        assert_close(&product[0], &symmetric.matmul(&v));
    }

    #[test]
    fn each_input_has_a_result() {
        let (x, y) = (tensor(&[2.0, 3.0], &[2]), tensor(&[5.0], &[]));
        let f = |i: &[Tensor<f64>]| &i[0] * &i[0] * &i[1]; // x² y
        let jacobians = jacobian(f, &[&x, &y]);
        assert_close(&jacobians[0], &tensor(&[20.0, 0.0, 0.0, 30.0], &[2, 2]));
        assert_close(&jacobians[1], &tensor(&[4.0, 9.0], &[2]));
        let (v, w) = (tensor(&[1.0, 10.0], &[2]), tensor(&[100.0], &[]));
        assert_close(&jvp(f, &[&x, &y], &[&v, &w]).1, &tensor(&[420.0, 1200.0], &[2]));
        let (_, product) = hvp(|i| f(i).sum(), &[&x, &y], &[&v, &w]);
        assert_close(&product[0], &tensor(&[410.0, 700.0], &[2])); // 2 y v + 2 x w
        assert_close(&product[1], &tensor(&[64.0], &[])); // Σ 2 x v
    }

    #[test]
    fn derivatives_of_constants_are_zero() {
        let x = tensor(&[2.0, 3.0], &[2]);
        assert_eq!(hessian(|x| x.sum(), &x).to_vec(), [0.0; 4]);
        assert_eq!(hessian(|_| tensor(&[1.0], &[]), &x).to_vec(), [0.0; 4]);
        assert_eq!(hvp(|x| x[0].sum(), &[&x], &[&x]).1[0].to_vec(), [0.0; 2]);
        assert_eq!(jacobian(|_| tensor(&[1.0], &[1]), &[&x])[0].to_vec(), [0.0; 2]);
        assert_eq!(jvp(|_| tensor(&[1.0], &[1]), &[&x], &[&x]).1.to_vec(), [0.0]);
        assert_eq!(
            vjp(|_| tensor(&[1.0], &[1]), &[&x], &tensor(&[1.0], &[1])).1[0].to_vec(),
            [0.0; 2]
        );
        assert_eq!(jacobian(|i| i[0].narrow(0, 0, 0), &[&x])[0].shape(), [0, 2]);
    }

    #[test]
    #[should_panic(expected = "vjp: the value has shape [2], but its vector has shape [3]")]
    fn a_vector_of_another_shape_is_rejected() {
        let x = tensor(&[2.0, 3.0], &[2]);
        let _ = vjp(|x| x[0].clone(), &[&x], &Tensor::ones([3]));
    }

    #[test]
    #[should_panic(expected = "hessian: the function returned a tensor of shape [2]")]
    fn a_hessian_requires_a_single_element() {
        let _ = hessian(|x| x * 2.0, &tensor(&[2.0, 3.0], &[2]));
    }
}
