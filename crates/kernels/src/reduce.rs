//! Reductions: sums and the position of the best element.
//!
//! Every sum is blocked and pairwise: the order of additions follows from the shape alone, and
//! the error grows with the logarithm of the length.

use crate::elementwise::map_from;
use crate::float::Float;
use crate::parallel::{CHUNK, share};
use crate::simd::simd;
use crate::strided::{Nest, View};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Partial sums side by side: two of the widest registers for f32, four for f64.
pub(crate) const LANES: usize = 32;
/// Rows that are added in sequence before sums are added pairwise.
const BLOCK: usize = 32;
/// Elements in a piece of work on whole rows, several of which are reduced to one.
const PART: usize = 4 * CHUNK;
/// With at least this many columns, whole rows are read: tiles of distant rows are slow to read.
const WIDE: usize = 8 * LANES;
/// The bits of the number of blocks: there are fewer than 2⁶⁴ rows, and a block has at least
/// [`BLOCK`].
const DEEPEST: usize = 64 - BLOCK.trailing_zeros() as usize;

/// `out[o, i] ← Σᵣ x[o, r, i]` for row-major `x` of shape `[outer, reduce, inner]`.
///
/// An empty sum is 0.
///
/// # Panics
/// If a length does not match `shape`.
///
/// ```
/// let x = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let (mut rows, mut columns) = ([0.0; 2], [0.0; 3]);
/// adamant_kernels::sum(&mut rows, &x, [2, 3, 1]);
/// adamant_kernels::sum(&mut columns, &x, [1, 2, 3]);
/// assert_eq!((rows, columns), ([6.0, 15.0], [5.0, 7.0, 9.0]));
/// ```
pub fn sum<T: Float>(out: &mut [T], x: &[T], shape: [usize; 3]) {
    sum_of(out, x, shape, |x| x);
}

/// [`sum`] of `f` of each element.
///
/// # Panics
/// If a length does not match `shape`.
///
/// ```
/// let mut squares = [0.0; 2];
/// adamant_kernels::sum_of(&mut squares, &[1.0f32, 2.0, 3.0, 4.0], [2, 2, 1], |x| x * x);
/// assert_eq!(squares, [5.0, 25.0]);
/// ```
pub fn sum_of<T: Float>(
    out: &mut [T],
    x: &[T],
    shape: [usize; 3],
    f: impl Fn(T) -> T + Copy + Sync,
) {
    let [outer, reduce, inner] = shape;
    assert_eq!(out.len(), outer * inner, "one sum for each remaining position");
    assert_eq!(x.len(), outer * reduce * inner, "the operand has its shape");
    if reduce == 0 || inner == 0 {
        return out.fill(T::ZERO);
    }
    if inner == 1 {
        let rows = CHUNK.div_ceil(reduce); // per piece of work
        let pieces = out.chunks_mut(rows).zip(x.chunks(rows * reduce));
        share(pieces, x.len(), |(out, x)| sum_rows(out, x, reduce, f));
    } else if outer > 1 && reduce * inner <= PART {
        let slabs = PART.div_ceil(reduce * inner); // per piece of work
        let pieces = out.chunks_mut(slabs * inner).zip(x.chunks(slabs * reduce * inner));
        share(pieces, x.len(), |(out, x)| {
            simd!(
                || for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(reduce * inner)) {
                    sum_columns(out, x, inner, BLOCK, f);
                }
            );
        });
    } else {
        for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(reduce * inner)) {
            // The pairwise sum of all rows contains the sums of parts of 2ⁿ blocks as subtrees.
            let reads_far = inner >= WIDE && reduce * inner > PART;
            let rows = if reads_far { BLOCK } else { (PART / inner).next_power_of_two() };
            if rows < reduce {
                let mut partial = vec![T::ZERO; reduce.div_ceil(rows) * inner];
                let parts = partial.chunks_mut(inner).zip(x.chunks(rows * inner));
                share(parts, x.len(), |(partial, x)| {
                    simd!(|| sum_columns(partial, x, inner, BLOCK, f));
                });
                share_columns(out, &partial, 1, |x| x);
            } else {
                share_columns(out, x, BLOCK, f);
            }
        }
    }
}

/// [`sum_columns`] on several threads.
fn share_columns<T: Float>(out: &mut [T], x: &[T], block: usize, f: impl Fn(T) -> T + Copy + Sync) {
    let inner = out.len();
    // Columns per piece of work, in whole tiles.
    let width = CHUNK.div_ceil(x.len() / inner).next_multiple_of(LANES).max(WIDE).min(inner);
    share(out.chunks_mut(width).enumerate(), x.len(), |(piece, out)| {
        simd!(|| sum_columns(out, &x[piece * width..], inner, block, f));
    });
}

