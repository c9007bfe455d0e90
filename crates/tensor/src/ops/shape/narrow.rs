//! Parts of a tensor. Views: nothing is copied.
//!
//! The gradient is `g`, added at the positions that the view shows; 0 elsewhere.

use crate::arrays::dims::{Dim, check_dim};
use crate::arrays::shape::Shape;
use crate::tape::tensor::Tensor;
use crate::tape::view::record_view;
use adamant_kernels::Float;
use std::ops::{Bound, RangeBounds};

impl<T: Float> Tensor<T> {
    /// The view of `len` elements of dimension `dim`, from `start` on.
    ///
    /// PyTorch: `x.narrow(dim, start, len)`.
    ///
    /// # Panics
    /// If there is no such dimension or range.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3]).unwrap();
    /// assert_eq!(x.narrow(0, 1, 2).to_vec(), [2.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn narrow(&self, dim: impl Dim, start: usize, len: usize) -> Tensor<T> {
        let shape = self.array.shape();
        let dim = check_dim("narrow", dim, shape);
        assert!(
            start.checked_add(len).is_some_and(|end| end <= shape[dim]),
            "narrow: {len} elements from {start} on are not in dimension {dim} of a tensor of \
             shape {shape}, which has {}",
            shape[dim]
        );
        record_view("narrow", self, |layout| layout.slice(dim, start, len, 1))
    }

    /// The view of every `step`-th element of a range of dimension `dim`.
    ///
    /// A range that reaches past the end stops there. PyTorch: `x[start:end:step]`
    /// (in dimension `dim`).
    ///
    /// # Panics
    /// If there is no such dimension, or `step` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::arange(0.0, 6.0, 1.0);
    /// assert_eq!(x.slice(0, 1.., 2).to_vec(), [1.0, 3.0, 5.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn slice(&self, dim: impl Dim, range: impl RangeBounds<usize>, step: usize) -> Tensor<T> {
        let shape = self.array.shape();
        let dim = check_dim("slice", dim, shape);
        assert!(step > 0, "slice: a step of 0 along dimension {dim} of a tensor of shape {shape}");
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => usize::MAX,
        };
        let len = end.min(shape[dim]).saturating_sub(start).div_ceil(step);
        record_view("slice", self, |layout| layout.slice(dim, start, len, step))
    }

    /// The view at `index` of dimension `dim`, which disappears.
    ///
    /// PyTorch: `x.select(dim, index)`, `x[index]`.
    ///
    /// # Panics
    /// If there is no such dimension or index.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.select(1, 0).to_vec(), [1.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn select(&self, dim: impl Dim, index: usize) -> Tensor<T> {
        let shape = self.array.shape();
        let dim = check_dim("select", dim, shape);
        assert!(
            index < shape[dim],
            "select: index {index} of dimension {dim} of a tensor of shape {shape}, which has {}",
            shape[dim]
        );
        record_view("select", self, |layout| layout.select(dim, index))
    }

    /// Views of `size` elements each along dimension `dim`; the last may be smaller.
    ///
    /// PyTorch: `x.split(size, dim)`.
    ///
    /// # Panics
    /// If there is no such dimension, or `size` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let parts = Tensor::<f32>::ones([5]).split(2, 0);
    /// assert_eq!(parts.iter().map(Tensor::numel).collect::<Vec<_>>(), [2, 2, 1]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn split(&self, size: usize, dim: impl Dim) -> Vec<Tensor<T>> {
        let shape = self.array.shape();
        let dim = check_dim("split", dim, shape);
        assert!(size > 0, "split: parts of 0 elements of a tensor of shape {shape}");
        let mut parts = Vec::new();
        // As in PyTorch, an empty dimension gives one empty part.
        for start in (0..shape[dim].max(1)).step_by(size) {
            parts.push(self.narrow(dim, start, size.min(shape[dim] - start)));
        }
        parts
    }

    /// Views of these sizes along dimension `dim`, one after the other.
    ///
    /// PyTorch: `x.split_with_sizes(sizes, dim)`, `x.split(sizes, dim)`.
    ///
    /// # Panics
    /// If there is no such dimension, or the sizes do not add up to its size.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let parts = Tensor::from([1.0f32, 2.0, 3.0]).split_with_sizes(&[1, 0, 2], 0);
    /// assert_eq!(parts[2].to_vec(), [2.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn split_with_sizes(&self, sizes: &[usize], dim: impl Dim) -> Vec<Tensor<T>> {
        let shape = self.array.shape();
        let dim = check_dim("split_with_sizes", dim, shape);
        let total = sizes.iter().try_fold(0usize, |total, &size| total.checked_add(size));
        assert!(
            total == Some(shape[dim]),
            "split_with_sizes: parts of {sizes:?} elements of dimension {dim} of a tensor of shape \
             {shape}; expected sizes that add up to {}",
            shape[dim]
        );
        let mut parts = Vec::with_capacity(sizes.len());
        let mut start = 0;
        for &size in sizes {
            parts.push(self.narrow(dim, start, size));
            start += size;
        }
        parts
    }

    /// At most `count` views of equal size along dimension `dim`; the last may be smaller.
    ///
    /// PyTorch: `x.chunk(count, dim)`, which may give fewer too.
    ///
    /// # Panics
    /// If there is no such dimension, or `count` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 6]).chunk(3, 1)[2].shape(), [2, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn chunk(&self, count: usize, dim: impl Dim) -> Vec<Tensor<T>> {
        let shape = self.array.shape();
        let dim = check_dim("chunk", dim, shape);
        assert!(count > 0, "chunk: a tensor of shape {shape} in 0 parts");
        if shape[dim] == 0 {
            return vec![self.clone(); count]; // as PyTorch
        }
        self.split(shape[dim].div_ceil(count), dim)
    }

    /// The view of the elements whose places along `dim1` and `dim2` differ by
    /// `offset` (the second is larger by so much). Both dimensions disappear; the
    /// diagonal is the last dimension.
    ///
    /// PyTorch: `x.diagonal(offset, dim1, dim2)`.
    ///
    /// # Panics
    /// If there are no such dimensions, or they are the same.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.diagonal(0, 0, 1).to_vec(), [1.0, 4.0]);
    /// assert_eq!(x.diagonal(1, 0, 1).to_vec(), [2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn diagonal(&self, offset: isize, dim1: impl Dim, dim2: impl Dim) -> Tensor<T> {
        let shape = self.array.shape();
        let dims = [check_dim("diagonal", dim1, shape), check_dim("diagonal", dim2, shape)];
        assert!(
            dims[0] != dims[1],
            "diagonal: dimension {} of a tensor of shape {shape} twice",
            dims[0]
        );
        let start = [offset.min(0).unsigned_abs(), offset.max(0).unsigned_abs()];
        let left = |i: usize| shape[dims[i]].saturating_sub(start[i]);
        let len = left(0).min(left(1));
        record_view("diagonal", self, |layout| layout.diagonal(dims, start, len))
    }

    /// The view of all windows of `size` elements along dimension `dim`, `step`
    /// apart: `dim` counts the windows, a new last dimension the elements of one.
    /// A scalar has one element, and windows of shape `[size]`.
    ///
    /// PyTorch: `x.unfold(dim, size, step)`.
    ///
    /// # Panics
    /// If there is no such dimension, it is shorter than `size`, or `step` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::arange(0.0, 5.0, 1.0);
    /// assert_eq!(x.unfold(0, 3, 2).to_vec(), [0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn unfold(&self, dim: impl Dim, size: usize, step: usize) -> Tensor<T> {
        if let Some(vector) = self.scalar_as_vector(dim) {
            return vector.unfold(0, size, step).select(0, 0);
        }
        let shape = self.array.shape();
        let dim = check_dim("unfold", dim, shape);
        assert!(
            size <= shape[dim] && step > 0,
            "unfold: windows of {size} elements, {step} apart, along dimension {dim} of a tensor \
             of shape {shape}; expected a size of at most {} and a step of at least 1",
            shape[dim]
        );
        let counted = shape.with_size(dim, (shape[dim] - size) / step + 1);
        let result: Shape = counted.iter().copied().chain([size]).collect();
        result.checked("unfold");
        record_view("unfold", self, |layout| layout.windows(dim, size, step))
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].narrow(1, 1, 2).powf(3.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].narrow(0, 2, 0).powf(3.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].slice(1, 1.., 2).powf(3.0), &[&[2, 6]], -2.0..2.0);
        check_op(|x| x[0].select(0, 1).powf(3.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].select(-1, 1).powf(3.0), &[&[2]], -2.0..2.0);
        check_op(|x| x[0].diagonal(-1, 0, 2).powf(3.0), &[&[3, 2, 4]], -2.0..2.0);
        check_op(|x| x[0].unfold(0, 3, 1).powf(3.0), &[&[5, 2]], -2.0..2.0);
        let uneven = |x: &Tensor<f64>| x.split_with_sizes(&[1, 0, 3], 1);
        check_op(|x| uneven(&x[0])[0].powf(2.0) * &uneven(&x[0])[2], &[&[2, 4]], -2.0..2.0);
    }

    #[test]
    fn gradients_of_parts_are_added_up() {
        let parts = |x: &Tensor<f64>| {
            let overlapping = x.narrow(0, 0, 2) * x.narrow(0, 1, 2).powf(2.0);
            overlapping.sum() + (x.select(1, 0) * x.select(1, 2)).sum()
        };
        check_op(|x| parts(&x[0]), &[&[3, 4]], -2.0..2.0);
        // Where a gradient of the whole arrives too, before them or after.
        check_op(|x| parts(&x[0]) + (&x[0] * &x[0]).sum(), &[&[3, 4]], -2.0..2.0);
        check_op(|x| (&x[0] * &x[0]).sum() + parts(&x[0]), &[&[3, 4]], -2.0..2.0);
        // Where what arrives is seen elsewhere, or is one number everywhere.
        check_op(
            |x| (&x[0] + &x[1]).powf(2.0).sum() + parts(&x[0]),
            &[&[3, 4], &[3, 4]],
            -2.0..2.0,
        );
        check_op(|x| x[0].sum() * parts(&x[0]), &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].transpose(0, 1).tanh().sum() + parts(&x[0]), &[&[3, 4]], -2.0..2.0);
    }

    #[test]
    fn a_gradient_that_someone_holds_is_not_added_to() {
        let x = Tensor::<f64>::ones([3]).requires_grad();
        let (y, other) = (&x * 1.0, Tensor::<f64>::ones([3]).requires_grad());
        let part = y.narrow(0, 0, 1);
        // What arrives at the sum goes on to both of its terms, before the part's gradient.
        let sum = &y + &other;
        (part.sum() + (&sum * &sum).sum()).backward();
        assert_eq!(x.grad().unwrap().to_vec(), [5.0, 4.0, 4.0]);
        assert_eq!(other.grad().unwrap().to_vec(), [4.0; 3]);
    }

    #[test]
    fn parts_follow_pytorch() {
        let sizes = |parts: Vec<Tensor>| parts.iter().map(Tensor::numel).collect::<Vec<_>>();
        assert_eq!(sizes(Tensor::ones([0]).split(2, 0)), [0]);
        assert_eq!(sizes(Tensor::ones([6]).chunk(4, 0)), [2, 2, 2]);
        assert_eq!(sizes(Tensor::ones([0]).chunk(3, 0)), [0, 0, 0]);
        assert_eq!(Tensor::<f32>::ones([4]).slice(0, 1.., usize::MAX).shape(), [1]);
        assert_eq!(Tensor::<f32>::ones([3]).slice(0, 2..9, 1).shape(), [1]);
        assert_eq!(Tensor::<f32>::ones([3]).slice(0, 7.., 2).shape(), [0]);
        assert_eq!(Tensor::<f32>::ones([2, 3]).diagonal(5, 0, 1).shape(), [0]);
        // torch.tensor(3.).unfold(0, 1, 2), unfold(0, 0, 1)
        assert_eq!(Tensor::scalar(3.0f32).unfold(0, 1, 2).to_vec(), [3.0]);
        assert_eq!(Tensor::scalar(3.0f32).unfold(-1, 0, 1).shape(), [0]);
    }
}
