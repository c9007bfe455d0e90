//! Matrix products: `C ← A B + β C`, by the `matrixmultiply` crate, on several threads.
//!
//! A product is cut along the longer side of C, never along the summed
//! dimension, so each element of C is summed in the same order whatever the cut.

use crate::elementwise::zip_assign;
use crate::float::Float;
use crate::packing::with_room;
use crate::parallel::{drain, num_threads};
use crate::strided::View;
use crate::team;
use std::ops::Range;

/// A strided matrix: element `(i, j)` is `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    /// Begins at element (0, 0).
    pub data: &'a [T],
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub cols: usize,
    /// From an element to the one below.
    pub row_stride: usize,
    /// From an element to the one on its right.
    pub col_stride: usize,
}

impl<T> Matrix<'_, T> {
    /// Panics unless every element is within the slice.
    fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let down = (self.rows - 1).checked_mul(self.row_stride);
            let right = (self.cols - 1).checked_mul(self.col_stride);
            let last = down.and_then(|down| down.checked_add(right?));
            let fits = last.is_some_and(|last| last < self.data.len());
            assert!(fits, "the matrix reaches past its slice");
        }
    }
}

/// The product on raw pointers, as `matrixmultiply` has it.
pub trait Gemm: Sized {
    /// `C ← A B + β C`
    ///
    /// # Safety
    /// Every element of the `m × k`, `k × n` and `m × n` matrices that the
    /// pointers and strides describe must be valid to read, and those of C to
    /// write, with no other reference to C's.
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
}

macro_rules! gemm {
    ($t:ident, $f:path) => {
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
                // A stride that leads to a second element is less than its slice is long, so it
                // fits. Along a dimension of size 1 it may be any number, perhaps negative
                // after the cast: it is multiplied by 0 only.
                let (rsa, csa) = (a.1 as isize, a.2 as isize);
                let (rsb, csb) = (b.1 as isize, b.2 as isize);
                let (rsc, csc) = (c.1 as isize, c.2 as isize);
                // SAFETY: the caller's promise is the one this function asks for.
                unsafe { $f(m, k, n, 1.0, a.0, rsa, csa, b.0, rsb, csb, beta, c.0, rsc, csc) }
            }
        }
    };
}

gemm!(f32, matrixmultiply::sgemm);
gemm!(f64, matrixmultiply::dgemm);

/// Blocks of C are a multiple of this, the widest micro-kernel's side.
const TILE: usize = 16;

/// `C ← A B + β C`, with C row-major: `[M, K] × [K, N] → [M, N]`.
///
/// With β = 0, what C held before does not matter (not even NaN). With K = 0
/// the product is 0.
///
/// # Panics
/// If the shapes do not fit, or a matrix reaches past its slice.
///
/// ```
/// use adamant_kernels::{Matrix, gemm};
/// let a = Matrix { data: &[1.0f32, 2.0, 3.0, 4.0], rows: 2, cols: 2, row_stride: 2, col_stride: 1 };
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

    // Each block of C packs all of the other operand anew: as few blocks as there
    // are threads, and one where these are busy, perhaps with work that this is a part
    // of. The bits do not depend on it: `matrixmultiply` cuts the summed dimension into
    // blocks of a fixed size, within which a micro-kernel adds in order, the same one
    // for each element. tests/determinism.rs stands guard.
    let by_rows = m >= n;
    let side = if by_rows { m } else { n };
    let threads = if team::is_engaged() { 1 } else { num_threads() };
    let block = side.div_ceil(threads).next_multiple_of(TILE);
    let cost = c.len().saturating_mul(k) / 8; // a multiply-add is some 8 times quicker than a load and store

    struct Pointer<T>(*mut T);
    // SAFETY: the jobs below write disjoint blocks through it.
    unsafe impl<T: Send> Sync for Pointer<T> {}
    let c = Pointer(c.as_mut_ptr());
    let c = &c;

    drain((0..side.div_ceil(block)).map(|i| i * block), cost, |start| {
        let len = block.min(side - start);
        let (m, n) = if by_rows { (len, n) } else { (m, len) };
        let (a_start, b_start, c_start, c_rows) = if by_rows {
            (start * a.row_stride, 0, start * b.cols, b.cols)
        } else {
            (0, start * b.col_stride, start, b.cols)
        };
        // SAFETY: `check` has shown that the last element of A and of B is in its
        // slice, and the block's are no further; with K = 0 none is read. C has
        // M · N elements; blocks of rows, or of columns, do not overlap, and the
        // slice stays mutably borrowed until `drain` returns.
        with_room::<T, _>([m, k, n], || unsafe {
            T::gemm_raw(
                m,
                k,
                n,
                (a.data.as_ptr().wrapping_add(a_start), a.row_stride, a.col_stride),
                (b.data.as_ptr().wrapping_add(b_start), b.row_stride, b.col_stride),
                beta,
                (c.0.wrapping_add(c_start), c_rows, 1),
            );
        });
    });
}

