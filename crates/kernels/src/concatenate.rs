//! Rows joined end to end.

use crate::elementwise::copy_slice;
use crate::parallel::{piece, share};

/// Rows below this many elements are not worth a copy of a slice for each part.
const SHORT: usize = 16;

/// `out[r] ← parts[0][r] ++ parts[1][r] ++ …` for each row `r`: a part is a slice of rows and the
/// length of one of them.
///
/// # Panics
/// If the parts do not have one row for each of `out`.
///
/// ```
/// let mut out = [0; 6];
/// adamant_kernels::concatenate(&mut out, &[(&[1, 4], 1), (&[2, 3, 5, 6], 2)]);
/// assert_eq!(out, [1, 2, 3, 4, 5, 6]);
/// ```
pub fn concatenate<E: Copy + Send + Sync>(out: &mut [E], parts: &[(&[E], usize)]) {
    let row: usize = parts.iter().map(|&(_, len)| len).sum();
    assert!(out.len().is_multiple_of(row), "rows of one length");
    let rows = out.len().checked_div(row).unwrap_or(0);
    for (part, len) in parts {
        assert_eq!(part.len(), rows * len, "a row for each of the result");
    }
    if out.is_empty() {
        return;
    }
    let (cost, piece_len) = (out.len(), piece(out.len()));
    if row < SHORT {
        let count = piece_len / row; // rows in a piece of work
        return share(out.chunks_mut(count * row).enumerate(), cost, |(piece, out)| {
            let mut offset = 0;
            for &(part, len) in parts {
                let part = &part[piece * count * len..];
                for i in 0..len {
                    let out = out[offset + i..].iter_mut().step_by(row);
                    out.zip(part[i..].iter().step_by(len)).for_each(|(out, &x)| *out = x);
                }
                offset += len;
            }
        });
    }
    share(out.chunks_mut(piece_len).enumerate(), cost, |(piece, mut out)| {
        let (mut r, mut skipped) = (piece * piece_len / row, piece * piece_len % row);
        while !out.is_empty() {
            for &(part, len) in parts {
                let start = skipped.min(len);
                skipped -= start;
                let count = (len - start).min(out.len());
                let from = r * len + start;
                let (filled, rest) = out.split_at_mut(count);
                copy_slice(filled, &part[from..from + count]);
                out = rest;
            }
            r += 1;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CHUNK;

    #[test]
    fn every_row_has_its_parts_in_order() {
        for (rows, lens) in [(1, vec![CHUNK + 7, 0, 3 * CHUNK]), (40_000, vec![1, 2]), (3, vec![5])]
        {
            let row: usize = lens.iter().sum();
            let expected: Vec<usize> = (0..rows * row).collect();
            let mut start = 0;
            let mut parts = Vec::new();
            for &len in &lens {
                let part = |r: usize| r * row + start..r * row + start + len;
                parts.push((0..rows).flat_map(part).collect::<Vec<usize>>());
                start += len;
            }
            let parts: Vec<(&[usize], usize)> =
                parts.iter().map(Vec::as_slice).zip(lens.iter().copied()).collect();
            let mut out = vec![usize::MAX; expected.len()];
            concatenate(&mut out, &parts);
            assert!(out == expected, "{rows} rows of {lens:?}");
        }
    }
}
