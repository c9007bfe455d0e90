//! Convolutions.
//!
//! `Σ g · conv(x, w)` is linear in each of `x`, `w` and `g`. So there are three maps, each from two
//! of the operands to the factor of the third: the convolution `(x, w) → y`, its adjoint in the
//! input `(g, w) → x`, which is the transposed convolution, and its adjoint in the weight
//! `(x, g) → w`. The gradients of each are the other two.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::ops::layer::conv_params::{Conv1dParams, Conv2dParams, ConvParams};
use crate::ops::product::{record_biased_product, record_product};
use crate::tape::tensor::Tensor;
use adamant_kernels::{Conv, Float, conv, conv_input, conv_weight};

impl<T: Float> Tensor<T> {
    /// The convolution of lines: `[N, C, L], [O, C / groups, k], [O] → [N, O, oL]`, or
    /// `[C, L] → [O, oL]`. [`conv2d`](Tensor::conv2d) in one dimension.
    ///
    /// PyTorch: `torch.nn.functional.conv1d`.
    ///
    /// # Panics
    /// As [`conv2d`](Tensor::conv2d).
    ///
    /// ```
    /// use adamant_tensor::{Conv1dParams, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 4.0], [1, 1, 3]).unwrap();
    /// let weight = Tensor::from_vec(vec![-1.0, 1.0], [1, 1, 2]).unwrap();
    /// assert_eq!(x.conv1d(&weight, None, Conv1dParams::default()).to_vec(), [1.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn conv1d(
        &self,
        weight: &Tensor<T>,
        bias: Option<&Tensor<T>>,
        options: Conv1dParams,
    ) -> Tensor<T> {
        convolution("conv1d", self, weight, bias, options)
    }

    /// The convolution of images (without mirroring the kernel: a cross-correlation):
    ///
    /// `y[n, o, i, j] = b[o] + Σ w[o, c, k, l] · x[n, c, i·stride + k·dilation − padding, …]`
    ///
    /// summed over `c`, `k` and `l`, where `x` outside the image is 0, or as the padding mode says:
    /// `[N, C, H, W], [O, C / groups, kH, kW], [O] → [N, O, oH, oW]`, or `[C, H, W] → [O, oH, oW]`
    /// for one image. With groups, the channels are divided, and an output channel depends only on
    /// the input channels of its group.
    /// `oH = ⌊(H + 2·padding − dilation·(kH − 1) − 1) / stride⌋ + 1`.
    ///
    /// Gradients: for `x` the transposed convolution of `g`; for `w` the sum of `g · x` over `n`,
    /// `i` and `j`; for `b` the sum of `g`. PyTorch: `torch.nn.functional.conv2d`.
    ///
    /// # Panics
    /// If the shapes do not fit each other and the groups, the kernel is larger than an image
    /// with its padding, or a stride, dilation or size of the kernel is 0.
    ///
    /// ```
    /// use adamant_tensor::{Conv2dParams, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [1, 1, 2, 2]).unwrap();
    /// let (weight, bias) = (Tensor::ones([1, 1, 2, 2]), Tensor::full([1], 0.5));
    /// let y = x.conv2d(&weight, Some(&bias), Conv2dParams::default());
    /// assert_eq!((y.shape(), y.to_vec()), (&[1, 1, 1, 1][..], vec![10.5]));
    /// let y = x.conv2d(&weight, None, Conv2dParams::default().padding([0, 1]));
    /// assert_eq!(y.to_vec(), [4.0, 10.0, 6.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn conv2d(
        &self,
        weight: &Tensor<T>,
        bias: Option<&Tensor<T>>,
        options: Conv2dParams,
    ) -> Tensor<T> {
        convolution("conv2d", self, weight, bias, options)
    }

    /// The transposed convolution of lines: `[N, C, L], [C, O / groups, k], [O] → [N, O, oL]`, or
    /// `[C, L] → [O, oL]`. [`conv_transpose2d`](Tensor::conv_transpose2d) in one dimension.
    ///
    /// PyTorch: `torch.nn.functional.conv_transpose1d`.
    ///
    /// # Panics
    /// As [`conv_transpose2d`](Tensor::conv_transpose2d).
    ///
    /// ```
    /// use adamant_tensor::{Conv1dParams, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 1, 2]).unwrap();
    /// let weight = Tensor::from_vec(vec![1.0, 10.0], [1, 1, 2]).unwrap();
    /// let y = x.conv_transpose1d(&weight, None, Conv1dParams::default());
    /// assert_eq!(y.to_vec(), [1.0, 12.0, 20.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn conv_transpose1d(
        &self,
        weight: &Tensor<T>,
        bias: Option<&Tensor<T>>,
        options: Conv1dParams,
    ) -> Tensor<T> {
        transposed_convolution("conv_transpose1d", self, weight, bias, options)
    }

    /// The transposed convolution of images: the map from `g` to the gradient of `x` in
    /// [`conv2d`](Tensor::conv2d) with the same weight and options. Each element of the input is
    /// spread over the window of the result from which a convolution would compute it:
    /// `[N, C, H, W], [C, O / groups, kH, kW], [O] → [N, O, oH, oW]`, or `[C, H, W] → [O, oH, oW]`
    /// for one image. `oH = (H − 1)·stride − 2·padding + dilation·(kH − 1) + output_padding + 1`.
    ///
    /// Gradients: for `x` the convolution of `g`; for `w` that of the convolution from `g` to `x`;
    /// for `b` the sum of `g`. PyTorch: `torch.nn.functional.conv_transpose2d`.
    ///
    /// # Panics
    /// If the shapes do not fit each other and the groups, the padding is larger than the
    /// result, `output_padding` is not less than the stride or the dilation, or a stride,
    /// dilation or size of the kernel is 0.
    ///
    /// ```
    /// use adamant_tensor::{Conv2dParams, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 1, 1, 2]).unwrap();
    /// let options = Conv2dParams::default().stride([1, 2]);
    /// let y = x.conv_transpose2d(&Tensor::ones([1, 1, 1, 3]), None, options);
    /// assert_eq!(y.to_vec(), [1.0, 1.0, 3.0, 2.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        weight: &Tensor<T>,
        bias: Option<&Tensor<T>>,
        options: Conv2dParams,
    ) -> Tensor<T> {
        transposed_convolution("conv_transpose2d", self, weight, bias, options)
    }
}

