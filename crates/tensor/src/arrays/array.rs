//! Arrays: elements with a shape, and no gradient. A tensor is an array with a node of the tape.

use crate::arrays::layout::Layout;
use crate::arrays::shape::Shape;
use crate::arrays::storage::Storage;
use adamant_kernels::{self as kernels, Element, Float, Taken, View};
use smallvec::SmallVec;
use std::collections::TryReserveError;
use std::ops::Range;
use std::sync::Arc;

/// An immutable n-dimensional array: shared storage viewed through a layout.
///
/// Clones and views share the elements. Only [`Array::make_mut`] writes to them, and it copies them
/// first if they are shared.
pub struct Array<E: Element> {
    storage: Arc<Storage<E>>,
    layout: Layout,
}

impl<E: Element> Clone for Array<E> {
    #[inline]
    fn clone(&self) -> Self {
        Array { storage: self.storage.clone(), layout: self.layout.clone() }
    }
}

impl<E: Element> Array<E> {
    /// A new row-major array whose elements are written by `fill`. It must write all of them: the
    /// slice starts with arbitrary elements.
    ///
    /// `op` is the operation that is reported if there is no memory.
    ///
    /// ```
    /// use adamant_tensor::Array;
    /// let fill = |out: &mut [i64]| out.copy_from_slice(&[3, 4]);
    /// assert_eq!(Array::build("pair", [2].into(), fill).to_vec(), [3, 4]);
    /// ```
    ///
    /// # Panics
    /// If there is not enough memory.
    #[must_use]
    #[track_caller]
    pub fn build(op: &str, shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        match Storage::stale(shape.numel()) {
            Ok(storage) => Array::written(storage, shape, fill),
            Err(_) => out_of_memory::<E>(op, &shape),
        }
    }

    /// [`build`](Self::build) that returns an error, for shapes from untrusted input.
    ///
    /// # Errors
    /// If there is not enough memory.
    #[track_caller]
    pub fn try_build(shape: Shape, fill: impl FnOnce(&mut [E])) -> Result<Self, TryReserveError> {
        let storage = Storage::stale(shape.numel())?;
        Ok(Array::written(storage, shape, fill))
    }

    #[inline]
    fn written(mut storage: Storage<E>, shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        fill(storage.as_mut_slice());
        Array { storage: Arc::new(storage), layout: Layout::contiguous(shape) }
    }

    /// An array whose elements are all `value`.
    #[must_use]
    #[track_caller]
    pub fn full(shape: Shape, value: E) -> Self {
        Array::full_for("Array::full", shape, value)
    }

    /// [`full`](Self::full) for operation `op`.
    #[track_caller]
    pub(crate) fn full_for(op: &str, shape: Shape, value: E) -> Self {
        Array::build(op, shape, |out| kernels::fill(out, value))
    }

    /// An array of these elements, given in row-major order.
    ///
    /// # Panics
    /// If `values` does not have exactly as many elements as the shape.
    #[must_use]
    #[track_caller]
    pub fn from_slice(shape: Shape, values: &[E]) -> Self {
        Array::from_slice_for("Array::from_slice", shape, values)
    }

    /// [`from_slice`](Self::from_slice) for operation `op`.
    #[track_caller]
    pub(crate) fn from_slice_for(op: &str, shape: Shape, values: &[E]) -> Self {
        Array::build(op, shape, |out| out.copy_from_slice(values))
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.layout.shape
    }

    #[inline]
    pub(crate) fn numel(&self) -> usize {
        self.shape().numel()
    }

