//! Elements with a shape: storage and layout, no gradient.

use crate::node::ViewFn;
use crate::shape::Shape;
use crate::storage::Storage;
use adamant_kernels::{self as kernels, Element, Float, View};
use smallvec::SmallVec;
use std::collections::TryReserveError;
use std::sync::Arc;

/// The steps between neighbours along each dimension, in elements.
type Strides = SmallVec<[usize; 4]>;

/// An immutable n-dimensional array: shared storage seen through strides.
///
/// Cloning and every change of view share the elements. Only [`Array::make_mut`]
/// writes, and it copies first if anyone else can see them.
pub struct Array<E: Element> {
    storage: Arc<Storage<E>>,
    shape: Shape,
    strides: Strides,
    offset: usize,
}

// By hand: to copy strides as a slice is several times quicker than to clone a SmallVec.
impl<E: Element> Clone for Array<E> {
    #[inline]
    fn clone(&self) -> Self {
        Array {
            storage: self.storage.clone(),
            shape: self.shape.clone(),
            strides: Strides::from_slice(&self.strides),
            offset: self.offset,
        }
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
        let strides = kernels::contiguous_strides(&shape);
        Array { storage: Arc::new(storage), shape, strides, offset: 0 }
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
        &self.shape
    }

    #[inline]
    pub(crate) fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The elements, if they lie row-major without gaps.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> Option<&[E]> {
        let range = self.offset..self.offset + self.numel();
        self.is_contiguous().then(|| &self.storage.as_slice()[range])
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
        View { data: &self.storage.as_slice()[self.offset..], strides: &self.strides }
    }

