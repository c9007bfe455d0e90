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
    /// The most that can be put on one side of a line of `size` elements.
    fn most(self, size: usize) -> usize {
        match self {
            PadMode::Reflect => size.saturating_sub(1),
            PadMode::Circular => size,
            PadMode::Replicate if size == 0 => 0,
            PadMode::Replicate => isize::MAX as usize / 4,
        }
    }

    /// Where the elements of a line of `size` come from, `before` and `after` being at most
    /// [`most`](PadMode::most).
    #[track_caller]
    fn places(self, size: usize, [before, after]: [usize; 2]) -> Array<usize> {
        let place = |at: usize| match self {
            PadMode::Reflect if at < before => before - at,
            PadMode::Reflect if at >= before + size => 2 * (size - 1) - (at - before),
            PadMode::Replicate => at.clamp(before, before + size - 1) - before,
            PadMode::Circular => (at + size - before) % size,
            PadMode::Reflect => at - before,
        };
        Array::build([before + size + after].into(), |out| {
            out.iter_mut().enumerate().for_each(|(at, out)| *out = place(at));
        })
    }
}

impl<T: Float> Tensor<T> {
    /// The tensor with `(before, after)` more elements around it, which are its own, given for
    /// the last dimension first, as PyTorch's.
    ///
    /// Gradient: `g`, added up where the elements came from.
    ///
    /// PyTorch: `torch.nn.functional.pad(x, (before, after, …), mode="reflect")`, of any
    /// number of dimensions.
    ///
    /// # Panics
    /// If there are more pairs than dimensions, or more is asked for than there is: a mirror has
    /// one element less than the dimension, a circle as many, and nothing can be repeated if
    /// there is nothing.
    ///
    /// ```
    /// use adamant_tensor::{PadMode, Tensor};
    /// let x = Tensor::from([1.0f32, 2.0, 3.0]);
    /// let padded = |mode| x.pad_mode(&[(2, 1)], mode).to_vec();
    /// assert_eq!(padded(PadMode::Reflect), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(padded(PadMode::Replicate), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    /// assert_eq!(padded(PadMode::Circular), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn pad_mode(&self, around: &[(usize, usize)], mode: PadMode) -> Tensor<T> {
        self.pad_by("pad_mode", around, mode)
    }

    /// [`pad_mode`](Tensor::pad_mode) for another operation.
    #[track_caller]
    pub(super) fn pad_by(&self, op: &str, around: &[(usize, usize)], mode: PadMode) -> Tensor<T> {
        let shape: &Shape = self.array.shape();
        assert!(
            around.len() <= shape.len(),
            "{op}: {} pairs for a tensor of shape {shape}; expected at most one for each dimension",
            around.len()
        );
        let mut padded = self.clone();
        for (i, &(before, after)) in around.iter().enumerate() {
            let dim = shape.len() - 1 - i;
            let most = mode.most(shape[dim]);
            assert!(
                before.max(after) <= most,
                "{op}: {before} before and {after} after dimension {dim} of a tensor of shape \
                 {shape}; {mode:?} has at most {most} for a side"
            );
            if before > 0 || after > 0 {
                let size = before + shape[dim] + after;
                padded.array.shape().with(dim, size).checked(op);
                let places = mode.places(shape[dim], [before, after]);
                padded = padded.index_select(dim, places.dense());
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
    #[should_panic(expected = "Replicate has at most 0 for a side")]
    fn nothing_cannot_be_repeated() {
        let _ = Tensor::<f32>::ones([0]).pad_mode(&[(1, 0)], PadMode::Replicate);
    }
}
