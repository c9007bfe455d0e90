//! Q6_K: 256 elements of 6 bits, in 16 groups of 16 with a signed scale of 8 bits each.

use super::half;
use std::array::from_fn;

/// `(d · scale) · (q − 32)`, `q` from 0 to 63; `scale` of the element's group, from −128 to 127.
///
/// | bytes | content |
/// |---|---|
/// | 0–127 | the lower four bits of `q` |
/// | 128–191 | the upper two bits of `q` |
/// | 192–207 | the scale of each group |
/// | 208–209 | `d` |
///
/// The elements are in two halves of 128. A half is four runs of 32: the lower four bits of runs 0
/// and 1 are in the lower halves of 64 bytes, those of runs 2 and 3 in the upper halves; the upper
/// two bits of run r are the bits 2r and 2r + 1 of 32 bytes.
pub(crate) fn q6_k(block: &[u8; 210]) -> [f32; 256] {
    let d = half(block, 208);
    let scales: [f32; 16] = from_fn(|group| d * f32::from(block[192 + group] as i8));
    from_fn(|i| {
        let (part, run, element) = (i / 128, i % 128 / 32, i % 32);
        let byte = block[part * 64 + run % 2 * 32 + element];
        let low = if run < 2 { byte & 0xf } else { byte >> 4 };
        let high = block[128 + part * 32 + element] >> (2 * run) & 3;
        scales[i / 16] * (f32::from(low | high << 4) - 32.0)
    })
}
