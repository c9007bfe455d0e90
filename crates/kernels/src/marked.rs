//! Elements chosen by a mask.

use crate::float::Element;
use crate::parallel::{CHUNK, share};
use crate::reduce::count;
use std::hint::select_unpredictable;

/// A mask of bytes, false if they are 0, with what threads need in order to start in the middle of
/// it: the number of true ones in each piece.
#[derive(Debug)]
pub struct Marked<'a> {
    mask: &'a [u8],
    counts: Vec<usize>,
}

impl<'a> Marked<'a> {
    /// Counts what is true in each piece of the mask.
    #[must_use]
    pub fn new(mask: &'a [u8]) -> Self {
        let mut counts = vec![0; mask.len().div_ceil(CHUNK)];
        share(counts.iter_mut().zip(mask.chunks(CHUNK)), mask.len(), |(number, mask)| {
            *number = count(mask, |x| x != 0);
        });
        Marked { mask, counts }
    }

    /// The number of elements for which the mask is true.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// `out ← ` the positions where the mask is true.
    ///
    /// # Panics
    /// If `out` does not have an element for each of them.
    ///
    /// ```
    /// let mut out = [9; 2];
    /// adamant_kernels::Marked::new(&[0, 1, 1]).positions(&mut out);
    /// assert_eq!(out, [1, 2]);
    /// ```
    pub fn positions(&self, out: &mut [usize]) {
        self.keep(out, |start, len| start..start + len);
    }

    /// `out ← ` the elements of `x` where the mask is true, in order.
    ///
    /// # Panics
    /// If `x` does not have the length of the mask, or `out` does not have an element for each of them.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// adamant_kernels::Marked::new(&[0, 1, 1]).select(&mut out, &[7.0, 8.0, 9.0]);
    /// assert_eq!(out, [8.0, 9.0]);
    /// ```
    pub fn select<E: Element>(&self, out: &mut [E], x: &[E]) {
        assert_eq!(x.len(), self.mask.len(), "an element for each of the mask");
        self.keep(out, |start, len| x[start..start + len].iter().copied());
    }

    /// `out ← ` those of `values(start, len)`, the values from a position on, where the mask is true.
    fn keep<E: Element, I: Iterator<Item = E>>(
        &self,
        out: &mut [E],
        values: impl Fn(usize, usize) -> I + Sync,
    ) {
        assert_eq!(out.len(), self.count(), "one result for each true element of the mask");
        let mut rest = out;
        let pieces: Vec<_> = self
            .counts
            .iter()
            .zip(self.mask.chunks(CHUNK).enumerate())
            .map(|(&count, (piece, mask))| (rest.split_off_mut(..count), piece * CHUNK, mask))
            .map(|(out, start, mask)| (out.expect("the counts add up"), start, mask))
            .collect();
        share(pieces.into_iter(), self.mask.len(), |(out, start, mask)| {
            // Every value is written, and overwritten by the next one if the mask is false: no branch
            // is mispredicted.
            let mut at = 0;
            for (value, &mask) in values(start, mask.len()).zip(mask) {
                let Some(out) = out.get_mut(at) else { break };
                *out = value;
                at += usize::from(mask != 0);
            }
        });
    }

    /// `out[i] ← ` the next element of `source` where the mask is true, `other(i)` elsewhere.
    ///
    /// # Panics
    /// If `out` does not have the length of the mask, or `source` does not have an element for each
    /// true one.
    ///
    /// ```
    /// let mut out = [0; 3];
    /// adamant_kernels::Marked::new(&[0, 1, 1]).spread(&mut out, &[8, 9], |i| 10 + i as i64);
    /// assert_eq!(out, [10, 8, 9]);
    /// ```
    pub fn spread<E: Element>(
        &self,
        out: &mut [E],
        source: &[E],
        other: impl Fn(usize) -> E + Copy + Sync,
    ) {
        assert_eq!(out.len(), self.mask.len(), "one result for each element of the mask");
        assert_eq!(source.len(), self.count(), "one element for each true one of the mask");
        let mut rest = source;
        let sources: Vec<_> = self
            .counts
            .iter()
            .map(|&count| rest.split_off(..count).expect("the counts add up"))
            .collect();
        let pieces = out.chunks_mut(CHUNK).zip(self.mask.chunks(CHUNK)).zip(sources).enumerate();
        share(pieces, self.mask.len(), |(piece, ((out, mask), source))| {
            let Some(last) = source.len().checked_sub(1) else {
                return (piece * CHUNK..).zip(out).for_each(|(i, out)| *out = other(i));
            };
            let mut at = 0;
            for (i, (out, &mask)) in (piece * CHUNK..).zip(out.iter_mut().zip(mask)) {
                // Both are read, so that no branch is mispredicted.
                *out = select_unpredictable(mask != 0, source[at.min(last)], other(i));
                at += usize::from(mask != 0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_continue_each_other() {
        for (len, ones) in [(0, 1..2), (5, 0..0), (3 * CHUNK + 5, 1..4), (2 * CHUNK, 0..7)] {
            let mask: Vec<u8> = (0..len).map(|i| u8::from(ones.contains(&(i * i % 7)))).collect();
            let marked = Marked::new(&mask);
            let expected: Vec<usize> = (0..len).filter(|&i| mask[i] == 1).collect();
            let x: Vec<usize> = (0..len).map(|i| i + 3).collect();
            assert_eq!(marked.count(), expected.len());
            let mut out = vec![usize::MAX; expected.len()];
            marked.positions(&mut out);
            assert!(out == expected);
            marked.select(&mut out, &x);
            assert!(out.iter().zip(&expected).all(|(&out, &i)| out == i + 3));
            let mut spread = vec![0; len];
            marked.spread(&mut spread, &expected, |i| i + len);
            let is_right = |i: usize| spread[i] == if mask[i] == 1 { i } else { i + len };
            assert!((0..len).all(is_right));
        }
    }
}