    /// Whether the elements lie row-major without gaps.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return self.shape.contains(&0);
            }
            expected *= size;
        }
        true
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
        let range = self.offset..self.offset + self.numel();
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
        Array::build(op, self.shape.clone(), |out| match self.as_slice() {
            Some(x) => kernels::map_dense(out, x, f),
            None => kernels::map(out, &self.shape, self.view(), f),
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
        if self.shape == shape
            && other.shape == shape
            && let (Some(a), Some(b)) = (self.as_slice(), other.as_slice())
        {
            return Array::build(op, shape, |out| kernels::zip_dense(out, a, b, f));
        }
        let (a, b) = (self.broadcast_to(&shape), other.broadcast_to(&shape));
        Array::build(op, shape, |out| kernels::zip(out, &a.shape, a.view(), b.view(), f))
    }

    /// The view in which size-1 and missing leading dimensions repeat; the
    /// caller has checked that the shapes broadcast.
    pub(crate) fn broadcast_to(&self, shape: &Shape) -> Array<E> {
        if self.shape == *shape {
            return self.clone();
        }
        let lead = shape.len() - self.shape.len();
        let mut strides = Strides::from_elem(0, shape.len());
        for (d, (&size, &stride)) in self.shape.iter().zip(&self.strides).enumerate() {
            if size != 1 {
                strides[lead + d] = stride;
            }
        }
        self.seen(shape.clone(), strides)
    }

    /// Whether the same elements can be seen under another shape where they lie.
    pub(crate) fn views_as(&self, shape: &[usize]) -> bool {
        reshaped_strides(&self.shape, &self.strides, &shape.into()).is_some()
    }

    /// The same elements in row-major order under another shape of as many:
    /// a view if strides can say it, else a copy.
    #[track_caller]
    pub(crate) fn reshape(&self, op: &str, shape: Shape) -> Array<E> {
        match reshaped_strides(&self.shape, &self.strides, &shape) {
            Some(strides) => self.seen(shape, strides),
            None => {
                let strides = kernels::contiguous_strides(&shape);
                self.map(op, |x| x).seen(shape, strides)
            }
        }
    }

    /// Dimension `d` of the view is dimension `order[d]` of this.
    pub(crate) fn permute(&self, order: &[usize]) -> Array<E> {
        let shape = order.iter().map(|&d| self.shape[d]).collect();
        let strides = order.iter().map(|&d| self.strides[d]).collect();
        self.seen(shape, strides)
    }

    /// The view of `len` elements of dimension `dim` from `start` on, `step` apart.
    pub(crate) fn slice(&self, dim: usize, start: usize, len: usize, step: usize) -> Array<E> {
        let mut view = self.seen(self.shape.with(dim, len), Strides::from_slice(&self.strides));
        // Of an empty view every offset is right, but one past the end is not a place.
        if !view.shape.contains(&0) {
            view.offset += start * view.strides[dim];
        }
        if len > 1 {
            view.strides[dim] *= step;
        }
        view
    }

    /// The view without dimension `dim`, which has size 1.
    pub(crate) fn without_dim(&self, dim: usize) -> Array<E> {
        let mut strides = Strides::from_slice(&self.strides);
        strides.remove(dim);
        self.seen(self.shape.without(dim), strides)
    }

    /// The view of the elements at equal places along two dimensions, `len` of them
    /// from `start` (a place in each): both disappear, and the diagonal comes last.
    pub(crate) fn diagonal(&self, dims: [usize; 2], start: [usize; 2], len: usize) -> Array<E> {
        let [a, b] = dims;
        let kept = || (0..self.shape.len()).filter(|d| !dims.contains(d));
        let shape = kept().map(|d| self.shape[d]).chain([len]).collect();
        let strides = kept().map(|d| self.strides[d]);
        let strides = strides.chain([self.strides[a] + self.strides[b]]).collect();
        let mut view = self.seen(shape, strides);
        if !view.shape.contains(&0) {
            view.offset += start[0] * self.strides[a] + start[1] * self.strides[b];
        }
        view
    }

    /// The view of windows of `size` elements along `dim`, `step` apart: `dim`
    /// counts them, and a new last dimension is the place within one.
    pub(crate) fn windows(&self, dim: usize, size: usize, step: usize) -> Array<E> {
        let count = (self.shape[dim] - size) / step + 1;
        let shape = self.shape.with(dim, count).iter().copied().chain([size]).collect();
        let mut strides = Strides::from_slice(&self.strides);
        strides.push(self.strides[dim]);
        if count > 1 {
            strides[dim] *= step;
        }
        self.seen(shape, strides)
    }

    /// The view with the dimensions `dims` moved behind the others.
    pub(crate) fn moved_last(&self, dims: &[usize]) -> Array<E> {
        let kept = (0..self.shape.len()).filter(|d| !dims.contains(d));
        let order: SmallVec<[usize; 4]> = kept.chain(dims.iter().copied()).collect();
        self.permute(&order)
    }

    /// [`moved_last`](Array::moved_last), row-major.
    #[track_caller]
    pub(crate) fn rows(&self, op: &str, dims: &[usize]) -> Array<E> {
        self.moved_last(dims).contiguous(op)
    }

    /// The same storage from the same place, seen otherwise.
    fn seen(&self, shape: Shape, strides: Strides) -> Array<E> {
        Array { storage: self.storage.clone(), shape, strides, offset: self.offset }
    }
}

