//! What processes send to each other.

use bytemuck::{Pod, cast_slice, cast_slice_mut};

/// A buffer of bytes, aligned for every type of element.
///
/// ```
/// use adamant_transport::Frame;
/// let mut frame = Frame::from_slice(&[1.0f32, 2.0, 3.0]);
/// frame.as_mut_slice::<f32>()[1] = 5.0;
/// assert_eq!(frame.as_slice::<f32>(), [1.0, 5.0, 3.0]);
/// assert_eq!(frame.len(), 12);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Frame {
    words: Vec<u64>,
    bytes: usize,
}

impl Frame {
    /// A frame of this number of bytes, all 0.
    #[must_use]
    pub fn zeros(bytes: usize) -> Self {
        Frame { words: vec![0; bytes.div_ceil(size_of::<u64>())], bytes }
    }

    /// A copy of these elements.
    #[must_use]
    pub fn from_slice<E: Pod>(elements: &[E]) -> Self {
        let mut frame = Frame::zeros(size_of_val(elements));
        frame.as_mut_slice().copy_from_slice(elements);
        frame
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The elements.
    ///
    /// # Panics
    /// If the number of bytes is not a multiple of an element's, or an element needs a larger
    /// alignment than 8.
    #[must_use]
    #[track_caller]
    pub fn as_slice<E: Pod>(&self) -> &[E] {
        cast_slice(&cast_slice::<u64, u8>(&self.words)[..self.bytes])
    }

    /// The elements, to be changed.
    ///
    /// # Panics
    /// As [`as_slice`](Frame::as_slice).
    #[must_use]
    #[track_caller]
    pub fn as_mut_slice<E: Pod>(&mut self) -> &mut [E] {
        cast_slice_mut(&mut cast_slice_mut::<u64, u8>(&mut self.words)[..self.bytes])
    }
}
