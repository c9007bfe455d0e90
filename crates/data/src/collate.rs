//! From samples to a batch.

use crate::error::DataError;
use adamant_tensor::{Float, Indices, Mask, Shape, Tensor};

/// A sample that can be a part of a batch.
///
/// | sample | batch |
/// |---|---|
/// | `Tensor` of shape `[…]`, [`ByteRow`](crate::ByteRow), [`Image`](crate::Image) | `Tensor` of shape `[batch, …]` |
/// | `f32`, `f64` | `Tensor` of shape `[batch]` |
/// | `[f32; N]`, `[f64; N]` | `Tensor` of shape `[batch, N]` |
/// | `usize`: a class | `Vec<usize>` |
/// | `Indices` of shape `[…]` | `Indices` of shape `[batch, …]` |
/// | `bool` | `Mask` of shape `[batch]` |
/// | `Vec<usize>`: a sequence of any length | [`Padded<Indices>`](crate::Padded), padded with 0 |
/// | `String`, `i64` | `Vec<String>`, `Vec<i64>` |
/// | `(input, target)` | [`Batch`] |
/// | `(A, B, C)`, `(A, B, C, D)` | the same tuple of batches |
///
/// `#[derive(Collate)]` implements it for a struct of such fields. Other data sets make their
/// batches with [`Dataset::collate`](crate::Dataset::collate).
///
/// PyTorch: `torch.utils.data.default_collate`.
#[diagnostic::on_unimplemented(
    message = "samples of type `{Self}` cannot be collated",
    note = "map them to a type that can: tensors, floats, arrays of floats, classes (`usize`), tuples of these, \
            or a struct with `#[derive(Collate)]`; or make batches with `Dataset::collate`"
)]
pub trait Collate: Sized {
    /// A batch of samples.
    type Batch: Send + 'static;

    /// The batch of these samples.
    ///
    /// # Errors
    /// If they do not fit together.
    fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError>;
}

/// Samples of inputs and targets, ready for a model.
#[derive(Clone, Debug)]
pub struct Batch<I = Tensor, T = Vec<usize>> {
    /// The inputs, usually `[batch, …]`.
    pub inputs: I,
    /// The targets: for classification, the class of each sample.
    pub targets: T,
}

/// The shape of the first sample, if all have it.
pub(crate) fn common_shape<'s>(
    shapes: impl Iterator<Item = &'s [usize]>,
) -> Result<Shape, DataError> {
    let mut first = None;
    for (position, shape) in shapes.enumerate() {
        let first = *first.get_or_insert(shape);
        if shape != first {
            return Err(DataError::Shape { position, found: shape.into(), expected: first.into() });
        }
    }
    Ok(first.unwrap_or(&[]).into())
}

impl<T: Float> Collate for Tensor<T> {
    type Batch = Tensor<T>;

    fn collate(samples: Vec<Self>) -> Result<Tensor<T>, DataError> {
        let shape = common_shape(samples.iter().map(Tensor::shape))?;
        let batch: Shape = [samples.len()].into_iter().chain(shape.iter().copied()).collect();
        Ok(Tensor::build(batch, |out| {
            let rows = out.chunks_exact_mut(shape.numel().max(1));
            for (out, sample) in rows.zip(&samples) {
                match sample.array().as_slice() {
                    Some(elements) => out.copy_from_slice(elements),
                    None => out.copy_from_slice(&sample.to_vec()),
                }
            }
        }))
    }
}

impl Collate for Indices {
    type Batch = Indices;

    fn collate(samples: Vec<Self>) -> Result<Indices, DataError> {
        let shape = common_shape(samples.iter().map(Indices::shape))?;
        let shape: Shape = [samples.len()].into_iter().chain(shape.iter().copied()).collect();
        let values = samples.iter().flat_map(Indices::to_vec).collect();
        Ok(Indices::from_vec(values, shape).expect("samples of one shape"))
    }
}

