//! Convolutions.
//!
//! For one image and group, `im2col(X)` is the matrix `[C · kH · kW, oH · oW]` of the elements that
//! each tap (row) of each window (column) reads. `col2im` is its adjoint: it adds each element of
//! the matrix to the position that it was read from. The three maps are
//!
//! * `Y ← W · im2col(X)`, the convolution;
//! * `X ← col2im(Wᵀ · G)`, its adjoint in the input, which is a convolution with the mirrored kernel
//!   unless there is a stride, or more padding than the kernel reaches over;
//! * `W ← Σ G · im2col(X)ᵀ` over the images, its adjoint in the weight.
//!
//! They are computed in one of three ways: [`winograd`] for 3 × 3 kernels, [`shifted`] where a
//! channel takes part in few products, and [`direct`] otherwise. Which one depends on the sizes
//! alone.

mod direct;
mod image_sums;
mod patches;
mod piece;
mod shifted;
mod tiles;
mod winograd;

pub(crate) use tiles::transform_output;

use crate::float::Float;
use crate::windows::Windows;
use std::sync::{Mutex, PoisonError};

/// The sizes of a convolution.
///
/// Its slices are row-major: the input `[images, groups · in_channels, input]`, the weight
/// `[groups · out_channels, in_channels, kernel]` and the output `[images, groups · out_channels,
/// output]`.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// The number of images.
    pub images: usize,
    /// The number of groups; each reads its own channels only.
    pub groups: usize,
    /// The number of input channels of a group.
    pub in_channels: usize,
    /// The number of output channels of a group.
    pub out_channels: usize,
    /// The kernel's windows on an image.
    pub windows: Windows,
}

impl Conv {
    /// The lengths of a group's part of one image: in the input, and in the output.
    fn group_len(&self) -> (usize, usize) {
        (self.in_channels * self.windows.input_len(), self.out_channels * self.windows.output_len())
    }

    /// The number of weights of one output channel, and of rows of `im2col(X)`.
    fn taps(&self) -> usize {
        self.in_channels * self.windows.kernel_len()
    }

    /// The number of weights of one group.
    fn weight_len(&self) -> usize {
        self.out_channels * self.taps()
    }

    fn check(&self, input: usize, weight: usize, output: usize) {
        let (group_in, group_out) = self.group_len();
        let parts = self.images * self.groups;
        assert_eq!(input, parts * group_in, "the input has its shape");
        assert_eq!(output, parts * group_out, "the output has its shape");
        assert_eq!(weight, self.groups * self.weight_len(), "the weight has its shape");
    }

    /// The cost for `drain`, as for a matrix product.
    fn cost(&self) -> usize {
        let products = self.weight_len().saturating_mul(self.windows.output_len());
        products.saturating_mul(self.images * self.groups) / 8
    }

    /// The length of an image of the input.
    fn image_len(&self) -> usize {
        self.groups * self.in_channels * self.windows.input_len()
    }

    /// The convolution whose input and output are the output of this one.
    fn of_output(&self) -> Conv {
        let windows = Windows::identity(self.windows.output);
        Conv { in_channels: self.out_channels, windows, ..*self }
    }

    /// The convolution of the output with the mirrored kernel that is the adjoint of this one in its
    /// input, if there is one: with a stride, or more padding than the kernel reaches over, the
    /// adjoint is not a convolution.
    fn mirrored(&self) -> Option<Conv> {
        let Windows { input, output, kernel, stride, padding, dilation } = self.windows;
        if stride != [1, 1] {
            return None;
        }
        let [rows, cols] = [0, 1].map(|d| (dilation[d] * (kernel[d] - 1)).checked_sub(padding[d]));
        let windows =
            Windows { input: output, output: input, padding: [rows?, cols?], ..self.windows };
        let (in_channels, out_channels) = (self.out_channels, self.in_channels);
        Some(Conv { in_channels, out_channels, windows, ..*self })
    }

    /// The same convolution, with images of one row if each window reads one position.
    fn flattened(&self) -> Conv {
        let windows = self.windows;
        let line = Windows::identity([1, windows.input_len()]);
        Conv { windows: if windows.is_identity() { line } else { windows }, ..*self }
    }
}