impl<T: Float> Array<T> {
    /// As a matrix for a product; a stride per dimension says where all is.
    pub(crate) fn matrix(&self) -> kernels::Matrix<'_, T> {
        let &[rows, cols] = &*self.shape else { panic!("a matrix has two dimensions") };
        let View { data, strides } = self.view();
        kernels::Matrix { data, rows, cols, row_stride: strides[0], col_stride: strides[1] }
    }

    /// Zeros of `shape`, to which this array is [added](Array::add_to_places) in the places that
    /// `view` shows of it: what undoes a view.
    #[track_caller]
    pub(crate) fn unview(&self, shape: &Shape, view: &ViewFn<T>) -> Array<T> {
        Array::build("backward", shape.clone(), |out| {
            out.fill(T::ZERO);
            self.add_to_places(out, shape, view);
        })
    }

    /// Adds this array to the places of `out`, row-major and of `shape`, that `view` shows of
    /// it, where a place may be shown more than once.
    #[track_caller]
    pub(crate) fn add_to_places(&self, out: &mut [T], shape: &Shape, view: &ViewFn<T>) {
        if self.numel() == 0 {
            return;
        }
        // What the view does to a row-major array of this shape: no element is looked at.
        let seen = view(&Array {
            storage: Arc::new(Storage::stale(0).expect("no memory is taken")),
            shape: shape.clone(),
            strides: kernels::contiguous_strides(shape),
            offset: 0,
        });
        let x = self.contiguous("backward");
        kernels::add_strided(&mut out[seen.offset..], &seen.shape, &seen.strides, x.dense());
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
            *self = self.zip("backward", &other, self.shape.clone(), |x, y| x + y);
        }
    }

    /// The sum over dimension range `dims`, which disappears. A view is not copied.
    #[track_caller]
    pub(crate) fn sum_range(&self, op: &str, dims: std::ops::Range<usize>) -> Array<T> {
        let size = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (outer, inner) = (&self.shape[..dims.start], &self.shape[dims.end..]);
        let split = [size(outer), size(&self.shape[dims.clone()]), size(inner)];
        let shape = outer.iter().chain(inner).copied().collect();
        Array::build(op, shape, |out| match self.as_slice() {
            Some(x) => kernels::sum(out, x, split),
            None => kernels::sum_view(out, &self.shape, self.view(), split),
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

/// The strides under which elements seen through `shape` and `strides` are
/// `to`, in the same order; `None` if there are none.
fn reshaped_strides(shape: &[usize], strides: &[usize], to: &Shape) -> Option<Strides> {
    if to.contains(&0) || shape.is_empty() {
        return Some(kernels::contiguous_strides(to)); // no place, or one
    }
    let mut found = Strides::from_elem(0, to.len());
    let mut next = to.len(); // dimensions of `to` from here on have their strides
    // A run is some neighbouring dimensions that lie in memory as one would.
    let mut run = 1;
    let mut step = strides[shape.len() - 1];
    for d in (0..shape.len()).rev() {
        run *= shape[d];
        if d > 0 && (shape[d - 1] == 1 || strides[d - 1] == run * step) {
            continue;
        }
        let mut filled = 1;
        while next > 0 && (filled < run || to[next - 1] == 1) {
            next -= 1;
            found[next] = filled * step;
            filled *= to[next];
        }
        if filled != run {
            return None;
        }
        if d > 0 {
            (run, step) = (1, strides[d - 1]);
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: &[usize]) -> Array<usize> {
        Array::build("test", shape.into(), |out| {
            out.iter_mut().enumerate().for_each(|(i, out)| *out = i);
        })
    }

    #[test]
    fn a_reshape_copies_only_where_it_must() {
        let shares = |a: &Array<usize>, b: &Array<usize>| Arc::ptr_eq(&a.storage, &b.storage);
        let x = counted(&[2, 3, 4]);
        let moved = x.permute(&[1, 0, 2]); // strides 4, 12, 1
        for (from, to, view) in [
            (&x, &[6, 4][..], true),
            (&moved, &[3, 1, 2, 2, 2], true),
            (&moved, &[6, 4], false),
            (&x.slice(1, 0, 2, 1), &[2, 8, 1], true),
            (&x.slice(1, 0, 2, 1), &[16], false),
            (&x.slice(2, 0, 1, 1), &[6], true),
            (&x.slice(2, 0, 2, 2), &[12], true),
            (&counted(&[]), &[1, 1], true),
        ] {
            let reshaped = from.reshape("test", to.into());
            assert_eq!(reshaped.to_vec(), from.to_vec(), "{:?} to {to:?}", from.shape);
            assert_eq!(shares(&reshaped, from), view, "{:?} to {to:?}", from.shape);
        }
    }

    #[test]
    fn views_show_the_right_places() {
        let x = counted(&[3, 4]);
        assert_eq!(x.slice(1, 1, 2, 2).to_vec(), [1, 3, 5, 7, 9, 11]);
        assert_eq!(x.diagonal([0, 1], [0, 1], 3).to_vec(), [1, 6, 11]);
        assert_eq!(
            x.windows(1, 2, 1).to_vec(),
            [0, 1, 1, 2, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10, 10, 11]
        );
        let sum = Array::full([3, 3, 2].into(), 1.0f32)
            .unview(x.shape(), &|x: &Array<f32>| x.windows(1, 2, 1));
        assert_eq!(sum.to_vec(), [1.0, 2.0, 2.0, 1.0].repeat(3));
    }
}
