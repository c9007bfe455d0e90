//! The layout of an array: where its elements lie in its storage.
//!
//! A view is the same storage under another layout. The methods here map the layout of an array to
//! that of a view.

use crate::arrays::shape::Shape;
use adamant_kernels::contiguous_strides;
use smallvec::SmallVec;

/// For each dimension, the distance in storage between neighbors, in elements.
pub(crate) type Strides = SmallVec<[usize; 4]>;

/// A shape, a stride for each dimension and the position of the first element.
///
/// Element `[i, j, …]` is at position `offset + i · strides[0] + j · strides[1] + …` in storage. The
/// methods expect arguments that the caller has checked.
///
/// Invariant: every element lies in the storage, and `offset` is at most the storage's length, also
/// for an empty layout: no method moves the offset of one.
pub(crate) struct Layout {
    pub(crate) shape: Shape,
    pub(crate) strides: Strides,
    pub(crate) offset: usize,
}

// Not derived: copying a slice is several times faster than cloning a `SmallVec`.
impl Clone for Layout {
    #[inline]
    fn clone(&self) -> Self {
        let strides = Strides::from_slice(&self.strides);
        Layout { shape: self.shape.clone(), strides, offset: self.offset }
    }
}

impl Layout {
    /// The row-major layout of `shape`, without gaps.
    #[inline(always)]
    pub(crate) fn contiguous(shape: Shape) -> Self {
        let strides = contiguous_strides(&shape);
        Layout { shape, strides, offset: 0 }
    }

