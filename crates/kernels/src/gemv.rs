//! Products of one row, `c ← x B + β c`: without packing, which costs more than the product.
//!
//! The bits are those of `matrixmultiply`, so a row has the same bits in a batch and alone: terms are
//! added in order by fused multiply-adds, in parts of [`TERMS`](crate::packing::TERMS), and the sum
//! of each part is added to the result.

use crate::bf16::Bf16;
use crate::float::Float;
use crate::gemm::Matrix;
use crate::packing::TERMS;
use crate::parallel::drain;
use crate::simd::{has_fma, simd};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Columns of B that are summed at once: enough independent sums to hide the latency of an addition.
pub(crate) const COLUMNS: usize = 32;
/// Columns of B in a piece of work.
const PIECE: usize = 4 * COLUMNS;

/// An element of B, as a factor of an element `T`.
pub(crate) trait Factor<T>: Copy + Send + Sync {
    /// The same number in type `T`.
    fn widen(self) -> T;

    /// `Σᵢ x[i] · columns[j · stride + i]` for each `j`, in order, by fused multiply-adds.
    fn sum_columns(x: &[T], columns: &[Self], stride: usize) -> [T; COLUMNS];
}

impl<T: Float> Factor<T> for T {
    #[inline(always)]
    fn widen(self) -> T {
        self
    }
    #[inline(always)]
    fn sum_columns(x: &[T], columns: &[T], stride: usize) -> [T; COLUMNS] {
        T::sum_columns(x, columns, stride)
    }
}

impl<T: Float> Factor<T> for Bf16 {
    #[inline(always)]
    fn widen(self) -> T {
        Bf16::widen(self)
    }
    #[inline(always)]
    fn sum_columns(x: &[T], columns: &[Bf16], stride: usize) -> [T; COLUMNS] {
        T::sum_bf16_columns(x, columns, stride)
    }
}

/// `c ← x B + β c` for one row `x`, or `false` if another way is needed: without FMA
/// `matrixmultiply` adds differently, and a B without contiguous rows or columns is slow to read.
pub(crate) fn row_times_matrix<T: Float, B: Factor<T>>(
    x: Matrix<'_, T>,
    b: Matrix<'_, B>,
    beta: T,
    c: &mut [T],
) -> bool {
    let by_columns = b.row_stride == 1;
    let is_exact = beta == T::ZERO || beta == T::ONE; // β c needs no rounding
    if !(by_columns || b.col_stride == 1) || !is_exact || b.rows == 0 || !has_fma() {
        return false;
    }
    let copy: Vec<T>;
    let x = if x.col_stride == 1 {
        &x.data[..b.rows]
    } else {
        copy = (0..b.rows).map(|k| x.at(0, k)).collect();
        &copy
    };
    let cost = c.len().saturating_mul(b.rows) / 4; // each element of B is read once
    drain(c.chunks_mut(PIECE).enumerate(), cost, |(piece, c)| {
        simd!(|| {
            for (block, c) in c.chunks_mut(COLUMNS).enumerate() {
                let first = piece * PIECE + block * COLUMNS;
                columns(x, b, by_columns, first, beta, c);
            }
        });
    });
    true
}

/// The elements of the result in columns `first..first + c.len()` of B.
#[inline(always)]
fn columns<T: Float, B: Factor<T>>(
    x: &[T],
    b: Matrix<'_, B>,
    by_columns: bool,
    first: usize,
    mut beta: T,
    c: &mut [T],
) {
    for (part, x) in x.chunks(TERMS).enumerate() {
        let start = part * TERMS * b.row_stride + first * b.col_stride;
        let b = Matrix { data: &b.data[start..], ..b };
        let mut sums = [T::ZERO; COLUMNS];
        match (by_columns, c.len()) {
            (true, COLUMNS) => sums = B::sum_columns(x, b.data, b.col_stride),
            (true, len) => sum_columns(x, b.data, b.col_stride, &mut sums[..len]),
            // Two calls, since a loop over a constant number of columns is faster.
            (false, COLUMNS) => sum_rows(x, b.data, b.row_stride, &mut sums),
            (false, len) => sum_rows(x, b.data, b.row_stride, &mut sums[..len]),
        }
        for (c, sum) in c.iter_mut().zip(sums) {
            *c = if beta == T::ZERO { sum } else { sum + *c };
        }
        beta = T::ONE;
    }
}

