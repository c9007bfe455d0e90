//! Attention to channels.

use crate::layers::conv::Conv2d;
use crate::layers::sequential::Layer;
use crate::tree::observe::observe;
use crate::{Conv2dOptions, Forward, Module, Relu, Sigmoid, check};
use adamant_tensor::{Float, Generator, Tensor};
use std::fmt;

/// The options of a [`SqueezeExcitation`], with torchvision's defaults.
///
/// ```
/// use adamant_nn::{Hardsigmoid, SqueezeExcitation, SqueezeExcitationOptions};
/// use adamant_tensor::Generator;
/// let options = SqueezeExcitationOptions::default().scale_activation(Hardsigmoid);
/// let layer = SqueezeExcitation::<f32>::with_options(16, 4, options, &mut Generator::seed(0));
/// ```
pub struct SqueezeExcitationOptions<T: Float = f32> {
    activation: Box<dyn Layer<T>>,
    scale_activation: Box<dyn Layer<T>>,
}

impl<T: Float> Default for SqueezeExcitationOptions<T> {
    fn default() -> Self {
        SqueezeExcitationOptions { activation: Box::new(Relu), scale_activation: Box::new(Sigmoid) }
    }
}

impl<T: Float> SqueezeExcitationOptions<T> {
    /// The function between the two linear maps; default [`Relu`].
    #[must_use]
    pub fn activation(self, activation: impl Layer<T> + 'static) -> Self {
        SqueezeExcitationOptions { activation: Box::new(activation), ..self }
    }

    /// The function that makes the factors, usually with values in `[0, 1]`; default [`Sigmoid`].
    #[must_use]
    pub fn scale_activation(self, scale_activation: impl Layer<T> + 'static) -> Self {
        SqueezeExcitationOptions { scale_activation: Box::new(scale_activation), ..self }
    }
}

impl<T: Float> fmt::Debug for SqueezeExcitationOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqueezeExcitationOptions")
            .field("activation", &self.activation.type_name())
            .field("scale_activation", &self.scale_activation.type_name())
            .finish()
    }
}

/// The image with each channel scaled by a factor that depends on the means of all channels:
/// `x · scale_activation(fc2(activation(fc1(mean(x)))))`, `[N, C, H, W] → [N, C, H, W]`, or
/// `[C, H, W] → [C, H, W]`.
///
/// `fc1` and `fc2` are convolutions with a kernel of size 1, from `C` channels to the squeezed ones
/// and back.
///
/// PyTorch: `torchvision.ops.SqueezeExcitation(input_channels, squeeze_channels)`.
///
/// ```
/// use adamant_nn::{Forward, Module, SqueezeExcitation};
/// use adamant_tensor::{Generator, Tensor};
/// let layer = SqueezeExcitation::new(16, 4, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::ones([2, 16, 7, 7])).shape(), [2, 16, 7, 7]);
/// assert_eq!(layer.named_parameters()[0].0, "fc1.weight");
/// ```
#[derive(Module)]
#[module(crate = crate, float = T, clone)]
pub struct SqueezeExcitation<T: Float = f32> {
    /// From the channels of the image to the squeezed ones.
    pub fc1: Conv2d<T>,
    /// Back to the channels of the image.
    pub fc2: Conv2d<T>,
    /// Between the two.
    pub activation: Box<dyn Layer<T>>,
    /// Makes the factors.
    pub scale_activation: Box<dyn Layer<T>>,
}

impl SqueezeExcitation {
    /// A layer with torchvision's defaults, in `f32`.
    ///
    /// # Panics
    /// If a number of channels is 0, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(input_channels: usize, squeeze_channels: usize, rng: &mut Generator) -> Self {
        let options = SqueezeExcitationOptions::default();
        Self::with_options(input_channels, squeeze_channels, options, rng)
    }
}

impl<T: Float> SqueezeExcitation<T> {
    /// A layer with these options, of any type.
    ///
    /// # Panics
    /// If a number of channels is 0, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(
        input_channels: usize,
        squeeze_channels: usize,
        options: SqueezeExcitationOptions<T>,
        rng: &mut Generator,
    ) -> Self {
        check::at_least_one("SqueezeExcitation", "input_channels", input_channels);
        check::at_least_one("SqueezeExcitation", "squeeze_channels", squeeze_channels);
        let SqueezeExcitationOptions { activation, scale_activation } = options;
        let plain = Conv2dOptions::default();
        SqueezeExcitation {
            fc1: Conv2d::with_options(input_channels, squeeze_channels, 1, plain, rng),
            fc2: Conv2d::with_options(squeeze_channels, input_channels, 1, plain, rng),
            activation,
            scale_activation,
        }
    }
}

impl<T: Float> fmt::Debug for SqueezeExcitation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqueezeExcitation")
            .field("fc1", &self.fc1)
            .field("fc2", &self.fc2)
            .field("activation", &self.activation.type_name())
            .field("scale_activation", &self.scale_activation.type_name())
            .finish()
    }
}

impl<T: Float> Forward<T> for SqueezeExcitation<T> {
    /// # Panics
    /// If `x` is not an image or a batch of images with the layer's channels.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let scale = self.activation.forward(&self.fc1.forward(&x.adaptive_avg_pool2d(1)));
        let scale = self.scale_activation.forward(&self.fc2.forward(&scale));
        observe(self, scale * x)
    }
}
