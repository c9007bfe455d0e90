//! Products with panels: the inner loop of convolutions and recurrent nets.
//!
//! A panel is some [`width`](Panels::panel_width) of columns of a matrix, stored row by row. The
//! product of a few rows with a panel reads contiguous memory and keeps its sums in registers.

use crate::block::Block;
use crate::conv::transform_output;
use crate::float::Float;
use crate::simd::{has_fma, simd, vector_bytes};
use std::ops::Range;

pub(crate) use crate::packing::TERMS;

/// The product of rows and a panel. Not exported: a bound of [`Float`].
pub trait Panels: Sized {
    /// The number of columns of a panel: two of the widest vectors of this machine. The bits of a
    /// product do not depend on it.
    #[doc(hidden)]
    fn panel_width() -> usize {
        2 * vector_bytes() / size_of::<Self>()
    }

    /// `c[i][j] ← Σₖ a[i · stride + k] · panel[k][j]`, plus the old `c[i][j]` if `adds`. `a` is a slice
    /// and the distance between its rows.
    ///
    /// The terms are summed in order by fused multiply-adds if the machine has them. Callers add
    /// long sums in parts of [`TERMS`]: it limits the rounding error, and such a panel fits into the
    /// L1 cache.
    #[doc(hidden)]
    fn product(a: (&[Self], usize), panel: &[Self], c: Block<'_, Self>, adds: bool);

    /// [`product`](Self::product) for a `c` that is not in the cache: it is loaded while the terms are
    /// summed.
    #[doc(hidden)]
    fn far_product(a: (&[Self], usize), panel: &[Self], c: Block<'_, Self>, adds: bool);

    /// The outputs of a panel of Winograd's tiles.
    #[doc(hidden)]
    fn transform_output(m: &[Self], out: &mut [Self]);
}

macro_rules! panels {
    ($t:ident) => {
        // Compiled here, with this crate's optimization level, and not in the caller's crate.
        impl Panels for $t {
            fn product(a: (&[$t], usize), panel: &[$t], c: Block<'_, $t>, adds: bool) {
                // Two loops: the second does not read `c`.
                match adds {
                    true => product::<$t>(a, panel, c, |_, _| (), |c, sum| c + sum),
                    false => product::<$t>(a, panel, c, |_, _| (), |_, sum| sum),
                }
            }

            fn far_product(a: (&[$t], usize), panel: &[$t], c: Block<'_, $t>, adds: bool) {
                product::<$t>(
                    a,
                    panel,
                    c,
                    |c, row| c.prefetch(row),
                    |c, sum| if adds { c + sum } else { sum },
                );
            }

            fn transform_output(m: &[$t], out: &mut [$t]) {
                match Self::panel_width() {
                    32 => simd!(|| transform_output::<$t, 32>(m, out)),
                    16 => simd!(|| transform_output::<$t, 16>(m, out)),
                    8 => simd!(|| transform_output::<$t, 8>(m, out)),
                    4 => simd!(|| transform_output::<$t, 4>(m, out)),
                    width => unreachable!("two vectors of {width} elements"),
                }
            }
        }
    };
}

panels!(f32);
panels!(f64);

/// Computes each element of `C` by `store` from itself and the sum of its terms.
fn product<T: Float>(
    a: (&[T], usize),
    panel: &[T],
    c: Block<'_, T>,
    prefetch: impl Fn(&Block<'_, T>, usize) + Copy,
    store: impl Fn(T, T) -> T + Copy,
) {
    assert!(c.cols() <= T::panel_width(), "columns of a panel");
    match (has_fma(), T::panel_width(), c.cols()) {
        (true, 32, 0..=16) => {
            simd!(|| product_of::<T, 12, 16, 32, true>(a, panel, c, prefetch, store));
        }
        (true, 32, _) => simd!(|| product_of::<T, 8, 32, 32, true>(a, panel, c, prefetch, store)),
        (true, 16, 0..=8) => {
            simd!(|| product_of::<T, 12, 8, 16, true>(a, panel, c, prefetch, store));
        }
        (true, 16, _) => simd!(|| product_of::<T, 6, 16, 16, true>(a, panel, c, prefetch, store)),
        (true, 8, _) => simd!(|| product_of::<T, 6, 8, 8, true>(a, panel, c, prefetch, store)),
        (true, 4, _) => simd!(|| product_of::<T, 6, 4, 4, true>(a, panel, c, prefetch, store)),
        (false, 8, _) => product_of::<T, 4, 8, 8, false>(a, panel, c, prefetch, store),
        (false, 4, _) => product_of::<T, 4, 4, 4, false>(a, panel, c, prefetch, store),
        (_, width, _) => unreachable!("two vectors of {width} elements"),
    }
}

/// [`product`] with the first `NR` columns of a panel of `WIDTH`, `MR` rows at a time.
#[inline(always)]
fn product_of<T: Float, const MR: usize, const NR: usize, const WIDTH: usize, const FMA: bool>(
    (a, stride): (&[T], usize),
    panel: &[T],
    mut c: Block<'_, T>,
    prefetch: impl Fn(&Block<'_, T>, usize) + Copy,
    store: impl Fn(T, T) -> T + Copy,
) {
    let panel = panel.as_chunks::<WIDTH>().0;
    let (rows, c) = (c.rows(), &mut c);
    let row = tiles::<T, MR, NR, WIDTH, FMA>(a, stride, panel, c, 0..rows, prefetch, store);
    let row = tiles::<T, 4, NR, WIDTH, FMA>(a, stride, panel, c, row..rows, prefetch, store);
    let row = tiles::<T, 2, NR, WIDTH, FMA>(a, stride, panel, c, row..rows, prefetch, store);
    tiles::<T, 1, NR, WIDTH, FMA>(a, stride, panel, c, row..rows, prefetch, store);
}

/// Tiles of `MR` rows, as long as that many are left. Returns the next row.
#[inline(always)]
fn tiles<T: Float, const MR: usize, const NR: usize, const WIDTH: usize, const FMA: bool>(
    a: &[T],
    stride: usize,
    panel: &[[T; WIDTH]],
    c: &mut Block<'_, T>,
    rows: Range<usize>,
    prefetch: impl Fn(&Block<'_, T>, usize) + Copy,
    store: impl Fn(T, T) -> T + Copy,
) -> usize {
    let mut row = rows.start;
    while rows.end - row >= MR {
        (row..row + MR).for_each(|row| prefetch(c, row));
        let sums = tile::<T, MR, NR, WIDTH, FMA>(&a[row * stride..], stride, panel);
        for (i, sums) in sums.iter().enumerate() {
            let c = c.row(row + i);
            c.iter_mut().zip(sums).for_each(|(c, &sum)| *c = store(*c, sum));
        }
        row += MR;
    }
    row
}

/// The products of `MR` rows of `A` with a part of a panel.
#[inline(always)]
fn tile<T: Float, const MR: usize, const NR: usize, const WIDTH: usize, const FMA: bool>(
    a: &[T],
    stride: usize,
    panel: &[[T; WIDTH]],
) -> [[T; NR]; MR] {
    let k = panel.len();
    let mut rows = [a; MR];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = &a[i * stride..][..k];
    }
    // LLVM keeps `sums` in registers since every index is a constant once the inner loops are
    // unrolled. It turns other forms of these loops into gathers.
    let mut sums = [[T::ZERO; NR]; MR];
    for p in 0..k {
        let b = &panel[p];
        for (sums, row) in sums.iter_mut().zip(rows) {
            let a = row[p];
            for j in 0..NR {
                sums[j] = if FMA { a.mul_add(b[j], sums[j]) } else { a * b[j] + sums[j] };
            }
        }
    }
    sums // by value: the caller's indices are not constants, and would keep `sums` in memory
}

/// Writes the transpose of `count` rows of `len` elements, which start `stride` apart, as a panel of
/// `width` columns. Columns without a row are 0.
#[inline(always)]
pub(crate) fn transpose_into_panel<T: Float>(
    panel: &mut [T],
    width: usize,
    rows: &[T],
    stride: usize,
    [count, len]: [usize; 2],
) {
    const SIDE: usize = 4; // of a block that is transposed in registers
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
