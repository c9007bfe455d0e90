//! How a kernel moves over an image, and which shapes fit together.

use crate::arrays::shape::Shape;
use crate::ops::layer::conv::ConvGeometry;
use crate::ops::layer::windows::{PerDim, padded, refuse_zero, rows_and_columns, span};
use crate::ops::shape::pad_mode::PadMode;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Conv, Float, Windows};

/// The options of a convolution over `D` spatial dimensions, with PyTorch's defaults. The layers of
/// `nn` have options of their own, with a bias.
///
/// ```
/// use adamant_tensor::{Conv2dParams, Tensor};
/// let (x, weight) = (Tensor::<f32>::ones([1, 1, 4, 6]), Tensor::ones([1, 1, 3, 3]));
/// let options = Conv2dParams::default().stride([1, 2]).padding(1);
/// assert_eq!(x.conv2d(&weight, None, options).shape(), [1, 1, 4, 3]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvParams<const D: usize> {
    stride: [usize; D],
    padding: Padding<D>,
    padding_mode: Option<PadMode>,
    dilation: [usize; D],
    output_padding: [usize; D],
    groups: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding<const D: usize> {
    Each([usize; D]),
    Same,
}

/// The options of [`conv1d`](crate::Tensor::conv1d) and
/// [`conv_transpose1d`](crate::Tensor::conv_transpose1d).
pub type Conv1dParams = ConvParams<1>;

/// The options of [`conv2d`](crate::Tensor::conv2d) and
/// [`conv_transpose2d`](crate::Tensor::conv_transpose2d).
pub type Conv2dParams = ConvParams<2>;

impl<const D: usize> Default for ConvParams<D> {
    fn default() -> Self {
        ConvParams {
            stride: [1; D],
            padding: Padding::Each([0; D]),
            padding_mode: None,
            dilation: [1; D],
            output_padding: [0; D],
            groups: 1,
        }
    }
}

impl<const D: usize> ConvParams<D> {
    /// The step from one window to the next; default 1.
    #[must_use]
    pub fn stride(self, stride: impl Into<PerDim<D>>) -> Self {
        ConvParams { stride: stride.into().0, ..self }
    }

    /// The number of zeros added on each side of the image; default 0.
    #[must_use]
    pub fn padding(self, padding: impl Into<PerDim<D>>) -> Self {
        ConvParams { padding: Padding::Each(padding.into().0), ..self }
    }

    /// Pads so that the result has the size of the image: with `dilation · (k − 1)` zeros for a
    /// kernel of size `k`, the odd one of them at the end. Requires a stride of 1; not for a
    /// transposed convolution.
    ///
    /// PyTorch: `padding="same"`.
    ///
    /// ```
    /// use adamant_tensor::{Conv2dParams, Tensor};
    /// let (x, weight) = (Tensor::<f32>::ones([1, 1, 4, 6]), Tensor::ones([1, 1, 2, 3]));
    /// let options = Conv2dParams::default().padding_same();
    /// assert_eq!(x.conv2d(&weight, None, options).shape(), x.shape());
    /// ```
    #[must_use]
    pub fn padding_same(self) -> Self {
        ConvParams { padding: Padding::Same, ..self }
    }

    /// The source of the padding; default zeros. Not for a transposed convolution.
    ///
    /// PyTorch: the `padding_mode` of `torch.nn.Conv2d`.
    #[must_use]
    pub fn padding_mode(self, mode: PadMode) -> Self {
        ConvParams { padding_mode: Some(mode), ..self }
    }

