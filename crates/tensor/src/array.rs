//! Elements with a shape: storage and layout, no gradient.

use crate::layout::Layout;
use crate::shape::Shape;
use crate::storage::Storage;
use adamant_kernels::{self as kernels, Element, Float, View};
use std::collections::TryReserveError;
use std::ops::Range;
use std::sync::Arc;

/// An immutable n-dimensional array: shared storage seen through strides.
///
/// Cloning and every change of view share the elements. Only [`Array::make_mut`]
/// writes, and it copies first if anyone else can see them.
pub struct Array<E: Element> {
    storage: Arc<Storage<E>>,
    layout: Layout,
}

impl<E: Element> Clone for Array<E> {
    #[inline]
    fn clone(&self) -> Self {
        self.with_layout(self.layout.clone())
    }
}

impl<E: Element> Array<E> {
    /// A new row-major array, written by `fill`, which must write every element:
    /// the slice holds arbitrary elements before.
    ///
    /// `op` is the operation that is reported if there is no memory: every function here that
    /// may allocate takes it first.
    ///
    /// ```
    /// use adamant_tensor::Array;
    /// let fill = |out: &mut [i64]| out.copy_from_slice(&[3, 4]);
    /// assert_eq!(Array::build("pair", [2].into(), fill).to_vec(), [3, 4]);
    /// ```
    ///
    /// # Panics
    /// If there is no memory for it.
    #[must_use]
    #[track_caller]
    pub fn build(op: &str, shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        match Storage::stale(shape.numel()) {
            Ok(storage) => Array::written(storage, shape, fill),
            Err(_) => out_of_memory::<E>(op, &shape),
        }
    }

    /// [`build`](Self::build), for a shape that came from outside.
    ///
    /// # Errors
    /// If there is no memory for it.
    #[track_caller]
    pub fn try_build(shape: Shape, fill: impl FnOnce(&mut [E])) -> Result<Self, TryReserveError> {
        let storage = Storage::stale(shape.numel())?;
        Ok(Array::written(storage, shape, fill))
    }

    fn written(mut storage: Storage<E>, shape: Shape, fill: impl FnOnce(&mut [E])) -> Self {
        fill(storage.as_mut_slice());
        Array { storage: Arc::new(storage), layout: Layout::contiguous(shape) }
    }

    /// All elements `value`.
    #[must_use]
    #[track_caller]
    pub fn full(shape: Shape, value: E) -> Self {
        Array::filled("Array::full", shape, value)
    }

    /// [`full`](Self::full), for an operation.
    #[track_caller]
    pub(crate) fn filled(op: &str, shape: Shape, value: E) -> Self {
        Array::build(op, shape, |out| out.fill(value))
    }

    /// These elements, row-major.
    ///
    /// # Panics
    /// If there are not as many as the shape has places.
    #[must_use]
    #[track_caller]
    pub fn from_slice(shape: Shape, values: &[E]) -> Self {
        Array::copied("Array::from_slice", shape, values)
    }

    /// [`from_slice`](Self::from_slice), for an operation.
    #[track_caller]
    pub(crate) fn copied(op: &str, shape: Shape, values: &[E]) -> Self {
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

    /// The elements, if they lie row-major without gaps.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> Option<&[E]> {
        self.is_contiguous().then(|| &self.storage.as_slice()[self.positions()])
    }

    /// The elements in row-major order, copied.
    #[must_use]
    #[track_caller]
    pub fn to_vec(&self) -> Vec<E> {
        let mut copy = with_room("to_vec", self.numel());
        copy.extend_from_slice(self.contiguous("to_vec").dense());
        copy
    }

    /// Of a contiguous array: its elements.
    pub(crate) fn dense(&self) -> &[E] {
        self.as_slice().expect("made contiguous by the caller")
    }

