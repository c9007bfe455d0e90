//! Padding with a constant.

use crate::parallel::{piece, share};
use crate::strided::View;

/// Copies `x`, of shape `inner`, into `out`, of shape `outer`, with `before[d]` elements before it in
/// dimension `d`; all other elements of `out` become `value`.
///
/// # Panics
/// If the numbers of dimensions differ, there is none, `out` does not have the elements of `outer`,
/// or `x` is too short or does not fit.
///
/// ```
/// use adamant_kernels::{View, pad};
/// let mut out = [9; 6];
/// pad(&mut out, &[2, 3], View { data: &[1, 2], strides: &[2, 1] }, &[1, 2], &[1, 0], 0);
/// assert_eq!(out, [0, 0, 0, 1, 2, 0]);
/// ```
pub fn pad<E: Copy + Send + Sync>(
    out: &mut [E],
    outer: &[usize],
    x: View<'_, E>,
    inner: &[usize],
    before: &[usize],
    value: E,
) {
    assert_eq!(out.len(), outer.iter().product::<usize>(), "one result for each position");
    assert!(
        outer.len() == inner.len() && inner.len() == before.len(),
        "equal numbers of dimensions"
    );
    let fits = (0..outer.len()).all(|d| before[d] + inner[d] <= outer[d]);
    assert!(fits, "{inner:?} fits into {outer:?} after {before:?}");
    let Some((&row, rows)) = outer.split_last() else { panic!("at least one dimension") };
    let last = rows.len();
    if out.is_empty() {
        return;
    }
    let (stride, start, len) = (x.strides[last], before[last], inner[last]);
    let count = piece(out.len()).div_ceil(row); // rows in a piece of work
    let cost = out.len();
    share(out.chunks_mut(count * row).enumerate(), cost, |(piece, out)| {
        for (r, out) in (piece * count..).zip(out.chunks_exact_mut(row)) {
            let Some(offset) = offset(r, rows, inner, before, x.strides) else {
                out.fill(value);
                continue;
            };
            let (left, out) = out.split_at_mut(start);
            let (out, right) = out.split_at_mut(len);
            left.fill(value);
            right.fill(value);
            if len > 0 && stride == 1 {
                out.copy_from_slice(&x.data[offset..offset + len]);
            } else {
                out.iter_mut().enumerate().for_each(|(i, out)| *out = x.data[offset + i * stride]);
            }
        }
    });
}

/// The offset in `x` of what row `r` of the result contains of it; `None` if that is nothing.
fn offset(
    mut r: usize,
    rows: &[usize],
    inner: &[usize],
    before: &[usize],
    strides: &[usize],
) -> Option<usize> {
    let mut offset = 0;
    for d in (0..rows.len()).rev() {
        let index = (r % rows[d]).checked_sub(before[d]).filter(|&index| index < inner[d])?;
        offset += index * strides[d];
        r /= rows[d];
    }
    Some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_at_its_position() {
        for (inner, before, after) in [
            ([3, 40, 500], [0, 1, 2], [1, 0, 3]),
            ([1, 2, 1], [2, 0, 0], [0, 0, 0]),
            ([2, 0, 3], [1, 1, 1], [0, 1, 0]),
            ([2, 3, 0], [1, 1, 1], [0, 1, 0]),
        ] {
            let x: Vec<usize> = (1..=inner.iter().product()).collect();
            // The operand with its last two dimensions exchanged.
            let strides = [inner[1] * inner[2], 1, inner[1]];
            let outer: [usize; 3] = std::array::from_fn(|d| before[d] + inner[d] + after[d]);
            let mut out = vec![usize::MAX; outer.iter().product()];
            pad(&mut out, &outer, View { data: &x, strides: &strides }, &inner, &before, 0);
            for (at, &found) in out.iter().enumerate() {
                let index = [at / outer[2] / outer[1], at / outer[2] % outer[1], at % outer[2]];
                let own = |d: usize| index[d].checked_sub(before[d]).filter(|&i| i < inner[d]);
                let expected = match (own(0), own(1), own(2)) {
                    (Some(i), Some(j), Some(k)) => {
                        x[i * strides[0] + j * strides[1] + k * strides[2]]
                    }
                    _ => 0,
                };
                assert_eq!(found, expected, "{inner:?} at {index:?}");
            }
        }
    }
}
