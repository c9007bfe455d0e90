//! Matrix products: `C ← A B + β C`, by panels or by the `matrixmultiply` crate, on several threads.
//!
//! A product is cut along the rows or the columns of C, never along the summed dimension, so each
//! element of C is summed in the same order whatever the cut.

use crate::bf16::Bf16;
use crate::block::{Block, parts};
use crate::elementwise::zip_assign;
use crate::float::Float;
use crate::gemm_panels;
use crate::gemv::{self, COLUMNS, row_times_matrix};
use crate::packing::with_room;
use crate::parallel::{drain, num_threads};
use crate::strided::View;
use crate::team;
use std::ops::Range;

/// A strided matrix: element `(i, j)` is `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    /// Starts at element (0, 0).
    pub data: &'a [T],
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub cols: usize,
    /// The distance from an element to the one below it.
    pub row_stride: usize,
    /// The distance from an element to the one on its right.
    pub col_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major slice as a matrix.
    ///
    /// ```
    /// use adamant_kernels::{Matrix, gemm};
    /// let a = Matrix::row_major(&[1.0f32, 2.0], 2, 1);
    /// let mut c = [0.0; 4];
    /// gemm(a, a.t(), 0.0, &mut c);
    /// assert_eq!(c, [1.0, 2.0, 2.0, 4.0]);
    /// ```
    #[must_use]
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Self {
        Matrix { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, over the same slice.
    #[must_use]
    pub fn t(self) -> Self {
        Matrix {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Some of the rows and columns.
    pub(crate) fn part(self, rows: Range<usize>, cols: Range<usize>) -> Self {
        let start = rows.start * self.row_stride + cols.start * self.col_stride;
        // Without rows or columns there may be no element to start at.
        let data = self.data.get(start..).unwrap_or(&[]);
        Matrix { data, rows: rows.len(), cols: cols.len(), ..self }
    }

    /// The element in row `i` and column `j`.
    #[inline(always)]
    pub(crate) fn at(&self, i: usize, j: usize) -> T
    where
        T: Copy,
    {
        self.data[i * self.row_stride + j * self.col_stride]
    }

    /// Panics if an element is outside the slice.
    pub(crate) fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let down = (self.rows - 1).checked_mul(self.row_stride);
            let right = (self.cols - 1).checked_mul(self.col_stride);
            let last = down.and_then(|down| down.checked_add(right?));
            let fits = last.is_some_and(|last| last < self.data.len());
            assert!(fits, "the matrix reaches past the end of its slice");
        }
    }
}

/// The product on raw pointers, with the arguments of `matrixmultiply`.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Gemm: Sized {
    /// `C ← A B + β C`
    ///
    /// # Safety
    /// Every element of the `m × k`, `k × n` and `m × n` matrices that the pointers and strides
    /// describe must be valid to read, and those of C to write, with no other reference to C's.
    #[doc(hidden)]
    unsafe fn gemm_raw(
        m: usize,
        k: usize,
        n: usize,
        a: (*const Self, usize, usize),
        b: (*const Self, usize, usize),
        beta: Self,
        c: (*mut Self, usize, usize),
    );

    /// `Σᵢ x[i] · columns[j · stride + i]` for each `j`, in order, by fused multiply-adds.
    #[doc(hidden)]
    fn sum_columns(x: &[Self], columns: &[Self], stride: usize) -> [Self; COLUMNS];

    /// [`sum_columns`](Gemm::sum_columns) of widened elements.
    #[doc(hidden)]
    fn sum_bf16_columns(x: &[Self], columns: &[Bf16], stride: usize) -> [Self; COLUMNS];
}

macro_rules! gemm {
    ($t:ident, $f:path, $sum_columns:expr) => {
        impl Gemm for $t {
            unsafe fn gemm_raw(
                m: usize,
                k: usize,
                n: usize,
                a: (*const $t, usize, usize),
                b: (*const $t, usize, usize),
                beta: $t,
                c: (*mut $t, usize, usize),
            ) {
                // A stride between two elements is below its slice's length, so it fits an isize.
                // A dimension of size 1 may have any stride, even one that is negative after the
                // cast: `matrixmultiply` multiplies a stride by the index of an element, here 0.
                let (rsa, csa) = (a.1 as isize, a.2 as isize);
                let (rsb, csb) = (b.1 as isize, b.2 as isize);
                let (rsc, csc) = (c.1 as isize, c.2 as isize);
                // SAFETY: this function's contract is that of `$f`.
                unsafe { $f(m, k, n, 1.0, a.0, rsa, csa, b.0, rsb, csb, beta, c.0, rsc, csc) }
            }

            #[inline(always)]
            fn sum_columns(x: &[$t], columns: &[$t], stride: usize) -> [$t; COLUMNS] {
                $sum_columns(x, columns, stride)
            }

            #[inline(always)]
            fn sum_bf16_columns(x: &[$t], columns: &[Bf16], stride: usize) -> [$t; COLUMNS] {
                $sum_columns(x, columns, stride)
            }
        }
    };
}

