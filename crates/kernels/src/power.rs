//! Powers: in `f32`, as branch-free arithmetic in `f64` (see [`exponential`](crate::exponential)); of
//! integer exponents, correctly rounded.

use crate::simd::simd;
use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// The series in `s²` of `artanh(s) / s`, from the highest power: the next term is below 2⁻³⁹ for
/// `s` up to `(√2 − 1) / (√2 + 1)`.
const ARTANH: [f64; 7] = [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
/// The series of `eʳ`, from the highest power: the next term is below 2⁻³² for `r` up to `½ ln 2`.
const EXP: [f64; 9] =
    [1.0 / 40_320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
/// `1.5 · 2⁵²`: adding it rounds to an integer, which lies in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

#[inline(always)]
fn polynomial<const N: usize>(terms: &[f64; N], x: f64) -> f64 {
    terms[1..].iter().fold(terms[0], |sum, &term| sum.mul_add(x, term))
}

/// `log₂ x` for `x` that is not negative, with an error below 2⁻³⁸ of the result.
#[inline(always)]
fn log2(x: f64) -> f64 {
    // The bits of √½, so that the fraction lies between √½ and √2.
    let bits = x.to_bits().wrapping_sub((SQRT_2 / 2.0).to_bits());
    // The exponent, which may be negative, in the low bits of a float: a conversion from `i64` is
    // not an instruction everywhere.
    let exponent = (bits as i64 >> 52) as u64;
    let e = f64::from_bits(ROUND.to_bits().wrapping_add(exponent)) - ROUND;
    let fraction = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + (SQRT_2 / 2.0).to_bits());
    let s = (fraction - 1.0) / (fraction + 1.0);
    let log = (s * (2.0 * LOG2_E)).mul_add(polynomial(&ARTANH, s * s), e);
    let log = if x == 0.0 { f64::NEG_INFINITY } else { log };
    if x < f64::INFINITY { log } else { x } // or NaN
}

/// `2ˣ` for |x| below 1000.
#[inline(always)]
fn exp2(x: f64) -> f64 {
    let rounded = x + ROUND;
    let r = (x - (rounded - ROUND)) * LN_2;
    let power = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52);
    polynomial(&EXP, r) * power
}

/// `xᵉ`, rounded from a result with an error below 2⁻²⁹.
#[inline(always)]
pub(crate) fn powf(x: f32, e: f32) -> f32 {
    let size = x.abs();
    let log = f64::from(e) * log2(f64::from(size));
    let log = if log < -200.0 { -200.0 } else { log };
    let log = if log > 200.0 { 200.0 } else { log }; // NaN passes through
    let power = exp2(log) as f32;
    let is_one = e == 0.0 || x == 1.0 || (size == 1.0 && e.abs() == f32::INFINITY);
    let power = if is_one { 1.0 } else { power };
    let is_integer = e.trunc() == e;
    let is_odd = is_integer && (e * 0.5).trunc() != e * 0.5;
    let is_complex = x < 0.0 && !is_integer && size < f32::INFINITY;
    let power = if is_complex { f32::NAN } else { power };
    if x.is_sign_negative() && is_odd { -power } else { power }
}

/// `xⁿ`, correctly rounded, but for results close to the ends of the range of `f64`.
///
/// A math library's `pow` rounds one power of a thousand to the other neighbor, and not the same
/// one on every system.
///
/// ```
/// assert_eq!(adamant_kernels::powi(0.9, 2), 0.81);
/// ```
#[must_use]
pub fn powi(x: f64, n: u64) -> f64 {
    // With the processor's fused multiply-add: the function for processors without is slow.
    simd!(|| squares(x, n))
}

#[inline(always)]
fn squares(x: f64, n: u64) -> f64 {
    // Each product has an error below 2⁻¹⁰², which the squares double: below 2⁻⁷⁰ for n up to 2³⁰.
    let (mut power, mut square, mut n) = ((1.0, 0.0), (x, 0.0), n);
    loop {
        if n % 2 == 1 {
            power = product(power, square);
        }
        n /= 2;
        if n == 0 {
            return power.0;
        }
        square = product(square, square);
    }
}

/// The product of two numbers, each a value and what its rounding lost.
#[inline(always)]
fn product((a, a_rest): (f64, f64), (b, b_rest): (f64, f64)) -> (f64, f64) {
    let product = a * b;
    if product == 0.0 || !product.is_finite() {
        return (product, 0.0);
    }
    let lost = a.mul_add(b, -product) + a.mul_add(b_rest, a_rest * b);
    let sum = product + lost;
    (sum, lost - (sum - product))
}

#[cfg(test)]
mod tests {
    use super::powi;
    use crate::float::Float;

    #[test]
    fn integer_powers_are_correctly_rounded() {
        for base in (1u32..2_000_000).step_by(997) {
            for n in 0..=(126 / (32 - base.leading_zeros())) {
                let scale = f64::from_bits((1023 - 25) << 52);
                let exact = u128::from(base).pow(n) as f64;
                let found = powi(f64::from(base) * scale, n.into());
                assert_eq!(found, (0..n).fold(exact, |x, _| x * scale), "{base} to the power {n}");
            }
        }
        // From mpmath, with 300 bits; glibc rounds the first one down.
        let of_mpmath = [
            (0.999, 2904, 0.054_723_996_727_378_245),
            (0.9999, 123_457, 4.345_727_731_524_494e-6),
            (1.000_000_1, 1 << 30, 4.285_609_645_494_109e46),
        ];
        for (x, n, expected) in of_mpmath {
            assert_eq!(powi(x, n), expected);
        }
    }

    #[test]
    fn special_integer_powers_follow_std() {
        for x in [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e200, -3.0] {
            for n in [0, 1, 2, 3, 10, 11] {
                let (found, expected) = (powi(x, n), x.powf(n as f64));
                let same = found == expected && found.signum() == expected.signum();
                assert!(
                    same || found.is_nan() && expected.is_nan(),
                    "{x} to the power {n}: {found}"
                );
            }
        }
        assert_eq!(powi(0.5, 2000), 0.0);
    }

    #[test]
    fn powers_follow_std() {
        let special = [
            0.0,
            1.0,
            0.5,
            2.0,
            3.0,
            2.5,
            1e-40,
            1e10,
            3e38,
            16_777_217.0,
            f32::INFINITY,
            f32::NAN,
            0.999_999_9,
            1.000_000_1,
            7e6,
        ];
        let values: Vec<f32> = special.into_iter().flat_map(|x| [x, -x]).collect();
        for &x in &values {
            for &e in &values {
                check(x, e);
            }
        }
        for i in 0..200_000u32 {
            let x = f32::from_bits(i.wrapping_mul(2_654_435_761) >> 1);
            let e = (i.wrapping_mul(40_503) % 16_001) as f32 / 1000.0 - 8.0;
            check(x, e);
        }
    }

    fn check(x: f32, e: f32) {
        let (found, exact) = (Float::powf(x, e), f64::from(x).powf(f64::from(e)));
        let expected = exact as f32;
        let unit = f64::from(expected.abs().next_up()) - f64::from(expected.abs());
        let is_near = (f64::from(found) - exact).abs() < 0.6 * unit
            || found == expected
            || found.is_nan() && expected.is_nan();
        assert!(is_near, "{x} to the power {e}: {found}; expected {expected}");
        assert!(
            found.is_nan() || found.is_sign_negative() == expected.is_sign_negative(),
            "the sign of {x} to the power {e}"
        );
    }
}
