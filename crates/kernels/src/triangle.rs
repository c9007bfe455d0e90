//! Triangles of matrices.

use crate::elementwise::copy_slice;
use crate::float::Element;
use crate::parallel::{piece, share};
use std::ops::Range;

/// Row-major matrices of shape `[rows, columns]`, in which row `r` keeps its columns `kept(r)`; the
/// others become `value`.
///
/// # Panics
/// If the lengths differ, or a range is not within the columns.
///
/// ```
/// let mut out = [9.0; 4];
/// adamant_kernels::triangle(&mut out, &[1.0, 2.0, 3.0, 4.0], [2, 2], |row| 0..row + 1, 0.0);
/// assert_eq!(out, [1.0, 0.0, 3.0, 4.0]);
/// ```
pub fn triangle<E: Element>(
    out: &mut [E],
    x: &[E],
    shape: [usize; 2],
    kept: impl Fn(usize) -> Range<usize> + Sync,
    value: E,
) {
    assert_eq!(out.len(), x.len(), "operands of one length");
    if out.is_empty() {
        return;
    }
    let [rows, columns] = shape;
    let count = piece(out.len()).div_ceil(columns); // rows in a piece of work
    let cost = out.len();
    let pieces = out.chunks_mut(count * columns).zip(x.chunks(count * columns)).enumerate();
    share(pieces, cost, |(piece, (out, x))| {
        let rows_of_piece = out.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
        for (row, (out, x)) in (piece * count..).zip(rows_of_piece) {
            let Range { start, end } = kept(row % rows);
            out[..start].fill(value);
            copy_slice(&mut out[start..end], &x[start..end]);
            out[end..].fill(value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_all_pieces_are_kept() {
        let (matrices, rows, columns) = (3, 301, 97);
        let x: Vec<usize> = (1..=matrices * rows * columns).collect();
        let mut out = vec![usize::MAX; x.len()];
        triangle(&mut out, &x, [rows, columns], |row| row.min(columns)..columns, 0);
        for (i, &found) in out.iter().enumerate() {
            let (row, column) = (i / columns % rows, i % columns);
            assert_eq!(found, if column >= row { i + 1 } else { 0 }, "[{row}, {column}]");
        }
    }
}
