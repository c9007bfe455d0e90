//! One call of [`linear_cross_entropy`](super::linear_cross_entropy): its losses and their gradients, a
//! block of logits at a time.

use crate::arrays::array::{Array, with_room};
use crate::arrays::indices::Indices;
use crate::ops::matrix::linear::{repeat_row, times_weight};
use crate::tape::context::Context;
use crate::tape::mode::no_grad;
use crate::tape::node::Gradients;
use crate::tape::stored::Stored;
use crate::tape::tensor::Tensor;
use crate::tape::weight::Weight;
use adamant_kernels::{
    Float, Matrix, RowStats, add_to_stats, gemm, softmax_of_stats, sum, sum_row, zip_assign,
};
use smallvec::SmallVec;
use std::ops::Range;

pub(super) const NAME: &str = "linear_cross_entropy";

/// The most rows and classes whose logits are in memory at once: 4 MiB of `f32`.
pub(super) const BLOCK: usize = 1024;

/// One call. The loss of row `r` is the sum of `logsumexp − logits`, weighted by `shares`, plus
/// `own[r]` at the target.
pub(super) struct Call<T: Float> {
    pub(super) x: Tensor<T>,
    pub(super) weight: Weight<T>,
    pub(super) bias: Option<Tensor<T>>,
    pub(super) targets: Vec<usize>,
    pub(super) own: Vec<T>,
    /// The part of each class in every target, if labels are smoothed.
    pub(super) shares: Option<Vec<T>>,
}

/// What the forward pass computes.
pub(super) struct Losses<T: Float> {
    pub(super) losses: Array<T>,
    pub(super) stats: Vec<RowStats<T>>,
    /// The gradients of the losses in their rows of `x`, if they are needed.
    pub(super) of_x: Option<Tensor<T>>,
}

impl<T: Float> Call<T> {
    #[track_caller]
    pub(super) fn losses(&self, with_gradient: bool) -> Losses<T> {
        let (count, inner) = (self.targets.len(), self.x.shape()[1]);
        // For each row `Σ exp(logit − max) W`, whose gradient this is but for a factor and two terms.
        let mut of_x = match with_gradient {
            true => Some(Array::full_for(NAME, [count, inner].into(), T::ZERO)),
            false => None,
        };
        let mut losses = Array::full_for(NAME, [count].into(), T::ZERO);
        let mut stats = with_room(NAME, count);
        stats.resize(count, [T::NEG_INFINITY, T::ZERO]);
        let total = self.total();
        for rows in blocks(count) {
            let losses = &mut losses.make_mut_for(NAME)[rows.clone()];
            let stats = &mut stats[rows.clone()];
            let rows_len = rows.len();
            let mut spread = vec![T::ZERO; rows_len]; // Σ shares · logits
            for classes in blocks(self.classes()) {
                let (x, weight) = self.operands(&rows, &classes);
                let mut logits = self.logits(&x, &weight, &classes);
                let logits = logits.make_mut_for(NAME);
                for (row, at) in self.targets_within(&rows, &classes) {
                    losses[row] = logits[at];
                }
                if let Some(shares) = &self.shares {
                    let shares = Matrix::row_major(&shares[classes.clone()], classes.len(), 1);
                    let logits = Matrix::row_major(logits, rows.len(), classes.len());
                    gemm(logits, shares, T::ONE, &mut spread);
                }
                let before = if of_x.is_some() { stats.to_vec() } else { Vec::new() };
                add_to_stats(stats, logits);
                if let Some(of_x) = &mut of_x {
                    let of_x = &mut of_x.make_mut_for(NAME)[rows.start * inner..rows.end * inner];
                    let rows = of_x.chunks_exact_mut(inner.max(1));
                    for (((row, exps), [old, _]), [new, _]) in
                        rows.zip(logits.chunks_exact_mut(classes.len())).zip(before).zip(&*stats)
                    {
                        if *new == T::NEG_INFINITY {
                            exps.fill(T::ZERO); // they are still the logits, all −∞
                        } else if old != *new {
                            let factor = (old - *new).exp();
                            row.iter_mut().for_each(|sum| *sum *= factor);
                        }
                    }
                    let exps = Matrix::row_major(logits, rows_len, classes.len());
                    weight.product(exps, T::ONE, of_x);
                }
            }
            for (r, loss) in losses.iter_mut().enumerate() {
                let ([max, sum], logit) = (stats[r], *loss);
                // Not the logsumexp less the logit, which loses digits if both are large.
                *loss = self.own[rows.start + r] * ((max - logit) + sum.ln());
                if self.shares.is_some() {
                    *loss += total * (max + sum.ln()) - spread[r];
                }
            }
        }
        let of_x = match of_x {
            Some(sums) => Some(self.of_x(sums, &stats)),
            None => None,
        };
        Losses { losses, stats, of_x }
    }

