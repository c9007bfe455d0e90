//! What processes send to each other.

use bytemuck::{Pod, cast_slice, cast_slice_mut};
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

/// The most buffers that are kept: two exchanges of four chunks.
const MOST_FREE: usize = 16;

/// Smaller buffers are not worth the lock.
const SMALLEST: usize = 1 << 13;

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
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |words: &Vec<u64>| (len..=2 * len).contains(&words.len());
        match free.iter().rposition(fits) {
            Some(at) => Frame { words: free.swap_remove(at), bytes },
            None => {
                drop(free);
                Frame::zeros(bytes)
            }
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

impl Clone for Frame {
    fn clone(&self) -> Self {
        Frame::from_slice(self.as_slice::<u8>())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if self.words.len() >= SMALLEST {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() == MOST_FREE {
                free.remove(0); // the one that has been free longest
            }
            free.push(std::mem::take(&mut self.words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_frame_has_the_length_that_was_asked_for() {
        drop(Frame::from_slice(&[7u8; 100_000]));
        for bytes in [0, 3, 8, 70_001, 100_000, 150_000] {
            let frame = Frame::stale(bytes);
            assert_eq!((frame.len(), frame.as_slice::<u8>().len()), (bytes, bytes));
        }
    }

    #[test]
    fn frames_of_other_sizes_share_no_buffer() {
        let mut frames: Vec<_> = (0..40).map(|i| Frame::stale(66_000 + 100 * i)).collect();
        for (i, frame) in frames.iter_mut().enumerate() {
            frame.as_mut_slice().fill(i as u8);
        }
        assert!(
            frames
                .iter()
                .enumerate()
                .all(|(i, frame)| { frame.as_slice::<u8>().iter().all(|&byte| byte == i as u8) })
        );
    }
}
