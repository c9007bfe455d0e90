//! A part of a row-major matrix that one thread writes.

use crate::memory::CacheLine;
use crate::simd::prefetch;
use std::marker::PhantomData;
use std::ops::Range;

/// Some columns of some rows of a row-major matrix. Blocks of one matrix that are disjoint may be
/// written at the same time, although their rows alternate in memory. Not exported: an argument of
/// [`Panels`](crate::panel::Panels).
pub struct Block<'c, T> {
    /// The element in row 0 and column 0 of the block.
    first: *mut T,
    /// The distance from an element to the one below it.
    stride: usize,
    rows: usize,
    cols: usize,
    borrow: PhantomData<&'c mut [T]>,
}

// SAFETY: a block is a mutable borrow of its elements, which no other usable block contains: `part`
// borrows the block, and `split_at_row` and `split_at_col` consume it.
unsafe impl<T: Send> Send for Block<'_, T> {}

impl<'c, T> Block<'c, T> {
    /// The first `cols` columns of the rows that start `stride` apart.
    ///
    /// # Panics
    /// If the rows overlap, or the last of them is shorter.
    pub(crate) fn new(elements: &'c mut [T], stride: usize, cols: usize) -> Self {
        assert!(cols <= stride, "the rows do not overlap");
        let rows = elements.len().div_ceil(stride.max(1));
        assert!(rows == 0 || (rows - 1) * stride + cols <= elements.len(), "the last row is whole");
        Block { first: elements.as_mut_ptr(), stride, rows, cols, borrow: PhantomData }
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// The first element, and the distances to the ones below it and on its right.
    pub(crate) fn as_raw(&mut self) -> (*mut T, usize, usize) {
        (self.first, self.stride, 1)
    }

    /// The elements of a row.
    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "a row of the block");
        // SAFETY: the row is part of the block, which borrows its elements mutably.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.cols) }
    }

    /// [`prefetch`] for a row.
    #[inline(always)]
    pub(crate) fn prefetch(&self, row: usize) {
        for col in (0..self.cols).step_by(CacheLine::BYTES / size_of::<T>()) {
            prefetch(self.first.wrapping_add(row * self.stride + col));
        }
    }

    /// Some of the rows and columns.
    #[inline(always)]
    pub(crate) fn part(&mut self, rows: Range<usize>, cols: Range<usize>) -> Block<'_, T> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows of the block");
        assert!(cols.start <= cols.end && cols.end <= self.cols, "columns of the block");
        // Wrapping, since a block without elements may start past the end of the matrix.
        let first = self.first.wrapping_add(rows.start * self.stride + cols.start);
        Block { first, rows: rows.len(), cols: cols.len(), ..*self }
    }

    /// The first rows, and the others.
    pub(crate) fn split_at_row(mut self, row: usize) -> (Self, Self) {
        let Block { first, rows, cols, .. } = self.part(row..self.rows, 0..self.cols);
        (Block { rows: row, ..self }, Block { first, rows, cols, ..self })
    }

    /// The first columns, and the others.
    pub(crate) fn split_at_col(mut self, col: usize) -> (Self, Self) {
        let Block { first, rows, cols, .. } = self.part(0..self.rows, col..self.cols);
        (Block { cols: col, ..self }, Block { first, rows, cols, ..self })
    }
}

/// Cuts a range into parts of `len`, the last of which may be shorter.
pub(crate) fn parts(
    range: Range<usize>,
    len: usize,
) -> impl ExactSizeIterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(len).map(move |start| start..end.min(start + len))
}