#[track_caller]
fn convolution<T: Float, const D: usize>(
    op: &'static str,
    x: &Tensor<T>,
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
    options: ConvParams<D>,
) -> Tensor<T> {
    let (bias_shape, weight_shape) = (bias.map(|bias| bias.array.shape()), weight.array.shape());
    let (x, options) = options.pad(op, x, weight_shape);
    options.geometry(op, x.array.shape(), weight_shape, bias_shape).output(op, &x, weight, bias)
}

#[track_caller]
fn transposed_convolution<T: Float, const D: usize>(
    op: &'static str,
    y: &Tensor<T>,
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
    options: ConvParams<D>,
) -> Tensor<T> {
    let bias_shape = bias.map(|bias| bias.array.shape());
    let geometry =
        options.transposed_geometry(op, y.array.shape(), weight.array.shape(), bias_shape);
    geometry.input(op, y, weight, bias)
}

/// The sizes of a convolution, and the shapes of `x`, `w` and `y = conv(x, w)`.
#[derive(Clone)]
pub(crate) struct ConvGeometry {
    pub(crate) conv: Conv,
    pub(crate) x: Shape,
    pub(crate) weight: Shape,
    pub(crate) y: Shape,
}

impl ConvGeometry {
    /// `[images, channels, positions]` of `x`.
    fn x_sizes(&self) -> [usize; 3] {
        let Conv { images, groups, in_channels, windows, .. } = self.conv;
        [images, groups * in_channels, windows.input_len()]
    }

    /// `[images, channels, positions]` of `y`.
    fn y_sizes(&self) -> [usize; 3] {
        let Conv { images, groups, out_channels, windows, .. } = self.conv;
        [images, groups * out_channels, windows.output_len()]
    }

    /// `(x, w) → y`
    #[track_caller]
    fn output<T: Float>(
        &self,
        op: &'static str,
        x: &Tensor<T>,
        weight: &Tensor<T>,
        bias: Option<&Tensor<T>>,
    ) -> Tensor<T> {
        let value = computed(op, &self.y, [x, weight], bias, |y, [x, weight], bias| {
            conv(y, x, weight, bias, &self.conv);
        });
        let [for_x, for_weight] = [self.clone(), self.clone()];
        record_biased_product(
            op,
            [x, weight],
            bias,
            value,
            // (g, w) → x
            move |g, weight| for_x.input("conv_input", g, weight, None),
            // (x, g) → w
            move |g, x| for_weight.weight(x, g),
            channel_sums(self.y_sizes()),
        )
    }

