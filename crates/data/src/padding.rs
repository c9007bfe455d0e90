//! Sequences of different lengths in one batch.

use crate::collate::Collate;
use crate::error::DataError;
use adamant_tensor::{Float, Indices, Mask, Shape, Tensor};

/// Sequences padded to the length of the longest.
#[derive(Clone, Debug)]
pub struct Padded<V = Indices> {
    /// `[batch, length, …]`: the sequences, each followed by padding.
    pub values: V,
    /// `[batch, length]`: true for elements of a sequence, false for padding.
    pub mask: Mask,
    /// The length of each sequence.
    pub lengths: Vec<usize>,
}

impl<V> Padded<V> {
    fn new(lengths: Vec<usize>, values: impl FnOnce(usize) -> V) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mask = lengths.iter().flat_map(|&length| (0..longest).map(move |i| i < length));
        let mask = Mask::from_vec(mask.collect(), [lengths.len(), longest]);
        Padded { values: values(longest), mask: mask.expect("a row for each length"), lengths }
    }
}

/// Sequences of indices as `[batch, length]`, padded with `padding`.
///
/// PyTorch: `torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value)`.
///
/// ```
/// use adamant_data::pad_indices;
/// let padded = pad_indices(&[vec![5, 6, 7], vec![8]], 0);
/// assert_eq!(padded.values.to_vec(), [5, 6, 7, 8, 0, 0]);
/// assert_eq!(padded.mask.to_vec(), [true, true, true, true, false, false]);
/// assert_eq!(padded.lengths, [3, 1]);
/// ```
#[must_use]
pub fn pad_indices(sequences: &[Vec<usize>], padding: usize) -> Padded<Indices> {
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    Padded::new(lengths, |longest| {
        let padded = |sequence: &Vec<usize>| {
            let rest = longest - sequence.len();
            sequence.iter().copied().chain(std::iter::repeat_n(padding, rest)).collect::<Vec<_>>()
        };
        let values = sequences.iter().flat_map(padded).collect();
        Indices::from_vec(values, [sequences.len(), longest]).expect("rows of equal length")
    })
}

/// Sequences of shapes `[length, …]` as `[batch, length, …]`, padded with `padding`.
///
/// PyTorch: `torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value)`.
///
/// # Errors
/// If a sequence is a scalar, or its elements have another shape than those of the first.
///
/// ```
/// use adamant_data::pad_tensors;
/// use adamant_tensor::Tensor;
/// let padded = pad_tensors(&[Tensor::<f32>::ones([1, 2]), Tensor::ones([2, 2])], -1.0).unwrap();
/// assert_eq!(padded.values.shape(), [2, 2, 2]);
/// assert_eq!(padded.values.to_vec()[..4], [1.0, 1.0, -1.0, -1.0]);
/// ```
pub fn pad_tensors<T: Float>(
    sequences: &[Tensor<T>],
    padding: f64,
) -> Result<Padded<Tensor<T>>, DataError> {
    for (position, sequence) in sequences.iter().enumerate() {
        let expected = &sequences[0].shape();
        if sequence.shape().get(1..).is_none_or(|element| Some(element) != expected.get(1..)) {
            let (found, expected) = (sequence.shape().into(), (*expected).into());
            return Err(DataError::Shape { position, found, expected });
        }
    }
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.shape()[0]).collect();
    let element: &[usize] = sequences.first().map_or(&[], |first| &first.shape()[1..]);
    let size: usize = element.iter().product();
    Ok(Padded::new(lengths, |longest| {
        let shape: Shape =
            [sequences.len(), longest].into_iter().chain(element.iter().copied()).collect();
        Tensor::build(shape, |out| {
            out.fill(T::from_f64(padding));
            for (out, sequence) in out.chunks_mut((longest * size).max(1)).zip(sequences) {
                let values = sequence.to_vec();
                out[..values.len()].copy_from_slice(&values);
            }
        })
    }))
}

/// Padded with 0.
impl Collate for Vec<usize> {
    type Batch = Padded<Indices>;

    fn collate(samples: Vec<Self>) -> Result<Padded<Indices>, DataError> {
        Ok(pad_indices(&samples, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_sequences_are_padding() {
        let padded = pad_indices(&[vec![], vec![1]], 9);
        assert_eq!((padded.values.shape(), padded.values.to_vec()), (&[2, 1][..], vec![9, 1]));
        let padded = pad_indices(&[vec![], vec![]], 9);
        assert_eq!((padded.values.shape(), padded.mask.shape()), (&[2, 0][..], &[2, 0][..]));
        let none: [Tensor; 2] = [Tensor::zeros([0, 3]), Tensor::zeros([0, 3])];
        assert_eq!(pad_tensors(&none, 0.0).unwrap().values.shape(), [2, 0, 3]);
    }

    #[test]
    fn elements_of_different_shapes_are_reported() {
        let error = pad_tensors::<f32>(&[Tensor::ones([2, 3]), Tensor::ones([2, 4])], 0.0);
        let error = error.map(drop).unwrap_err().to_string();
        assert!(error.starts_with("found shape [2, 4], expected [2, 3]"), "{error}");
        assert!(pad_tensors::<f32>(&[Tensor::ones([])], 0.0).is_err());
    }
}