    /// Whether the elements lie in row-major order without gaps.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        // Strides of dimensions of size 1 do not matter; without elements, none do.
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return self.shape.contains(&0);
            }
            expected *= size;
        }
        true
    }

    /// Another shape and other strides, with the same first element.
    fn with_same_offset(&self, shape: Shape, strides: Strides) -> Layout {
        Layout { shape, strides, offset: self.offset }
    }

    /// Moves the first element to `index` along dimension `dim` of `whole`. An empty layout keeps
    /// its offset: the new one could exceed the storage's length.
    fn starting_at(mut self, whole: &Layout, dim: usize, index: usize) -> Layout {
        if !self.shape.contains(&0) {
            self.offset += index * whole.strides[dim];
        }
        self
    }

    /// Repeats dimensions of size 1, and missing leading ones, to fill `shape`.
    pub(crate) fn broadcast_to(&self, shape: &Shape) -> Layout {
        let leading = shape.len() - self.shape.len();
        let mut strides = Strides::from_elem(0, shape.len()); // stride 0 repeats
        for (d, (&size, &stride)) in self.shape.iter().zip(&self.strides).enumerate() {
            if size != 1 {
                strides[leading + d] = stride;
            }
        }
        self.with_same_offset(shape.clone(), strides)
    }

    /// The same elements in row-major order under shape `to`, which has the same number of
    /// elements; `None` if no strides describe this.
    pub(crate) fn reshape(&self, to: &Shape) -> Option<Layout> {
        let from = &self.shape;
        if to.contains(&0) || from.is_empty() {
            return Some(self.with_same_offset(to.clone(), contiguous_strides(to))); // at most one element
        }
        let mut found = Strides::from_elem(0, to.len());
        let mut next = to.len(); // `found[next..]` is complete
        // A run: dimensions of `from`, ending at `d`, that are equivalent to a single dimension of
        // size `run` and stride `step`. Each run is split into dimensions of `to`, last to first.
        let mut run = 1;
        let mut step = self.strides[from.len() - 1];
        for d in (0..from.len()).rev() {
            run *= from[d];
            if d > 0 && (from[d - 1] == 1 || self.strides[d - 1] == run * step) {
                continue;
            }
            // No product overflows: `filled` divides the number of elements of `to`, it is at most
            // `run` where it is multiplied by `step`, and `(run − 1) · step` is within the storage.
            let mut filled = 1;
            while next > 0 && (filled < run || (filled == run && to[next - 1] == 1)) {
                next -= 1;
                found[next] = filled * step;
                filled *= to[next];
            }
            if filled != run {
                return None;
            }
            if d > 0 {
                (run, step) = (1, self.strides[d - 1]);
            }
        }
        debug_assert_eq!(next, 0, "both shapes have the same number of elements");
        Some(self.with_same_offset(to.clone(), found))
    }

    /// Reorders the dimensions: dimension `d` of the view is dimension `order[d]` of this layout.
    pub(crate) fn permute(&self, order: &[usize]) -> Layout {
        let shape = order.iter().map(|&d| self.shape[d]).collect();
        let strides = order.iter().map(|&d| self.strides[d]).collect();
        self.with_same_offset(shape, strides)
    }

    /// Moves the dimensions `dims` to the end, in this order.
    pub(crate) fn move_last(&self, dims: &[usize]) -> Layout {
        let kept = (0..self.shape.len()).filter(|d| !dims.contains(d));
        let order: SmallVec<[usize; 4]> = kept.chain(dims.iter().copied()).collect();
        self.permute(&order)
    }

    /// `len` indices of dimension `dim`: `start`, `start + step`, ….
    pub(crate) fn slice(&self, dim: usize, start: usize, len: usize, step: usize) -> Layout {
        let mut strides = Strides::from_slice(&self.strides);
        // The stride of a single element does not matter, and `step` may be too large to multiply.
        if len > 1 {
            strides[dim] *= step;
        }
        self.with_same_offset(self.shape.with_size(dim, len), strides).starting_at(self, dim, start)
    }

    /// The elements at `index` of dimension `dim`, which is removed.
    pub(crate) fn select(&self, dim: usize, index: usize) -> Layout {
        let mut strides = Strides::from_slice(&self.strides);
        strides.remove(dim);
        self.with_same_offset(self.shape.without(dim), strides).starting_at(self, dim, index)
    }

    /// The diagonal of `len` elements in the plane of two dimensions, from the element with indices
    /// `start`. Both dimensions are removed; the diagonal is a new last one.
    pub(crate) fn diagonal(&self, dims: [usize; 2], start: [usize; 2], len: usize) -> Layout {
        let [a, b] = dims;
        let kept = || (0..self.shape.len()).filter(|d| !dims.contains(d));
        let shape = kept().map(|d| self.shape[d]).chain([len]).collect();
        let strides = kept().map(|d| self.strides[d]);
        let strides = strides.chain([self.strides[a] + self.strides[b]]).collect();
        self.with_same_offset(shape, strides)
            .starting_at(self, a, start[0])
            .starting_at(self, b, start[1])
    }

    /// All windows of `size` elements along `dim` whose starts are `step` apart: `dim` becomes the
    /// index of the window, and a new last dimension the index within it.
    pub(crate) fn windows(&self, dim: usize, size: usize, step: usize) -> Layout {
        let count = (self.shape[dim] - size) / step + 1;
        let shape = self.shape.with_size(dim, count).iter().copied().chain([size]).collect();
        let mut strides = Strides::from_slice(&self.strides);
        strides.push(self.strides[dim]);
        if count > 1 {
            strides[dim] *= step;
        }
        self.with_same_offset(shape, strides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The positions of the elements in row-major order.
    fn positions(layout: &Layout) -> Vec<usize> {
        let numel: usize = layout.shape.iter().product();
        let position = |index: usize| {
            let (mut rest, mut position) = (index, layout.offset);
            for (&size, &stride) in layout.shape.iter().zip(&layout.strides).rev() {
                position += rest % size * stride;
                rest /= size;
            }
            position
        };
        (0..numel).map(position).collect()
    }

    #[test]
    fn views_refer_to_the_right_positions() {
        let x = Layout::contiguous([3, 4].into());
        assert_eq!(positions(&x.permute(&[1, 0])), [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
        assert_eq!(positions(&x.slice(1, 1, 2, 2)), [1, 3, 5, 7, 9, 11]);
        assert_eq!(positions(&x.select(0, 2)), [8, 9, 10, 11]);
        assert_eq!(positions(&x.diagonal([0, 1], [0, 1], 3)), [1, 6, 11]);
        let windows = [0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10, 10, 11];
        assert_eq!(positions(&x.windows(1, 2, 1)), windows);
        assert_eq!(positions(&x.select(0, 1).broadcast_to(&[2, 4].into())), [4, 5, 6, 7].repeat(2));
    }

    #[test]
    fn strides_of_a_reshaped_broadcast_do_not_overflow() {
        let column = Layout { shape: [2].into(), strides: Strides::from_elem(1024, 1), offset: 0 };
        let repeated = column.broadcast_to(&[1 << 58, 2].into());
        assert!(repeated.reshape(&[1, 1 << 59].into()).is_none());
    }

    #[test]
    fn an_empty_view_keeps_its_offset() {
        let x = Layout::contiguous([3, 4].into());
        assert_eq!(x.slice(0, 3, 0, 1).offset, 0);
        assert_eq!(x.slice(0, 3, 0, 1).select(1, 3).offset, 0);
    }
}
