//! Sine, cosine and arctangent in `f32`, as branch-free arithmetic in `f64` (see
//! [`exponential`](crate::exponential)).

use crate::elementwise::map_dense;
use crate::float::Float;
use crate::parallel::{piece, share};
use crate::simd::simd;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, PI};

/// The sine and the cosine of slices.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Trigonometric: Sized {
    /// `out[i] ← sin x[i]`
    fn sines(out: &mut [Self], x: &[Self]);
    /// `out[i] ← cos x[i]`
    fn cosines(out: &mut [Self], x: &[Self]);
}

impl Trigonometric for f32 {
    fn sines(out: &mut [f32], x: &[f32]) {
        waves::<0>(out, x, f32::sin);
    }

    fn cosines(out: &mut [f32], x: &[f32]) {
        waves::<1>(out, x, f32::cos);
    }
}

impl Trigonometric for f64 {
    fn sines(out: &mut [f64], x: &[f64]) {
        map_dense(out, x, f64::sin);
    }

    fn cosines(out: &mut [f64], x: &[f64]) {
        map_dense(out, x, f64::cos);
    }
}

/// `out[i] ← sin x[i]`
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut out = [1.0f32];
/// adamant_kernels::sin(&mut out, &[0.0]);
/// assert_eq!(out, [0.0]);
/// ```
pub fn sin<T: Float>(out: &mut [T], x: &[T]) {
    T::sines(out, x);
}

/// `out[i] ← cos x[i]`
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// let mut out = [0.0f32];
/// adamant_kernels::cos(&mut out, &[0.0]);
/// assert_eq!(out, [1.0]);
/// ```
pub fn cos<T: Float>(out: &mut [T], x: &[T]) {
    T::cosines(out, x);
}

/// The sine of angles plus a number of quarter turns; beyond [`FAR`], `exact` instead.
fn waves<const QUARTERS: u64>(out: &mut [f32], x: &[f32], exact: fn(f32) -> f32) {
    assert_eq!(out.len(), x.len(), "operands of one length");
    let (cost, piece) = (out.len().saturating_mul(8), piece(out.len()));
    share(out.chunks_mut(piece).zip(x.chunks(piece)), cost, |(out, x)| {
        let is_far = |x: f32| x.abs() > FAR;
        let any_far = simd!(|| {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = near::<QUARTERS>(x);
            }
            x.iter().fold(false, |any, &x| any | is_far(x))
        });
        if any_far {
            let far = out.iter_mut().zip(x).filter(|&(_, &x)| is_far(x));
            far.for_each(|(out, &x)| *out = exact(x));
        }
    });
}

/// Up to here, the number of quarter turns in an angle is exact, and `π/2` in two parts has enough
/// digits for the remainder.
const FAR: f32 = 1e15;
/// What is missing from `FRAC_PI_2`.
const REST: f64 = 6.123_233_995_736_766e-17;
/// `1.5 · 2⁵²`: adding it rounds to an integer, which lies in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// The polynomials in `r²` of `sin(r)/r − 1` and of `cos(r) − 1`, divided by `r²`, for |r| up to
/// `π/4`, with errors below 2⁻³⁷ (FreeBSD's `k_sinf.c` and `k_cosf.c`).
const SINE: [f64; 4] = [
    2.718_311_493_989_822e-6,
    -1.983_933_483_609_663_2e-4,
    8.333_329_385_889_463e-3,
    -0.166_666_666_416_265_24,
];
const COSINE: [f64; 4] = [
    2.439_044_879_627_741e-5,
    -1.388_676_377_460_993e-3,
    4.166_662_332_373_906e-2,
    -0.499_999_997_251_031,
];

