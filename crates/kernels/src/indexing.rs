//! Elements and rows by index.
//!
//! An index may repeat, and then the result of a function that writes depends on the order. So all
//! that is written to one element is written in order, by one thread.

use crate::elementwise::{copy, copy_slice, map_from};
use crate::float::{Element, Float};
use crate::parallel::{CHUNK, num_threads, piece, share};
use crate::simd::simd;
use crate::strided::{Nest, View};
use smallvec::SmallVec;
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

/// `out[p] ← x[offset(p) + index[p] · step]`. Returns whether all indices are below `size`; if not,
/// the results are arbitrary. (Indices are checked here because they are then in the cache.)
///
/// # Panics
/// If the lengths do not match, or an element is outside `x`.
///
/// ```
/// use adamant_kernels::{Lookup, gather};
/// let lookup = Lookup { shape: &[2, 1], strides: &[2, 0], step: 1, index: &[1, 0] };
/// let mut out = [0.0; 2];
/// assert!(gather(&mut out, &[1.0, 2.0, 3.0, 4.0], lookup, 2)); // column 1 of row 0, column 0 of row 1
/// assert_eq!(out, [2.0, 3.0]);
/// ```
#[must_use]
pub fn gather<T: Float>(out: &mut [T], x: &[T], lookup: Lookup<'_>, size: usize) -> bool {
    let Lookup { shape, strides, step, index } = lookup;
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each index");
    assert_eq!(out.len(), index.len(), "one result for each index");
    let nest = Nest::new(shape, [strides]);
    let [stride] = nest.inner_strides();
    let cost = out.len().saturating_mul(4);
    let outside = AtomicBool::new(false);
    share(out.chunks_mut(CHUNK).enumerate(), cost, |(chunk, out)| {
        let start = chunk * CHUNK;
        let index = &index[start..start + out.len()];
        if !are_below(index, size) {
            return outside.store(true, Ordering::Relaxed);
        }
        nest.runs(start..start + out.len(), |run, [offset]| {
            let (out, index) = (&mut out[run.clone()], &index[run]);
            if (stride, step) == (0, 1) {
                let x = &x[offset..]; // a row, in which an index is a position
                out.iter_mut().zip(index).for_each(|(out, &index)| *out = x[index]);
            } else {
                for (i, (out, &index)) in out.iter_mut().zip(index).enumerate() {
                    *out = x[offset + i * stride + index * step];
                }
            }
        });
    });
    !outside.into_inner()
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
            let (x, index) = (&x[run.clone()], &index[run]);
            if (stride, step) == (0, 1) {
                let out = &mut out[offset..]; // as in `gather`
                x.iter().zip(index).for_each(|(&x, &index)| out[index] += x);
            } else {
                for (i, (&x, &index)) in x.iter().zip(index).enumerate() {
                    out[offset + i * stride + index * step] += x;
                }
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
        if !are_below(index, size) {
            outside.store(true, Ordering::Relaxed);
        }
    });
    !outside.into_inner()
}

/// [`all_below`] on this thread.
fn are_below(index: &[usize], size: usize) -> bool {
    simd!(|| index.iter().fold(true, |all, &index| all & (index < size)))
}

/// A dimension of the operand of [`take`]: its size, and the positions that are taken, or all.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'a> {
    /// The operand's size.
    pub size: usize,
    /// The positions; `None` for all in order.
    pub index: Option<&'a [usize]>,
}

impl Taken<'_> {
    /// The size of the result.
    fn len(&self) -> usize {
        self.index.map_or(self.size, <[usize]>::len)
    }
}