/// [`sum`] of a strided view, with the same bits: `shape` lists the dimensions that make up the
/// three parts of `split`, in order.
///
/// About [`CHUNK`] elements are copied at a time, so a broadcast view does not need memory for all
/// its elements.
///
/// # Panics
/// If a length does not match, or `x` is too short.
///
/// ```
/// use adamant_kernels::{View, sum_view};
/// let x = View { data: &[1.0f32, 2.0], strides: &[0, 1] };
/// let mut sums = [0.0; 2];
/// sum_view(&mut sums, &[1000, 2], x, [1, 1000, 2]);
/// assert_eq!(sums, [1000.0, 2000.0]);
/// ```
pub fn sum_view<T: Float>(out: &mut [T], shape: &[usize], x: View<'_, T>, split: [usize; 3]) {
    let [outer, reduce, inner] = split;
    assert_eq!(out.len(), outer * inner, "one sum for each remaining position");
    let cost = outer * reduce * inner;
    assert_eq!(shape.iter().product::<usize>(), cost, "the operand has its shape");
    if reduce == 0 || inner == 0 {
        return out.fill(T::ZERO);
    }
    let nest = Nest::new(shape, [x.strides]);
    let read = |out: &mut [T], start: usize| map_from(out, &nest, start, x.data, |x| x);
    if inner > 1 {
        for (o, out) in out.chunks_exact_mut(inner).enumerate() {
            sum_columns_of(out, reduce, |out, row, column| {
                read(out, (o * reduce + row) * inner + column);
            });
        }
    } else if reduce <= CHUNK {
        let rows = CHUNK.div_ceil(reduce); // per piece of work
        share(out.chunks_mut(rows).enumerate(), cost, |(piece, out)| {
            let mut block = vec![T::ZERO; out.len() * reduce];
            read(&mut block, piece * rows * reduce);
            sum_rows(out, &block, reduce, |x| x);
        });
    } else {
        // Sums of blocks, as in `sum_row`.
        for (row, out) in out.iter_mut().enumerate() {
            let mut partial = vec![T::ZERO; reduce.div_ceil(CHUNK)];
            share(partial.iter_mut().enumerate(), reduce, |(i, partial)| {
                let mut block = vec![T::ZERO; CHUNK.min(reduce - i * CHUNK)];
                read(&mut block, row * reduce + i * CHUNK);
                *partial = sum_row(&block);
            });
            *out = sum_row(&partial);
        }
    }
}

/// The sums of columns of `reduce` elements, where `read(out, row, column)` reads a part of a row.
///
/// Each part of 2ⁿ blocks of rows is summed on its own. The pairwise sum of all rows contains
/// these sums as subtrees, so adding the parts pairwise has the same bits.
fn sum_columns_of<T: Float>(
    out: &mut [T],
    reduce: usize,
    read: impl Fn(&mut [T], usize, usize) + Sync,
) {
    let inner = out.len();
    let narrowest = inner.min(LANES).next_power_of_two();
    let rows = reduce.next_power_of_two().clamp(BLOCK, CHUNK / narrowest); // elements of a part
    let width = (CHUNK / rows).min(inner);
    share(out.chunks_mut(width).enumerate(), reduce.saturating_mul(inner), |(piece, out)| {
        let columns = out.len();
        let mut partial = vec![T::ZERO; reduce.div_ceil(rows) * columns];
        share(partial.chunks_mut(columns).enumerate(), reduce * columns, |(part, partial)| {
            let first = part * rows;
            let mut block = vec![T::ZERO; rows.min(reduce - first) * columns];
            for (row, out) in block.chunks_exact_mut(columns).enumerate() {
                read(out, first + row, piece * width);
            }
            simd!(|| sum_columns(partial, &block, columns, BLOCK, |x| x));
        });
        simd!(|| sum_columns(out, &partial, columns, 1, |x| x));
    });
}

/// `out[r] ← Σᵢ f(x[r · len + i])`
fn sum_rows<T: Float>(out: &mut [T], x: &[T], len: usize, f: impl Fn(T) -> T + Copy + Sync) {
    if len > CHUNK {
        for (out, row) in out.iter_mut().zip(x.chunks_exact(len)) {
            *out = sum_long_row(row, f);
        }
        return;
    }
    simd!(|| {
        let tail = len - len % LANES..len;
        let is_short = len <= LANES * BLOCK; // one block
        let fours = if is_short { out.len() / 4 * 4 } else { 0 };
        let (grouped, rest) = out.split_at_mut(fours);
        let (x, x_rest) = x.split_at(fours * len);
        for (out, x) in grouped.chunks_exact_mut(4).zip(x.chunks_exact(4 * len)) {
            let sums = sum_four_blocks::<T, LANES>(x, len, LANES, len / LANES, f);
            for ((out, lanes), row) in out.iter_mut().zip(sums).zip(x.chunks_exact(len)) {
                *out = sum_lanes(add_tail(lanes, row[tail.clone()].iter().map(|&x| f(x))));
            }
        }
        for (out, row) in rest.iter_mut().zip(x_rest.chunks_exact(len)) {
            *out = sum_short_row(row, f);
        }
    });
}

