//! Flipping, rolling, repeating, padding, and the triangles of matrices.

use crate::arrays::array::{Array, with_room};
use crate::arrays::dims::{Dim, Dims, check_dim, check_dims};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float};
use smallvec::SmallVec;

impl<T: Float> Tensor<T> {
    /// The elements in reverse order along dimensions `dims`.
    ///
    /// PyTorch: `x.flip(dims)`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.flip(1).to_vec(), [2.0, 1.0, 4.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn flip(&self, dims: impl Dims) -> Tensor<T> {
        let dims = check_dims("flip", dims, self.array.shape());
        if dims.is_empty() {
            return self.clone();
        }
        let mut back: SmallVec<[Vec<usize>; 4]> = SmallVec::new();
        for &dim in &dims {
            let mut index = with_room("flip", self.shape()[dim]);
            index.extend((0..self.shape()[dim]).rev());
            back.push(index);
        }
        let indices: SmallVec<[_; 4]> =
            dims.iter().zip(&back).map(|(&dim, index)| (dim, &index[..])).collect();
        let value = self.array.take("flip", &indices);
        record("flip", [self], value, move |ctx| [Some(ctx.grad().flip(&dims[..]))])
    }

    /// The elements shifted by `shift` positions along dimension `dim`; those shifted past one end
    /// reappear at the other.
    ///
    /// PyTorch: `x.roll(shift, dim)`.
    ///
    /// # Panics
    /// If there is no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
    /// assert_eq!((x.roll(1, 0).to_vec(), x.roll(-1, 0).to_vec()), (vec![3.0, 1.0, 2.0], vec![2.0, 3.0, 1.0]));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn roll(&self, shift: isize, dim: impl Dim) -> Tensor<T> {
        let shape = self.array.shape();
        let dim = check_dim("roll", dim, shape);
        let size = shape[dim];
        if size == 0 {
            return self.clone();
        }
        let cut = (size - shift.rem_euclid(size as isize) as usize) % size;
        let mut order = with_room("roll", size);
        order.extend((cut..size).chain(0..cut));
        let value = self.array.take("roll", &[(dim, &order)]);
        record("roll", [self], value, move |ctx| [Some(ctx.grad().roll(cut as isize, dim))])
    }

    /// The tensor repeated `times[d]` times along dimension `d` of the result. A `times` that is
    /// longer than the shape adds leading dimensions.
    ///
    /// PyTorch: `x.repeat(times)`.
    ///
    /// # Panics
    /// If `times` is shorter than the shape.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    /// assert_eq!(x.repeat(&[2, 2]).to_vec(), [1.0, 2.0, 1.0, 2.0].repeat(2));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn repeat(&self, times: &[usize]) -> Tensor<T> {
        let shape = self.array.shape();
        assert!(
            times.len() >= shape.len(),
            "repeat: {times:?} times a tensor of shape {shape}; expected a number for each dimension"
        );
        let lead = times.len() - shape.len();
        let sizes = || (0..times.len()).map(|d| if d < lead { 1 } else { shape[d - lead] });
        // [a, b] becomes [1, a, 1, b], then [t₀, a, t₁, b], then [t₀ a, t₁ b].
        let apart: Vec<usize> = sizes().flat_map(|size| [1, size]).collect();
        let spread: Vec<usize> = sizes().zip(times).flat_map(|(size, &t)| [t, size]).collect();
        let result: Option<Vec<usize>> =
            sizes().zip(times).map(|(size, &t)| size.checked_mul(t)).collect();
        let Some(result) = result else {
            panic!("repeat: {times:?} times a tensor of shape {shape} is too large")
        };
        self.reshape(apart).broadcast_to(spread).reshape(result)
    }

    /// The tensor padded with `value`: `(before, after)` elements for each dimension, the last
    /// dimension first, as in PyTorch. A negative count removes elements.
    ///
    /// PyTorch: `torch.nn.functional.pad(x, (before, after, …), value=value)`.
    ///
    /// # Panics
    /// If there are more pairs than dimensions, or more elements are removed than there are.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
    /// assert_eq!(x.pad(&[(1, 0)], 9.0).to_vec(), [9.0, 1.0, 2.0]);
    /// assert_eq!(x.pad(&[(0, -1), (0, 1)], 0.0).to_vec(), [1.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn pad(&self, around: &[(isize, isize)], value: T) -> Tensor<T> {
        let shape = self.array.shape();
        assert!(
            around.len() <= shape.len(),
            "pad: {} pairs for a tensor of shape {shape}; expected at most one for each dimension",
            around.len()
        );
        // What is left of the tensor, its position in the result, and the shape of the result.
        let (mut kept, mut start, mut padded) = (self.clone(), vec![0; shape.len()], shape.clone());
        for (i, &(before, after)) in around.iter().enumerate() {
            let dim = shape.len() - 1 - i;
            let cut = [before, after].map(|n| n.min(0).unsigned_abs());
            let left = shape[dim].checked_sub(cut[0]).and_then(|left| left.checked_sub(cut[1]));
            let Some(left) = left else {
                panic!(
                    "pad: ({before}, {after}) takes more from dimension {dim} of a tensor of shape \
                     {shape} than the {} it has",
                    shape[dim]
                )
            };
            if cut != [0, 0] {
                kept = kept.narrow(dim, cut[0], left);
            }
            let [before, after] = [before, after].map(|n| n.max(0).unsigned_abs());
            start[dim] = before;
            let size = left.saturating_add(before).saturating_add(after);
            padded = padded.with_size(dim, size);
        }
        let padded = padded.checked("pad");
        if padded == *kept.array.shape() {
            return kept;
        }
        let result = Array::build("pad", padded.clone(), |out| {
            let x = kept.array.strided_slice();
            kernels::pad(out, &padded, x, kept.array.shape(), &start, value);
        });
        let back: Vec<_> = around.iter().map(|&(before, after)| (-before, -after)).collect();
        record("pad", [self], result, move |ctx| [Some(ctx.grad().pad(&back, T::ZERO))])
    }

    /// The lower triangle of each matrix: its elements on and below a diagonal, 0 above it.
    /// Diagonal 0 is the main one, positive ones lie above it, negative ones below.
    ///
    /// PyTorch: `x.tril(diagonal)`.
    ///
    /// # Panics
    /// If there are fewer than two dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([2, 2]);
    /// assert_eq!(x.tril(0).to_vec(), [1.0, 0.0, 1.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Tensor<T> {
        self.triangle(Triangle::Lower, diagonal)
    }

    /// The upper triangle of each matrix: its elements on and above a diagonal, 0 below it.
    /// Diagonal 0 is the main one, positive ones lie above it, negative ones below.
    ///
    /// PyTorch: `x.triu(diagonal)`.
    ///
    /// # Panics
    /// If there are fewer than two dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([2, 2]);
    /// assert_eq!(x.triu(1).to_vec(), [0.0, 1.0, 0.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Tensor<T> {
        self.triangle(Triangle::Upper, diagonal)
    }

    #[track_caller]
    fn triangle(&self, triangle: Triangle, diagonal: isize) -> Tensor<T> {
        let op = match triangle {
            Triangle::Lower => "tril",
            Triangle::Upper => "triu",
        };
        let shape = self.array.shape();
        let &[.., rows, cols] = &**shape else {
            panic!("{op}: a tensor of shape {shape}; expected at least 2 dimensions")
        };
        // The columns of a row before `diagonal`, on it, and after it are `0..on`, `on`, and the others.
        let on = move |row: usize| (row as isize).saturating_add(diagonal);
        let before = move |col: isize| col.clamp(0, cols as isize) as usize;
        let kept = move |row: usize| match triangle {
            Triangle::Lower => 0..before(on(row).saturating_add(1)),
            Triangle::Upper => before(on(row))..cols,
        };
        let x = self.array.contiguous(op);
        let value = Array::build(op, shape.clone(), |out| {
            kernels::triangle(out, x.contiguous_slice(), [rows, cols], kept, T::ZERO);
        });
        record(op, [self], value, move |ctx| [Some(ctx.grad().triangle(triangle, diagonal))])
    }
}

