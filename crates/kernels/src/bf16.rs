//! Floats of 16 bits: the upper half of the bits of an `f32`.

use crate::float::Float;
use bytemuck::{Pod, Zeroable};
use std::cmp::Ordering;
use std::fmt;

/// A BF16: an `f32` with 8 instead of 24 bits of precision, and the same range.
///
/// ```
/// use adamant_kernels::Bf16;
/// assert_eq!(Bf16::round(1.0f32).widen::<f64>(), 1.0);
/// assert_eq!(Bf16::round(1.01f32).widen::<f32>(), 1.0078125);
/// ```
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// Rounds to nearest, ties to even. From 2¹²⁸ − 2¹¹⁹ on, this is infinity. An `f64` is rounded to
    /// `f32` first.
    #[must_use]
    #[inline(always)]
    pub fn round<T: Float>(value: T) -> Bf16 {
        let value = value.to_f32();
        let bits = value.to_bits();
        let odd = (bits >> 16) & 1;
        // A carry out of the mantissa increases the exponent, as it should.
        let nearest = bits.wrapping_add(0x7fff + odd) >> 16;
        let quiet = (bits >> 16) | 0x40; // a NaN's set bits may all have been in the lower half
        Bf16(if value.is_nan() { quiet } else { nearest } as u16)
    }

    /// The same number in another type, exactly.
    #[must_use]
    #[inline(always)]
    pub fn widen<T: Float>(self) -> T {
        T::from_f32(f32::from_bits(u32::from(self.0) << 16))
    }
}

// SAFETY: the type is that of its field, for which all of this holds.
unsafe impl Zeroable for Bf16 {}
// SAFETY: as above.
unsafe impl Pod for Bf16 {}

impl PartialEq for Bf16 {
    fn eq(&self, other: &Self) -> bool {
        self.widen::<f32>() == other.widen()
    }
}

impl PartialOrd for Bf16 {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.widen::<f32>().partial_cmp(&other.widen())
    }
}

impl fmt::Debug for Bf16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.widen::<f32>().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_rounds_to_itself() {
        for bits in 0..=u16::MAX {
            let (single, double) = (Bf16(bits).widen::<f32>(), Bf16(bits).widen::<f64>());
            let expected = if single.is_nan() { bits | 0x40 } else { bits };
            assert_eq!(
                [Bf16::round(single).0, Bf16::round(double).0],
                [expected; 2],
                "{bits:#06x}"
            );
            assert!(double == f64::from(single) || double.is_nan() && single.is_nan());
        }
    }

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        for bits in (0..0x7f80u16).chain(0x8000..0xff80) {
            let [low, high] = [bits, bits + 1].map(|bits| Bf16(bits).widen::<f32>());
            let middle = f32::from_bits((u32::from(bits) << 16) + 0x8000);
            let rounded = |x: f32| Bf16::round(x).widen::<f32>();
            assert_eq!(rounded(f32::from_bits(middle.to_bits() - 1)), low);
            assert_eq!(rounded(middle), if bits % 2 == 0 { low } else { high });
            assert_eq!(rounded(f32::from_bits(middle.to_bits() + 1)), high);
        }
    }

    #[test]
    fn nan_stays_nan() {
        for bits in [0x7f80_0001u32, 0x7fff_ffff, 0xff80_0001, 0xffff_ffff] {
            let x = Bf16::round(f32::from_bits(bits)).widen::<f32>();
            assert!(x.is_nan() && x.is_sign_negative() == (bits >> 31 == 1), "{bits:#x}");
        }
    }
}
