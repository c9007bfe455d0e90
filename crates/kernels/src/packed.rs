//! Products with a matrix that is packed once and used many times, such as the weights of a
//! recurrent net: `matrixmultiply` packs its operands again in each product, which takes as long as
//! a product of few rows.
//!
//! Terms are added in order, by fused multiply-adds where the machine has them, so the bits depend
//! neither on the instruction set nor on how the rows are shared between threads.

use crate::float::Float;
use crate::gemm::Matrix;
use crate::memory::CacheLine;
use crate::simd::{has_fma, simd, vector_bytes};

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
        let width = 2 * vector_bytes() / size_of::<T>();
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
                    for (j, out) in out[..len].iter_mut().enumerate() {
                        *out = b.at(k, first + j);
                    }
                }
            }
        }
        Packed { panels, rows, cols, width, kind: std::marker::PhantomData }
    }

    /// `C ← A B + C`, with `A` `[M, K]` and `C` `[M, N]` row-major.
    ///
    /// # Panics
    /// If the lengths do not match.
    pub(crate) fn add_product(&self, a: &[T], c: &mut [T]) {
        let (k, n) = (self.rows, self.cols);
        if k == 0 || n == 0 {
            return;
        }
        let m = c.len() / n;
        assert_eq!((a.len(), c.len()), (m * k, m * n), "A is M × K and C is M × N");
        match (has_fma(), self.width) {
            (true, 32) => simd!(|| self.tiles::<8, 32, true>(a, c)),
            (true, 16) => simd!(|| self.tiles::<6, 16, true>(a, c)),
            (true, 8) => simd!(|| self.tiles::<6, 8, true>(a, c)),
            (true, 4) => simd!(|| self.tiles::<6, 4, true>(a, c)),
            (false, 8) => self.tiles::<4, 8, false>(a, c),
            (false, 4) => self.tiles::<4, 4, false>(a, c),
            (_, width) => unreachable!("two vectors of {width} elements"),
        }
    }

    /// [`add_product`](Packed::add_product), `MR` rows by `NR` columns at a time.
    #[inline(always)]
    fn tiles<const MR: usize, const NR: usize, const FMA: bool>(&self, a: &[T], c: &mut [T]) {
        let (k, n) = (self.rows, self.cols);
        let elements: &[T] = bytemuck::cast_slice(&self.panels);
        for (p, panel) in elements.chunks_exact(k * NR).take(n.div_ceil(NR)).enumerate() {
            let panel = panel.as_chunks::<NR>().0;
            let first = p * NR;
            let (mut a, mut c) = (a, &mut c[..]);
            while c.len() >= MR * n {
                tile::<T, MR, NR, FMA>(a, panel, c, n, first);
                (a, c) = (&a[MR * k..], &mut c[MR * n..]);
            }
            while c.len() >= 3 * n {
                tile::<T, 3, NR, FMA>(a, panel, c, n, first);
                (a, c) = (&a[3 * k..], &mut c[3 * n..]);
            }
            while !c.is_empty() {
                tile::<T, 1, NR, FMA>(a, panel, c, n, first);
                (a, c) = (&a[k..], &mut c[n..]);
            }
        }
    }
}

/// Adds the products of the first `MR` rows of `A` with a panel to columns of `C` from `first`; the
/// rows of `C` have `n` elements.
#[inline(always)]
fn tile<T: Float, const MR: usize, const NR: usize, const FMA: bool>(
    a: &[T],
    panel: &[[T; NR]],
    c: &mut [T],
    n: usize,
    first: usize,
) {
    let (k, len) = (panel.len(), NR.min(n - first));
    let mut rows = [a; MR];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = &a[i * k..][..k];
    }
    let mut start = [[T::ZERO; NR]; MR];
    for (i, start) in start.iter_mut().enumerate() {
        start[..len].copy_from_slice(&c[i * n + first..][..len]);
    }
    // LLVM keeps `sums` in registers since every index is a constant once the inner loops are
    // unrolled. It turns other forms of these loops into gathers.
    let mut sums = start;
    for p in 0..k {
        let b = panel[p];
        for (sums, row) in sums.iter_mut().zip(rows) {
            let a = row[p];
            for j in 0..NR {
                sums[j] = if FMA { a.mul_add(b[j], sums[j]) } else { a * b[j] + sums[j] };
            }
        }
    }
    let end = sums;
    for (i, end) in end.iter().enumerate() {
        c[i * n + first..][..len].copy_from_slice(&end[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_integers_are_exact() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (21, 7, 70), (16, 40, 64), (2, 0, 3), (0, 3, 2)] {
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
}
