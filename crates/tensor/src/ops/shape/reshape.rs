//! The same elements under another shape.

use crate::arrays::dims::{Dim, Dims, check_dim, check_dims};
use crate::arrays::shape::{REST, Shape};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// The same elements in row-major order under another shape: a view if strides can describe
    /// it, otherwise a copy. One size may be [`REST`](crate::REST), which is computed.
    ///
    /// Gradient: `g` under the old shape. PyTorch: `x.reshape(shape)`.
    ///
    /// # Panics
    /// If the shape has another number of elements.
    ///
    /// ```
    /// use adamant_tensor::{REST, Tensor};
    /// assert_eq!(Tensor::<f32>::ones([2, 3]).reshape([6]).shape(), [6]);
    /// assert_eq!(Tensor::<f32>::ones([2, 3]).reshape([REST, 2]).shape(), [3, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor<T> {
        let from = self.array.shape().clone();
        let to = from.to_reshaped("reshape", shape.into());
        let value = self.array.reshape("reshape", to);
        record("reshape", [self], value, move |ctx| [Some(ctx.grad().reshape(&from))])
    }

    /// Dimensions `start` to `end`, both included, as one.
    ///
    /// PyTorch: `x.flatten(start, end)`.
    ///
    /// # Panics
    /// If there are no such dimensions, or `end` comes before `start`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::ones([2, 3, 4]).flatten(1, -1).shape(), [2, 12]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn flatten(&self, start: impl Dim, end: impl Dim) -> Tensor<T> {
        let shape = self.array.shape();
        if shape.is_empty() && [start.signed(), end.signed()].iter().all(|d| [0, -1].contains(d)) {
            return self.reshape([1]);
        }
        let (start, end) = (check_dim("flatten", start, shape), check_dim("flatten", end, shape));
        assert!(start <= end, "flatten: dimensions {start} to {end} of a tensor of shape {shape}");
        let sizes = shape[..start].iter().copied();
        let merged = shape[start..=end].iter().product();
        self.reshape(
            sizes.chain([merged]).chain(shape[end + 1..].iter().copied()).collect::<Shape>(),
        )
    }

    /// A view with a new dimension of size 1 that becomes dimension `dim`.
    ///
    /// PyTorch: `x.unsqueeze(dim)`.
    ///
    /// # Panics
    /// If the new tensor has no such dimension.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([2, 3]);
    /// assert_eq!((x.unsqueeze(1).shape(), x.unsqueeze(-1).shape()), (&[2, 1, 3][..], &[2, 3, 1][..]));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn unsqueeze(&self, dim: impl Dim) -> Tensor<T> {
        let mut sizes = self.shape().to_vec();
        let larger: Shape = sizes.iter().copied().chain([1]).collect();
        sizes.insert(check_dim("unsqueeze", dim, &larger), 1);
        self.reshape(sizes)
    }

    /// A view without those of dimensions `dims` that have size 1; `..` for all of them.
    ///
    /// PyTorch: `x.squeeze(dims)`, `x.squeeze()`.
    ///
    /// # Panics
    /// If there are no such dimensions.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([1, 3, 1]);
    /// assert_eq!((x.squeeze(0).shape(), x.squeeze(..).shape()), (&[3, 1][..], &[3][..]));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn squeeze(&self, dims: impl Dims) -> Tensor<T> {
        let shape = self.array.shape();
        let mut ones = check_dims("squeeze", dims, shape);
        ones.retain(|&mut d| shape[d] == 1);
        self.reshape(shape.reduced(&ones, false))
    }

    /// [`broadcast_to`](Tensor::broadcast_to), where [`REST`](crate::REST) stands for
    /// the size that is there already.
    ///
    /// PyTorch: `x.expand(shape)`, where it is −1.
    ///
    /// # Panics
    /// If the shape does not broadcast to that one.
    ///
    /// ```
    /// use adamant_tensor::{REST, Tensor};
    /// assert_eq!(Tensor::<f32>::ones([3, 1]).expand([2, REST, 4]).shape(), [2, 3, 4]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Tensor<T> {
        let (from, to) = (self.array.shape(), shape.into());
        let lead = to.len().saturating_sub(from.len());
        let size = |(d, &size): (usize, &usize)| match size {
            REST if d >= lead && d - lead < from.len() => from[d - lead],
            _ => size,
        };
        let filled: Shape = to.iter().enumerate().map(size).collect();
        assert!(
            !filled.contains(&REST),
            "expand: a tensor of shape {from} has no size to keep in a new dimension"
        );
        self.broadcast_by("expand", filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].reshape([3, 2]).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].reshape([]).powf(2.0), &[&[1, 1]], -2.0..2.0);
        check_op(|x| x[0].flatten(0, 1).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].unsqueeze(1).squeeze(..).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].expand([4, REST, 3]).powf(2.0), &[&[2, 1]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "has 6 elements, which do not fit shape [4]")]
    fn elements_cannot_be_lost() {
        let _ = Tensor::<f32>::ones([2, 3]).reshape([4]);
    }

    #[test]
    #[should_panic(expected = "has 6 elements, which do not fit shape [4, REST]")]
    fn the_rest_must_come_out_even() {
        let _ = Tensor::<f32>::ones([2, 3]).reshape([4, REST]);
    }

    #[test]
    fn scalars_follow_pytorch() {
        let x = Tensor::scalar(1.0f32);
        assert_eq!((x.flatten(0, -1).shape(), x.unsqueeze(0).shape()), (&[1][..], &[1][..]));
        assert!(x.squeeze(..).shape().is_empty());
    }
}
