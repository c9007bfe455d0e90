//! Scaled dot-product attention.
//!
//! One operation that never holds all scores: forward keeps two values for each row of them, and
//! backward recomputes them, a block of queries at a time.

use crate::arrays::array::{Array, with_room};
use crate::arrays::keepdim::keepdim;
use crate::arrays::mask::Mask;
use crate::arrays::shape::Shape;
use crate::ops::matrix::attention_options::AttentionOptions;
use crate::state::generator::{Generator, MaskRows};
use crate::tape::context::Context;
use crate::tape::mode::is_pass_recorded;
use crate::tape::node::Gradients;
use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use adamant_kernels::{
    self as kernels, Attention, AttentionGradients, Float, RowStats, WeightDropout,
    first_blind_query,
};
use smallvec::SmallVec;

const NAME: &str = "scaled_dot_product_attention";

/// `softmax(scale · q kᵀ + bias) v`: for each query a mean of the values, weighted by how well
/// their keys match it: `[…, L, E], […, S, E], […, S, Ev] → […, L, Ev]`, where the leading
/// dimensions broadcast.
///
/// The scores `[…, L, S]` are never all in memory, not even for the gradients (except for the
/// gradient of a bias, and for gradients that are to be differentiated again). The mask of a
/// dropout is regenerated where it is needed.
///
/// PyTorch: `torch.nn.functional.scaled_dot_product_attention`.
///
/// # Panics
/// If the shapes do not fit, or a query may look at no key, so that its mean would have no terms.
///
/// ```
/// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention};
/// let (q, k) = (Tensor::<f32>::zeros([2, 4]), Tensor::zeros([2, 4]));
/// let v = Tensor::from([[1.0], [3.0]]);
/// let y = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default());
/// assert_eq!(y.to_vec(), [2.0, 2.0]);
/// let y = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default().causal(true));
/// assert_eq!(y.to_vec(), [1.0, 2.0]);
/// ```
#[must_use]
#[track_caller]
pub fn scaled_dot_product_attention<T: Float>(
    q: &Tensor<T>,
    k: &Tensor<T>,
    v: &Tensor<T>,
    options: AttentionOptions<'_, T>,
) -> Tensor<T> {
    let mut call = AttentionCall::new(q, k, v, &options);
    call.check_rows();
    call.dropout = options.dropout.map(draw);
    let (value, stats) = call.value([q, k, v]);
    let inputs: SmallVec<[&Tensor<T>; 4]> = [q, k, v].into_iter().chain(options.bias).collect();
    let (q, k, v, bias) = (q.clone(), k.clone(), v.clone(), options.bias.cloned());
    let out = value.clone();
    record_many(NAME, &inputs, value, move |ctx| {
        if is_pass_recorded() {
            call.backward_in_operations(ctx, [&q, &k, &v], bias.as_ref())
        } else {
            call.backward(ctx, [&q, &k, &v], &out, &stats)
        }
    })
}

/// [`scaled_dot_product_attention`], and the weights of its means, `[…, L, S]`, after the dropout:
/// `[…, L, E], […, S, E], […, S, Ev] → […, L, Ev], […, L, S]`.
///
/// All weights are in memory, and for gradients the scores too: this is for inspecting weights, not
/// for long sequences.
///
/// PyTorch: what `torch.nn.MultiheadAttention` computes with `need_weights=True`.
///
/// # Panics
/// As [`scaled_dot_product_attention`].
///
/// ```
/// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention_with_weights};
/// let (q, k) = (Tensor::<f32>::zeros([1, 4]), Tensor::zeros([2, 4]));
/// let (v, options) = (Tensor::from([[1.0], [3.0]]), AttentionOptions::default());
/// let (y, weights) = scaled_dot_product_attention_with_weights(&q, &k, &v, options);
/// assert_eq!((y.to_vec(), weights.to_vec()), (vec![2.0], vec![0.5, 0.5]));
/// ```
#[must_use]
#[track_caller]
pub fn scaled_dot_product_attention_with_weights<T: Float>(
    q: &Tensor<T>,
    k: &Tensor<T>,
    v: &Tensor<T>,
    options: AttentionOptions<'_, T>,
) -> (Tensor<T>, Tensor<T>) {
    let mut call = AttentionCall::new(q, k, v, &options);
    call.check_rows();
    call.dropout = options.dropout.map(draw);
    let [l, s, ..] = call.sizes;
    let weights = call.dropped(&call.weights(q, k, options.bias));
    let weights = weights.broadcast_to(of(&call.batch, [l, s]));
    (weights.matmul(v), weights)
}

