//! Shapes: the sizes of dimensions, and the rules of broadcasting and reshaping.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The sizes of a tensor's dimensions, outermost first; `[]` is a scalar.
///
/// Arrays, slices and vectors of sizes convert to a shape.
///
/// ```
/// use adamant_tensor::Shape;
/// let shape = Shape::from([2, 3]);
/// assert_eq!((shape.numel(), shape.len(), shape[1]), (6, 2, 3));
/// assert_eq!(shape.to_string(), "[2, 3]");
/// ```
#[derive(Default, Eq)]
pub struct Shape(SmallVec<[usize; 4]>);

// Not derived: comparing a few sizes is faster than calling `memcmp`.
impl PartialEq for Shape {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
    }
}

// Not derived: copying a slice is several times faster than cloning a `SmallVec`.
impl Clone for Shape {
    #[inline]
    fn clone(&self) -> Self {
        Shape(SmallVec::from_slice(&self.0))
    }
}

/// In [`reshape`](crate::Tensor::reshape), the size that follows from the others: PyTorch's `-1`.
///
/// ```
/// use adamant_tensor::{REST, Tensor};
/// assert_eq!(Tensor::<f32>::ones([4, 6]).reshape([3, REST]).shape(), [3, 8]);
/// ```
pub const REST: usize = usize::MAX;

impl Shape {
    /// The number of elements: the product of the sizes, 1 for a scalar.
    ///
    /// # Panics
    /// If a tensor of this shape would exceed the address space.
    #[must_use]
    #[track_caller]
    #[inline]
    pub fn numel(&self) -> usize {
        match self.checked_numel() {
            Some(numel) => numel,
            None => panic!("a tensor of shape {self} is too large"),
        }
    }

    /// [`numel`](Shape::numel), or `None` if a tensor of this shape would exceed the address space:
    /// for shapes from untrusted input.
    #[must_use]
    #[inline]
    pub fn checked_numel(&self) -> Option<usize> {
        // Sizes of 0 count as 1 here: strides, which are products of sizes, must not overflow.
        let (mut extent, mut empty) = (1usize, false);
        for &size in &self.0 {
            extent = extent.checked_mul(size.max(1))?;
            empty |= size == 0;
        }
        let fits = extent <= isize::MAX as usize / size_of::<f64>();
        fits.then_some(if empty { 0 } else { extent })
    }

    /// This shape; panics in the name of the operation `op` if it is too large for its result.
    #[track_caller]
    pub(crate) fn checked(self, op: &str) -> Shape {
        assert!(
            self.checked_numel().is_some(),
            "{op}: the result would have shape {self}, which is too large"
        );
        self
    }

