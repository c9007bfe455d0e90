//! The error function in `f32`, as branch-free arithmetic (see [`exponential`](crate::exponential)):
//! GELU evaluates it at every activation.

use crate::exponential::exp;

/// The polynomial in `x²` of `erf(x)/x − 1`, for |x| below 1; from `erf.py`.
const NEAR: [f32; 7] = [
    7.853_858e-5,
    -8.010_192_5e-4,
    5.188_327_7e-3,
    -2.685_381_1e-2,
    1.128_358_5e-1,
    -3.761_262_6e-1,
    1.283_791_7e-1,
];
/// The polynomial in `x` of `−ln(1 − erf(x))`, for |x| from 1 to 4, where `erf` is 1; from `erf.py`.
const FAR: [f32; 8] = [
    2.169_763_9e-5,
    -4.414_729_2e-4,
    4.205_286e-3,
    -2.521_034_1e-2,
    1.084_221e-1,
    6.332_164e-1,
    1.129_580_3,
    -1.884_677_9e-4,
];

#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    coefficients.iter().fold(0.0, |sum, &c| sum * x + c)
}

/// `2/√π ∫₀ˣ exp(−t²) dt`, with an error below 2 units in the last place.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let size = if x.abs() > 4.0 { 4.0 } else { x.abs() }; // NaN passes through
    let near = size + size * polynomial(&NEAR, size * size);
    let far = 1.0 - exp(-polynomial(&FAR, size));
    // Computing both and selecting one vectorizes; a branch does not.
    (if size < 1.0 { near } else { far }).copysign(x)
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
