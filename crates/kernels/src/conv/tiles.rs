//! The transforms of Winograd's algorithm, for many tiles at a time.
//!
//! A row of tiles has its elements `(i, j)` in separate slices, so that the sums and differences of
//! a transform run over contiguous memory.

use crate::float::Float;
use crate::windows::Windows;
use std::ops::Range;

/// The elements of a transformed tile.
pub(super) const POINTS: usize = 16;

/// Tiles of 4 × 4 elements of images, two apart.
#[derive(Clone, Copy)]
pub(super) struct InputTiles {
    /// The windows of a 3 × 3 kernel.
    windows: Windows,
    /// The rows and columns of tiles on an image.
    tiles: [usize; 2],
}

impl InputTiles {
    pub(super) fn new(windows: Windows) -> Self {
        InputTiles { windows, tiles: windows.output.map(|size| size.div_ceil(2)) }
    }

    /// The number of tiles on an image.
    pub(super) fn of_image(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The length of the buffer that [`transform`](Self::transform) needs.
    pub(super) fn buffer_len(&self) -> usize {
        self.lines_len() + 2 * self.pairs_len()
    }

    fn lines_len(&self) -> usize {
        let [rows, cols] = self.tiles;
        2 * 4 * (rows + 1) * cols
    }

    /// The elements of an image, with its padding, in even columns; as many are in odd ones.
    fn pairs_len(&self) -> usize {
        let [rows, cols] = self.tiles;
        2 * (rows + 1) * (cols + 1)
    }

    /// `Bᵀ d B` for `tiles`, counted image by image, where the images start `image_len` apart in
    /// `x`. The tiles are written to panels of `width`, which start `panel_len` apart in `out`; the
    /// points of a tile are `stride` apart. The elements of `buffer` that stand for padding must be 0: they
    /// are never written.
    #[inline(always)]
    pub(super) fn transform<T: Float>(
        &self,
        (x, image_len): (&[T], usize),
        tiles: Range<usize>,
        buffer: &mut [T],
        out: &mut [T],
        [width, panel_len, stride]: [usize; 3],
    ) {
        let [rows, cols] = self.tiles;
        let mut at = tiles.start;
        while at < tiles.end {
            let (image, first) = (at / (rows * cols), at % (rows * cols));
            let end = (rows * cols).min(first + tiles.end - at);
            self.transform_columns(
                &x[image * image_len..],
                first / cols..end.div_ceil(cols),
                buffer,
            );
            let mut tile = first;
            while tile < end {
                let done = at - tiles.start;
                let some = tile..end.min(tile + width - done % width);
                let out = &mut out[done / width * panel_len + done % width..];
                self.transform_rows(some.clone(), buffer, out, stride);
                at += some.len();
                tile = some.end;
            }
        }
    }

    /// `d B` for some rows of tiles: a line for each row of the image and column of the tiles.
    #[inline(always)]
    fn transform_columns<T: Float>(&self, image: &[T], tile_rows: Range<usize>, buffer: &mut [T]) {
        let [[height, width], [top, left]] = [self.windows.input, self.windows.padding];
        let [rows, cols] = self.tiles;
        let (lines, pairs) = buffer.split_at_mut(self.lines_len());
        let (even, odd) = pairs.split_at_mut(self.pairs_len());
        let first = (2 * tile_rows.start).saturating_sub(top);
        let end = (2 * tile_rows.end + 2).saturating_sub(top).min(height);
        // All rows are split before the first one is read again: what was just stored is slow to
        // load at another offset.
        for row in first..end {
            let x = &image[row * width..(row + 1) * width];
            let start = (row + top) * (cols + 1);
            let (even, odd) = (&mut even[start..], &mut odd[start..]);
            if left % 2 == 0 {
                split_pairs(x, &mut even[left / 2..], &mut odd[left / 2..]);
            } else {
                split_pairs(x, &mut odd[left / 2..], &mut even[left / 2 + 1..]);
            }
        }
        for padded in first + top..end + top {
            let start = padded * (cols + 1);
            let (even, odd) = (&even[start..][..cols + 1], &odd[start..][..cols + 1]);
            let d = [&even[..cols], &odd[..cols], &even[1..], &odd[1..]];
            let plane = (rows + 1) * cols;
            let start = padded % 2 * 4 * plane + padded / 2 * cols;
            transform_line(four_rows(&mut lines[start..], plane, cols), d);
        }
    }

    /// `Bᵀ d` for the tiles of one image, from their lines.
    #[inline(always)]
    fn transform_rows<T: Float>(
        &self,
        tiles: Range<usize>,
        lines: &[T],
        out: &mut [T],
        stride: usize,
    ) {
        let [rows, cols] = self.tiles;
        let plane = (rows + 1) * cols;
        for j in 0..4 {
            let line = |i: usize| {
                let start = (i % 2 * 4 + j) * plane + i / 2 * cols;
                &lines[start + tiles.start..start + tiles.end]
            };
            let out = four_rows(&mut out[j * stride..], 4 * stride, tiles.len());
            transform_line(out, [line(0), line(1), line(2), line(3)]);
        }
    }
}

/// Four slices of `len` elements, which start `stride` apart.
#[inline(always)]
fn four_rows<T>(x: &mut [T], stride: usize, len: usize) -> [&mut [T]; 4] {
    let (a, x) = x.split_at_mut(stride);
    let (b, x) = x.split_at_mut(stride);
    let (c, d) = x.split_at_mut(stride);
    [&mut a[..len], &mut b[..len], &mut c[..len], &mut d[..len]]
}

/// `Bᵀ d` for vectors of one line of tiles.
#[inline(always)]
fn transform_line<T: Float>([o0, o1, o2, o3]: [&mut [T]; 4], [d0, d1, d2, d3]: [&[T]; 4]) {
    transform_elements(o0, o1, o2, o3, d0, d1, d2, d3);
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "arguments, unlike arrays, are known not to overlap")]
fn transform_elements<T: Float>(
    o0: &mut [T],
    o1: &mut [T],
    o2: &mut [T],
    o3: &mut [T],
    d0: &[T],
    d1: &[T],
    d2: &[T],
    d3: &[T],
) {
    let len = o0.len();
    let (o1, o2, o3) = (&mut o1[..len], &mut o2[..len], &mut o3[..len]);
    let (d0, d1, d2, d3) = (&d0[..len], &d1[..len], &d2[..len], &d3[..len]);
    for i in 0..len {
        o0[i] = d0[i] - d2[i];
        o1[i] = d1[i] + d2[i];
        o2[i] = d2[i] - d1[i];
        o3[i] = d1[i] - d3[i];
    }
}