gemm!(f32, matrixmultiply::sgemm, gemv::sum_columns_f32);
gemm!(f64, matrixmultiply::dgemm, gemv::sum_columns_f64);

/// Blocks of C are a multiple of this, the widest micro-kernel's side.
const TILE: usize = 16;

/// C is cut into columns if each thread has at least this many: then no two threads copy the same part
/// of B.
const MANY_COLUMNS: usize = 128;

/// `C ← A B + β C`, with C row-major: `[M, K] × [K, N] → [M, N]`.
///
/// With β = 0 the old contents of C are ignored, even NaN. With K = 0 the product is 0.
///
/// # Panics
/// If the shapes do not match, or a matrix reaches past the end of its slice.
///
/// ```
/// use adamant_kernels::{Matrix, gemm};
/// let a = Matrix::row_major(&[1.0f32, 2.0, 3.0, 4.0], 2, 2);
/// let mut c = [0.0; 4];
/// gemm(a, a, 0.0, &mut c);
/// assert_eq!(c, [7.0, 10.0, 15.0, 22.0]);
/// ```
pub fn gemm<T: Float>(a: Matrix<'_, T>, b: Matrix<'_, T>, beta: T, c: &mut [T]) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(b.rows, k, "the inner dimensions agree");
    assert_eq!(m.checked_mul(n), Some(c.len()), "C is M × N");
    a.check();
    b.check();
    if c.is_empty() {
        return;
    }
    if m == 1 && row_times_matrix(a, b, beta, c)
        || n == 1 && row_times_matrix(b.t(), a.t(), beta, c)
    {
        return;
    }

    in_blocks([m, k, n], c, |c, rows, cols| {
        product(c, a.part(rows, 0..k), b.part(0..k, cols), beta);
    });
}

/// `C ← A B + β C` on this thread.
///
/// # Panics
/// If the shapes do not match, or a matrix reaches past the end of its slice.
pub(crate) fn product<T: Float>(mut c: Block<'_, T>, a: Matrix<'_, T>, b: Matrix<'_, T>, beta: T) {
    let (m, k, n) = (c.rows(), a.cols, c.cols());
    assert_eq!((a.rows, b.rows, b.cols), (m, k, n), "the shapes agree");
    a.check();
    b.check();
    if gemm_panels::is_suitable(&a, &b, beta) {
        return gemm_panels::product(c, a, b, beta == T::ONE);
    }
    // SAFETY: `check` proved that every element of A and B is within its slice; with K = 0 none is
    // read. The block borrows the elements of C mutably.
    with_room::<T, _>([m, k, n], || unsafe {
        T::gemm_raw(
            m,
            k,
            n,
            (a.data.as_ptr(), a.row_stride, a.col_stride),
            (b.data.as_ptr(), b.row_stride, b.col_stride),
            beta,
            c.as_raw(),
        );
    });
}

