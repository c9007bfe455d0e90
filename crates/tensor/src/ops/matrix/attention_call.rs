//! One call of scaled dot-product attention: its sizes, and the formulas of value and gradients.

use crate::arrays::array::{Array, with_room};
use crate::arrays::keepdim::keepdim;
use crate::arrays::mask::Mask;
use crate::arrays::shape::Shape;
use crate::ops::matrix::attention_groups::HeadGroups;
use crate::ops::matrix::attention_options::AttentionOptions;
use crate::state::generator::MaskRows;
use crate::tape::context::Context;
use crate::tape::node::Gradients;
use crate::tape::tensor::Tensor;
use adamant_kernels::{
    self as kernels, Attention, AttentionGradients, Element, Float, RowStats, WeightDropout,
    first_blind_query,
};

pub(super) const NAME: &str = "scaled_dot_product_attention";

/// The sizes of one call, and what changes its scores.
///
/// If there are groups of heads, kernels and formulas see the dimension of heads "split" into two,
/// along the second of which keys and values broadcast.
pub(super) struct AttentionCall<T: Float> {
    /// The leading dimensions of the result.
    batch: Shape,
    /// L, S, E, Ev
    sizes: [usize; 4],
    groups: Option<HeadGroups>,
    scale: f64,
    /// If `Some(offset)`, query `i` attends to keys `0..=i + offset` only.
    causal: Option<usize>,
    mask: Option<Mask>,
    bias: Option<Array<T>>,
    pub(super) dropout: Option<MaskRows<T>>,
}

