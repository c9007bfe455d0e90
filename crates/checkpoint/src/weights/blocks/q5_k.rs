//! Q5_K: 256 elements of 5 bits, in 8 groups of 32 with a scale and a minimum of 6 bits each.

use super::q4_k::factors;
use std::array::from_fn;

/// `(d · scale) · q − (dmin · min)`, `q` from 0 to 31; `scale` and `min` of the element's group.
///
/// | bytes | content |
/// |---|---|
/// | 0–15 | `d`, `dmin`, scales and minima, as in Q4_K |
/// | 16–47 | the fifth bits of `q`: bit g of byte e belongs to element e of group g |
/// | 48–175 | the lower four bits, as `q` in Q4_K |
pub(crate) fn q5_k(block: &[u8; 176]) -> [f32; 256] {
    let factors = factors(block);
    from_fn(|i| {
        let (group, element) = (i / 32, i % 32);
        let byte = block[48 + group / 2 * 32 + element];
        let low = if group % 2 == 0 { byte & 0xf } else { byte >> 4 };
        let q = low | (block[16 + element] >> group & 1) << 4;
        let (scale, min) = factors[group];
        scale * f32::from(q) - min
    })
}