    /// The elements, if they are contiguous: in row-major order without gaps.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> Option<&[E]> {
        self.is_contiguous().then(|| &self.storage.as_slice()[self.positions()])
    }

    /// A copy of the elements in row-major order.
    #[must_use]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<E> {
        let mut copy = with_room("to_vec", self.numel());
        copy.extend_from_slice(self.contiguous("to_vec").contiguous_slice());
        copy
    }

    /// The elements of an array that is known to be contiguous.
    pub(crate) fn contiguous_slice(&self) -> &[E] {
        self.as_slice().expect("the caller has made it contiguous")
    }

    /// The elements as kernels take them: a slice from the first element on, and the strides.
    pub(crate) fn strided_slice(&self) -> View<'_, E> {
        let Layout { strides, offset, .. } = &self.layout;
        View { data: &self.storage.as_slice()[*offset..], strides }
    }

    /// Whether the elements are in row-major order without gaps.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The positions in storage of a contiguous array's elements.
    fn positions(&self) -> Range<usize> {
        self.layout.offset..self.layout.offset + self.numel()
    }

    /// A contiguous array of the same elements; copies only if this is not contiguous.
    #[track_caller]
    pub(crate) fn contiguous(&self, op: &str) -> Array<E> {
        if self.is_contiguous() {
            return self.clone();
        }
        self.copy(op)
    }

    /// A copy of the elements in row-major order.
    #[track_caller]
    fn copy(&self, op: &str) -> Array<E> {
        Array::build(op, self.shape().clone(), |out| {
            kernels::copy(out, self.shape(), self.strided_slice());
        })
    }

    /// A contiguous array of the same elements that fills its storage; copies only if this does
    /// not. So a small gradient does not keep a large buffer alive.
    #[track_caller]
    #[inline]
    pub(crate) fn compact(&self, op: &str) -> Array<E> {
        let whole = self.storage.as_slice().len() == self.numel();
        if whole && self.is_contiguous() { self.clone() } else { self.copy(op) }
    }

    /// The elements to write to, if they are contiguous and not shared.
    pub(crate) fn get_mut(&mut self) -> Option<&mut [E]> {
        if !self.is_contiguous() {
            return None;
        }
        let range = self.positions();
        Arc::get_mut(&mut self.storage).map(|storage| &mut storage.as_mut_slice()[range])
    }

    /// The elements to write to, in row-major order. Copies them first if they are shared or not
    /// contiguous.
    #[must_use]
    #[track_caller]
    pub fn make_mut(&mut self) -> &mut [E] {
        self.make_mut_for("Array::make_mut")
    }

    /// [`make_mut`](Self::make_mut) for operation `op`.
    #[track_caller]
    pub(crate) fn make_mut_for(&mut self, op: &str) -> &mut [E] {
        // `get_mut` twice, since the borrow checker rejects an early return.
        if self.get_mut().is_none() {
            *self = self.copy(op);
        }
        self.get_mut().expect("a new array is contiguous and unshared")
    }

    /// Applies `f` to each element.
    #[track_caller]
    pub(crate) fn map<U: Element>(&self, op: &str, f: impl Fn(E) -> U + Copy + Sync) -> Array<U> {
        Array::build(op, self.shape().clone(), |out| match self.as_slice() {
            Some(x) => kernels::map_dense(out, x, f),
            None => kernels::map(out, self.shape(), self.strided_slice(), f),
        })
    }

    /// Applies `f` and `g` to each element.
    #[track_caller]
    pub(crate) fn map_twice<U: Element, V: Element>(
        &self,
        op: &str,
        f: impl Fn(E) -> U + Copy + Sync,
        g: impl Fn(E) -> V + Copy + Sync,
    ) -> (Array<U>, Array<V>) {
        let Some(x) = self.as_slice() else { return (self.map(op, f), self.map(op, g)) };
        let mut other = Array::build(op, self.shape().clone(), |_| ());
        let out = Array::build(op, self.shape().clone(), |out| {
            kernels::map_twice(out, other.make_mut_for(op), x, f, g);
        });
        (out, other)
    }

    /// Applies `f` to each pair of elements, with both arrays broadcast to `shape`.
    #[track_caller]
    pub(crate) fn zip<V: Element, U: Element>(
        &self,
        op: &str,
        other: &Array<V>,
        shape: Shape,
        f: impl Fn(E, V) -> U + Copy + Sync,
    ) -> Array<U> {
        if *self.shape() == shape
            && *other.shape() == shape
            && let (Some(a), Some(b)) = (self.as_slice(), other.as_slice())
        {
            return Array::build(op, shape, |out| kernels::zip_dense(out, a, b, f));
        }
        let (a, b) = (self.broadcast_to(&shape), other.broadcast_to(&shape));
        Array::build(op, shape, |out| {
            kernels::zip(out, a.shape(), a.strided_slice(), b.strided_slice(), f);
        })
    }

    /// Applies `f` to each triple of elements, with all three arrays broadcast to `shape`.
    #[track_caller]
    pub(crate) fn zip3<V: Element, W: Element, U: Element>(
        &self,
        op: &str,
        second: &Array<V>,
        third: &Array<W>,
        shape: Shape,
        f: impl Fn(E, V, W) -> U + Copy + Sync,
    ) -> Array<U> {
        let (a, b, c) =
            (self.broadcast_to(&shape), second.broadcast_to(&shape), third.broadcast_to(&shape));
        Array::build(op, shape, |out| {
            let (x, y, z) = (a.strided_slice(), b.strided_slice(), c.strided_slice());
            kernels::zip3(out, a.shape(), x, y, z, f);
        })
    }

    /// The view of `shape` that repeats dimensions of size 1 and missing leading ones. The caller
    /// has checked that the shapes broadcast.
    pub(crate) fn broadcast_to(&self, shape: &Shape) -> Array<E> {
        if self.shape() == shape {
            return self.clone();
        }
        self.with_layout(self.layout.broadcast_to(shape))
    }

    /// Whether [`reshape`](Array::reshape) to this shape returns a view, without a copy.
    pub(crate) fn views_as(&self, shape: &[usize]) -> bool {
        self.layout.reshape(&shape.into()).is_some()
    }

    /// The same elements in row-major order under another shape with the same number of elements:
    /// a view if strides can describe it, otherwise a copy.
    #[track_caller]
    pub(crate) fn reshape(&self, op: &str, shape: Shape) -> Array<E> {
        match self.layout.reshape(&shape) {
            Some(layout) => self.with_layout(layout),
            None => self.copy(op).with_layout(Layout::contiguous(shape)),
        }
    }

    /// The elements at these indices of some dimensions, and at all of the others. The caller has
    /// checked the indices.
    #[track_caller]
    pub(crate) fn take(&self, op: &str, indices: &[(usize, &[usize])]) -> Array<E> {
        let x = self.contiguous(op);
        let mut dims: SmallVec<[Taken<'_>; 4]> =
            self.shape().iter().map(|&size| Taken { size, index: None }).collect();
        indices.iter().for_each(|&(dim, index)| dims[dim].index = Some(index));
        let taken = |dim: &Taken<'_>| dim.index.map_or(dim.size, <[usize]>::len);
        Array::build(op, dims.iter().map(taken).collect(), |out| {
            kernels::take(out, x.contiguous_slice(), &dims);
        })
    }

    /// The view whose dimension `d` is this array's dimension `order[d]`.
    pub(crate) fn permute(&self, order: &[usize]) -> Array<E> {
        self.with_layout(self.layout.permute(order))
    }

    /// A contiguous array with the dimensions `dims` moved to the end.
    #[track_caller]
    pub(crate) fn rows(&self, op: &str, dims: &[usize]) -> Array<E> {
        self.with_layout(self.layout.move_last(dims)).contiguous(op)
    }

    /// This two-dimensional array as an operand of a matrix product, without a copy.
    pub(crate) fn matrix(&self) -> kernels::Matrix<'_, E> {
        let &[rows, cols] = &**self.shape() else { panic!("a matrix has two dimensions") };
        let View { data, strides } = self.strided_slice();
        kernels::Matrix { data, rows, cols, row_stride: strides[0], col_stride: strides[1] }
    }

    /// Where the elements lie in the storage.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A view: the same storage under another layout.
    pub(crate) fn with_layout(&self, layout: Layout) -> Array<E> {
        Array { storage: self.storage.clone(), layout }
    }
}