/// Writes the elements of `x` in turn to `even` and `odd`.
#[inline(always)]
pub(super) fn split_pairs<T: Float>(x: &[T], even: &mut [T], odd: &mut [T]) {
    let (pairs, last) = x.as_chunks::<2>();
    let (pairs_even, rest) = even.split_at_mut(pairs.len());
    for ((pair, even), odd) in pairs.iter().zip(pairs_even).zip(odd) {
        (*even, *odd) = (pair[0], pair[1]);
    }
    rest.iter_mut().zip(last).for_each(|(even, &last)| *even = last);
}

/// Writes elements of `even` and `odd` in turn to `x`, and adds `bias` to each. Returns whether all
/// of them are finite.
#[inline(always)]
pub(super) fn join_pairs<T: Float>(x: &mut [T], even: &[T], odd: &[T], bias: T) -> bool {
    let (pairs, last) = x.as_chunks_mut::<2>();
    let (rest, wide) = join_chunks::<T, 16>((pairs, even, odd), bias);
    let (rest, narrow) = join_chunks::<T, 4>(rest, bias);
    let ((_, even, _), single) = join_chunks::<T, 1>(rest, bias);
    let mut finite = wide & narrow & single;
    for (last, &even) in last.iter_mut().zip(even) {
        *last = even + bias;
        finite &= even.is_finite();
    }
    finite
}

