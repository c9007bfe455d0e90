//! The mean of each of a given number of windows.

use crate::arrays::array::Array;
use crate::ops::layer::adaptive::AdaptiveWindows;
use crate::ops::layer::windows::AdaptiveSize;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float};

impl<T: Float> Tensor<T> {
    /// The mean of each of `output` windows that cover a line as evenly as possible:
    /// `[N, C, L] → [N, C, oL]`, or `[C, L] → [C, oL]`. `[None]` keeps the length.
    ///
    /// The windows and the gradient are those of
    /// [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d). PyTorch:
    /// `torch.nn.functional.adaptive_avg_pool1d`, which does not take `None`.
    ///
    /// # Panics
    /// If this is not a line or a batch of lines, or the length or `output` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 5.0, 4.0]]);
    /// assert_eq!(x.adaptive_avg_pool1d(2).to_vec(), [3.0, 4.5]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_avg_pool1d(&self, output: impl Into<AdaptiveSize<1>>) -> Tensor<T> {
        let op = "adaptive_avg_pool1d";
        means(op, self, AdaptiveWindows::new(op, self.array.shape(), output.into()))
    }

    /// The mean of each of `output` windows that cover an image as evenly as possible:
    /// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`. `None` keeps a size:
    /// `[None, Some(7)]` leaves the rows as they are.
    ///
    /// Along the rows, window `i` goes from `⌊i H / oH⌋` to `⌈(i + 1) H / oH⌉`; where `oH` does not
    /// divide `H`, neighbors share a row. Gradient: `g` divided by the size of its window, at each
    /// element of the window.
    ///
    /// PyTorch: `torch.nn.functional.adaptive_avg_pool2d`.
    ///
    /// # Panics
    /// If this is not an image or a batch of images, or a size of the images or of `output` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 4.0], [1, 1, 3]).unwrap();
    /// assert_eq!(x.adaptive_avg_pool2d([1, 2]).to_vec(), [3.0, 4.5]);
    /// assert_eq!(x.adaptive_avg_pool2d([Some(1), None]).shape(), [1, 1, 3]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, output: impl Into<AdaptiveSize<2>>) -> Tensor<T> {
        let op = "adaptive_avg_pool2d";
        means(op, self, AdaptiveWindows::new(op, self.array.shape(), output.into()))
    }
}

/// The linear map from images to means.
#[track_caller]
fn means<T: Float>(op: &'static str, x: &Tensor<T>, windows: AdaptiveWindows) -> Tensor<T> {
    let values = x.array.contiguous(op);
    let value = Array::build(op, windows.y.clone(), |y| {
        kernels::adaptive_avg_pool(y, values.contiguous_slice(), windows.image, windows.output);
    });
    record(op, [x], value, move |ctx| [Some(shares(op, ctx.grad(), windows.clone()))])
}

/// Its adjoint.
#[track_caller]
fn shares<T: Float>(op: &'static str, g: &Tensor<T>, windows: AdaptiveWindows) -> Tensor<T> {
    let values = g.array.contiguous(op);
    let value = Array::build(op, windows.x.clone(), |x| {
        kernels::adaptive_avg_pool_input(
            x,
            values.contiguous_slice(),
            windows.image,
            windows.output,
        );
    });
    let backward = "adaptive_avg_pool_backward";
    record(backward, [g], value, move |ctx| [Some(means(op, ctx.grad(), windows.clone()))])
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{AvgPool2dOptions, Tensor};

    #[test]
    fn even_windows_match_avg_pool() {
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
        let free = [None, Some(3)];
        check_op(|x| x[0].adaptive_avg_pool2d(free).powf(2.0), &[&[2, 3, 4]], -1.0..1.0);
        for (shape, output) in [(&[2, 1, 5][..], 3), (&[2, 3], 5), (&[0, 2, 5], 2)] {
            check_op(|x| x[0].adaptive_avg_pool1d(output).powf(2.0), &[shape], -1.0..1.0);
        }
    }

    #[test]
    fn a_free_side_keeps_its_size() {
        let x = Tensor::from_vec((0..24).map(f64::from).collect(), [2, 3, 4]).unwrap();
        for (free, given) in
            [([None, Some(2)], [3, 2]), ([Some(2), None], [2, 4]), ([None, None], [3, 4])]
        {
            let (y, expected) = (x.adaptive_avg_pool2d(free), x.adaptive_avg_pool2d(given));
            assert_eq!((y.shape(), y.to_vec()), (expected.shape(), expected.to_vec()));
        }
        assert_eq!(x.adaptive_avg_pool2d([None, None]).to_vec(), x.to_vec());
        assert_eq!(x.adaptive_avg_pool1d([None]).to_vec(), x.to_vec());
    }

    #[test]
    #[should_panic(expected = "adaptive_avg_pool1d: an input of shape [4]; expected [N, C, L], or")]
    fn a_line_without_channels_is_refused() {
        let _ = Tensor::<f32>::ones([4]).adaptive_avg_pool1d(1);
    }

    #[test]
    #[should_panic(expected = "adaptive_avg_pool2d: a size of images of [0, 4]: it must be")]
    fn an_image_without_rows_is_refused() {
        let _ = Tensor::<f32>::ones([2, 0, 4]).adaptive_avg_pool2d(1);
    }
}