    /// The gradients in the rows of `x`, from `Σ exp(logit − max) W` of each.
    #[track_caller]
    fn of_x(&self, mut sums: Array<T>, stats: &[RowStats<T>]) -> Tensor<T> {
        let inner = self.x.shape()[1];
        let mut shared = vec![T::ZERO; inner]; // Σ shares W
        if let Some(shares) = &self.shares {
            let shares = Matrix::row_major(shares, 1, shares.len());
            self.weight.value.product(shares, T::ZERO, &mut shared);
        }
        let (total, width) = (self.total(), inner.max(1));
        for block in blocks(self.targets.len()) {
            let targets = Indices::from(&self.targets[block.clone()]);
            let targets = no_grad(|| self.weight.embedding(&targets)).array.contiguous(NAME);
            let rows = &mut sums.make_mut_for(NAME)[block.start * inner..block.end * inner];
            let targets = targets.contiguous_slice().chunks_exact(width);
            for ((r, row), target) in block.zip(rows.chunks_exact_mut(width)).zip(targets) {
                let factor = (self.own[r] + total) / stats[r][1];
                for ((sum, &target), &shared) in row.iter_mut().zip(target).zip(&shared) {
                    *sum = *sum * factor - self.own[r] * target - shared;
                }
            }
        }
        sums.into()
    }

    #[track_caller]
    pub(super) fn backward(&self, ctx: &Context<'_, T>, stats: &[RowStats<T>]) -> Gradients<T> {
        let g = ctx.grad().array.contiguous(NAME);
        let g = g.contiguous_slice();
        let inner = self.x.shape()[1];
        let mut gradients: SmallVec<[Option<Array<T>>; 3]> = SmallVec::new();
        let shapes = [self.x.array.shape(), self.weight.value.shape()];
        let shapes = shapes.into_iter().chain(self.bias.as_ref().map(|bias| bias.array.shape()));
        for (i, shape) in shapes.cloned().enumerate() {
            gradients.push(if ctx.needs(i) {
                Some(Array::full_for(NAME, shape, T::ZERO))
            } else {
                None
            });
        }
        let total = self.total();
        for rows in blocks(self.targets.len()) {
            let factor = |r| (stats[r], g[r] * (self.own[r] + total));
            let mut factors: Vec<_> = rows.clone().map(factor).collect();
            let minus_g: Vec<T> = g[rows.clone()].iter().map(|&g| -g).collect();
            for classes in blocks(self.classes()) {
                let (x, weight) = self.operands(&rows, &classes);
                let mut d = self.logits(&x, &weight, &classes); // becomes their gradient
                let d = d.make_mut_for(NAME);
                softmax_of_stats(&mut factors, d);
                for (row, at) in self.targets_within(&rows, &classes) {
                    d[at] += minus_g[row] * self.own[rows.start + row];
                }
                if let Some(shares) = &self.shares {
                    let shares = Matrix::row_major(&shares[classes.clone()], 1, classes.len());
                    gemm(Matrix::row_major(&minus_g, rows.len(), 1), shares, T::ONE, d);
                }
                let matrix = Matrix::row_major(d, rows.len(), classes.len());
                let part = |range: &Range<usize>| range.start * inner..range.end * inner;
                if let Some(of_x) = &mut gradients[0] {
                    let of_x = &mut of_x.make_mut_for(NAME)[part(&rows)];
                    weight.product(matrix, T::ONE, of_x);
                }
                if let Some(of_weight) = &mut gradients[1] {
                    let of_weight = &mut of_weight.make_mut_for(NAME)[part(&classes)];
                    gemm(matrix.t(), x.matrix(), T::ONE, of_weight);
                }
                if let Some(Some(of_bias)) = gradients.get_mut(2) {
                    let mut sums = vec![T::ZERO; classes.len()];
                    sum(&mut sums, d, [1, rows.len(), classes.len()]);
                    let of_bias = &mut of_bias.make_mut_for(NAME)[classes];
                    zip_assign(of_bias, &sums, |so_far, sum| so_far + sum);
                }
            }
        }
        gradients.into_iter().map(|gradient| gradient.map(Tensor::from)).collect()
    }