/// The sum of a contiguous row, in blocks of [`CHUNK`].
///
/// ```
/// assert_eq!(adamant_kernels::sum_row(&[1.0f32, 2.0, 4.0]), 7.0);
/// ```
#[must_use]
pub fn sum_row<T: Float>(row: &[T]) -> T {
    simd!(|| sum_row_inline(row))
}

/// [`sum_row`] for a caller that is compiled by `simd!` itself.
#[inline(always)]
pub(crate) fn sum_row_inline<T: Float>(row: &[T]) -> T {
    if row.len() > CHUNK {
        return sum_long_row(row, |x| x);
    }
    sum_short_row(row, |x| x)
}

/// The sum of a row of at most [`CHUNK`] elements.
#[inline(always)]
fn sum_short_row<T: Float>(row: &[T], f: impl Fn(T) -> T + Copy) -> T {
    const DEPTH: usize = (CHUNK / (LANES * BLOCK)).ilog2() as usize + 1;
    let (body, tail) = row.split_at(row.len() - row.len() % LANES);
    let mut lanes = [T::ZERO; LANES];
    if body.len() <= LANES * BLOCK {
        for x in body.as_chunks::<LANES>().0 {
            for i in 0..LANES {
                lanes[i] += f(x[i]);
            }
        }
    } else {
        lanes = sum_tile::<T, LANES, DEPTH>(body, LANES, BLOCK, f);
    }
    sum_lanes(add_tail(lanes, tail.iter().map(|&x| f(x))))
}

/// Adds `f` of fewer elements than there are lanes.
#[inline(always)]
fn add_tail<T: Float>(lanes: [T; LANES], tail: impl ExactSizeIterator<Item = T>) -> [T; LANES] {
    if tail.len() == 0 {
        return lanes;
    }
    // Zeros change nothing, since no lane is −0. Lanes that were indexed would leave the registers.
    let mut rest = [T::ZERO; LANES];
    rest.iter_mut().zip(tail).for_each(|(rest, term)| *rest = term);
    add(lanes, rest)
}

#[inline(never)]
fn sum_long_row<T: Float>(row: &[T], f: impl Fn(T) -> T + Copy + Sync) -> T {
    let mut partial = vec![T::ZERO; row.len().div_ceil(CHUNK)];
    share(partial.iter_mut().zip(row.chunks(CHUNK)), row.len(), |(partial, block)| {
        *partial = simd!(|| sum_short_row(block, f));
    });
    sum_row(&partial)
}

/// `Σᵢ x[i] y[i]`: the sum of the sums of parts.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// assert_eq!(adamant_kernels::dot(&[1.0f32, 2.0], &[3.0, 4.0]), 11.0);
/// ```
#[must_use]
pub fn dot<T: Float>(x: &[T], y: &[T]) -> T {
    const PRODUCTS: usize = 4 * LANES * BLOCK; // elements of a part
    assert_eq!(x.len(), y.len(), "operands of one length");
    let mut partial = vec![T::ZERO; x.len().div_ceil(PRODUCTS)];
    let parts = x.chunks(4 * PRODUCTS).zip(y.chunks(4 * PRODUCTS));
    share(partial.chunks_mut(4).zip(parts), x.len(), |(partial, (x, y))| {
        simd!(|| {
            for (out, (x, y)) in partial.iter_mut().zip(x.chunks(PRODUCTS).zip(y.chunks(PRODUCTS)))
            {
                *out = sum_products(x, y);
            }
        });
    });
    sum_row(&partial)
}

/// `Σᵢ x[i] y[i]` of at most four blocks, with the bits of [`sum_short_row`] of the products.
#[inline(always)]
fn sum_products<T: Float>(x: &[T], y: &[T]) -> T {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = [[T::ZERO; LANES]; 4];
    for (sum, (x, y)) in sums.iter_mut().zip(x.chunks(BLOCK).zip(y.chunks(BLOCK))) {
        *sum = x.iter().zip(y).fold([T::ZERO; LANES], |sum, (x, y)| add_products(sum, x, y));
    }
    let sum = add(add(sums[0], sums[1]), add(sums[2], sums[3]));
    sum_lanes(add_tail(sum, x_tail.iter().zip(y_tail).map(|(&x, &y)| x * y)))
}

#[inline(always)]
fn add_products<T: Float>(mut sum: [T; LANES], x: &[T; LANES], y: &[T; LANES]) -> [T; LANES] {
    for i in 0..LANES {
        sum[i] += x[i] * y[i];
    }
    sum
}

