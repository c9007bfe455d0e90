//! Elements replaced where a mask is true.

use crate::arrays::mask::Mask;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
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
        let shape = self.array.shape().broadcast_with("masked_scatter", mask.array.shape());
        let positions = mask.broadcast_to(&shape).positions("masked_scatter");
        assert!(
            positions.len() <= source.numel(),
            "masked_scatter: a source of shape {} for {} true elements of the mask; expected at \
             least as many elements",
            source.array.shape(),
            positions.len()
        );
        let source = source.reshape([source.numel()]).narrow(0, 0, positions.len());
        let flat = self.broadcast_to(&shape).reshape([shape.numel()]);
        flat.index_copy(0, &positions, &source).reshape(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        let mask = Mask::from([true, false, true]);
        let scattered = |x: &[Tensor<f64>]| x[0].masked_scatter(&mask, &x[1]).powf(2.0);
        check_op(scattered, &[&[2, 3], &[2, 3]], -2.0..2.0);
        check_op(scattered, &[&[2, 1], &[4]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "masked_scatter: a source of shape [1] for 2 true elements")]
    fn too_short_a_source_is_rejected() {
        let _ =
            Tensor::<f32>::ones([2]).masked_scatter(&Mask::from([true, true]), &Tensor::ones([1]));
    }
}
