//! Pooling: one number of each window on an image.

use crate::stateless::stateless;
use adamant_tensor::{AvgPool2dOptions, MaxPool2dOptions, PerDim};

/// The largest element of each window: `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] →
/// [C, oH, oW]`. The sizes are those of [`Tensor::max_pool2d`](adamant_tensor::Tensor::max_pool2d).
///
/// PyTorch: `torch.nn.MaxPool2d(kernel)`.
///
/// # Panics
/// In `forward`: if the input is no image or batch of images, or they are too small.
///
/// ```
/// use adamant_nn::{Forward, MaxPool2d};
/// use adamant_tensor::{MaxPool2dOptions, Tensor};
/// let x = Tensor::<f32>::ones([8, 3, 28, 28]);
/// assert_eq!(MaxPool2d::new(2).forward(&x).shape(), [8, 3, 14, 14]);
/// let pool = MaxPool2d::with_options(3, MaxPool2dOptions::default().stride(2).padding(1));
/// assert_eq!(pool.forward(&x).shape(), [8, 3, 14, 14]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    kernel: PerDim<2>,
    options: MaxPool2dOptions,
}
stateless!(MaxPool2d, |layer, x| x.max_pool2d(layer.kernel, layer.options));

impl MaxPool2d {
    /// Windows of `kernel` places, side by side.
    #[must_use]
    pub fn new(kernel: impl Into<PerDim<2>>) -> Self {
        MaxPool2d::with_options(kernel, MaxPool2dOptions::default())
    }

    /// With another stride, padding or dilation, or in ceil mode.
    #[must_use]
    pub fn with_options(kernel: impl Into<PerDim<2>>, options: MaxPool2dOptions) -> Self {
        MaxPool2d { kernel: kernel.into(), options }
    }
}

/// The mean of each window: `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`.
/// The sizes are those of [`Tensor::avg_pool2d`](adamant_tensor::Tensor::avg_pool2d).
///
/// PyTorch: `torch.nn.AvgPool2d(kernel)`.
///
/// # Panics
/// In `forward`: if the input is no image or batch of images, or they are too small.
///
/// ```
/// use adamant_nn::{AvgPool2d, Forward};
/// use adamant_tensor::{AvgPool2dOptions, Tensor};
/// let x = Tensor::<f32>::ones([8, 3, 28, 28]);
/// assert_eq!(AvgPool2d::new([2, 4]).forward(&x).shape(), [8, 3, 14, 7]);
/// let pool = AvgPool2d::with_options(2, AvgPool2dOptions::default().stride(1));
/// assert_eq!(pool.forward(&x).shape(), [8, 3, 27, 27]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d {
    kernel: PerDim<2>,
    options: AvgPool2dOptions,
}
stateless!(AvgPool2d, |layer, x| x.avg_pool2d(layer.kernel, layer.options));

impl AvgPool2d {
    /// Windows of `kernel` places, side by side.
    #[must_use]
    pub fn new(kernel: impl Into<PerDim<2>>) -> Self {
        AvgPool2d::with_options(kernel, AvgPool2dOptions::default())
    }

    /// With another stride, padding or divisor, or in ceil mode.
    #[must_use]
    pub fn with_options(kernel: impl Into<PerDim<2>>, options: AvgPool2dOptions) -> Self {
        AvgPool2d { kernel: kernel.into(), options }
    }
}

/// The mean of each of `output` windows that cover an image evenly:
/// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`.
///
/// See [`Tensor::adaptive_avg_pool2d`](adamant_tensor::Tensor::adaptive_avg_pool2d).
/// PyTorch: `torch.nn.AdaptiveAvgPool2d(output)`.
///
/// # Panics
/// In `forward`: if the input is no image or batch of images, or a size is 0.
///
/// ```
/// use adamant_nn::{AdaptiveAvgPool2d, Forward};
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::ones([8, 3, 28, 30]);
/// assert_eq!(AdaptiveAvgPool2d::new([5, 7]).forward(&x).shape(), [8, 3, 5, 7]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d {
    output: PerDim<2>,
}
stateless!(AdaptiveAvgPool2d, |layer, x| x.adaptive_avg_pool2d(layer.output));

impl AdaptiveAvgPool2d {
    /// So many windows: `1` for the mean of an image.
    #[must_use]
    pub fn new(output: impl Into<PerDim<2>>) -> Self {
        AdaptiveAvgPool2d { output: output.into() }
    }
}