/// Scalars make a tensor `[batch]`, arrays of `N` of them a tensor `[batch, N]`.
macro_rules! collate_floats {
    ($($float:ty),*) => {$(
        impl Collate for $float {
            type Batch = Tensor<$float>;

            fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
                let len = samples.len();
                Ok(Tensor::from_vec(samples, [len]).expect("one element for each sample"))
            }
        }

        impl<const N: usize> Collate for [$float; N] {
            type Batch = Tensor<$float>;

            fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
                let shape = [samples.len(), N];
                let values = samples.into_iter().flatten().collect();
                Ok(Tensor::from_vec(values, shape).expect("N elements for each sample"))
            }
        }
    )*};
}

collate_floats!(f32, f64);

impl Collate for bool {
    type Batch = Mask;

    fn collate(samples: Vec<Self>) -> Result<Mask, DataError> {
        let len = samples.len();
        Ok(Mask::from_vec(samples, [len]).expect("one element for each sample"))
    }
}

/// Values that stay a vector.
macro_rules! collate_as_vec {
    ($($sample:ty),*) => {$(
        impl Collate for $sample {
            type Batch = Vec<$sample>;

            fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
                Ok(samples)
            }
        }
    )*};
}

collate_as_vec!(usize, i64, String);

impl<I: Collate, T: Collate> Collate for (I, T) {
    type Batch = Batch<I::Batch, T::Batch>;

    fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
        let (inputs, targets) = samples.into_iter().unzip();
        Ok(Batch {
            inputs: I::collate(inputs).map_err(|error| error.in_field("inputs"))?,
            targets: T::collate(targets).map_err(|error| error.in_field("targets"))?,
        })
    }
}

impl<A: Collate, B: Collate, C: Collate> Collate for (A, B, C) {
    type Batch = (A::Batch, B::Batch, C::Batch);

    fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
        let (a, b, c): (Vec<A>, Vec<B>, Vec<C>) = samples.into_iter().collect();
        Ok((
            A::collate(a).map_err(|error| error.in_field("0"))?,
            B::collate(b).map_err(|error| error.in_field("1"))?,
            C::collate(c).map_err(|error| error.in_field("2"))?,
        ))
    }
}

impl<A: Collate, B: Collate, C: Collate, D: Collate> Collate for (A, B, C, D) {
    type Batch = (A::Batch, B::Batch, C::Batch, D::Batch);

    fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
        let (a, b, c, d): (Vec<A>, Vec<B>, Vec<C>, Vec<D>) = samples.into_iter().collect();
        Ok((
            A::collate(a).map_err(|error| error.in_field("0"))?,
            B::collate(b).map_err(|error| error.in_field("1"))?,
            C::collate(c).map_err(|error| error.in_field("2"))?,
            D::collate(d).map_err(|error| error.in_field("3"))?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_batches() {
        let pair =
            <(Tensor, usize)>::collate(vec![(Tensor::ones([2]), 3), (Tensor::zeros([2]), 4)]);
        let Batch { inputs, targets } = pair.unwrap();
        assert_eq!((inputs.shape(), inputs.to_vec()), (&[2, 2][..], vec![1.0, 1.0, 0.0, 0.0]));
        assert_eq!(targets, [3, 4]);
        let (x, y, z) = <([f64; 2], f32, bool)>::collate(vec![([1.0, 2.0], 3.0, true)]).unwrap();
        assert_eq!((x.shape(), x.to_vec()), (&[1, 2][..], vec![1.0, 2.0]));
        assert_eq!((y.to_vec(), z.to_vec()), (vec![3.0], vec![true]));
        let rows = Indices::from_vec(vec![1, 2, 3, 4], [2, 2]).unwrap();
        let rows = Indices::collate(vec![rows.select(1), rows.select(0)]).unwrap();
        assert_eq!((rows.shape(), rows.to_vec()), (&[2, 2][..], vec![3, 4, 1, 2]));
    }

    #[test]
    fn different_shapes_are_reported() {
        let samples = vec![(Tensor::ones([2]), 0), (Tensor::ones([2]), 1), (Tensor::ones([3]), 2)];
        let error = <(Tensor, usize)>::collate(samples).unwrap_err().of_batch(&[7, 8, 9]);
        assert_eq!(error.index(), Some(9));
        assert_eq!(
            error.to_string(),
            "sample 9: field `inputs`: found shape [3], expected [2], that of the first sample of \
             its batch"
        );
    }
}
