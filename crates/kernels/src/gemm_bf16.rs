//! Matrix products with a BF16 matrix, which is widened block by block: a product never holds all of
//! it in the wide type.
//!
//! The bits are those of the product with the widened matrix. Blocks cut the summed dimension where
//! [`gemm`](crate::gemm()) cuts it, at multiples of [`TERMS`], and the sum of each part is added to
//! the result as there.

use crate::bf16::Bf16;
use crate::block::parts;
use crate::float::Float;
use crate::gemm::{Matrix, gemm, in_blocks, product};
use crate::gemv::row_times_matrix;
use crate::memory::CacheLine;
use crate::packing::TERMS;
use crate::simd::simd;
use std::cell::Cell;

/// The most columns of B that are widened at once: half a megabyte of `f32`.
const COLUMNS: usize = 512;

/// `C ← A B + β C`, with C row-major: `[M, K] × [K, N] → [M, N]`. Fastest if the rows or the columns of
/// B are contiguous.
///
/// The bits are those of [`gemm`](crate::gemm()) with the widened B.
///
/// # Panics
/// If the shapes do not match, or a matrix reaches past the end of its slice.
///
/// ```
/// use adamant_kernels::{Bf16, Matrix, gemm_bf16};
/// let a = Matrix::row_major(&[1.0f32, 2.0], 1, 2);
/// let b = [3.0f32, 4.0].map(Bf16::round);
/// let mut c = [0.5];
/// gemm_bf16(a, Matrix::row_major(&b, 2, 1), 1.0, &mut c);
/// assert_eq!(c, [11.5]);
/// ```
pub fn gemm_bf16<T: Float>(a: Matrix<'_, T>, b: Matrix<'_, Bf16>, beta: T, c: &mut [T]) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(b.rows, k, "the inner dimensions agree");
    assert_eq!(m.checked_mul(n), Some(c.len()), "C is M × N");
    a.check();
    b.check();
    if k == 0 {
        return gemm(a, Matrix::row_major(&[], 0, n), beta, c);
    }
    if m == 1 && row_times_matrix(a, b, beta, c) {
        return;
    }
    in_blocks([m, k, n], c, |mut c, rows, cols| {
        with_scratch(TERMS * COLUMNS, |scratch| {
            for some in parts(0..c.cols(), COLUMNS) {
                let mut beta = beta;
                for terms in parts(0..k, TERMS) {
                    let a = a.part(rows.clone(), terms.clone());
                    let b = b.part(terms, cols.start + some.start..cols.start + some.end);
                    let c = c.part(0..rows.len(), some.clone());
                    product(c, a, widen(b, scratch), beta);
                    beta = T::ONE;
                }
            }
        });
    });
}

/// Writes `b` into `scratch`, with contiguous columns if those of `b` are.
fn widen<'s, T: Float>(b: Matrix<'_, Bf16>, scratch: &'s mut [T]) -> Matrix<'s, T> {
    let by_columns = b.row_stride == 1;
    let b = if by_columns { b.t() } else { b };
    let out = &mut scratch[..b.rows * b.cols];
    simd!(|| for (i, out) in out.chunks_exact_mut(b.cols).enumerate() {
        if b.col_stride == 1 {
            let row = &b.data[i * b.row_stride..][..b.cols];
            out.iter_mut().zip(row).for_each(|(out, b)| *out = b.widen());
        } else {
            out.iter_mut().enumerate().for_each(|(j, out)| *out = b.at(i, j).widen());
        }
    });
    let wide = Matrix::row_major(&*out, b.rows, b.cols);
    if by_columns { wide.t() } else { wide }
}

thread_local! {
    static SCRATCH: Cell<Vec<CacheLine>> = const { Cell::new(Vec::new()) };
}

/// Calls `job` with at least `len` arbitrary elements, which the thread keeps for the next time.
fn with_scratch<T: Float>(len: usize, job: impl FnOnce(&mut [T])) {
    let mut lines = SCRATCH.take();
    let needed = (len * size_of::<T>()).div_ceil(CacheLine::BYTES);
    if lines.len() < needed {
        lines = vec![CacheLine::ZERO; needed];
    }
    job(bytemuck::cast_slice_mut(&mut lines));
    SCRATCH.set(lines);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<T: Float>(count: usize) -> Vec<T> {
        (0..count).map(|i| T::from_f64(((i * 7919) % 10_007) as f64 / 3000.0 - 1.5)).collect()
    }

    fn check<T: Float>([m, k, n]: [usize; 3], beta: T) {
        let bits = |x: &[T]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
        let a = values::<T>(m * k);
        let b: Vec<Bf16> = values::<T>(k * n).into_iter().map(Bf16::round).collect();
        let wide: Vec<T> = b.iter().map(|b| b.widen()).collect();
        for transposed in [false, true] {
            let (row_stride, col_stride) = if transposed { (1, k) } else { (n, 1) };
            let b = Matrix { data: &b, rows: k, cols: n, row_stride, col_stride };
            let wide = Matrix { data: &wide, rows: k, cols: n, row_stride, col_stride };
            let start = if beta == T::ZERO { vec![T::NAN; m * n] } else { values(m * n) };
            let (mut c, mut expected) = (start.clone(), start);
            // Twice for rows of A that are contiguous and columns that are.
            for a in [Matrix::row_major(&a, m, k), Matrix::row_major(&a, k, m).t()] {
                gemm_bf16(a, b, beta, &mut c);
                gemm(a, wide, beta, &mut expected);
                assert_eq!(bits(&c), bits(&expected), "{m} × {k} × {n}, {transposed}, β = {beta}");
            }
        }
    }

    #[test]
    fn bits_are_those_of_the_widened_matrix() {
        for m in [0, 1, 2, 17, 600] {
            for k in [0, 1, 255, 256, 257, 600] {
                for n in [0, 1, 31, 33, 130, 511, 513] {
                    check([m, k, n], 0.0f32);
                }
            }
        }
        for beta in [0.0, 1.0, -0.3] {
            check([1, 300, 1100], beta);
            check([70, 300, 1100], beta);
            check([70, 300, 1100], beta as f32);
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_threads() {
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                check([40, 520, 700], 1.0f32);
                check([700, 520, 40], 1.0f32);
                check([1, 520, 700], 1.0f32);
            });
        }
    }

    #[test]
    fn any_strides_are_read() {
        let b: Vec<Bf16> = values::<f32>(24).into_iter().map(Bf16::round).collect();
        let b = Matrix { data: &b, rows: 3, cols: 2, row_stride: 8, col_stride: 3 };
        for m in [1, 2] {
            let a = vec![1.0f32; m * 3];
            let mut c = vec![0.0; m * 2];
            gemm_bf16(Matrix::row_major(&a, m, 3), b, 0.0, &mut c);
            for (j, c) in c.into_iter().enumerate() {
                let column: f32 = (0..3).map(|i| b.at(i, j % 2).widen::<f32>()).sum();
                assert_eq!(c, column);
            }
        }
    }

    #[test]
    #[should_panic(expected = "past the end of its slice")]
    fn a_matrix_larger_than_its_slice_panics() {
        let b = [1.0f32; 3].map(Bf16::round);
        gemm_bf16(
            Matrix::row_major(&[1.0f32; 2], 1, 2),
            Matrix::row_major(&b, 2, 2),
            0.0,
            &mut [0.0; 2],
        );
    }
}
