//! Sine, cosine and, in `f32`, arctangent, as branch-free arithmetic in `f64` (see
//! [`exponential`](crate::exponential)).

use crate::float::Float;
use crate::parallel::{piece, share};
use crate::simd::simd;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, PI};

/// The sine and the cosine of an element.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Trigonometric: Sized {
    /// The largest angle for [`near`](Trigonometric::near).
    const FAR: Self;

    /// The sine of the angle plus a number of quarter turns, which is 0 or 1.
    fn near<const QUARTERS: u64>(self) -> Self;

    /// The same for any angle, and slower.
    fn far<const QUARTERS: u64>(self) -> Self;
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
    waves::<T, 0>(out, x);
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
    waves::<T, 1>(out, x);
}

/// The sine of angles plus a number of quarter turns.
fn waves<T: Float, const QUARTERS: u64>(out: &mut [T], x: &[T]) {
    assert_eq!(out.len(), x.len(), "operands of one length");
    let (cost, piece) = (out.len().saturating_mul(8), piece(out.len()));
    share(out.chunks_mut(piece).zip(x.chunks(piece)), cost, |(out, x)| {
        let is_far = |x: T| x.abs() > T::FAR;
        let any_far = simd!(|| {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = x.near::<QUARTERS>();
            }
            x.iter().fold(false, |any, &x| any | is_far(x))
        });
        if any_far {
            let far = out.iter_mut().zip(x).filter(|&(_, &x)| is_far(x));
            far.for_each(|(out, &x)| *out = x.far::<QUARTERS>());
        }
    });
}

/// What is missing from `FRAC_PI_2`, in two parts.
const REST: [f64; 2] = [6.123_233_995_736_766e-17, -1.497_384_904_859_169_8e-33];
/// `1.5 · 2⁵²`: adding it rounds to an integer, which lies in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

#[inline(always)]
fn polynomial<const N: usize>(terms: &[f64; N], x: f64) -> f64 {
    terms[1..].iter().fold(terms[0], |sum, &term| sum.mul_add(x, term))
}

/// The sine of `x` plus a number of quarter turns, from the sine and the cosine of what is left
/// of `x` after the quarter turns in `rounded`.
#[inline(always)]
fn wave<const QUARTERS: u64>(x: f64, rounded: f64, sine: f64, cosine: f64) -> f64 {
    let quarters = rounded.to_bits().wrapping_add(QUARTERS);
    let wave = if quarters & 1 == 0 { sine } else { cosine };
    let wave = f64::from_bits(wave.to_bits() ^ (quarters & 2) << 62);
    if QUARTERS == 0 && x == 0.0 { x } else { wave } // the sign of zero
}

impl Trigonometric for f32 {
    /// Up to here, the number of quarter turns is exact, and `π/2` in two parts has enough digits
    /// for the remainder.
    const FAR: f32 = 1e15;

    #[inline(always)]
    fn near<const QUARTERS: u64>(self) -> f32 {
        /// The polynomials in `r²` of `sin(r)/r − 1` and of `cos(r) − 1`, divided by `r²`, for |r|
        /// up to `π/4`, with errors below 2⁻³⁷ (FreeBSD's `k_sinf.c` and `k_cosf.c`).
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
        let x = f64::from(self);
        let rounded = x.mul_add(FRAC_2_PI, ROUND);
        let minus_n = ROUND - rounded;
        let r = minus_n.mul_add(REST[0], minus_n.mul_add(FRAC_PI_2, x));
        let square = r * r;
        let sine = (r * square).mul_add(polynomial(&SINE, square), r);
        let cosine = square.mul_add(polynomial(&COSINE, square), 1.0);
        wave::<QUARTERS>(x, rounded, sine, cosine) as f32
    }

    fn far<const QUARTERS: u64>(self) -> f32 {
        if QUARTERS == 0 { libm::sinf(self) } else { libm::cosf(self) }
    }
}

