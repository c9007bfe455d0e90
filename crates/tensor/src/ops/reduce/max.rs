//! The largest and the smallest elements: of all, or along dimensions.

use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::indices::Indices;
use crate::arrays::keepdim::ReduceDims;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The largest element, of shape `[]`; NaN if there is one.
    ///
    /// Gradient: `g`, shared evenly among equal elements. PyTorch: `x.max()`.
    ///
    /// # Panics
    /// If the tensor is empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 4.0, 2.0], [3]).unwrap();
    /// assert_eq!(x.max().item(), 4.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn max(&self) -> Tensor<T> {
        best("max", self, .., true, |x, best| x > best)
    }

    /// The smallest element, of shape `[]`; NaN if there is one.
    ///
    /// Gradient: `g`, shared evenly among equal elements. PyTorch: `x.min()`.
    ///
    /// # Panics
    /// If the tensor is empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![3.0f32, 1.0, 2.0], [3]).unwrap();
    /// assert_eq!(x.min().item(), 1.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn min(&self) -> Tensor<T> {
        best("min", self, .., true, |x, best| x < best)
    }

    /// The largest elements over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()); NaN if there is one.
    ///
    /// Gradient: `g`, shared evenly among equal elements. PyTorch: `x.amax(dims)`,
    /// `x.amax(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions, or they are empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 4.0, 2.0, 3.0], [2, 2]).unwrap();
    /// assert_eq!(x.amax(1).to_vec(), [4.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn amax(&self, dims: impl ReduceDims) -> Tensor<T> {
        best("amax", self, dims, false, |x, best| x > best)
    }

    /// The smallest elements over dimensions `dims`, which disappear, or keep size 1 for
    /// [`keepdim(dims)`](crate::keepdim()); NaN if there is one.
    ///
    /// Gradient: `g`, shared evenly among equal elements. PyTorch: `x.amin(dims)`,
    /// `x.amin(dims, keepdim=True)`.
    ///
    /// # Panics
    /// If there are no such dimensions, or they are empty.
    ///
    /// ```
    /// use adamant_tensor::{Tensor, keepdim};
    /// let x = Tensor::from_vec(vec![1.0f32, 4.0, 2.0, 3.0], [2, 2]).unwrap();
    /// assert_eq!(x.amin(keepdim(0)).to_vec(), [1.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn amin(&self, dims: impl ReduceDims) -> Tensor<T> {
        best("amin", self, dims, false, |x, best| x < best)
    }

    /// The largest elements along dimension `dim` and their indices: the first of equal ones, or
    /// the first NaN if there is one. The dimension disappears, or keeps size 1 for
    /// [`keepdim(dim)`](crate::keepdim()).
    ///
    /// Gradient: `g` at that index. PyTorch: `x.max(dim)`, `x.max(dim, keepdim=True)`.
    ///
    /// # Panics
    /// If there is no such dimension, or it is empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 4.0, 3.0, 3.0], [2, 2]).unwrap();
    /// let (values, indices) = x.max_dim(1);
    /// assert_eq!((values.to_vec(), indices.to_vec()), (vec![4.0, 3.0], vec![1, 0]));
    /// ```
    #[track_caller]
    pub fn max_dim(&self, dim: impl ReduceDims<Dims: Dim>) -> (Tensor<T>, Indices) {
        self.best_along("max_dim", dim, |x, best| x > best)
    }

    /// The smallest elements along dimension `dim` and their indices: the first of equal ones, or
    /// the first NaN if there is one. The dimension disappears, or keeps size 1 for
    /// [`keepdim(dim)`](crate::keepdim()).
    ///
    /// Gradient: `g` at that index. PyTorch: `x.min(dim)`, `x.min(dim, keepdim=True)`.
    ///
    /// # Panics
    /// If there is no such dimension, or it is empty.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 4.0, 3.0, 3.0], [2, 2]).unwrap();
    /// assert_eq!(x.min_dim(1).1.to_vec(), [0, 0]);
    /// ```
    #[track_caller]
    pub fn min_dim(&self, dim: impl ReduceDims<Dims: Dim>) -> (Tensor<T>, Indices) {
        self.best_along("min_dim", dim, |x, best| x < best)
    }

    #[track_caller]
    fn best_along<D: ReduceDims<Dims: Dim>>(
        &self,
        op: &str,
        dim: D,
        better: impl Fn(T, T) -> bool + Copy + Sync,
    ) -> (Tensor<T>, Indices) {
        let dim = dim.dims();
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.best_along(op, 0, better);
        }
        let shape = self.array.shape();
        let dim = check_dim(op, dim, shape);
        let indices =
            Indices::from(self.arg_best(op, dim, better)).reshape(shape.with_size(dim, 1));
        let values = self.gather(dim, &indices);
        if D::KEEPDIM {
            return (values, indices);
        }
        let result = shape.without(dim);
        (values.reshape(&result), indices.reshape(&result))
    }
}