    pub(crate) fn view(&self) -> View<'_, E> {
        let Layout { strides, offset, .. } = &self.layout;
        View { data: &self.storage.as_slice()[*offset..], strides }
    }

    /// Whether the elements lie row-major without gaps.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The positions of the elements of a contiguous array.
    fn positions(&self) -> Range<usize> {
        self.layout.offset..self.layout.offset + self.numel()
    }

    /// The same elements, row-major: a copy only if they are not.
    #[track_caller]
    pub(crate) fn contiguous(&self, op: &str) -> Array<E> {
        if self.is_contiguous() {
            return self.clone();
        }
        self.map(op, |x| x)
    }

    /// The same elements, row-major, and not a part of something larger: a copy only if
    /// they are not.
    #[track_caller]
    pub(crate) fn compact(&self, op: &str) -> Array<E> {
        let whole = self.storage.as_slice().len() == self.numel();
        if whole && self.is_contiguous() { self.clone() } else { self.map(op, |x| x) }
    }

    /// The elements to write to, if they are contiguous and no one else sees them.
    pub(crate) fn get_mut(&mut self) -> Option<&mut [E]> {
        if !self.is_contiguous() {
            return None;
        }
        let range = self.positions();
        Arc::get_mut(&mut self.storage).map(|storage| &mut storage.as_mut_slice()[range])
    }

    /// The elements to write to, row-major; copied first if anyone else sees them.
    #[must_use]
    #[track_caller]
    pub fn make_mut(&mut self) -> &mut [E] {
        self.unshared("Array::make_mut")
    }

    /// [`make_mut`](Self::make_mut), for an operation.
    #[track_caller]
    pub(crate) fn unshared(&mut self, op: &str) -> &mut [E] {
        if self.get_mut().is_none() {
            *self = self.map(op, |x| x);
        }
        self.get_mut().expect("a new array is contiguous and unshared")
    }

    /// `f` of each element.
    #[track_caller]
    pub(crate) fn map<U: Element>(&self, op: &str, f: impl Fn(E) -> U + Sync) -> Array<U> {
        Array::build(op, self.shape().clone(), |out| match self.as_slice() {
            Some(x) => kernels::map_dense(out, x, f),
            None => kernels::map(out, self.shape(), self.view(), f),
        })
    }

    /// `f` of each pair of elements, both broadcast to `shape`.
    #[track_caller]
    pub(crate) fn zip<V: Element, U: Element>(
        &self,
        op: &str,
        other: &Array<V>,
        shape: Shape,
        f: impl Fn(E, V) -> U + Sync,
    ) -> Array<U> {
        if *self.shape() == shape
            && *other.shape() == shape
            && let (Some(a), Some(b)) = (self.as_slice(), other.as_slice())
        {
            return Array::build(op, shape, |out| kernels::zip_dense(out, a, b, f));
        }
        let (a, b) = (self.broadcast_to(&shape), other.broadcast_to(&shape));
        Array::build(op, shape, |out| kernels::zip(out, a.shape(), a.view(), b.view(), f))
    }

    /// The view in which dimensions of size 1, and missing leading ones, repeat; the caller has
    /// checked that the shapes broadcast.
    pub(crate) fn broadcast_to(&self, shape: &Shape) -> Array<E> {
        if self.shape() == shape {
            return self.clone();
        }
        self.with_layout(self.layout.broadcast_to(shape))
    }

    /// Whether a [`reshape`](Array::reshape) to this shape copies nothing.
    pub(crate) fn views_as(&self, shape: &[usize]) -> bool {
        self.layout.reshape(&shape.into()).is_some()
    }

    /// The same elements in row-major order under another shape with the same number of elements:
    /// a view if strides can describe it, else a copy.
    #[track_caller]
    pub(crate) fn reshape(&self, op: &str, shape: Shape) -> Array<E> {
        match self.layout.reshape(&shape) {
            Some(layout) => self.with_layout(layout),
            None => self.map(op, |x| x).with_layout(Layout::contiguous(shape)),
        }
    }

    /// The view whose dimension `d` is this array's dimension `order[d]`.
    pub(crate) fn permute(&self, order: &[usize]) -> Array<E> {
        self.with_layout(self.layout.permute(order))
    }

    /// The elements row-major with the dimensions `dims` moved behind the others.
    #[track_caller]
    pub(crate) fn rows(&self, op: &str, dims: &[usize]) -> Array<E> {
        self.with_layout(self.layout.move_last(dims)).contiguous(op)
    }

    /// Where the elements lie.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A view: the same storage under another layout.
    pub(crate) fn with_layout(&self, layout: Layout) -> Array<E> {
        Array { storage: self.storage.clone(), layout }
    }
}

impl<T: Float> Array<T> {
    /// As a matrix for a product; a stride per dimension says where all is.
    pub(crate) fn matrix(&self) -> kernels::Matrix<'_, T> {
        let &[rows, cols] = &**self.shape() else { panic!("a matrix has two dimensions") };
        let View { data, strides } = self.view();
        kernels::Matrix { data, rows, cols, row_stride: strides[0], col_stride: strides[1] }
    }

    /// Zeros of `shape` with this array added at the positions of `layout`, a layout over the
    /// row-major elements of `shape`: the gradient of a view.
    #[track_caller]
    pub(crate) fn scatter(&self, shape: &Shape, layout: &Layout) -> Array<T> {
        Array::build("backward", shape.clone(), |out| {
            out.fill(T::ZERO);
            self.add_to(out, layout);
        })
    }

    /// Adds this array to the elements of `out` at the positions of `layout`, which may name a
    /// position several times.
    #[track_caller]
    pub(crate) fn add_to(&self, out: &mut [T], layout: &Layout) {
        let x = self.contiguous("backward");
        kernels::add_strided(&mut out[layout.offset..], &layout.shape, &layout.strides, x.dense());
    }

    /// Adds an array of the same shape: in the buffer of one of them if no one else sees it.
    #[track_caller]
    pub(crate) fn add_assign(&mut self, mut other: Array<T>) {
        if let Some(elements) = self.get_mut() {
            kernels::zip_assign(elements, other.contiguous("backward").dense(), |x, y| x + y);
        } else if let Some(elements) = other.get_mut() {
            kernels::zip_assign(elements, self.contiguous("backward").dense(), |y, x| x + y);
            *self = other;
        } else {
            *self = self.zip("backward", &other, self.shape().clone(), |x, y| x + y);
        }
    }

    /// The sum over dimension range `dims`, which disappears. A view is not copied.
    #[track_caller]
    pub(crate) fn sum_range(&self, op: &str, dims: Range<usize>) -> Array<T> {
        let size = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (outer, inner) = (&self.shape()[..dims.start], &self.shape()[dims.end..]);
        let split = [size(outer), size(&self.shape()[dims.clone()]), size(inner)];
        let shape = outer.iter().chain(inner).copied().collect();
        Array::build(op, shape, |out| match self.as_slice() {
            Some(x) => kernels::sum(out, x, split),
            None => kernels::sum_view(out, self.shape(), self.view(), split),
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
    fn reshape_copies_only_if_it_must() {
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