/// `out[r] ← Σᵢ (x[r, i] − centers[r])²`, with the bits of [`sum`] of the squares.
///
/// # Panics
/// If there is not a center for each result, or `x` does not have rows of one length.
///
/// ```
/// let mut squares = [0.0f32; 2];
/// adamant_kernels::sum_squares(&mut squares, &[1.0, 3.0, 5.0, 5.0], &[2.0, 4.0]);
/// assert_eq!(squares, [2.0, 2.0]);
/// ```
pub fn sum_squares<T: Float>(out: &mut [T], x: &[T], centers: &[T]) {
    assert_eq!(out.len(), centers.len(), "a center for each result");
    if x.is_empty() {
        return out.fill(T::ZERO);
    }
    let len = x.len().checked_div(out.len()).unwrap_or(0);
    assert_eq!(x.len(), out.len() * len, "rows of one length");
    let square = |center: T| {
        #[inline(always)]
        move |x: T| (x - center) * (x - center)
    };
    if len > CHUNK {
        for ((out, row), &center) in out.iter_mut().zip(x.chunks_exact(len)).zip(centers) {
            *out = sum_long_row(row, square(center));
        }
        return;
    }
    let rows = CHUNK.div_ceil(len); // per piece of work
    let pieces = out.chunks_mut(rows).zip(x.chunks(rows * len)).zip(centers.chunks(rows));
    share(pieces, x.len(), |((out, x), centers)| {
        simd!(|| {
            for ((out, row), &center) in out.iter_mut().zip(x.chunks_exact(len)).zip(centers) {
                *out = sum_short_row(row, square(center));
            }
        });
    });
}

/// The sum of the lanes, pairwise.
#[inline(always)]
pub(crate) fn sum_lanes<T: Float>(mut lanes: [T; LANES]) -> T {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
    }
    lanes[0]
}

/// `out[i] ← Σᵣ f(x[r · stride + i])`, in blocks of `block` rows.
#[inline(always)]
fn sum_columns<T: Float>(
    out: &mut [T],
    x: &[T],
    stride: usize,
    block: usize,
    f: impl Fn(T) -> T + Copy,
) {
    if x.len() <= block * stride && out.len() >= WIDE {
        return sum_wide_block(out, x, stride, f);
    }
    let mut at = 0;
    while at < out.len() {
        // A tile's width does not change the order of additions in a column.
        let left = out.len() - at;
        let x = &x[at..];
        if left >= LANES {
            let sums = sum_tile::<T, LANES, DEEPEST>(x, stride, block, f);
            out[at..at + LANES].copy_from_slice(&sums);
            at += LANES;
        } else if left >= 8 {
            out[at..at + 8].copy_from_slice(&sum_tile::<T, 8, DEEPEST>(x, stride, block, f));
            at += 8;
        } else {
            out[at] = sum_tile::<T, 1, DEEPEST>(x, stride, block, f)[0];
            at += 1;
        }
    }
}

/// [`sum_columns`] of one block, four rows at a time.
#[inline(always)]
fn sum_wide_block<T: Float>(out: &mut [T], x: &[T], stride: usize, f: impl Fn(T) -> T + Copy) {
    let len = out.len();
    out.fill(T::ZERO);
    for rows in x.chunks(4 * stride) {
        let row = |r: usize| &rows[r * stride..][..len];
        if rows.len() > 3 * stride {
            let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
            for i in 0..len {
                out[i] = out[i] + f(a[i]) + f(b[i]) + f(c[i]) + f(d[i]);
            }
        } else {
            for r in 0..rows.len().div_ceil(stride) {
                out.iter_mut().zip(row(r)).for_each(|(out, &x)| *out += f(x));
            }
        }
    }
}

/// The sum of `f` of the rows `x[r · stride ..][.. W]`: blocks of `block` rows, then pairs of
/// blocks, then pairs of pairs.
///
/// The stack is a binary counter: it holds one sum for each bit set in the number of blocks so
/// far, of which there are fewer than 2^`DEPTH`.
#[inline(always)]
fn sum_tile<T: Float, const W: usize, const DEPTH: usize>(
    x: &[T],
    stride: usize,
    block: usize,
    f: impl Fn(T) -> T + Copy,
) -> [T; W] {
    if x.len() <= block * stride {
        return sum_block(x, stride, f); // without a stack
    }
    let mut stack = [[T::ZERO; W]; DEPTH];
    let (mut depth, mut count) = (0, 0usize);
    let mut rest = x;
    while !rest.is_empty() {
        // The sum of four blocks is a subtree of the whole.
        let four = 4 * block * stride;
        let (mut sum, level) = if rest.len() >= four {
            let sums = sum_four_blocks(&rest[..four], block * stride, stride, block, f);
            rest = &rest[four..];
            count += 4;
            (add(add(sums[0], sums[1]), add(sums[2], sums[3])), 2)
        } else {
            let (first, others) = rest.split_at(rest.len().min(block * stride));
            rest = others;
            count += 1;
            (sum_block(first, stride, f), 0)
        };
        for _ in level..count.trailing_zeros() {
            depth -= 1;
            sum = add(sum, stack[depth]);
        }
        stack[depth] = sum;
        depth += 1;
    }
    let mut total = [T::ZERO; W];
    for &sum in stack[..depth].iter().rev() {
        total = add(total, sum);
    }
    total
}

