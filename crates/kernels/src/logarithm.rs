//! Logarithms as branch-free arithmetic (see [`exponential`](crate::exponential)).

use crate::float::Float;

/// The argument of a logarithm, in parts.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Logarithm: Sized {
    /// `(e, f, ln(1 + f) − f)` with `x = 2ᵉ (1 + f)` and `1 + f` between `√½` and `√2`, for finite
    /// `x` above 0.
    fn log_parts(self) -> (Self, Self, Self);
}

impl Logarithm for f32 {
    #[inline(always)]
    fn log_parts(self) -> (f32, f32, f32) {
        /// The polynomial `p` in `ln(1 + f) = f − ½ f² + f³ p`, from the highest power; from
        /// `fit.py`.
        const TERMS: [f32; 8] = [
            -0.076_344_82,
            0.127_615_7,
            -0.131_601_86,
            0.142_017_59,
            -0.166_233_57,
            0.200_012_27,
            -0.250_008_2,
            0.333_333_3,
        ];
        /// The bits of `√½`.
        const SQRT_HALF: u32 = 0x3f35_04f3;

        let is_subnormal = self < f32::MIN_POSITIVE;
        let [scaled, shift] = if is_subnormal { [self * 33_554_432.0, 25.0] } else { [self, 0.0] }; // 2²⁵
        let bits = scaled.to_bits().wrapping_sub(SQRT_HALF);
        let e = (bits as i32 >> 23) as f32 - shift;
        let f = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF) - 1.0;
        let p = TERMS[1..].iter().fold(TERMS[0], |sum, &term| sum.mul_add(f, term));
        let square = f * f;
        (e, f, square.mul_add(-0.5, square * f * p))
    }
}

impl Logarithm for f64 {
    #[inline(always)]
    fn log_parts(self) -> (f64, f64, f64) {
        /// The series in `s²` of `2 artanh(s) / s − 2`, divided by `s²`, from the highest power:
        /// the next term is below 2⁻⁵⁹ for `s` up to `(√2 − 1) / (√2 + 1)`.
        const TERMS: [f64; 10] = [
            2.0 / 21.0,
            2.0 / 19.0,
            2.0 / 17.0,
            2.0 / 15.0,
            2.0 / 13.0,
            2.0 / 11.0,
            2.0 / 9.0,
            2.0 / 7.0,
            2.0 / 5.0,
            2.0 / 3.0,
        ];
        /// The bits of `√½`.
        const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
        /// `1.5 · 2⁵²`: an integer added to its bits is added to its value.
        const ROUND: f64 = 6_755_399_441_055_744.0;

        let is_subnormal = self < f64::MIN_POSITIVE;
        let [scaled, shift] =
            if is_subnormal { [self * 18_014_398_509_481_984.0, 54.0] } else { [self, 0.0] }; // 2⁵⁴
        let bits = scaled.to_bits().wrapping_sub(SQRT_HALF);
        // A conversion from `i64` is not an instruction everywhere.
        let exponent = (bits as i64 >> 52) as u64;
        let e = f64::from_bits(ROUND.to_bits().wrapping_add(exponent)) - ROUND - shift;
        let f = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + SQRT_HALF) - 1.0;
        // With s = f / (2 + f), ln(1 + f) = 2 artanh s, and 2 s = f − ½ f² + ½ f² s.
        let s = f / (2.0 + f);
        let (z, half_square) = (s * s, 0.5 * f * f);
        let series = z * TERMS[1..].iter().fold(TERMS[0], |sum, &term| sum.mul_add(z, term));
        (e, f, s.mul_add(half_square + series, -half_square))
    }
}

/// `y`, the logarithm of a finite `x` above 0, or the logarithm of any other `x`.
#[inline(always)]
fn or_special<T: Float>(x: T, y: T) -> T {
    let outside = if x == T::ZERO { T::NEG_INFINITY } else { T::NAN };
    let y = if x == T::INFINITY { x } else { y };
    if x > T::ZERO { y } else { outside }
}

