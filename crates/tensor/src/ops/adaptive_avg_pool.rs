//! The mean of windows that are as many as one asks for.

use super::max_pool::images;
use super::windows::{PerDim, refuse_zero};
use crate::array::Array;
use crate::node::record;
use crate::shape::Shape;
use crate::tensor::Tensor;
use adamant_kernels::{self as kernels, Float};

impl<T: Float> Tensor<T> {
    /// The mean of each of `output` windows that cover an image as evenly as they can:
    /// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`.
    ///
    /// Along the rows, window `i` goes from `⌊i H / oH⌋` to `⌈(i + 1) H / oH⌉`; where `oH` does not
    /// divide `H`, neighbours share a row. Gradient: `g` over the number of places of a window,
    /// at each of them.
    ///
    /// PyTorch: `torch.nn.functional.adaptive_avg_pool2d`.
    ///
    /// # Panics
    /// If this is no image or batch of images, or a size of the images or of `output` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 4.0], [1, 1, 3]).unwrap();
    /// assert_eq!(x.adaptive_avg_pool2d([1, 2]).to_vec(), [3.0, 4.5]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, output: impl Into<PerDim<2>>) -> Tensor<T> {
        let (_, image) = images("adaptive_avg_pool2d", self.array.shape());
        let output = output.into().0;
        refuse_zero("adaptive_avg_pool2d", "size of images", image);
        refuse_zero("adaptive_avg_pool2d", "size of the result", output);
        means(self, image, output)
    }
}

/// The map from images to means, which is linear.
#[track_caller]
fn means<T: Float>(x: &Tensor<T>, image: [usize; 2], output: [usize; 2]) -> Tensor<T> {
    let values = x.array.contiguous();
    let value = Array::build(with_images(x, output), |y| {
        kernels::adaptive_avg_pool(y, values.dense(), image, output);
    });
    record("adaptive_avg_pool2d", [x], value, move |ctx| [Some(shares(ctx.grad(), image, output))])
}

/// Its adjoint.
#[track_caller]
fn shares<T: Float>(g: &Tensor<T>, image: [usize; 2], output: [usize; 2]) -> Tensor<T> {
    let values = g.array.contiguous();
    let value = Array::build(with_images(g, image), |x| {
        kernels::adaptive_avg_pool_input(x, values.dense(), image, output);
    });
    let backward = "adaptive_avg_pool2d_backward";
    record(backward, [g], value, move |ctx| [Some(means(ctx.grad(), image, output))])
}

/// The shape of `x` with images of another size.
fn with_images<T: Float>(x: &Tensor<T>, image: [usize; 2]) -> Shape {
    let shape = x.array.shape();
    shape[..shape.len() - 2].iter().copied().chain(image).collect()
}

#[cfg(test)]
mod tests {
    use crate::gradcheck::testing::check_op;
    use crate::{AvgPool2dOptions, Tensor};

    #[test]
    fn windows_that_divide_the_image_are_those_of_avg_pool() {
        let x = Tensor::from_vec((0..48).map(f64::from).collect(), [2, 1, 4, 6]).unwrap();
        let expected = x.avg_pool2d([2, 3], AvgPool2dOptions::default());
        let y = x.adaptive_avg_pool2d(2);
        assert_eq!((y.shape(), y.to_vec()), (expected.shape(), expected.to_vec()));
    }

    #[test]
    fn gradients() {
        for (shape, output) in [
            (&[2, 1, 5, 7][..], [3, 2]),
            (&[2, 3, 4], [5, 1]), // more windows than rows: they repeat
            (&[1, 2, 2, 2], [2, 2]),
            (&[0, 2, 5, 4], [2, 2]),
        ] {
            check_op(|x| x[0].adaptive_avg_pool2d(output).powf(2.0), &[shape], -1.0..1.0);
        }
    }

    #[test]
    #[should_panic(expected = "adaptive_avg_pool2d: a size of images of [0, 4]: it must be")]
    fn an_image_without_rows_is_refused() {
        let _ = Tensor::<f32>::ones([2, 0, 4]).adaptive_avg_pool2d(1);
    }
}
