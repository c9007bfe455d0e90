//! The pieces into which a convolution's output is cut for the threads.

use crate::float::Float;
use crate::parallel::num_threads;
use std::ops::Range;

/// A piece of a convolution's output: all channels of some images, or some channels of one image.
pub(super) struct Piece<'a, T> {
    pub(super) out: &'a mut [T],
    pub(super) image: usize,
    pub(super) channel: usize,
}

impl<'a, T: Float> Piece<'a, T> {
    /// Cuts `out`, images of `channels` channels of `len` elements. Threads share the images, small
    /// ones `batch` at a time, or the channels if there are too few images.
    pub(super) fn cut(
        out: &'a mut [T],
        channels: usize,
        len: usize,
        batch: usize,
    ) -> Vec<Piece<'a, T>> {
        let image_len = channels * len;
        let images = out.len() / image_len;
        let parts = if images < num_threads() { num_threads() } else { 1 };
        let (batch, some) = match parts {
            1 => (batch.min(images / num_threads()), channels),
            _ => (1, channels.div_ceil(parts)),
        };
        let mut pieces = Vec::with_capacity(images.div_ceil(batch) * parts);
        for (i, out) in out.chunks_mut(batch * image_len).enumerate() {
            for (part, out) in out.chunks_mut(batch * some * len).enumerate() {
                pieces.push(Piece { out, image: i * batch, channel: part * some });
            }
        }
        pieces
    }

    /// The number of channels, of `len` elements; an image has `all`.
    pub(super) fn channels(&self, all: usize, len: usize) -> usize {
        (self.out.len() / len).min(all)
    }

    /// The groups of `of_group` channels that the piece has channels of, with these channels.
    pub(super) fn groups(
        &self,
        all: usize,
        len: usize,
        of_group: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + Clone + use<T> {
        let (first, end) = (self.channel, self.channel + self.channels(all, len));
        (first / of_group..end.div_ceil(of_group))
            .map(move |group| (group, first.max(group * of_group)..end.min((group + 1) * of_group)))
    }
}