/// Where the result is NaN, its gradient goes to the NaNs if `nan_is_chosen`, as for PyTorch's
/// `max()`, and is NaN everywhere otherwise, as for `amax()`.
#[track_caller]
pub(crate) fn best<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    dims: impl ReduceDims,
    nan_is_chosen: bool,
    better: impl Fn(T, T) -> bool + Copy + Sync,
) -> Tensor<T> {
    let over = Reduction::new(op, x, dims);
    over.refuse_empty();
    let value = over.best(&x.array, better);
    let (input, result) = (x.array.clone(), value.clone());
    record(op, [x], value, move |ctx| {
        let spread = result.reshape(op, over.kept.clone()).broadcast_to(&over.shape);
        let chosen = move |x: T, best: T| {
            let nan = nan_is_chosen && x.is_nan() && best.is_nan();
            if x == best || nan { T::ONE } else { T::ZERO }
        };
        let chosen = input.zip(op, &spread, over.shape.clone(), chosen);
        let count: Tensor<T> = over.sum(&chosen).into();
        [Some(over.spread(&(ctx.grad() / count)) * Tensor::from(chosen))]
    })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Tensor, keepdim};

    #[test]
    fn gradients() {
        // Broadcasting makes equal elements, where there is a kink: make them differ.
        let spaced = |x: &Tensor<f64>| {
            let n = x.numel();
            x + Tensor::from_vec((0..n).map(|i| ((i * 5) % 7) as f64).collect(), x.shape()).unwrap()
        };
        check_op(|x| spaced(&x[0]).max() * spaced(&x[0]).min(), &[&[2, 3]], -0.4..0.4);
        check_op(|x| spaced(&x[0]).amax([0, 2]), &[&[2, 2, 2]], -0.4..0.4);
        check_op(|x| spaced(&x[0]).amin(keepdim(1)), &[&[2, 3]], -0.4..0.4);
        check_op(|x| spaced(&x[0]).max_dim(keepdim(1)).0.powf(2.0), &[&[2, 3]], -0.4..0.4);
        check_op(|x| spaced(&x[0]).min_dim(0).0.powf(2.0), &[&[2, 3]], -0.4..0.4);
    }

    #[test]
    fn ties_share_the_gradient_or_the_first_gets_it() {
        let leaf = || Tensor::from_vec(vec![2.0f32, 1.0, 2.0], [3]).unwrap().requires_grad();
        let x = leaf();
        x.max().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [0.5, 0.0, 0.5]);
        let x = leaf();
        x.max_dim(0).0.backward();
        assert_eq!(x.grad().unwrap().to_vec(), [1.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "amax: a tensor of shape [2, 0] has nothing to choose from")]
    fn an_empty_dimension_has_no_maximum() {
        let _ = Tensor::<f32>::ones([2, 0]).amax(1);
    }
}