/// `sums[j] ← sums[j] + Σᵢ x[i] · rows[i · stride + j]`
#[inline(always)]
fn sum_rows<T: Float, B: Factor<T>>(x: &[T], rows: &[B], stride: usize, sums: &mut [T]) {
    for (i, &x) in x.iter().enumerate() {
        let row = &rows[i * stride..][..sums.len()];
        for (sum, &b) in sums.iter_mut().zip(row) {
            *sum = x.mul_add(b.widen(), *sum);
        }
    }
}

/// `sums[j] ← sums[j] + Σᵢ x[i] · columns[j · stride + i]`
#[inline(always)]
fn sum_columns<T: Float, B: Factor<T>>(x: &[T], columns: &[B], stride: usize, sums: &mut [T]) {
    const SIDE: usize = 8; // sums at once, so that they need not wait for each other
    for (group, sums) in sums.chunks_mut(SIDE).enumerate() {
        // A short last group repeats its last column.
        let column = |j: usize| (group * SIDE + j.min(sums.len() - 1)) * stride;
        let columns: [&[B]; SIDE] = std::array::from_fn(|j| &columns[column(j)..][..x.len()]);
        let mut partial = [T::ZERO; SIDE];
        partial[..sums.len()].copy_from_slice(sums);
        for (i, &x) in x.iter().enumerate() {
            for (sum, column) in partial.iter_mut().zip(columns) {
                *sum = x.mul_add(column[i].widen(), *sum);
            }
        }
        sums.copy_from_slice(&partial[..sums.len()]);
    }
}

/// The sums of a block of columns.
#[inline(always)]
pub(crate) fn sum_columns_f64<B: Factor<f64>>(
    x: &[f64],
    columns: &[B],
    stride: usize,
) -> [f64; COLUMNS] {
    let mut sums = [0.0; COLUMNS];
    sum_columns(x, columns, stride, &mut sums);
    sums
}

/// The sums of a block of columns.
#[inline(always)]
pub(crate) fn sum_columns_f32<B: Quad>(x: &[f32], columns: &[B], stride: usize) -> [f32; COLUMNS] {
    #[cfg(target_arch = "x86_64")]
    if has_fma() {
        // SAFETY: `has_fma` detected AVX2 and FMA.
        return unsafe { sum_columns_avx2(x, columns, stride) };
    }
    let mut sums = [0.0; COLUMNS];
    sum_columns(x, columns, stride, &mut sums);
    sums
}

/// Elements that are loaded as four `f32`.
pub(crate) trait Quad: Factor<f32> {
    /// # Safety
    /// `at` must be valid to read four elements.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(at: *const Self) -> __m128;
}

impl Quad for f32 {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m128 {
        // SAFETY: this function's contract.
        unsafe { _mm_loadu_ps(at) }
    }
}

impl Quad for Bf16 {
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(at: *const Bf16) -> __m128 {
        // SAFETY: this function's contract: eight bytes, which need not be aligned. Every x86-64 has
        // SSE2.
        unsafe {
            let upper = _mm_loadl_epi64(at.cast());
            _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), upper))
        }
    }
}