/// The part of a matrix that is not replaced by zeros.
#[derive(Clone, Copy)]
enum Triangle {
    Lower,
    Upper,
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].flip([0, -1]).cumsum(0).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].roll(4, 1).cumsum(1).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].repeat(&[2, 1, 3]).cumsum(2), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].pad(&[(1, -1), (0, 2)], 1.5).cumsum(1), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].tril(-1).powf(2.0) + x[0].triu(1), &[&[2, 3, 3]], -2.0..2.0);
    }

    #[test]
    fn triangles_may_be_whole_or_empty() {
        let x = Tensor::<f32>::ones([2, 3, 4]);
        for (diagonal, lower) in [(isize::MIN, 0.0), (-3, 0.0), (3, 24.0), (isize::MAX, 24.0)] {
            assert_eq!(x.tril(diagonal).sum().item(), lower);
        }
        for (diagonal, upper) in [(isize::MIN, 24.0), (-2, 24.0), (4, 0.0), (isize::MAX, 0.0)] {
            assert_eq!(x.triu(diagonal).sum().item(), upper);
        }
        assert_eq!(x.transpose(1, 2).tril(0).sum().item(), 18.0);
        assert_eq!(Tensor::<f32>::ones([2, 0]).tril(0).shape(), [2, 0]);
    }

    #[test]
    fn roll_wraps_around() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
        assert_eq!(x.roll(-7, 0).to_vec(), [2.0, 3.0, 1.0]);
        assert_eq!(x.repeat(&[0]).shape(), [0]);
        assert_eq!(Tensor::<f32>::ones([0, 2]).roll(1, 0).shape(), [0, 2]);
        assert_eq!(Tensor::<f32>::scalar(3.0).flip(0).item(), 3.0);
        assert_eq!(x.flip(..).to_vec(), [3.0, 2.0, 1.0]);
    }
}
