//! The unit of buffer allocation.

use bytemuck::{Pod, Zeroable};

/// Sixty-four aligned bytes: a cache line, and the widest vector register.
///
/// A buffer of cache lines starts on one, so no aligned vector load straddles two.
/// `bytemuck::cast_slice` casts it to elements.
///
/// ```
/// let lines = vec![adamant_kernels::CacheLine::ZERO; 2];
/// let floats: &[f32] = bytemuck::cast_slice(&lines);
/// assert_eq!(floats, [0.0; 32]);
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct CacheLine([u8; 64]);

impl CacheLine {
    /// The number of bytes in a line.
    pub const BYTES: usize = size_of::<CacheLine>();
    /// All bits zero.
    pub const ZERO: CacheLine = CacheLine([0; 64]);
}

// SAFETY: 64 bytes with alignment 64 have no padding, and every bit pattern of a byte array is
// valid, including all zeros.
unsafe impl Zeroable for CacheLine {}
// SAFETY: as above; the type is Copy, 'static and repr(C).
unsafe impl Pod for CacheLine {}
