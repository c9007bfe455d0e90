//! Bytes that become floats in a batch: a quarter of the memory.

use crate::collate::Collate;
use crate::dataset::Dataset;
use crate::error::DataError;
use adamant_kernels::convert_bytes;
use adamant_tensor::{Shape, Tensor};
use std::sync::Arc;

/// Samples of bytes, all of one shape. In a tensor, a byte `b` of channel `c` becomes
/// `b · scale[c] + shift[c]`.
///
/// A clone shares the bytes.
///
/// ```
/// use adamant_data::{ByteRows, Dataset};
/// let rows = ByteRows::new(vec![0, 2, 4, 6], [2]).unwrap().scale(0.5, 1.0);
/// assert_eq!(rows.get(1).unwrap().to_tensor().to_vec(), [3.0, 4.0]);
/// assert_eq!(rows.batch(&[1, 0]).unwrap().to_vec(), [3.0, 4.0, 1.0, 2.0]);
/// ```
#[derive(Clone, Debug)]
pub struct ByteRows {
    len: usize,
    rows: Arc<Rows>,
}

struct Rows {
    bytes: Arc<Vec<u8>>,
    /// The shape of a sample.
    shape: Shape,
    /// `scale` and `shift`: of all bytes, or of each channel, which is the first dimension.
    channels: Vec<(f32, f32)>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, {} each", self.bytes.len(), self.shape)
    }
}

impl ByteRows {
    /// Samples of this shape. A byte becomes the float of its value.
    ///
    /// # Errors
    /// If the number of bytes is not a multiple of the size of a sample, or this is 0.
    pub fn new(bytes: Vec<u8>, shape: impl Into<Shape>) -> Result<Self, DataError> {
        let shape = shape.into();
        let size = shape.checked_numel().filter(|&size| size > 0);
        match size.filter(|&size| bytes.len().is_multiple_of(size)) {
            Some(size) => Ok(ByteRows {
                len: bytes.len() / size,
                rows: Rows { bytes: bytes.into(), shape, channels: vec![(1.0, 0.0)] }.into(),
            }),
            None => Err(DataError::Bytes { shape, bytes: bytes.len() }),
        }
    }

    /// A byte `b` becomes `b · scale + shift`; default the float of its value.
    #[must_use]
    pub fn scale(self, scale: f32, shift: f32) -> Self {
        self.with_channels(vec![(scale, shift)])
    }

    /// A byte `b` of channel `c`, the first dimension of a sample, becomes
    /// `(b / 255 − mean[c]) / std[c]`.
    ///
    /// PyTorch: `ToTensor` and `Normalize` of torchvision.
    ///
    /// # Panics
    /// If the numbers of means, standard deviations and channels differ, a mean is not finite, or a
    /// standard deviation is not finite and above 0.
    #[must_use]
    #[track_caller]
    pub fn normalize(self, mean: &[f64], std: &[f64]) -> Self {
        let channels = self.rows.shape.first().copied().unwrap_or(1);
        check_statistics(mean, std, channels);
        let channel = |(&mean, &std): (&f64, &f64)| scale_and_shift(mean, std);
        self.with_channels(mean.iter().zip(std).map(channel).collect())
    }

    fn with_channels(self, channels: Vec<(f32, f32)>) -> Self {
        let Rows { bytes, shape, .. } = &*self.rows;
        let rows = Rows { bytes: bytes.clone(), shape: shape.clone(), channels };
        ByteRows { len: self.len, rows: rows.into() }
    }
}

/// Checks the arguments of a `normalize`: one mean and one standard deviation for each channel.
#[track_caller]
pub(crate) fn check_statistics(mean: &[f64], std: &[f64], channels: usize) {
    assert!(
        mean.len() == channels && std.len() == channels,
        "normalize: {} means and {} standard deviations; expected one of each for {channels} channels",
        mean.len(),
        std.len()
    );
    assert!(
        mean.iter().all(|mean| mean.is_finite()),
        "normalize: mean is {mean:?}; expected finite numbers"
    );
    assert!(
        std.iter().all(|&std| 0.0 < std && std < f64::INFINITY),
        "normalize: std is {std:?}; expected finite numbers above 0"
    );
}

