//! Walking several strided operands in step.
//!
//! Results are written in row-major order, so an output needs no strides. Dimensions are merged
//! where the strides allow it, which makes the innermost runs as long as possible.

use smallvec::SmallVec;
use std::ops::Range;

/// A strided slice: index `(i, j, …)` is `data[i·s₀ + j·s₁ + …]`.
///
/// A stride of 0 repeats an element (a broadcast dimension).
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// Starts at the view's first element.
    pub data: &'a [T],
    /// One stride for each dimension, in elements.
    pub strides: &'a [usize],
}

/// The row-major strides of `shape`.
///
/// ```
/// assert_eq!(adamant_kernels::contiguous_strides(&[2, 3, 4]).as_slice(), [12, 4, 1]);
/// ```
#[must_use]
#[inline]
pub fn contiguous_strides(shape: &[usize]) -> SmallVec<[usize; 4]> {
    let mut strides = SmallVec::from_elem(1, shape.len());
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d];
    }
    strides
}

/// A loop nest over `N` operands, outermost dimension first; never empty.
pub(crate) struct Nest<const N: usize> {
    pub(crate) dims: SmallVec<[Dim<N>; 4]>,
}

#[derive(Clone, Copy)]
pub(crate) struct Dim<const N: usize> {
    pub(crate) size: usize,
    pub(crate) strides: [usize; N],
}

impl<const N: usize> Nest<N> {
    pub(crate) fn new(shape: &[usize], strides: [&[usize]; N]) -> Self {
        assert!(strides.iter().all(|s| s.len() == shape.len()), "a stride for each dimension");
        let mut dims: SmallVec<[Dim<N>; 4]> = SmallVec::new();
        for (d, &size) in shape.iter().enumerate().filter(|&(_, &size)| size != 1) {
            let inner = Dim { size, strides: std::array::from_fn(|i| strides[i][d]) };
            match dims.last_mut() {
                // One step of the outer dimension equals a walk along the whole inner one.
                Some(outer) if (0..N).all(|i| outer.strides[i] == inner.strides[i] * size) => {
                    *outer = Dim { size: outer.size * size, ..inner };
                }
                _ => dims.push(inner),
            }
        }
        if dims.is_empty() {
            dims.push(Dim { size: 1, strides: [1; N] });
        }
        Nest { dims }
    }

    /// The strides within a run.
    pub(crate) fn inner_strides(&self) -> [usize; N] {
        self.dims[self.dims.len() - 1].strides
    }

    /// Calls `f(run, offsets)` for each innermost run, or part of one, within `range` (row-major
    /// positions). `run` is relative to the range's start; `offsets` are the starts of the
    /// operands' runs.
    #[inline(always)]
    pub(crate) fn runs(&self, range: Range<usize>, mut f: impl FnMut(Range<usize>, [usize; N])) {
        let (inner, outer) = self.dims.split_last().expect("a nest is never empty");
        let mut at = range.start;
        // The position of the run that contains `at`, and its offsets.
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
        let mut offsets = [0; N];
        let mut rest = at / inner.size.max(1);
        for (dim, index) in outer.iter().zip(&mut index).rev() {
            *index = rest % dim.size.max(1);
            rest /= dim.size.max(1);
            for (offset, stride) in offsets.iter_mut().zip(dim.strides) {
                *offset += *index * stride;
            }
        }
        let mut within = at % inner.size.max(1);
        while at < range.end {
            let len = (inner.size - within).min(range.end - at);
            let starts = std::array::from_fn(|i| offsets[i] + inner.strides[i] * within);
            f(at - range.start..at - range.start + len, starts);
            at += len;
            within = 0;
            // The next run: the last dimension moves on, or starts over and the one before moves.
            for (dim, index) in outer.iter().zip(&mut index).rev() {
                *index += 1;
                let is_over = *index == dim.size;
                for (offset, stride) in offsets.iter_mut().zip(dim.strides) {
                    *offset =
                        if is_over { *offset - (*index - 1) * stride } else { *offset + stride };
                }
                if !is_over {
                    break;
                }
                *index = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_merge_where_strides_allow() {
        let merged = |shape: &[usize], strides: &[usize]| Nest::new(shape, [strides]).dims.len();
        assert_eq!(merged(&[2, 3, 4], &[12, 4, 1]), 1);
        assert_eq!(merged(&[2, 3, 4], &[4, 8, 1]), 3);
        assert_eq!(merged(&[2, 1, 4], &[4, 77, 1]), 1);
        assert_eq!(merged(&[], &[]), 1);
        assert_eq!(merged(&[5, 4], &[0, 0]), 1); // one element, repeated
    }

    #[test]
    fn runs_visit_every_position_once() {
        let nest = Nest::new(&[3, 4, 5], [&[1, 15, 3]]);
        for range in [0..60, 7..41, 59..60, 10..10] {
            let mut seen = Vec::new();
            nest.runs(range.clone(), |run, [start]| {
                let [stride] = nest.inner_strides();
                seen.extend((0..run.len()).map(|i| start + i * stride));
            });
            let expected: Vec<usize> =
                range.map(|p| p / 20 + (p / 5 % 4) * 15 + (p % 5) * 3).collect();
            assert_eq!(seen, expected);
        }
    }
}
