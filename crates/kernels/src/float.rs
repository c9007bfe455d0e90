//! The element types of buffers, and the two floating-point types that everything is generic over.

use crate::bf16::Bf16;
use crate::erf;
use crate::exponential::{self, Exponential};
use crate::gemm::Gemm;
use crate::logarithm::{self, Logarithm};
use crate::panel::Panels;
use crate::power;
use crate::sort::Sortable;
use crate::trigonometry::{self, Trigonometric};
use bytemuck::Pod;
use std::fmt::{Debug, Display, LowerExp};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Rem, Sub};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for i64 {}
    impl Sealed for u8 {}
    impl Sealed for usize {}
    impl Sealed for crate::bf16::Bf16 {}
}

/// An element of an array: `f32`, `f64`, a stored [`Bf16`], an index (`usize`), a count (`i64`) or a
/// boolean (`u8`, 0 or 1).
///
/// Sealed. Any bits are a valid value, so a buffer can be reused for another element type.
pub trait Element:
    sealed::Sealed + Pod + Default + PartialEq + PartialOrd + Debug + Send + Sync
{
}

impl Element for f32 {}
impl Element for f64 {}
impl Element for i64 {}
impl Element for u8 {}
impl Element for usize {}
impl Element for Bf16 {}

/// `f32` or `f64`; sealed, so that kernels can rely on IEEE 754.
///
/// The methods have the names of the primitive types' methods.
pub trait Float:
    Element
    + Exponential
    + Gemm
    + Logarithm
    + Panels
    + Sortable
    + Trigonometric
    + Display
    + LowerExp
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Rem<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + DivAssign
    + 'static
{
    /// `0`
    const ZERO: Self;
    /// `1`
    const ONE: Self;
    /// ∞
    const INFINITY: Self;
    /// −∞
    const NEG_INFINITY: Self;
    /// Not a number.
    const NAN: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// The type's name: `f32` or `f64`.
    const DTYPE: &'static str;

    /// Rounds an `f64` to the nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// Widens to `f64`, exactly.
    fn to_f64(self) -> f64;
    /// Widens an `f32` to this type, exactly.
    fn from_f32(value: f32) -> Self;
    /// Rounds to the nearest `f32`.
    fn to_f32(self) -> f32;
    /// `self · a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// √self
    fn sqrt(self) -> Self;
    /// eˢᵉˡᶠ
    fn exp(self) -> Self;
    /// eˢᵉˡᶠ − 1, accurate near 0
    fn exp_m1(self) -> Self;
    /// ln self
    fn ln(self) -> Self;
    /// ln(1 + self), accurate near 0
    fn ln_1p(self) -> Self;
    /// log₂ self
    fn log2(self) -> Self;
    /// The angle of the point (x, self), in radians.
    fn atan2(self, x: Self) -> Self;
    /// tanh self
    fn tanh(self) -> Self;
    /// The error function: 2/√π ∫₀ˢᵉˡᶠ exp(−t²) dt
    fn erf(self) -> Self;
    /// selfᵉ
    fn powf(self, e: Self) -> Self;
    /// |self|
    fn abs(self) -> Self;
    /// |self| with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// The largest integer ≤ self.
    fn floor(self) -> Self;
    /// The smallest integer ≥ self.
    fn ceil(self) -> Self;
    /// The integer part: rounds toward 0.
    fn trunc(self) -> Self;
    /// The nearest integer; halves round to the even one.
    fn round_ties_even(self) -> Self;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this is neither infinite nor NaN.
    fn is_finite(self) -> bool;

    /// The larger of the two; NaN if either is NaN.
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }
}

macro_rules! float {
    ($t:ident, $erf:path, $powf:path, $atan2:path) => {
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const NAN: Self = $t::NAN;
            const EPSILON: Self = $t::EPSILON;
            const DTYPE: &'static str = stringify!($t);

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                $t::from(value)
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $t::mul_add(self, a, b)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                exponential::exp(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                exponential::exp_m1(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                logarithm::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                logarithm::ln_1p(self)
            }
            #[inline(always)]
            fn log2(self) -> Self {
                logarithm::log2(self)
            }
            #[inline(always)]
            fn atan2(self, x: Self) -> Self {
                $atan2(self, x)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                exponential::tanh(self)
            }
            #[inline(always)]
            fn powf(self, e: Self) -> Self {
                $powf(self, e)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                $t::copysign(self, sign)
            }
            #[inline(always)]
            fn floor(self) -> Self {
                $t::floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                $t::ceil(self)
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                $t::trunc(self)
            }
            #[inline(always)]
            fn round_ties_even(self) -> Self {
                $t::round_ties_even(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
        }
    };
}

float!(f32, erf::erf, power::powf, trigonometry::atan2);
float!(f64, libm::erf, libm::pow, libm::atan2);
