//! Scaled dot-product attention, a block of queries at a time: the scores of a
//! block against all keys are all that is ever stored of the score matrix.

use crate::float::Float;
use crate::gemm::{Matrix, gemm, matrix_of};
use crate::parallel::{drain, num_threads};
use crate::simd::simd;
use crate::strided::View;
use std::fmt::Debug;

/// Queries in a block.
const ROWS: usize = 64;

/// What the scores are made of, for each place of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    /// The sizes of the leading dimensions.
    pub batch: &'a [usize],
    /// Queries L, keys S, the width of both, and that of the values.
    pub sizes: [usize; 4],
    /// Queries `[batch.., L, E]`, keys `[batch.., S, E]`, values `[batch.., S, Ev]`.
    pub inputs: [View<'a, T>; 3],
    /// What products of queries and keys are multiplied with.
    pub scale: T,
    /// Whether query `i` sees keys up to `i` only.
    pub causal: bool,
    /// `[batch.., L, S]`: 1 where a query may look at a key.
    pub mask: Option<View<'a, u8>>,
    /// `[batch.., L, S]`: what is added to the scores.
    pub bias: Option<View<'a, T>>,
    /// What drops some of the weights.
    pub dropout: Option<&'a dyn WeightDropout<T>>,
}

/// A dropout whose mask is not held but made again, a row at a time, as often as asked.
pub trait WeightDropout<T>: Debug + Sync {
    /// What the weights of query `row` (of `[batch.., L]`, counted through) are multiplied with:
    /// always the same, and no other if fewer are asked for.
    fn factors(&self, row: usize, factors: &mut [T]);
}

/// The largest score of a row, and the sum of `exp(score − largest)`.
pub type RowStats<T> = [T; 2];

/// Where the gradients go, row-major for each place of the batch.
#[derive(Debug)]
pub struct AttentionGradients<'a, T> {
    /// `[batch.., L, E]`
    pub q: &'a mut [T],
    /// `[batch.., S, E]`
    pub k: &'a mut [T],
    /// `[batch.., S, Ev]`
    pub v: &'a mut [T],
    /// `[batch.., L, S]`, or nothing where it is not wanted.
    pub bias: &'a mut [T],
}

impl<T: Float> Attention<'_, T> {
    /// The number of places in the batch.
    fn count(&self) -> usize {
        self.batch.iter().product()
    }

    /// The cost of a batch, for `products` products of `L × S` scores.
    fn cost(&self, products: usize) -> usize {
        let [l, s, e, ev] = self.sizes;
        let each = (e + ev).saturating_mul(products) / 8 + 8; // an exponential is some 8 additions
        self.count().saturating_mul(l * s).saturating_mul(each)
    }

    fn q(&self, place: usize) -> Matrix<'_, T> {
        matrix_of(self.inputs[0], self.batch, place, [self.sizes[0], self.sizes[2]])
    }

    /// The first `seen` keys.
    fn k(&self, place: usize, seen: usize) -> Matrix<'_, T> {
        matrix_of(self.inputs[1], self.batch, place, [seen, self.sizes[2]])
    }

    /// The values of the first `seen` keys.
    fn v(&self, place: usize, seen: usize) -> Matrix<'_, T> {
        matrix_of(self.inputs[2], self.batch, place, [seen, self.sizes[3]])
    }

    /// How many keys a query before `end` sees at most.
    fn seen(&self, end: usize) -> usize {
        if self.causal { end.min(self.sizes[1]) } else { self.sizes[1] }
    }

    /// `scores ←` those of `rows` queries from `start` on with the first `seen` keys;
    /// −∞ where a query may not look.
    fn scores(&self, scores: &mut [T], place: usize, start: usize, rows: usize, seen: usize) {
        let [l, s, ..] = self.sizes;
        let q = part(self.q(place), start, rows);
        gemm(q, transposed(self.k(place, seen)), T::ZERO, scores);
        let mask = self.mask.map(|mask| matrix_of(mask, self.batch, place, [l, s]));
        let bias = self.bias.map(|bias| matrix_of(bias, self.batch, place, [l, s]));
        for (i, row) in (start..).zip(scores.chunks_exact_mut(seen)) {
            row.iter_mut().for_each(|score| *score *= self.scale);
            if let Some(bias) = bias {
                for (j, score) in row.iter_mut().enumerate() {
                    *score += bias.data[i * bias.row_stride + j * bias.col_stride];
                }
            }
            if let Some(mask) = mask {
                for (j, score) in row.iter_mut().enumerate() {
                    if mask.data[i * mask.row_stride + j * mask.col_stride] == 0 {
                        *score = T::NEG_INFINITY;
                    }
                }
            }
            if self.causal && i + 1 < seen {
                row[i + 1..].fill(T::NEG_INFINITY);
            }
        }
    }
}

