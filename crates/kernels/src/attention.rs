//! Scaled dot-product attention, a block of queries at a time: only the scores of one block
//! against all keys are ever stored.

use crate::float::Float;
use crate::gemm::{Matrix, gemm, matrix_of};
use crate::parallel::{drain, num_threads};
use crate::simd::simd;
use crate::strided::View;
use std::fmt::Debug;
use std::ops::Range;

/// Queries in a block.
const ROWS: usize = 64;

/// The inputs and options of an attention, for each index of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    /// The sizes of the leading dimensions.
    pub batch: &'a [usize],
    /// The number of leading dimensions in which keys and values differ. Along the others, all
    /// attentions share them, and so their gradients.
    pub key_dims: usize,
    /// `[L, S, E, Ev]`: the numbers of queries and keys, the width of both, and that of the values.
    pub sizes: [usize; 4],
    /// Queries `[batch.., L, E]`, keys `[batch.., S, E]`, values `[batch.., S, Ev]`.
    pub inputs: [View<'a, T>; 3],
    /// The factor of the products of queries and keys.
    pub scale: T,
    /// If `Some(offset)`, query `i` attends to keys `0..=i + offset` only.
    pub causal: Option<usize>,
    /// `[batch.., L, S]`: 1 where a query may attend to a key.
    pub mask: Option<View<'a, u8>>,
    /// `[batch.., L, S]`: added to the scores.
    pub bias: Option<View<'a, T>>,
    /// Drops some of the weights.
    pub dropout: Option<&'a dyn WeightDropout<T>>,
}

/// A dropout that does not store its mask but recomputes it, a row at a time.
pub trait WeightDropout<T>: Debug + Sync {
    /// Writes the factors of the weights of query `row`, a row-major position in `[batch.., L]`.
    ///
    /// Every call with the same `row` must write the same values; a shorter slice receives the
    /// first of them.
    fn factors(&self, row: usize, factors: &mut [T]);
}

/// The largest score of a row, and the sum of `exp(score − largest)`.
pub type RowStats<T> = [T; 2];

/// The buffers for the gradients, row-major.
#[derive(Debug)]
pub struct AttentionGradients<'a, T> {
    /// `[batch.., L, E]`
    pub q: &'a mut [T],
    /// `[batch[..key_dims].., S, E]`
    pub k: &'a mut [T],
    /// `[batch[..key_dims].., S, Ev]`
    pub v: &'a mut [T],
    /// `[batch.., L, S]`, or empty if it is not needed.
    pub bias: &'a mut [T],
}

impl<T: Float> Attention<'_, T> {
    /// The number of attentions in the batch.
    fn count(&self) -> usize {
        self.batch.iter().product()
    }

    /// The number of different sets of keys and values, and of attentions that share each set.
    fn groups(&self) -> [usize; 2] {
        let (own, shared) = self.batch.split_at(self.key_dims);
        [own, shared].map(|sizes| sizes.iter().product())
    }

    /// The cost of the batch with `products` matrix products per score matrix.
    fn cost(&self, products: usize) -> usize {
        let [l, s, e, ev] = self.sizes;
        let each = (e + ev).saturating_mul(products) / 8 + 8; // an exponential: about 8 additions
        self.count().saturating_mul(l * s).saturating_mul(each)
    }

    /// Some queries at position `at` of the batch.
    fn q(&self, at: usize, queries: Range<usize>) -> Matrix<'_, T> {
        let [l, _, e, _] = self.sizes;
        matrix_of(self.inputs[0], self.batch, at, [l, e]).part(queries, 0..e)
    }

    /// The first `seen` keys.
    fn k(&self, at: usize, seen: usize) -> Matrix<'_, T> {
        matrix_of(self.inputs[1], self.batch, at, [seen, self.sizes[2]])
    }

    /// The values of the first `seen` keys.
    fn v(&self, at: usize, seen: usize) -> Matrix<'_, T> {
        matrix_of(self.inputs[2], self.batch, at, [seen, self.sizes[3]])
    }

    /// The number of keys that query `i` may attend to: the first ones.
    fn seen(&self, i: usize) -> usize {
        seen(self.causal, self.sizes[1], i)
    }

    /// `scores ←` the scores of `rows` queries from query `start` with the first `seen` keys; −∞
    /// where a query does not attend to a key.
    fn scores(&self, scores: &mut [T], at: usize, start: usize, rows: usize, seen: usize) {
        let [l, s, ..] = self.sizes;
        gemm(self.q(at, start..start + rows), self.k(at, seen).t(), T::ZERO, scores);
        let mask = self.mask.map(|mask| matrix_of(mask, self.batch, at, [l, s]));
        let bias = self.bias.map(|bias| matrix_of(bias, self.batch, at, [l, s]));
        for (i, row) in (start..).zip(scores.chunks_exact_mut(seen)) {
            row.iter_mut().for_each(|score| *score *= self.scale);
            if let Some(bias) = bias {
                for (j, score) in row.iter_mut().enumerate() {
                    *score += bias.at(i, j);
                }
            }
            if let Some(mask) = mask {
                for (j, score) in row.iter_mut().enumerate() {
                    if mask.at(i, j) == 0 {
                        *score = T::NEG_INFINITY;
                    }
                }
            }
            row[self.seen(i).min(seen)..].fill(T::NEG_INFINITY);
        }
    }
}

