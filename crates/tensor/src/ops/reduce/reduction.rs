//! What reductions over dimensions share.

use crate::arrays::array::Array;
use crate::arrays::dims::check_dims;
use crate::arrays::keepdim::ReduceDims;
use crate::arrays::shape::Shape;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::SmallVec;

/// A tensor's dimensions, divided into the reduced and the remaining ones.
#[derive(Clone)]
pub(crate) struct Reduction {
    op: &'static str,
    /// The shape of the tensor.
    pub(crate) shape: Shape,
    /// The reduced dimensions, ascending.
    pub(crate) dims: SmallVec<[usize; 4]>,
    /// The tensor's shape with size 1 for the reduced dimensions.
    pub(crate) kept: Shape,
    /// The shape of the result.
    pub(crate) result: Shape,
    /// The number of elements that are reduced to one.
    pub(crate) count: usize,
}

/// Sums over fewer elements are too many to store.
const FEW: usize = 16;

impl Reduction {
    /// Panics if `x` has no such dimensions, or one is named twice.
    #[track_caller]
    pub(crate) fn new<T: Float, D: ReduceDims>(
        op: &'static str,
        x: &Tensor<T>,
        dims: D,
    ) -> Reduction {
        let shape = x.array.shape().clone();
        let mut dims = check_dims(op, dims.dims(), &shape);
        if dims.is_empty() {
            dims = (0..shape.len()).collect(); // as in PyTorch, no dimensions mean all
        }
        let kept = shape.reduced(&dims, true);
        let result = if D::KEEPDIM { kept.clone() } else { shape.reduced(&dims, false) };
        let count = dims.iter().map(|&d| shape[d]).product();
        Reduction { op, shape, dims, kept, result, count }
    }

    /// Panics if an element of the result would be chosen from no elements.
    #[track_caller]
    pub(crate) fn refuse_empty(&self) {
        let (op, shape) = (self.op, &self.shape);
        assert!(
            self.count > 0 || self.result.contains(&0),
            "{op}: a tensor of shape {shape} has nothing to choose from in dimensions {:?}",
            self.dims
        );
    }

    /// `f` of each group of reduced elements, as a row.
    #[track_caller]
    pub(crate) fn rows<T: Float>(&self, x: &Array<T>, f: impl Fn(&[T]) -> T + Sync) -> Array<T> {
        let rows = x.rows(self.op, &self.dims);
        Array::build(self.op, self.result.clone(), |out| {
            adamant_kernels::reduce_rows(out, rows.contiguous_slice(), self.count, f);
        })
    }

    /// The elements of `x` as `[outer, reduced, inner]`, if they are contiguous and the reduced
    /// dimensions adjacent.
    fn split<'x, T: Float>(&self, x: &'x Array<T>) -> Option<(&'x [T], [usize; 3])> {
        let (&first, &last) = (self.dims.first()?, self.dims.last()?);
        let size = |sizes: &[usize]| sizes.iter().product::<usize>();
        let split = [size(&self.shape[..first]), self.count, size(&self.shape[last + 1..])];
        if last - first + 1 == self.dims.len() { Some((x.as_slice()?, split)) } else { None }
    }

    /// The best of each group of reduced elements, or NaN if one is NaN.
    #[track_caller]
    pub(crate) fn best<T: Float>(
        &self,
        x: &Array<T>,
        better: impl Fn(T, T) -> bool + Copy + Sync,
    ) -> Array<T> {
        if let Some((x, split)) = self.split(x) {
            return Array::build(self.op, self.result.clone(), |out| {
                adamant_kernels::best(out, x, split, better);
            });
        }
        let rows = x.rows(self.op, &self.dims);
        Array::build(self.op, self.result.clone(), |out| {
            let split = [out.len(), self.count, 1];
            adamant_kernels::best(out, rows.contiguous_slice(), split, better);
        })
    }

    /// The sums of `f` of the elements over the reduced dimensions.
    #[track_caller]
    pub(crate) fn sum_of<T: Float>(
        &self,
        x: &Array<T>,
        f: impl Fn(T) -> T + Copy + Sync,
    ) -> Array<T> {
        match self.split(x) {
            Some((x, split)) => Array::build(self.op, self.result.clone(), |out| {
                adamant_kernels::sum_of(out, x, split, f);
            }),
            None => self.sum(&x.map(self.op, f)),
        }
    }

    /// The sums of the squares of the differences from `centers`, of shape `kept`.
    #[track_caller]
    pub(crate) fn sum_squares<T: Float>(&self, x: &Array<T>, centers: &Array<T>) -> Array<T> {
        if let Some((x, [_, _, 1])) = self.split(x) {
            return Array::build(self.op, self.result.clone(), |out| {
                adamant_kernels::sum_squares(out, x, centers.contiguous_slice());
            });
        }
        let square = |x, center| (x - center) * (x - center);
        self.sum(&x.zip(self.op, centers, self.shape.clone(), square))
    }

    /// The sums over the reduced dimensions.
    #[track_caller]
    pub(crate) fn sum<T: Float>(&self, x: &Array<T>) -> Array<T> {
        let dims = &self.dims;
        let Some(&last) = dims.last() else { return x.clone() };
        // The last of the reduced dimensions that are adjacent.
        let back = dims.iter().rev().zip((0..=last).rev());
        let adjacent = last + 1 - back.take_while(|(dim, d)| *dim == d).count()..last + 1;
        let before = &dims[..dims.len() - adjacent.len()];
        let sums = if before.is_empty() {
            x.sum_range(self.op, adjacent)
        } else if self.shape[adjacent.clone()].iter().product::<usize>() >= FEW {
            // The sums over these, then over the others: a small part of the elements is
            // stored meanwhile.
            let sums = x.sum_range(self.op, adjacent);
            let result = sums.shape().reduced(before, false);
            let (shape, dims) = (sums.shape().clone(), before.into());
            Reduction { shape, dims, result, ..self.clone() }.sum(&sums)
        } else {
            let kept = self.shape.len() - dims.len();
            x.with_layout(x.layout().move_last(dims)).sum_range(self.op, kept..self.shape.len())
        };
        sums.reshape(self.op, self.result.clone())
    }

    /// A result, broadcast along the reduced dimensions to the tensor's shape.
    #[track_caller]
    pub(crate) fn spread<T: Float>(&self, result: &Tensor<T>) -> Tensor<T> {
        result.reshape(&self.kept).broadcast_to(&self.shape)
    }
}
