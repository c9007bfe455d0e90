//! Tensors from literals: `Tensor::from([[1.0, 2.0], [3.0, 4.0]])`.
//!
//! Nested arrays are rectangular by their type, so these conversions cannot fail.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::mask::Mask;
use crate::arrays::shape::Shape;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::ops::Range;

impl<T: Float> Tensor<T> {
    #[track_caller]
    fn from_literal(shape: Shape, values: &[T]) -> Self {
        Array::from_slice_for("from", shape, values).into()
    }
}

impl Indices {
    #[track_caller]
    fn from_literal(shape: Shape, values: &[usize]) -> Self {
        Indices { array: Array::from_slice_for("from", shape, values) }
    }
}

impl Mask {
    #[track_caller]
    fn from_literal(shape: Shape, values: &[bool]) -> Self {
        let write = |(out, &value): (&mut u8, &bool)| *out = u8::from(value);
        Mask {
            array: Array::build("from", shape, |out| out.iter_mut().zip(values).for_each(write)),
        }
    }
}

/// Conversions into `X` from a single element `E`, nested arrays, slices and vectors. For a nested
/// array, the list of sizes is followed by the calls that flatten it.
macro_rules! from_literals {
    ($X:ty, $E:ty $(, $T:ident: $Float:ident)?) => {
        /// A scalar, of shape `[]`.
        impl$(<$T: $Float>)? From<$E> for $X {
            #[track_caller]
            fn from(value: $E) -> Self {
                <$X>::from_literal([].into(), &[value])
            }
        }

        from_literals!($X, [$E; A], [A], as_slice $(, $T: $Float)?);
        from_literals!($X, [[$E; B]; A], [A, B], as_flattened $(, $T: $Float)?);
        from_literals!($X, [[[$E; C]; B]; A], [A, B, C], as_flattened as_flattened $(, $T: $Float)?);
        from_literals!(
            $X, [[[[$E; D]; C]; B]; A], [A, B, C, D],
            as_flattened as_flattened as_flattened $(, $T: $Float)?
        );

        /// One dimension.
        impl$(<$T: $Float>)? From<&[$E]> for $X {
            #[track_caller]
            fn from(values: &[$E]) -> Self {
                <$X>::from_literal([values.len()].into(), values)
            }
        }

        /// One dimension.
        impl$(<$T: $Float>)? From<Vec<$E>> for $X {
            #[track_caller]
            fn from(values: Vec<$E>) -> Self {
                <$X>::from(&values[..])
            }
        }
    };
    ($X:ty, $Nested:ty, [$($N:ident),*], $($flatten:ident)* $(, $T:ident: $Float:ident)?) => {
        /// One dimension for each level of brackets.
        impl<$($T: $Float,)? $(const $N: usize),*> From<$Nested> for $X {
            #[track_caller]
            fn from(values: $Nested) -> Self {
                <$X>::from_literal([$($N),*].into(), values$(.$flatten())*)
            }
        }
    };
}

from_literals!(Tensor<T>, T, T: Float);
from_literals!(Indices, usize);
from_literals!(Mask, bool);

/// The indices of a range, in one dimension. PyTorch: `torch.arange(start, end)`.
impl From<Range<usize>> for Indices {
    #[track_caller]
    fn from(range: Range<usize>) -> Self {
        let fill =
            |out: &mut [usize]| out.iter_mut().zip(range.clone()).for_each(|(out, i)| *out = i);
        Indices { array: Array::build("from", [range.len()].into(), fill) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_dimensions() {
        let x: Tensor = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!((x.shape(), x.to_vec()), (&[2, 3][..], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(Tensor::<f64>::from(1.0).shape(), [0usize; 0]);
        assert_eq!(Tensor::<f64>::from([1.0, 2.0]).shape(), [2]);
        let x: Tensor<f64> = [[[1.0], [2.0]]].into();
        assert_eq!((x.shape(), x.to_vec()), (&[1, 2, 1][..], vec![1.0, 2.0]));
        let x = Tensor::from([[[[1f32, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]]]);
        assert_eq!((x.shape(), x.to_vec()[4]), (&[1, 3, 1, 2][..], 5.0));
        assert_eq!(Tensor::<f32>::from([[0.0; 0]; 3]).shape(), [3, 0]);
        assert_eq!(Tensor::from(vec![1f32, 2.0]).to_vec(), Tensor::from(&[1f32, 2.0][..]).to_vec());
    }

    #[test]
    fn indices_and_masks_have_literals() {
        let i = Indices::from([[0, 1], [2, 0]]);
        assert_eq!((i.shape(), i.to_vec()), (&[2, 2][..], vec![0, 1, 2, 0]));
        assert_eq!(Indices::from(3).shape(), [0usize; 0]);
        assert_eq!(Indices::from(vec![3, 4]).shape(), [2]);
        let m = Mask::from([[true, false]]);
        assert_eq!((m.shape(), m.to_vec()), (&[1, 2][..], vec![true, false]));
        assert_eq!(Mask::from(&[true, false][..]).count(), 1);
    }

    #[test]
    fn literals_work_in_generic_functions() {
        fn unit<T: Float>() -> Tensor<T> {
            Tensor::from([[T::ONE, T::ZERO], [T::ZERO, T::ONE]])
        }
        assert_eq!(unit::<f64>().to_vec(), Tensor::eye(2).to_vec());
    }
}