#[inline(always)]
fn add<T: Float, const W: usize>(mut sum: [T; W], x: [T; W]) -> [T; W] {
    for i in 0..W {
        sum[i] += x[i];
    }
    sum
}

/// The sum of `f` of the rows of one block.
#[inline(always)]
fn sum_block<T: Float, const W: usize>(
    block: &[T],
    stride: usize,
    f: impl Fn(T) -> T + Copy,
) -> [T; W] {
    let mut sum = [T::ZERO; W];
    for row in block.chunks(stride) {
        // The operand's last row may be shorter than its stride.
        let Some(row) = row.first_chunk::<W>() else { break };
        for i in 0..W {
            sum[i] += f(row[i]);
        }
    }
    sum
}

/// [`sum_block`] of each of four blocks of `rows` rows, the starts of which are `pitch` elements
/// apart: side by side, since an addition waits for the one before it.
#[inline(always)]
fn sum_four_blocks<T: Float, const W: usize>(
    x: &[T],
    pitch: usize,
    stride: usize,
    rows: usize,
    f: impl Fn(T) -> T + Copy,
) -> [[T; W]; 4] {
    let [mut a, mut b, mut c, mut d] = [[T::ZERO; W]; 4];
    let (x0, rest) = x.split_at(pitch);
    let (x1, rest) = rest.split_at(pitch);
    let (x2, x3) = rest.split_at(pitch);
    for at in (0..rows * stride).step_by(stride) {
        add_row(&mut a, &x0[at..], f);
        add_row(&mut b, &x1[at..], f);
        add_row(&mut c, &x2[at..], f);
        add_row(&mut d, &x3[at..], f);
    }
    [a, b, c, d]
}

#[inline(always)]
fn add_row<T: Float, const W: usize>(sum: &mut [T; W], row: &[T], f: impl Fn(T) -> T) {
    let row = row.first_chunk::<W>().expect("a whole row");
    for i in 0..W {
        sum[i] += f(row[i]);
    }
}

/// `out[r] ← f(x[r])` for each row of `row` elements; `row` may be 0.
///
/// # Panics
/// If `x` does not have one row for each result.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::reduce_rows(&mut out, &[1.0f32, 2.0, 3.0, 5.0], 2, |row| row[0] * row[1]);
/// assert_eq!(out, [2.0, 15.0]);
/// ```
pub fn reduce_rows<T: Sync, U: Send>(
    out: &mut [U],
    x: &[T],
    row: usize,
    f: impl Fn(&[T]) -> U + Sync,
) {
    assert_eq!(x.len(), out.len() * row, "a row for each result");
    if row == 0 {
        return out.iter_mut().for_each(|out| *out = f(&[]));
    }
    let rows = CHUNK.div_ceil(row); // per piece of work
    share(out.chunks_mut(rows).zip(x.chunks(rows * row)), x.len(), |(out, x)| {
        for (out, x) in out.iter_mut().zip(x.chunks_exact(row)) {
            *out = f(x);
        }
    });
}

/// `out[o, i] ← ` the best of the `x[o, r, i]` for row-major `x` of shape `[outer, reduce, inner]`:
/// NaN if there is one.
///
/// # Panics
/// If a length does not match `shape`, or `reduce` is 0.
///
/// ```
/// let mut largest = [0.0f32; 2];
/// adamant_kernels::best(&mut largest, &[1.0, 4.0, 2.0, 3.0], [1, 2, 2], |x, best| x > best);
/// assert_eq!(largest, [2.0, 4.0]);
/// ```
pub fn best<T: Float>(
    out: &mut [T],
    x: &[T],
    shape: [usize; 3],
    better: impl Fn(T, T) -> bool + Copy + Sync,
) {
    let [outer, reduce, inner] = shape;
    assert_eq!(out.len(), outer * inner, "one result for each remaining position");
    assert_eq!(x.len(), outer * reduce * inner, "the operand has its shape");
    if out.is_empty() {
        return;
    }
    assert!(reduce > 0, "there is nothing to choose from");
    if inner > 1 && reduce * inner <= PART {
        let slabs = PART.div_ceil(reduce * inner); // per piece of work
        let pieces = out.chunks_mut(slabs * inner).zip(x.chunks(slabs * reduce * inner));
        share(pieces, x.len(), |(out, x)| {
            simd!(
                || for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(reduce * inner)) {
                    best_of_rows(out, x, better);
                }
            );
        });
    } else if inner > 1 {
        let rows = PART.div_ceil(inner).max(BLOCK); // in a piece of work
        for (out, x) in out.chunks_exact_mut(inner).zip(x.chunks_exact(reduce * inner)) {
            let mut partial = vec![T::ZERO; reduce.div_ceil(rows) * inner];
            let parts = partial.chunks_mut(inner).zip(x.chunks(rows * inner));
            share(parts, x.len(), |(partial, x)| simd!(|| best_of_rows(partial, x, better)));
            best_of_rows(out, &partial, better);
        }
    } else if reduce > CHUNK {
        for (out, x) in out.iter_mut().zip(x.chunks_exact(reduce)) {
            let mut partial = vec![T::ZERO; reduce.div_ceil(CHUNK)];
            share(partial.iter_mut().zip(x.chunks(CHUNK)), reduce, |(partial, x)| {
                *partial = simd!(|| best_of_row(x, better));
            });
            *out = best_of_row(&partial, better);
        }
    } else {
        reduce_rows(out, x, reduce, |row| simd!(|| best_of_row(row, better)));
    }
}

