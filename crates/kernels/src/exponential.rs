//! The exponential and the hyperbolic tangent as branch-free arithmetic, which the compiler
//! vectorizes. A math library's scalar functions are ten times slower, and their bits differ
//! between systems.
//!
//! On x86-64 without fused multiply-adds (before 2013), `mul_add` is a function call: slow, but
//! with the same bits.

use crate::float::Float;

/// The constants of a type's exponential: `eˣ = 2ⁿ eʳ`, where `n` is the integer nearest to
/// `x / ln 2`, so `|r| ≤ ½ ln 2`.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Exponential: Sized + 'static {
    /// The polynomial `s` in `eʳ − 1 = r + r² s`, from the highest power. Its error is below a
    /// tenth of a rounding of `eʳ`.
    const TERMS: &'static [Self];
    /// `1 / ln 2`
    const LOG2_E: Self;
    /// `ln 2` in two parts; the first has so few digits that its product with any `n` is exact.
    const LN_2: [Self; 2];
    /// Bounds below which the exponential is 0 and above which it is ∞.
    const RANGE: [Self; 2];
    /// 1.5 times the smallest power of two at which no fraction is representable, plus twice the
    /// bias of an exponent. Adding it to a small value leaves that value, rounded to an integer
    /// and with this bias, in the low bits.
    const ROUND: Self;

    /// `2ⁿ⁻¹`, from `ROUND + n`, where it is a normal number. For NaN it is arbitrary, and is
    /// multiplied by NaN.
    fn half_power_of_two(rounded: Self) -> Self;

    /// Two factors of `2ⁿ`, from `ROUND + n`; `2ⁿ` itself may overflow or underflow.
    fn powers_of_two(rounded: Self) -> [Self; 2];
}

macro_rules! exponential {
    ($t:ident, $round:expr, $range:expr, $ln_2:expr, $terms:expr) => {
        impl Exponential for $t {
            const TERMS: &'static [Self] = &$terms;
            const LOG2_E: Self = std::$t::consts::LOG2_E;
            const LN_2: [Self; 2] = $ln_2;
            const RANGE: [Self; 2] = $range;
            const ROUND: Self = $round + 2.0 * ($t::MAX_EXP - 1) as $t;

            #[inline(always)]
            fn half_power_of_two(rounded: Self) -> Self {
                let exponent = rounded.to_bits().wrapping_sub($t::MAX_EXP as _);
                $t::from_bits(exponent << ($t::MANTISSA_DIGITS - 1))
            }

            #[inline(always)]
            fn powers_of_two(rounded: Self) -> [Self; 2] {
                // Halves of an exponent with twice the bias have the bias.
                let low = rounded.to_bits() >> 1;
                let high = rounded.to_bits() - low;
                [low, high].map(
                    #[inline(always)]
                    |exponent| $t::from_bits(exponent << ($t::MANTISSA_DIGITS - 1)),
                )
            }
        }
    };
}

exponential!(
    f32,
    12_582_912.0f32, // 1.5 · 2²³
    [-104.0, 89.0],
    [0.693_145_75, 1.428_606_8e-6],
    // From `fit.py`.
    [0.001_388_252_1, 0.008_366_520_5, 0.041_667_2, 0.166_665_43, 0.499_999_97]
);
exponential!(
    f64,
    6_755_399_441_055_744.0f64, // 1.5 · 2⁵²
    [-746.0, 710.0],
    [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
    // Taylor's.
    [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ]
);

/// `(ROUND + n, eʳ − 1)` with `eˣ = 2ⁿ eʳ`.
#[inline(always)]
fn parts<T: Float>(x: T) -> (T, T) {
    let rounded = x.mul_add(T::LOG2_E, T::ROUND);
    let minus_n = T::ROUND - rounded;
    let r = minus_n.mul_add(T::LN_2[1], minus_n.mul_add(T::LN_2[0], x));
    let mut sum = T::TERMS[0];
    for &term in &T::TERMS[1..] {
        sum = sum.mul_add(r, term);
    }
    (rounded, (r * r).mul_add(sum, r))
}

/// `eˣ`; in `f32`, the error is below 1.1 units in the last place.
#[inline(always)]
pub(crate) fn exp<T: Float>(x: T) -> T {
    let [low, high] = T::RANGE;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x }; // NaN passes through
    let (rounded, exp_m1) = parts(x);
    let [a, b] = T::powers_of_two(rounded);
    (T::ONE + exp_m1) * a * b
}