/// `out[i, j, ..] ← x[a[i], b[j], ..]`, where each dimension has positions of its own.
///
/// # Panics
/// If the lengths do not match, or a position is not below the size of its dimension.
///
/// ```
/// use adamant_kernels::{Taken, take};
/// let (rows, columns) = (Taken { size: 2, index: Some(&[1, 0]) }, Taken { size: 2, index: Some(&[1]) });
/// let mut out = [0usize; 2];
/// take(&mut out, &[1, 2, 3, 4], &[rows, columns]);
/// assert_eq!(out, [4, 2]);
/// ```
pub fn take<E: Element>(out: &mut [E], x: &[E], dims: &[Taken<'_>]) {
    let size = |dims: &[Taken<'_>]| dims.iter().map(|dim| dim.size).product::<usize>();
    assert_eq!(x.len(), size(dims), "the operand has its shape");
    assert_eq!(out.len(), dims.iter().map(Taken::len).product(), "a result for each position");
    if out.is_empty() {
        return;
    }
    // The dimensions before the last one with an index, that one, and those after it.
    let Some(last) = dims.iter().rposition(|dim| dim.index.is_some()) else {
        return copy(out, &[x.len()], View { data: x, strides: &[1] });
    };
    let (outer, Taken { size: taken, index }) = (&dims[..last], dims[last]);
    let (index, inner) = (index.expect("the dimension has one"), size(&dims[last + 1..]));
    for &Taken { size, index } in dims {
        assert!(index.is_none_or(|index| all_below(index, size)), "positions within the operand");
    }
    let slice = taken * inner; // what a position of `outer` has in `x`
    let row = index.len() * inner; // and in `out`
    if row < SHORT && outer.last().is_some_and(|dim| dim.index.is_none()) {
        let row: SmallVec<[usize; SHORT]> =
            index.iter().flat_map(|&index| index * inner..(index + 1) * inner).collect();
        return take_columns(out, x, outer, slice, &row);
    }
    let runs = Run::all(index);
    let rows = CHUNK.div_ceil(inner); // per piece of work
    let cost = out.len();
    share(out.chunks_mut(rows * inner).enumerate(), cost, |(piece, mut out)| {
        let mut row = piece * rows;
        while !out.is_empty() {
            let x = &x[start_of(outer, row / index.len()) * slice..][..slice];
            let first = row % index.len();
            let (own, rest) = out.split_at_mut(out.len().min((index.len() - first) * inner));
            take_runs(own, x, first, &runs, index, inner);
            row += own.len() / inner;
            out = rest;
        }
    });
}

/// `out[p, ..] ← ` the slice of `shape` at the element `starts[p]` of `x`, row-major in `out`.
///
/// # Panics
/// If the lengths do not match, or `x` is too short.
///
/// ```
/// use adamant_kernels::{View, take_slices};
/// let columns = View { data: &[1.0, 2.0, 3.0, 4.0], strides: &[2] };
/// let mut out = [0.0; 4];
/// take_slices(&mut out, &[2], columns, &[1, 0]);
/// assert_eq!(out, [2.0, 4.0, 1.0, 3.0]);
/// ```
pub fn take_slices<E: Element>(out: &mut [E], shape: &[usize], x: View<'_, E>, starts: &[usize]) {
    let slice = shape.iter().product::<usize>();
    assert_eq!(out.len(), starts.len() * slice, "a slice for each start");
    let nest = Nest::new(shape, [x.strides]);
    let (cost, piece) = (out.len(), piece(out.len()));
    share(out.chunks_mut(piece).enumerate(), cost, |(i, mut out)| {
        simd!(|| {
            let mut at = i * piece;
            while !out.is_empty() {
                let (start, first) = (starts[at / slice], at % slice);
                let (own, rest) = out.split_at_mut((slice - first).min(out.len()));
                map_from(own, &nest, first, &x.data[start..], |x| x);
                at += own.len();
                out = rest;
            }
        });
    });
}

/// Where the `at`-th position of the result's dimensions `dims` is in the operand's.
fn start_of(dims: &[Taken<'_>], mut at: usize) -> usize {
    let (mut start, mut stride) = (0, 1);
    for dim in dims.iter().rev() {
        let i = at % dim.len();
        start += dim.index.map_or(i, |index| index[i]) * stride;
        stride *= dim.size;
        at /= dim.len();
    }
    start
}

/// Rows below this many elements are taken column by column.
const SHORT: usize = 16;

/// `out[o, c] ← x[start_of(outer, o), row[c]]`, for slices of `x` of `slice` elements.
fn take_columns<E: Element>(
    out: &mut [E],
    x: &[E],
    outer: &[Taken<'_>],
    slice: usize,
    row: &[usize],
) {
    const BLOCK: usize = 512; // rows that stay in the first cache
    let size = outer[outer.len() - 1].size; // slices that follow each other
    let rows = CHUNK / row.len(); // per piece of work
    let cost = out.len();
    share(out.chunks_mut(rows * row.len()).enumerate(), cost, |(piece, mut out)| {
        let mut at = piece * rows;
        while !out.is_empty() {
            let count = (size - at % size).min(out.len() / row.len()).min(BLOCK);
            let (own, rest) = out.split_at_mut(count * row.len());
            let x = &x[start_of(outer, at) * slice..][..count * slice];
            for (column, &from) in row.iter().enumerate() {
                let out = own[column..].iter_mut().step_by(row.len());
                out.zip(x[from..].iter().step_by(slice)).for_each(|(out, &x)| *out = x);
            }
            at += count;
            out = rest;
        }
    });
}

/// Indices that follow each other in steps of 1, up or down, or in no order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    /// The position of the first among all indices.
    start: usize,
    len: usize,
    order: Order,
}

/// The order of indices, and the smallest if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Up { from: usize },
    Down { from: usize },
    None,
}

impl Run {
    /// The runs of `index`. Where runs are so short that single indices are faster, they are one
    /// without order.
    fn all(index: &[usize]) -> SmallVec<[Run; 4]> {
        const SHORT: usize = 8;
        let mut runs: SmallVec<[Run; 4]> = SmallVec::new();
        let (mut start, mut short) = (0, 0);
        while start < index.len() {
            let steps = index[start..].windows(2);
            let up = steps.clone().take_while(|pair| pair[1].wrapping_sub(pair[0]) == 1).count();
            let down = steps.take_while(|pair| pair[0].wrapping_sub(pair[1]) == 1).count();
            let mut len = up.max(down) + 1;
            let mut order = match down > up {
                true => Order::Down { from: index[start + len - 1] },
                false => Order::Up { from: index[start] },
            };
            if len < SHORT {
                order = Order::None;
                short += 1;
                if short > start / SHORT + 64 {
                    len = index.len() - start; // it is not worth looking further
                }
            }
            match runs.last_mut() {
                Some(run) if order == Order::None && run.order == Order::None => run.len += len,
                _ => runs.push(Run { start, len, order }),
            }
            start += len;
        }
        runs
    }

    /// The part of the run that lies at or after position `first`, and has at most `len` indices.
    fn part(self, first: usize, len: usize) -> Run {
        let skipped = first.saturating_sub(self.start);
        let len = len.min(self.len - skipped);
        let order = match self.order {
            Order::Up { from } => Order::Up { from: from + skipped },
            Order::Down { from } => Order::Down { from: from + self.len - skipped - len },
            Order::None => Order::None,
        };
        Run { start: self.start + skipped, len, order }
    }
}

/// `out[i, ..] ← x[index[first + i], ..]` for rows of `inner` elements.
fn take_runs<E: Element>(
    mut out: &mut [E],
    x: &[E],
    first: usize,
    runs: &[Run],
    index: &[usize],
    inner: usize,
) {
    let passed = runs.partition_point(|run| run.start + run.len <= first);
    for run in &runs[passed..] {
        if out.is_empty() {
            break;
        }
        let Run { start, len, order } = run.part(first, out.len() / inner);
        let (own, rest) = out.split_at_mut(len * inner);
        match (order, inner) {
            (Order::None, 1) => {
                let index = &index[start..start + len];
                own.iter_mut().zip(index).for_each(|(out, &from)| *out = x[from]);
            }
            (Order::None, _) => {
                let rows = own.chunks_exact_mut(inner).zip(&index[start..]);
                rows.for_each(|(out, &from)| out.copy_from_slice(&x[from * inner..][..inner]));
            }
            (Order::Up { from }, _) => copy_slice(own, &x[from * inner..][..own.len()]),
            (Order::Down { from }, 1) => {
                let x = &x[from..from + len];
                simd!(|| {
                    for (out, &x) in own.iter_mut().zip(x.iter().rev()) {
                        *out = x;
                    }
                });
            }
            (Order::Down { from }, _) => {
                let x = &x[from * inner..][..own.len()];
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
            const BLOCK: usize = 1024;
            let first = range * rows;
            let own = out.len() / inner;
            let mut found = [0; BLOCK];
            simd!(|| {
                let blocks = index.chunks(BLOCK).zip(x.chunks(BLOCK * inner));
                for (index, x) in blocks {
                    // First the indices of this range, without branches, which would be
                    // mispredicted.
                    let mut count = 0;
                    for (i, to) in index.iter().enumerate() {
                        found[count] = i;
                        count += usize::from(to.wrapping_sub(first) < own);
                    }
                    for &i in &found[..count] {
                        let to = index[i] - first;
                        if inner == 1 {
                            f(from_mut(&mut out[to]), from_ref(&x[i]));
                        } else {
                            f(&mut out[to * inner..][..inner], &x[i * inner..][..inner]);
                        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_each_dimension_are_taken() {
        let up: Vec<usize> = (3..20).collect();
        let down: Vec<usize> = (0..20).rev().collect();
        let mixed: Vec<usize> = [7, 7, 1].into_iter().chain(0..20).chain([2, 0]).collect();
        let scattered: Vec<usize> = (0..3000).map(|i| i * 7919 % 20).collect();
        let two = [19, 0];
        for indices in [
            [Some(&down[..]), Some(&up[..]), Some(&mixed[..])],
            [None, Some(&scattered), None],
            [Some(&two), None, Some(&two)],
            [None, Some(&two), Some(&two)],
            [None, None, Some(&scattered)],
            [Some(&mixed), Some(&down), None],
            [None, None, None],
            [Some(&[]), Some(&two), None],
        ] {
            for sizes in [[20, 20, 20], [20, 20, 400], [2000, 20, 20]] {
                let dims: [Taken<'_>; 3] =
                    std::array::from_fn(|d| Taken { size: sizes[d], index: indices[d] });
                let x: Vec<usize> = (0..sizes.iter().product()).collect();
                let lens = dims.map(|dim| dim.len());
                let mut out = vec![usize::MAX; lens.iter().product()];
                take(&mut out, &x, &dims);
                for (at, &found) in out.iter().enumerate() {
                    let position = [at / lens[2] / lens[1], at / lens[2] % lens[1], at % lens[2]];
                    let from =
                        |d: usize| indices[d].map_or(position[d], |index| index[position[d]]);
                    let expected = (from(0) * sizes[1] + from(1)) * sizes[2] + from(2);
                    assert_eq!(found, expected, "{sizes:?} at {position:?}");
                }
            }
        }
    }

    #[test]
    fn positions_outside_of_the_operand_panic() {
        let x = vec![0usize; 400];
        let long = |last: usize| (0..40).chain([last]).collect::<Vec<_>>();
        let scattered = |last: usize| (0..40).map(|i| i * 7 % 40).chain([last]).collect::<Vec<_>>();
        for last in [40, usize::MAX, usize::MAX / 2 + 1] {
            for index in [vec![last], vec![last; 3], long(last), scattered(last)] {
                for dims in [[1, 40, 10], [5, 40, 2], [10, 40, 1]] {
                    let taken = std::array::from_fn::<_, 3, _>(|d| Taken {
                        size: dims[d],
                        index: (d == 1).then_some(&index[..]),
                    });
                    let mut out = vec![0; dims[0] * index.len() * dims[2]];
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        take(&mut out, &x[..dims.iter().product()], &taken);
                    }));
                    assert!(result.is_err(), "{index:?} of {dims:?}");
                }
            }
        }
    }

    #[test]
    fn runs_are_found() {
        let found = |index: &[usize]| {
            Run::all(index).iter().map(|run| (run.len, run.order)).collect::<Vec<_>>()
        };
        let up: Vec<usize> = (4..20).collect();
        let down: Vec<usize> = (4..20).rev().collect();
        assert_eq!(found(&up), [(16, Order::Up { from: 4 })]);
        let one_by_one_then_down = [&[9, 9, 9][..], &down].concat();
        let expected = [(3, Order::None), (16, Order::Down { from: 4 })];
        assert_eq!(found(&one_by_one_then_down), expected);
        let scattered: Vec<usize> = (0..3000).map(|i| i * 7919 % 4001).collect();
        assert_eq!(found(&scattered), [(3000, Order::None)]);
    }

    #[test]
    fn rows_of_all_ranges_are_written_in_order() {
        for (size, inner) in [(5000, 1), (5000, 3), (3, 1), (1, 2)] {
            let index: Vec<usize> = (0..3000).map(|i| i * i % 4001 % size).collect();
            let x: Vec<f64> = (0..index.len() * inner).map(|i| (i as f64).sin()).collect();
            let (mut put, mut added) = (vec![0.5; size * inner], vec![0.5; size * inner]);
            let (mut last, mut sums) = (put.clone(), put.clone());
            put_rows(&mut put, &x, [1, size, inner], &index);
            add_rows(&mut added, &x, [1, size, inner], &index);
            for (i, to) in index.iter().enumerate() {
                for k in 0..inner {
                    last[to * inner + k] = x[i * inner + k];
                    sums[to * inner + k] += x[i * inner + k];
                }
            }
            assert!(put == last && added == sums);
        }
    }
}
