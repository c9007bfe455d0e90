//! Normalisations of each sample by itself: over its last dimensions, or groups of channels.

use crate::summary::observe;
use crate::{Forward, Module};
use adamant_tensor::{Float, Parameter, Shape, Tensor};

/// `(x − mean) / √(var + eps) · weight + bias` over the last dimensions:
/// `[…, *shape] → […, *shape]`.
///
/// `weight`, of the shape that is normalised over, starts as 1, and `bias` as 0.
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
#[module(crate = crate, float = T)]
pub struct LayerNorm<T: Float = f32> {
    /// The shape that is normalised over.
    pub weight: Option<Parameter<T>>,
    /// The same shape.
    pub bias: Option<Parameter<T>>,
    #[module(skip)]
    shape: Shape,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// Over last dimensions of this shape, in `f32`, with weight, bias and eps 1e-5. Others:
    /// [`with_options`](LayerNorm::with_options).
    #[must_use]
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self::with_options(shape, 1e-5, true, true)
    }
}

impl<T: Float> LayerNorm<T> {
    /// Of any type, with another `eps`, or without weight and bias (`elementwise_affine`), or
    /// without bias.
    ///
    /// ```
    /// use adamant_nn::LayerNorm;
    /// let layer = LayerNorm::<f64>::with_options([4, 5], 1e-6, true, false);
    /// assert!(layer.bias.is_none());
    /// ```
    #[must_use]
    pub fn with_options(
        shape: impl Into<Shape>,
        eps: f64,
        elementwise_affine: bool,
        bias: bool,
    ) -> Self {
        let shape = shape.into();
        let weight = elementwise_affine.then(|| Parameter::new(Tensor::ones(&shape)));
        let bias = (elementwise_affine && bias).then(|| Parameter::new(Tensor::zeros(&shape)));
        LayerNorm { weight, bias, shape, eps }
    }
}

impl<T: Float> Forward<T> for LayerNorm<T> {
    /// # Panics
    /// If the last dimensions of `x` are others.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let weight = self.weight.as_ref().map(Parameter::tensor);
        let bias = self.bias.as_ref().map(Parameter::tensor);
        observe(self, x.layer_norm(&self.shape, weight.as_ref(), bias.as_ref(), self.eps))
    }
}

/// `x / √(mean(x²) + eps) · weight` over the last dimensions: `[…, *shape] → […, *shape]`.
///
/// `weight`, of the shape that is normalised over, starts as 1.
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
#[module(crate = crate, float = T)]
pub struct RmsNorm<T: Float = f32> {
    /// The shape that is normalised over.
    pub weight: Option<Parameter<T>>,
    #[module(skip)]
    shape: Shape,
    #[module(skip)]
    eps: Option<f64>,
}

impl RmsNorm {
    /// Over last dimensions of this shape, in `f32`, with a weight; eps is the distance from 1
    /// to the next number. Others: [`with_options`](RmsNorm::with_options).
    #[must_use]
    pub fn new(shape: impl Into<Shape>) -> Self {
        Self::with_options(shape, None, true)
    }
}

impl<T: Float> RmsNorm<T> {
    /// Of any type, with another `eps`, or without weight.
    ///
    /// ```
    /// use adamant_nn::RmsNorm;
    /// let layer = RmsNorm::<f64>::with_options([4], Some(1e-6), false);
    /// assert!(layer.weight.is_none());
    /// ```
    #[must_use]
    pub fn with_options(
        shape: impl Into<Shape>,
        eps: Option<f64>,
        elementwise_affine: bool,
    ) -> Self {
        let shape = shape.into();
        let weight = elementwise_affine.then(|| Parameter::new(Tensor::ones(&shape)));
        RmsNorm { weight, shape, eps }
    }
}

impl<T: Float> Forward<T> for RmsNorm<T> {
    /// # Panics
    /// If the last dimensions of `x` are others.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let weight = self.weight.as_ref().map(Parameter::tensor);
        let machine = if T::DTYPE == "f32" { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let eps = self.eps.unwrap_or(machine);
        observe(self, x.rms_norm(&self.shape, weight.as_ref(), eps))
    }
}

/// `(x − mean) / √(var + eps) · weight + bias` over groups of channels of each sample:
/// `[N, C, …] → [N, C, …]`.
///
/// `weight`, `[C]`, starts as 1, and `bias`, `[C]`, as 0.
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
#[module(crate = crate, float = T)]
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
    /// So many groups of so many channels in all, in `f32`, with weight, bias and eps 1e-5.
    /// Others: [`with_options`](GroupNorm::with_options).
    ///
    /// # Panics
    /// If the channels cannot be divided into the groups.
    #[must_use]
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> Self {
        Self::with_options(groups, channels, 1e-5, true)
    }
}

impl<T: Float> GroupNorm<T> {
    /// Of any type, with another `eps`, or without weight and bias.
    ///
    /// # Panics
    /// If the channels cannot be divided into the groups.
    ///
    /// ```
    /// use adamant_nn::GroupNorm;
    /// let layer = GroupNorm::<f64>::with_options(2, 4, 1e-6, false);
    /// assert!(layer.weight.is_none());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_options(groups: usize, channels: usize, eps: f64, affine: bool) -> Self {
        assert!(
            groups > 0 && channels.is_multiple_of(groups),
            "GroupNorm: {channels} channels cannot be divided into {groups} groups"
        );
        let parameter = |value| affine.then(|| Parameter::new(value));
        let weight = parameter(Tensor::ones([channels]));
        GroupNorm { weight, bias: parameter(Tensor::zeros([channels])), groups, channels, eps }
    }
}

impl<T: Float> Forward<T> for GroupNorm<T> {
    /// # Panics
    /// If `x` has another number of channels, or is one sample with one value for each group.
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