/// The sine of `x` plus a number of quarter turns, for |x| up to [`FAR`].
#[inline(always)]
fn near<const QUARTERS: u64>(x: f32) -> f32 {
    let wide = f64::from(x);
    let rounded = wide.mul_add(FRAC_2_PI, ROUND);
    let minus_n = ROUND - rounded;
    let r = minus_n.mul_add(REST, minus_n.mul_add(FRAC_PI_2, wide));
    let square = r * r;
    let polynomial =
        |terms: &[f64; 4]| terms[1..].iter().fold(terms[0], |sum, &term| sum.mul_add(square, term));
    let sine = (r * square).mul_add(polynomial(&SINE), r);
    let cosine = square.mul_add(polynomial(&COSINE), 1.0);
    let quarters = rounded.to_bits().wrapping_add(QUARTERS);
    let wave = if quarters & 1 == 0 { sine } else { cosine };
    let wave = f64::from_bits(wave.to_bits() ^ (quarters & 2) << 62) as f32;
    if QUARTERS == 0 && x == 0.0 { x } else { wave } // the sign of zero
}

/// The polynomial in `t²` of `atan(t)/t − 1`, divided by `t²`, for `t` up to 1; from `fit.py`.
const ARCTANGENT: [f64; 10] = [
    1.113_785_453_832_071e-3,
    -7.317_939_906_915_214e-3,
    2.253_983_141_441_618e-2,
    -4.468_989_934_005_686e-2,
    6.741_594_079_424_611e-2,
    -8.811_090_004_305_815e-2,
    1.105_822_330_855_214_7e-1,
    -1.427_983_299_354_256_8e-1,
    1.999_967_111_840_748_6e-1,
    -3.333_332_689_942_497_5e-1,
];

/// The angle of the point `(x, y)`, with an error below 1 unit in the last place.
#[inline(always)]
pub(crate) fn atan2(y: f32, x: f32) -> f32 {
    let (height, width) = (f64::from(y.abs()), f64::from(x.abs()));
    let is_steep = height > width;
    let (small, large) = if is_steep { (width, height) } else { (height, width) };
    let slope = small / large;
    // The slopes of the origin and of two infinities would not be numbers.
    let is_special = small == large;
    let slope = if is_special && large == 0.0 { 0.0 } else { slope };
    let slope = if is_special && large == f64::INFINITY { 1.0 } else { slope };
    let square = slope * slope;
    let polynomial =
        ARCTANGENT[1..].iter().fold(ARCTANGENT[0], |sum, &term| sum.mul_add(square, term));
    let angle = (slope * square).mul_add(polynomial, slope);
    let angle = if is_steep { FRAC_PI_2 - angle } else { angle };
    let angle = if x.is_sign_negative() { PI - angle } else { angle };
    (angle as f32).copysign(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exponential::worst_error;

    #[test]
    fn errors_are_below_one_unit_in_the_last_place() {
        let one = |f: fn(&mut [f32], &[f32])| {
            move |x: f32| {
                let mut out = [0.0];
                f(&mut out, &[x]);
                out[0]
            }
        };
        // A NaN for infinite angles, whose sine is NaN.
        assert!(worst_error(one(sin), f64::sin) < 1.0);
        assert!(worst_error(one(cos), f64::cos) < 1.0);
    }

    #[test]
    fn special_angles_follow_std() {
        let mut out = [0.0f32; 4];
        sin(&mut out, &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0]);
        assert!(out[..3].iter().all(|x| x.is_nan()));
        assert!(out[3] == 0.0 && out[3].is_sign_negative(), "the sign of zero");
    }

    #[test]
    fn arctangents_follow_std() {
        let values = [0.0, 1.0, 1e-40, 1e-20, 0.3, 0.999, 1.7, 1e6, 3e38, f32::INFINITY, f32::NAN];
        let points = values.into_iter().flat_map(|y| values.map(|x| (y, x)));
        let many = (1..50_000).map(|i| ((i * 7919 % 1009) as f32 / 100.0, i as f32 / 5000.0));
        for (y, x) in points.chain(many) {
            for (y, x) in [(y, x), (-y, x), (y, -x), (-y, -x)] {
                let (found, exact) = (Float::atan2(y, x), f64::from(y).atan2(f64::from(x)));
                let near = exact as f32;
                let unit = f64::from(near.abs().next_up()) - f64::from(near.abs());
                let is_near = (f64::from(found) - exact).abs() < unit;
                let has_sign = found.is_sign_negative() == near.is_sign_negative();
                let is_nan = found.is_nan() && near.is_nan();
                assert!(is_near && has_sign || is_nan, "({y}, {x}): {found}; expected {near}");
            }
        }
    }
}
