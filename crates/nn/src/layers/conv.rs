//! Convolutions.

use crate::tree::observe::observe;
use crate::{Forward, Module, check, init};
use adamant_tensor::{ConvParams, Float, Generator, PadMode, Parameter, PerDim, Tensor};

/// The options of a convolution layer over `D` spatial dimensions, with PyTorch's defaults: those
/// of the [operation](adamant_tensor::ConvParams), and whether there is a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions<const D: usize> {
    conv: ConvParams<D>,
    bias: bool,
}

/// The options of a [`Conv1d`].
pub type Conv1dOptions = ConvOptions<1>;

/// The options of a [`Conv2d`].
///
/// ```
/// use adamant_nn::{Conv2d, Conv2dOptions, Forward};
/// use adamant_tensor::{Generator, Tensor};
/// let options = Conv2dOptions::default().stride(2).padding(1).bias(false);
/// let layer = Conv2d::with_options(3, 8, [3, 3], options, &mut Generator::seed(0));
/// assert_eq!(layer.forward(&Tensor::<f32>::zeros([2, 3, 28, 28])).shape(), [2, 8, 14, 14]);
/// assert!(layer.bias.is_none());
/// ```
pub type Conv2dOptions = ConvOptions<2>;

impl<const D: usize> Default for ConvOptions<D> {
    fn default() -> Self {
        ConvOptions { conv: ConvParams::default(), bias: true }
    }
}

impl<const D: usize> ConvOptions<D> {
    /// The step from one window to the next; default 1.
    #[must_use]
    pub fn stride(self, stride: impl Into<PerDim<D>>) -> Self {
        ConvOptions { conv: self.conv.stride(stride), ..self }
    }

    /// The number of zeros added on each side of the image; default 0.
    #[must_use]
    pub fn padding(self, padding: impl Into<PerDim<D>>) -> Self {
        ConvOptions { conv: self.conv.padding(padding), ..self }
    }

    /// Pads so that the result has the size of the image, as the operation's
    /// [`padding_same`](adamant_tensor::ConvParams::padding_same) does. Requires a stride of 1.
    ///
    /// PyTorch: `padding="same"`.
    #[must_use]
    pub fn padding_same(self) -> Self {
        ConvOptions { conv: self.conv.padding_same(), ..self }
    }

    /// The source of the padding; default zeros.
    #[must_use]
    pub fn padding_mode(self, mode: PadMode) -> Self {
        ConvOptions { conv: self.conv.padding_mode(mode), ..self }
    }

    /// The step between neighboring elements of the kernel; default 1.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<PerDim<D>>) -> Self {
        ConvOptions { conv: self.conv.dilation(dilation), ..self }
    }

    /// The number of groups into which input and output channels are divided; the outputs of a
    /// group depend on its inputs only; default 1.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        ConvOptions { conv: self.conv.groups(groups), ..self }
    }

    /// Whether there is a bias; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        ConvOptions { bias, ..self }
    }
}

/// The options of a [`ConvTranspose2d`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2dOptions {
    conv: ConvParams<2>,
    bias: bool,
}

impl Default for ConvTranspose2dOptions {
    fn default() -> Self {
        ConvTranspose2dOptions { conv: ConvParams::default(), bias: true }
    }
}

impl ConvTranspose2dOptions {
    /// The step from one window of the result to the next; default 1.
    #[must_use]
    pub fn stride(self, stride: impl Into<PerDim<2>>) -> Self {
        ConvTranspose2dOptions { conv: self.conv.stride(stride), ..self }
    }

    /// The number of rows and columns removed on each side of the result; default 0.
    #[must_use]
    pub fn padding(self, padding: impl Into<PerDim<2>>) -> Self {
        ConvTranspose2dOptions { conv: self.conv.padding(padding), ..self }
    }

    /// The number of rows and columns added at the end of the result; default 0. A convolution with
    /// a stride maps several image sizes to one; this selects which of them to restore.
    #[must_use]
    pub fn output_padding(self, output_padding: impl Into<PerDim<2>>) -> Self {
        ConvTranspose2dOptions { conv: self.conv.output_padding(output_padding), ..self }
    }

