//! Products with a matrix that is packed once and used many times, such as the weights of a
//! recurrent net: `matrixmultiply` packs its operands again in each product, which takes as long as
//! a product of few rows.
//!
//! The bits are those of `matrixmultiply`: terms are added in order by fused multiply-adds, in parts
//! of [`TERMS`], and the sum of each part is added to the result.

use crate::block::Block;
use crate::float::Float;
use crate::gemm::Matrix;
use crate::memory::CacheLine;
use crate::packing::TERMS;

/// A matrix `[K, N]` in panels of columns: the rows of a panel are contiguous, and the last panel is
/// filled up with zeros.
pub(crate) struct Packed<T> {
    panels: Vec<CacheLine>,
    rows: usize,
    cols: usize,
    /// Columns in a panel: two vectors.
    width: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T: Float> Packed<T> {
    pub(crate) fn new(b: Matrix<'_, T>) -> Self {
        let Matrix { rows, cols, row_stride, col_stride, .. } = b;
        let width = T::panel_width();
        let count = cols.div_ceil(width);
        let bytes = count * rows * width * size_of::<T>();
        let mut panels = vec![CacheLine::ZERO; bytes.div_ceil(CacheLine::BYTES)];
        let elements: &mut [T] = bytemuck::cast_slice_mut(&mut panels);
        for (p, panel) in elements.chunks_mut((rows * width).max(1)).take(count).enumerate() {
            let (first, len) = (p * width, width.min(cols - p * width));
            if row_stride == 1 {
                // Column by column, since these are contiguous.
                for j in 0..len {
                    let column = &b.data[(first + j) * col_stride..][..rows];
                    for (out, &b) in panel[j..].iter_mut().step_by(width).zip(column) {
                        *out = b;
                    }
                }
            } else {
                for (k, out) in panel.chunks_exact_mut(width).enumerate() {
                    let row = b.data[k * row_stride + first * col_stride..].iter();
                    let row = row.step_by(col_stride).take(len);
                    out.iter_mut().zip(row).for_each(|(out, &b)| *out = b);
                }
            }
        }
        Packed { panels, rows, cols, width, kind: std::marker::PhantomData }
    }

    /// `C ← C + A B`, with `A` `[M, K]` and `C` `[M, N]` row-major.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub(crate) fn add_product(&self, a: &[T], c: &mut [T]) {
        let (k, n) = (self.rows, self.cols);
        if k == 0 || c.is_empty() {
            return;
        }
        let m = c.len() / n;
        assert_eq!((a.len(), c.len()), (m * k, m * n), "A is M × K and C is M × N");
        let elements: &[T] = bytemuck::cast_slice(&self.panels);
        let panels = elements.chunks_exact(k * self.width).take(n.div_ceil(self.width));
        for (p, panel) in panels.enumerate() {
            let first = p * self.width;
            for (part, panel) in panel.chunks(TERMS * self.width).enumerate() {
                let c = Block::new(&mut c[first..], n, self.width.min(n - first));
                T::product((&a[part * TERMS..], k), panel, c, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::gemm;
    use crate::simd::has_fma;

    #[test]
    fn products_of_integers_are_exact() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (21, 7, 70), (16, 40, 64), (2, 0, 3), (0, 3, 70)] {
            let values =
                |len: usize| -> Vec<f64> { (0..len).map(|i| ((i * 7) % 13) as f64).collect() };
            let (a, b) = (values(m * k), values(k * n));
            for transposed in [false, true] {
                let strides = if transposed { (1, k) } else { (n, 1) };
                let (row_stride, col_stride) = strides;
                let b = Matrix { data: &b, rows: k, cols: n, row_stride, col_stride };
                let mut c = vec![2.0; m * n];
                Packed::new(b).add_product(&a, &mut c);
                for i in 0..m {
                    for j in 0..n {
                        let product: f64 = (0..k).map(|p| a[i * k + p] * b.at(p, j)).sum();
                        assert_eq!(c[i * n + j], product + 2.0, "{m} × {k} × {n} at [{i}, {j}]");
                    }
                }
            }
        }
    }

    #[test]
    fn bits_are_those_of_other_products() {
        if !has_fma() {
            return;
        }
        for (m, k, n) in [(23, 19, 70), (3, 256, 33), (9, 600, 40)] {
            let value = |i: usize| ((i * 7919) % 10_007) as f32 / 3000.0 - 1.5;
            let values = |count: usize| (0..count).map(value).collect::<Vec<_>>();
            let (a, b) = (values(m * k), values(k * n));
            let b = Matrix::row_major(&b, k, n);
            let (mut one, mut other) = (values(m * n), values(m * n));
            Packed::new(b).add_product(&a, &mut one);
            gemm(Matrix::row_major(&a, m, k), b, 1.0, &mut other);
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&one), bits(&other), "{m} × {k} × {n}");
        }
    }
}