/// A buffer for each thread, for the duration of one call.
struct Scratch<T> {
    spare: Mutex<Vec<Vec<T>>>,
    len: usize,
}

impl<T: Float> Scratch<T> {
    fn new(len: usize) -> Self {
        Scratch { spare: Mutex::new(Vec::new()), len }
    }

    /// Calls `f` with a buffer: zeros, or the contents that an earlier `f` left.
    fn with(&self, f: impl FnOnce(&mut [T])) {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = spare().pop();
        let mut buffer = taken.unwrap_or_else(|| vec![T::ZERO; self.len]);
        f(&mut buffer);
        spare().push(buffer);
    }
}

/// `Y ← W · im2col(X) + b` for each image and group.
///
/// # Panics
/// If a length does not match `sizes`, or `bias` does not have one element per output channel.
///
/// ```
/// use adamant_kernels::{Conv, Windows, conv};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
/// let mut y = [0.0f32; 2];
/// conv(&mut y, &[1.0, 2.0, 4.0], &[1.0, 10.0], Some(&[0.5]), &sizes);
/// assert_eq!(y, [21.5, 42.5]);
/// ```
pub fn conv<T: Float>(y: &mut [T], x: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    sizes.check(x.len(), weight.len(), y.len());
    let channels = sizes.out_channels; // of a group
    assert!(bias.is_none_or(|b| b.len() == sizes.groups * channels), "a bias for each channel");
    if y.is_empty() {
        return;
    }
    if shifted::is_suitable(sizes) {
        shifted::conv(y, x, weight, bias, sizes);
    } else if winograd::is_suitable(sizes) {
        winograd::conv(y, x, weight, bias, sizes);
    } else {
        direct::conv(y, x, weight, bias, &sizes.flattened());
    }
}

/// `X ← col2im(Wᵀ · G) + b` for each image and group: the adjoint of [`conv`] in its input.
///
/// # Panics
/// If a length does not match `sizes`, or `bias` does not have one element per input channel.
///
/// ```
/// use adamant_kernels::{Conv, Windows, conv_input};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
/// let mut x = [0.0f32; 3];
/// conv_input(&mut x, &[1.0, 2.0], &[1.0, 10.0], None, &sizes);
/// assert_eq!(x, [1.0, 12.0, 20.0]);
/// ```
pub fn conv_input<T: Float>(x: &mut [T], g: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    sizes.check(x.len(), weight.len(), g.len());
    let channels = sizes.in_channels; // of a group
    assert!(bias.is_none_or(|b| b.len() == sizes.groups * channels), "a bias for each channel");
    if x.is_empty() {
        return;
    }
    // Mirrored, an infinite weight would make NaN of the padding; the adjoint does not read it.
    let finite = weight.iter().all(|w| w.is_finite());
    match sizes.mirrored() {
        Some(mirrored) if finite => {
            conv(x, g, &mirrored_weight(weight, sizes), bias, &mirrored);
        }
        None if finite && shifted::is_suitable(sizes) => {
            shifted::conv_input(x, g, weight, bias, sizes);
        }
        _ => direct::conv_input(x, g, weight, bias, sizes),
    }
}

/// `W ← Σ G · im2col(X)ᵀ` over the images: the adjoint of [`conv`] in its weight.
///
/// # Panics
/// If a length does not match `sizes`.
///
/// ```
/// use adamant_kernels::{Conv, Windows, conv_weight};
/// let [stride, dilation, padding] = [[1, 1], [1, 1], [0, 0]];
/// let windows = Windows { input: [1, 3], output: [1, 2], kernel: [1, 2], stride, padding, dilation };
/// let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
/// let mut weight = [0.0f32; 2];
/// conv_weight(&mut weight, &[1.0, 2.0, 4.0], &[1.0, 10.0], &sizes);
/// assert_eq!(weight, [21.0, 42.0]);
/// ```
pub fn conv_weight<T: Float>(weight: &mut [T], x: &[T], g: &[T], sizes: &Conv) {
    sizes.check(x.len(), weight.len(), g.len());
    if weight.is_empty() || sizes.images == 0 {
        return weight.fill(T::ZERO);
    }
    if shifted::is_suitable_for_weight(sizes) {
        shifted::conv_weight(weight, x, g, sizes);
    } else if winograd::is_suitable(sizes) {
        winograd::conv_weight(weight, x, g, sizes);
    } else {
        direct::conv_weight(weight, x, g, &sizes.flattened());
    }
}

