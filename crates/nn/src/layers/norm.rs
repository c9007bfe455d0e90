//! Normalizations of each sample on its own: over its last dimensions, or over groups of channels.

use crate::tree::observe::observe;
use crate::{Forward, Module, check};
use adamant_tensor::{Float, Parameter, Shape, Tensor};

/// The options of a [`LayerNorm`], with PyTorch's defaults.
///
/// ```
/// use adamant_nn::{LayerNorm, LayerNormOptions};
/// let options = LayerNormOptions::default().eps(1e-6).bias(false);
/// let layer = LayerNorm::<f64>::with_options([4, 5], options);
/// assert!(layer.weight.is_some() && layer.bias.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormOptions {
    eps: f64,
    elementwise_affine: bool,
    bias: bool,
}

impl Default for LayerNormOptions {
    fn default() -> Self {
        LayerNormOptions { eps: 1e-5, elementwise_affine: true, bias: true }
    }
}

impl LayerNormOptions {
    /// Added to the variance; default 1e-5.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        LayerNormOptions { eps, ..self }
    }

    /// Whether there are a `weight` and a `bias`; default true.
    #[must_use]
    pub fn elementwise_affine(self, elementwise_affine: bool) -> Self {
        LayerNormOptions { elementwise_affine, ..self }
    }

    /// Whether there is a `bias` beside the `weight`; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        LayerNormOptions { bias, ..self }
    }
}

/// `(x − mean) / √(var + eps) · weight + bias` over the last dimensions:
/// `[…, *shape] → […, *shape]`.
///
/// `weight` and `bias` have the shape that is normalized over, and start as 1 and 0.
///
/// PyTorch: `torch.nn.LayerNorm`.
///
/// ```
/// use adamant_nn::{Forward, LayerNorm};
/// use adamant_tensor::Tensor;
/// let layer = LayerNorm::new([2]);
/// let y = layer.forward(&Tensor::from([[1.0, 3.0], [10.0, 20.0]]));
/// assert!((y.to_vec()[3] - 1.0).abs() < 1e-5);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct LayerNorm<T: Float = f32> {
    /// The shape that is normalized over.
    pub weight: Option<Parameter<T>>,
    /// The shape that is normalized over.
    pub bias: Option<Parameter<T>>,
    #[module(skip)]
    shape: Shape,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// A layer over last dimensions of this shape, with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self::with_options(shape, LayerNormOptions::default())
    }
}

impl<T: Float> LayerNorm<T> {
    /// A layer over last dimensions of this shape with these options, of any type.
    ///
    /// # Panics
    /// If `eps` is negative or NaN, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(shape: impl Into<Shape>, options: LayerNormOptions) -> Self {
        let LayerNormOptions { eps, elementwise_affine, bias } = options;
        check::eps("LayerNorm", "eps", eps);
        let shape = shape.into();
        check::fits::<T>("LayerNorm", format_args!("normalized_shape = {shape}"), &shape);
        LayerNorm {
            weight: elementwise_affine.then(|| Parameter::new(Tensor::ones(&shape))),
            bias: (elementwise_affine && bias).then(|| Parameter::new(Tensor::zeros(&shape))),
            shape,
            eps,
        }
    }
}

impl<T: Float> Forward<T> for LayerNorm<T> {
    /// # Panics
    /// If the last dimensions of `x` are not the layer's.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let weight = self.weight.as_ref().map(Parameter::tensor);
        let bias = self.bias.as_ref().map(Parameter::tensor);
        observe(self, x.layer_norm(&self.shape, weight.as_ref(), bias.as_ref(), self.eps))
    }
}

/// The options of an [`RmsNorm`], with PyTorch's defaults.
///
/// ```
/// use adamant_nn::{RmsNorm, RmsNormOptions};
/// let options = RmsNormOptions::default().eps(Some(1e-6)).elementwise_affine(false);
/// let layer = RmsNorm::<f64>::with_options([4], options);
/// assert!(layer.weight.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNormOptions {
    eps: Option<f64>,
    elementwise_affine: bool,
}

impl Default for RmsNormOptions {
    fn default() -> Self {
        RmsNormOptions { eps: None, elementwise_affine: true }
    }
}

impl RmsNormOptions {
    /// Added to the mean of squares; default `None`, the machine epsilon of the layer's type.
    #[must_use]
    pub fn eps(self, eps: Option<f64>) -> Self {
        RmsNormOptions { eps, ..self }
    }

    /// Whether there is a `weight`; default true.
    #[must_use]
    pub fn elementwise_affine(self, elementwise_affine: bool) -> Self {
        RmsNormOptions { elementwise_affine, ..self }
    }
}

/// `x / √(mean(x²) + eps) · weight` over the last dimensions: `[…, *shape] → […, *shape]`.
///
/// `weight` has the shape that is normalized over, and starts as 1.
///
/// PyTorch: `torch.nn.RMSNorm`.
///
/// ```
/// use adamant_nn::{Forward, RmsNorm};
/// use adamant_tensor::Tensor;
/// let y = RmsNorm::new([2]).forward(&Tensor::from([[3.0, -3.0]]));
/// assert!((y.to_vec()[1] + 1.0).abs() < 1e-5);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct RmsNorm<T: Float = f32> {
    /// The shape that is normalized over.
    pub weight: Option<Parameter<T>>,
    #[module(skip)]
    shape: Shape,
    #[module(skip)]
    eps: Option<f64>,
}

