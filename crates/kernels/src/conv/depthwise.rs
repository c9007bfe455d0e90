//! Convolutions of one input channel per group, by their formula.
//!
//! An image is laid out so that every tap of the kernel reads a run of contiguous memory for all
//! windows at once: with a stride of `s`, in `s · s` planes of the rows and columns that are equal
//! modulo `s`. A row of a plane is a little longer than a row of the output, so some sums in between
//! have no window. They are dropped.

use super::patches::copy;
use super::{Conv, Scratch, direct};
use crate::float::Float;
use crate::parallel::drain;
use crate::reduce::sum;
use crate::simd::simd;

/// Sums that are computed side by side.
const LANES: usize = 32;

/// Whether the algorithm is possible.
pub(super) fn is_suitable(sizes: &Conv) -> bool {
    sizes.in_channels == 1
}

/// The layout of an image.
struct Layout {
    sizes: Conv,
    /// The rows and columns of a plane.
    plane: [usize; 2],
    /// Where each tap starts to read.
    taps: Vec<usize>,
}

impl Layout {
    fn new(sizes: Conv) -> Self {
        let windows = sizes.windows;
        let last = |d: usize| (windows.kernel[d] - 1) * windows.dilation[d] / windows.stride[d];
        let plane = [0, 1].map(|d| windows.output[d] + last(d));
        let [rows, cols] = windows.kernel;
        let taps = (0..rows * cols).map(|tap| {
            let at = [tap / cols * windows.dilation[0], tap % cols * windows.dilation[1]];
            Self::offset(&sizes, plane, at)
        });
        Layout { sizes, plane, taps: taps.collect() }
    }

    /// Where an element of the padded image is.
    fn offset(sizes: &Conv, plane: [usize; 2], [row, col]: [usize; 2]) -> usize {
        let [down, across] = sizes.windows.stride;
        let of_plane = row % down * across + col % across;
        (of_plane * plane[0] + row / down) * plane[1] + col / across
    }

    /// The number of sums, a multiple of [`LANES`].
    fn sums(&self) -> usize {
        let [rows, cols] = self.sizes.windows.output;
        ((rows - 1) * self.plane[1] + cols).next_multiple_of(LANES)
    }

    /// The length of a buffer for an image: the last lanes may read past the last plane.
    fn image_len(&self) -> usize {
        let [down, across] = self.sizes.windows.stride;
        down * across * self.plane[0] * self.plane[1] + LANES
    }

    /// Where the elements of an image are that the windows read: calls `f(position, start, len)` for
    /// each run of elements of its rows, from `position` on and a stride apart.
    #[inline(always)]
    fn for_each_run(&self, mut f: impl FnMut(usize, usize, usize)) {
        let windows = self.sizes.windows;
        let [[height, width], [top, left]] = [windows.input, windows.padding];
        let [down, across] = windows.stride;
        for row in 0..height.min((self.plane[0] * down).saturating_sub(top)) {
            for first in 0..across.min(width) {
                let at = [row + top, first + left];
                let room = self.plane[1].saturating_sub(at[1] / across);
                let len = (width - first).div_ceil(across).min(room);
                f(row * width + first, Self::offset(&self.sizes, self.plane, at), len);
            }
        }
    }

    /// Lays out an image. The padding is not written: it must be 0.
    #[inline(always)]
    fn load<T: Float>(&self, image: &[T], out: &mut [T]) {
        let step = self.sizes.windows.stride[1];
        self.for_each_run(
            #[inline(always)]
            |position, start, len| {
                let (out, image) = (&mut out[start..start + len], &image[position..]);
                if step == 1 {
                    copy(out, image);
                } else {
                    out.iter_mut().zip(image.iter().step_by(step)).for_each(|(out, &x)| *out = x);
                }
            },
        );
    }

    /// The adjoint of [`load`](Self::load): adds what was laid out to an image.
    #[inline(always)]
    fn add_to<T: Float>(&self, image: &mut [T], laid_out: &[T]) {
        let step = self.sizes.windows.stride[1];
        self.for_each_run(
            #[inline(always)]
            |position, start, len| {
                let image = image[position..].iter_mut().step_by(step);
                image.zip(&laid_out[start..start + len]).for_each(|(image, &x)| *image += x);
            },
        );
    }

    /// Writes the rows of an output as far apart as those of a plane. The gaps are not written: they
    /// must be 0.
    #[inline(always)]
    fn spread<T: Float>(&self, output: &[T], out: &mut [T]) {
        let cols = self.sizes.windows.output[1];
        for (out, row) in out.chunks_mut(self.plane[1]).zip(output.chunks_exact(cols)) {
            copy(&mut out[..cols], row);
        }
    }
}

/// `Y ← W · im2col(X) + b`
pub(super) fn conv<T: Float>(y: &mut [T], x: &[T], weight: &[T], bias: Option<&[T]>, sizes: &Conv) {
    let layout = Layout::new(*sizes);
    let (input, output) = (sizes.windows.input_len(), sizes.windows.output_len());
    let (taps, channels) = (sizes.taps(), sizes.out_channels);
    let scratch = Scratch::new(layout.image_len() + layout.sums());
    drain(y.chunks_mut(channels * output).enumerate(), sizes.cost(), |(i, y)| {
        let group = i % sizes.groups;
        scratch.with(|scratch| {
            let (image, sums) = scratch.split_at_mut(layout.image_len());
            simd!(|| {
                layout.load(&x[i * input..][..input], image);
                for (o, y) in y.chunks_exact_mut(output).enumerate() {
                    let channel = group * channels + o;
                    let weight = &weight[channel * taps..][..taps];
                    let bias = bias.map_or(T::ZERO, |bias| bias[channel]);
                    window_sums(image, &layout.taps, weight, bias, sums);
                    let cols = sizes.windows.output[1];
                    for (y, sums) in y.chunks_exact_mut(cols).zip(sums.chunks(layout.plane[1])) {
                        copy(y, sums);
                    }
                }
            });
        });
    });
}