/// The number of the `s` keys that query `i` may attend to: the first ones.
fn seen(causal: Option<usize>, s: usize, i: usize) -> usize {
    causal.map_or(s, |offset| offset.saturating_add(i + 1).min(s))
}

/// Rows of `cols` elements as a matrix.
fn dense<T>(data: &[T], cols: usize) -> Matrix<'_, T> {
    Matrix::row_major(data, data.len() / cols, cols)
}

/// `x ← x ∘ by`
fn multiply<T: Float>(x: &mut [T], by: &[T]) {
    x.iter_mut().zip(by).for_each(|(x, &by)| *x *= by);
}

/// Runs `job` on the pieces: one piece per thread if there are enough of them, else in sequence,
/// with parallel products within each.
fn share<P: Send>(pieces: Vec<P>, cost: usize, job: impl Fn(P) + Sync) {
    if pieces.len() < num_threads() {
        pieces.into_iter().for_each(job);
    } else {
        drain(pieces.into_iter(), cost, job);
    }
}

/// `out ← (softmax(scale · q kᵀ + bias) ∘ dropout) v`, where masked scores count as −∞, for each
/// index of the batch; `stats ←` the row statistics that [`attention_backward`] needs.
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// use adamant_kernels::{Attention, View, attention};
/// let view = |data| View { data, strides: &[1, 1] };
/// let (q, k, v) = ([1.0f32], [0.0, 0.0], [1.0, 3.0]);
/// let (inputs, batch) = ([view(&q), view(&k), view(&v)], &[][..]);
/// let sizes = [1, 2, 1, 1];
/// let (key_dims, causal, mask, bias, dropout) = (0, None, None, None, None);
/// let scale = 1.0;
/// let problem =
///     Attention { batch, key_dims, sizes, inputs, scale, causal, mask, bias, dropout };
/// let (mut out, mut stats) = ([0.0], [[0.0; 2]]);
/// attention(&mut out, &mut stats, &problem);
/// assert_eq!((out, stats), ([2.0], [[0.0, 2.0]]));
/// ```
pub fn attention<T: Float>(out: &mut [T], stats: &mut [RowStats<T>], problem: &Attention<'_, T>) {
    let [l, _, _, ev] = problem.sizes;
    assert_eq!(
        (stats.len(), out.len()),
        (problem.count() * l, problem.count() * l * ev),
        "one row for each query"
    );
    if out.is_empty() {
        return;
    }
    let mut pieces = Vec::new();
    for (at, (out, stats)) in out.chunks_mut(l * ev).zip(stats.chunks_mut(l)).enumerate() {
        for (i, rows) in out.chunks_mut(ROWS * ev).zip(stats.chunks_mut(ROWS)).enumerate() {
            pieces.push((at, i * ROWS, rows));
        }
    }
    share(pieces, problem.cost(1), |(at, start, (out, stats))| {
        let seen = problem.seen(start + stats.len() - 1);
        let mut scores = vec![T::ZERO; stats.len() * seen];
        problem.scores(&mut scores, at, start, stats.len(), seen);
        for (row, stats) in scores.chunks_exact_mut(seen).zip(&mut *stats) {
            *stats = crate::softmax::exp_of_row(row);
        }
        if let Some(dropout) = problem.dropout {
            let mut factors = vec![T::ZERO; seen];
            for (row, scores) in (at * l + start..).zip(scores.chunks_exact_mut(seen)) {
                dropout.factors(row, &mut factors);
                multiply(scores, &factors);
            }
        }
        gemm(dense(&scores, seen), problem.v(at, seen), T::ZERO, out);
        for (row, [_, sum]) in out.chunks_exact_mut(ev).zip(stats) {
            row.iter_mut().for_each(|out| *out /= *sum);
        }
    });
}

