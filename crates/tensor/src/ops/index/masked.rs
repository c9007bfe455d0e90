//! The elements where a mask is true: masked_select, and masked_scatter, which replaces them.

use crate::arrays::array::Array;
use crate::arrays::mask::Mask;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, Marked};

impl<T: Float> Tensor<T> {
    /// The elements where the mask is true, in row-major order, in one dimension;
    /// tensor and mask broadcast.
    ///
    /// Gradient: `g` where the mask is true, 0 elsewhere. PyTorch: `x.masked_select(mask)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, -2.0, 3.0], [3]).unwrap();
    /// assert_eq!(x.masked_select(&x.gt(0.0)).to_vec(), [1.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn masked_select(&self, mask: &Mask) -> Tensor<T> {
        self.masked_select_for("masked_select", mask)
    }

    /// [`masked_select`](Tensor::masked_select) for operation `op`.
    #[track_caller]
    pub(crate) fn masked_select_for(&self, op: &'static str, mask: &Mask) -> Tensor<T> {
        let shape = self.array.shape().broadcast_with(op, mask.array.shape());
        let x = self.broadcast_to(&shape);
        let mask = mask.broadcast_to(&shape).contiguous(op);
        let marked = Marked::new(mask.array.contiguous_slice());
        let elements = x.array.contiguous(op);
        let value = Array::build(op, [marked.count()].into(), |out| {
            marked.select(out, elements.contiguous_slice());
        });
        record(op, [&x], value, move |ctx| [Some(spread(ctx.grad(), &mask))])
    }

    /// This tensor with the elements where the mask is true replaced by those of `source`, in
    /// sequence, in row-major order. Tensor and mask broadcast; `source` may have more elements
    /// than needed.
    ///
    /// Gradients: `g` where the mask is false, 0 elsewhere; for `source`,
    /// [`masked_select`](Tensor::masked_select) of `g`, and 0 for unused elements.
    ///
    /// PyTorch: `x.masked_scatter(mask, source)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast, or `source` has too few elements.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([1.0f32, -2.0, -3.0]);
    /// let source = Tensor::from([8.0, 9.0]);
    /// assert_eq!(x.masked_scatter(&x.lt(0.0), &source).to_vec(), [1.0, 8.0, 9.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn masked_scatter(&self, mask: &Mask, source: &Tensor<T>) -> Tensor<T> {
        self.masked_scatter_for("masked_scatter", mask, source)
    }

    /// [`masked_scatter`](Tensor::masked_scatter) for operation `op`.
    #[track_caller]
    pub(crate) fn masked_scatter_for(
        &self,
        op: &'static str,
        mask: &Mask,
        source: &Tensor<T>,
    ) -> Tensor<T> {
        let shape = self.array.shape().broadcast_with(op, mask.array.shape());
        let x = self.broadcast_to(&shape);
        let mask = mask.broadcast_to(&shape).contiguous(op);
        let marked = Marked::new(mask.array.contiguous_slice());
        let (count, numel) = (marked.count(), source.numel());
        assert!(
            count <= numel,
            "{op}: a source of shape {} for {count} true elements of the mask; expected \
             at least as many elements",
            source.array.shape(),
        );
        let mut source = source.reshape([numel]);
        if count < numel {
            source = source.narrow(0, 0, count);
        }
        let (others, values) = (x.array.contiguous(op), source.array.contiguous(op));
        let value = Array::build(op, shape, |out| {
            let others = others.contiguous_slice();
            marked.spread(out, values.contiguous_slice(), |i| others[i]);
        });
        record(op, [&x, &source], value, move |ctx| {
            [
                ctx.needs(0).then(|| ctx.grad().masked_fill(&mask, T::ZERO)),
                ctx.needs(1).then(|| ctx.grad().masked_select(&mask)),
            ]
        })
    }
}

/// Zeros, with the elements of `g` in sequence where the contiguous mask is true.
#[track_caller]
fn spread<T: Float>(g: &Tensor<T>, mask: &Mask) -> Tensor<T> {
    let op = "masked_select_backward";
    let values = g.array.contiguous(op);
    let value = Array::build(op, mask.array.shape().clone(), |out| {
        let marked = Marked::new(mask.array.contiguous_slice());
        marked.spread(out, values.contiguous_slice(), |_| T::ZERO);
    });
    let mask = mask.clone();
    record(op, [g], value, move |ctx| [Some(ctx.grad().masked_select(&mask))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        let mask = Mask::from([true, false, true]);
        check_op(|x| x[0].masked_select(&mask).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].masked_select(&mask).powf(2.0), &[&[2, 1]], -2.0..2.0);
        let scattered = |x: &[Tensor<f64>]| x[0].masked_scatter(&mask, &x[1]).powf(2.0);
        check_op(scattered, &[&[2, 3], &[2, 3]], -2.0..2.0);
        check_op(scattered, &[&[2, 1], &[4]], -2.0..2.0);
    }

    #[test]
    fn operands_may_be_empty_or_views() {
        let x = Tensor::<f32>::arange(0.0, 6.0, 1.0).reshape([2, 3]);
        let odd = [false, true, false, true, false, true];
        let odd = Mask::from_vec(odd.to_vec(), [2, 3]).unwrap();
        assert_eq!(x.t().masked_select(&x.t().gt(2.0)).to_vec(), [3.0, 4.0, 5.0]);
        let scattered = x.t().masked_scatter(&x.t().lt(2.0), &x.slice(1, 1.., 1).t());
        assert_eq!(scattered.to_vec(), [1.0, 3.0, 4.0, 4.0, 2.0, 5.0]);
        assert_eq!(x.masked_scatter(&odd, &x).to_vec(), [0.0, 0.0, 2.0, 1.0, 4.0, 2.0]);
        let none = Mask::from([false; 3]);
        assert_eq!(x.masked_select(&none).shape(), [0]);
        assert_eq!(x.masked_scatter(&none, &Tensor::ones([0])).to_vec(), x.to_vec());
        assert_eq!(Tensor::<f32>::ones([0, 3]).masked_select(&none).shape(), [0]);
        assert_eq!(Tensor::scalar(2.0f32).masked_select(&Mask::from(true)).to_vec(), [2.0]);
    }

    #[test]
    #[should_panic(expected = "masked_scatter: a source of shape [1] for 2 true elements")]
    fn too_short_a_source_is_rejected() {
        let _ =
            Tensor::<f32>::ones([2]).masked_scatter(&Mask::from([true, true]), &Tensor::ones([1]));
    }
}