impl<T: Float> AttentionCall<T> {
    #[track_caller]
    pub(super) fn new(
        q: &Tensor<T>,
        k: &Tensor<T>,
        v: &Tensor<T>,
        options: &AttentionOptions<'_, T>,
    ) -> Self {
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
        let groups = if options.enable_gqa { Some(HeadGroups::new(sq, sk, sv)) } else { None };
        let keys = |shape: &Shape| match &groups {
            Some(groups) => lead(&groups.repeated(shape)),
            None => lead(shape),
        };
        let batch = lead(sq).broadcast(&keys(sk)).and_then(|both| both.broadcast(&keys(sv)));
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
            groups,
            scale: options.scale.unwrap_or(1.0 / (e as f64).sqrt()),
            causal: options.causal.then_some(options.causal_offset),
            mask: options.mask.cloned(),
            bias: options.bias.map(|bias| bias.array.clone()),
            dropout: None,
        }
    }

    /// Panics if a query may look at no key.
    #[track_caller]
    pub(super) fn check_rows(&self) {
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
        let [q, k, v] = inputs.map(|x| &x.array);
        let (q, k, v) = (self.view(q, [l, e]), self.view(k, [s, e]), self.view(v, [s, ev]));
        let mask = self.mask.as_ref().map(|mask| self.view(&mask.array, [l, s]));
        let bias = self.bias.as_ref().map(|bias| self.view(bias, [l, s]));
        f(&Attention {
            batch: &lead(q.shape()),
            key_dims: self.key_dims(inputs),
            sizes: self.sizes,
            inputs: [q.strided_slice(), k.strided_slice(), v.strided_slice()],
            scale: T::from_f64(self.scale),
            causal: self.causal,
            mask: mask.as_ref().map(Array::strided_slice),
            bias: bias.as_ref().map(Array::strided_slice),
            dropout: self.dropout.as_ref().map(|dropout| dropout as &dyn WeightDropout<T>),
        })
    }

    /// `x` broadcast to the whole batch of matrices of this size, split.
    fn view<E: Element>(&self, x: &Array<E>, matrix: [usize; 2]) -> Array<E> {
        let x = x.reshape(NAME, self.split(x.shape())); // never copies: it splits a dimension
        x.broadcast_to(&self.split(&of(&self.batch, matrix)))
    }

    /// `shape` with the dimension of heads as two, if there are groups of them.
    fn split(&self, shape: &Shape) -> Shape {
        self.groups.as_ref().map_or_else(|| shape.clone(), |groups| groups.split(shape))
    }

    fn split_tensor(&self, x: &Tensor<T>) -> Tensor<T> {
        if self.groups.is_none() { x.clone() } else { x.reshape(self.split(x.array.shape())) }
    }

    /// The number of leading dimensions, split, in which keys or values differ.
    fn key_dims(&self, [_, k, v]: [&Tensor<T>; 3]) -> usize {
        let dims = self.split(&of(&self.batch, [1, 1])).len() - 2;
        let own = |x: &Tensor<T>| {
            let sizes = lead(&self.split(x.array.shape()));
            sizes.iter().rev().position(|&size| size != 1).map_or(0, |shared| dims - shared)
        };
        own(k).max(own(v))
    }

    #[track_caller]
    pub(super) fn value(&self, inputs: [&Tensor<T>; 3]) -> (Array<T>, Vec<RowStats<T>>) {
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
    pub(super) fn backward(
        &self,
        ctx: &Context<'_, T>,
        inputs: [&Tensor<T>; 3],
        out: &Array<T>,
        stats: &[RowStats<T>],
    ) -> Gradients<T> {
        let [l, s, e, ev] = self.sizes;
        let g = ctx.grad().array.contiguous(NAME);
        let wants_bias = self.bias.is_some() && ctx.needs(3);
        let batch = lead(&self.split(&of(&self.batch, [l, s])));
        let mut key_batch = batch.clone();
        for dim in self.key_dims(inputs)..batch.len() {
            key_batch = key_batch.with_size(dim, 1);
        }
        let zeros = |shape| Array::full_for(NAME, shape, T::ZERO);
        let mut q = zeros(of(&batch, [l, e]));
        let mut k = zeros(of(&key_batch, [s, e]));
        let mut v = zeros(of(&key_batch, [s, ev]));
        let mut bias = zeros(if wants_bias { of(&batch, [l, s]) } else { [0].into() });
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
        all.enumerate().map(|(i, x)| self.back(ctx, i, || x.into())).collect()
    }

    /// The gradient of input `i`: `gradient()`, which is split, summed to the input's shape if the
    /// operation broadcast it. `None` if it is not needed.
    #[track_caller]
    fn back(
        &self,
        ctx: &Context<'_, T>,
        i: usize,
        gradient: impl FnOnce() -> Tensor<T>,
    ) -> Option<Tensor<T>> {
        let shape = &ctx.parents()[i].as_ref()?.shape;
        let gradient = gradient().sum_to(&self.split(shape));
        Some(if self.groups.is_none() { gradient } else { gradient.reshape(shape) })
    }

    /// [`backward`](AttentionCall::backward) in tensor operations, which can be differentiated
    /// again.
    pub(super) fn backward_in_operations(
        &self,
        ctx: &Context<'_, T>,
        [q, k, v]: [&Tensor<T>; 3],
        bias: Option<&Tensor<T>>,
    ) -> Gradients<T> {
        let (g, scale) = (&self.split_tensor(ctx.grad()), T::from_f64(self.scale));
        let p = self.weights(q, k, bias);
        let [q, k, v] = &[q, k, v].map(|x| self.split_tensor(x));
        let (kept, dp) = (self.dropped(&p), self.dropped(&g.matmul(&v.transpose(-2, -1))));
        let ds = &p * (&dp - (&dp * &p).sum_dim(keepdim(-1)));
        let mut gradients = Gradients::from_iter([
            self.back(ctx, 0, || ds.matmul(k) * scale),
            self.back(ctx, 1, || ds.transpose(-2, -1).matmul(q) * scale),
            self.back(ctx, 2, || kept.transpose(-2, -1).matmul(g)),
        ]);
        if bias.is_some() {
            gradients.push(self.back(ctx, 3, || ds.clone()));
        }
        gradients
    }

    /// The value and the weights after dropout, `[…, L, Ev]` and `[…, L, S]`, in tensor operations.
    #[track_caller]
    pub(super) fn in_operations(
        &self,
        [q, k, v]: [&Tensor<T>; 3],
        bias: Option<&Tensor<T>>,
    ) -> [Tensor<T>; 2] {
        let [l, s, _, ev] = self.sizes;
        let weights = self.dropped(&self.weights(q, k, bias));
        let weights = weights.broadcast_to(self.split(&of(&self.batch, [l, s])));
        let value = weights.matmul(&self.split_tensor(v));
        if self.groups.is_none() {
            return [value, weights];
        }
        [value.reshape(of(&self.batch, [l, ev])), weights.reshape(of(&self.batch, [l, s]))]
    }

    /// The weights `x`, split `[…, L, S]`, after dropout.
    #[track_caller]
    fn dropped(&self, x: &Tensor<T>) -> Tensor<T> {
        let (Some(dropout), [l, s, ..]) = (&self.dropout, self.sizes) else {
            return x.clone();
        };
        let factors = Array::build(NAME, self.split(&of(&self.batch, [l, s])), |out| {
            let rows = out.chunks_mut(s.max(1)).enumerate();
            rows.for_each(|(row, factors)| dropout.factors(row, factors));
        });
        x * Tensor::from(factors)
    }

    /// All weights of the means, split: `softmax(scale · q kᵀ + bias)`.
    #[track_caller]
    fn weights(&self, q: &Tensor<T>, k: &Tensor<T>, bias: Option<&Tensor<T>>) -> Tensor<T> {
        let [l, s, ..] = self.sizes;
        let (q, k) = (self.split_tensor(q), self.split_tensor(k));
        let mut scores = q.matmul(&k.transpose(-2, -1)) * T::from_f64(self.scale);
        if let Some(bias) = bias {
            scores += self.split_tensor(bias);
        }
        if let Some(mask) = &self.mask {
            let mask = mask.reshape(self.split(mask.array.shape()));
            scores = scores.masked_fill(&!&mask, T::NEG_INFINITY);
        }
        if let Some(offset) = self.causal {
            let later = Array::build(NAME, [l, s].into(), |out| {
                let is_later = |at| at % s > offset.saturating_add(at / s);
                out.iter_mut().enumerate().for_each(|(at, out)| *out = u8::from(is_later(at)));
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
