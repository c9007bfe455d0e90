//! The largest element of each of a given number of windows.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::ops::layer::adaptive::AdaptiveWindows;
use crate::ops::layer::max_pool::picked;
use crate::ops::layer::windows::AdaptiveSize;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float};

impl<T: Float> Tensor<T> {
    /// The largest element of each of `output` windows that cover a line as evenly as possible:
    /// `[N, C, L] → [N, C, oL]`, or `[C, L] → [C, oL]`. `[None]` keeps the length.
    ///
    /// The windows and the gradient are those of
    /// [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d). PyTorch:
    /// `torch.nn.functional.adaptive_max_pool1d`, which does not take `None`.
    ///
    /// # Panics
    /// If this is not a line or a batch of lines, or the length or `output` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 5.0, 4.0, 2.0]]);
    /// assert_eq!(x.adaptive_max_pool1d(2).to_vec(), [5.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_max_pool1d(&self, output: impl Into<AdaptiveSize<1>>) -> Tensor<T> {
        self.adaptive_max_pool1d_with_indices(output).0
    }

    /// [`adaptive_max_pool1d`](Tensor::adaptive_max_pool1d), and the position of each largest
    /// element in its line.
    ///
    /// PyTorch: `torch.nn.functional.adaptive_max_pool1d(x, output, return_indices=True)`.
    ///
    /// # Panics
    /// As [`adaptive_max_pool1d`](Tensor::adaptive_max_pool1d).
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 5.0, 4.0, 2.0]]);
    /// assert_eq!(x.adaptive_max_pool1d_with_indices(2).1.to_vec(), [1, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_max_pool1d_with_indices(
        &self,
        output: impl Into<AdaptiveSize<1>>,
    ) -> (Tensor<T>, Indices) {
        let op = "adaptive_max_pool1d";
        largest(op, self, &AdaptiveWindows::new(op, self.array.shape(), output.into()))
    }

    /// The largest element of each of `output` windows that cover an image as evenly as possible:
    /// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`. `None` keeps a size:
    /// `[None, Some(7)]` leaves the rows as they are.
    ///
    /// The windows are those of [`adaptive_avg_pool2d`](Tensor::adaptive_avg_pool2d). NaN counts as
    /// the largest value. Gradient: `g` at the position of the largest element: the first of equal
    /// ones, the last of several NaNs, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.functional.adaptive_max_pool2d`.
    ///
    /// # Panics
    /// If this is not an image or a batch of images, or a size of the images or of `output` is 0.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 4.0, 2.0], [1, 2, 2]).unwrap();
    /// assert_eq!(x.adaptive_max_pool2d(1).to_vec(), [5.0]);
    /// assert_eq!(x.adaptive_max_pool2d([None, Some(1)]).to_vec(), [5.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_max_pool2d(&self, output: impl Into<AdaptiveSize<2>>) -> Tensor<T> {
        self.adaptive_max_pool2d_with_indices(output).0
    }

    /// [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d), and the position of each largest
    /// element in its image: row · W + column.
    ///
    /// PyTorch: `torch.nn.functional.adaptive_max_pool2d(x, output, return_indices=True)`.
    ///
    /// # Panics
    /// As [`adaptive_max_pool2d`](Tensor::adaptive_max_pool2d).
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 4.0, 2.0], [1, 2, 2]).unwrap();
    /// assert_eq!(x.adaptive_max_pool2d_with_indices([2, 1]).1.to_vec(), [1, 2]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn adaptive_max_pool2d_with_indices(
        &self,
        output: impl Into<AdaptiveSize<2>>,
    ) -> (Tensor<T>, Indices) {
        let op = "adaptive_max_pool2d";
        largest(op, self, &AdaptiveWindows::new(op, self.array.shape(), output.into()))
    }
}

#[track_caller]
fn largest<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    windows: &AdaptiveWindows,
) -> (Tensor<T>, Indices) {
    let values = x.array.contiguous(op);
    let at = Array::build(op, windows.y.clone(), |at| {
        kernels::adaptive_max_pool(at, values.contiguous_slice(), windows.image, windows.output);
    });
    let [rows, cols] = windows.image;
    (picked(op, x, &at, rows * cols), Indices { array: at })
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{MaxPool2dOptions, Tensor};

    #[test]
    fn even_windows_match_max_pool() {
        let values = (0..48).map(|i| f64::from(i * 37 % 23)).collect();
        let x = Tensor::from_vec(values, [2, 1, 4, 6]).unwrap();
        let options = MaxPool2dOptions::default();
        let (expected, expected_at) = x.max_pool2d_with_indices([2, 3], options);
        let (y, at) = x.adaptive_max_pool2d_with_indices(2);
        assert_eq!((y.shape(), y.to_vec()), (expected.shape(), expected.to_vec()));
        assert_eq!(at.to_vec(), expected_at.to_vec());
    }

    #[test]
    fn ties_and_nans_are_resolved_as_in_pytorch() {
        let at = |values: [f32; 4]| {
            let x = Tensor::from_vec(values.to_vec(), [1, 1, 4]).unwrap();
            x.adaptive_max_pool2d_with_indices(1).1.to_vec()
        };
        let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
        assert_eq!(at([1.0, 2.0, 2.0, low]), [1]);
        assert_eq!(at([low; 4]), [0]);
        assert_eq!(at([nan, 1.0, nan, 2.0]), [2]);
    }

    #[test]
    fn gradients() {
        let distinct = |x: &Tensor<f64>| {
            // Far enough apart that no finite-difference step changes which is the largest.
            let order: Vec<f64> = (0..x.numel()).map(|i| ((i * 37) % 101) as f64).collect();
            x + Tensor::from_vec(order, x.shape()).unwrap()
        };
        for (shape, output) in [
            (&[2, 1, 5, 7][..], [Some(3), Some(2)]),
            (&[2, 3, 4], [Some(5), Some(1)]), // more windows than rows
            (&[1, 2, 2, 3], [None, Some(2)]),
            (&[0, 2, 5, 4], [Some(2), Some(2)]),
        ] {
            let pool = |x: &[Tensor<f64>]| distinct(&x[0]).adaptive_max_pool2d(output).powf(2.0);
            check_op(pool, &[shape], 0.0..0.5);
        }
        for (shape, output) in [(&[2, 1, 5][..], 3), (&[2, 3], 5), (&[0, 2, 5], 2)] {
            let pool = |x: &[Tensor<f64>]| distinct(&x[0]).adaptive_max_pool1d(output).powf(2.0);
            check_op(pool, &[shape], 0.0..0.5);
        }
    }

    #[test]
    #[should_panic(expected = "adaptive_max_pool1d: a size of the result of [0]: it must be")]
    fn zero_windows_are_refused() {
        let _ = Tensor::<f32>::ones([2, 4]).adaptive_max_pool1d(0);
    }
}
