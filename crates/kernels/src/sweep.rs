//! One pass over many buffers of many sizes, as an optimizer's step makes it.

use crate::parallel::drain;

/// Elements in a piece: half a megabyte of f32 in each buffer, long stretches
/// for memory to deliver.
const PIECE: usize = 1 << 17;

/// Buffers that are walked in step, and can be cut in two.
pub trait Cut: Sized {
    /// The number of elements.
    fn elements(&self) -> usize;
    /// The first `at` elements, and the rest.
    fn cut(self, at: usize) -> (Self, Self);
}

/// How much a [`sweep`] has to do: known before it begins, so that it can be
/// handed out in pieces without a list of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepSize {
    pieces: usize,
    elements: usize,
}

impl SweepSize {
    /// Adds a set of buffers of this length.
    pub fn add(&mut self, elements: usize) {
        self.pieces += elements.div_ceil(PIECE);
        self.elements += elements;
    }
}

/// Runs `job` on all of `buffers`, in pieces, on
/// several threads if all of it together is worth it. No list of pieces is made.
///
/// `size` is that of all the buffers.
pub fn sweep<B: Cut + Send>(
    buffers: impl Iterator<Item = B> + Send,
    size: SweepSize,
    job: impl Fn(B) + Sync,
) {
    let pieces = Pieces { buffers, rest: None, left: size.pieces };
    drain(pieces, size.elements.saturating_mul(2), job);
}

struct Pieces<I: Iterator> {
    buffers: I,
    /// What is left of the buffers begun last.
    rest: Option<I::Item>,
    left: usize,
}

impl<B: Cut, I: Iterator<Item = B>> Iterator for Pieces<I> {
    type Item = B;

    fn next(&mut self) -> Option<B> {
        let buffers = match self.rest.take() {
            Some(rest) => rest,
            None => self.buffers.find(|buffers| buffers.elements() > 0)?,
        };
        self.left = self.left.saturating_sub(1);
        if buffers.elements() <= PIECE {
            return Some(buffers);
        }
        let (piece, rest) = buffers.cut(PIECE);
        self.rest = Some(rest);
        Some(piece)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<B: Cut, I: Iterator<Item = B>> ExactSizeIterator for Pieces<I> {}

#[cfg(test)]
mod tests {
    use super::*;

    impl Cut for &mut [u8] {
        fn elements(&self) -> usize {
            self.len()
        }
        fn cut(self, at: usize) -> (Self, Self) {
            self.split_at_mut(at)
        }
    }

    #[test]
    fn every_element_is_swept_once() {
        let lengths = [3, 0, PIECE, PIECE + 1, 5 * PIECE - 1, 0, 1];
        let mut buffers: Vec<Vec<u8>> = lengths.iter().map(|&len| vec![0; len]).collect();
        let mut size = SweepSize::default();
        lengths.iter().for_each(|&len| size.add(len));
        let slices = buffers.iter_mut().map(Vec::as_mut_slice);
        sweep(slices, size, |piece| piece.iter_mut().for_each(|x| *x += 1));
        assert!(buffers.iter().flatten().all(|&x| x == 1));
    }
}