/// `eˣ − 1` for `x` in which neither `2ⁿ⁻¹` overflows nor underflows, but for the sign of zero.
#[inline(always)]
pub(crate) fn exp_m1_within<T: Float>(x: T) -> T {
    let (rounded, exp_m1) = parts(x);
    let power = T::half_power_of_two(rounded);
    let half = power.mul_add(exp_m1, power - T::from_f64(0.5));
    // With n = 0, half of a subnormal number would be rounded.
    if rounded == T::ROUND { exp_m1 } else { half + half }
}

/// `eˣ − 1`; in `f32`, the error is below 2 units in the last place.
#[inline(always)]
pub(crate) fn exp_m1<T: Float>(x: T) -> T {
    let (low, high) = (T::from_f64(-40.0), T::RANGE[1]); // from −40 on, the result is −1
    let within = if x < low { low } else { x };
    let within = if within > high { high } else { within }; // NaN passes through
    exp_m1_within(within).copysign(x)
}

/// `tanh x = (e²ˣ − 1) / (e²ˣ + 1)`; in `f32`, the error is below 3 units in the last place.
#[inline(always)]
pub(crate) fn tanh<T: Float>(x: T) -> T {
    let saturated = T::from_f64(20.0); // tanh is 1 from here
    let size = if x.abs() > saturated { saturated } else { x.abs() }; // NaN passes through
    let exp_m1 = exp_m1_within(size + size);
    (exp_m1 / (exp_m1 + T::from_f64(2.0))).copysign(x)
}

/// The largest error of `f` against `want`, in units in the last place, over a sample of all f32.
#[cfg(test)]
pub(crate) fn worst_error(f: impl Fn(f32) -> f32, want: impl Fn(f64) -> f64) -> f64 {
    let mut worst: f64 = 0.0;
    for x in (0..u32::MAX).step_by(1009).map(f32::from_bits) {
        let (y, want) = (f(x), want(f64::from(x)));
        let near = want as f32;
        if x.is_nan() || near.is_infinite() {
            assert!(y.is_nan() == x.is_nan() && (x.is_nan() || y == near), "{x}: {y}");
            continue;
        }
        let unit = f64::from(near.abs().next_up()) - f64::from(near.abs());
        worst = worst.max((f64::from(y) - want).abs() / unit);
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::worst_error;
    use crate::float::Float;

    #[test]
    fn f32_errors_are_within_the_documented_bounds() {
        assert!(worst_error(<f32 as Float>::exp, f64::exp) < 1.1);
        assert!(worst_error(<f32 as Float>::tanh, f64::tanh) < 3.0);
        assert!(worst_error(<f32 as Float>::exp_m1, f64::exp_m1) < 2.0);
    }

    #[test]
    fn f64_results_are_within_4_ulp_of_std() {
        for i in -74_500..71_000 {
            let x = f64::from(i) * 0.010_000_1;
            let check = |y: f64, want: f64, ulps: u64, name| {
                let error = y.to_bits().abs_diff(want.to_bits());
                assert!(error <= ulps, "{name}({x}): {y}; expected {want}");
            };
            check(<f64 as Float>::exp(x), x.exp(), 1, "exp");
            check(<f64 as Float>::tanh(x / 100.0), (x / 100.0).tanh(), 4, "tanh");
            check(<f64 as Float>::exp_m1(x), x.exp_m1(), 2, "exp_m1");
        }
    }

    #[test]
    fn infinities_nan_and_signed_zeros() {
        fn check<T: Float>() {
            let [zero, one] = [T::ZERO, T::ONE];
            assert_eq!([T::NEG_INFINITY.exp(), zero.exp()], [zero, one]);
            assert_eq!([T::INFINITY.exp(), T::from_f64(1e30).exp()], [T::INFINITY; 2]);
            assert_eq!([T::INFINITY.tanh(), T::NEG_INFINITY.tanh()], [one, -one]);
            assert_eq!([T::INFINITY.exp_m1(), T::NEG_INFINITY.exp_m1()], [T::INFINITY, -one]);
            assert!(T::NAN.exp().is_nan() && T::NAN.tanh().is_nan() && T::NAN.exp_m1().is_nan());
            assert!(one / zero.tanh() > zero && one / (-zero).tanh() < zero, "signs of zeros");
            let tiny = T::from_f64(1e-40);
            assert_eq!([(-tiny).tanh(), (-tiny).exp_m1()], [-tiny; 2]);
            assert!(one / zero.exp_m1() > zero && one / (-zero).exp_m1() < zero, "signs of zeros");
        }
        check::<f32>();
        check::<f64>();
        for bits in [1, 2, 3] {
            assert_eq!(Float::exp_m1(f32::from_bits(bits)).to_bits(), bits);
            assert_eq!(Float::exp_m1(f64::from_bits(bits.into())).to_bits(), bits.into());
        }
    }
}
