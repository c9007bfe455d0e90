//! The error function in `f32`, as branch-free arithmetic (see [`exponential`](crate::exponential)):
//! GELU evaluates it at every activation.

use crate::exponential::exp_m1_within;

/// The polynomial in `x` of `−ln(1 − erf(x)) / x`, for |x| up to 4, where `erf` is 1; from
/// `fit.py`.
const TERMS: [f32; 9] = [
    -9.256_28e-6,
    1.176_413_9e-4,
    -6.328_372_4e-4,
    1.667_028_1e-3,
    -1.603_965_4e-4,
    -1.915_306_4e-2,
    1.027_778_3e-1,
    6.366_194e-1,
    3.379_167e-3, // 2/√π − LEADING
];
/// The part of the last term that is added without a rounding.
const LEADING: f32 = 1.125;

/// `2/√π ∫₀ˣ exp(−t²) dt`, with an error below 2 units in the last place.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let size = if x.abs() > 4.0 { 4.0 } else { x.abs() }; // NaN passes through
    let polynomial = TERMS[1..].iter().fold(TERMS[0], |sum, &c| sum.mul_add(size, c));
    exp_m1_within(-size.mul_add(LEADING, size * polynomial)).copysign(x)
}

#[cfg(test)]
mod tests {
    use crate::exponential::worst_error;
    use crate::float::Float;

    #[test]
    fn the_error_is_within_the_documented_bound() {
        assert!(worst_error(<f32 as Float>::erf, libm::erf) < 2.0);
        assert_eq!([f32::INFINITY, f32::NEG_INFINITY].map(Float::erf), [1.0, -1.0]);
        assert!(1.0 / Float::erf(-0.0f32) < 0.0, "the sign of zero");
    }
}