/// The pairs that [`join_pairs`] writes, and their elements.
type Pairs<'a, T> = (&'a mut [[T; 2]], &'a [T], &'a [T]);

/// [`join_pairs`] for as many chunks of `N` pairs as there are; returns the rest. Lines are short:
/// in a loop of unknown length, most elements would be left to its scalar remainder.
#[inline(always)]
fn join_chunks<T: Float, const N: usize>(
    (pairs, even, odd): Pairs<'_, T>,
    bias: T,
) -> (Pairs<'_, T>, bool) {
    let (pairs, rest) = pairs.as_chunks_mut::<N>();
    let (even, even_rest) = even.split_at(pairs.len() * N);
    let (odd, odd_rest) = odd.split_at(pairs.len() * N);
    let mut zeros = [T::ZERO; N]; // NaN where an element is not finite
    let elements = even.as_chunks::<N>().0.iter().zip(odd.as_chunks::<N>().0);
    for (pairs, (even, odd)) in pairs.iter_mut().zip(elements) {
        let (even, odd) = (*even, *odd); // copies, which cannot overlap with the pairs
        for i in 0..N {
            zeros[i] += even[i] * T::ZERO + odd[i] * T::ZERO;
        }
        for i in 0..N {
            pairs[i] = [even[i] + bias, odd[i] + bias];
        }
    }
    ((rest, even_rest, odd_rest), zeros.iter().all(|&zero| zero == T::ZERO))
}

/// `Aᵀ m A` for `N` tiles.
#[inline(always)]
pub(crate) fn transform_output<T: Float, const N: usize>(m: &[T], out: &mut [T]) {
    let (m, out) = (m.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    let (m, out) = (&m[..POINTS], &mut out[..4]);
    let mut t = [[[T::ZERO; N]; 4]; 2];
    for j in 0..4 {
        for l in 0..N {
            t[0][j][l] = m[j][l] + m[4 + j][l] + m[8 + j][l];
            t[1][j][l] = m[4 + j][l] - m[8 + j][l] - m[12 + j][l];
        }
    }
    for (out, t) in out.chunks_exact_mut(2).zip(t) {
        for l in 0..N {
            out[0][l] = t[0][l] + t[1][l] + t[2][l];
            out[1][l] = t[1][l] - t[2][l] - t[3][l];
        }
    }
}

/// `A g Aᵀ` for a row of `len` tiles, from four slices of their elements to one for each point.
#[inline(always)]
pub(super) fn transform_gradient<T: Float>(g: &[T], len: usize, out: &mut [T]) {
    for j in 0..2 {
        let g = |i: usize| &g[(2 * i + j) * len..][..len];
        let point = |i: usize| (4 * i + 3 * j) * len..(4 * i + 3 * j + 1) * len;
        out[point(0)].copy_from_slice(g(0));
        add(&mut out[point(1)], g(0), g(1));
        subtract(&mut out[point(2)], g(0), g(1));
        out[point(3)].iter_mut().zip(g(1)).for_each(|(out, &g)| *out = -g);
    }
    for row in out.chunks_exact_mut(4 * len).take(4) {
        let (first, rest) = row.split_at_mut(len);
        let (sum, rest) = rest.split_at_mut(len);
        let (difference, last) = rest.split_at_mut(len);
        add(sum, first, last);
        subtract(difference, first, last);
        last.iter_mut().for_each(|last| *last = -*last);
    }
}

#[inline(always)]
fn add<T: Float>(out: &mut [T], a: &[T], b: &[T]) {
    out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = a + b);
}

#[inline(always)]
fn subtract<T: Float>(out: &mut [T], a: &[T], b: &[T]) {
    out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = a - b);
}
