//! Q4_K: 256 elements of 4 bits, in 8 groups of 32 with a scale and a minimum of 6 bits each.

use super::half;
use std::array::from_fn;

/// `(d · scale) · q − (dmin · min)`, `q` from 0 to 15; `scale` and `min` of the element's group, from
/// 0 to 63.
///
/// | bytes | content |
/// |---|---|
/// | 0–1 | `d` |
/// | 2–3 | `dmin` |
/// | 4–15 | the scales and minima of the groups, see [`scale_and_min`] |
/// | 16–143 | `q`: for each pair of groups 32 bytes, the first group's in the lower halves |
pub(crate) fn q4_k(block: &[u8; 144]) -> [f32; 256] {
    let factors = factors(block);
    from_fn(|i| {
        let (group, element) = (i / 32, i % 32);
        let byte = block[16 + group / 2 * 32 + element];
        let q = if group % 2 == 0 { byte & 0xf } else { byte >> 4 };
        let (scale, min) = factors[group];
        scale * f32::from(q) - min
    })
}

/// `d · scale` and `dmin · min` of each group, of a block that begins as Q4_K does.
pub(super) fn factors(block: &[u8]) -> [(f32, f32); 8] {
    let (d, dmin) = (half(block, 0), half(block, 2));
    from_fn(|group| {
        let (scale, min) = scale_and_min(&block[4..16], group);
        (d * f32::from(scale), dmin * f32::from(min))
    })
}

/// The scale and the minimum of a group, from twelve bytes for all eight groups.
///
/// | byte, for j from 0 to 3 | lower bits | upper bits |
/// |---|---|---|
/// | j | 6: scale j | 2: the upper two of scale j + 4 |
/// | 4 + j | 6: minimum j | 2: the upper two of minimum j + 4 |
/// | 8 + j | 4: the lower four of scale j + 4 | 4: the lower four of minimum j + 4 |
fn scale_and_min(bytes: &[u8], group: usize) -> (u8, u8) {
    let j = group % 4;
    let (scales, mins, rest) = (bytes[j], bytes[4 + j], bytes[8 + j]);
    match group < 4 {
        true => (scales & 0x3f, mins & 0x3f),
        false => (rest & 0xf | scales >> 6 << 4, rest >> 4 | mins >> 6 << 4),
    }
}
