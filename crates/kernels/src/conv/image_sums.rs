//! Sums over the images of a batch, on several threads.

use super::Conv;
use crate::float::Float;
use crate::parallel::{drain, num_threads};
use crate::reduce::sum;
use std::ops::Range;

/// Blocks of images that are summed separately.
const BLOCKS: usize = 16;
/// The most weights that all blocks have, unless there is a single one.
const BLOCK_WEIGHTS: usize = 1 << 22;

/// Some panels of the sums of one group over some images.
pub(super) struct SumsPiece<'a, T> {
    /// Zeros, to which the sums are written.
    pub(super) sums: &'a mut [T],
    pub(super) images: Range<usize>,
    pub(super) group: usize,
    pub(super) panels: Range<usize>,
}

/// `[groups, panels, panel_len]`, the sums over all images: `f` computes a piece of the sums over a
/// block of images.
pub(super) fn sum_over_images<T: Float>(
    sizes: &Conv,
    panels: usize,
    panel_len: usize,
    f: impl Fn(SumsPiece<'_, T>) + Sync,
) -> Vec<T> {
    let len = sizes.groups * panels * panel_len;
    // From the sizes alone: the bits must not depend on the number of threads, or on the panels.
    let weights = sizes.groups * sizes.weight_len();
    let blocks = (BLOCK_WEIGHTS / weights.max(1)).clamp(1, BLOCKS.min(sizes.images));
    let images = sizes.images.div_ceil(blocks);
    let blocks = sizes.images.div_ceil(images);

    let parts = if blocks * sizes.groups < num_threads() { num_threads() } else { 1 };
    let some = panels.div_ceil(parts);
    let mut sums = vec![T::ZERO; blocks * len];
    let mut pieces = Vec::with_capacity(blocks * sizes.groups * parts);
    for (i, sums) in sums.chunks_mut(panels * panel_len).enumerate() {
        let (block, group) = (i / sizes.groups, i % sizes.groups);
        let images = block * images..sizes.images.min((block + 1) * images);
        for (part, sums) in sums.chunks_mut(some * panel_len).enumerate() {
            let panels = part * some..panels.min((part + 1) * some);
            pieces.push(SumsPiece { sums, images: images.clone(), group, panels });
        }
    }
    drain(pieces.into_iter(), sizes.cost(), f);
    if blocks == 1 {
        return sums;
    }
    let mut total = vec![T::ZERO; len];
    sum(&mut total, &sums, [1, blocks, len]);
    total
}