    /// `(y, w) → x`
    #[track_caller]
    fn input<T: Float>(
        &self,
        op: &'static str,
        y: &Tensor<T>,
        weight: &Tensor<T>,
        bias: Option<&Tensor<T>>,
    ) -> Tensor<T> {
        let value = computed(op, &self.x, [y, weight], bias, |x, [y, weight], bias| {
            conv_input(x, y, weight, bias, &self.conv);
        });
        let [for_y, for_weight] = [self.clone(), self.clone()];
        record_biased_product(
            op,
            [y, weight],
            bias,
            value,
            // (g, w) → y
            move |g, weight| for_y.output("conv", g, weight, None),
            // (g, y) → w
            move |g, y| for_weight.weight(g, y),
            channel_sums(self.x_sizes()),
        )
    }

    /// `(x, y) → w`
    #[track_caller]
    fn weight<T: Float>(&self, x: &Tensor<T>, y: &Tensor<T>) -> Tensor<T> {
        let value = computed("conv_weight", &self.weight, [x, y], None, |weight, [x, y], _| {
            conv_weight(weight, x, y, &self.conv);
        });
        let [for_x, for_y] = [self.clone(), self.clone()];
        record_product(
            "conv_weight",
            [x, y],
            value,
            // (y, g) → x
            move |g, y| for_x.input("conv_input", y, g, None),
            // (x, g) → y
            move |g, x| for_y.output("conv", x, g, None),
        )
    }
}

/// The array that `kernel` writes, given the elements of its operands.
#[track_caller]
fn computed<T: Float>(
    op: &str,
    shape: &Shape,
    operands: [&Tensor<T>; 2],
    bias: Option<&Tensor<T>>,
    kernel: impl FnOnce(&mut [T], [&[T]; 2], Option<&[T]>),
) -> Array<T> {
    let [a, b] = operands;
    let (a, b) = (a.array.contiguous(op), b.array.contiguous(op));
    #[expect(clippy::manual_map, reason = "a closure would hide the caller")]
    let bias = match bias {
        Some(bias) => Some(bias.array.contiguous(op)),
        None => None,
    };
    Array::build(op, shape.clone(), |out| {
        kernel(
            out,
            [a.contiguous_slice(), b.contiguous_slice()],
            bias.as_ref().map(Array::contiguous_slice),
        );
    })
}

/// The gradient of a bias: the sums over images and positions of `[images, channels, positions]`.
fn channel_sums<T: Float>(sizes: [usize; 3]) -> impl Fn(&Tensor<T>) -> Tensor<T> {
    move |g| g.reshape(sizes).sum_dim(2).sum_dim(0)
}