/// Some rows of a matrix.
fn part<T>(x: Matrix<'_, T>, start: usize, rows: usize) -> Matrix<'_, T> {
    Matrix { data: x.data.get(start * x.row_stride..).unwrap_or(&[]), rows, ..x }
}

fn transposed<T>(x: Matrix<'_, T>) -> Matrix<'_, T> {
    Matrix {
        data: x.data,
        rows: x.cols,
        cols: x.rows,
        row_stride: x.col_stride,
        col_stride: x.row_stride,
    }
}

/// A slice as a row-major matrix.
fn dense<T>(data: &[T], cols: usize) -> Matrix<'_, T> {
    Matrix { data, rows: data.len() / cols, cols, row_stride: cols, col_stride: 1 }
}

/// `x ← x ∘ by`
fn multiply<T: Float>(x: &mut [T], by: &[T]) {
    x.iter_mut().zip(by).for_each(|(x, &by)| *x *= by);
}

/// Does the pieces: each on one thread if there are enough of them, else one after the
/// other, and the products within are cut.
fn share<P: Send>(pieces: Vec<P>, cost: usize, job: impl Fn(P) + Sync) {
    if pieces.len() < num_threads() {
        pieces.into_iter().for_each(job);
    } else {
        drain(pieces.into_iter(), cost, job);
    }
}

/// `out ← (softmax(scale · q kᵀ + bias) ∘ dropout) v`, where masked scores count as −∞, for
/// each place of the batch; `stats ←` what [`attention_backward`] needs of each row.
///
/// # Panics
/// If the lengths do not fit.
///
/// ```
/// use adamant_kernels::{Attention, View, attention};
/// let view = |data| View { data, strides: &[1, 1] };
/// let (q, k, v) = ([1.0f32], [0.0, 0.0], [1.0, 3.0]);
/// let (inputs, batch) = ([view(&q), view(&k), view(&v)], &[][..]);
/// let sizes = [1, 2, 1, 1];
/// let (mask, bias, dropout) = (None, None, None);
/// let form = Attention { batch, sizes, inputs, scale: 1.0, causal: false, mask, bias, dropout };
/// let (mut out, mut stats) = ([0.0], [[0.0; 2]]);
/// attention(&mut out, &mut stats, &form);
/// assert_eq!((out, stats), ([2.0], [[0.0, 2.0]]));
/// ```
pub fn attention<T: Float>(out: &mut [T], stats: &mut [RowStats<T>], form: &Attention<'_, T>) {
    let [l, _, _, ev] = form.sizes;
    assert_eq!(
        (stats.len(), out.len()),
        (form.count() * l, form.count() * l * ev),
        "a row a query"
    );
    if out.is_empty() {
        return;
    }
    let mut pieces = Vec::new();
    for (place, (out, stats)) in out.chunks_mut(l * ev).zip(stats.chunks_mut(l)).enumerate() {
        for (i, rows) in out.chunks_mut(ROWS * ev).zip(stats.chunks_mut(ROWS)).enumerate() {
            pieces.push((place, i * ROWS, rows));
        }
    }
    share(pieces, form.cost(1), |(place, start, (out, stats))| {
        let seen = form.seen(start + stats.len());
        let mut scores = vec![T::ZERO; stats.len() * seen];
        form.scores(&mut scores, place, start, stats.len(), seen);
        for (row, stats) in scores.chunks_exact_mut(seen).zip(&mut *stats) {
            *stats = crate::softmax::exp_of_row(row);
        }
        if let Some(dropout) = form.dropout {
            let mut factors = vec![T::ZERO; seen];
            for (row, scores) in (place * l + start..).zip(scores.chunks_exact_mut(seen)) {
                dropout.factors(row, &mut factors);
                multiply(scores, &factors);
            }
        }
        gemm(dense(&scores, seen), form.v(place, seen), T::ZERO, out);
        for (row, [_, sum]) in out.chunks_exact_mut(ev).zip(stats) {
            row.iter_mut().for_each(|out| *out /= *sum);
        }
    });
}

/// The gradients of [`attention`], from that of its result, `g`, the result and its
/// `stats`: the scores are computed again.
///
/// # Panics
/// If the lengths do not fit.
pub fn attention_backward<T: Float>(
    gradients: AttentionGradients<'_, T>,
    g: &[T],
    out: &[T],
    stats: &[RowStats<T>],
    form: &Attention<'_, T>,
) {
    let [l, s, e, ev] = form.sizes;
    let AttentionGradients { q, k, v, bias } = gradients;
    let count = form.count();
    assert_eq!([q.len(), k.len(), v.len()], [count * l * e, count * s * e, count * s * ev]);
    assert_eq!([g.len(), out.len(), stats.len()], [count * l * ev, count * l * ev, count * l]);
    assert!(bias.is_empty() || bias.len() == count * l * s, "a gradient for each score");
    k.fill(T::ZERO);
    v.fill(T::ZERO);
    if g.is_empty() {
        q.fill(T::ZERO);
        bias.fill(T::ZERO);
        return;
    }
    let mut biases: Vec<&mut [T]> = bias.chunks_mut(l * s).collect();
    biases.resize_with(count, Default::default);
    let keys = k.chunks_mut(s * e).zip(v.chunks_mut(s * ev));
    let pieces: Vec<_> = q.chunks_mut(l * e).zip(keys).zip(biases).enumerate().collect();
    share(pieces, form.cost(3), |(place, ((dq, (dk, dv)), dbias))| {
        let queries = form.q(place);
        let mut p = vec![T::ZERO; ROWS.min(l) * s];
        let mut ds = p.clone();
        let mut kept = if form.dropout.is_some() { p.clone() } else { Vec::new() };
        // One block after the other adds to the gradients of keys and values: the order
        // does not depend on the threads.
        for start in (0..l).step_by(ROWS) {
            let rows = ROWS.min(l - start);
            let seen = form.seen(start + rows);
            let (p, ds) = (&mut p[..rows * seen], &mut ds[..rows * seen]);
            let at = place * l + start;
            let (g, out) = (&g[at * ev..(at + rows) * ev], &out[at * ev..(at + rows) * ev]);
            form.scores(p, place, start, rows, seen);
            simd!(|| {
                for (row, &[max, sum]) in p.chunks_exact_mut(seen).zip(&stats[at..at + rows]) {
                    row.iter_mut().for_each(|p| *p = (*p - max).exp() / sum);
                }
            });
            let g = dense(g, ev);
            gemm(g, transposed(form.v(place, seen)), T::ZERO, ds);
            // The weights as they met the values.
            let weights = if let Some(dropout) = form.dropout {
                let kept = &mut kept[..rows * seen];
                for (row, factors) in (at..).zip(kept.chunks_exact_mut(seen)) {
                    dropout.factors(row, factors);
                }
                multiply(ds, kept);
                multiply(kept, p);
                kept
            } else {
                &mut *p
            };
            gemm(transposed(dense(weights, seen)), g, T::ONE, &mut dv[..seen * ev]);
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
                let dbias = dbias[start * s..].chunks_exact_mut(s);
                for (dbias, ds) in dbias.zip(ds.chunks_exact(seen)) {
                    dbias[..seen].copy_from_slice(ds);
                    dbias[seen..].fill(T::ZERO);
                }
            }
            ds.iter_mut().for_each(|ds| *ds *= form.scale);
            let ds = dense(ds, seen);
            gemm(ds, form.k(place, seen), T::ZERO, &mut dq[start * e..(start + rows) * e]);
            gemm(transposed(ds), part(queries, start, rows), T::ONE, &mut dk[..seen * e]);
        }
    });
}

/// The first place and query that may look at no key: that are masked, or to which −∞ is
/// added. `batch` may be that of the mask and the bias alone.
#[must_use]
pub fn first_blind_query<T: Float>(
    batch: &[usize],
    [l, s]: [usize; 2],
    causal: bool,
    mask: Option<View<'_, u8>>,
    bias: Option<View<'_, T>>,
) -> Option<(usize, usize)> {
    (0..batch.iter().product()).find_map(|place| {
        let mask = mask.map(|mask| matrix_of(mask, batch, place, [l, s]));
        let bias = bias.map(|bias| matrix_of(bias, batch, place, [l, s]));
        let sees = |i: usize, j: usize| {
            mask.is_none_or(|mask| mask.data[i * mask.row_stride + j * mask.col_stride] != 0)
                && bias.is_none_or(|bias| {
                    bias.data[i * bias.row_stride + j * bias.col_stride] != T::NEG_INFINITY
                })
        };
        let keys = |i: usize| if causal { s.min(i + 1) } else { s };
        (0..l).find(|&i| !(0..keys(i)).any(|j| sees(i, j))).map(|i| (place, i))
    })
}