impl Trigonometric for f64 {
    /// Up to here, `π/2` in three parts has enough digits for the remainder.
    const FAR: f64 = 1e9;

    #[inline(always)]
    fn near<const QUARTERS: u64>(self) -> f64 {
        /// Taylor's series in `r²` of `sin(r)/r − 1` and of `cos(r) − 1 + r²/2`, divided by `r²` and
        /// by `r⁴`; for |r| up to `π/4`, the next terms are below 2⁻⁶².
        const SINE: [f64; 8] = [
            1.0 / 355_687_428_096_000.0,
            -1.0 / 1_307_674_368_000.0,
            1.0 / 6_227_020_800.0,
            -1.0 / 39_916_800.0,
            1.0 / 362_880.0,
            -1.0 / 5040.0,
            1.0 / 120.0,
            -1.0 / 6.0,
        ];
        const COSINE: [f64; 8] = [
            -1.0 / 6_402_373_705_728_000.0,
            1.0 / 20_922_789_888_000.0,
            -1.0 / 87_178_291_200.0,
            1.0 / 479_001_600.0,
            -1.0 / 3_628_800.0,
            1.0 / 40_320.0,
            -1.0 / 720.0,
            1.0 / 24.0,
        ];
        let x = self;
        let rounded = x.mul_add(FRAC_2_PI, ROUND);
        let minus_n = ROUND - rounded;
        // Exact: a multiple of the last place of `FRAC_PI_2` or of `x`, and below 1.
        let first = minus_n.mul_add(FRAC_PI_2, x);
        // r and what its additions round away.
        let second = minus_n * REST[0];
        let r = first + second;
        let from_second = r - first;
        let lost = (first - (r - from_second)) + (second - from_second);
        let lost = lost + minus_n.mul_add(REST[0], -second) + minus_n * REST[1];

        let square = r * r;
        let slope = square.mul_add(-0.5, 1.0);
        let cube = r * square;
        let sine = r + cube.mul_add(polynomial(&SINE, square), lost * slope);
        let rest = (square * square).mul_add(polynomial(&COSINE, square), -(r * lost));
        let cosine = slope + (square.mul_add(-0.5, 1.0 - slope) + rest);
        wave::<QUARTERS>(x, rounded, sine, cosine)
    }

    fn far<const QUARTERS: u64>(self) -> f64 {
        if QUARTERS == 0 { libm::sin(self) } else { libm::cos(self) }
    }
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
    let angle = (slope * square).mul_add(polynomial(&ARCTANGENT, square), slope);
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
    fn f64_errors_are_within_1_ulp_of_std() {
        let (mut sines, mut cosines) = ([0.0], [0.0]);
        // Also close to multiples of π/2, where nearly all digits cancel.
        let spread = (0..200_000).map(|i| f64::from(i).powi(3) * 1.000_1e-6 + f64::from(i) * 1e-5);
        let multiples = (1..200_000).flat_map(|i| {
            let x = f64::from(i) * f64::from(i) * FRAC_PI_2;
            [x.next_down(), x, x.next_up()]
        });
        let far = [1e9, 1.000_000_1e9, 1e15, 1e22, 1e300];
        for x in spread.chain(multiples).chain(far).flat_map(|x| [x, -x]) {
            sin(&mut sines, &[x]);
            cos(&mut cosines, &[x]);
            for (y, want) in [(sines[0], x.sin()), (cosines[0], x.cos())] {
                assert!(y.to_bits().abs_diff(want.to_bits()) <= 1, "{x}: {y}; expected {want}");
            }
        }
    }

    #[test]
    fn special_angles_follow_std() {
        fn check<T: Float>() {
            let mut out = [T::ONE; 4];
            sin(&mut out, &[T::INFINITY, T::NEG_INFINITY, T::NAN, -T::ZERO]);
            assert!(out[..3].iter().all(|x| x.is_nan()));
            assert_eq!(T::ONE / out[3], T::NEG_INFINITY, "the sign of zero");
        }
        check::<f32>();
        check::<f64>();
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