/// The gradients of [`attention`], from the gradient `g` of its result, the result and its `stats`.
/// Recomputes the scores.
///
/// # Panics
/// If the lengths do not match.
pub fn attention_backward<T: Float>(
    gradients: AttentionGradients<'_, T>,
    g: &[T],
    out: &[T],
    stats: &[RowStats<T>],
    problem: &Attention<'_, T>,
) {
    let [l, s, e, ev] = problem.sizes;
    let AttentionGradients { q, k, v, bias } = gradients;
    let count = problem.count();
    let [groups, shared] = problem.groups();
    assert_eq!([q.len(), k.len(), v.len()], [count * l * e, groups * s * e, groups * s * ev]);
    assert_eq!([g.len(), out.len(), stats.len()], [count * l * ev, count * l * ev, count * l]);
    assert!(bias.is_empty() || bias.len() == count * l * s, "a gradient for each score");
    k.fill(T::ZERO);
    v.fill(T::ZERO);
    if g.is_empty() {
        q.fill(T::ZERO);
        bias.fill(T::ZERO);
        return;
    }
    // Attentions that share keys are one piece, and so are their blocks of queries: they add to the
    // gradients of keys and values in sequence, so the order does not depend on the threads.
    let mut biases: Vec<&mut [T]> = bias.chunks_mut(shared * l * s).collect();
    biases.resize_with(groups, Default::default);
    let keys = k.chunks_mut(s * e).zip(v.chunks_mut(s * ev));
    let pieces: Vec<_> = q.chunks_mut(shared * l * e).zip(keys).zip(biases).enumerate().collect();
    share(pieces, problem.cost(3), |(group, ((dq, (dk, dv)), dbias))| {
        let mut p = vec![T::ZERO; ROWS.min(l) * s];
        let mut ds = p.clone();
        let mut kept = if problem.dropout.is_some() { p.clone() } else { Vec::new() };
        let blocks = (0..shared).flat_map(|i| (0..l).step_by(ROWS).map(move |start| (i, start)));
        for (i, start) in blocks {
            let (at, rows) = (group * shared + i, ROWS.min(l - start));
            let seen = problem.seen(start + rows - 1);
            let (p, ds) = (&mut p[..rows * seen], &mut ds[..rows * seen]);
            // The block's first query, counted in the batch and in the group.
            let (row, own) = (at * l + start, i * l + start);
            let (g, out) = (&g[row * ev..(row + rows) * ev], &out[row * ev..(row + rows) * ev]);
            problem.scores(p, at, start, rows, seen);
            simd!(|| {
                for (p, &[max, sum]) in p.chunks_exact_mut(seen).zip(&stats[row..row + rows]) {
                    p.iter_mut().for_each(|p| *p = (*p - max).exp() / sum);
                }
            });
            let g = dense(g, ev);
            gemm(g, problem.v(at, seen).t(), T::ZERO, ds);
            // The weights after dropout, as they multiplied the values.
            let weights = if let Some(dropout) = problem.dropout {
                let kept = &mut kept[..rows * seen];
                for (row, factors) in (row..).zip(kept.chunks_exact_mut(seen)) {
                    dropout.factors(row, factors);
                }
                multiply(ds, kept);
                multiply(kept, p);
                kept
            } else {
                &mut *p
            };
            gemm(dense(weights, seen).t(), g, T::ONE, &mut dv[..seen * ev]);
            let rows_of_g = g.data.chunks_exact(ev).zip(out.chunks_exact(ev));
            let rows_of_p = ds.chunks_exact_mut(seen).zip(p.chunks_exact(seen));
            simd!(|| {
                for ((ds, p), (g, out)) in rows_of_p.zip(rows_of_g) {
                    // Σ p · dp over the keys
                    let products = g.iter().zip(out);
                    let mean = products.fold(T::ZERO, |sum, (&g, &out)| g.mul_add(out, sum));
                    ds.iter_mut().zip(p).for_each(|(ds, &p)| *ds = p * (*ds - mean));
                }
            });
            if !dbias.is_empty() {
                let dbias = dbias[own * s..].chunks_exact_mut(s);
                for (dbias, ds) in dbias.zip(ds.chunks_exact(seen)) {
                    dbias[..seen].copy_from_slice(ds);
                    dbias[seen..].fill(T::ZERO);
                }
            }
            ds.iter_mut().for_each(|ds| *ds *= problem.scale);
            let ds = dense(ds, seen);
            gemm(ds, problem.k(at, seen), T::ZERO, &mut dq[own * e..(own + rows) * e]);
            gemm(ds.t(), problem.q(at, start..start + rows), T::ONE, &mut dk[..seen * e]);
        }
    });
}

/// The batch position and index of the first query that attends to no key, because every score is
/// masked or has a bias of −∞. `batch` can be the batch of the mask and the bias alone.
#[must_use]
pub fn first_blind_query<T: Float>(
    batch: &[usize],
    [l, s]: [usize; 2],
    causal: Option<usize>,
    mask: Option<View<'_, u8>>,
    bias: Option<View<'_, T>>,
) -> Option<(usize, usize)> {
    (0..batch.iter().product()).find_map(|at| {
        let mask = mask.map(|mask| matrix_of(mask, batch, at, [l, s]));
        let bias = bias.map(|bias| matrix_of(bias, batch, at, [l, s]));
        let sees = |i: usize, j: usize| {
            mask.is_none_or(|mask| mask.at(i, j) != 0)
                && bias.is_none_or(|bias| bias.at(i, j) != T::NEG_INFINITY)
        };
        (0..l).find(|&i| !(0..seen(causal, s, i)).any(|j| sees(i, j))).map(|i| (at, i))
    })
}