/// `ln x`, with an error below 1 unit in the last place.
#[inline(always)]
pub(crate) fn ln<T: Float>(x: T) -> T {
    let (e, f, rest) = x.log_parts();
    or_special(x, e.mul_add(T::LN_2[0], f + e.mul_add(T::LN_2[1], rest)))
}

/// `log₂ x`, with an error below 2 units in the last place.
#[inline(always)]
pub(crate) fn log2<T: Float>(x: T) -> T {
    let (e, f, rest) = x.log_parts();
    or_special(x, (f + rest).mul_add(T::LOG2_E, e))
}

/// `ln(1 + x)`, with an error below 2 units in the last place.
#[inline(always)]
pub(crate) fn ln_1p<T: Float>(x: T) -> T {
    let sum = T::ONE + x;
    // What the addition has rounded away, exactly.
    let added = sum - T::ONE;
    let lost = (T::ONE - (sum - added)) + (x - added);
    let correction = if sum > T::ZERO && sum < T::INFINITY { lost / sum } else { T::ZERO };
    (ln(sum) + correction).copysign(x)
}

#[cfg(test)]
mod tests {
    use crate::exponential::worst_error;
    use crate::float::Float;

    #[test]
    fn errors_are_within_the_documented_bounds() {
        assert!(worst_error(|x| <f32 as Float>::ln(x.abs()), |x| x.abs().ln()) < 1.0);
        assert!(worst_error(|x| <f32 as Float>::log2(x.abs()), |x| x.abs().log2()) < 2.0);
        assert!(worst_error(|x| <f32 as Float>::ln_1p(x.abs()), |x| x.abs().ln_1p()) < 2.0);
        let within = |x: f64| if x.is_nan() { x } else { -x.abs().min(1.0) };
        let worst = worst_error(
            |x| <f32 as Float>::ln_1p(within(f64::from(x)) as f32),
            |x| within(x).ln_1p(),
        );
        assert!(worst < 2.0);
    }

    #[test]
    fn f64_errors_are_within_2_ulp_of_std() {
        let check = |y: f64, want: f64, ulps: u64, name, x: f64| {
            let error = y.to_bits().abs_diff(want.to_bits());
            assert!(error <= ulps, "{name}({x}): {y}; expected {want}");
        };
        let wide =
            (1..200_000).map(|i: u64| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a) << 16 >> 1));
        let near_1 = (1..200_000).map(|i| 0.4 + f64::from(i) * 8.000_1e-6);
        let subnormal = (0..52).map(|i| f64::from_bits(3 << i >> 1));
        for x in wide.chain(near_1).chain(subnormal).filter(|x| x.is_finite() && *x > 0.0) {
            check(<f64 as Float>::ln(x), x.ln(), 1, "ln", x);
            check(<f64 as Float>::log2(x), x.log2(), 2, "log2", x);
            check(<f64 as Float>::ln_1p(x), x.ln_1p(), 2, "ln_1p", x);
            let below = -x.min(1.0 / x) * 0.999_9;
            check(<f64 as Float>::ln_1p(below), below.ln_1p(), 2, "ln_1p", below);
        }
        for e in -1074..1024 {
            let power = 0.5f64.powi(-e.max(-1000)) * 0.5f64.powi(-(e - e.max(-1000)));
            assert_eq!(<f64 as Float>::log2(power), f64::from(e));
        }
    }

    #[test]
    fn special_values_follow_std() {
        special::<f32>([
            (f32::ln, Float::ln),
            (f32::log2, Float::log2),
            (f32::ln_1p, Float::ln_1p),
        ]);
        special::<f64>([
            (f64::ln, Float::ln),
            (f64::log2, Float::log2),
            (f64::ln_1p, Float::ln_1p),
        ]);
    }

    /// A function, and its reference.
    type Pair<T> = (fn(T) -> T, fn(T) -> T);

    fn special<T: Float>(functions: [Pair<T>; 3]) {
        for (std, ours) in functions {
            let values = [0.0, -0.0, -1.0, -2.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0];
            for x in values.map(T::from_f64) {
                let (found, expected) = (ours(x), std(x));
                let same = found == expected && T::ONE / found == T::ONE / expected;
                assert!(same || found.is_nan() && expected.is_nan(), "{x}: {found}");
            }
        }
    }
}