/// The mask of a dropout with probability `p`.
fn draw<T: Float>((p, rng): (f64, &mut Generator)) -> MaskRows<T> {
    let keep = if p == 1.0 { 0.0 } else { 1.0 / (1.0 - p) };
    MaskRows::draw(rng, p, T::from_f64(keep))
}

/// The sizes of one call, and what changes its scores.
struct AttentionCall<T: Float> {
    batch: Shape,
    /// L, S, E, Ev
    sizes: [usize; 4],
    scale: f64,
    causal: bool,
    mask: Option<Mask>,
    bias: Option<Array<T>>,
    dropout: Option<MaskRows<T>>,
}

impl<T: Float> AttentionCall<T> {
    #[track_caller]
    fn new(q: &Tensor<T>, k: &Tensor<T>, v: &Tensor<T>, options: &AttentionOptions<'_, T>) -> Self {
        let (sq, sk, sv) = (q.array.shape(), k.array.shape(), v.array.shape());
        let matrix = |shape: &Shape| shape.len().checked_sub(2).map(|d| [shape[d], shape[d + 1]]);
        let (Some([l, e]), Some([s, ek]), Some([sv_, ev])) = (matrix(sq), matrix(sk), matrix(sv))
        else {
            panic!(
                "{NAME}: queries of shape {sq}, keys of {sk}, values of {sv}; expected \
                 […, L, E], […, S, E] and […, S, Ev]"
            )
        };
        assert!(
            e == ek && e > 0,
            "{NAME}: queries of shape {sq} and keys of shape {sk}: the last dimensions must be \
             equal, and not 0"
        );
        assert!(
            s == sv_,
            "{NAME}: keys of shape {sk} and values of shape {sv}: a value for each key, so the \
             second dimensions from the end must be equal"
        );
        let batch = lead(sq).broadcast(&lead(sk)).and_then(|both| both.broadcast(&lead(sv)));
        let Some(batch) = batch else {
            panic!(
                "{NAME}: queries of shape {sq}, keys of {sk}, values of {sv}: the leading \
                 dimensions do not broadcast"
            )
        };
        let scores = of(&batch, [l, s]);
        for (what, shape) in [
            ("mask", options.mask.map(|mask| mask.array.shape())),
            ("bias", options.bias.map(|bias| bias.array.shape())),
        ] {
            if let Some(shape) = shape {
                assert!(
                    shape.broadcast(&scores).as_ref() == Some(&scores),
                    "{NAME}: a {what} of shape {shape} does not broadcast to the scores of \
                     queries of shape {sq} and keys of shape {sk}, which are {scores}"
                );
            }
        }
        AttentionCall {
            batch,
            sizes: [l, s, e, ev],
            scale: options.scale.unwrap_or(1.0 / (e as f64).sqrt()),
            causal: options.causal,
            mask: options.mask.cloned(),
            bias: options.bias.map(|bias| bias.array.clone()),
            dropout: None,
        }
    }

