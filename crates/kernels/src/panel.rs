//! Products with panels: the inner loop of convolutions and recurrent nets.
//!
//! A panel is some [`width`](Panels::panel_width) of columns of a matrix, stored row by row. The
//! product of a few rows with a panel reads contiguous memory and keeps its sums in registers.

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

    /// `c[i · c_stride + j] ← c[i · c_stride + j] + Σₖ a[i · a_stride + k] · panel[k][j]` for `j`
    /// below `len`, and for as many rows `i` as start within `c`.
    ///
    /// The terms are summed in order by fused multiply-adds if the machine has them. Callers add
    /// long sums in parts of [`TERMS`]: it limits the rounding error, and such a panel fits into the
    /// L1 cache.
    #[doc(hidden)]
    fn add_product(a: (&[Self], usize), panel: &[Self], c: (&mut [Self], usize), len: usize);

    /// [`add_product`](Self::add_product) for a `c` of zeros, which is not read.
    #[doc(hidden)]
    fn set_product(a: (&[Self], usize), panel: &[Self], c: (&mut [Self], usize), len: usize);

    /// The outputs of a panel of Winograd's tiles.
    #[doc(hidden)]
    fn transform_output(m: &[Self], out: &mut [Self]);
}

macro_rules! panels {
    ($t:ident) => {
        // Compiled here, with this crate's optimization level, and not in the caller's crate.
        impl Panels for $t {
            fn add_product(a: (&[$t], usize), panel: &[$t], c: (&mut [$t], usize), len: usize) {
                product::<$t>(a, panel, c, len, |c, sum| c + sum);
            }

            fn set_product(a: (&[$t], usize), panel: &[$t], c: (&mut [$t], usize), len: usize) {
                product::<$t>(a, panel, c, len, |_, sum| sum);
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
    c: (&mut [T], usize),
    len: usize,
    store: impl Fn(T, T) -> T + Copy,
) {
    match (has_fma(), T::panel_width()) {
        (true, 32) => simd!(|| product_of::<T, 8, 32, true>(a, panel, c, len, store)),
        (true, 16) => simd!(|| product_of::<T, 6, 16, true>(a, panel, c, len, store)),
        (true, 8) => simd!(|| product_of::<T, 6, 8, true>(a, panel, c, len, store)),
        (true, 4) => simd!(|| product_of::<T, 6, 4, true>(a, panel, c, len, store)),
        (false, 8) => product_of::<T, 4, 8, false>(a, panel, c, len, store),
        (false, 4) => product_of::<T, 4, 4, false>(a, panel, c, len, store),
        (_, width) => unreachable!("two vectors of {width} elements"),
    }
}

/// [`product`], `MR` rows by `NR` columns at a time.
#[inline(always)]
fn product_of<T: Float, const MR: usize, const NR: usize, const FMA: bool>(
    (a, a_stride): (&[T], usize),
    panel: &[T],
    (c, c_stride): (&mut [T], usize),
    len: usize,
    store: impl Fn(T, T) -> T + Copy,
) {
    let panel = panel.as_chunks::<NR>().0;
    let (rows, strides) = (c.len().div_ceil(c_stride), [a_stride, c_stride]);
    let row = tiles::<T, MR, NR, FMA>(a, panel, c, strides, len, 0..rows, store);
    let row = tiles::<T, 4, NR, FMA>(a, panel, c, strides, len, row..rows, store);
    let row = tiles::<T, 2, NR, FMA>(a, panel, c, strides, len, row..rows, store);
    tiles::<T, 1, NR, FMA>(a, panel, c, strides, len, row..rows, store);
}

/// Tiles of `MR` rows, as long as that many are left. Returns the next row.
#[inline(always)]
fn tiles<T: Float, const MR: usize, const NR: usize, const FMA: bool>(
    a: &[T],
    panel: &[[T; NR]],
    c: &mut [T],
    [a_stride, c_stride]: [usize; 2],
    len: usize,
    rows: Range<usize>,
    store: impl Fn(T, T) -> T + Copy,
) -> usize {
    let mut row = rows.start;
    while rows.end - row >= MR {
        let (a, c) = (&a[row * a_stride..], &mut c[row * c_stride..]);
        let sums = tile::<T, MR, NR, FMA>(a, panel, a_stride);
        for (i, sums) in sums.iter().enumerate() {
            let c = &mut c[i * c_stride..][..len];
            c.iter_mut().zip(sums).for_each(|(c, &sum)| *c = store(*c, sum));
        }
        row += MR;
    }
    row
}

/// The products of `MR` rows of `A` with a part of a panel.
#[inline(always)]
fn tile<T: Float, const MR: usize, const NR: usize, const FMA: bool>(
    a: &[T],
    panel: &[[T; NR]],
    a_stride: usize,
) -> [[T; NR]; MR] {
    let k = panel.len();
    let mut rows = [a; MR];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = &a[i * a_stride..][..k];
    }
    // LLVM keeps `sums` in registers since every index is a constant once the inner loops are
    // unrolled. It turns other forms of these loops into gathers.
    let mut sums = [[T::ZERO; NR]; MR];
    for p in 0..k {
        let b = panel[p];
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
