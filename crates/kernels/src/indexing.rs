//! Elements and rows by index.
//!
//! An index may repeat, and then the result of a function that writes depends on the order. So all
//! that is written to one element is written in order, by one thread.

use crate::float::{Element, Float};
use crate::parallel::{CHUNK, num_threads, share};
use crate::simd::simd;
use crate::strided::Nest;
use std::slice::{from_mut, from_ref};
use std::sync::atomic::{AtomicBool, Ordering};

/// Indices along one dimension of a strided operand: position `p` of `shape` maps to the element
/// `offset(p) + index[p] · step`, where `offset` follows from `strides`.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The shape of `index`.
    pub shape: &'a [usize],
    /// The operand's strides, 0 in the indexed dimension.
    pub strides: &'a [usize],
    /// The operand's stride in the indexed dimension.
    pub step: usize,
    /// Row-major indices.
    pub index: &'a [usize],
}

/// `out[p] ← x[offset(p) + index[p] · step]`
///
/// # Panics
/// If the lengths do not match, or an element is outside `x`.
///
/// ```
/// use adamant_kernels::{Lookup, gather};
/// let lookup = Lookup { shape: &[2, 1], strides: &[2, 0], step: 1, index: &[1, 0] };
/// let mut out = [0.0; 2];
/// gather(&mut out, &[1.0, 2.0, 3.0, 4.0], lookup); // column 1 of row 0, column 0 of row 1
/// assert_eq!(out, [2.0, 3.0]);
/// ```
pub fn gather<T: Float>(out: &mut [T], x: &[T], lookup: Lookup<'_>) {
    let Lookup { shape, strides, step, index } = lookup;
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each index");
    assert_eq!(out.len(), index.len(), "one result for each index");
    let nest = Nest::new(shape, [strides]);
    let [stride] = nest.inner_strides();
    let cost = out.len().saturating_mul(4);
    share(out.chunks_mut(CHUNK).enumerate(), cost, |(chunk, out)| {
        let start = chunk * CHUNK;
        let index = &index[start..start + out.len()];
        nest.runs(start..start + out.len(), |run, [offset]| {
            for (i, (out, &index)) in out[run.clone()].iter_mut().zip(&index[run]).enumerate() {
                *out = x[offset + i * stride + index * step];
            }
        });
    });
}

/// `out[offset(p) + index[p] · step] ← … + x[p]`, in the order of `p`, where the strides are those of
/// a row-major `out`.
///
/// # Panics
/// If the lengths do not match, or an element is outside `out`.
///
/// ```
/// use adamant_kernels::{Lookup, scatter_add};
/// let lookup = Lookup { shape: &[2], strides: &[0], step: 1, index: &[1, 1] };
/// let mut out = [0.0; 2];
/// scatter_add(&mut out, &[3.0, 4.0], lookup);
/// assert_eq!(out, [0.0, 7.0]);
/// ```
pub fn scatter_add<T: Float>(out: &mut [T], x: &[T], lookup: Lookup<'_>) {
    let Lookup { shape, strides, step, index } = lookup;
    assert_eq!(x.len(), shape.iter().product::<usize>(), "one value for each index");
    assert_eq!(x.len(), index.len(), "one value for each index");
    let add = |out: &mut [T], x: &[T], nest: &Nest<1>, index: &[usize]| {
        let [stride] = nest.inner_strides();
        nest.runs(0..x.len(), |run, [offset]| {
            for (i, (&x, &index)) in x[run.clone()].iter().zip(&index[run]).enumerate() {
                out[offset + i * stride + index * step] += x;
            }
        });
    };
    match (shape, strides) {
        // The indices are along an inner dimension: slices of the outermost one are independent.
        ([slices, inner @ ..], [stride, strides @ ..]) if *stride > 0 && !x.is_empty() => {
            let nest = Nest::new(inner, [strides]);
            let slice = x.len() / slices;
            let count = CHUNK.div_ceil(slice); // in a piece of work
            let pieces = x.chunks(count * slice).zip(index.chunks(count * slice));
            let cost = x.len().saturating_mul(4);
            share(out.chunks_mut(count * stride).zip(pieces), cost, |(out, (x, index))| {
                let slices = x.chunks(slice).zip(index.chunks(slice));
                for (out, (x, index)) in out.chunks_mut(*stride).zip(slices) {
                    add(out, x, &nest, index);
                }
            });
        }
        _ => add(out, x, &Nest::new(shape, [strides]), index),
    }
}

