//! Running sums and products, and products over dimensions.

use crate::arrays::array::Array;
use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::keepdim::ReduceDims;
use crate::ops::reduce::reduction::Reduction;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, product_row, scan};

impl<T: Float> Tensor<T> {
    /// The running sums `out[i] = x[0] + … + x[i]` along dimension `dim`.
    ///
    /// Gradient: the running sums of `g` from the end. PyTorch: `x.cumsum(dim)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 4.0], [3]).unwrap();
    /// assert_eq!(x.cumsum(0).to_vec(), [1.0, 3.0, 7.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn cumsum(&self, dim: impl Dim) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.cumsum(0).reshape([]);
        }
        running_sum(self, check_dim("cumsum", dim, self.array.shape()), false)
    }

    /// The running products `out[i] = x[0] · … · x[i]` along dimension `dim`.
    ///
    /// Gradient: `Σ_{i ≥ k} gᵢ ∂yᵢ/∂xₖ`, correct for elements of 0 too.
    ///
    /// PyTorch: `x.cumprod(dim)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 4.0], [3]).unwrap();
    /// assert_eq!(x.cumprod(0).to_vec(), [1.0, 2.0, 8.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn cumprod(&self, dim: impl Dim) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.cumprod(0).reshape([]);
        }
        let dim = check_dim("cumprod", dim, self.array.shape());
        let value = scanned("cumprod", &self.array, dim, false, 1.0, |a, b| a * b);
        let (x, saved) = (self.clone(), value.clone());
        record("cumprod", [self], value, move |ctx| {
            let (g, y) = (ctx.grad(), ctx.output(&saved));
            let gradient = if has_zero(ctx.op(), &x.array) {
                let (before, after) = (products_before(&x, dim), carried_back(g, &x, dim));
                before * after
            } else {
                running_sum(&(g * y), dim, true) / &x
            };
            [Some(gradient)]
        })
    }

    /// The product of all elements, of shape `[]`; 1 for an empty tensor.
    ///
    /// Gradient: `g` times the product of the other elements. PyTorch: `x.prod()`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![2.0f32, 3.0, 4.0], [3]).unwrap();
    /// assert_eq!(x.prod().item(), 24.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn prod(&self) -> Tensor<T> {
        self.reshape([self.numel()]).prod_dim(0)
    }

    /// The products over dimension `dim`, which disappears, or keeps size 1 for
    /// [`keepdim(dim)`](crate::keepdim()).
    ///
    /// Gradient: `g` times the product of the other elements. PyTorch: `x.prod(dim)`,
    /// `x.prod(dim, keepdim=True)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.prod_dim(1).to_vec(), [2.0, 12.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn prod_dim(&self, dim: impl ReduceDims<Dims: Dim>) -> Tensor<T> {
        let over = Reduction::new("prod_dim", self, dim);
        let value = over.rows(&self.array, |row| T::from_f64(product_row(row)));
        let (x, saved) = (self.clone(), value.clone());
        record("prod_dim", [self], value, move |ctx| {
            let g = over.spread(ctx.grad());
            let gradient = match over.dims.first() {
                None => g, // a scalar is its own product
                Some(&dim) if has_zero(ctx.op(), &x.array) => {
                    let after = products_before(&x.flip(dim), dim).flip(dim);
                    g * (products_before(&x, dim) * after)
                }
                Some(_) => g * over.spread(&ctx.output(&saved)) / &x,
            };
            [Some(gradient)]
        })
    }
}

#[track_caller]
fn scanned<T: Float>(
    op: &str,
    x: &Array<T>,
    dim: usize,
    reverse: bool,
    init: f64,
    f: impl Fn(f64, f64) -> f64 + Sync,
) -> Array<T> {
    let (x, split) = (x.contiguous(op), x.shape().around(dim));
    Array::build(op, x.shape().clone(), |out| {
        scan(out, x.contiguous_slice(), split, reverse, init, f);
    })
}

/// The running sums along `dim`, from the end if `reverse`. Either direction is the other's
/// gradient.
#[track_caller]
fn running_sum<T: Float>(x: &Tensor<T>, dim: usize, reverse: bool) -> Tensor<T> {
    let value = scanned("cumsum", &x.array, dim, reverse, 0.0, |a, b| a + b);
    record("cumsum", [x], value, move |ctx| [Some(running_sum(ctx.grad(), dim, !reverse))])
}

#[track_caller]
fn has_zero<T: Float>(op: &str, x: &Array<T>) -> bool {
    x.contiguous(op).contiguous_slice().contains(&T::ZERO)
}

/// `x[0] · … · x[i − 1]` at `i`.
#[track_caller]
fn products_before<T: Float>(x: &Tensor<T>, dim: usize) -> Tensor<T> {
    let shape = x.array.shape();
    let first = Tensor::ones(shape.with_size(dim, 1));
    let rest = x.narrow(dim, 0, shape[dim].saturating_sub(1)).cumprod(dim);
    Tensor::cat(&[&first, &rest], dim)
}

/// `s[i] = g[i] + x[i + 1] s[i + 1]`: the gradients of later products with respect to element `i`,
/// without a division.
#[track_caller]
fn carried_back<T: Float>(g: &Tensor<T>, x: &Tensor<T>, dim: usize) -> Tensor<T> {
    let mut sums: Vec<Tensor<T>> = Vec::new();
    for i in (0..x.shape()[dim]).rev() {
        let mut sum = g.select(dim, i);
        if let Some(later) = sums.last() {
            sum += x.select(dim, i + 1) * later;
        }
        sums.push(sum);
    }
    Tensor::stack(&sums.iter().rev().collect::<Vec<_>>(), dim)
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Tensor, keepdim};

    #[test]
    fn gradients() {
        for dim in 0..3 {
            check_op(|x| x[0].cumsum(dim).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
            check_op(|x| x[0].cumprod(dim), &[&[2, 3, 2]], 0.5..2.0);
            check_op(|x| x[0].prod_dim(keepdim(dim)), &[&[2, 3, 2]], 0.5..2.0);
        }
        check_op(|x| x[0].prod(), &[&[2, 3]], 0.5..2.0);
        check_op(|x| x[0].prod() + x[0].prod_dim(0), &[&[]], 0.5..2.0);
        check_op(|x| x[0].cumsum(0) + x[0].cumprod(0), &[&[0, 2]], 0.5..2.0);
    }

    #[test]
    fn gradients_at_zeros() {
        for zeros in [&[1][..], &[0, 3], &[3]] {
            let mut mask = vec![1.0; 4];
            zeros.iter().for_each(|&i| mask[i] = 0.0);
            let mask = Tensor::from_vec(mask, [4]).unwrap();
            let x = Tensor::from_vec(vec![0.7, -1.3, 0.4, 2.0], [4]).unwrap() * mask;
            crate::gradcheck(|x| x[0].cumprod(0), std::slice::from_ref(&x)).unwrap();
            crate::gradcheck(|x| x[0].prod(), std::slice::from_ref(&x)).unwrap();
            crate::gradgradcheck(|x| x[0].cumprod(0), std::slice::from_ref(&x)).unwrap();
            crate::gradgradcheck(|x| x[0].prod(), &[x]).unwrap();
        }
    }

    #[test]
    fn a_long_running_sum_keeps_its_precision() {
        let sums = Tensor::<f32>::full([1_000_000], 0.1).cumsum(0);
        let last = f64::from(sums.select(0, 999_999).item());
        assert!((last / (f64::from(0.1f32) * 1e6) - 1.0).abs() < 1e-7);
    }
}