impl<T: Float> Array<T> {
    /// Zeros of `shape` with this array added at the positions of `layout`, which refers to the
    /// row-major elements of `shape`: the gradient of a view.
    #[track_caller]
    pub(crate) fn scatter(&self, shape: &Shape, layout: &Layout) -> Array<T> {
        Array::build("backward", shape.clone(), |out| {
            kernels::fill(out, T::ZERO);
            self.add_to(out, layout);
        })
    }

    /// Adds this array to the elements of `out` at the positions of `layout`, where a position may
    /// occur several times.
    #[track_caller]
    pub(crate) fn add_to(&self, out: &mut [T], layout: &Layout) {
        let x = self.contiguous("backward");
        kernels::add_strided(
            &mut out[layout.offset..],
            &layout.shape,
            &layout.strides,
            x.contiguous_slice(),
        );
    }

    /// The elements converted to type `U`, rounded to nearest.
    #[track_caller]
    pub(crate) fn cast<U: Float>(&self) -> Array<U> {
        self.map("cast", |x| U::from_f64(x.to_f64()))
    }

    /// Adds an array of the same shape: in the buffer of either, if one is not shared.
    #[track_caller]
    pub(crate) fn add_assign(&mut self, mut other: Array<T>) {
        if let Some(elements) = self.get_mut() {
            kernels::zip_assign(
                elements,
                other.contiguous("backward").contiguous_slice(),
                |x, y| x + y,
            );
        } else if let Some(elements) = other.get_mut() {
            kernels::zip_assign(
                elements,
                self.contiguous("backward").contiguous_slice(),
                |y, x| x + y,
            );
            *self = other;
        } else {
            *self = self.zip("backward", &other, self.shape().clone(), |x, y| x + y);
        }
    }