/// Whether all of the indices are below `size`.
///
/// ```
/// assert!(adamant_kernels::all_below(&[0, 2], 3) && !adamant_kernels::all_below(&[3], 3));
/// ```
#[must_use]
pub fn all_below(index: &[usize], size: usize) -> bool {
    let outside = AtomicBool::new(false);
    share(index.chunks(CHUNK), index.len(), |index| {
        let is_outside = simd!(|| index.iter().fold(false, |any, &index| any | (index >= size)));
        if is_outside {
            outside.store(true, Ordering::Relaxed);
        }
    });
    !outside.into_inner()
}

/// `out[o, i, ..] ← x[o, index[i], ..]` for `x` of shape `[outer, size, inner]`.
///
/// # Panics
/// If the lengths do not match, or an index is not below `size`.
///
/// ```
/// let mut out = [0usize; 4];
/// adamant_kernels::take_rows(&mut out, &[1, 2, 3, 4, 5, 6], [1, 3, 2], &[2, 0]);
/// assert_eq!(out, [5, 6, 1, 2]);
/// ```
pub fn take_rows<E: Element>(out: &mut [E], x: &[E], shape: [usize; 3], index: &[usize]) {
    let [outer, size, inner] = shape;
    assert_eq!(x.len(), outer * size * inner, "the operand has its shape");
    assert_eq!(out.len(), outer * index.len() * inner, "a row for each index");
    if out.is_empty() {
        return;
    }
    let runs = Run::all(index);
    let rows = CHUNK.div_ceil(inner); // per piece of work
    let cost = out.len();
    share(out.chunks_mut(rows * inner).enumerate(), cost, |(piece, mut out)| {
        let mut row = piece * rows;
        while !out.is_empty() {
            let x = &x[row / index.len() * size * inner..][..size * inner];
            let first = row % index.len();
            let (own, rest) = out.split_at_mut(out.len().min((index.len() - first) * inner));
            match &runs {
                Some(runs) => take_runs(own, x, first, runs, inner),
                None if inner == 1 => {
                    own.iter_mut().zip(&index[first..]).for_each(|(out, &from)| *out = x[from]);
                }
                None => {
                    for (out, &from) in own.chunks_exact_mut(inner).zip(&index[first..]) {
                        out.copy_from_slice(&x[from * inner..(from + 1) * inner]);
                    }
                }
            }
            row += own.len() / inner;
            out = rest;
        }
    });
}

/// Indices that follow each other in steps of 1, up or down.
#[derive(Clone, Copy)]
struct Run {
    /// The position of the first among all indices.
    start: usize,
    /// The smallest.
    from: usize,
    len: usize,
    down: bool,
}

impl Run {
    /// The runs of `index`, unless they are so short that single indices are faster.
    fn all(index: &[usize]) -> Option<Vec<Run>> {
        const SHORT: usize = 8;
        let mut runs = Vec::new();
        let mut start = 0;
        while start < index.len() {
            let steps = index[start..].windows(2);
            let up = steps.clone().take_while(|pair| pair[1].wrapping_sub(pair[0]) == 1).count();
            let down = steps.take_while(|pair| pair[0].wrapping_sub(pair[1]) == 1).count();
            let (len, down) = (up.max(down) + 1, down > up);
            let from = if down { index[start + len - 1] } else { index[start] };
            runs.push(Run { start, from, len, down });
            if runs.len() > index.len() / SHORT + 4 {
                return None;
            }
            start += len;
        }
        Some(runs)
    }

    /// The part of the run that lies at or after position `first`, and has at most `len` indices.
    fn part(self, first: usize, len: usize) -> Run {
        let skipped = first.saturating_sub(self.start);
        let len = len.min(self.len - skipped);
        let from =
            if self.down { self.from + self.len - skipped - len } else { self.from + skipped };
        Run { start: self.start + skipped, from, len, ..self }
    }
}

