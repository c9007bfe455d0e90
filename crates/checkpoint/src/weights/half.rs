//! Floats of 16 bits as `f32`, exactly, and `f32` rounded to them.
//!
//! | | sign | exponent | mantissa | largest | spacing below 1 | smallest |
//! |---|---|---|---|---|---|---|
//! | F16 | 1 bit | 5 bits | 10 bits | 65,504 | 2⁻¹¹ | 2⁻²⁴ |
//! | BF16 | 1 bit | 8 bits | 7 bits | 3.39 × 10³⁸ | 2⁻⁸ | 9.2 × 10⁻⁴¹ |
//!
//! A NaN keeps its sign and the bits of its mantissa that fit.

/// The difference between the exponent biases of `f32` and F16, in the position of an `f32`'s exponent.
const REBIAS: u32 = (127 - 15) << 23;

/// The value of an F16.
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    match bits & 0x7c00 {
        // Zero and subnormals are multiples of 2⁻²⁴; the product is exact.
        0 => {
            let value = f32::from(bits & 0x3ff) * 2.0f32.powi(-24);
            f32::from_bits(sign | value.to_bits())
        }
        0x7c00 => f32::from_bits(sign | 0x7f80_0000 | magnitude), // infinities and NaN
        _ => f32::from_bits(sign | (magnitude + REBIAS)),
    }
}

/// The value of a BF16, whose bits are the upper half of an `f32`'s.
pub(crate) fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to the nearest F16, ties to even. Magnitudes of 65,520 and more are infinity.
pub(crate) fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = value.abs();
    sign | if value.is_nan() {
        0x7e00 | (bits >> 13) as u16 & 0x3ff
    } else if magnitude >= 65_520.0 {
        0x7c00 // halfway between 65,504 and 2¹⁶, which is even
    } else if magnitude < 2.0f32.powi(-14) {
        // Scaling by a power of two is exact. 1024 carries into the exponent: the smallest normal.
        (magnitude * 2.0f32.powi(24)).round_ties_even() as u16
    } else {
        (nearest_even(magnitude.to_bits() - REBIAS, 13)) as u16
    }
}

/// Rounds to the nearest BF16, ties to even. Magnitudes of 3.3961776 × 10³⁸ and more are infinity.
pub(crate) fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    match value.is_nan() {
        true => (bits >> 16) as u16 | 0x40, // quiet, since its lower bits may have been the only ones
        false => nearest_even(bits, 16) as u16,
    }
}

/// `bits / 2^shift`, rounded to nearest, ties to even. A carry out of the mantissa increases the
/// exponent, as it should.
fn nearest_even(bits: u32, shift: u32) -> u32 {
    let odd = (bits >> shift) & 1;
    (bits + (1 << (shift - 1)) - 1 + odd) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value by the definition of a float with this number of bits in its mantissa.
    fn by_definition(bits: u16, mantissa_bits: i32, bias: i32) -> f64 {
        let mantissa = f64::from(bits & ((1 << mantissa_bits) - 1)) / f64::from(1 << mantissa_bits);
        let exponent = i32::from(bits & 0x7fff) >> mantissa_bits;
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        sign * match exponent {
            0 => mantissa * 2f64.powi(1 - bias),
            e if e == 2 * bias + 1 && mantissa == 0.0 => f64::INFINITY,
            e if e == 2 * bias + 1 => f64::NAN,
            e => (1.0 + mantissa) * 2f64.powi(e - bias),
        }
    }

    #[test]
    fn every_half_has_the_value_of_its_definition() {
        for bits in 0..=u16::MAX {
            for (found, expected) in [
                (f16_to_f32(bits), by_definition(bits, 10, 15)),
                (bf16_to_f32(bits), by_definition(bits, 7, 127)),
            ] {
                let same = f64::from(found).to_bits() == expected.to_bits();
                assert!(same || found.is_nan() && expected.is_nan(), "{bits:#x}: {found}");
            }
        }
    }

    #[test]
    fn every_half_round_trips() {
        for bits in 0..=u16::MAX {
            let quiet = |value: f32, bit: u16| if value.is_nan() { bits | bit } else { bits };
            let (f16, bf16) = (f16_to_f32(bits), bf16_to_f32(bits));
            assert_eq!(f32_to_f16(f16), quiet(f16, 0x200));
            assert_eq!(f32_to_bf16(bf16), quiet(bf16, 0x40));
        }
    }

    #[test]
    fn rounding_is_to_nearest_even() {
        type Format = (fn(u16) -> f32, fn(f32) -> u16, u16);
        let formats: [Format; 2] =
            [(f16_to_f32, f32_to_f16, 0x7c00), (bf16_to_f32, f32_to_bf16, 0x7f80)];
        for (to_f32, from_f32, infinity) in formats {
            for low in 0..infinity {
                // The next value, if the exponent were not limited.
                let (a, high) = (f64::from(to_f32(low)), low + 1);
                let b = match high == infinity {
                    true => a + (a - f64::from(to_f32(low - 1))),
                    false => f64::from(to_f32(high)),
                };
                let middle = ((a + b) / 2.0) as f32; // exact
                let even = if low % 2 == 0 { low } else { high };
                for (value, expected) in
                    [(middle, even), (middle.next_down(), low), (middle.next_up(), high)]
                {
                    assert_eq!(from_f32(value), expected, "{value:e}");
                    assert_eq!(from_f32(-value), expected | 0x8000, "-{value:e}");
                }
            }
            for value in [f32::MAX, f32::INFINITY] {
                assert_eq!(from_f32(value), infinity);
            }
            assert_eq!(from_f32(-0.0), 0x8000);
        }
    }
}