    /// Panics if a query may look at no key.
    #[track_caller]
    fn check_rows(&self) {
        let [l, s, ..] = self.sizes;
        if self.mask.is_none() && self.bias.is_none() && s > 0 {
            return; // each query sees at least the first key
        }
        // Only the leading dimensions that mask or bias have are searched.
        let shapes = [
            self.mask.as_ref().map(|mask| mask.array.shape()),
            self.bias.as_ref().map(|bias| bias.shape()),
        ];
        let leads = shapes.into_iter().flatten().map(lead);
        let batch = leads.reduce(|a, b| a.broadcast(&b).expect("both broadcast to the scores"));
        let batch = batch.unwrap_or_default();
        let shape = of(&batch, [l, s]);
        let mask = self.mask.as_ref().map(|mask| mask.array.broadcast_to(&shape));
        let bias = self.bias.as_ref().map(|bias| bias.broadcast_to(&shape));
        let (mask, bias) =
            (mask.as_ref().map(Array::strided_slice), bias.as_ref().map(Array::strided_slice));
        let Some((mut position, query)) =
            first_blind_query(&batch, [l, s], self.causal, mask, bias)
        else {
            return;
        };
        let mut at = vec![query];
        for &size in batch.iter().rev() {
            at.insert(0, position % size);
            position /= size;
        }
        panic!(
            "{NAME}: query {at:?} of the scores, which are {shape}, may look at no key: the mask \
             must leave it at least one"
        );
    }

