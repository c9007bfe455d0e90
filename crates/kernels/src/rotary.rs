//! Rotary position embedding: pairs of elements of each row, rotated by the row's angles.

use crate::elementwise::copy_slice;
use crate::float::Float;
use crate::parallel::{piece, share};
use crate::simd::simd;
use crate::strided::{Nest, View};

/// Which elements of a row are a pair, of the first `2 P` elements for `P` angles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryPairs {
    /// Elements `i` and `i + P`.
    Halves,
    /// Elements `2 i` and `2 i + 1`.
    Adjacent,
}

/// The operands of a rotation. Each row of `width` elements has `angles` angles; the elements of a
/// row are contiguous, and so are its angles.
#[derive(Clone, Copy, Debug)]
pub struct Rotary<'a, T> {
    /// The sizes of the dimensions before that of a row.
    pub rows: &'a [usize],
    /// The elements of a row.
    pub width: usize,
    /// The angles of a row, at most `width / 2`.
    pub angles: usize,
    /// The rows, with strides of the dimensions of `rows`.
    pub x: View<'a, T>,
    /// The cosines of the angles, with such strides.
    pub cos: View<'a, T>,
    /// The sines of the angles, with such strides.
    pub sin: View<'a, T>,
    /// The elements that are rotated by an angle.
    pub pairs: RotaryPairs,
}

/// `(a, b) ← (a cos − b sin, b cos + a sin)` for each pair of each row, row-major in `out`. Elements
/// after the last pair are copied.
///
/// # Panics
/// If `out` does not have the elements of the rows, a row is shorter than its pairs, or an operand
/// is too short.
///
/// ```
/// use adamant_kernels::{Rotary, RotaryPairs, View, rotary};
/// let view = |data| View { data, strides: &[] };
/// let (x, cos, sin) = (view(&[1.0f32, 2.0, 5.0]), view(&[0.0]), view(&[1.0]));
/// let pairs = RotaryPairs::Halves;
/// let mut out = [0.0; 3];
/// rotary(&mut out, Rotary { rows: &[], width: 3, angles: 1, x, cos, sin, pairs });
/// assert_eq!(out, [-2.0, 1.0, 5.0]);
/// ```
pub fn rotary<T: Float>(out: &mut [T], operands: Rotary<'_, T>) {
    let Rotary { rows, width, angles, x, cos, sin, pairs } = operands;
    assert_eq!(out.len(), rows.iter().product::<usize>() * width, "a result for each row");
    assert!(angles <= width / 2, "a row has the elements of its pairs");
    if out.is_empty() {
        return;
    }
    let nest = Nest::new(rows, [x.strides, cos.strides, sin.strides]);
    let strides = nest.inner_strides();
    let count = (piece(out.len()) / width).max(1); // rows in a piece
    let cost = out.len();
    share(out.chunks_mut(count * width).enumerate(), cost, |(piece, out)| {
        let start = piece * count;
        simd!(|| nest.runs(start..start + out.len() / width, |run, starts| {
            for (i, row) in run.enumerate() {
                let [x0, cos0, sin0] = std::array::from_fn(|k| starts[k] + i * strides[k]);
                let out = &mut out[row * width..(row + 1) * width];
                let x = &x.data[x0..x0 + width];
                // Without angles there is no element to start at.
                let [cos0, sin0] = if angles == 0 { [0; 2] } else { [cos0, sin0] };
                let cos = &cos.data[cos0..cos0 + angles];
                let sin = &sin.data[sin0..sin0 + angles];
                match pairs {
                    RotaryPairs::Halves => rotate_halves(out, x, cos, sin),
                    RotaryPairs::Adjacent => rotate_adjacent(out, x, cos, sin),
                }
                copy_slice(&mut out[2 * angles..], &x[2 * angles..]);
            }
        }));
    });
}

#[inline(always)]
fn rotate_halves<T: Float>(out: &mut [T], x: &[T], cos: &[T], sin: &[T]) {
    let (first, second) = out.split_at_mut(cos.len());
    let (a, b) = x.split_at(cos.len());
    for ((((first, second), &a), &b), (&cos, &sin)) in
        first.iter_mut().zip(second).zip(a).zip(b).zip(cos.iter().zip(sin))
    {
        *first = a * cos - b * sin;
        *second = b * cos + a * sin;
    }
}

#[inline(always)]
fn rotate_adjacent<T: Float>(out: &mut [T], x: &[T], cos: &[T], sin: &[T]) {
    let pairs = out.chunks_exact_mut(2).zip(x.chunks_exact(2));
    for ((out, x), (&cos, &sin)) in pairs.zip(cos.iter().zip(sin)) {
        out[0] = x[0] * cos - x[1] * sin;
        out[1] = x[1] * cos + x[0] * sin;
    }
}