    /// [`backward`](Call::backward) in tensor operations, which can be differentiated again.
    #[track_caller]
    pub(super) fn backward_in_operations(&self, ctx: &Context<'_, T>) -> Gradients<T> {
        let (count, classes) = (self.targets.len(), self.classes());
        let constant = Array::build(NAME, [count, classes].into(), |out| {
            for (row, out) in out.chunks_exact_mut(classes.max(1)).enumerate() {
                match &self.shares {
                    Some(shares) => out.copy_from_slice(shares),
                    None => out.fill(T::ZERO),
                }
                out[self.targets[row]] += self.own[row];
            }
        });
        let column = |values: &[T]| Array::from_slice_for(NAME, [count, 1].into(), values);
        let sums = Tensor::from(column(&self.own)) + self.total();
        let p = self.x.linear(self.weight.clone(), self.bias.as_ref()).softmax(1);
        let d = (p * sums - Tensor::from(constant)) * ctx.grad().reshape([count, 1]);
        let mut gradients = Gradients::from_iter([
            ctx.needs(0).then(|| times_weight(&d, &self.weight)),
            ctx.needs(1).then(|| d.transpose(0, 1).matmul(&self.x)),
        ]);
        if self.bias.is_some() {
            gradients.push(ctx.needs(2).then(|| d.sum_dim(0)));
        }
        gradients
    }

    fn classes(&self) -> usize {
        self.weight.shape()[0]
    }

    /// The sum of the shares.
    fn total(&self) -> T {
        self.shares.as_deref().map_or(T::ZERO, sum_row)
    }

    /// These rows of `x` and of the weight.
    fn operands(&self, rows: &Range<usize>, classes: &Range<usize>) -> (Array<T>, Stored<T>) {
        let x = &self.x.array;
        let x = x.with_layout(x.layout().slice(0, rows.start, rows.len(), 1));
        (x, self.weight.value.rows(classes))
    }

    /// The logits of rows `x` for `classes`, whose rows of the weight are `weight`.
    #[track_caller]
    fn logits(&self, x: &Array<T>, weight: &Stored<T>, classes: &Range<usize>) -> Array<T> {
        #[expect(clippy::manual_map, reason = "a closure would hide the caller")]
        let bias = match &self.bias {
            Some(bias) => Some(bias.array.contiguous(NAME)),
            None => None,
        };
        Array::build(NAME, [x.shape()[0], classes.len()].into(), |out| {
            let beta = match &bias {
                Some(bias) => {
                    repeat_row(out, &bias.contiguous_slice()[classes.clone()]);
                    T::ONE
                }
                None => T::ZERO,
            };
            weight.transpose().product(x.matrix(), beta, out);
        })
    }

    /// The rows of a block whose targets are among its classes, counted from its first row, and
    /// where in the block the target's logit is.
    fn targets_within(
        &self,
        rows: &Range<usize>,
        classes: &Range<usize>,
    ) -> impl Iterator<Item = (usize, usize)> {
        let (start, width) = (classes.start, classes.len());
        let targets = self.targets[rows.clone()].iter().enumerate();
        let within = targets.filter(move |&(_, &target)| target.wrapping_sub(start) < width);
        within.map(move |(row, target)| (row, row * width + (target - start)))
    }
}

/// `0..len` in nearly equal blocks of at most [`BLOCK`].
fn blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    let size = len.div_ceil(len.div_ceil(BLOCK).max(1)).max(1);
    (0..len).step_by(size).map(move |start| start..(start + size).min(len))
}
