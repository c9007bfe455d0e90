//! Sizes of dimensions, and how two shapes broadcast.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;

/// The sizes of a tensor's dimensions, outermost first; `[]` is a scalar.
///
/// Anything that lists sizes becomes a shape: `[2, 3]`, `&[2, 3][..]`, a `Vec`.
///
/// ```
/// use adamant_tensor::Shape;
/// let shape = Shape::from([2, 3]);
/// assert_eq!((shape.numel(), shape.len(), shape[1]), (6, 2, 3));
/// assert_eq!(shape.to_string(), "[2, 3]");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[usize; 4]>);

impl Shape {
    /// The number of elements: the product of the sizes, 1 for a scalar.
    ///
    /// # Panics
    /// If the product does not fit in memory's address space.
    #[must_use]
    #[track_caller]
    pub fn numel(&self) -> usize {
        self.checked_numel().unwrap_or_else(|| panic!("a tensor of shape {self} is too large"))
    }

    pub(crate) fn checked_numel(&self) -> Option<usize> {
        // Sizes of 0 count as 1 here: strides are products too, and must not overflow.
        let extent = self.0.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1)))?;
        let fits = extent <= isize::MAX as usize / size_of::<f64>();
        fits.then_some(if self.0.contains(&0) { 0 } else { extent })
    }

    /// The shape that both broadcast to by the rules of NumPy and PyTorch:
    /// aligned at the last dimension, sizes equal or one of them 1.
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

    /// This shape without dimension `dim`.
    pub(crate) fn without(&self, dim: usize) -> Shape {
        let mut sizes = self.0.clone();
        sizes.remove(dim);
        Shape(sizes)
    }

    /// This shape with `size` at dimension `dim`.
    pub(crate) fn with(&self, dim: usize, size: usize) -> Shape {
        let mut sizes = self.0.clone();
        sizes[dim] = size;
        Shape(sizes)
    }
}

impl Deref for Shape {
    type Target = [usize];
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

/// Panics unless `dim` is a dimension of `shape`.
#[track_caller]
pub(crate) fn check_dim(op: &str, dim: usize, shape: &Shape) {
    assert!(
        dim < shape.len(),
        "{op}: dimension {dim} of a tensor of shape {shape}, which has {}",
        match shape.len() {
            0 => "none".to_string(),
            1 => "only dimension 0".to_string(),
            n => format!("dimensions 0 to {}", n - 1),
        }
    );
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
    fn too_large_a_shape_is_noticed() {
        assert_eq!(Shape::from([usize::MAX, 2]).checked_numel(), None);
        assert_eq!(Shape::from([usize::MAX, 0]).checked_numel(), None);
        assert_eq!(Shape::from([usize::MAX / 16, 0]).checked_numel(), Some(0));
    }
}