/// The scale and shift that make `(b / 255 − mean) / std` of a byte `b`.
pub(crate) fn scale_and_shift(mean: f64, std: f64) -> (f32, f32) {
    ((1.0 / (255.0 * std)) as f32, (-mean / std) as f32)
}

impl Dataset for ByteRows {
    type Sample = ByteRow;

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Result<ByteRow, DataError> {
        assert!(index < self.len, "get: index is {index}; expected less than {}", self.len);
        Ok(ByteRow { rows: self.rows.clone(), index })
    }
}

/// A sample of [`ByteRows`]. Shares its bytes with them; a batch of rows is a tensor.
#[derive(Clone, Debug)]
pub struct ByteRow {
    rows: Arc<Rows>,
    index: usize,
}

impl ByteRow {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let size = self.rows.shape.numel();
        &self.rows.bytes[self.index * size..(self.index + 1) * size]
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.rows.shape
    }

    /// The scaled bytes.
    #[must_use]
    pub fn to_tensor(&self) -> Tensor {
        Tensor::build(self.rows.shape.clone(), |out| self.write(out))
    }

    fn write(&self, out: &mut [f32]) {
        let channels = &self.rows.channels;
        let size = out.len() / channels.len();
        let channel = out.chunks_exact_mut(size).zip(self.bytes().chunks_exact(size));
        for ((out, bytes), &(scale, shift)) in channel.zip(channels) {
            convert_bytes(out, bytes, scale, shift);
        }
    }
}

/// `[batch, …]`
impl Collate for ByteRow {
    type Batch = Tensor;

    fn collate(samples: Vec<Self>) -> Result<Tensor, DataError> {
        let shape = crate::collate::common_shape(samples.iter().map(|sample| sample.shape()))?;
        let batch: Shape = [samples.len()].into_iter().chain(shape.iter().copied()).collect();
        Ok(Tensor::build(batch, |out| {
            for (out, sample) in out.chunks_exact_mut(shape.numel()).zip(&samples) {
                sample.write(out);
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_their_own_scale() {
        let rows = ByteRows::new(vec![0, 255, 51, 0], [2, 2]).unwrap();
        let row = rows.normalize(&[0.0, 0.2], &[1.0, 0.5]).get(0).unwrap().to_tensor().to_vec();
        for (found, expected) in row.into_iter().zip([0.0, 1.0, 0.0, -0.4]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_clone_with_another_scale_shares_the_bytes() {
        let rows = ByteRows::new(vec![1, 2], [1]).unwrap();
        let scaled = rows.clone().scale(2.0, 0.0);
        assert!(Arc::ptr_eq(&rows.rows.bytes, &scaled.rows.bytes));
        assert_eq!(rows.batch(&[0, 1]).unwrap().to_vec(), [1.0, 2.0]);
        assert_eq!(scaled.batch(&[0, 1]).unwrap().to_vec(), [2.0, 4.0]);
    }

    #[test]
    fn standard_deviations_are_positive() {
        for (mean, std) in [(0.0, 0.0), (0.0, -1.0), (0.0, f64::NAN), (f64::INFINITY, 1.0)] {
            let rows = ByteRows::new(vec![1, 2], [1]).unwrap();
            std::panic::catch_unwind(|| rows.normalize(&[mean], &[std])).unwrap_err();
        }
    }

    #[test]
    fn bytes_must_make_samples() {
        for (shape, text) in [
            (vec![2, 2], "ByteRows: found 5 bytes, expected a multiple of [2, 2]"),
            (vec![0], "ByteRows: found 5 bytes, expected a multiple of [0]"),
            (vec![usize::MAX, 2], "ByteRows: found 5 bytes, expected a multiple of [1844"),
        ] {
            let error = ByteRows::new(vec![0; 5], &shape[..]).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
        }
    }
}
