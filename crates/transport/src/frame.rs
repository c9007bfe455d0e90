//! What processes send to each other.

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// A buffer of bytes, aligned for every type of element.
///
/// ```
/// use adamant_transport::Frame;
/// let mut frame = Frame::from_slice(&[1.0f32, 2.0, 3.0]);
/// frame.as_mut_slice::<f32>()[1] = 5.0;
/// assert_eq!(frame.as_slice::<f32>(), [1.0, 5.0, 3.0]);
/// assert_eq!(frame.len(), 12);
/// ```
#[derive(Debug, Default)]
pub struct Frame {
    /// At least as many as the bytes need.
    words: Vec<u64>,
    bytes: usize,
}

/// The buffers of dropped frames, for reuse: each step of a training exchanges frames of the same sizes.
static FREE: Mutex<Vec<Vec<u64>>> = Mutex::new(Vec::new());

/// The most buffers that are kept.
const MOST_FREE: usize = 32;

/// The sizes of buffers that are kept, in words: smaller ones are not worth the lock, and larger ones
/// are no chunks. So at most 256 MB are kept.
const KEPT: RangeInclusive<usize> = 1 << 13..=1 << 20;

impl Frame {
    /// A frame of this number of bytes, all 0.
    #[must_use]
    pub fn zeros(bytes: usize) -> Self {
        Frame { words: vec![0; bytes.div_ceil(size_of::<u64>())], bytes }
    }

    /// A frame of this number of bytes with arbitrary contents, for a caller that overwrites all of them.
    #[must_use]
    pub fn stale(bytes: usize) -> Self {
        let len = bytes.div_ceil(size_of::<u64>());
        match KEPT.contains(&len).then(|| take(len)).flatten() {
            Some(words) => Frame { words, bytes },
            None => Frame::zeros(bytes),
        }
    }

    /// A copy of these elements.
    #[must_use]
    pub fn from_slice<E: Pod>(elements: &[E]) -> Self {
        let mut frame = Frame::stale(size_of_val(elements));
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

/// Takes the buffer of at least `len` words that was freed last, if there is one of at most twice the
/// length.
fn take(len: usize) -> Option<Vec<u64>> {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let at = free.iter().rposition(|words| (len..=2 * len).contains(&words.len()))?;
    Some(free.remove(at))
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        Frame::from_slice(self.as_slice::<u8>())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if KEPT.contains(&self.words.len()) {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = (free.len() == MOST_FREE).then(|| free.remove(0));
            free.push(std::mem::take(&mut self.words));
            drop(free);
            drop(oldest); // not under the lock
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_reused_for_similar_sizes() {
        let bytes = 5 << 20; // no other test has frames of this size
        let frame = Frame::from_slice(&vec![7u8; bytes]);
        let buffer = frame.words.as_ptr();
        drop(frame);
        let larger = Frame::stale(bytes + 8);
        let smaller = Frame::stale(bytes / 2 - 8);
        let similar = Frame::stale(bytes - 3);
        assert!(larger.words.as_ptr() != buffer && smaller.words.as_ptr() != buffer);
        assert_eq!((similar.words.as_ptr(), similar.len()), (buffer, bytes - 3));
        assert_eq!(similar.as_slice::<u8>(), vec![7; bytes - 3]);
    }

    #[test]
    fn lengths_are_those_that_were_asked_for() {
        for bytes in [0, 3, 8, 70_001, 100_000, 9 << 20] {
            for frame in [Frame::stale(bytes), Frame::zeros(bytes), Frame::stale(bytes).clone()] {
                assert_eq!((frame.len(), frame.as_slice::<u8>().len()), (bytes, bytes));
            }
        }
    }
}