/// `sums[i] ← bias + Σ weight[t] · image[taps[t] + i]`
#[inline(always)]
fn window_sums<T: Float>(image: &[T], taps: &[usize], weight: &[T], bias: T, sums: &mut [T]) {
    for (block, sums) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut total = [bias; LANES];
        for (&tap, &weight) in taps.iter().zip(weight) {
            let x = &image[tap + block * LANES..][..LANES];
            total.iter_mut().zip(x).for_each(|(sum, &x)| *sum = weight.mul_add(x, *sum));
        }
        *sums = total;
    }
}

/// `X ← col2im(Wᵀ · G) + b`
///
/// Sums without a window have a gradient of 0, times a weight: an image that is not finite is
/// computed again, directly.
pub(super) fn conv_input<T: Float>(
    x: &mut [T],
    g: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    sizes: &Conv,
) {
    let layout = Layout::new(*sizes);
    let (input, output) = (sizes.windows.input_len(), sizes.windows.output_len());
    let (taps, channels) = (sizes.taps(), sizes.out_channels);
    let scratch = Scratch::new(layout.image_len() + layout.sums());
    drain(x.chunks_mut(input).enumerate(), sizes.cost(), |(i, x)| {
        let group = i % sizes.groups;
        let weight = &weight[group * channels * taps..];
        scratch.with(|scratch| {
            let (image, gradient) = scratch.split_at_mut(layout.image_len());
            image.fill(T::ZERO);
            x.fill(bias.map_or(T::ZERO, |bias| bias[group]));
            let g = g[i * channels * output..].chunks_exact(output);
            simd!(|| {
                for (g, weight) in g.zip(weight.chunks_exact(taps)).take(channels) {
                    layout.spread(g, gradient);
                    for (&tap, &weight) in layout.taps.iter().zip(weight) {
                        let image = image[tap..].iter_mut();
                        image.zip(&*gradient).for_each(|(x, &g)| *x = weight.mul_add(g, *x));
                    }
                }
                layout.add_to(x, image);
            });
        });
    });
    if !x.iter().all(|x| x.is_finite()) {
        direct::conv_input(x, g, weight, bias, sizes);
    }
}

/// Blocks of images that are summed separately, on several threads.
const BLOCKS: usize = 16;

/// `W ← Σ G · im2col(X)ᵀ` over the images.
///
/// Sums without a window are multiplied with 0, which makes NaN of infinite elements: a weight that
/// is not finite is computed again, directly.
pub(super) fn conv_weight<T: Float>(weight: &mut [T], x: &[T], g: &[T], sizes: &Conv) {
    let layout = Layout::new(*sizes);
    let (input, output) = (sizes.windows.input_len(), sizes.windows.output_len());
    let (taps, channels, groups) = (sizes.taps(), sizes.out_channels, sizes.groups);
    let images = sizes.images.div_ceil(BLOCKS); // of a block: from the sizes alone
    let blocks = sizes.images.div_ceil(images);
    let mut sums = vec![T::ZERO; blocks * weight.len()];
    let scratch = Scratch::new(layout.image_len() + layout.sums());
    drain(sums.chunks_mut(channels * taps).enumerate(), sizes.cost(), |(i, sums)| {
        let (block, group) = (i / groups, i % groups);
        scratch.with(|scratch| {
            let (image, gradient) = scratch.split_at_mut(layout.image_len());
            for n in block * images..sizes.images.min((block + 1) * images) {
                let part = n * groups + group;
                let (x, g) = (&x[part * input..][..input], &g[part * channels * output..]);
                simd!(|| {
                    layout.load(x, image);
                    for (g, sums) in g.chunks_exact(output).zip(sums.chunks_exact_mut(taps)) {
                        layout.spread(g, gradient);
                        for (taps, sums) in layout.taps.chunks(3).zip(sums.chunks_mut(3)) {
                            let last = taps.len() - 1;
                            let taps = [0, 1, 2].map(|i| &image[taps[last.min(i)]..]);
                            sums.iter_mut()
                                .zip(dots(gradient, taps))
                                .for_each(|(sum, dot)| *sum += dot);
                        }
                    }
                });
            }
        });
    });
    sum(weight, &sums, [1, blocks, channels * groups * taps]);
    if !weight.iter().all(|w| w.is_finite()) {
        direct::conv_weight(weight, x, g, sizes);
    }
}

/// `Σ a[i] b[j][i]` for each `j`, for a multiple of [`LANES`] elements. Three at once, so that the
/// additions need not wait for each other.
#[inline(always)]
fn dots<T: Float>(a: &[T], b: [&[T]; 3]) -> [T; 3] {
    let mut sums = [[T::ZERO; LANES]; 3];
    for (block, a) in a.as_chunks::<LANES>().0.iter().enumerate() {
        for (sums, b) in sums.iter_mut().zip(b) {
            let b = &b[block * LANES..][..LANES];
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    }
    sums.map(|mut sums| {
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                sums[i] = sums[i] + sums[i + width];
            }
            width /= 2;
        }
        sums[0]
    })
}