    /// The sum over the dimensions `dims`, which are removed. Does not copy a view.
    #[track_caller]
    pub(crate) fn sum_range(&self, op: &str, dims: Range<usize>) -> Array<T> {
        let size = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (outer, inner) = (&self.shape()[..dims.start], &self.shape()[dims.end..]);
        let split = [size(outer), size(&self.shape()[dims.clone()]), size(inner)];
        let shape = outer.iter().chain(inner).copied().collect();
        Array::build(op, shape, |out| match self.as_slice() {
            Some(x) => kernels::sum(out, x, split),
            None => kernels::sum_view(out, self.shape(), self.strided_slice(), split),
        })
    }
}

/// An empty vector with room for `len` elements.
#[track_caller]
pub(crate) fn with_room<E>(op: &str, len: usize) -> Vec<E> {
    let mut vec = Vec::new();
    if vec.try_reserve_exact(len).is_err() {
        out_of_memory::<E>(op, &[len].into());
    }
    vec
}

#[cold]
#[track_caller]
fn out_of_memory<E>(op: &str, shape: &Shape) -> ! {
    let bytes = shape.numel().saturating_mul(size_of::<E>());
    panic!("{op}: out of memory: a tensor of shape {shape} takes {bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_copies_only_if_necessary() {
        let shares = |a: &Array<usize>, b: &Array<usize>| Arc::ptr_eq(&a.storage, &b.storage);
        let counted = |shape: &[usize]| {
            Array::build("test", shape.into(), |out| {
                out.iter_mut().enumerate().for_each(|(i, out)| *out = i);
            })
        };
        let x: Array<usize> = counted(&[2, 3, 4]);
        let view = |layout| x.with_layout(layout);
        let moved = view(x.layout.permute(&[1, 0, 2])); // strides 4, 12, 1
        let rows = view(x.layout.slice(1, 0, 2, 1));
        for (from, to, is_view) in [
            (&x, &[6, 4][..], true),
            (&moved, &[3, 1, 2, 2, 2], true),
            (&moved, &[6, 4], false),
            (&rows, &[2, 8, 1], true),
            (&rows, &[16], false),
            (&view(x.layout.slice(2, 0, 1, 1)), &[6], true),
            (&view(x.layout.slice(2, 0, 2, 2)), &[12], true),
            (&counted(&[]), &[1, 1], true),
        ] {
            let reshaped = from.reshape("test", to.into());
            assert_eq!(reshaped.to_vec(), from.to_vec(), "{:?} to {to:?}", from.shape());
            assert_eq!(shares(&reshaped, from), is_view, "{:?} to {to:?}", from.shape());
        }
    }

    #[test]
    fn scatter_adds_overlapping_windows() {
        let layout = Layout::contiguous([3, 4].into()).windows(1, 2, 1);
        let sum = Array::full([3, 3, 2].into(), 1.0f32).scatter(&[3, 4].into(), &layout);
        assert_eq!(sum.to_vec(), [1.0, 2.0, 2.0, 1.0].repeat(3));
    }
}