/// The better of the two, or NaN if either is NaN.
#[inline(always)]
fn better_of<T: Float>(x: T, best: T, better: impl Fn(T, T) -> bool) -> T {
    if better(x, best) || x.is_nan() { x } else { best }
}

/// The better of the two; either if one is NaN.
#[inline(always)]
fn select<T: Float>(x: T, best: T, better: impl Fn(T, T) -> bool) -> T {
    if better(x, best) { x } else { best }
}

/// `out[i] ← ` the best of the `x[r, i]`.
#[inline(always)]
pub(crate) fn best_of_rows<T: Float>(out: &mut [T], x: &[T], better: impl Fn(T, T) -> bool + Copy) {
    let inner = out.len();
    out.copy_from_slice(&x[..inner]);
    for row in x.chunks_exact(inner).skip(1) {
        for (out, &x) in out.iter_mut().zip(row) {
            *out = better_of(x, *out, better);
        }
    }
}

/// The best element of a row that has one.
#[inline(always)]
pub(crate) fn best_of_row<T: Float>(row: &[T], better: impl Fn(T, T) -> bool + Copy) -> T {
    let mut lanes = [row[0]; LANES];
    let (fours, rest) = row.as_chunks::<{ 4 * LANES }>();
    if !fours.is_empty() {
        let mut nan = [T::ZERO; LANES];
        for x in fours {
            (lanes, nan) = best_of_four(lanes, nan, x, better);
        }
        if sum_lanes(nan).is_nan() {
            return T::NAN;
        }
    }
    let (body, tail) = rest.as_chunks::<LANES>();
    for x in body {
        for i in 0..LANES {
            lanes[i] = better_of(x[i], lanes[i], better);
        }
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            lanes[i] = better_of(lanes[i + width], lanes[i], better);
        }
    }
    tail.iter().fold(lanes[0], |best, &x| better_of(x, best, better))
}

/// The best of each of the `lanes` and four elements of `x`. `nan[i]` becomes NaN if one of the four
/// is. One instruction tests two elements for NaN, and the comparisons within the four do not wait for
/// each other.
#[inline(always)]
fn best_of_four<T: Float>(
    mut lanes: [T; LANES],
    mut nan: [T; LANES],
    x: &[T; 4 * LANES],
    better: impl Fn(T, T) -> bool + Copy,
) -> ([T; LANES], [T; LANES]) {
    for i in 0..LANES {
        let [a, b, c, d] = [x[i], x[LANES + i], x[2 * LANES + i], x[3 * LANES + i]];
        let any_nan = (a.is_nan() || b.is_nan()) | (c.is_nan() || d.is_nan());
        nan[i] = if any_nan { T::NAN } else { nan[i] };
        let best = select(select(d, c, better), select(b, a, better), better);
        lanes[i] = select(best, lanes[i], better);
    }
    (lanes, nan)
}

/// The product of a row, in `f64`, in blocks of [`CHUNK`].
///
/// ```
/// assert_eq!(adamant_kernels::product_row(&[2.0f32, 3.0, 4.0]), 24.0);
/// ```
#[must_use]
pub fn product_row<T: Float>(row: &[T]) -> f64 {
    if row.len() > CHUNK {
        let mut partial = vec![1.0; row.len().div_ceil(CHUNK)];
        share(partial.iter_mut().zip(row.chunks(CHUNK)), row.len(), |(partial, block)| {
            *partial = product_row(block);
        });
        return partial.iter().product();
    }
    simd!(|| {
        let mut lanes = [1.0; LANES];
        let (body, tail) = row.as_chunks::<LANES>();
        for x in body {
            for i in 0..LANES {
                lanes[i] *= x[i].to_f64();
            }
        }
        lanes.iter().product::<f64>() * tail.iter().fold(1.0, |product, x| product * x.to_f64())
    })
}