#[cfg(test)]
mod tests {
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Conv1dParams, Conv2dParams, GradOptions, Tensor, grad};

    struct Case {
        x: [usize; 4],
        weight: [usize; 4],
        stride: [usize; 2],
        padding: [usize; 2],
        dilation: [usize; 2],
        groups: usize,
    }

    impl Case {
        fn options(&self) -> Conv2dParams {
            let options = Conv2dParams::default().stride(self.stride).padding(self.padding);
            options.dilation(self.dilation).groups(self.groups)
        }

        /// The convolution by its formula.
        fn reference(&self, x: &Tensor<f64>, weight: &Tensor<f64>, bias: &Tensor<f64>) -> Vec<f64> {
            let ([n, _, h, w], [o, c, kh, kw]) = (self.x, self.weight);
            let (x, weight, bias) = (x.to_vec(), weight.to_vec(), bias.to_vec());
            let size = |d: usize, image: usize, kernel: usize| {
                (image + 2 * self.padding[d] - self.dilation[d] * (kernel - 1) - 1) / self.stride[d]
                    + 1
            };
            let look = |d: usize, i: usize, k: usize, image: usize| {
                let position =
                    (i * self.stride[d] + k * self.dilation[d]).checked_sub(self.padding[d]);
                position.filter(|&position| position < image)
            };
            let mut y = Vec::new();
            for (n, o) in (0..n).flat_map(|n| (0..o).map(move |oo| (n, oo))) {
                let first = o / (self.weight[0] / self.groups) * c; // channel of the group
                for (i, j) in
                    (0..size(0, h, kh)).flat_map(|i| (0..size(1, w, kw)).map(move |j| (i, j)))
                {
                    let mut sum = bias[o];
                    for (c, k) in (0..c).flat_map(|c| (0..kh).map(move |k| (c, k))) {
                        for l in 0..kw {
                            if let Some((row, col)) = look(0, i, k, h).zip(look(1, j, l, w)) {
                                sum += weight[((o * self.weight[1] + c) * kh + k) * kw + l]
                                    * x[((n * self.x[1] + first + c) * h + row) * w + col];
                            }
                        }
                    }
                    y.push(sum);
                }
            }
            y
        }
    }

    fn odd_cases() -> Vec<Case> {
        let case = |x, weight, stride, padding, dilation, groups| Case {
            x,
            weight,
            stride,
            padding,
            dilation,
            groups,
        };
        vec![
            case([2, 2, 4, 3], [3, 2, 3, 2], [1, 1], [0, 0], [1, 1], 1),
            case([1, 2, 3, 4], [2, 2, 3, 3], [1, 1], [1, 1], [1, 1], 1),
            case([2, 1, 5, 6], [2, 1, 3, 2], [2, 2], [0, 0], [1, 1], 1),
            case([1, 2, 5, 4], [1, 2, 2, 3], [3, 1], [2, 0], [1, 1], 1),
            case([1, 1, 5, 6], [2, 1, 2, 3], [1, 1], [1, 2], [2, 3], 1),
            case([2, 4, 3, 3], [6, 2, 2, 2], [1, 1], [0, 0], [1, 1], 2),
            case([2, 3, 4, 5], [3, 1, 3, 3], [1, 2], [1, 1], [1, 1], 3), // one channel per group
            case([2, 3, 2, 3], [4, 3, 1, 1], [1, 1], [0, 0], [1, 1], 1), // a plain product
            case([2, 3, 3, 2], [2, 3, 1, 1], [2, 2], [0, 0], [1, 1], 1),
            case([1, 1, 1, 2], [1, 1, 2, 2], [1, 1], [3, 1], [1, 1], 1), // windows see nothing
            case([1, 4, 4, 7], [2, 2, 3, 2], [1, 2], [2, 2], [2, 2], 2),
            case([1, 1, 1, 1], [1, 1, 1, 1], [1, 1], [0, 0], [1, 1], 1),
        ]
    }

    /// Small integers, whose sums are all exact.
    fn integers(shape: &[usize], seed: usize) -> Tensor<f64> {
        let numel = shape.iter().product();
        let values = (0..numel).map(|i: usize| ((i * 7 + seed * 5) % 13) as f64 - 6.0).collect();
        Tensor::from_vec(values, shape).unwrap()
    }

    #[test]
    fn values_match_the_formula() {
        for case in odd_cases() {
            let (x, weight) = (integers(&case.x, 1), integers(&case.weight, 2));
            let bias = integers(&case.weight[..1], 3);
            let y = x.conv2d(&weight, Some(&bias), case.options());
            assert_eq!(y.to_vec(), case.reference(&x, &weight, &bias));
            let first = x.select(0, 0).conv2d(&weight, Some(&bias), case.options());
            assert_eq!(first.shape(), &y.shape()[1..]);
            assert_eq!(first.to_vec(), y.select(0, 0).to_vec());
        }
    }

    #[test]
    fn the_transpose_is_the_gradient() {
        for case in odd_cases() {
            let (x, weight) = (integers(&case.x, 1).requires_grad(), integers(&case.weight, 2));
            let y = x.conv2d(&weight, None, case.options());
            let g = integers(y.shape(), 3);
            y.backward_with(&g);
            // Rows and columns that no window reached.
            let reached = g.conv_transpose2d(&weight, None, case.options());
            let left = [2, 3].map(|d| case.x[d] - reached.shape()[d]);
            let options = case.options().output_padding(left);
            let bias = integers(&[case.x[1]], 4);
            let spread = g.conv_transpose2d(&weight, None, options);
            assert_eq!(spread.to_vec(), x.grad().unwrap().to_vec());
            let biased = g.conv_transpose2d(&weight, Some(&bias), options);
            assert_eq!(biased.to_vec(), (spread + bias.reshape([case.x[1], 1, 1])).to_vec());
        }
    }

    #[test]
    fn gradients() {
        for case in odd_cases() {
            let (options, bias) = (case.options(), [case.weight[0]]);
            let shapes = [&case.x[..], &case.weight, &bias];
            check_op(|i| i[0].conv2d(&i[1], Some(&i[2]), options), &shapes, -1.0..1.0);
            check_op(|i| i[0].conv2d(&i[1], None, options), &shapes[..2], -1.0..1.0);
        }
        // The same operand twice, and one image.
        let options = Conv2dParams::default().padding(1);
        check_op(|i| i[0].conv2d(&i[0], None, options), &[&[2, 2, 2, 3]], -1.0..1.0);
        check_op(|i| i[0].conv2d(&i[1], None, options), &[&[2, 2, 3], &[1, 2, 3, 2]], -1.0..1.0);
    }

    #[test]
    fn gradients_of_the_transpose() {
        let options = Conv2dParams::default().stride([2, 1]).padding([0, 1]).groups(2);
        let options = options.output_padding([1, 0]);
        for (x, bias) in [(&[2, 4, 2, 3][..], [6]), (&[4, 1, 2], [6])] {
            let shapes = [x, &[4, 3, 2, 3], &bias];
            let op = |i: &[Tensor<f64>]| i[0].conv_transpose2d(&i[1], Some(&i[2]), options);
            check_op(op, &shapes, -1.0..1.0);
        }
    }

    #[test]
    fn one_tap_may_leave_gaps_at_the_end() {
        let options = Conv2dParams::default().dilation(2).output_padding([0, 1]);
        let (x, weight) = (integers(&[1, 2, 2], 1), Tensor::ones([1, 1, 1, 1]));
        let y = x.conv_transpose2d(&weight, Some(&Tensor::full([1], 0.5)), options);
        let x = x.to_vec();
        assert_eq!(y.to_vec(), [x[0] + 0.5, x[1] + 0.5, 0.5, x[2] + 0.5, x[3] + 0.5, 0.5]);
        let shapes = [&[2, 2, 2][..], &[2, 1, 1, 1]];
        check_op(|i| i[0].conv_transpose2d(&i[1], None, options), &shapes, -1.0..1.0);
    }

    #[test]
    fn a_line_is_an_image_of_one_row() {
        let line = Conv1dParams::default().stride(2).padding(1).dilation(2).groups(2);
        let image = Conv2dParams::default().stride([1, 2]).padding([0, 1]).dilation([1, 2]);
        let image = image.groups(2);
        let (x, weight, bias) =
            (integers(&[2, 4, 9], 1), integers(&[6, 2, 3], 2), integers(&[6], 3));
        let (x2, weight2) = (x.reshape([2, 4, 1, 9]), weight.reshape([6, 2, 1, 3]));
        let y = x.conv1d(&weight, Some(&bias), line);
        assert_eq!(y.shape(), [2, 6, 4]);
        assert_eq!(y.to_vec(), x2.conv2d(&weight2, Some(&bias), image).to_vec());
        let (x, bias) = (y, integers(&[4], 3));
        let x2 = x.reshape([2, 6, 1, 4]);
        let y = x.conv_transpose1d(&weight, Some(&bias), line);
        assert_eq!(y.shape(), [2, 4, 9]);
        assert_eq!(y.to_vec(), x2.conv_transpose2d(&weight2, Some(&bias), image).to_vec());

        let shapes = [&[2, 7][..], &[4, 1, 3], &[4]];
        check_op(|i| i[0].conv1d(&i[1], Some(&i[2]), line), &shapes, -1.0..1.0);
        let shapes = [&[4, 3][..], &[4, 1, 3], &[2]];
        check_op(|i| i[0].conv_transpose1d(&i[1], Some(&i[2]), line), &shapes, -1.0..1.0);
    }

    #[test]
    fn empty_operands_have_zero_gradients() {
        for (x, weight, y) in [
            ([0, 2, 4, 4], [3, 2, 3, 3], [0, 3, 2, 2]),
            ([2, 0, 4, 4], [3, 0, 3, 3], [2, 3, 2, 2]),
            ([2, 2, 4, 4], [0, 2, 3, 3], [2, 0, 2, 2]),
        ] {
            let (x, weight) =
                (integers(&x, 1).requires_grad(), integers(&weight, 2).requires_grad());
            let bias = integers(&weight.shape()[..1], 3).requires_grad();
            let out = x.conv2d(&weight, Some(&bias), Conv2dParams::default());
            assert_eq!(out.shape(), y);
            let options = GradOptions::default().create_graph(true);
            let grads = grad(&(&out * &out).sum(), &[&x, &weight, &bias], options);
            assert_eq!((grads[0].shape(), grads[1].shape()), (x.shape(), weight.shape()));
            assert!(grads[0].to_vec().iter().chain(&grads[1].to_vec()).all(|&g| g == 0.0));
            let positions = (y[0] * y[2] * y[3]) as f64;
            assert_eq!(grads[2].to_vec(), (&bias * (2.0 * positions)).to_vec());
        }
    }
}
