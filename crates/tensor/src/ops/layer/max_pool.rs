//! The largest element of each window.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::shape::Shape;
use crate::ops::layer::windows::{PerDim, pooling};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, max_pool, pick, place};

/// The options of [`Tensor::max_pool2d`], with PyTorch's defaults.
///
/// ```
/// use adamant_tensor::{MaxPool2dOptions, Tensor};
/// let x = Tensor::<f32>::ones([1, 5, 5]);
/// assert_eq!(x.max_pool2d(2, MaxPool2dOptions::default()).shape(), [1, 2, 2]);
/// assert_eq!(x.max_pool2d(2, MaxPool2dOptions::default().ceil_mode(true)).shape(), [1, 3, 3]);
/// assert_eq!(x.max_pool2d(3, MaxPool2dOptions::default().stride(1).padding(1)).shape(), [1, 5, 5]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dOptions {
    stride: Option<[usize; 2]>,
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
}

impl Default for MaxPool2dOptions {
    fn default() -> Self {
        MaxPool2dOptions { stride: None, padding: [0; 2], dilation: [1; 2], ceil_mode: false }
    }
}

impl MaxPool2dOptions {
    /// The step from one window to the next; default: the size of the kernel.
    #[must_use]
    pub fn stride(self, stride: impl Into<PerDim<2>>) -> Self {
        MaxPool2dOptions { stride: Some(stride.into().0), ..self }
    }

    /// The padding on each side of the image, at most half of the kernel, which is never the
    /// largest; default 0.
    #[must_use]
    pub fn padding(self, padding: impl Into<PerDim<2>>) -> Self {
        MaxPool2dOptions { padding: padding.into().0, ..self }
    }

    /// The step from one position in a window to the next; default 1.
    #[must_use]
    pub fn dilation(self, dilation: impl Into<PerDim<2>>) -> Self {
        MaxPool2dOptions { dilation: dilation.into().0, ..self }
    }

    /// Whether windows that begin in the image may reach past its end; default false.
    #[must_use]
    pub fn ceil_mode(self, ceil_mode: bool) -> Self {
        MaxPool2dOptions { ceil_mode, ..self }
    }
}

impl<T: Float> Tensor<T> {
    /// The largest element of each window of size `kernel`, image by image:
    /// `[N, C, H, W] → [N, C, oH, oW]`, or `[C, H, W] → [C, oH, oW]`.
    /// `oH = ⌊(H + 2·padding − dilation·(kH − 1) − 1) / stride⌋ + 1`; `ceil_mode` rounds it up, but
    /// drops a last window that would begin outside the image.
    ///
    /// NaN counts as the largest value. Gradient: `g` at the position of the largest element: the
    /// first of equal ones, the last of several NaNs, as in PyTorch. PyTorch:
    /// `torch.nn.functional.max_pool2d`.
    ///
    /// # Panics
    /// If this is not an image or a batch of images, the padded image is smaller than the kernel,
    /// the padding is larger than half of the kernel, a window contains no element, or a kernel,
    /// stride or dilation is 0.
    ///
    /// ```
    /// use adamant_tensor::{MaxPool2dOptions, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 2.0, 0.0, 3.0, 4.0], [1, 2, 3]).unwrap();
    /// assert_eq!(x.max_pool2d(2, MaxPool2dOptions::default().stride(1)).to_vec(), [5.0, 5.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn max_pool2d(&self, kernel: impl Into<PerDim<2>>, options: MaxPool2dOptions) -> Tensor<T> {
        self.max_pool2d_with_indices(kernel, options).0
    }

    /// [`max_pool2d`](Tensor::max_pool2d), and the position of each largest element in its image:
    /// row · W + column.
    ///
    /// PyTorch: `torch.nn.functional.max_pool2d(x, kernel, return_indices=True)`.
    ///
    /// # Panics
    /// As [`max_pool2d`](Tensor::max_pool2d).
    ///
    /// ```
    /// use adamant_tensor::{MaxPool2dOptions, Tensor};
    /// let x = Tensor::from_vec(vec![1.0f32, 5.0, 2.0, 0.0, 3.0, 4.0], [1, 2, 3]).unwrap();
    /// let (_, at) = x.max_pool2d_with_indices([2, 1], MaxPool2dOptions::default());
    /// assert_eq!(at.to_vec(), [0, 1, 5]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn max_pool2d_with_indices(
        &self,
        kernel: impl Into<PerDim<2>>,
        options: MaxPool2dOptions,
    ) -> (Tensor<T>, Indices) {
        let (images, image) = images("max_pool2d", self.array.shape());
        let MaxPool2dOptions { stride, padding, dilation, ceil_mode } = options;
        let kernel = kernel.into().0;
        let stride = stride.unwrap_or(kernel);
        let windows = pooling("max_pool2d", image, kernel, stride, padding, dilation, ceil_mode);
        let x = self.array.contiguous("max_pool2d");
        let shape: Shape = images.iter().copied().chain(windows.output).collect();
        let at =
            Array::build("max_pool2d", shape, |at| max_pool(at, x.contiguous_slice(), &windows));
        (picked("max_pool2d", self, &at, windows.input_len()), Indices { array: at })
    }
}

