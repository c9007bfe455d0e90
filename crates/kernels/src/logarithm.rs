//! Logarithms in `f32`, as branch-free arithmetic (see [`exponential`](crate::exponential)).

use std::f32::consts::LOG2_E;

/// The polynomial `p` in `ln(1 + f) = f − ½ f² + f³ p`, from the highest power, for `1 + f` between
/// `√½` and `√2`; from `fit.py`.
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
/// `ln 2` in two parts; the product of the first and an exponent is exact.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
/// The bits of `√½`.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// `(e, f, ln(1 + f) − f)` with `x = 2ᵉ (1 + f)`, for finite `x` above 0.
#[inline(always)]
fn parts(x: f32) -> (f32, f32, f32) {
    let is_subnormal = x < f32::MIN_POSITIVE;
    let [scaled, shift] = if is_subnormal { [x * 33_554_432.0, 25.0] } else { [x, 0.0] }; // 2²⁵
    let bits = scaled.to_bits().wrapping_sub(SQRT_HALF);
    let e = (bits as i32 >> 23) as f32 - shift;
    let f = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF) - 1.0;
    let p = TERMS[1..].iter().fold(TERMS[0], |sum, &term| sum.mul_add(f, term));
    let square = f * f;
    (e, f, square.mul_add(-0.5, square * f * p))
}

/// `y`, the logarithm of a finite `x` above 0, or the logarithm of any other `x`.
#[inline(always)]
fn or_special(x: f32, y: f32) -> f32 {
    let outside = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
    let y = if x == f32::INFINITY { x } else { y };
    if x > 0.0 { y } else { outside }
}

/// `ln x`, with an error below 1 unit in the last place.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    let (e, f, rest) = parts(x);
    or_special(x, e.mul_add(LN_2[0], f + e.mul_add(LN_2[1], rest)))
}

/// `log₂ x`, with an error below 2 units in the last place.
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    let (e, f, rest) = parts(x);
    or_special(x, (f + rest).mul_add(LOG2_E, e))
}

/// `ln(1 + x)`, with an error below 2 units in the last place.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    // What the addition has rounded away, exactly.
    let added = sum - 1.0;
    let lost = (1.0 - (sum - added)) + (x - added);
    let correction = if sum > 0.0 && sum < f32::INFINITY { lost / sum } else { 0.0 };
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
    fn special_values_follow_std() {
        for (std, ours) in
            [(f32::ln as fn(f32) -> f32, Float::ln as fn(f32) -> f32), (f32::log2, Float::log2)]
        {
            for x in [0.0, -0.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0, -1e-40] {
                let (expected, found) = (std(x), ours(x));
                assert!(found == expected || found.is_nan() && expected.is_nan(), "{x}: {found}");
            }
        }
        let ln_1p = <f32 as Float>::ln_1p;
        assert_eq!([ln_1p(-1.0), ln_1p(f32::INFINITY)], [f32::NEG_INFINITY, f32::INFINITY]);
        assert!(ln_1p(-2.0).is_nan() && ln_1p(f32::NAN).is_nan());
        assert!(1.0 / ln_1p(-0.0) < 0.0, "the sign of zero");
    }
}
