//! One result element from the elements at the same index.

pub(crate) mod abs;
pub(crate) mod add;
pub(crate) mod assign;
pub(crate) mod cast;
pub(crate) mod clamp;
pub(crate) mod compare;
pub(crate) mod div;
pub(crate) mod div_rounded;
pub(crate) mod elu;
pub(crate) mod exp;
pub(crate) mod extremum;
pub(crate) mod gelu;
pub(crate) mod lerp;
pub(crate) mod log;
pub(crate) mod mul;
pub(crate) mod operand;
pub(crate) mod operators;
pub(crate) mod piecewise;
pub(crate) mod powers;
pub(crate) mod relu;
pub(crate) mod round;
pub(crate) mod sigmoid;
pub(crate) mod smooth;
pub(crate) mod tanh;
pub(crate) mod trig;
pub(crate) mod where_;
