//! The exponential and the hyperbolic tangent as branch-free arithmetic, which the compiler
//! vectorizes. A math library's scalar functions are ten times slower, and their bits differ
//! between systems.
//!
//! No multiply-add is fused: without the instruction, `mul_add` is a function call.

use crate::float::Float;

/// The constants of a type's exponential: `eˣ = 2ⁿ eʳ`, where `n` is the integer nearest to
/// `x / ln 2`, so `|r| ≤ ½ ln 2`.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Exponential: Sized + 'static {
    /// `1/k!`, from the last term to `1/2!`. The Taylor polynomial of `eʳ` with these terms has an
    /// error below a tenth of a rounding.
    const TERMS: &'static [Self];
    /// `1 / ln 2`
    const LOG2_E: Self;
    /// `ln 2` in two parts; the first has so few digits that its product with any `n` is exact.
    const LN_2: [Self; 2];
    /// Bounds below which the exponential is 0 and above which it is ∞.
    const RANGE: [Self; 2];
    /// 1.5 times the smallest power of two at which no fraction is representable: adding it to a
    /// small value leaves that value, rounded to an integer, in the low bits.
    const ROUND: Self;

    /// Two factors of `2ⁿ`, from `ROUND + n`; `2ⁿ` itself may overflow or underflow.
    fn powers_of_two(rounded: Self) -> [Self; 2];
}

macro_rules! exponential {
    ($t:ident, $int:ident, $round:expr, $range:expr, $ln_2:expr, $terms:expr) => {
        impl Exponential for $t {
            const TERMS: &'static [Self] = &$terms;
            const LOG2_E: Self = std::$t::consts::LOG2_E;
            const LN_2: [Self; 2] = $ln_2;
            const RANGE: [Self; 2] = $range;
            const ROUND: Self = $round;

            #[inline(always)]
            fn powers_of_two(rounded: Self) -> [Self; 2] {
                // For NaN this is arbitrary, and is multiplied by NaN.
                let n = (rounded.to_bits() as $int).wrapping_sub($round.to_bits() as $int);
                let low = n >> 1;
                [low, n.wrapping_sub(low)].map(
                    #[inline(always)]
                    |n| {
                        let exponent = n.wrapping_add($int::from($t::MAX_EXP) - 1);
                        $t::from_bits((exponent << ($t::MANTISSA_DIGITS - 1)) as _)
                    },
                )
            }
        }
    };
}

exponential!(
    f32,
    i32,
    12_582_912.0f32, // 1.5 · 2²³
    [-104.0, 89.0],
    [0.693_145_75, 1.428_606_8e-6],
    [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5]
);
exponential!(
    f64,
    i64,
    6_755_399_441_055_744.0f64, // 1.5 · 2⁵²
    [-746.0, 710.0],
    [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10],
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

/// `(r, s, [a, b])` with `eˣ = a b eʳ` and `eʳ = 1 + r + r² s`.
#[inline(always)]
fn parts<T: Float>(x: T) -> (T, T, [T; 2]) {
    let rounded = x * T::LOG2_E + T::ROUND;
    let n = rounded - T::ROUND;
    let r = x - n * T::LN_2[0] - n * T::LN_2[1];
    let mut sum = T::TERMS[0];
    for &term in &T::TERMS[1..] {
        sum = sum * r + term;
    }
    (r, sum, T::powers_of_two(rounded))
}

/// `eˣ`; in `f32`, the error is below 1.1 units in the last place.
#[inline(always)]
pub(crate) fn exp<T: Float>(x: T) -> T {
    let [low, high] = T::RANGE;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x }; // NaN passes through
    let (r, sum, [a, b]) = parts(x);
    (T::ONE + (r + r * r * sum)) * a * b
}

/// `tanh x = (e²ˣ − 1) / (e²ˣ + 1)`; in `f32`, the error is below 3 units in the last place.
#[inline(always)]
pub(crate) fn tanh<T: Float>(x: T) -> T {
    let saturated = T::from_f64(20.0); // tanh is 1 from here
    let size = if x.abs() > saturated { saturated } else { x.abs() }; // NaN passes through
    let (r, sum, [a, b]) = parts(size + size);
    let power = a * b;
    // e²ˣ − 1, accurate near 0.
    let exp_m1 = power * (r + r * r * sum) + (power - T::ONE);
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
        }
    }

    #[test]
    fn infinities_nan_and_signed_zeros() {
        fn check<T: Float>() {
            let [zero, one] = [T::ZERO, T::ONE];
            assert_eq!([T::NEG_INFINITY.exp(), zero.exp()], [zero, one]);
            assert_eq!([T::INFINITY.exp(), T::from_f64(1e30).exp()], [T::INFINITY; 2]);
            assert_eq!([T::INFINITY.tanh(), T::NEG_INFINITY.tanh()], [one, -one]);
            assert!(T::NAN.exp().is_nan() && T::NAN.tanh().is_nan());
            assert!(one / zero.tanh() > zero && one / (-zero).tanh() < zero, "signs of zeros");
            let tiny = T::from_f64(1e-40);
            assert_eq!((-tiny).tanh(), -tiny);
        }
        check::<f32>();
        check::<f64>();
    }
}
