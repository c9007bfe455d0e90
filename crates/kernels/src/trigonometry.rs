//! Sine and cosine in `f32`, as branch-free arithmetic in `f64` (see
//! [`exponential`](crate::exponential)).

use crate::elementwise::map_dense;
use crate::float::Float;
use crate::parallel::{drain, piece};
use crate::simd::simd;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

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
    drain(out.chunks_mut(piece).zip(x.chunks(piece)), cost, |(out, x)| {
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
    2.718_311_493_989_821_9e-6,
    -1.983_933_483_609_663_2e-4,
    8.333_329_385_889_463e-3,
    -0.166_666_666_416_265_24,
];
const COSINE: [f64; 4] = [
    2.439_044_879_627_740_9e-5,
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
}
