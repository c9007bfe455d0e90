//! The exponential and the hyperbolic tangent as straight arithmetic, which the compiler can
//! turn into vectors: one number at a time, as a mathematical library takes them, they are ten
//! times slower, and have other bits on another system.
//!
//! Nothing is fused: where the compiler has not the instruction for it, `mul_add` is a call.

use crate::float::Float;

/// What the exponential of a number type is made of.
///
/// `eˣ = 2ⁿ eʳ`, where `n` is the whole number nearest to `x / ln 2`, so `|r| ≤ ½ ln 2`.
pub trait Exponential: Sized + 'static {
    /// `1/k!`, from the last that matters down to `1/2!`. The Taylor polynomial of `eʳ` that
    /// ends there is off by less than a tenth of a rounding.
    const TERMS: &'static [Self];
    /// `1 / ln 2`
    const LOG2_E: Self;
    /// `ln 2` in two parts, the first so short that its product with any `n` is exact.
    const LN_2: [Self; 2];
    /// Where the exponential has become 0, and where ∞.
    const RANGE: [Self; 2];
    /// One and a half times the first number that has no room for a half: added to a small
    /// number, it leaves that rounded in the low bits.
    const ROUND: Self;

    /// Two factors of `2ⁿ`, which may itself be too large or too small, from `ROUND + n`.
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
                // For NaN this is any number; what is multiplied with it is NaN.
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

/// `eˣ`, in `f32` within 1.1 units in the last place.
#[inline(always)]
pub(crate) fn exp<T: Float>(x: T) -> T {
    let [low, high] = T::RANGE;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x }; // and NaN is left
    let (r, sum, [a, b]) = parts(x);
    (T::ONE + (r + r * r * sum)) * a * b
}

/// `tanh x = (e²ˣ − 1) / (e²ˣ + 1)`, in `f32` within three units in the last place.
#[inline(always)]
pub(crate) fn tanh<T: Float>(x: T) -> T {
    let one_from = T::from_f64(20.0); // where tanh has become 1 (and NaN is left)
    let size = if x.abs() > one_from { one_from } else { x.abs() };
    let (r, sum, [a, b]) = parts(size + size);
    let power = a * b;
    // e²ˣ − 1, precise near 0.
    let less_one = power * (r + r * r * sum) + (power - T::ONE);
    (less_one / (less_one + T::from_f64(2.0))).copysign(x)
}

/// The largest distance from `want`, in units of its last place as f32, over all of
/// f32 in steps.
#[cfg(test)]
pub(crate) fn worst(f: impl Fn(f32) -> f32, want: impl Fn(f64) -> f64) -> f64 {
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
    use super::worst;
    use crate::float::Float;

    #[test]
    fn single_precision_is_as_good_as_said() {
        assert!(worst(<f32 as Float>::exp, f64::exp) < 1.1);
        assert!(worst(<f32 as Float>::tanh, f64::tanh) < 3.0);
    }

    #[test]
    fn double_precision_is_that_of_the_system_but_for_the_last_places() {
        for i in -74_500..71_000 {
            let x = f64::from(i) * 0.010_000_1;
            let check = |y: f64, want: f64, places: u64, name| {
                let apart = y.to_bits().abs_diff(want.to_bits());
                assert!(apart <= places, "{name}({x}): {y}; expected {want}");
            };
            check(<f64 as Float>::exp(x), x.exp(), 1, "exp");
            check(<f64 as Float>::tanh(x / 100.0), (x / 100.0).tanh(), 4, "tanh");
        }
    }

    #[test]
    fn ends_and_zeros() {
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
