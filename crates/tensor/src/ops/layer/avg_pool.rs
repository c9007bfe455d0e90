//! The mean of each window.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::ops::layer::max_pool::images;
use crate::ops::layer::windows::{PerDim, pooling};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, AvgPool, Divisor, Float};

/// The options of [`Tensor::avg_pool2d`], with PyTorch's defaults.
///
/// ```
/// use adamant_tensor::{AvgPool2dOptions, Tensor};
/// let x = Tensor::<f32>::ones([1, 1, 2]);
/// let options = AvgPool2dOptions::default().padding([0, 1]);
/// assert_eq!(x.avg_pool2d([1, 2], options).to_vec(), [0.5, 0.5]);
/// assert_eq!(x.avg_pool2d([1, 2], options.count_include_pad(false)).to_vec(), [1.0, 1.0]);
/// assert_eq!(x.avg_pool2d([1, 2], options.divisor_override(10)).to_vec(), [0.1, 0.1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dOptions {
    stride: Option<[usize; 2]>,
    padding: [usize; 2],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<i64>,
}

impl Default for AvgPool2dOptions {
    fn default() -> Self {
        AvgPool2dOptions {
            stride: None,
            padding: [0; 2],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

impl AvgPool2dOptions {
    /// The step from one window to the next; default: the size of the kernel.
    #[must_use]
    pub fn stride(self, stride: impl Into<PerDim<2>>) -> Self {
        AvgPool2dOptions { stride: Some(stride.into().0), ..self }
    }

    /// The number of zeros on each side of the image, at most half of the kernel; default 0.
    #[must_use]
    pub fn padding(self, padding: impl Into<PerDim<2>>) -> Self {
        AvgPool2dOptions { padding: padding.into().0, ..self }
    }

    /// Whether windows that begin in the image may reach past its padding, where nothing counts;
    /// default false.
    #[must_use]
    pub fn ceil_mode(self, ceil_mode: bool) -> Self {
        AvgPool2dOptions { ceil_mode, ..self }
    }

    /// Whether the zeros of the padding count in a mean; default true.
    #[must_use]
    pub fn count_include_pad(self, count_include_pad: bool) -> Self {
        AvgPool2dOptions { count_include_pad, ..self }
    }

    /// The divisor of each sum; default: the number of positions in its window.
    #[must_use]
    pub fn divisor_override(self, divisor: i64) -> Self {
        AvgPool2dOptions { divisor_override: Some(divisor), ..self }
    }
}

impl<T: Float> Tensor<T> {
    /// The mean of each window of size `kernel`, image by image: `[N, C, H, W] → [N, C, oH, oW]`,
    /// or `[C, H, W] → [C, oH, oW]`. `oH = ⌊(H + 2·padding − kH) / stride⌋ + 1`; `ceil_mode` rounds
    /// it up, but drops a last window that would begin outside the image.
    ///
    /// Gradient: `g` over the divisor, at each element of the window. PyTorch:
    /// `torch.nn.functional.avg_pool2d`.
    ///
    /// # Panics
    /// If this is not an image or a batch of images, the padded image is smaller than the kernel,
    /// the padding is larger than half of the kernel, or a kernel, stride or `divisor_override` is
    /// 0.
    ///
    /// ```
    /// use adamant_tensor::{AvgPool2dOptions, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 2.0, 0.0, 2.0, 3.0], [1, 2, 3]).unwrap();
    /// assert_eq!(x.avg_pool2d(2, AvgPool2dOptions::default().stride(1)).to_vec(), [2.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn avg_pool2d(&self, kernel: impl Into<PerDim<2>>, options: AvgPool2dOptions) -> Tensor<T> {
        let (_, image) = images("avg_pool2d", self.array.shape());
        let (kernel, padding, ceil) = (kernel.into().0, options.padding, options.ceil_mode);
        let stride = options.stride.unwrap_or(kernel);
        let windows = pooling("avg_pool2d", image, kernel, stride, padding, [1, 1], ceil);
        assert!(options.divisor_override != Some(0), "avg_pool2d: a divisor_override of 0");
        let divisor = match (options.divisor_override, options.count_include_pad) {
            (Some(divisor), _) => Divisor::Fixed(divisor as f64),
            (None, true) => Divisor::Padded,
            (None, false) => Divisor::Inside,
        };
        means("avg_pool2d", self, AvgPool { windows, divisor })
    }
}

/// The linear map from images to means.
#[track_caller]
fn means<T: Float>(op: &'static str, x: &Tensor<T>, sizes: AvgPool) -> Tensor<T> {
    let values = x.array.contiguous(op);
    let value = Array::build(op, with_images(x, sizes.windows.output), |y| {
        kernels::avg_pool(y, values.contiguous_slice(), &sizes);
    });
    record(op, [x], value, move |ctx| [Some(shares(ctx.grad(), sizes))])
}

/// Its adjoint.
#[track_caller]
fn shares<T: Float>(g: &Tensor<T>, sizes: AvgPool) -> Tensor<T> {
    let op = "avg_pool2d_backward";
    let values = g.array.contiguous(op);
    let value = Array::build(op, with_images(g, sizes.windows.input), |x| {
        kernels::avg_pool_input(x, values.contiguous_slice(), &sizes);
    });
    record(op, [g], value, move |ctx| [Some(means("avg_pool2d", ctx.grad(), sizes))])
}

/// The shape of `x` with images of another size.
fn with_images<T: Float>(x: &Tensor<T>, image: [usize; 2]) -> Shape {
    let shape = x.array.shape();
    shape[..shape.len() - 2].iter().copied().chain(image).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    fn options() -> AvgPool2dOptions {
        AvgPool2dOptions::default()
    }

    type Case = ([usize; 2], [usize; 2], AvgPool2dOptions, [usize; 2]);

    fn odd_cases() -> Vec<Case> {
        let some = options().stride(2).padding(1).ceil_mode(true);
        vec![
            ([4, 6], [2, 2], options(), [2, 3]),
            ([5, 7], [2, 3], options(), [2, 2]),
            ([5, 7], [2, 3], options().ceil_mode(true), [3, 3]),
            ([5, 5], [2, 2], options().stride(4).padding(1).ceil_mode(true), [2, 2]),
            ([5, 6], [3, 3], some, [3, 4]),
            ([5, 6], [3, 3], some.count_include_pad(false), [3, 4]),
            ([5, 6], [3, 3], some.divisor_override(-7), [3, 4]),
            ([4, 5], [3, 1], options().stride([1, 3]).padding([1, 0]), [4, 2]),
            ([1, 1], [1, 1], options(), [1, 1]),
        ]
    }

    /// The mean by its definition, for one image.
    fn reference(x: &[f64], (image, kernel, options, output): &Case) -> Vec<f64> {
        let (stride, padding) = (options.stride.unwrap_or(*kernel), options.padding);
        let mut means = Vec::new();
        for (oy, ox) in (0..output[0]).flat_map(|y| (0..output[1]).map(move |x| (y, x))) {
            let (mut sum, mut inside, mut positions) = (0.0, 0, 0);
            for (ky, kx) in (0..kernel[0]).flat_map(|y| (0..kernel[1]).map(move |x| (y, x))) {
                let (y, x_) = (oy * stride[0] + ky, ox * stride[1] + kx); // in the padded image
                if y < image[0] + 2 * padding[0] && x_ < image[1] + 2 * padding[1] {
                    positions += 1;
                }
                let position = y.checked_sub(padding[0]).zip(x_.checked_sub(padding[1]));
                if let Some((y, x_)) = position.filter(|&(y, x)| y < image[0] && x < image[1]) {
                    inside += 1;
                    sum += x[y * image[1] + x_];
                }
            }
            let count = if options.count_include_pad { positions } else { inside };
            means.push(sum / options.divisor_override.unwrap_or(count) as f64);
        }
        means
    }

    #[test]
    fn values_match_the_formula() {
        for case in odd_cases() {
            let (image, kernel, options, output) = case;
            let len = image[0] * image[1];
            let x: Vec<f64> = (0..6 * len).map(|i| ((i * 7) % 13) as f64).collect();
            let expected: Vec<f64> = x.chunks(len).flat_map(|x| reference(x, &case)).collect();
            for lead in [&[2, 3][..], &[6]] {
                let shape = |image: [usize; 2]| -> Vec<usize> { [lead, &image].concat() };
                let y = Tensor::from_vec(x.clone(), shape(image)).unwrap();
                let y = y.avg_pool2d(kernel, options);
                assert_eq!((y.shape(), y.to_vec()), (&shape(output)[..], expected.clone()));
            }
        }
    }

    #[test]
    fn gradients() {
        for (image, kernel, options, _) in odd_cases() {
            let shape = [2, 1, image[0], image[1]];
            check_op(|x| x[0].avg_pool2d(kernel, options).powf(2.0), &[&shape], -1.0..1.0);
        }
        check_op(|x| x[0].avg_pool2d(2, options()).powf(2.0), &[&[0, 2, 5, 4]], -1.0..1.0);
    }

    #[test]
    #[should_panic(expected = "avg_pool2d: a divisor_override of 0")]
    fn a_divisor_of_zero_is_refused() {
        let _ = Tensor::<f32>::ones([1, 2, 2]).avg_pool2d(2, options().divisor_override(0));
    }

    #[test]
    #[should_panic(expected = "avg_pool2d: images of [2, 5], padded to [2, 5], are smaller than")]
    fn too_large_a_kernel_is_refused() {
        let _ = Tensor::<f32>::ones([1, 2, 5]).avg_pool2d(3, options());
    }
}
