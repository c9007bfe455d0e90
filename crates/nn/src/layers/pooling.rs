//! Pooling: one element for each window of an image.

use crate::layers::stateless::stateless;
use adamant_tensor::{AdaptiveSize, AvgPool2dOptions, MaxPool2dOptions, PerDim};

/// The maximum of each window: `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] →
/// [C, oH, oW]`. The sizes are those of [`Tensor::max_pool2d`](adamant_tensor::Tensor::max_pool2d).
///
/// PyTorch: `torch.nn.MaxPool2d(kernel)`.
///
/// # Panics
/// In `forward`: if the input is not an image or a batch of images, or is smaller than a window.
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
    /// A layer with adjacent windows of size `kernel`.
    #[must_use]
    pub fn new(kernel: impl Into<PerDim<2>>) -> Self {
        MaxPool2d::with_options(kernel, MaxPool2dOptions::default())
    }

    /// A layer with windows of size `kernel` and these options.
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
/// In `forward`: if the input is not an image or a batch of images, or is smaller than a window.
///
/// ```
/// use adamant_nn::{AvgPool2d, Forward};
/// use adamant_tensor::{AdaptiveSize, AvgPool2dOptions, Tensor};
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
    /// A layer with adjacent windows of size `kernel`.
    #[must_use]
    pub fn new(kernel: impl Into<PerDim<2>>) -> Self {
        AvgPool2d::with_options(kernel, AvgPool2dOptions::default())
    }

    /// A layer with windows of size `kernel` and these options.
    #[must_use]
    pub fn with_options(kernel: impl Into<PerDim<2>>, options: AvgPool2dOptions) -> Self {
        AvgPool2d { kernel: kernel.into(), options }
    }
}

/// An adaptive pooling by its number of spatial dimensions and operation.
macro_rules! adaptive {
    ($(#[$doc:meta])* $Name:ident, $D:literal, $op:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Name {
            output: AdaptiveSize<$D>,
        }
        stateless!($Name, |layer, x| x.$op(layer.output));

        impl $Name {
            /// A layer with results of this size; `None` keeps the size of the input.
            #[must_use]
            pub fn new(output: impl Into<AdaptiveSize<$D>>) -> Self {
                $Name { output: output.into() }
            }
        }
    };
}

adaptive!(
    /// The mean of each of `output` windows that cover a sequence evenly: `[N, C, L] → [N, C, oL]`, or
    /// `[C, L] → [C, oL]`.
    ///
    /// See [`Tensor::adaptive_avg_pool1d`](adamant_tensor::Tensor::adaptive_avg_pool1d).
    /// PyTorch: `torch.nn.AdaptiveAvgPool1d(output)`.
    ///
    /// # Panics
    /// In `forward`: if the input is not a sequence or a batch of sequences, or a size is 0.
    ///
    /// ```
    /// use adamant_nn::{AdaptiveAvgPool1d, Forward};
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([8, 3, 30]);
    /// assert_eq!(AdaptiveAvgPool1d::new(7).forward(&x).shape(), [8, 3, 7]);
    /// ```
    AdaptiveAvgPool1d, 1, adaptive_avg_pool1d
);
adaptive!(
    /// The mean of each of `output` windows that cover an image evenly:
    /// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`.
    ///
    /// See [`Tensor::adaptive_avg_pool2d`](adamant_tensor::Tensor::adaptive_avg_pool2d).
    /// PyTorch: `torch.nn.AdaptiveAvgPool2d(output)`.
    ///
    /// # Panics
    /// In `forward`: if the input is not an image or a batch of images, or a size is 0.
    ///
    /// ```
    /// use adamant_nn::{AdaptiveAvgPool2d, Forward};
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([8, 3, 28, 30]);
    /// assert_eq!(AdaptiveAvgPool2d::new([5, 7]).forward(&x).shape(), [8, 3, 5, 7]);
    /// let pool = AdaptiveAvgPool2d::new([None, Some(7)]);
    /// assert_eq!(pool.forward(&x).shape(), [8, 3, 28, 7]);
    /// ```
    AdaptiveAvgPool2d, 2, adaptive_avg_pool2d
);
adaptive!(
    /// The maximum of each of `output` windows that cover a sequence evenly:
    /// `[N, C, L] → [N, C, oL]`, or `[C, L] → [C, oL]`.
    ///
    /// See [`Tensor::adaptive_max_pool1d`](adamant_tensor::Tensor::adaptive_max_pool1d).
    /// PyTorch: `torch.nn.AdaptiveMaxPool1d(output)`.
    ///
    /// # Panics
    /// In `forward`: if the input is not a sequence or a batch of sequences, or a size is 0.
    ///
    /// ```
    /// use adamant_nn::{AdaptiveMaxPool1d, Forward};
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([8, 3, 30]);
    /// assert_eq!(AdaptiveMaxPool1d::new(7).forward(&x).shape(), [8, 3, 7]);
    /// ```
    AdaptiveMaxPool1d, 1, adaptive_max_pool1d
);
adaptive!(
    /// The maximum of each of `output` windows that cover an image evenly:
    /// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`.
    ///
    /// See [`Tensor::adaptive_max_pool2d`](adamant_tensor::Tensor::adaptive_max_pool2d).
    /// PyTorch: `torch.nn.AdaptiveMaxPool2d(output)`.
    ///
    /// # Panics
    /// In `forward`: if the input is not an image or a batch of images, or a size is 0.
    ///
    /// ```
    /// use adamant_nn::{AdaptiveMaxPool2d, Forward};
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::ones([8, 3, 28, 30]);
    /// let pool = AdaptiveMaxPool2d::new([Some(5), None]);
    /// assert_eq!(pool.forward(&x).shape(), [8, 3, 5, 30]);
    /// ```
    AdaptiveMaxPool2d, 2, adaptive_max_pool2d
);