    /// The step between neighboring elements of the kernel; default 1.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<PerDim<D>>) -> Self {
        ConvParams { dilation: dilation.into().0, ..self }
    }

    /// For a transposed convolution: the number of rows and columns added at the end of the result;
    /// default 0. A convolution with a stride maps several image sizes to one; this selects which
    /// of them to restore.
    #[must_use]
    pub fn output_padding(self, output_padding: impl Into<PerDim<D>>) -> Self {
        ConvParams { output_padding: output_padding.into().0, ..self }
    }

    /// The number of groups into which input and output channels are divided; the outputs of a
    /// group depend on its inputs only; default 1.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        ConvParams { groups, ..self }
    }

    /// The number of groups.
    #[doc(hidden)]
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups
    }

    /// The shape of the weight from `inputs` to `outputs` channels, which is
    /// `[outputs, inputs / groups, kernel…]`; `None` if `groups` does not divide both. For a
    /// transposed convolution, swap `inputs` and `outputs`.
    ///
    /// ```
    /// use adamant_tensor::Conv2dParams;
    /// let shape = Conv2dParams::default().groups(2).weight_shape(4, 6, [3, 5]);
    /// assert_eq!(*shape.unwrap(), [6, 2, 3, 5]);
    /// ```
    #[must_use]
    pub fn weight_shape(
        &self,
        inputs: usize,
        outputs: usize,
        kernel: impl Into<PerDim<D>>,
    ) -> Option<Shape> {
        let divides = |channels: usize| self.groups > 0 && channels.is_multiple_of(self.groups);
        (divides(inputs) && divides(outputs))
            .then(|| [outputs, inputs / self.groups].into_iter().chain(kernel.into().0).collect())
    }

    /// Checks everything about a convolution that does not depend on the image, for a layer when it
    /// is made. Messages begin with `op`.
    ///
    /// # Panics
    /// If a stride, a dilation or a size of the kernel is 0, or there is an output padding, or
    /// [`padding_same`](ConvParams::padding_same) and a stride other than 1.
    #[doc(hidden)]
    #[track_caller]
    pub fn check(&self, op: &str, kernel: impl Into<PerDim<D>>) {
        self.refuse_zeros(op, kernel.into());
        assert!(
            self.padding != Padding::Same || self.stride == [1; D],
            "{op}: padding_same with a stride of {:?}; expected a stride of 1",
            self.stride
        );
        let extra = self.output_padding;
        assert!(
            extra == [0; D],
            "{op}: an output_padding of {extra:?}; expected 0: only a transposed convolution has one"
        );
    }

    /// [`check`](ConvParams::check) for a transposed convolution.
    ///
    /// # Panics
    /// If a stride, a dilation or a size of the kernel is 0, or there are
    /// [`padding_same`](ConvParams::padding_same), a padding mode, or an output padding that is
    /// less than neither the stride nor the dilation.
    #[doc(hidden)]
    #[track_caller]
    pub fn check_transposed(&self, op: &str, kernel: impl Into<PerDim<D>>) {
        self.refuse_zeros(op, kernel.into());
        assert!(
            self.padding != Padding::Same && self.padding_mode.is_none(),
            "{op}: a transposed convolution has neither padding_same nor a padding_mode"
        );
        let extra = self.output_padding;
        assert!(
            (0..D).all(|d| extra[d] < self.stride[d].max(self.dilation[d])),
            "{op}: an output_padding of {extra:?} with a stride of {:?} and a dilation of {:?}; \
             expected less than one of them",
            self.stride,
            self.dilation
        );
    }

    #[track_caller]
    fn refuse_zeros(&self, op: &str, kernel: PerDim<D>) {
        refuse_zero(op, "stride", self.stride);
        refuse_zero(op, "dilation", self.dilation);
        refuse_zero(op, "kernel", kernel.0);
    }

    /// The image padded by the padding mode, and the options for convolving the result.
    #[track_caller]
    pub(crate) fn pad<T: Float>(
        self,
        op: &str,
        x: &Tensor<T>,
        weight: &Shape,
    ) -> (Tensor<T>, Self) {
        let Some(mode) = self.padding_mode else { return (x.clone(), self) };
        self.check_shapes(op, x.array.shape(), weight, false);
        let signed = |side: usize| isize::try_from(side).unwrap_or(isize::MAX); // refused below
        let mut around = self.sides(weight).map(|[before, after]| (signed(before), signed(after)));
        around.reverse(); // the last dimension first
        let padding = Padding::Each([0; D]);
        (x.pad_by(op, &around, mode), ConvParams { padding, padding_mode: None, ..self })
    }

    /// The size that a kernel spans with its dilation.
    fn spans(&self, weight: &Shape) -> [usize; D] {
        std::array::from_fn(|d| span(weight[2 + d], self.dilation[d]))
    }

    /// The padding before and after the image.
    fn sides(&self, weight: &Shape) -> [[usize; 2]; D] {
        match self.padding {
            Padding::Each(padding) => padding.map(|side| [side; 2]),
            Padding::Same => self.spans(weight).map(|span| [(span - 1) / 2, span / 2]),
        }
    }

    /// The sizes of a convolution of `x` with `weight`.
    #[track_caller]
    pub(crate) fn geometry(
        &self,
        op: &str,
        x: &Shape,
        weight: &Shape,
        bias: Option<&Shape>,
    ) -> ConvGeometry {
        let (images, channels, image) = self.check_shapes(op, x, weight, false);
        let takes = weight[1].saturating_mul(self.groups);
        assert!(
            channels == takes,
            "{op}: an input of shape {x} has {channels} channels, but a weight of shape {weight} \
             with groups = {} takes {takes}",
            self.groups
        );
        check_bias(op, bias, weight, weight[0]);
        let (sides, spans) = (self.sides(weight), self.spans(weight));
        let padded = padded(op, image, sides);
        assert!(
            (0..D).all(|d| spans[d] <= padded[d]),
            "{op}: the kernel of a weight of shape {weight} spans {spans:?} with its dilation, \
             more than the images of shape {x}, which are {padded:?} with their padding"
        );
        let output = std::array::from_fn(|d| (padded[d] - spans[d]) / self.stride[d] + 1);
        let y = result_shape(x, weight[0], output).checked(op);
        ConvGeometry {
            conv: self.sizes(images, weight, image, output, sides.map(|[before, _]| before)),
            x: x.clone(),
            weight: weight.clone(),
            y,
        }
    }

    /// The sizes of the convolution whose transpose is computed: `y` is its output, and the result
    /// its input.
    #[track_caller]
    pub(crate) fn transposed_geometry(
        &self,
        op: &str,
        y: &Shape,
        weight: &Shape,
        bias: Option<&Shape>,
    ) -> ConvGeometry {
        let (images, channels, image) = self.check_shapes(op, y, weight, true);
        assert!(
            channels == weight[0],
            "{op}: an input of shape {y} has {channels} channels, but a weight of shape {weight} \
             takes {}",
            weight[0]
        );
        let made = weight[1].saturating_mul(self.groups);
        check_bias(op, bias, weight, made);
        let Padding::Each(padding) = self.padding else { unreachable!("it was checked") };
        let extra = self.output_padding;
        let result: [Option<usize>; D] = std::array::from_fn(|d| {
            let last = image[d].checked_sub(1)?.checked_mul(self.stride[d])?;
            let end = last.checked_add(span(weight[2 + d], self.dilation[d]))?;
            let left = end.checked_add(extra[d])?.checked_sub(padding[d].checked_mul(2)?);
            left.filter(|&left| left > 0)
        });
        assert!(
            result.iter().all(Option::is_some),
            "{op}: no image is left of an input of shape {y} with a weight of shape {weight}, a \
             stride of {:?}, a padding of {padding:?} and a dilation of {:?}",
            self.stride,
            self.dilation
        );
        let result = result.map(Option::unwrap_or_default);
        let x = result_shape(y, made, result).checked(op);
        ConvGeometry {
            conv: self.sizes(images, weight, result, image, padding),
            x,
            weight: weight.clone(),
            y: y.clone(),
        }
    }

    /// Checks the shapes for both kinds of convolution. Returns the number of images, the channels
    /// and the size of an image.
    #[track_caller]
    fn check_shapes(
        &self,
        op: &str,
        x: &Shape,
        weight: &Shape,
        transposed: bool,
    ) -> (usize, usize, [usize; D]) {
        let space = if D == 1 { "L" } else { "H, W" };
        assert!(
            x.len() == D + 2 || x.len() == D + 1,
            "{op}: an input of shape {x}; expected [N, C, {space}], or [C, {space}] for one image"
        );
        assert!(
            weight.len() == D + 2,
            "{op}: a weight of shape {weight}; expected {} dimensions: channels, channels of a \
             group, and the kernel's size",
            D + 2
        );
        let kernel: [usize; D] = std::array::from_fn(|d| weight[2 + d]);
        if transposed {
            self.check_transposed(op, kernel);
        } else {
            self.check(op, kernel);
        }
        assert!(
            self.groups > 0 && weight[0].is_multiple_of(self.groups),
            "{op}: groups = {} does not divide the first dimension of a weight of shape {weight}",
            self.groups
        );
        let channel = x.len() - D - 1;
        let images = if channel == 0 { 1 } else { x[0] };
        (images, x[channel], std::array::from_fn(|d| x[channel + 1 + d]))
    }

    fn sizes(
        &self,
        images: usize,
        weight: &Shape,
        input: [usize; D],
        output: [usize; D],
        padding: [usize; D],
    ) -> Conv {
        let windows = Windows {
            input: rows_and_columns(input, 1),
            output: rows_and_columns(output, 1),
            kernel: rows_and_columns::<D>(std::array::from_fn(|d| weight[2 + d]), 1),
            stride: rows_and_columns(self.stride, 1),
            padding: rows_and_columns(padding, 0),
            dilation: rows_and_columns(self.dilation, 1),
        };
        Conv {
            images,
            groups: self.groups,
            in_channels: weight[1],
            out_channels: weight[0] / self.groups,
            windows,
        }
    }
}