/// The weight of [`Conv::mirrored`]: `[groups · in_channels, out_channels, kernel]`.
fn mirrored_weight<T: Float>(weight: &[T], sizes: &Conv) -> Vec<T> {
    let (kernel, taps) = (sizes.windows.kernel_len(), sizes.taps());
    let mut mirrored = Vec::with_capacity(weight.len());
    for weight in weight.chunks_exact(sizes.weight_len().max(1)) {
        for channel in 0..sizes.in_channels {
            for weight in weight.chunks_exact(taps) {
                mirrored.extend(weight[channel * kernel..(channel + 1) * kernel].iter().rev());
            }
        }
    }
    mirrored
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers, whose sums are exact in any order.
    fn integers(len: usize, seed: usize) -> Vec<f64> {
        (0..len).map(|i| ((i * 7 + seed * 3) % 13) as f64 - 6.0).collect()
    }

    /// Calls `f(x, w, y)` with the three positions of each product in the convolution's sums.
    fn products(sizes: &Conv, mut f: impl FnMut(usize, usize, usize)) {
        let Conv { images, groups, in_channels, out_channels, windows } = *sizes;
        let [[ih, iw], [oh, ow], [kh, kw]] = [windows.input, windows.output, windows.kernel];
        for (n, g, o, c) in (0..images)
            .flat_map(|n| (0..groups).map(move |g| (n, g)))
            .flat_map(|(n, g)| (0..out_channels).map(move |o| (n, g, o)))
            .flat_map(|(n, g, o)| (0..in_channels).map(move |c| (n, g, o, c)))
        {
            for (window, tap) in (0..oh * ow).flat_map(|w| (0..kh * kw).map(move |t| (w, t))) {
                let position = |d: usize, o: usize, k: usize| {
                    (o * windows.stride[d] + k * windows.dilation[d])
                        .checked_sub(windows.padding[d])
                        .filter(|&position| position < windows.input[d])
                };
                let (row, col) =
                    (position(0, window / ow, tap / kw), position(1, window % ow, tap % kw));
                if let Some((iy, ix)) = row.zip(col) {
                    let x = (((n * groups + g) * in_channels + c) * ih + iy) * iw + ix;
                    let w = ((g * out_channels + o) * in_channels + c) * kh * kw + tap;
                    let y = ((n * groups + g) * out_channels + o) * oh * ow + window;
                    f(x, w, y);
                }
            }
        }
    }

    #[test]
    fn the_three_maps_match_their_definitions() {
        let plain = ([1, 1], [0, 0], [1, 1]);
        for (
            images,
            groups,
            in_channels,
            out_channels,
            input,
            kernel,
            (stride, padding, dilation),
        ) in [
            (1, 1, 1, 1, [1, 1], [1, 1], plain),
            (2, 1, 3, 4, [5, 6], [3, 3], plain),
            (3, 2, 2, 3, [7, 9], [3, 2], ([2, 3], [1, 1], [1, 2])),
            (2, 1, 5, 4, [4, 3], [1, 1], plain),
            (2, 1, 2, 3, [4, 3], [1, 1], ([1, 2], [0, 1], [1, 1])),
            (2, 4, 1, 1, [6, 6], [3, 3], ([1, 1], [1, 1], [1, 1])),
            (33, 1, 2, 2, [3, 4], [2, 2], plain),
            (1, 1, 1, 2, [2, 1], [3, 4], ([1, 1], [5, 7], [2, 3])), // windows in the padding
            (2, 1, 2, 2, [20, 33], [3, 3], ([1, 1], [2, 1], [2, 1])),
            (40, 1, 8, 16, [12, 12], [3, 3], plain), // several threads
            (2, 3, 1, 2, [16, 19], [3, 3], ([2, 2], [1, 1], [1, 1])), // as sums of shifted images
            (2, 2, 1, 1, [17, 28], [3, 2], ([2, 3], [1, 1], [1, 1])),
            (2, 1, 1, 6, [12, 12], [5, 5], ([1, 1], [2, 2], [1, 1])),
            (2, 1, 3, 5, [18, 17], [3, 3], ([2, 1], [1, 0], [1, 2])),
            (40, 1, 16, 20, [12, 12], [3, 3], plain), // from here on, by Winograd's algorithm
            (3, 2, 17, 33, [7, 9], [3, 3], ([1, 1], [1, 1], [1, 1])),
            (5, 1, 300, 18, [4, 4], [3, 3], ([1, 1], [2, 0], [1, 1])),
            (1, 1, 16, 40, [3, 38], [3, 3], ([1, 1], [0, 2], [1, 1])),
            (0, 1, 2, 2, [3, 3], [2, 2], plain),
            (2, 1, 0, 2, [3, 3], [2, 2], plain),
            (2, 1, 2, 0, [3, 3], [2, 2], plain),
            (2, 1, 0, 2, [8, 8], [3, 3], plain),
            (2, 1, 2, 0, [8, 8], [3, 3], plain),
            (1, 1, 1, 1, [0, 5], [1, 1], ([1, 1], [4, 4], [1, 1])), // padding only
            (1, 1, 1, 1, [1, 8], [1, 1], ([1, 1], [4, 14], [1, 1])),
            (2, 1, 16, 20, [1, 40], [3, 3], ([1, 1], [1, 1], [1, 1])),
            (2, 1, 20, 24, [9, 8], [3, 3], ([2, 2], [1, 1], [1, 1])),
            (1, 1, 2, 3, [40, 40], [3, 3], plain), // one image, on several threads
        ] {
            let size = |d: usize| {
                (input[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1
            };
            let output = [size(0), size(1)];
            let windows = Windows { input, output, kernel, stride, padding, dilation };
            let sizes = Conv { images, groups, in_channels, out_channels, windows };
            let x = integers(images * groups * in_channels * windows.input_len(), 1);
            let w = integers(groups * out_channels * in_channels * windows.kernel_len(), 2);
            let g = integers(images * groups * out_channels * windows.output_len(), 3);
            let b = integers(groups * in_channels.max(out_channels), 4);
            for biased in [false, true] {
                let bias = |channels: usize| biased.then(|| &b[..groups * channels]);
                let initial = |len: usize, channels: usize, size: usize| {
                    let start = |i: usize| bias(channels).map_or(0.0, |b| b[i / size % b.len()]);
                    (0..len).map(start).collect::<Vec<f64>>()
                };
                let mut y = initial(g.len(), out_channels, windows.output_len());
                let mut gx = initial(x.len(), in_channels, windows.input_len());
                let mut gw = vec![0.0; w.len()];
                products(&sizes, |xi, wi, yi| {
                    y[yi] += x[xi] * w[wi];
                    gx[xi] += g[yi] * w[wi];
                    gw[wi] += g[yi] * x[xi];
                });
                let mut found = [&y, &gx, &gw].map(|v| vec![f64::NAN; v.len()]);
                conv(&mut found[0], &x, &w, bias(out_channels), &sizes);
                conv_input(&mut found[1], &g, &w, bias(in_channels), &sizes);
                conv_weight(&mut found[2], &x, &g, &sizes);
                assert_eq!(found, [y, gx, gw], "{sizes:?}");
            }
        }
    }

    /// A convolution with a 3 × 3 kernel and a padding of 1.
    fn same_size(images: usize, groups: usize, channels: [usize; 2], input: [usize; 2]) -> Conv {
        let (output, kernel) = (input, [3, 3]);
        let [stride, padding, dilation] = [[1, 1]; 3];
        let windows = Windows { input, output, kernel, stride, padding, dilation };
        let [in_channels, out_channels] = channels;
        Conv { images, groups, in_channels, out_channels, windows }
    }

    /// The input, the weight and the gradient of the output, of values between −1 and 1.
    fn operands(sizes: &Conv) -> [Vec<f32>; 3] {
        let (group_in, group_out) = sizes.group_len();
        let parts = sizes.images * sizes.groups;
        [parts * group_in, sizes.groups * sizes.weight_len(), parts * group_out]
            .map(|len| (1..=len).map(|i| ((i * i % 7919) as f32).sin()).collect())
    }

    /// The three maps.
    fn maps([x, w, g]: &[Vec<f32>; 3], sizes: &Conv) -> [Vec<f32>; 3] {
        let mut found = [g, x, w].map(|v| vec![f32::NAN; v.len()]);
        conv(&mut found[0], x, w, None, sizes);
        conv_input(&mut found[1], g, w, None, sizes);
        conv_weight(&mut found[2], x, g, sizes);
        found
    }

    /// The three maps, directly.
    fn direct_maps<T: Float>([x, w, g]: &[Vec<T>; 3], sizes: &Conv) -> [Vec<T>; 3] {
        let mut found = [g, x, w].map(|v| vec![T::NAN; v.len()]);
        let mirrored = sizes.mirrored().unwrap();
        direct::conv(&mut found[0], x, w, None, sizes);
        direct::conv(&mut found[1], g, &mirrored_weight(w, sizes), None, &mirrored);
        direct::conv_weight(&mut found[2], x, g, sizes);
        found
    }

    #[test]
    fn huge_strides_take_no_memory() {
        let windows = Windows {
            input: [1, 40],
            output: [1, 40],
            kernel: [1, 1],
            stride: [1 << 40, 1],
            padding: [0, 0],
            dilation: [1 << 40, 1],
        };
        let sizes = Conv { images: 1, groups: 1, in_channels: 1, out_channels: 1, windows };
        let x: Vec<f32> = (0..40u8).map(f32::from).collect();
        let operands = [x.clone(), vec![2.0], x.clone()];
        let [y, gx, gw] = maps(&operands, &sizes);
        let doubled: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
        assert_eq!((y, gx, gw[0]), (doubled.clone(), doubled, x.iter().map(|x| x * x).sum()));
    }

    #[test]
    fn infinite_elements_reach_their_windows_only() {
        for channels in [[20, 20], [1, 1]] {
            let sizes = same_size(3, 2, channels, [8, 11]);
            for value in [f32::INFINITY, f32::NAN, f32::MAX] {
                let mut operands = operands(&sizes);
                let middle = operands[0].len() / 2 + 30;
                operands[0][middle] = value;
                operands[2][middle] = value;
                let expected = direct_maps(&operands, &sizes);
                for (found, expected) in maps(&operands, &sizes).iter().zip(&expected) {
                    let kinds = |v: &[f32]| v.iter().map(|x| x.classify()).collect::<Vec<_>>();
                    assert!(kinds(found) == kinds(expected), "{value}, {channels:?}");
                }
            }
        }
    }

    /// Winograd's algorithm is chosen by size, so it must be about as accurate as the direct one.
    #[test]
    fn winograd_is_about_as_accurate_as_the_direct_way() {
        let sizes = same_size(4, 1, [64, 64], [16, 16]);
        let operands = operands(&sizes);
        let exact = operands.clone().map(|v| v.into_iter().map(f64::from).collect::<Vec<f64>>());
        let (found, plain) = (maps(&operands, &sizes), direct_maps(&operands, &sizes));
        for (i, exact) in direct_maps(&exact, &sizes).iter().enumerate() {
            let error = |v: &[f32]| {
                let squares = v.iter().zip(exact).map(|(&v, &e)| (f64::from(v) - e).powi(2));
                squares.sum::<f64>().sqrt()
            };
            let (found, plain) = (error(&found[i]), error(&plain[i]));
            assert!(found > 0.0 && found < 2.0 * plain, "map {i}: {found} {plain}");
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        for (images, groups, channels, weight) in [
            (37, 1, 24, 1.0),
            (3, 2, 20, 1.0),
            (1, 1, 64, f32::INFINITY),
            (1, 1, 64, 1.0),
            (5, 3, 1, 1.0),
            (1, 1, 1, f32::INFINITY),
        ] {
            let sizes = same_size(images, groups, [channels, channels + 3], [14, 13]);
            let mut operands = operands(&sizes);
            operands[1][0] = weight;
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let found = pool.install(|| maps(&operands, &sizes));
                found.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert!(run(threads) == one, "{threads} threads, {sizes:?}");
            }
        }
    }
}
