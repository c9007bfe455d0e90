//! Elementwise loops: `out[i] ← f(x[i])` and `out[i] ← f(x[i], y[i])`.
//!
//! A loop has its own copy of `f`: what `f` captures could not be kept in registers if it were
//! read through a reference, since `out` might overwrite it. So captures should be moved into `f`.

use crate::float::Float;
use crate::parallel::{piece, share};
use crate::simd::simd;
use crate::strided::{Dim, Nest, View};
use crate::transpose::{contiguous_dim, map_transposed};
use std::iter::repeat;
use std::ops::Range;

/// `out[i] ← f(x[i])`.
///
/// A plain `for` loop: an iterator method with a closure may not be inlined whole, and what is
/// left of it is not vectorized.
#[inline(always)]
fn each<X, U>(out: &mut [U], x: impl IntoIterator<Item = X>, f: impl Fn(X) -> U) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = f(x);
    }
}

/// `out[i] ← f(x[i], y[i])`; see [`each`].
#[inline(always)]
fn each_pair<X, Y, U>(
    out: &mut [U],
    x: impl IntoIterator<Item = X>,
    y: impl IntoIterator<Item = Y>,
    f: impl Fn(X, Y) -> U,
) {
    for (out, (x, y)) in out.iter_mut().zip(x.into_iter().zip(y)) {
        *out = f(x, y);
    }
}

/// `x[i] ← f(x[i])`; see [`each`].
#[inline(always)]
fn change<T: Copy>(x: &mut [T], f: impl Fn(T) -> T) {
    for x in x {
        *x = f(*x);
    }
}

/// `x[i] ← f(x[i], y[i])`; see [`each`].
#[inline(always)]
fn change_pair<T: Copy>(x: &mut [T], y: &[T], f: impl Fn(T, T) -> T) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x = f(*x, y);
    }
}