/// `C[b] ← A[b] B[b]` for each place `b` of a batch: `A` is seen as `[batch.., M, K]`,
/// `B` as `[batch.., K, N]`, and `C` is row-major.
///
/// # Panics
/// If the shapes do not fit, or an operand reaches past its slice.
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
    assert_eq!(c.len(), count * m * n, "C is M × N for each place of the batch");
    if c.is_empty() {
        return;
    }
    let one = |place: usize, c: &mut [T]| {
        gemm(matrix_of(a, batch, place, [m, k]), matrix_of(b, batch, place, [k, n]), T::ZERO, c);
    };
    let cost = (m * n).saturating_mul(k) / 8;
    if count < num_threads() {
        // Fewer products than threads: each is cut itself, if it is worth it.
        c.chunks_exact_mut(m * n).enumerate().for_each(|(place, c)| one(place, c));
    } else {
        let pieces = c.chunks_exact_mut(m * n).enumerate();
        drain(pieces, cost.saturating_mul(count), |(place, c)| one(place, c));
    }
}

/// `C ← Σ A[b] B[b]`, over the places `b` of a batch: `A` is seen as `[batch.., M, K]`, `B` as
/// `[batch.., K, N]`, and `C` is row-major. The products are added in pairs of blocks.
///
/// # Panics
/// If the shapes do not fit, or an operand reaches past its slice.
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
    let one = |place: usize, beta: T, c: &mut [T]| {
        gemm(matrix_of(a, batch, place, [m, k]), matrix_of(b, batch, place, [k, n]), beta, c);
    };
    sum_places(0..batch.iter().product(), &one, c);
}

/// `C ← Σ one(place)`, where `one(place, β, C)` is `C ← product + β C`.
fn sum_places<T: Float>(places: Range<usize>, one: &impl Fn(usize, T, &mut [T]), c: &mut [T]) {
    const BLOCK: usize = 32;
    if places.is_empty() {
        c.fill(T::ZERO);
    } else if places.len() <= BLOCK {
        for place in places.clone() {
            let beta = if place == places.start { T::ZERO } else { T::ONE };
            one(place, beta, c);
        }
    } else {
        let middle = places.start + places.len() / 2;
        let mut half = vec![T::ZERO; c.len()];
        sum_places(places.start..middle, one, c);
        sum_places(middle..places.end, one, &mut half);
        zip_assign(c, &half, |c, half| c + half);
    }
}

/// The matrix at one place of a batch.
pub(crate) fn matrix_of<'a, T>(
    x: View<'a, T>,
    batch: &[usize],
    place: usize,
    [rows, cols]: [usize; 2],
) -> Matrix<'a, T> {
    let dims = batch.len();
    let (mut rest, mut at) = (place, 0);
    for d in (0..dims).rev() {
        at += (rest % batch[d]) * x.strides[d];
        rest /= batch[d];
    }
    // With K = 0 there may be no element to point at.
    let data = x.data.get(at..).unwrap_or(&[]);
    Matrix { data, rows, cols, row_stride: x.strides[dims], col_stride: x.strides[dims + 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(m: usize, k: usize, n: usize, a_transposed: bool, b_transposed: bool, beta: f64) {
        let numbers =
            |len: usize| -> Vec<f64> { (0..len).map(|i| ((i * 7) % 13) as f64).collect() };
        let (a, b) = (numbers(m * k), numbers(k * n));
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
    fn a_long_sum_of_products_is_right() {
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
    fn sizes_that_overflow_are_refused() {
        let huge = 1 << (usize::BITS - 1);
        let product = |a: Matrix<'_, f32>, b, c: &mut [f32]| {
            let c = std::panic::AssertUnwindSafe(c);
            std::panic::catch_unwind(move || gemm(a, b, 0.0, { c }.0)).is_err()
        };
        let one = Matrix { data: &[1.0], rows: 1, cols: 1, row_stride: 1, col_stride: 1 };
        let far = Matrix { data: &[0.0; 4], rows: 3, cols: 1, row_stride: huge, col_stride: 0 };
        assert!(product(far, one, &mut [0.0; 3]));
        let tall = Matrix { rows: huge + 1, row_stride: 0, col_stride: 0, ..one };
        let row = Matrix { cols: 2, col_stride: 0, ..one };
        assert!(product(tall, row, &mut [0.0; 2]));
    }

    #[test]
    #[should_panic(expected = "past its slice")]
    fn a_matrix_larger_than_its_slice_is_refused() {
        let a = Matrix { data: &[1.0f32; 3], rows: 2, cols: 2, row_stride: 2, col_stride: 1 };
        gemm(a, a, 0.0, &mut [0.0; 4]);
    }
}