#[track_caller]
fn check_bias(op: &str, bias: Option<&Shape>, weight: &Shape, channels: usize) {
    let Some(bias) = bias else { return };
    assert!(
        **bias == [channels],
        "{op}: a bias of shape {bias} with a weight of shape {weight}; expected [{channels}], an \
         element for each output channel"
    );
}

/// The shape of `x` with these channels and this image size.
fn result_shape<const D: usize>(x: &Shape, channels: usize, image: [usize; D]) -> Shape {
    let images = &x[..x.len() - D - 1];
    images.iter().copied().chain([channels]).chain(image).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Conv1dParams, Conv2dParams, PadMode, Tensor};

    fn conv(x: &[usize], weight: &[usize], bias: Option<usize>, options: Conv2dParams) {
        let bias = bias.map(|len| Tensor::<f32>::ones([len]));
        let _ = Tensor::ones(x).conv2d(&Tensor::ones(weight), bias.as_ref(), options);
    }

    fn transpose(x: &[usize], weight: &[usize], bias: Option<usize>, options: Conv2dParams) {
        let bias = bias.map(|len| Tensor::<f32>::ones([len]));
        let _ = Tensor::ones(x).conv_transpose2d(&Tensor::ones(weight), bias.as_ref(), options);
    }

    #[test]
    fn mistakes_are_refused() {
        type Op = fn(&[usize], &[usize], Option<usize>, Conv2dParams);
        type Case<'c> = (Op, &'c [usize], &'c [usize], Option<usize>, Conv2dParams, &'c str);
        let plain = Conv2dParams::default();
        let (x, w) = (&[2, 4, 5, 6][..], &[6, 4, 3, 3][..]);
        let cases: [Case<'_>; 21] = [
            (
                conv,
                &[4, 5],
                w,
                None,
                plain,
                "conv2d: an input of shape [4, 5]; expected [N, C, H, W]",
            ),
            (
                conv,
                x,
                &[6, 4, 3],
                None,
                plain,
                "conv2d: a weight of shape [6, 4, 3]; expected 4 dim",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.stride([1, 0]),
                "conv2d: a stride of [1, 0]: it must be at least 1",
            ),
            (conv, x, w, None, plain.dilation(0), "conv2d: a dilation of [0, 0]"),
            (conv, x, &[6, 4, 0, 3], None, plain, "conv2d: a kernel of [0, 3]"),
            (conv, x, w, None, plain.groups(0), "conv2d: groups = 0 does not divide"),
            (
                conv,
                x,
                w,
                None,
                plain.groups(4),
                "conv2d: groups = 4 does not divide the first dimension of a weight of shape [6, 4, 3, 3]",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.groups(2),
                "conv2d: an input of shape [2, 4, 5, 6] has 4 channels, but a weight of shape [6, 4, 3, 3] with groups = 2 takes 8",
            ),
            (
                conv,
                x,
                w,
                Some(4),
                plain,
                "conv2d: a bias of shape [4] with a weight of shape [6, 4, 3, 3]; expected [6]",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.dilation(3).padding([0, 1]),
                "spans [7, 7] with its dilation, more than the images of shape [2, 4, 5, 6], which are [5, 8]",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.padding(usize::MAX / 2),
                "conv2d: an image of [5, 6] is too large with a padding",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.output_padding(1),
                "conv2d: an output_padding of [1, 1]; expected 0: only a transposed",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.padding_same().stride([1, 2]),
                "conv2d: padding_same with a stride of [1, 2]; expected",
            ),
            (
                conv,
                x,
                w,
                None,
                plain.padding([1, 6]).padding_mode(PadMode::Reflect),
                "conv2d: 6 before and 6 after dimension 3 of a tensor of shape [2, 4, 5, 6]; Reflect allows at most 5 on each side",
            ),
            (
                transpose,
                x,
                &[4, 3, 2, 2],
                None,
                plain.padding_same(),
                "conv_transpose2d: a transposed convolution has neither padding_same",
            ),
            (
                transpose,
                x,
                &[4, 3, 2, 2],
                None,
                plain.padding_mode(PadMode::Circular),
                "conv_transpose2d: a transposed convolution has neither padding_same",
            ),
            (
                transpose,
                x,
                w,
                None,
                plain,
                "conv_transpose2d: an input of shape [2, 4, 5, 6] has 4 channels, but a weight of shape [6, 4, 3, 3] takes 6",
            ),
            (
                transpose,
                x,
                &[4, 3, 2, 2],
                Some(3),
                plain.groups(2),
                "conv_transpose2d: a bias of shape [3] with a weight of shape [4, 3, 2, 2]; expected [6]",
            ),
            (
                transpose,
                x,
                &[4, 3, 2, 2],
                None,
                plain.stride(2).output_padding([1, 2]),
                "conv_transpose2d: an output_padding of [1, 2] with a stride of [2, 2]",
            ),
            (
                transpose,
                x,
                &[4, 3, 2, 2],
                None,
                plain.padding([3, 4]),
                "conv_transpose2d: no image is left of an input of shape [2, 4, 5, 6]",
            ),
            (
                transpose,
                &[2, 4, 0, 6],
                &[4, 3, 2, 2],
                None,
                plain,
                "conv_transpose2d: no image is left of an input of shape [2, 4, 0, 6]",
            ),
        ];
        for (op, x, w, bias, options, expected) in cases {
            let panic = std::panic::catch_unwind(|| op(x, w, bias, options)).unwrap_err();
            let message = panic.downcast_ref::<String>().expect("a formatted message");
            assert!(message.contains(expected), "{message}\nis not\n{expected}");
        }
    }

    #[test]
    #[should_panic(expected = "conv1d: an input of shape [2]; expected [N, C, L], or [C, L]")]
    fn conv1d_of_a_vector_is_refused() {
        let _ = Tensor::<f32>::ones([2]).conv1d(
            &Tensor::ones([1, 1, 1]),
            None,
            Conv1dParams::default(),
        );
    }
}
