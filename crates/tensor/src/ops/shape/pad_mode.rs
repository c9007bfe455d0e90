//! Padding with the tensor's own elements.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::shape::Shape;
use crate::tape::positions::Positions;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::SmallVec;

/// Which of its own elements a tensor is padded with. (For a constant there is
/// [`pad`](Tensor::pad).) The examples pad `a b c d` by two on each side:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// `c b a b c d c b`: mirrored at the outermost element, which is not repeated.
    Reflect,
    /// `a a a b c d d d`: the outermost element, repeated.
    Replicate,
    /// `c d a b c d a b`: the elements from the other end.
    Circular,
}

impl PadMode {
    /// The largest padding on one side of a line of `size` elements, of which `left` remain after
    /// cutting.
    fn most(self, size: isize, left: isize) -> isize {
        match self {
            PadMode::Reflect => (size - 1).max(0),
            PadMode::Replicate if size == 0 => 0,
            PadMode::Replicate => isize::MAX,
            PadMode::Circular => left,
        }
    }

    /// The source indices of the padded line from `start` to `end`, relative to the first of its
    /// `size` elements; the padding is at most [`most`](PadMode::most) on each side.
    ///
    /// As in PyTorch, `Reflect` and `Replicate` may repeat elements that are cut off on the other
    /// side; `Circular` does not.
    #[track_caller]
    fn sources(self, op: &str, size: isize, start: isize, end: isize) -> Array<usize> {
        let (first, last) = (start.max(0), end.min(size)); // of the remaining elements
        let source = |at: isize| match self {
            PadMode::Reflect if at < 0 => -at,
            PadMode::Reflect if at >= size => 2 * (size - 1) - at,
            PadMode::Reflect => at,
            PadMode::Replicate => at.clamp(0, size - 1),
            PadMode::Circular => first + (at - first).rem_euclid(last - first),
        };
        Array::build(op, [(end - start).unsigned_abs()].into(), |out| {
            out.iter_mut().zip(start..).for_each(|(out, at)| *out = source(at).unsigned_abs());
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The tensor padded with its own elements: `(before, after)` elements for each dimension, the
    /// last dimension first, as in PyTorch. A negative count removes elements; `Reflect` and
    /// `Replicate` may repeat elements that are removed on the other side, `Circular` does not.
    ///
    /// Gradient: `g`, summed at the source elements.
    ///
    /// PyTorch: `torch.nn.functional.pad(x, (before, after, …), mode="reflect")`, for any number of
    /// dimensions.
    ///
    /// # Panics
    /// If there are more pairs than dimensions, more elements are removed than there are, or the
    /// padding is too large: `Reflect` allows one element less than the dimension has, `Circular`
    /// the number that remain, and `Replicate` any number unless the dimension is empty.
    ///
    /// ```
    /// use adamant_tensor::{PadMode, Tensor};
    /// let x = Tensor::from([1.0f32, 2.0, 3.0]);
    /// let padded = |around, mode| x.pad_mode(&[around], mode).to_vec();
    /// assert_eq!(padded((2, 1), PadMode::Reflect), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(padded((2, 1), PadMode::Replicate), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    /// assert_eq!(padded((2, 1), PadMode::Circular), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    /// assert_eq!(padded((-1, 2), PadMode::Reflect), [2.0, 3.0, 2.0, 1.0]);
    /// assert_eq!(padded((-1, 2), PadMode::Circular), [2.0, 3.0, 2.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn pad_mode(&self, around: &[(isize, isize)], mode: PadMode) -> Tensor<T> {
        self.pad_by("pad_mode", around, mode)
    }

    /// [`pad_mode`](Tensor::pad_mode) for another operation.
    #[track_caller]
    pub(crate) fn pad_by(&self, op: &str, around: &[(isize, isize)], mode: PadMode) -> Tensor<T> {
        let shape: &Shape = self.array.shape();
        assert!(
            around.len() <= shape.len(),
            "{op}: {} pairs for a tensor of shape {shape}; expected at most one for each dimension",
            around.len()
        );
        // The source indices of each padded dimension, and the shape before that.
        let (mut padded, mut sources) = (shape.clone(), SmallVec::<[_; 4]>::new());
        for (i, &(before, after)) in around.iter().enumerate() {
            let dim = shape.len() - 1 - i;
            let size = shape[dim] as isize; // sizes of arrays fit an isize
            let (start, end) = (before.saturating_neg(), size.saturating_add(after));
            let left = end.min(size).saturating_sub(start.max(0));
            assert!(
                start <= end && (left >= 0 || mode != PadMode::Circular),
                "{op}: ({before}, {after}) takes more from dimension {dim} of a tensor of shape \
                 {shape} than the {size} it has"
            );
            let most = mode.most(size, left);
            assert!(
                before.max(after) <= most,
                "{op}: {before} before and {after} after dimension {dim} of a tensor of shape \
                 {shape}; {mode:?} allows at most {most} on each side"
            );
            if (before, after) != (0, 0) {
                let next = padded.with_size(dim, end.abs_diff(start)).checked(op);
                let index = Indices { array: mode.sources(op, size, start, end) };
                sources.push((dim, index, std::mem::replace(&mut padded, next)));
            }
        }
        if sources.is_empty() {
            return self.clone();
        }
        let indices = sources.iter().map(|(dim, index, _)| (*dim, index.array.contiguous_slice()));
        let value = self.array.take(op, &indices.collect::<SmallVec<[_; 4]>>());
        record("pad_mode", [self], value, move |ctx| {
            let mut gradient = ctx.grad().clone();
            for (dim, index, shape) in sources.iter().rev() {
                let positions = Positions::Slices { dim: *dim, index: index.clone() };
                gradient = positions.gradient(&gradient, shape);
            }
            [Some(gradient)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for mode in [PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
            check_op(|x| x[0].pad_mode(&[(2, 1), (0, 1)], mode), &[&[2, 2, 3]], -2.0..2.0);
            check_op(|x| x[0].pad_mode(&[(-1, 2), (1, -1)], mode), &[&[2, 2, 4]], -2.0..2.0);
        }
        check_op(|x| x[0].pad_mode(&[(3, 3)], PadMode::Replicate), &[&[1]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "pad_mode: 0 before and 3 after dimension 1 of a tensor of shape \
                               [2, 3]; Reflect allows at most 2 on each side")]
    fn too_large_a_mirror_is_refused() {
        let _ = Tensor::<f32>::ones([2, 3]).pad_mode(&[(0, 3)], PadMode::Reflect);
    }

    #[test]
    fn cut_lines_follow_pytorch() {
        let x = Tensor::from([1.0f32, 2.0, 3.0, 4.0]);
        let padded = |around, mode| x.pad_mode(&[around], mode).to_vec();
        assert_eq!(padded((3, -2), PadMode::Reflect), [4.0, 3.0, 2.0, 1.0, 2.0]);
        assert_eq!(padded((-4, 3), PadMode::Reflect), [3.0, 2.0, 1.0]);
        assert_eq!(padded((-5, 6), PadMode::Replicate), [4.0; 5]);
        assert_eq!(padded((4, -4), PadMode::Replicate), [1.0; 4]);
        assert_eq!(padded((2, -1), PadMode::Circular), [2.0, 3.0, 1.0, 2.0, 3.0]);
        assert_eq!(padded((-2, -2), PadMode::Circular), []);
    }

    #[test]
    #[should_panic(expected = "pad_mode: 3 before and -2 after dimension 0 of a tensor of shape \
                               [4]; Circular allows at most 2 on each side")]
    fn too_large_a_circle_is_refused() {
        let _ = Tensor::<f32>::ones([4]).pad_mode(&[(3, -2)], PadMode::Circular);
    }

    #[test]
    #[should_panic(
        expected = "pad_mode: (-3, -2) takes more from dimension 0 of a tensor of shape \
                               [4] than the 4 it has"
    )]
    fn removing_too_many_elements_is_refused() {
        let _ = Tensor::<f32>::ones([4]).pad_mode(&[(-3, -2)], PadMode::Reflect);
    }

    #[test]
    #[should_panic(expected = "Replicate allows at most 0 on each side")]
    fn replicating_an_empty_dimension_is_refused() {
        let _ = Tensor::<f32>::ones([0]).pad_mode(&[(1, 0)], PadMode::Replicate);
    }
}