/// Sums side by side in vectors, from tiles that are transposed in registers: [`sum_columns`] would
/// fill the vectors element by element.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn sum_columns_avx2<B: Quad>(x: &[f32], columns: &[B], stride: usize) -> [f32; COLUMNS] {
    const SIDE: usize = 4; // of a tile in half a vector
    let last = (COLUMNS - 1).checked_mul(stride).and_then(|start| start.checked_add(x.len()));
    assert!(last.is_some_and(|last| last <= columns.len()), "columns within their slice");
    let mut acc = [_mm256_setzero_ps(); COLUMNS / 8];
    let (tiles, tail) = x.as_chunks::<SIDE>();
    for (t, x) in tiles.iter().enumerate() {
        let x = x.map(|x| _mm256_set1_ps(x));
        for (g, acc) in acc.iter_mut().enumerate() {
            // SAFETY: columns up to COLUMNS − 1, elements up to SIDE · (t + 1) ≤ x.len() of each:
            // within the slice by the assertion.
            let half = |j: usize| unsafe {
                B::load(columns.as_ptr().add((8 * g + j) * stride + SIDE * t))
            };
            let row = |j: usize| _mm256_set_m128(half(j + SIDE), half(j));
            let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            *acc = _mm256_fmadd_ps(x[0], _mm256_shuffle_ps(ab, cd, 0x44), *acc);
            *acc = _mm256_fmadd_ps(x[1], _mm256_shuffle_ps(ab, cd, 0xee), *acc);
            *acc = _mm256_fmadd_ps(x[2], _mm256_shuffle_ps(ab_high, cd_high, 0x44), *acc);
            *acc = _mm256_fmadd_ps(x[3], _mm256_shuffle_ps(ab_high, cd_high, 0xee), *acc);
        }
    }
    let mut sums = [0.0; COLUMNS];
    for (sums, acc) in sums.as_chunks_mut::<8>().0.iter_mut().zip(acc) {
        // SAFETY: eight elements.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), acc) };
    }
    let rest = x.len() - tail.len();
    sum_columns(tail, &columns[rest..], stride, &mut sums);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::gemm;

    fn bits<T: Float>(x: &[T]) -> Vec<u64> {
        x.iter().map(|x| x.to_f64().to_bits()).collect()
    }

    /// A row has the same bits alone as in a product of two rows, which is `matrixmultiply`'s.
    fn check<T: Float>(k: usize, n: usize, by_columns: bool, beta: T) {
        let value = |i: usize| T::from_f64(((i * 7919) % 10_007) as f64 / 3000.0 - 1.5);
        let values = |count: usize| (0..count).map(value).collect::<Vec<T>>();
        let (a, b, c) = (values(2 * k), values(k * n), values(2 * n));
        let (row_stride, col_stride) = if by_columns { (1, k) } else { (n, 1) };
        let b = Matrix { data: &b, rows: k, cols: n, row_stride, col_stride };
        let mut both = c.clone();
        gemm(Matrix::row_major(&a, 2, k), b, beta, &mut both);

        let mut one = c[..n].to_vec();
        assert!(row_times_matrix(Matrix::row_major(&a[..k], 1, k), b, beta, &mut one));
        assert_eq!(bits(&one), bits(&both[..n]), "[{k}] × [{k}, {n}], by columns: {by_columns}");

        // As a column, whose elements are not contiguous.
        let spread: Vec<T> = a[..k].iter().flat_map(|&x| [x, T::NAN]).collect();
        let x = Matrix { data: &spread, rows: k, cols: 1, row_stride: 2, col_stride: 1 };
        let mut one = c[..n].to_vec();
        gemm(b.t(), x, beta, &mut one);
        assert_eq!(bits(&one), bits(&both[..n]), "[{n}, {k}] × [{k}], by columns: {by_columns}");
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_a_batch() {
        if !has_fma() {
            return;
        }
        for k in [1, 7, 8, 255, 256, 257, 784] {
            for n in [1, 3, 8, 31, 32, 33, 250] {
                for by_columns in [false, true] {
                    check(k, n, by_columns, 0.0f32);
                    check(k, n, by_columns, 1.0f32);
                    check(k, n, by_columns, 0.0f64);
                    check(k, n, by_columns, 1.0f64);
                }
            }
        }
    }
}
