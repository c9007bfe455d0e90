//! The quantized blocks of GGUF files: groups of elements with a common scale.
//!
//! Each function decodes a block to the values that llama.cpp's reference computes, in the same
//! order of operations, so that every bit agrees. `d` and `m` are F16 factors that are widened
//! first. The blocks of 32 elements are here; the "K" blocks of 256 elements have a file each.

mod q4_k;
mod q5_k;
mod q6_k;

pub(crate) use self::q4_k::q4_k;
pub(crate) use self::q5_k::q5_k;
pub(crate) use self::q6_k::q6_k;

use super::half::f16_to_f32;
use std::array::from_fn;

/// The F16 at this byte of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Element `i` of 32 elements of 4 bits: the lower halves of 16 bytes, then the upper halves.
fn low4(bytes: &[u8], i: usize) -> u8 {
    if i < 16 { bytes[i] & 0xf } else { bytes[i - 16] >> 4 }
}

/// Element `i` of 32 elements of 5 bits: 4 bytes with the fifth bits, then the lower four as in
/// [`low4`].
fn low5(bytes: &[u8], i: usize) -> u8 {
    low4(&bytes[4..], i) | (bytes[i / 8] >> (i % 8) & 1) << 4
}

/// `d · q`, `q` from −128 to 127.
///
/// | bytes | content |
/// |---|---|
/// | 0–1 | `d` |
/// | 2–33 | `q` of each element |
pub(crate) fn q8_0(block: &[u8; 34]) -> [f32; 32] {
    let d = half(block, 0);
    from_fn(|i| d * f32::from(block[2 + i] as i8))
}

/// `d · q + m`, `q` from 0 to 31.
///
/// | bytes | content |
/// |---|---|
/// | 0–1 | `d` |
/// | 2–3 | `m` |
/// | 4–7 | the fifth bits of `q`, one for each element |
/// | 8–23 | the lower four bits: of elements 0–15 in the lower halves, of 16–31 in the upper ones |
pub(crate) fn q5_1(block: &[u8; 24]) -> [f32; 32] {
    let (d, m) = (half(block, 0), half(block, 2));
    from_fn(|i| d * f32::from(low5(&block[4..], i)) + m)
}

/// `d · (q − 16)`, `q` from 0 to 31.
///
/// | bytes | content |
/// |---|---|
/// | 0–1 | `d` |
/// | 2–5 | the fifth bits of `q`, one for each element |
/// | 6–21 | the lower four bits: of elements 0–15 in the lower halves, of 16–31 in the upper ones |
pub(crate) fn q5_0(block: &[u8; 22]) -> [f32; 32] {
    let d = half(block, 0);
    from_fn(|i| d * (f32::from(low5(&block[2..], i)) - 16.0))
}

/// `d · q + m`, `q` from 0 to 15.
///
/// | bytes | content |
/// |---|---|
/// | 0–1 | `d` |
/// | 2–3 | `m` |
/// | 4–19 | `q`: of elements 0–15 in the lower halves, of 16–31 in the upper ones |
pub(crate) fn q4_1(block: &[u8; 20]) -> [f32; 32] {
    let (d, m) = (half(block, 0), half(block, 2));
    from_fn(|i| d * f32::from(low4(&block[4..], i)) + m)
}

/// `d · (q − 8)`, `q` from 0 to 15.
///
/// | bytes | content |
/// |---|---|
/// | 0–1 | `d` |
/// | 2–17 | `q`: of elements 0–15 in the lower halves, of 16–31 in the upper ones |
pub(crate) fn q4_0(block: &[u8; 18]) -> [f32; 32] {
    let d = half(block, 0);
    from_fn(|i| d * (f32::from(low4(&block[2..], i)) - 8.0))
}