    /// Calls `f` with the arguments of the kernels.
    fn with<R>(&self, inputs: [&Tensor<T>; 3], f: impl FnOnce(&Attention<'_, T>) -> R) -> R {
        let [l, s, e, ev] = self.sizes;
        let seen = |x: &Tensor<T>, size| x.array.broadcast_to(&of(&self.batch, size));
        let [q, k, v] = inputs;
        let (q, k, v) = (seen(q, [l, e]), seen(k, [s, e]), seen(v, [s, ev]));
        let scores = of(&self.batch, [l, s]);
        let mask = self.mask.as_ref().map(|mask| mask.array.broadcast_to(&scores));
        let bias = self.bias.as_ref().map(|bias| bias.broadcast_to(&scores));
        f(&Attention {
            batch: &self.batch,
            sizes: self.sizes,
            inputs: [q.strided_slice(), k.strided_slice(), v.strided_slice()],
            scale: T::from_f64(self.scale),
            causal: self.causal,
            mask: mask.as_ref().map(Array::strided_slice),
            bias: bias.as_ref().map(Array::strided_slice),
            dropout: self.dropout.as_ref().map(|dropout| dropout as &dyn WeightDropout<T>),
        })
    }

    #[track_caller]
    fn value(&self, inputs: [&Tensor<T>; 3]) -> (Array<T>, Vec<RowStats<T>>) {
        let [l, _, _, ev] = self.sizes;
        let rows = self.batch.numel() * l;
        let mut stats = with_room(NAME, rows);
        stats.resize(rows, [T::ZERO; 2]);
        let value = Array::build(NAME, of(&self.batch, [l, ev]), |out| {
            self.with(inputs, |attention| kernels::attention(out, &mut stats, attention));
        });
        (value, stats)
    }

    #[track_caller]
    fn backward(
        &self,
        ctx: &Context<'_, T>,
        inputs: [&Tensor<T>; 3],
        out: &Array<T>,
        stats: &[RowStats<T>],
    ) -> Gradients<T> {
        let [l, s, e, ev] = self.sizes;
        let g = ctx.grad().array.contiguous(NAME);
        let wants_bias = self.bias.is_some() && ctx.needs(3);
        let bias_shape = if wants_bias { of(&self.batch, [l, s]) } else { [0].into() };
        let zeros = |shape| Array::full_for(NAME, shape, T::ZERO);
        let [mut q, mut k, mut v] =
            [[l, e], [s, e], [s, ev]].map(|size| zeros(of(&self.batch, size)));
        let mut bias = zeros(bias_shape);
        let gradients = AttentionGradients {
            q: q.make_mut_for(NAME),
            k: k.make_mut_for(NAME),
            v: v.make_mut_for(NAME),
            bias: bias.make_mut_for(NAME),
        };
        self.with(inputs, |attention| {
            kernels::attention_backward(
                gradients,
                g.contiguous_slice(),
                out.contiguous_slice(),
                stats,
                attention,
            );
        });
        let all = [q, k, v, bias].into_iter().take(ctx.parents().len());
        all.enumerate().map(|(i, x)| ctx.broadcast_back(i, || x.into())).collect()
    }

    /// [`backward`](AttentionCall::backward) in tensor operations, which can be differentiated
    /// again.
    fn backward_in_operations(
        &self,
        ctx: &Context<'_, T>,
        [q, k, v]: [&Tensor<T>; 3],
        bias: Option<&Tensor<T>>,
    ) -> Gradients<T> {
        let (g, scale) = (ctx.grad(), T::from_f64(self.scale));
        let p = self.weights(q, k, bias);
        let (kept, dp) = (self.dropped(&p), self.dropped(&g.matmul(&v.transpose(-2, -1))));
        let ds = &p * (&dp - (&dp * &p).sum_dim(keepdim(-1)));
        let mut gradients = Gradients::from_iter([
            ctx.broadcast_back(0, || ds.matmul(k) * scale),
            ctx.broadcast_back(1, || ds.transpose(-2, -1).matmul(q) * scale),
            ctx.broadcast_back(2, || kept.transpose(-2, -1).matmul(g)),
        ]);
        if bias.is_some() {
            gradients.push(ctx.broadcast_back(3, || ds.clone()));
        }
        gradients
    }

    /// The weights `x`, `[…, L, S]`, after dropout.
    #[track_caller]
    fn dropped(&self, x: &Tensor<T>) -> Tensor<T> {
        let (Some(dropout), [l, s, ..]) = (&self.dropout, self.sizes) else {
            return x.clone();
        };
        let factors = Array::build(NAME, of(&self.batch, [l, s]), |out| {
            let rows = out.chunks_mut(s.max(1)).enumerate();
            rows.for_each(|(row, factors)| dropout.factors(row, factors));
        });
        x * Tensor::from(factors)
    }

    /// All weights of the means: `softmax(scale · q kᵀ + bias)`.
    #[track_caller]
    fn weights(&self, q: &Tensor<T>, k: &Tensor<T>, bias: Option<&Tensor<T>>) -> Tensor<T> {
        let [l, s, ..] = self.sizes;
        let mut scores = q.matmul(&k.transpose(-2, -1)) * T::from_f64(self.scale);
        if let Some(bias) = bias {
            scores += bias;
        }
        if let Some(mask) = &self.mask {
            scores = scores.masked_fill(&!mask, T::NEG_INFINITY);
        }
        if self.causal {
            let later = Array::build(NAME, [l, s].into(), |out| {
                out.iter_mut().enumerate().for_each(|(at, out)| *out = u8::from(at % s > at / s));
            });
            scores = scores.masked_fill(&Mask { array: later }, T::NEG_INFINITY);
        }
        scores.softmax(-1)
    }
}

/// The dimensions before the last two.
fn lead(shape: &Shape) -> Shape {
    shape[..shape.len().saturating_sub(2)].into()
}

/// These leading dimensions, and two more.
fn of(batch: &Shape, matrix: [usize; 2]) -> Shape {
    batch.iter().copied().chain(matrix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{GradOptions, grad, no_grad};

    fn mask(values: &[u8], shape: impl Into<Shape>) -> Mask {
        Mask::from_vec(values.iter().map(|&value| value != 0).collect(), shape).unwrap()
    }

    fn attend<'a>(x: &'a [Tensor<f64>], options: AttentionOptions<'a, f64>) -> Tensor<f64> {
        scaled_dot_product_attention(&x[0], &x[1], &x[2], options)
    }

    #[test]
    fn gradients() {
        let shapes: &[&[&[usize]]] = &[
            &[&[2, 3], &[4, 3], &[4, 2]],
            &[&[2, 1, 3, 2], &[2, 2, 2], &[1, 2, 2, 1]],
            &[&[0, 2, 3], &[0, 2, 3], &[0, 2, 3]],
            &[&[1, 1], &[1, 1], &[1, 0]],
        ];
        for shapes in shapes {
            check_op(|x| attend(x, AttentionOptions::default()), shapes, -2.0..2.0);
            check_op(|x| attend(x, AttentionOptions::default().causal(true)), shapes, -2.0..2.0);
        }
        let mask = mask(&[0, 1, 1, 0, 1, 0], [3, 2]);
        let with_bias = |x: &[Tensor<f64>]| {
            attend(x, AttentionOptions::default().mask(&mask).bias(&x[3]).scale(0.7))
        };
        // The same weights are dropped each time.
        let with_dropout = |x: &[Tensor<f64>]| {
            let rng = &mut Generator::seed(3);
            attend(x, AttentionOptions::default().bias(&x[3]).dropout(0.4, rng))
        };
        for bias in [&[2, 3, 2][..], &[3, 1], &[]] {
            check_op(with_bias, &[&[2, 3, 2], &[2, 2], &[2, 2, 2], bias], -2.0..2.0);
            check_op(with_dropout, &[&[2, 3, 2], &[2, 2], &[2, 2, 2], bias], -2.0..2.0);
        }
    }

    #[test]
    fn blocks_match_the_plain_formula() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        for (l, s) in [(150, 150), (130, 40), (65, 200)] {
            let (q, k) = (draw(&[2, 2, l, 5]), draw(&[2, 2, s, 5]));
            let (v, bias, g) = (draw(&[2, 2, s, 3]), draw(&[2, 1, l, s]), draw(&[2, 2, l, 3]));
            let seen = bias.detach().gt(-1.0) | Tensor::<f64>::eye_rectangular(l, s).gt(0.5);
            let seen = seen | Tensor::<f64>::arange(0.0, s as f64, 1.0).lt(0.5);
            for (causal, p) in [(false, 0.0), (true, 0.0), (false, 0.3), (true, 0.3)] {
                let rng = &mut Generator::seed(1);
                let options = || AttentionOptions::default().mask(&seen).bias(&bias).causal(causal);
                let mut call = AttentionCall::new(&q, &k, &v, &options());
                call.dropout = Some(MaskRows::draw(&mut rng.clone(), p, 1.0 / (1.0 - p)));
                let y = scaled_dot_product_attention(&q, &k, &v, options().dropout(p, rng));
                let z = call.dropped(&call.weights(&q, &k, Some(&bias))).matmul(&v);
                let inputs = [&q, &k, &v, &bias];
                let gradients = |y: &Tensor<f64>| {
                    grad(&(y * g.detach()).sum(), &inputs, GradOptions::default())
                };
                let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
                    assert!((a - b).abs().max().item() < 1e-12);
                };
                close(&y, &z);
                for (a, b) in gradients(&y).iter().zip(gradients(&z)) {
                    close(a, &b);
                }
            }
        }
    }

    #[test]
    fn weights_match_the_fused_operation() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        let (q, k, v) = (draw(&[2, 1, 3, 4]), draw(&[2, 5, 4]), draw(&[3, 1, 1, 5, 2]));
        let (bias, seen) = (draw(&[3, 5]), mask(&[1, 0, 1, 1, 1], [5]));
        for (causal, p) in [(false, 0.0), (true, 0.0), (true, 0.4)] {
            let options = || AttentionOptions::default().mask(&seen).bias(&bias).causal(causal);
            let rngs = [1, 1].map(Generator::seed);
            let [mut first, mut second] = rngs;
            let y = scaled_dot_product_attention(&q, &k, &v, options().dropout(p, &mut first));
            let options = options().dropout(p, &mut second);
            let (z, weights) = scaled_dot_product_attention_with_weights(&q, &k, &v, options);
            assert_eq!((z.shape(), weights.shape()), (y.shape(), &[3, 2, 2, 3, 5][..]));
            assert_eq!(first.uniform(), second.uniform());
            let inputs = [&q, &k, &v, &bias];
            let gradients =
                |y: &Tensor<f64>| grad(&y.square().sum(), &inputs, GradOptions::default());
            let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
                assert!((a - b).abs().max().item() < 1e-12);
            };
            close(&y, &z);
            close(&y, &weights.matmul(&v));
            for (a, b) in gradients(&y).iter().zip(gradients(&z)) {
                close(a, &b);
            }
            assert!(p > 0.0 || (weights.sum_dim(-1) - 1.0).abs().max().item() < 1e-12);
        }
    }

    #[test]
    fn large_scores_are_stable() {
        let q = Tensor::<f32>::from([[1e4], [-1e4]]);
        let k = Tensor::from([[1e4], [1e4], [0.0]]);
        let v = Tensor::from([[1.0], [3.0], [10.0]]);
        let y = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default());
        assert_eq!(y.to_vec(), [2.0, 10.0]);
    }

    #[test]
    fn dropout_drops_weights_and_scales_the_others() {
        let (q, v) = (Tensor::<f32>::zeros([50, 1]), Tensor::<f32>::eye(50));
        let mut rng = Generator::seed(0);
        let drop = |p, rng: &mut Generator| {
            let options = AttentionOptions::default().dropout(p, rng);
            scaled_dot_product_attention(&q, &q, &v, options).to_vec()
        };
        let half = drop(0.5, &mut rng);
        let kept = half.iter().filter(|&&y| y > 0.0).count();
        assert!((1100..1400).contains(&kept), "{kept}");
        assert!(half.iter().all(|&y| y == 0.0 || (y - 0.04).abs() < 1e-6));
        assert!(drop(1.0, &mut rng).iter().all(|&y| y == 0.0));
        let plain = scaled_dot_product_attention(&q, &q, &v, AttentionOptions::default());
        assert_eq!(no_grad(|| drop(0.0, &mut rng)), plain.to_vec());
    }

    #[test]
    #[should_panic(
        expected = "query [1, 0, 2] of the scores, which are [2, 1, 3, 2], may look at \
                               no key"
    )]
    fn a_query_without_keys_is_refused() {
        let x = Tensor::<f32>::ones([2, 4, 3, 2]);
        let y = Tensor::<f32>::ones([2, 4, 2, 2]);
        let mask = mask(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0], [2, 1, 3, 2]);
        let _ = scaled_dot_product_attention(&x, &y, &y, AttentionOptions::default().mask(&mask));
    }

    #[test]
    #[should_panic(expected = "may look at no key")]
    fn mask_and_causality_may_leave_no_key() {
        let x = Tensor::<f32>::ones([2, 2]);
        let mask = mask(&[0, 1], [2]);
        let options = AttentionOptions::default().mask(&mask).causal(true);
        let _ = scaled_dot_product_attention(&x, &x, &x, options);
    }

    #[test]
    #[should_panic(expected = "may look at no key")]
    fn a_bias_that_hides_all_keys_is_refused() {
        let x = Tensor::<f32>::ones([2, 2]);
        let bias = Tensor::full([2, 2], f32::NEG_INFINITY);
        let _ = scaled_dot_product_attention(&x, &x, &x, AttentionOptions::default().bias(&bias));
    }

    #[test]
    #[should_panic(expected = "queries of shape [2, 3] and keys of shape [2, 4]")]
    fn widths_that_differ_are_refused() {
        let (q, k) = (Tensor::<f32>::ones([2, 3]), Tensor::ones([2, 4]));
        let _ = scaled_dot_product_attention(&q, &k, &k, AttentionOptions::default());
    }
}