/// The index of the best element of `row`: the first of equals, or the first NaN if there is one.
/// 0 for an empty row.
///
/// ```
/// let best = |row: &[f32]| adamant_kernels::arg_best(row, |x, best| x > best);
/// assert_eq!((best(&[1.0, 3.0, 3.0]), best(&[9.0, f32::NAN, f32::NAN])), (1, 1));
/// ```
#[must_use]
pub fn arg_best<T: Float>(row: &[T], better: impl Fn(T, T) -> bool + Copy) -> usize {
    if row.is_empty() {
        return 0;
    }
    simd!(|| {
        let best = best_of_row(row, better);
        let found =
            if best.is_nan() { row.iter().position(|x| x.is_nan()) } else { position(row, best) };
        found.expect("the best is an element")
    })
}

/// The position of the first element that equals `value`.
#[inline(always)]
pub(crate) fn position<T: Float>(row: &[T], value: T) -> Option<usize> {
    let mut start = 0;
    for block in row.as_chunks::<LANES>().0 {
        // Without a branch for each element.
        let mut found = false;
        for &x in block {
            found |= x == value;
        }
        if found {
            break;
        }
        start += LANES;
    }
    row[start..].iter().position(|&x| x == value).map(|i| start + i)
}

/// The number of elements of which `f` is true.
///
/// ```
/// assert_eq!(adamant_kernels::count(&[1.0f32, 0.0, 2.0], |x| x != 0.0), 2);
/// ```
#[must_use]
pub fn count<T: Copy + Sync>(x: &[T], f: impl Fn(T) -> bool + Copy + Sync) -> usize {
    let total = AtomicUsize::new(0); // a sum of integers has no order
    const PART: usize = 128; // whose count fits a byte
    share(x.chunks(CHUNK), x.len(), |x| {
        let in_part = |part: &[T]| usize::from(part.iter().map(|&x| u8::from(f(x))).sum::<u8>());
        let count = simd!(|| x.chunks(PART).fold(0, |count, part| count + in_part(part)));
        total.fetch_add(count, Ordering::Relaxed);
    });
    total.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: [usize; 3]) {
        let [outer, reduce, inner] = shape;
        let x: Vec<f64> = (0..outer * reduce * inner).map(|i| ((i * 37) % 101) as f64).collect();
        let mut out = vec![f64::NAN; outer * inner];
        sum(&mut out, &x, shape);
        for o in 0..outer {
            for i in 0..inner {
                let expected: f64 = (0..reduce).map(|r| x[(o * reduce + r) * inner + i]).sum();
                assert_eq!(out[o * inner + i], expected, "shape {shape:?} at [{o}, {i}]");
            }
        }
    }

    #[test]
    fn sums_of_integers_are_exact() {
        for shape in [
            [1, 1, 1],
            [1, 200_000, 1],
            [3, 33, 1],
            [2, 5000, 1],
            [1, 1000, 47],
            [3, 31, 2],
            [2, 70, 20_000],
            [4, 0, 3],
            [0, 3, 4],
        ] {
            check(shape);
        }
    }

    #[test]
    fn a_view_and_its_copy_have_equal_sums() {
        for split in [
            [1, 1, 1],
            [3, 33, 1],
            [2, 50_001, 1],
            [4001, 5, 1],
            [3, 31, 2],
            [1, 20_000, 47],
            [2, 70, 700],
            [1, 100_000, 1],
            [1, 70_007, 3],
            [2, 16_384, 5],
            [4, 0, 3],
            [0, 3, 4],
        ] {
            let [outer, reduce, inner] = split;
            let numel = outer * reduce * inner;
            let data: Vec<f32> = (0..numel.max(1)).map(|i| (i * 37 % 101) as f32 / 7.0).collect();
            for strides in [
                [reduce * inner, inner, 1],
                [1, outer, outer * reduce],
                [0, 1, 0],
                [1, 0, 1],
                [0, 0, 0],
                [0, 0, 1],
            ] {
                let x = View { data: &data, strides: &strides };
                let mut found = vec![f32::NAN; outer * inner];
                let (mut expected, mut copy) = (found.clone(), vec![0.0; numel]);
                crate::map(&mut copy, &split, x, |x| x);
                sum(&mut expected, &copy, split);
                sum_view(&mut found, &split, x, split);
                assert!(found == expected, "{split:?} {strides:?}");
            }
        }
    }

    /// Values whose sums round.
    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 7919 % 10_007) as f32 / 3000.0 - 1.5).collect()
    }

    #[test]
    fn the_sum_of_a_column_does_not_depend_on_the_width() {
        for reduce in [1, 3, 31, 33, 100, 129, 3000] {
            let (inner, part) = (WIDE + 77, 40);
            let x = values(reduce * inner);
            let mut wide = vec![f32::NAN; inner];
            sum(&mut wide, &x, [1, reduce, inner]);
            for first in [0, 100, inner - part] {
                let rows = x.chunks(inner).flat_map(|row| &row[first..first + part]);
                let mut narrow = vec![f32::NAN; part];
                sum(&mut narrow, &rows.copied().collect::<Vec<_>>(), [1, reduce, part]);
                assert!(wide[first..first + part] == narrow, "{reduce} rows from {first}");
            }
        }
    }

    #[test]
    fn sums_of_squares_are_those_of_their_squares() {
        for (rows, len) in [(1, 1), (7, 33), (3, 2000), (2, 40_001), (4, 0), (0, 3)] {
            let (x, centers) = (values(rows * len), values(rows));
            let mut found = vec![f32::NAN; rows];
            let mut expected = found.clone();
            sum_squares(&mut found, &x, &centers);
            let square = |(i, &x): (usize, &f32)| (x - centers[i / len]) * (x - centers[i / len]);
            let squares: Vec<f32> = x.iter().enumerate().map(square).collect();
            sum(&mut expected, &squares, [rows, len, 1]);
            assert!(found == expected, "{rows} rows of {len}");
        }
    }

    #[test]
    #[should_panic(expected = "rows of one length")]
    fn squares_without_a_result_panic() {
        sum_squares(&mut [], &[1.0f32], &[]);
    }

    #[test]
    fn dot_products_of_integers_are_exact() {
        for len in [0, 1, 31, 4096, 4097, 100_003] {
            let x: Vec<f64> = (0..len).map(|i| f64::from(i % 101)).collect();
            let y: Vec<f64> = (0..len).map(|i| f64::from(i % 7) - 3.0).collect();
            let expected: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            assert_eq!(dot(&x, &y), expected, "{len} elements");
        }
    }

    #[test]
    fn dot_products_are_sums_of_products() {
        for len in [0, 1, 31, 33, 1024, 1500, 2048, 3000, 4095, 4096] {
            let (x, y) = (values(len), values(len + 1));
            let products: Vec<f32> = x.iter().zip(&y[1..]).map(|(x, y)| x * y).collect();
            assert!(dot(&x, &y[1..]) == sum_row(&products), "{len} elements");
        }
    }

    #[test]
    fn the_best_is_found_at_every_position() {
        let row_with = |len: usize, at: &[usize], value: f32| {
            let mut row: Vec<f32> = (0..len).map(|i| (i * 37 % 11) as f32 - 20.0).collect();
            at.iter().for_each(|&i| row[i] = value);
            row
        };
        for len in [1, 2, 31, 32, 33, 100, 1025, 20_000] {
            for first in [0, 1, 30, 31, 32, 63, 99, 1024, len / 2, len - 1] {
                let at = [first, (first + len / 3).min(len - 1), len - 1];
                if first >= len {
                    continue;
                }
                for value in [7.0, f32::INFINITY, f32::NAN] {
                    let row = row_with(len, &at, value);
                    let mut found = [0.0];
                    best(&mut found, &row, [1, len, 1], |x, best| x > best);
                    assert!(found[0] == value || (found[0].is_nan() && value.is_nan()));
                    assert_eq!(arg_best(&row, |x, best| x > best), first, "{value} of {len}");
                }
            }
            let row = vec![f32::NEG_INFINITY; len];
            assert_eq!(arg_best(&row, |x, best| x > best), 0);
        }
        assert_eq!(arg_best(&[0.0f32, -0.0, 0.0], |x, best| x > best), 0);
    }

    #[test]
    fn counts_and_products_of_long_rows() {
        let x: Vec<f64> = (0..50_003).map(|i| if i % 5 == 0 { 2.0 } else { 1.0 }).collect();
        assert_eq!(count(&x, |x| x == 2.0), 10_001);
        assert_eq!(product_row(&x[..5000]), 2f64.powi(1000));
        assert_eq!(product_row(&x[..33]), 128.0);
    }

    #[test]
    fn a_long_sum_is_accurate() {
        let x = vec![0.1f32; 10_000_000];
        let mut out = [0.0];
        sum(&mut out, &x, [1, x.len(), 1]);
        let exact = f64::from(0.1f32) * 1e7;
        assert!((f64::from(out[0]) / exact - 1.0).abs() < 1e-7);
        sum(&mut out, &x[..1_000_000], [1, 1_000_000, 1]);
        let mut columns = [0.0; 10];
        sum(&mut columns, &x, [1, 1_000_000, 10]);
        assert!((f64::from(columns[9]) * 10.0 / exact - 1.0).abs() < 1e-6);
    }
}
