//! Numbers with a shape: storage and layout, no gradient.

use crate::shape::Shape;
use crate::storage::Storage;
use adamant_kernels::{self as kernels, Float, View, contiguous_strides};
use smallvec::SmallVec;
use std::sync::Arc;

type Strides = SmallVec<[usize; 4]>;

/// An immutable n-dimensional array: shared storage seen through strides.
///
/// Cloning and every change of view share the numbers. Only [`Array::make_mut`]
/// writes, and it copies first if anyone else can see them.
#[derive(Clone)]
pub struct Array<T: Float> {
    storage: Arc<Storage<T>>,
    shape: Shape,
    strides: Strides,
    offset: usize,
}

impl<T: Float> Array<T> {
    /// A new row-major array, written by `fill`, which must write every element:
    /// the slice holds arbitrary numbers before.
    pub(crate) fn build(shape: Shape, fill: impl FnOnce(&mut [T])) -> Self {
        let mut storage = Storage::stale(shape.numel());
        fill(storage.as_mut_slice());
        let strides = contiguous_strides(&shape);
        Array { storage: Arc::new(storage), shape, strides, offset: 0 }
    }

    /// All elements `value`.
    #[must_use]
    pub fn full(shape: Shape, value: T) -> Self {
        Array::build(shape, |out| out.fill(value))
    }

    pub(crate) fn from_slice(shape: Shape, values: &[T]) -> Self {
        Array::build(shape, |out| out.copy_from_slice(values))
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// The numbers, if they lie row-major without gaps.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[T]> {
        let range = self.offset..self.offset + self.numel();
        self.is_contiguous().then(|| &self.storage.as_slice()[range])
    }

    /// The numbers in row-major order, copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<T> {
        self.contiguous().dense().to_vec()
    }

    /// Of a contiguous array: its numbers.
    pub(crate) fn dense(&self) -> &[T] {
        self.as_slice().expect("made contiguous by the caller")
    }

    pub(crate) fn view(&self) -> View<'_, T> {
        View { data: &self.storage.as_slice()[self.offset..], strides: &self.strides }
    }

    /// As a matrix for a product; a stride per dimension says where all is.
    pub(crate) fn matrix(&self) -> kernels::Matrix<'_, T> {
        let &[rows, cols] = &*self.shape else { panic!("a matrix has two dimensions") };
        let View { data, strides } = self.view();
        kernels::Matrix { data, rows, cols, row_stride: strides[0], col_stride: strides[1] }
    }

    /// Whether the elements lie row-major without gaps.
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

    /// The same numbers, row-major: a copy only if they are not.
    pub(crate) fn contiguous(&self) -> Array<T> {
        if self.is_contiguous() {
            return self.clone();
        }
        Array::build(self.shape.clone(), |out| kernels::map(out, &self.shape, self.view(), |x| x))
    }

    /// The numbers to write to, if they are contiguous and no one else sees them.
    pub(crate) fn get_mut(&mut self) -> Option<&mut [T]> {
        if !self.is_contiguous() {
            return None;
        }
        let range = self.offset..self.offset + self.numel();
        Arc::get_mut(&mut self.storage).map(|storage| &mut storage.as_mut_slice()[range])
    }

    /// The numbers to write to, row-major; copied first if anyone else sees them.
    #[must_use]
    pub fn make_mut(&mut self) -> &mut [T] {
        if self.get_mut().is_none() {
            let copy = |out: &mut [T]| kernels::map(out, &self.shape, self.view(), |x| x);
            *self = Array::build(self.shape.clone(), copy);
        }
        self.get_mut().expect("a new array is contiguous and unshared")
    }

    /// `f` of each element.
    pub(crate) fn map(&self, f: impl Fn(T) -> T + Sync) -> Array<T> {
        Array::build(self.shape.clone(), |out| kernels::map(out, &self.shape, self.view(), f))
    }

    /// `f` of each pair of elements, both broadcast to `shape`.
    pub(crate) fn zip(
        &self,
        other: &Array<T>,
        shape: Shape,
        f: impl Fn(T, T) -> T + Sync,
    ) -> Array<T> {
        let (a, b) = (self.broadcast_to(&shape), other.broadcast_to(&shape));
        Array::build(shape, |out| kernels::zip(out, &a.shape, a.view(), b.view(), f))
    }

    /// The view in which size-1 and missing leading dimensions repeat; the
    /// caller has checked that the shapes broadcast.
    pub(crate) fn broadcast_to(&self, shape: &Shape) -> Array<T> {
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
        Array { shape: shape.clone(), strides, ..self.clone() }
    }

    /// The same elements in row-major order under another shape of as many:
    /// a view if the elements are contiguous, else a copy.
    pub(crate) fn reshape(&self, shape: Shape) -> Array<T> {
        let strides = contiguous_strides(&shape);
        Array { shape, strides, ..self.contiguous() }
    }

    /// Dimension `d` of the view is dimension `order[d]` of this.
    pub(crate) fn permute(&self, order: &[usize]) -> Array<T> {
        let shape = order.iter().map(|&d| self.shape[d]).collect();
        let strides = order.iter().map(|&d| self.strides[d]).collect();
        Array { shape, strides, ..self.clone() }
    }

    /// The view of `len` elements of dimension `dim` from `start` on.
    pub(crate) fn narrow(&self, dim: usize, start: usize, len: usize) -> Array<T> {
        let shape = self.shape.with(dim, len);
        // Of an empty view every offset is right, but one past the end is not a place.
        let offset = if shape.contains(&0) { 0 } else { self.offset + start * self.strides[dim] };
        Array { shape, offset, ..self.clone() }
    }

    /// The view without dimension `dim`, which has size 1.
    pub(crate) fn without_dim(&self, dim: usize) -> Array<T> {
        let mut strides = self.strides.clone();
        strides.remove(dim);
        Array { shape: self.shape.without(dim), strides, ..self.clone() }
    }

    /// Zeros of `shape`, but for this array at `start` of dimension `dim`: what `narrow` undoes.
    pub(crate) fn embed(&self, shape: &Shape, dim: usize, start: usize) -> Array<T> {
        let x = self.contiguous();
        Array::build(shape.clone(), |out| {
            out.fill(T::ZERO);
            let strides = contiguous_strides(shape);
            let first = if x.numel() == 0 { 0 } else { start * strides[dim] };
            kernels::assign(&mut out[first..], &x.shape, &strides, x.dense());
        })
    }

    /// The sum over dimension range `dims`, which disappears.
    pub(crate) fn sum_range(&self, dims: std::ops::Range<usize>) -> Array<T> {
        let x = self.contiguous();
        let size = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (outer, inner) = (&x.shape[..dims.start], &x.shape[dims.end..]);
        let split = [size(outer), size(&x.shape[dims.clone()]), size(inner)];
        let shape = outer.iter().chain(inner).copied().collect();
        Array::build(shape, |out| kernels::sum(out, x.dense(), split))
    }
}
