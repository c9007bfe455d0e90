//! Matrix products by panels of B. Rows of A pass by each of them.
//!
//! The bits are those of `matrixmultiply`: terms are added in order by fused multiply-adds, in parts
//! of [`TERMS`], and the sum of each part is added to the result.

use crate::block::{Block, parts};
use crate::float::Float;
use crate::gemm::Matrix;
use crate::memory::CacheLine;
use crate::packing::TERMS;
use crate::panel::transpose_into_panel;
use crate::simd::{has_fma, simd};
use std::cell::Cell;

thread_local! {
    /// Panels of B and rows of A.
    static BUFFER: Cell<Vec<CacheLine>> = const { Cell::new(Vec::new()) };
}

/// Rows of A and columns of B that are multiplied together; of B, they are copied.
const ROWS: usize = 128;
const COLUMNS: usize = 1024;

/// The distance between copied rows of A: no multiple of a large power of two.
const PITCH: usize = TERMS + 16;

/// With fewer terms and more rows, `matrixmultiply` is faster.
const MANY_TERMS: usize = 128;

/// Whether [`product`] computes `A B + β C`, and faster than `matrixmultiply`.
pub(crate) fn is_suitable<T: Float>(a: &Matrix<'_, T>, b: &Matrix<'_, T>, beta: T) -> bool {
    let are_contiguous = a.col_stride == 1 && (b.col_stride == 1 || b.row_stride == 1);
    let is_fast = a.rows <= ROWS || a.cols >= MANY_TERMS;
    has_fma() && are_contiguous && is_fast && (beta == T::ZERO || beta == T::ONE)
}

/// `C ← A B`, or `C ← A B + C`.
pub(crate) fn product<T: Float>(
    mut c: Block<'_, T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    adds: bool,
) {
    if b.rows == 0 && !adds {
        return (0..a.rows).for_each(|row| c.row(row).fill(T::ZERO));
    }
    let width = T::panel_width();
    // With one part of A, each panel is used once: right after it is copied, from the L1 cache.
    let columns = if a.rows <= ROWS { width } else { COLUMNS };
    // Rows a multiple of a large power of two apart evict each other from the L1 cache.
    let copies_rows = a.rows > ROWS && a.row_stride.is_multiple_of(TERMS);

    let panels_len = b.rows.min(TERMS) * b.cols.min(columns).next_multiple_of(width);
    let rows_len = if copies_rows { ROWS * PITCH } else { 0 };
    let bytes = (panels_len + rows_len) * size_of::<T>();
    let lines = bytes.div_ceil(CacheLine::BYTES);
    let mut buffer = BUFFER.take();
    buffer.resize(buffer.len().max(lines), CacheLine::ZERO);
    let (panels, some_rows) = bytemuck::cast_slice_mut(&mut buffer).split_at_mut(panels_len);
    for cols in parts(0..b.cols, columns) {
        for terms in parts(0..b.rows, TERMS) {
            let b = b.part(terms.clone(), cols.clone());
            simd!(|| read_panels(b, panels, width));
            for rows in parts(0..a.rows, ROWS) {
                let a = a.part(rows.clone(), terms.clone());
                let a = if copies_rows {
                    simd!(|| read_rows(a, some_rows));
                    (&*some_rows, PITCH)
                } else {
                    (a.data, a.row_stride)
                };
                let mut c = c.part(rows, cols.clone());
                let panels = panels.chunks_exact(terms.len() * width);
                for (panel, cols) in panels.zip(parts(0..b.cols, width)) {
                    let c = c.part(0..c.rows(), cols);
                    T::far_product(a, panel, c, adds || terms.start > 0);
                }
            }
        }
    }
    BUFFER.set(buffer);
}

/// Copies a matrix to panels. The last columns of the last one are 0 if the matrix has too few.
#[inline(always)]
fn read_panels<T: Float>(b: Matrix<'_, T>, panels: &mut [T], width: usize) {
    let panel_len = b.rows * width;
    if b.row_stride == 1 && b.col_stride != 1 {
        for (panel, cols) in panels.chunks_exact_mut(panel_len).zip(parts(0..b.cols, width)) {
            let columns = &b.data[cols.start * b.col_stride..];
            transpose_into_panel(panel, width, columns, b.col_stride, [cols.len(), b.rows]);
        }
        return;
    }
    // Row by row: the rows of B may be far apart in memory.
    for k in 0..b.rows {
        let row = &b.data[k * b.row_stride..][..b.cols];
        for (panel, some) in panels.chunks_exact_mut(panel_len).zip(row.chunks(width)) {
            let out = &mut panel[k * width..][..width];
            out.iter_mut().zip(some).for_each(|(out, &b)| *out = b);
            out[some.len()..].fill(T::ZERO);
        }
    }
}

/// Copies the rows of a matrix.
#[inline(always)]
fn read_rows<T: Float>(a: Matrix<'_, T>, rows: &mut [T]) {
    for (i, row) in rows.chunks_exact_mut(PITCH).take(a.rows).enumerate() {
        let a = &a.data[i * a.row_stride..][..a.cols];
        row.iter_mut().zip(a).for_each(|(row, &a)| *row = a);
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
    fn many_rows_have_the_same_bits() {
        for [m, k, n] in [[129, 128, 33], [300, 600, 70], [200, 300, 1100]] {
            for a_stride in [k, 1024, 1027] {
                for b_strides in [[n, 1], [1, k]] {
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
