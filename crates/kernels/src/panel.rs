//! Products with panels: the inner loop of convolutions.
//!
//! A panel is some [`width`](Panels::panel_width) of columns of a matrix, stored row by row. The
//! product of a few rows with a panel reads contiguous memory and keeps its sums in registers.

use crate::conv::transform_output;
use crate::float::Float;
use crate::simd::{has_avx512, simd};

/// Rows of the result that are summed at once.
const ROWS: usize = 4;
/// The most terms that callers sum before they add the sum to the result: it limits the rounding
/// error of long sums, and a panel of this many rows fits into the L1 cache.
pub(crate) const TERMS: usize = 256;

/// The product of rows and a panel. Not exported: a bound of [`Float`].
pub trait Panels: Sized {
    /// The number of columns of a panel: two of the widest vectors of this machine. The bits of a
    /// product do not depend on it.
    #[doc(hidden)]
    fn panel_width() -> usize;

    /// `out[i][j] ← Σₖ a[i · stride + k] · panel[k][j]`, added to `out` if `add`: `panel` and `out`
    /// are row-major with [`panel_width`](Self::panel_width) columns, and the terms are summed in
    /// order by fused multiply-adds.
    #[doc(hidden)]
    fn rows_times_panel(a: &[Self], stride: usize, panel: &[Self], out: &mut [Self], add: bool) {
        Self::spread_rows_times_panel(a, stride, panel, out, 1, add);
    }

    /// [`rows_times_panel`](Self::rows_times_panel) to rows of `out` that are `step` rows apart.
    #[doc(hidden)]
    fn spread_rows_times_panel(
        a: &[Self],
        stride: usize,
        panel: &[Self],
        out: &mut [Self],
        step: usize,
        add: bool,
    );

    /// The outputs of a panel of Winograd's tiles.
    #[doc(hidden)]
    fn transform_output(m: &[Self], out: &mut [Self]);
}

macro_rules! panels {
    ($t:ident, $wide:literal, $narrow:literal) => {
        // Compiled here, with this crate's optimization level, and not in the caller's crate.
        impl Panels for $t {
            fn panel_width() -> usize {
                if has_avx512() { $wide } else { $narrow }
            }

            fn spread_rows_times_panel(
                a: &[$t],
                stride: usize,
                panel: &[$t],
                out: &mut [$t],
                step: usize,
                add: bool,
            ) {
                if has_avx512() {
                    simd!(|| rows_times_panel::<$t, $wide>(a, stride, panel, out, step, add));
                } else {
                    simd!(|| rows_times_panel::<$t, $narrow>(a, stride, panel, out, step, add));
                }
            }

            fn transform_output(m: &[$t], out: &mut [$t]) {
                if has_avx512() {
                    simd!(|| transform_output::<$t, $wide>(m, out));
                } else {
                    simd!(|| transform_output::<$t, $narrow>(m, out));
                }
            }
        }
    };
}

panels!(f32, 32, 16);
panels!(f64, 16, 8);

#[inline(always)]
fn rows_times_panel<T: Float, const N: usize>(
    a: &[T],
    stride: usize,
    panel: &[T],
    out: &mut [T],
    step: usize,
    add: bool,
) {
    let (panel, out) = (panel.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    for (tile, out) in out.chunks_mut(ROWS * step).enumerate() {
        // A short last tile repeats its last row.
        let last = (out.len() - 1) / step;
        let row = |i: usize| (tile * ROWS + i.min(last)) * stride;
        let rows: [&[T]; ROWS] = std::array::from_fn(|i| &a[row(i)..][..panel.len()]);
        let mut sums = [[T::ZERO; N]; ROWS];
        for (k, b) in panel.iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(rows) {
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum = row[k].mul_add(b, *sum);
                }
            }
        }
        for (out, sums) in out.iter_mut().step_by(step).zip(sums) {
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = if add { *out + sum } else { sum };
            }
        }
    }
}

/// Writes the transpose of rows of `len` elements, which start `stride` apart, as a panel of `width`
/// columns. Columns without a row are 0.
#[inline(always)]
pub(crate) fn transpose_into_panel<T: Float>(
    panel: &mut [T],
    width: usize,
    rows: &[T],
    stride: usize,
    len: usize,
) {
    const SIDE: usize = 8; // of a block that is transposed in registers
    let count = rows.len().div_ceil(stride);
    panel[..len * width].chunks_exact_mut(width).for_each(|row| row[count..].fill(T::ZERO));
    for column in (0..count).step_by(SIDE) {
        for at in (0..len).step_by(SIDE) {
            let (columns, elements) = (SIDE.min(count - column), SIDE.min(len - at));
            let from = |i: usize| (column + i) * stride + at;
            if (columns, elements) == (SIDE, SIDE) {
                let mut block = [[T::ZERO; SIDE]; SIDE];
                for (i, row) in block.iter_mut().enumerate() {
                    *row = rows[from(i)..][..SIDE].try_into().expect("as many elements");
                }
                for j in 0..SIDE {
                    let out = &mut panel[(at + j) * width + column..][..SIDE];
                    for i in 0..SIDE {
                        out[i] = block[i][j];
                    }
                }
            } else {
                for (i, j) in (0..columns).flat_map(|i| (0..elements).map(move |j| (i, j))) {
                    panel[(at + j) * width + column + i] = rows[from(i) + j];
                }
            }
        }
    }
}