/// `out[i, ..] ← x[index[first + i], ..]` for rows of `inner` elements.
fn take_runs<E: Element>(mut out: &mut [E], x: &[E], first: usize, runs: &[Run], inner: usize) {
    let passed = runs.partition_point(|run| run.start + run.len <= first);
    for run in &runs[passed..] {
        let run = run.part(first, out.len() / inner);
        let (own, rest) = out.split_at_mut(run.len * inner);
        let x = &x[run.from * inner..][..own.len()];
        match (run.down, inner) {
            (false, _) => own.copy_from_slice(x),
            (true, 1) => simd!(|| {
                for (out, &x) in own.iter_mut().zip(x.iter().rev()) {
                    *out = x;
                }
            }),
            (true, _) => {
                let rows = own.chunks_exact_mut(inner).zip(x.chunks_exact(inner).rev());
                rows.for_each(|(out, x)| out.copy_from_slice(x));
            }
        }
        out = rest;
        if out.is_empty() {
            break;
        }
    }
}

/// `out[o, index[i], ..] ← … + x[o, i, ..]` for `out` of shape `[outer, size, inner]`,
/// in the order of `i`.
///
/// # Panics
/// If the lengths do not match, or an index is not below `size`.
///
/// ```
/// let mut out = [0.0; 4];
/// adamant_kernels::add_rows(&mut out, &[1.0, 2.0, 3.0, 4.0], [1, 2, 2], &[1, 1]);
/// assert_eq!(out, [0.0, 0.0, 4.0, 6.0]);
/// ```
pub fn add_rows<T: Float>(out: &mut [T], x: &[T], shape: [usize; 3], index: &[usize]) {
    each_row(
        out,
        x,
        shape,
        index,
        #[inline(always)]
        |out, x| {
            for (out, &x) in out.iter_mut().zip(x) {
                *out += x;
            }
        },
    );
}

/// `out[o, index[i], ..] ← x[o, i, ..]` for `out` of shape `[outer, size, inner]`, in the order of
/// `i`: the last of equal indices wins.
///
/// # Panics
/// If the lengths do not match, or an index is not below `size`.
///
/// ```
/// let mut out = [0.0; 4];
/// adamant_kernels::put_rows(&mut out, &[1.0, 2.0, 3.0, 4.0], [1, 2, 2], &[1, 1]);
/// assert_eq!(out, [0.0, 0.0, 3.0, 4.0]);
/// ```
pub fn put_rows<T: Float>(out: &mut [T], x: &[T], shape: [usize; 3], index: &[usize]) {
    each_row(out, x, shape, index, |out, x| out.copy_from_slice(x));
}

/// `f(out[o, index[i], ..], x[o, i, ..])`, in the order of `i`.
fn each_row<T: Float>(
    out: &mut [T],
    x: &[T],
    shape: [usize; 3],
    index: &[usize],
    f: impl Fn(&mut [T], &[T]) + Sync,
) {
    let [outer, size, inner] = shape;
    assert_eq!(out.len(), outer * size * inner, "the result has its shape");
    assert_eq!(x.len(), outer * index.len() * inner, "a row for each index");
    if x.is_empty() {
        return;
    }
    let last = index.iter().max().expect("there is an index for each row");
    assert!(*last < size, "index {last} of {size} rows");
    let cost = x.len().saturating_mul(2);
    // A piece is a range of rows of the result, which finds its indices among all. The ranges do not
    // change the order in which rows are added to an element.
    let ranges = if outer > 1 || num_threads() == 1 { 1 } else { RANGES.min(size) };
    let rows = size.div_ceil(ranges);
    if ranges > 1 {
        share(out.chunks_mut(rows * inner).enumerate(), cost, |(range, out)| {
            let first = range * rows;
            let own = first..first + out.len() / inner;
            simd!(|| {
                for (&to, x) in index.iter().zip(x.chunks_exact(inner)) {
                    if own.contains(&to) {
                        f(&mut out[(to - first) * inner..][..inner], x);
                    }
                }
            });
        });
    } else {
        let slices = CHUNK.div_ceil(size * inner); // per piece of work
        let pieces = x.chunks(slices * index.len() * inner);
        share(out.chunks_mut(slices * size * inner).zip(pieces), cost, |(out, x)| {
            let slices = x.chunks_exact(index.len() * inner);
            simd!(|| {
                for (out, x) in out.chunks_exact_mut(size * inner).zip(slices) {
                    if inner == 1 {
                        for (&to, x) in index.iter().zip(x) {
                            f(from_mut(&mut out[to]), from_ref(x));
                        }
                    } else {
                        for (&to, x) in index.iter().zip(x.chunks_exact(inner)) {
                            f(&mut out[to * inner..(to + 1) * inner], x);
                        }
                    }
                }
            });
        });
    }
}

/// Ranges of rows that are written independently.
const RANGES: usize = 8;