impl RmsNorm {
    /// A layer over last dimensions of this shape, with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self::with_options(shape, RmsNormOptions::default())
    }
}

impl<T: Float> RmsNorm<T> {
    /// A layer over last dimensions of this shape with these options, of any type.
    ///
    /// # Panics
    /// If `eps` is negative or NaN, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(shape: impl Into<Shape>, options: RmsNormOptions) -> Self {
        let RmsNormOptions { eps, elementwise_affine } = options;
        if let Some(eps) = eps {
            check::eps("RmsNorm", "eps", eps);
        }
        let shape = shape.into();
        check::fits::<T>("RmsNorm", format_args!("normalized_shape = {shape}"), &shape);
        let weight = elementwise_affine.then(|| Parameter::new(Tensor::ones(&shape)));
        RmsNorm { weight, shape, eps }
    }
}

impl<T: Float> Forward<T> for RmsNorm<T> {
    /// # Panics
    /// If the last dimensions of `x` are not the layer's.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let weight = self.weight.as_ref().map(Parameter::tensor);
        let epsilon = if T::DTYPE == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let eps = self.eps.unwrap_or(epsilon);
        observe(self, x.rms_norm(&self.shape, weight.as_ref(), eps))
    }
}

/// The options of a [`GroupNorm`], with PyTorch's defaults.
///
/// ```
/// use adamant_nn::{GroupNorm, GroupNormOptions};
/// let layer = GroupNorm::<f64>::with_options(2, 4, GroupNormOptions::default().bias(false));
/// assert!(layer.weight.is_some() && layer.bias.is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormOptions {
    eps: f64,
    affine: bool,
    bias: bool,
}

impl Default for GroupNormOptions {
    fn default() -> Self {
        GroupNormOptions { eps: 1e-5, affine: true, bias: true }
    }
}

impl GroupNormOptions {
    /// Added to the variance; default 1e-5.
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        GroupNormOptions { eps, ..self }
    }

    /// Whether there are a `weight` and a `bias`; default true.
    #[must_use]
    pub fn affine(self, affine: bool) -> Self {
        GroupNormOptions { affine, ..self }
    }

    /// Whether there is a `bias` beside the `weight`; default true.
    #[must_use]
    pub fn bias(self, bias: bool) -> Self {
        GroupNormOptions { bias, ..self }
    }
}

/// `(x − mean) / √(var + eps) · weight + bias` over groups of channels of each sample:
/// `[N, C, …] → [N, C, …]`.
///
/// `weight` and `bias` are `[C]`, and start as 1 and 0.
///
/// PyTorch: `torch.nn.GroupNorm`.
///
/// ```
/// use adamant_nn::{Forward, GroupNorm};
/// use adamant_tensor::Tensor;
/// let y = GroupNorm::new(2, 4).forward(&Tensor::from([[1.0, 3.0, 10.0, 20.0]]));
/// assert!((y.to_vec()[3] - 1.0).abs() < 1e-5);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct GroupNorm<T: Float = f32> {
    /// `[C]`
    pub weight: Option<Parameter<T>>,
    /// `[C]`
    pub bias: Option<Parameter<T>>,
    #[module(skip)]
    groups: usize,
    #[module(skip)]
    channels: usize,
    #[module(skip)]
    eps: f64,
}

impl GroupNorm {
    /// A layer for `channels` channels in `groups` groups, with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If `groups` does not divide `channels`, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> Self {
        Self::with_options(groups, channels, GroupNormOptions::default())
    }
}

impl<T: Float> GroupNorm<T> {
    /// A layer for `channels` channels in `groups` groups with these options, of any type.
    ///
    /// # Panics
    /// If `groups` does not divide `channels`, `eps` is negative or NaN, or the parameters do not
    /// fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(groups: usize, channels: usize, options: GroupNormOptions) -> Self {
        let GroupNormOptions { eps, affine, bias } = options;
        assert!(
            groups > 0 && channels.is_multiple_of(groups),
            "GroupNorm: num_groups is {groups}; expected a divisor of num_channels = {channels}"
        );
        check::eps("GroupNorm", "eps", eps);
        check::fits::<T>("GroupNorm", format_args!("num_channels = {channels}"), &[channels]);
        GroupNorm {
            weight: affine.then(|| Parameter::new(Tensor::ones([channels]))),
            bias: (affine && bias).then(|| Parameter::new(Tensor::zeros([channels]))),
            groups,
            channels,
            eps,
        }
    }
}

impl<T: Float> Forward<T> for GroupNorm<T> {
    /// # Panics
    /// If `x` does not have the layer's channels, or is one sample with one value for each group.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        assert!(
            x.shape().get(1) == Some(&self.channels),
            "GroupNorm: an input of shape {:?}; expected [batch, {}, …]",
            x.shape(),
            self.channels
        );
        let weight = self.weight.as_ref().map(Parameter::tensor);
        let bias = self.bias.as_ref().map(Parameter::tensor);
        observe(self, x.group_norm(self.groups, weight.as_ref(), bias.as_ref(), self.eps))
    }
}