    /// The shape that both broadcast to by the rules of NumPy and PyTorch: aligned at the last
    /// dimension, sizes are equal or one of them is 1. `None` if the shapes do not broadcast.
    pub(crate) fn broadcast(&self, other: &Shape) -> Option<Shape> {
        if self == other {
            return Some(self.clone());
        }
        let dims = self.len().max(other.len());
        let size =
            |shape: &Shape, d: usize| (d + shape.len()).checked_sub(dims).map_or(1, |d| shape[d]);
        (0..dims)
            .map(|d| match (size(self, d), size(other, d)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<SmallVec<_>>>()
            .map(Shape)
    }

    /// [`broadcast`](Shape::broadcast) for operation `op`; panics if the shapes do not broadcast.
    #[track_caller]
    pub(crate) fn broadcast_with(&self, op: &str, other: &Shape) -> Shape {
        match self.broadcast(other) {
            Some(shape) => shape.checked(op),
            None => panic!(
                "{op}: shapes {self} and {other} do not broadcast: aligned at the last dimension, \
                 sizes must be equal or one of them must be 1"
            ),
        }
    }

    /// Panics unless this shape broadcasts to `shape`.
    #[track_caller]
    pub(crate) fn check_broadcast_to(&self, op: &str, shape: &Shape) {
        assert!(
            self.broadcast(shape).as_ref() == Some(shape),
            "{op}: a tensor of shape {self} does not broadcast to {shape}: aligned at the last \
             dimension, sizes must be equal or the tensor's must be 1"
        );
    }

    /// The result of reshaping this shape to `shape`, which may contain [`REST`]; panics if they do
    /// not have the same number of elements.
    #[track_caller]
    pub(crate) fn to_reshaped(&self, op: &str, shape: Shape) -> Shape {
        let numel = self.numel();
        let rest = shape.iter().filter(|&&size| size == REST).count();
        let shown: Vec<String> = shape
            .iter()
            .map(|&size| if size == REST { "REST".to_string() } else { size.to_string() })
            .collect();
        let shown = shown.join(", ");
        assert!(rest <= 1, "{op}: shape [{shown}] contains REST more than once");
        let filled = if rest == 0 {
            shape
        } else {
            let known = shape.iter().filter(|&&size| size != REST).product::<usize>();
            let fits = known > 0 && numel.is_multiple_of(known);
            assert!(
                fits,
                "{op}: a tensor of shape {self} has {numel} elements, which do not fit shape \
                 [{shown}]"
            );
            shape.iter().map(|&size| if size == REST { numel / known } else { size }).collect()
        };
        assert!(
            filled.checked_numel() == Some(numel),
            "{op}: a tensor of shape {self} has {numel} elements, which do not fit shape {filled}"
        );
        filled
    }

    /// This shape without the dimensions `dims`, or with size 1 for each of them if `keepdim`.
    pub(crate) fn reduced(&self, dims: &[usize], keepdim: bool) -> Shape {
        let sizes = self.iter().enumerate();
        let reduced = |(d, &size): (usize, &usize)| match (dims.contains(&d), keepdim) {
            (false, _) => Some(size),
            (true, true) => Some(1),
            (true, false) => None,
        };
        sizes.filter_map(reduced).collect()
    }

    /// This shape without dimension `dim`.
    pub(crate) fn without(&self, dim: usize) -> Shape {
        let mut shape = self.clone();
        shape.0.remove(dim);
        shape
    }

    /// The number of elements before, the size of, and the number of elements after dimension `dim`.
    pub(crate) fn around(&self, dim: usize) -> [usize; 3] {
        let size = |sizes: &[usize]| sizes.iter().product::<usize>();
        [size(&self[..dim]), self[dim], size(&self[dim + 1..])]
    }

    /// This shape with `size` at dimension `dim`.
    pub(crate) fn with_size(&self, dim: usize, size: usize) -> Shape {
        let mut shape = self.clone();
        shape.0[dim] = size;
        shape
    }
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Self {
        Shape(SmallVec::from_slice(&sizes))
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Self {
        Shape(SmallVec::from_slice(sizes))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Self {
        Shape(sizes.into())
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Self {
        Shape(sizes.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_pytorch() {
        let both = |a: &[usize], b: &[usize]| {
            let (a, b) = (Shape::from(a), Shape::from(b));
            assert_eq!(a.broadcast(&b), b.broadcast(&a));
            a.broadcast(&b).map(|shape| shape.to_vec())
        };
        assert_eq!(both(&[2, 3], &[3]), Some(vec![2, 3]));
        assert_eq!(both(&[2, 1], &[1, 3]), Some(vec![2, 3]));
        assert_eq!(both(&[], &[4]), Some(vec![4]));
        assert_eq!(both(&[1], &[0]), Some(vec![0]));
        assert_eq!(both(&[5, 1, 2], &[4, 1]), Some(vec![5, 4, 2]));
        assert_eq!(both(&[2, 3], &[2]), None);
        assert_eq!(both(&[0], &[2]), None);
    }

    #[test]
    fn shapes_beyond_the_address_space_have_no_numel() {
        assert_eq!(Shape::from([usize::MAX, 2]).checked_numel(), None);
        assert_eq!(Shape::from([usize::MAX, 0]).checked_numel(), None);
        assert_eq!(Shape::from([usize::MAX / 16, 0]).checked_numel(), Some(0));
    }
}
