//! Padding with what is in the tensor.

use crate::array::Array;
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::Float;

/// What is put around a tensor, other than a value of its own (for which there is
/// [`pad`](Tensor::pad)). Of the line `a b c d`, with two more on each side:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// `c b a b c d c b`: mirrored at the outermost element, which is not repeated.
    Reflect,
    /// `a a a b c d d d`: the outermost element again and again.
    Replicate,
    /// `c d a b c d a b`: from the other end.
    Circular,
}

impl PadMode {
    /// The most that can be put on one side of a line of `size` elements, of which `left` are
    /// left where it is cut.
    fn most(self, size: isize, left: isize) -> isize {
        match self {
            PadMode::Reflect => (size - 1).max(0),
            PadMode::Replicate if size == 0 => 0,
            PadMode::Replicate => isize::MAX,
            PadMode::Circular => left,
        }
    }

    /// Where the elements from `start` to `end` of the padded line come from, counted from the
    /// first of the `size` elements of the line, which have at most [`most`](PadMode::most) on
    /// each side.
    ///
    /// As in PyTorch, `Reflect` and `Replicate` show elements that are cut off on the other side,
    /// and `Circular` does not.
    #[track_caller]
    fn sources(self, op: &str, size: isize, start: isize, end: isize) -> Array<usize> {
        let (first, last) = (start.max(0), end.min(size)); // of what is left
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
    /// The tensor with `(before, after)` more elements around it, which are its own, given for
    /// the last dimension first, as in PyTorch; negative numbers take elements away. `Reflect` and
    /// `Replicate` show elements that are taken away on the other side, `Circular` does not.
    ///
    /// Gradient: `g`, added up where the elements came from.
    ///
    /// PyTorch: `torch.nn.functional.pad(x, (before, after, …), mode="reflect")`, of any
    /// number of dimensions.
    ///
    /// # Panics
    /// If there are more pairs than dimensions, more is taken away than there is, or more is asked
    /// for than there is: `Reflect` has one element less than the dimension, `Circular` as many as
    /// are left, and `Replicate` any number unless the dimension is empty.
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
    pub(super) fn pad_by(&self, op: &str, around: &[(isize, isize)], mode: PadMode) -> Tensor<T> {
        let shape: &Shape = self.array.shape();
        assert!(
            around.len() <= shape.len(),
            "{op}: {} pairs for a tensor of shape {shape}; expected at most one for each dimension",
            around.len()
        );
        let mut padded = self.clone();
        for (i, &(before, after)) in around.iter().enumerate() {
            let dim = shape.len() - 1 - i;
            let size = shape[dim] as isize; // no array has as many elements as do not fit
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
                 {shape}; {mode:?} has at most {most} for a side"
            );
            if (before, after) != (0, 0) {
                let padded_size = end.abs_diff(start);
                padded.array.shape().with(dim, padded_size).checked(op);
                padded = padded.index_select(dim, mode.sources(op, size, start, end).dense());
            }
        }
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::testing::check_op;

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
                               [2, 3]; Reflect has at most 2 for a side")]
    fn a_mirror_is_no_larger_than_what_it_shows() {
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
                               [4]; Circular has at most 2 for a side")]
    fn a_circle_is_no_larger_than_what_is_left() {
        let _ = Tensor::<f32>::ones([4]).pad_mode(&[(3, -2)], PadMode::Circular);
    }

    #[test]
    #[should_panic(
        expected = "pad_mode: (-3, -2) takes more from dimension 0 of a tensor of shape \
                               [4] than the 4 it has"
    )]
    fn no_more_is_taken_than_there_is() {
        let _ = Tensor::<f32>::ones([4]).pad_mode(&[(-3, -2)], PadMode::Reflect);
    }

    #[test]
    #[should_panic(expected = "Replicate has at most 0 for a side")]
    fn nothing_cannot_be_repeated() {
        let _ = Tensor::<f32>::ones([0]).pad_mode(&[(1, 0)], PadMode::Replicate);
    }
}
