//! Matrix products with few rows, such as those of a layer and a small batch.
//!
//! `matrixmultiply` packs both operands. With few rows, that is a large share of the time. Here A is
//! read where it is, and one panel of B is copied at a time.
//!
//! The bits are those of `matrixmultiply`: terms are added in order by fused multiply-adds, in parts
//! of [`TERMS`], and the sum of each part is added to the result.

use crate::float::Float;
use crate::gemm::{Block, Matrix};
use crate::memory::CacheLine;
use crate::packing::TERMS;
use crate::panel::transpose_into_panel;
use crate::simd::{has_fma, simd};
use std::cell::Cell;
use std::ops::Range;

thread_local! {
    /// A panel of B and the sums of a panel of C.
    static BUFFER: Cell<Vec<CacheLine>> = const { Cell::new(Vec::new()) };
}

/// With more rows, packing A is faster.
const ROWS: usize = 128;

/// Whether [`product`] computes `A B + β C`, and faster than `matrixmultiply`.
pub(crate) fn is_suitable<T: Float>(a: &Matrix<'_, T>, b: &Matrix<'_, T>, beta: T) -> bool {
    let are_contiguous = a.col_stride == 1 && (b.col_stride == 1 || b.row_stride == 1);
    has_fma() && a.rows <= ROWS && are_contiguous && (beta == T::ZERO || beta == T::ONE)
}

/// `C ← A B`, or `C ← A B + C`, for the columns `cols` of C and the rows of its block.
pub(crate) fn product<T: Float>(
    block: &mut Block<'_, T>,
    cols: Range<usize>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    adds: bool,
) {
    let width = T::panel_width();
    let mut buffer = BUFFER.take();
    let len = (TERMS + ROWS) * width * size_of::<T>();
    buffer.resize(len / CacheLine::BYTES, CacheLine::ZERO);
    let (panel, sums) = bytemuck::cast_slice_mut(&mut buffer).split_at_mut(TERMS * width);
    let sums = &mut sums[..a.rows * width];
    for first in (0..b.cols).step_by(width) {
        let len = width.min(b.cols - first);
        let (b, cols) = (b.cols_from(first, len), cols.start + first..cols.start + first + len);
        if adds {
            for (i, sums) in sums.chunks_exact_mut(width).enumerate() {
                sums[..len].copy_from_slice(block.row(i, cols.clone()));
            }
        } else if b.rows == 0 {
            sums.fill(T::ZERO);
        }
        for k in (0..b.rows).step_by(TERMS) {
            let terms = TERMS.min(b.rows - k);
            let panel = &mut panel[..terms * width];
            simd!(|| read_panel(b.rows_from(k, terms), panel, width));
            let a = (&a.data[k..], a.row_stride);
            if adds || k > 0 {
                T::add_product(a, panel, (sums, width), width);
            } else {
                T::set_product(a, panel, (sums, width), width);
            }
        }
        for (i, sums) in sums.chunks_exact(width).enumerate() {
            block.row(i, cols.clone()).copy_from_slice(&sums[..len]);
        }
    }
    BUFFER.set(buffer);
}

/// Copies a matrix to a panel, whose other columns are 0.
#[inline(always)]
fn read_panel<T: Float>(b: Matrix<'_, T>, panel: &mut [T], width: usize) {
    if b.row_stride == 1 && b.col_stride != 1 {
        return transpose_into_panel(panel, width, b.data, b.col_stride, [b.cols, b.rows]);
    }
    for (k, row) in panel.chunks_exact_mut(width).enumerate() {
        let (some, rest) = row.split_at_mut(b.cols);
        some.copy_from_slice(&b.data[k * b.row_stride..][..b.cols]);
        rest.fill(T::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::gemm;

    /// Compares the bits with those of `matrixmultiply`.
    fn check<T: Float>([m, k, n]: [usize; 3], a_stride: usize, b_strides: [usize; 2], beta: T) {
        let values = |count: usize| -> Vec<T> {
            (0..count).map(|i| T::from_f64(((i * 7919) % 10_007) as f64 / 3000.0 - 1.5)).collect()
        };
        let [row_stride, col_stride] = b_strides;
        let (a, b) = (values(m * a_stride + k), values(k * row_stride + n * col_stride));
        let a = Matrix { data: &a, rows: m, cols: k, row_stride: a_stride, col_stride: 1 };
        let b = Matrix { data: &b, rows: k, cols: n, row_stride, col_stride };
        assert!(!has_fma() || is_suitable(&a, &b, beta));
        let mut c = if beta == T::ZERO { vec![T::NAN; m * n] } else { values(m * n) };
        let mut expected = c.clone();
        gemm(a, b, beta, &mut c);
        // SAFETY: the slices have the elements of the matrices, and `expected` is borrowed mutably.
        unsafe {
            T::gemm_raw(
                m,
                k,
                n,
                (a.data.as_ptr(), a.row_stride, a.col_stride),
                (b.data.as_ptr(), b.row_stride, b.col_stride),
                beta,
                (expected.as_mut_ptr(), n, 1),
            );
        }
        let bits = |x: &[T]| x.iter().map(|x| x.to_f64().to_bits()).collect::<Vec<_>>();
        assert_eq!(
            bits(&c),
            bits(&expected),
            "{m} × {k} × {n}, {a_stride}, {b_strides:?}, β = {beta}"
        );
    }

    #[test]
    fn operands_may_repeat_and_overlap() {
        for [m, k, n] in [[2, 5, 3], [20, 300, 70]] {
            for a_stride in [0, 1, k + 3] {
                for b_strides in [[0, 1], [1, 0], [1, 2], [1, 1], [2, 1], [1, k + 3], [n + 3, 1]] {
                    check([m, k, n], a_stride, b_strides, 0.0f32);
                    check([m, k, n], a_stride, b_strides, 1.0f64);
                }
            }
        }
    }

    #[test]
    fn bits_are_those_of_matrixmultiply() {
        for m in [2, 9, 64, 127, 128] {
            for k in [0, 1, 5, 255, 256, 257, 600] {
                for n in [2, 10, 32, 33, 100] {
                    for b_strides in [[n, 1], [1, k]] {
                        check([m, k, n], k, b_strides, 0.0f32);
                        check([m, k, n], k, b_strides, 1.0f32);
                        check([m, k, n], k, b_strides, 0.0f64);
                        check([m, k, n], k, b_strides, 1.0f64);
                    }
                }
            }
        }
    }
}