/// `out[i] ← f(x[i])` for every position of `shape`, row-major in `out`.
///
/// # Panics
/// If `out` does not have the elements of `shape`, or `x` is too short.
///
/// ```
/// use adamant_kernels::{View, map};
/// let x = [1.0f32, 2.0, 3.0, 4.0];
/// let mut out = [0.0; 4];
/// map(&mut out, &[2, 2], View { data: &x, strides: &[1, 2] }, |x| -x); // transposed
/// assert_eq!(out, [-1.0, -3.0, -2.0, -4.0]);
/// ```
pub fn map<T, U, F>(out: &mut [U], shape: &[usize], x: View<'_, T>, f: F)
where
    T: Copy + Sync,
    U: Copy + Send,
    F: Fn(T) -> U + Copy + Sync,
{
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each position");
    let nest = Nest::new(shape, [x.strides]);
    if let Some(dim) = contiguous_dim(&nest) {
        return map_transposed(out, &nest, dim, x.data, f);
    }
    let (cost, piece) = (out.len(), piece(out.len()));
    share(out.chunks_mut(piece).enumerate(), cost, |(chunk, out)| {
        simd!(|| map_from(out, &nest, chunk * piece, x.data, f));
    });
}

/// `out[i] ← x[i]` for every position of `shape`, row-major in `out`.
///
/// # Panics
/// If `out` does not have the elements of `shape`, or `x` is too short.
///
/// ```
/// use adamant_kernels::{View, copy};
/// let mut out = [0.0f32; 4];
/// copy(&mut out, &[2, 2], View { data: &[1.0, 2.0, 3.0, 4.0], strides: &[1, 2] }); // transposed
/// assert_eq!(out, [1.0, 3.0, 2.0, 4.0]);
/// ```
pub fn copy<T: Copy + Send + Sync>(out: &mut [T], shape: &[usize], x: View<'_, T>) {
    let nest = Nest::new(shape, [x.strides]);
    if nest.inner_strides() != [1] {
        return map(out, shape, x, |x| x);
    }
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each position");
    let (cost, piece) = (out.len(), piece(out.len()));
    if let [Dim { strides: [0], .. }, Dim { size, .. }] = nest.dims[..]
        && (1..SHORT_ROW).contains(&size)
        && out.len() > REPETITIONS * size
    {
        // One short row, repeated: a longer one of whole repetitions, which starts at any element.
        let tile: Vec<T> =
            x.data[..size].iter().copied().cycle().take((REPETITIONS + 1) * size).collect();
        return share(out.chunks_mut(piece).enumerate(), cost, |(chunk, out)| {
            let tile = &tile[chunk * piece % size..][..REPETITIONS * size];
            out.chunks_mut(tile.len()).for_each(|out| out.copy_from_slice(&tile[..out.len()]));
        });
    }
    share(out.chunks_mut(piece).enumerate(), cost, |(chunk, out)| {
        let start = chunk * piece;
        nest.runs(start..start + out.len(), |run, [x0]| {
            let x = &x.data[x0..x0 + run.len()];
            copy_slice(&mut out[run], x);
        });
    });
}

/// Rows below this length are short.
const SHORT_ROW: usize = 64;
/// The repetitions of a short row that are copied at once.
const REPETITIONS: usize = 64;

/// `copy_from_slice` in short parts: the C library copies long ones past the cache.
pub(crate) fn copy_slice<T: Copy>(out: &mut [T], x: &[T]) {
    const PART: usize = 256;
    assert_eq!(out.len(), x.len(), "operands of one length");
    for (out, x) in out.chunks_mut(PART).zip(x.chunks(PART)) {
        out.copy_from_slice(x);
    }
}

/// `out[i] ← f(x)` for the elements of `data` that `nest` visits from position `start`.
#[inline(always)]
pub(crate) fn map_from<T: Copy, U: Copy>(
    out: &mut [U],
    nest: &Nest<1>,
    start: usize,
    data: &[T],
    f: impl Fn(T) -> U + Copy,
) {
    let [step] = nest.inner_strides();
    nest.runs(
        start..start + out.len(),
        #[inline(always)]
        |run, [x0]| {
            let out = &mut out[run];
            match step {
                0 => out.fill(f(data[x0])),
                1 => each(out, data[x0..x0 + out.len()].iter().copied(), f),
                _ => each(out, data[x0..].iter().copied().step_by(step), f),
            }
        },
    );
}

/// `out[i] ← f(x[i], y[i])` for every position of `shape`, row-major in `out`.
///
/// # Panics
/// If `out` does not have the elements of `shape`, or an operand is too short.
///
/// ```
/// use adamant_kernels::{View, zip};
/// let (x, row) = ([1.0f32, 2.0, 3.0, 4.0], [10.0, 20.0]);
/// let mut out = [0.0; 4];
/// let (x, row) = (View { data: &x, strides: &[2, 1] }, View { data: &row, strides: &[0, 1] });
/// zip(&mut out, &[2, 2], x, row, |x, y| x + y);
/// assert_eq!(out, [11.0, 22.0, 13.0, 24.0]);
/// ```
pub fn zip<T, V, U, F>(out: &mut [U], shape: &[usize], x: View<'_, T>, y: View<'_, V>, f: F)
where
    T: Copy + Sync,
    V: Copy + Sync,
    U: Copy + Send,
    F: Fn(T, V) -> U + Copy + Sync,
{
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each position");
    let nest = Nest::new(shape, [x.strides, y.strides]);
    let steps = nest.inner_strides();
    let (cost, piece) = (out.len(), piece(out.len()));
    share(out.chunks_mut(piece).enumerate(), cost, |(chunk, out)| {
        simd!(|| {
            let start = chunk * piece;
            nest.runs(
                start..start + out.len(),
                #[inline(always)]
                |run, [x0, y0]| {
                    let out = &mut out[run];
                    let (x, y, len) = (&x.data[x0..], &y.data[y0..], out.len());
                    match steps {
                        [1, 1] => {
                            let (x, y) = (x[..len].iter(), y[..len].iter());
                            each_pair(out, x.copied(), y.copied(), f);
                        }
                        [1, 0] => {
                            each_pair(out, x[..len].iter().copied(), repeat(y[0]), f);
                        }
                        [0, 1] => {
                            each_pair(out, repeat(x[0]), y[..len].iter().copied(), f);
                        }
                        [x_step, y_step] => {
                            let (x, y) = (|i| x[i * x_step], |i| y[i * y_step]);
                            each_pair(out, (0..len).map(x), (0..len).map(y), f);
                        }
                    }
                },
            );
        });
    });
}

/// Up to this many elements, one loop is cheaper than cutting them into pieces.
const SHORT: usize = 32;

/// [`map`] for a contiguous slice: `out[i] ← f(x[i])`.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::map_dense(&mut out, &[1.0f32, -2.0], |x| x * 3.0);
/// assert_eq!(out, [3.0, -6.0]);
/// ```
#[inline]
pub fn map_dense<T, U, F>(out: &mut [U], x: &[T], f: F)
where
    T: Copy + Sync,
    U: Copy + Send,
    F: Fn(T) -> U + Copy + Sync,
{
    assert_eq!(out.len(), x.len(), "operands of one length");
    if out.len() <= SHORT {
        return simd!(|| each(out, x.iter().copied(), f));
    }
    let (cost, piece) = (out.len(), piece(out.len()));
    share(out.chunks_mut(piece).zip(x.chunks(piece)), cost, |(out, x)| {
        simd!(|| each(out, x.iter().copied(), f));
    });
}

/// [`map_dense`] of two functions: `out[i] ← f(x[i])`, `other[i] ← g(x[i])`. The operand is read once.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let (mut tripled, mut signs) = ([0.0f32; 2], [0u8; 2]);
/// let is_negative = |x: f32| u8::from(x < 0.0);
/// adamant_kernels::map_twice(&mut tripled, &mut signs, &[1.0, -2.0], |x| x * 3.0, is_negative);
/// assert_eq!((tripled, signs), ([3.0, -6.0], [0, 1]));
/// ```
pub fn map_twice<T, U, V, F, G>(out: &mut [U], other: &mut [V], x: &[T], f: F, g: G)
where
    T: Copy + Sync,
    U: Copy + Send,
    V: Copy + Send,
    F: Fn(T) -> U + Copy + Sync,
    G: Fn(T) -> V + Copy + Sync,
{
    const BLOCK: usize = 1 << 11; // elements that stay in the first cache
    assert!(out.len() == x.len() && other.len() == x.len(), "operands of one length");
    let (cost, piece) = (out.len(), piece(out.len()));
    let pieces = out.chunks_mut(piece).zip(other.chunks_mut(piece)).zip(x.chunks(piece));
    share(pieces, cost, |((out, other), x)| {
        let blocks = out.chunks_mut(BLOCK).zip(other.chunks_mut(BLOCK)).zip(x.chunks(BLOCK));
        simd!(|| for ((out, other), x) in blocks {
            each(out, x.iter().copied(), f);
            each(other, x.iter().copied(), g);
        });
    });
}

/// [`zip`] for contiguous slices: `out[i] ← f(x[i], y[i])`.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::zip_dense(&mut out, &[1.0f32, -2.0], &[10.0, 20.0], |x, y| x + y);
/// assert_eq!(out, [11.0, 18.0]);
/// ```
#[inline]
pub fn zip_dense<T, V, U, F>(out: &mut [U], x: &[T], y: &[V], f: F)
where
    T: Copy + Sync,
    V: Copy + Sync,
    U: Copy + Send,
    F: Fn(T, V) -> U + Copy + Sync,
{
    assert!(out.len() == x.len() && x.len() == y.len(), "operands of one length");
    if out.len() <= SHORT {
        return simd!(|| each_pair(out, x.iter().copied(), y.iter().copied(), f));
    }
    let (cost, piece) = (out.len(), piece(out.len()));
    let pieces = out.chunks_mut(piece).zip(x.chunks(piece)).zip(y.chunks(piece));
    share(pieces, cost, |((out, x), y)| {
        simd!(|| each_pair(out, x.iter().copied(), y.iter().copied(), f));
    });
}

/// `out[i] ← f(x[i], y[i], z[i])` for every position of `shape`, row-major in `out`.
///
/// # Panics
/// If `out` does not have the elements of `shape`, or an operand is too short.
///
/// ```
/// use adamant_kernels::{View, zip3};
/// let (mask, x, y) = ([1u8, 0], [1.0f32, 2.0], [0.0f32]);
/// let mut out = [0.0; 2];
/// let mask = View { data: &mask, strides: &[1] };
/// let (x, y) = (View { data: &x, strides: &[1] }, View { data: &y, strides: &[0] });
/// zip3(&mut out, &[2], mask, x, y, |mask, x, y| if mask == 1 { x } else { y });
/// assert_eq!(out, [1.0, 0.0]);
/// ```
pub fn zip3<A, B, C, U, F>(
    out: &mut [U],
    shape: &[usize],
    x: View<'_, A>,
    y: View<'_, B>,
    z: View<'_, C>,
    f: F,
) where
    A: Copy + Sync,
    B: Copy + Sync,
    C: Copy + Sync,
    U: Copy + Send,
    F: Fn(A, B, C) -> U + Copy + Sync,
{
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each position");
    let nest = Nest::new(shape, [x.strides, y.strides, z.strides]);
    let steps = nest.inner_strides();
    let (cost, piece) = (out.len(), piece(out.len()));
    share(out.chunks_mut(piece).enumerate(), cost, |(chunk, out)| {
        simd!(|| {
            let start = chunk * piece;
            nest.runs(
                start..start + out.len(),
                #[inline(always)]
                |run, [x0, y0, z0]| {
                    let out = &mut out[run];
                    let (x, y, z) = (&x.data[x0..], &y.data[y0..], &z.data[z0..]);
                    match steps {
                        [1, 1, 1] => each_triple::<1, 1, 1, _, _, _, _>(out, x, y, z, f),
                        [1, 1, 0] => each_triple::<1, 1, 0, _, _, _, _>(out, x, y, z, f),
                        [1, 0, 1] => each_triple::<1, 0, 1, _, _, _, _>(out, x, y, z, f),
                        [0, 1, 1] => each_triple::<0, 1, 1, _, _, _, _>(out, x, y, z, f),
                        [1, 0, 0] => each_triple::<1, 0, 0, _, _, _, _>(out, x, y, z, f),
                        [x_step, y_step, z_step] => {
                            let (x, y) = (|i| (x[i * x_step], y[i * y_step]), |i| z[i * z_step]);
                            let len = out.len();
                            let f = move |(x, y), z| f(x, y, z);
                            each_pair(out, (0..len).map(x), (0..len).map(y), f);
                        }
                    }
                },
            );
        });
    });
}

/// `out[i] ← f(x[i · X], y[i · Y], z[i · Z])`, where each stride is 0 or 1.
#[inline(always)]
fn each_triple<const X: usize, const Y: usize, const Z: usize, A: Copy, B: Copy, C: Copy, U>(
    out: &mut [U],
    x: &[A],
    y: &[B],
    z: &[C],
    f: impl Fn(A, B, C) -> U,
) {
    let last = out.len() - 1; // a run has an element
    let (x, y, z) = (&x[..=last * X], &y[..=last * Y], &z[..=last * Z]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(x[i * X], y[i * Y], z[i * Z]);
    }
}

/// `(out₀[i], out₁[i]) ← f(x₀[i], x₁[i], x₂[i])`: the gradients of both operands of a function, from
/// its own and these operands.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let (mut of_x, mut of_y) = ([0.0f32], [0.0]);
/// let product = |[g, x, y]: [f32; 3]| [g * y, g * x];
/// adamant_kernels::zip_gradients([&mut of_x, &mut of_y], [&[2.0], &[3.0], &[5.0]], product);
/// assert_eq!((of_x, of_y), ([10.0], [6.0]));
/// ```
pub fn zip_gradients<T, F>(out: [&mut [T]; 2], operands: [&[T]; 3], f: F)
where
    T: Copy + Send + Sync,
    F: Fn([T; 3]) -> [T; 2] + Copy + Sync,
{
    let ([a, b], [x, y, z]) = (out, operands);
    let len = a.len();
    assert!([b.len(), x.len(), y.len(), z.len()] == [len; 4], "operands of one length");
    let piece = piece(len);
    let out = a.chunks_mut(piece).zip(b.chunks_mut(piece));
    let operands = x.chunks(piece).zip(y.chunks(piece)).zip(z.chunks(piece));
    share(out.zip(operands), len, |((a, b), ((x, y), z))| {
        simd!(|| {
            let out = a.iter_mut().zip(b);
            for ((a, b), ((&x, &y), &z)) in out.zip(x.iter().zip(y).zip(z)) {
                [*a, *b] = f([x, y, z]);
            }
        });
    });
}

/// `out[i] ← value`.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::fill(&mut out, 3.0);
/// assert_eq!(out, [3.0, 3.0]);
/// ```
pub fn fill<T: Copy + Send + Sync>(out: &mut [T], value: T) {
    let (cost, piece) = (out.len(), piece(out.len()));
    share(out.chunks_mut(piece), cost, |out| simd!(|| out.fill(value)));
}

/// `x[i] ← f(x[i])`, in place.
///
/// ```
/// let mut x = [1.0f32, -2.0];
/// adamant_kernels::map_assign(&mut x, |x| x * 3.0);
/// assert_eq!(x, [3.0, -6.0]);
/// ```
pub fn map_assign<T, F>(x: &mut [T], f: F)
where
    T: Copy + Send,
    F: Fn(T) -> T + Copy + Sync,
{
    let (cost, piece) = (x.len(), piece(x.len()));
    share(x.chunks_mut(piece), cost, |x| {
        simd!(|| change(x, f));
    });
}

/// `x[i] ← f(x[i], y[i])`, in place.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut x = [1.0f32, -2.0];
/// adamant_kernels::zip_assign(&mut x, &[10.0, 20.0], |x, y| x + y);
/// assert_eq!(x, [11.0, 18.0]);
/// ```
pub fn zip_assign<T, F>(x: &mut [T], y: &[T], f: F)
where
    T: Copy + Send + Sync,
    F: Fn(T, T) -> T + Copy + Sync,
{
    assert_eq!(x.len(), y.len(), "operands of one length");
    let (cost, piece) = (x.len(), piece(x.len()));
    share(x.chunks_mut(piece).zip(y.chunks(piece)), cost, |(x, y)| {
        simd!(|| change_pair(x, y, f));
    });
}

/// `out[p] ← out[p] + x[i]`, where `p` is the offset of the `i`-th index of `shape` under
/// `strides`. Offsets may coincide.
///
/// # Panics
/// If `x` does not have the elements of `shape`, or `out` is too short.
///
/// ```
/// let mut out = [0.0f32; 6];
/// adamant_kernels::add_strided(&mut out, &[2, 1], &[3, 1], &[7.0, 8.0]); // the first column of 2 × 3
/// assert_eq!(out, [7.0, 0.0, 0.0, 8.0, 0.0, 0.0]);
/// ```
pub fn add_strided<T: Float>(out: &mut [T], shape: &[usize], strides: &[usize], x: &[T]) {
    assert_eq!(x.len(), shape.iter().product::<usize>(), "one value for each position");
    if let Some(columns) = Columns::new(shape, strides) {
        return columns.add(out, x);
    }
    let nest = Nest::new(shape, [strides]);
    let [step] = nest.inner_strides();
    nest.runs(0..x.len(), |run, [start]| {
        let x = &x[run];
        match step {
            0 => x.iter().for_each(|&x| out[start] += x),
            1 => out[start..start + x.len()].iter_mut().zip(x).for_each(|(out, &x)| *out += x),
            _ => {
                let out = out[start..].iter_mut().step_by(step);
                out.zip(x).for_each(|(out, &x)| *out += x);
            }
        }
    });
}

/// Strides under which one dimension runs along rows, and the others choose rows: each column of the
/// result is then independent of the others.
struct Columns {
    /// The number of columns, and the length of a row, which is at least that.
    count: usize,
    pitch: usize,
    /// The row for each position of the dimensions before that of the columns, and after it: their sum
    /// is the row.
    outer: Vec<usize>,
    inner: Vec<usize>,
}

impl Columns {
    /// Columns that are added at once: those of a few rows stay in the first cache.
    const WIDTH: usize = 1 << 11;

    /// `None` if there are no such columns, or too few of them.
    fn new(shape: &[usize], strides: &[usize]) -> Option<Columns> {
        let long = |d: &usize| strides[*d] == 1 && shape[*d] > Columns::WIDTH;
        let dim = (0..shape.len()).find(long)?;
        let moves = |d: &usize| *d != dim && shape[*d] > 1;
        let pitch = (0..shape.len()).filter(moves).map(|d| strides[d]).min();
        let pitch = pitch.unwrap_or(shape[dim]);
        let is_row = |d: usize| strides[d].is_multiple_of(pitch);
        if pitch < shape[dim] || !(0..shape.len()).filter(moves).all(is_row) {
            return None;
        }
        let rows = |dims: Range<usize>| {
            dims.fold(vec![0], |rows, d| {
                let steps = |row| (0..shape[d]).map(move |i| row + i * (strides[d] / pitch));
                rows.into_iter().flat_map(steps).collect()
            })
        };
        let (outer, inner) = (rows(0..dim), rows(dim + 1..shape.len()));
        Some(Columns { count: shape[dim], pitch, outer, inner })
    }

    /// [`add_strided`], on several threads.
    fn add<T: Float>(&self, out: &mut [T], x: &[T]) {
        let mut blocks: Vec<Vec<&mut [T]>> = Vec::new();
        blocks.resize_with(self.count.div_ceil(Columns::WIDTH), Vec::new);
        for row in out.chunks_mut(self.pitch) {
            let row = row.chunks_mut(Columns::WIDTH);
            blocks.iter_mut().zip(row).for_each(|(rows, row)| rows.push(row));
        }
        let inner = self.inner.len();
        share(blocks.into_iter().enumerate(), x.len(), |(block, mut rows)| {
            let first = block * Columns::WIDTH;
            let width = Columns::WIDTH.min(self.count - first);
            simd!(|| for (o, outer) in self.outer.iter().enumerate() {
                let x = &x[(o * self.count + first) * inner..][..width * inner];
                for (i, row) in self.inner.iter().enumerate() {
                    let out = &mut rows[outer + row][..width];
                    if inner == 1 {
                        out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
                    } else {
                        let x = x[i..].iter().step_by(inner);
                        out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
                    }
                }
            });
        });
    }
}

/// `out[i] ← x[i] · scale + shift`, from bytes to floats.
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut out = [0.0f32; 2];
/// adamant_kernels::convert_bytes(&mut out, &[0, 255], 2.0, -0.5);
/// assert_eq!(out, [-0.5, 509.5]);
/// ```
pub fn convert_bytes(out: &mut [f32], x: &[u8], scale: f32, shift: f32) {
    assert_eq!(x.len(), out.len(), "operands of one length");
    simd!(|| {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = f32::from(x).mul_add(scale, shift);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    // Several chunks and threads, and every kind of inner run.
    #[test]
    fn zip_agrees_with_indexing() {
        let (rows, cols) = (700, 301);
        let x: Vec<f64> = (0..rows * cols).map(|i| i as f64).collect();
        for (sx, sy) in [
            ([cols, 1], [cols, 1]),
            ([cols, 1], [0, 1]),
            ([cols, 1], [1, 0]),
            ([1, 0], [0, 1]),
            ([1, rows], [cols, 1]),
            ([0, 0], [1, rows]),
        ] {
            let mut out = vec![0.0; rows * cols];
            let (vx, vy) = (View { data: &x, strides: &sx }, View { data: &x, strides: &sy });
            zip(&mut out, &[rows, cols], vx, vy, |x, y| 3.0 * x - y);
            for i in 0..rows {
                for j in 0..cols {
                    let expected = 3.0 * x[i * sx[0] + j * sx[1]] - x[i * sy[0] + j * sy[1]];
                    assert_eq!(out[i * cols + j], expected);
                }
            }
        }
    }

    #[test]
    fn two_functions_of_every_element() {
        for len in [0, 1, 2049, 100_000] {
            let x: Vec<i64> = (0..len).collect();
            let (mut doubled, mut odd) = (vec![-1; x.len()], vec![9u8; x.len()]);
            map_twice(&mut doubled, &mut odd, &x, |x| 2 * x, |x| (x % 2) as u8);
            assert!(doubled.iter().zip(&x).all(|(&out, &x)| out == 2 * x), "{len} elements");
            assert!(odd.iter().zip(&x).all(|(&out, &x)| i64::from(out) == x % 2), "{len} elements");
        }
    }

    #[test]
    fn a_short_row_is_repeated() {
        for (rows, size) in [(40_000, 3), (7, 5), (100_000, 1), (3000, 63), (3000, 64), (0, 3)] {
            let row: Vec<usize> = (5..5 + size).collect();
            let mut out = vec![0; rows * size];
            copy(&mut out, &[rows, size], View { data: &row, strides: &[0, 1] });
            assert!(out.iter().enumerate().all(|(i, &out)| out == 5 + i % size));
        }
    }

    #[test]
    fn every_position_is_added_in_order() {
        for (shape, strides) in [
            ([3, 5000, 3], [5000, 1, 5000]), // windows
            ([3, 5000, 3], [5003, 1, 5003]),
            ([3, 5000, 3], [4999, 1, 4999]), // rows overlap
            ([3, 5000, 3], [5000, 1, 7000]), // columns meet
            ([2, 3000, 2], [9000, 1, 3000]),
            ([1, 1, 70_000], [9, 9, 1]),
            ([40, 30, 50], [3000, 60, 1]),
            ([40, 30, 50], [60, 3000, 2]),
            ([40, 30, 50], [1, 40, 0]),
            ([0, 30, 50], [1, 40, 0]),
            ([1, 1, 70_000], [1, 1, 3]),
        ] {
            let reach: usize = (0..3).map(|d| shape[d].max(1) * strides[d]).sum();
            let x: Vec<f64> = (0..shape.iter().product()).map(|i| (i as f64).sin()).collect();
            let mut out = vec![0.5; reach];
            let mut expected = out.clone();
            add_strided(&mut out, &shape, &strides, &x);
            for (i, x) in x.iter().enumerate() {
                let index = [i / shape[2] / shape[1], i / shape[2] % shape[1], i % shape[2]];
                expected[(0..3).map(|d| index[d] * strides[d]).sum::<usize>()] += x;
            }
            assert!(out == expected, "{shape:?} {strides:?}");
        }
    }

    #[test]
    fn empty_operands_are_accepted() {
        let empty = View { data: &[] as &[f32], strides: &[3, 1] };
        map(&mut [], &[0, 3], empty, |x| x);
        zip(&mut [], &[0, 3], empty, empty, |x, _| x);
        add_strided(&mut [1.0f32], &[0], &[1], &[]);
    }
}