/// The leading sizes, and the sizes of an image.
#[track_caller]
pub(crate) fn images<'s, const D: usize>(op: &str, shape: &'s Shape) -> (&'s [usize], [usize; D]) {
    if let Some((images, image)) = shape.split_last_chunk::<D>()
        && matches!(images.len(), 1 | 2)
    {
        return (images, *image);
    }
    let space = if D == 1 { "L" } else { "H, W" };
    panic!(
        "{op}: an input of shape {shape}; expected [N, C, {space}], or [C, {space}] for one image"
    )
}

/// The elements at the positions `at` of each image of `len`.
#[track_caller]
pub(crate) fn picked<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    at: &Array<usize>,
    len: usize,
) -> Tensor<T> {
    let (shape, saved) = (x.array.shape().clone(), at.clone());
    let values = x.array.contiguous(op);
    let value = Array::build(op, at.shape().clone(), |out| {
        pick(out, values.contiguous_slice(), at.contiguous_slice(), len);
    });
    record(op, [x], value, move |ctx| [Some(placed(ctx.grad(), &saved, &shape, len))])
}

/// Zeros of `shape`, with `g` added at the positions `at` of each image of `len`.
#[track_caller]
fn placed<T: Float>(g: &Tensor<T>, at: &Array<usize>, shape: &Shape, len: usize) -> Tensor<T> {
    let op = "max_pool_backward";
    let values = g.array.contiguous(op);
    let value = Array::build(op, shape.clone(), |out| {
        place(out, values.contiguous_slice(), at.contiguous_slice(), len);
    });
    let at = at.clone();
    record(op, [g], value, move |ctx| [Some(picked("pick", ctx.grad(), &at, len))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;
    use crate::tools::gradcheck::testing::check_op;

    fn options() -> MaxPool2dOptions {
        MaxPool2dOptions::default()
    }

    /// The position of the largest element by the formula, for one image.
    fn reference(
        x: &[f32],
        image: [usize; 2],
        kernel: [usize; 2],
        options: MaxPool2dOptions,
        output: &[usize],
    ) -> Vec<usize> {
        let stride = options.stride.unwrap_or(kernel);
        let positions = |d: usize, o: usize| {
            (0..kernel[d])
                .filter_map(move |k| {
                    (o * stride[d] + k * options.dilation[d]).checked_sub(options.padding[d])
                })
                .filter(move |&position| position < image[d])
        };
        let mut at = Vec::new();
        for (oy, ox) in (0..output[0]).flat_map(|y| (0..output[1]).map(move |x| (y, x))) {
            let seen: Vec<usize> = positions(0, oy)
                .flat_map(|row| positions(1, ox).map(move |col| row * image[1] + col))
                .collect();
            let last_nan = seen.iter().rev().find(|&&position| x[position].is_nan());
            let largest =
                seen.iter().map(|&position| x[position]).fold(f32::NEG_INFINITY, f32::max);
            let first = seen.iter().find(|&&position| x[position] == largest);
            at.push(*last_nan.or(first).expect("a window sees something"));
        }
        at
    }

    #[test]
    fn values_and_positions_match_the_formula() {
        let mut rng = Generator::seed(0);
        for (image, kernel, options, output) in [
            ([4, 6], [2, 2], options(), [2, 3]),
            ([5, 7], [2, 3], options(), [2, 2]),
            ([5, 7], [2, 3], options().ceil_mode(true), [3, 3]),
            ([5, 7], [3, 2], options().stride([1, 2]).padding(1), [5, 4]),
            ([5, 7], [3, 3], options().stride(2).padding(1).ceil_mode(true), [3, 4]),
            ([6, 6], [2, 2], options().stride(3).dilation(4).ceil_mode(true), [2, 2]),
            ([8, 9], [3, 2], options().stride([2, 1]).dilation([2, 3]).padding([1, 0]), [3, 6]),
            ([2, 5], [3, 3], options().ceil_mode(true), [1, 2]),
            ([1, 1], [1, 1], options(), [1, 1]),
            ([3, 200], [3, 5], options().stride(1), [1, 196]),
        ] {
            let (planes, len) = (2 * 3, image[0] * image[1]);
            // Few distinct values: ties, infinities and NaNs in many windows.
            let kinds =
                [f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY, 1.0, 1.0, 2.0];
            for kinds in [&kinds[..], &kinds[1..3], &kinds[1..], &kinds[4..]] {
                let mut draw = || kinds[(rng.uniform() * kinds.len() as f64) as usize];
                let values: Vec<f32> = (0..planes * len).map(|_| draw()).collect();
                let x = Tensor::from_vec(values.clone(), [2, 3, image[0], image[1]]).unwrap();
                let (y, at) = x.max_pool2d_with_indices(kernel, options);
                assert_eq!(y.shape(), [2, 3, output[0], output[1]]);
                let expected: Vec<usize> = values
                    .chunks(len)
                    .flat_map(|x| reference(x, image, kernel, options, &output))
                    .collect();
                assert_eq!((at.shape(), at.to_vec()), (y.shape(), expected));
                let each = output[0] * output[1];
                for (i, (y, at)) in y.to_vec().iter().zip(at.to_vec()).enumerate() {
                    let value = values[i / each * len + at];
                    assert!(*y == value || (y.is_nan() && value.is_nan()));
                }
            }
        }
    }

    #[test]
    fn gradients() {
        let distinct = |x: &Tensor<f64>| {
            // Far enough apart that no finite-difference step changes which is the largest.
            let order: Vec<f64> = (0..x.numel()).map(|i| ((i * 37) % 101) as f64).collect();
            x + Tensor::from_vec(order, x.shape()).unwrap()
        };
        for (shape, options) in [
            (&[2, 2, 5, 4][..], options()),
            (&[2, 5, 4], options().stride([1, 2]).padding(1)), // windows overlap
            (&[1, 1, 5, 6], options().dilation([2, 1]).ceil_mode(true)),
            (&[0, 2, 5, 4], options()),
        ] {
            check_op(|x| distinct(&x[0]).max_pool2d([2, 3], options).powf(2.0), &[shape], 0.0..0.5);
        }
    }

    #[test]
    fn the_first_tie_or_last_nan_gets_the_gradient() {
        let grad = |values: [f32; 4]| {
            let x = Tensor::from_vec(values.to_vec(), [1, 2, 2]).unwrap().requires_grad();
            x.max_pool2d(2, options()).sum().backward();
            x.grad().unwrap().to_vec()
        };
        assert_eq!(grad([1.0, 2.0, 2.0, 2.0]), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(grad([f32::NEG_INFINITY; 4]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(grad([f32::NAN, 1.0, f32::NAN, f32::INFINITY]), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        type Case<'a> = (&'a [usize], [usize; 2], MaxPool2dOptions, &'a str);
        let cases: [Case<'_>; 8] = [
            (
                &[5, 5],
                [2, 2],
                options(),
                "max_pool2d: an input of shape [5, 5]; expected [N, C, H, W]",
            ),
            (
                &[1, 2, 5],
                [3, 2],
                options(),
                "max_pool2d: images of [2, 5], padded to [2, 5], are smaller than a kernel of [3, 2]",
            ),
            (&[1, 2, 0, 5], [1, 1], options(), "max_pool2d: images of [0, 5]"),
            (
                &[1, 5, 5],
                [2, 3],
                options().padding([1, 2]),
                "max_pool2d: a padding of [1, 2] with a kernel of [2, 3]: it must be at most half",
            ),
            (&[1, 5, 5], [2, 0], options(), "max_pool2d: a kernel of [2, 0]"),
            (&[1, 5, 5], [2, 2], options().stride(0), "max_pool2d: a stride of [0, 0]"),
            (&[1, 5, 5], [2, 2], options().dilation([0, 1]), "max_pool2d: a dilation of [0, 1]"),
            (
                &[1, 1, 1],
                [3, 3],
                options().stride(5).padding(1).dilation(3).ceil_mode(true),
                "a window sees nothing of an image of [1, 1]",
            ),
        ];
        for (shape, kernel, options, expected) in cases {
            let pool = || Tensor::<f32>::ones(shape).max_pool2d(kernel, options);
            let panic = std::panic::catch_unwind(pool).unwrap_err();
            let message = panic.downcast_ref::<String>().expect("a formatted message");
            assert!(message.contains(expected), "{message}\nis not\n{expected}");
        }
    }
}