    /// The number of groups into which input and output channels are divided; the outputs of a
    /// group depend on its inputs only; default 1.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        ConvTranspose2dOptions { conv: self.conv.groups(groups), ..self }
    }

    /// Whether there is a bias; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        ConvTranspose2dOptions { bias, ..self }
    }

    /// The step between neighboring elements of the kernel; default 1.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<PerDim<2>>) -> Self {
        ConvTranspose2dOptions { conv: self.conv.dilation(dilation), ..self }
    }
}

/// A layer by its number of spatial dimensions, operation, options and their check. The weight has
/// the channels `$channels(inputs, outputs)`, the second divided by the groups: a transposed
/// convolution has the input channels first.
macro_rules! convolution {
    (
        $(#[$doc:meta])*
        $Name:ident, $D:literal, $op:ident, $Options:ident, $check:ident, $channels:expr
    ) => {
        $(#[$doc])*
        #[derive(Debug, Module)]
        #[module(crate = crate, float = T, clone)]
        pub struct $Name<T: Float = f32> {
            /// The kernels.
            pub weight: Parameter<T>,
            /// An element for each output channel.
            pub bias: Option<Parameter<T>>,
            #[module(skip)]
            options: ConvParams<$D>,
        }

        impl $Name {
            /// A layer with PyTorch's defaults, in `f32`.
            ///
            /// # Panics
            /// If a size of the kernel is 0, or the parameters do not fit in memory.
            #[must_use]
            #[track_caller]
            pub fn new(
                in_channels: usize,
                out_channels: usize,
                kernel: impl Into<PerDim<$D>>,
                rng: &mut Generator,
            ) -> Self {
                let options = $Options::default();
                Self::with_options(in_channels, out_channels, kernel, options, rng)
            }
        }

        impl<T: Float> $Name<T> {
            /// A layer with these options, of any type.
            ///
            /// # Panics
            /// If the groups do not divide the channels, the options contradict each other or the
            /// kernel, or the parameters do not fit in memory.
            #[must_use]
            #[track_caller]
            pub fn with_options(
                in_channels: usize,
                out_channels: usize,
                kernel: impl Into<PerDim<$D>>,
                options: $Options,
                rng: &mut Generator,
            ) -> Self {
                let $Options { conv: options, bias } = options;
                let kernel = kernel.into();
                options.$check(stringify!($Name), kernel);
                let [first, second] = $channels(in_channels, out_channels);
                let Some(shape) = options.weight_shape(second, first, kernel) else {
                    panic!(
                        "{}: groups is {}; expected a divisor of in_channels = {in_channels} and \
                         out_channels = {out_channels}",
                        stringify!($Name),
                        options.group_count()
                    )
                };
                check::fits::<T>(
                    stringify!($Name),
                    format_args!(
                        "in_channels = {in_channels}, out_channels = {out_channels}, \
                         kernel = {:?}",
                        &shape[2..]
                    ),
                    &shape,
                );
                let fan_in = shape.iter().skip(1).product();
                let weight = Parameter::new(init::kaiming_uniform(shape, 5f64.sqrt(), rng));
                let draw_bias = || Parameter::new(init::bias(out_channels, fan_in, rng));
                $Name { weight, bias: bias.then(draw_bias), options }
            }
        }

        impl<T: Float> Forward<T> for $Name<T> {
            /// # Panics
            /// If the input has the wrong number of dimensions or channels, or is too small for an
            /// output.
            #[track_caller]
            fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
                let bias = self.bias.as_ref().map(Parameter::tensor);
                observe(self, x.$op(&self.weight.tensor(), bias.as_ref(), self.options))
            }
        }
    };
}

convolution!(
    /// The convolution of sequences: `[N, C, L] → [N, O, oL]`, or `[C, L] → [O, oL]`, with the sizes of
    /// [`Tensor::conv1d`].
    ///
    /// `weight` is `[O, C / groups, k]`, kaiming-uniform with a = √5; `bias` is `[O]`, uniform in
    /// ±1/√fan_in, where `fan_in = C / groups · k`.
    ///
    /// PyTorch: `torch.nn.Conv1d(C, O, k)`.
    ///
    /// ```
    /// use adamant_nn::{Conv1d, Forward};
    /// use adamant_tensor::{Generator, Tensor};
    /// let layer = Conv1d::new(3, 8, 5, &mut Generator::seed(0));
    /// assert_eq!(layer.forward(&Tensor::zeros([2, 3, 20])).shape(), [2, 8, 16]);
    /// ```
    Conv1d, 1, conv1d, Conv1dOptions, check, |inputs, outputs| [outputs, inputs]
);

convolution!(
    /// The convolution of images: `[N, C, H, W] → [N, O, oH, oW]`, or `[C, H, W] → [O, oH, oW]`,
    /// with the sizes of [`Tensor::conv2d`].
    ///
    /// `weight` is `[O, C / groups, kH, kW]`, kaiming-uniform with a = √5; `bias` is `[O]`, uniform
    /// in ±1/√fan_in, where `fan_in = C / groups · kH · kW`.
    ///
    /// PyTorch: `torch.nn.Conv2d(C, O, k)`.
    ///
    /// ```
    /// use adamant_nn::{Conv2d, Forward};
    /// use adamant_tensor::{Generator, Tensor};
    /// let layer = Conv2d::new(3, 8, 5, &mut Generator::seed(0));
    /// assert_eq!(layer.forward(&Tensor::zeros([2, 3, 28, 28])).shape(), [2, 8, 24, 24]);
    /// ```
    Conv2d, 2, conv2d, Conv2dOptions, check, |inputs, outputs| [outputs, inputs]
);

convolution!(
    /// The transposed convolution of images: `[N, C, H, W] → [N, O, oH, oW]`, or `[C, H, W] →
    /// [O, oH, oW]`, with the sizes of [`Tensor::conv_transpose2d`].
    ///
    /// `weight` is `[C, O / groups, kH, kW]`, kaiming-uniform with a = √5; `bias` is `[O]`, uniform
    /// in ±1/√fan_in, where `fan_in`, as in PyTorch, is `O / groups · kH · kW`.
    ///
    /// PyTorch: `torch.nn.ConvTranspose2d(C, O, k)`.
    ///
    /// ```
    /// use adamant_nn::{ConvTranspose2d, ConvTranspose2dOptions, Forward};
    /// use adamant_tensor::{Generator, Tensor};
    /// let double = ConvTranspose2dOptions::default().stride(2);
    /// let layer = ConvTranspose2d::with_options(8, 3, 2, double, &mut Generator::seed(0));
    /// assert_eq!(layer.forward(&Tensor::<f32>::zeros([2, 8, 7, 7])).shape(), [2, 3, 14, 14]);
    /// ```
    ConvTranspose2d, 2, conv_transpose2d, ConvTranspose2dOptions, check_transposed,
    |inputs, outputs| [inputs, outputs]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_pytorchs_shapes_and_bounds() {
        let rng = &mut Generator::seed(0);
        let check = |weight: &Parameter, bias: Option<&Parameter>, shape: &[usize]| {
            assert_eq!(weight.shape(), shape);
            let bound = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
            for (values, least) in [(weight, 0.95), (bias.unwrap(), 0.5)] {
                let largest = values.tensor().abs().max().item();
                assert!((least * bound..=bound).contains(&largest), "{largest} {bound}");
            }
        };
        let layer = Conv2d::with_options(6, 8, [5, 3], ConvOptions::default().groups(2), rng);
        check(&layer.weight, layer.bias.as_ref(), &[8, 3, 5, 3]);
        let options = ConvTranspose2dOptions::default().groups(2);
        let layer = ConvTranspose2d::with_options(6, 8, [5, 3], options, rng);
        check(&layer.weight, layer.bias.as_ref(), &[6, 4, 5, 3]);
        let layer = Conv1d::new(6, 8, 5, rng);
        check(&layer.weight, layer.bias.as_ref(), &[8, 6, 5]);
    }
}