/// Calls `product` with each block of C for a product `[M, K] × [K, N]`, its rows and its columns, on
/// several threads.
///
/// Each block reads the whole other operand, so there is one block per thread, and a single one if the
/// threads are busy. The bits do not depend on the blocks: the summed dimension is split into
/// parts of a fixed size, and the terms of a part are added in order.
/// tests/training/determinism.rs checks this.
pub(crate) fn in_blocks<T: Float>(
    [m, k, n]: [usize; 3],
    c: &mut [T],
    product: impl Fn(Block<'_, T>, Range<usize>, Range<usize>) + Sync,
) {
    assert_eq!(c.len(), m * n, "C is M × N");
    if c.is_empty() {
        return;
    }
    let threads = if team::is_engaged() { 1 } else { num_threads() };
    let by_rows = m >= n && n < MANY_COLUMNS * threads;
    let side = if by_rows { m } else { n };
    let len = side.div_ceil(threads).next_multiple_of(TILE);
    let cost = c.len().saturating_mul(k) / 8; // a multiply-add takes about ⅛ of a load and store
    let mut rest = Block::new(c, n, n);
    if len >= side {
        return product(rest, 0..m, 0..n);
    }
    let mut blocks = Vec::with_capacity(threads);
    for part in parts(0..side, len) {
        let split = if by_rows { Block::split_at_row } else { Block::split_at_col };
        let (block, others) = split(rest, part.len());
        blocks.push((block, part));
        rest = others;
    }
    drain(blocks.into_iter(), cost, |(c, part)| {
        let (rows, cols) = if by_rows { (part, 0..n) } else { (0..m, part) };
        product(c, rows, cols);
    });
}

/// `C[b] ← A[b] B[b]` for each index `b` of a batch: `A` is `[batch.., M, K]`, `B` is
/// `[batch.., K, N]`, and `C` is row-major.
///
/// # Panics
/// If the shapes do not match, or an operand reaches past the end of its slice.
///
/// ```
/// use adamant_kernels::{View, gemm_batch};
/// let (a, b) = ([1.0f32, 2.0], [10.0f32]);
/// let (a, b) = (View { data: &a, strides: &[1, 1, 1] }, View { data: &b, strides: &[0, 1, 1] });
/// let mut c = [0.0; 2];
/// gemm_batch(a, b, &[2], [1, 1, 1], &mut c);
/// assert_eq!(c, [10.0, 20.0]);
/// ```
pub fn gemm_batch<T: Float>(
    a: View<'_, T>,
    b: View<'_, T>,
    batch: &[usize],
    [m, k, n]: [usize; 3],
    c: &mut [T],
) {
    let dims = batch.len();
    assert!(a.strides.len() == dims + 2 && b.strides.len() == dims + 2, "a stride a dimension");
    let count: usize = batch.iter().product();
    assert_eq!(c.len(), count * m * n, "C is M × N for each index of the batch");
    if c.is_empty() {
        return;
    }
    let one = |at: usize, c: &mut [T]| {
        gemm(matrix_of(a, batch, at, [m, k]), matrix_of(b, batch, at, [k, n]), T::ZERO, c);
    };
    let cost = (m * n).saturating_mul(k) / 8;
    if count < num_threads() {
        // Fewer products than threads: `gemm` cuts each of them if that pays off.
        c.chunks_exact_mut(m * n).enumerate().for_each(|(at, c)| one(at, c));
    } else {
        let pieces = c.chunks_exact_mut(m * n).enumerate();
        drain(pieces, cost.saturating_mul(count), |(at, c)| one(at, c));
    }
}

/// `C ← Σ A[b] B[b]` over the indices `b` of a batch: `A` is `[batch.., M, K]`, `B` is
/// `[batch.., K, N]`, and `C` is row-major. Blocks of products are summed pairwise.
///
/// # Panics
/// If the shapes do not match, or an operand reaches past the end of its slice.
///
/// ```
/// use adamant_kernels::{View, gemm_sum};
/// let (a, b) = ([1.0f32, 2.0], [10.0f32]);
/// let (a, b) = (View { data: &a, strides: &[1, 1, 1] }, View { data: &b, strides: &[0, 1, 1] });
/// let mut c = [0.0];
/// gemm_sum(a, b, &[2], [1, 1, 1], &mut c);
/// assert_eq!(c, [30.0]);
/// ```
pub fn gemm_sum<T: Float>(
    a: View<'_, T>,
    b: View<'_, T>,
    batch: &[usize],
    [m, k, n]: [usize; 3],
    c: &mut [T],
) {
    let dims = batch.len();
    assert!(a.strides.len() == dims + 2 && b.strides.len() == dims + 2, "a stride a dimension");
    assert_eq!(c.len(), m * n, "C is M × N");
    let one = |at: usize, beta: T, c: &mut [T]| {
        gemm(matrix_of(a, batch, at, [m, k]), matrix_of(b, batch, at, [k, n]), beta, c);
    };
    sum_pairwise(0..batch.iter().product(), &one, c);
}

/// `C ← Σ one(i)` over `range`, where `one(i, β, C)` is `C ← product + β C`.
fn sum_pairwise<T: Float>(range: Range<usize>, one: &impl Fn(usize, T, &mut [T]), c: &mut [T]) {
    const BLOCK: usize = 32;
    if range.is_empty() {
        c.fill(T::ZERO);
    } else if range.len() <= BLOCK {
        for i in range.clone() {
            let beta = if i == range.start { T::ZERO } else { T::ONE };
            one(i, beta, c);
        }
    } else {
        let middle = range.start + range.len() / 2;
        let mut half = vec![T::ZERO; c.len()];
        sum_pairwise(range.start..middle, one, c);
        sum_pairwise(middle..range.end, one, &mut half);
        zip_assign(c, &half, |c, half| c + half);
    }
}

/// The matrix at row-major position `at` of a batch.
pub(crate) fn matrix_of<'a, T>(
    x: View<'a, T>,
    batch: &[usize],
    at: usize,
    [rows, cols]: [usize; 2],
) -> Matrix<'a, T> {
    let dims = batch.len();
    let (mut rest, mut offset) = (at, 0);
    for d in (0..dims).rev() {
        offset += (rest % batch[d]) * x.strides[d];
        rest /= batch[d];
    }
    // With K = 0 there may be no element to start at.
    let data = x.data.get(offset..).unwrap_or(&[]);
    Matrix { data, rows, cols, row_stride: x.strides[dims], col_stride: x.strides[dims + 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(m: usize, k: usize, n: usize, a_transposed: bool, b_transposed: bool, beta: f64) {
        let values = |len: usize| -> Vec<f64> { (0..len).map(|i| ((i * 7) % 13) as f64).collect() };
        let (a, b) = (values(m * k), values(k * n));
        let strides = |rows, cols, transposed| if transposed { (1, rows) } else { (cols, 1) };
        let (ra, ca) = strides(m, k, a_transposed);
        let (rb, cb) = strides(k, n, b_transposed);
        let mut c = vec![if beta == 0.0 { f64::NAN } else { 2.0 }; m * n];
        gemm(
            Matrix { data: &a, rows: m, cols: k, row_stride: ra, col_stride: ca },
            Matrix { data: &b, rows: k, cols: n, row_stride: rb, col_stride: cb },
            beta,
            &mut c,
        );
        for i in 0..m {
            for j in 0..n {
                let product: f64 = (0..k).map(|p| a[i * ra + p * ca] * b[p * rb + j * cb]).sum();
                assert_eq!(c[i * n + j], product + beta * 2.0, "{m} × {k} × {n} at [{i}, {j}]");
            }
        }
    }

    #[test]
    fn products_of_integers_are_exact() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (64, 300, 129), (200, 80, 70), (2, 0, 3), (0, 3, 2)]
        {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                check(m, k, n, ta, tb, 0.0);
                check(m, k, n, ta, tb, 1.0);
            }
        }
    }

    #[test]
    fn a_long_sum_of_products_is_accurate() {
        let (ones, tenths) = ([1.0f32], vec![0.1f32; 1_000_000]);
        let a = View { data: &ones, strides: &[0, 1, 1] };
        let b = View { data: &tenths, strides: &[1, 1, 1] };
        let mut c = [0.0];
        gemm_sum(a, b, &[tenths.len()], [1, 1, 1], &mut c);
        assert!((c[0] - 1e5).abs() < 0.1, "{}", c[0]);
        gemm_sum(a, b, &[0], [1, 1, 1], &mut c);
        assert_eq!(c, [0.0]);
    }

    #[test]
    fn sizes_that_overflow_panic() {
        let huge = 1 << (usize::BITS - 1);
        let product = |a: Matrix<'_, f32>, b, c: &mut [f32]| {
            let c = std::panic::AssertUnwindSafe(c);
            std::panic::catch_unwind(move || gemm(a, b, 0.0, { c }.0)).is_err()
        };
        let one = Matrix::row_major(&[1.0], 1, 1);
        let far = Matrix { data: &[0.0; 4], rows: 3, cols: 1, row_stride: huge, col_stride: 0 };
        assert!(product(far, one, &mut [0.0; 3]));
        let tall = Matrix { rows: huge + 1, row_stride: 0, col_stride: 0, ..one };
        let row = Matrix { cols: 2, col_stride: 0, ..one };
        assert!(product(tall, row, &mut [0.0; 2]));
    }

    #[test]
    #[should_panic(expected = "past the end of its slice")]
    fn a_matrix_larger_than_its_slice_panics() {
        let a = Matrix::row_major(&[1.0f32; 3], 2, 2);
        gemm(a, a, 0.0, &mut [0.0; 4]);
    }

    #[test]
    fn a_dimension_of_size_1_may_have_any_stride() {
        let one = Matrix { row_stride: usize::MAX, ..Matrix::row_major(&[1.0f32, 2.0], 1, 2) };
        let mut c = [0.0; 4];
        gemm(one.t(), one, 0.0, &mut c);
        assert_eq!(c, [1.0, 2.0, 2.0, 4.0]);
    }
}
