//! Normalizations: each group of elements is brought to mean 0 and variance 1, then each channel is
//! scaled and shifted.
//!
//! The input is viewed as `[n, c, s]`: samples, channels, positions. In `batch_norm` a group is one
//! channel of all samples; in `group_norm` it is some channels of one sample; in `layer_norm` each
//! element is a channel, and a sample is one group. The statistics are saved, not the normalized
//! input.
//!
//! Composed of tensor operations, the same takes 4 times as long forward and 13 times backward on
//! two cores for `layer_norm` of `[64, 128, 256]`, and 4 and 20 times for `batch_norm` of
//! `[64, 32, 26, 26]`.

use crate::arrays::array::Array;
use crate::arrays::keepdim::keepdim;
use crate::ops::layer::normalize_loops::{
    Group, NormLayout, forward, forward_in_samples, in_loops,
};
use crate::tape::context::Context;
use crate::tape::mode::is_pass_recorded;
use crate::tape::node::Gradients;
use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// `(x − mean) / √(var + eps) · weight + bias` for each channel over the batch:
    /// `[N, C, …] → [N, C, …]`, with weight and bias `[C]`. Also returns the means and the
    /// (uncorrected) variances, `[C]` each, untracked.
    ///
    /// Gradient: `(ĝ − mean(ĝ) − x̂ mean(ĝ x̂)) / √(var + eps)` where `ĝ = g · weight` and `x̂` is
    /// the normalized input. PyTorch: `F.batch_norm(x, None, None, weight, bias, True, eps=eps)`.
    ///
    /// For an empty batch the result is empty, and the statistics are NaN.
    ///
    /// # Panics
    /// If there is no channel dimension, weight or bias does not have an element for each channel,
    /// a channel has a single element (which is its own mean), or `eps` is not positive.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32], [3.0]]);
    /// let (y, mean, var) = x.batch_norm(None, None, 3.0);
    /// assert_eq!((y.to_vec(), mean.item(), var.item()), (vec![-0.5, 0.5], 2.0, 1.0));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn batch_norm(
        &self,
        weight: Option<&Tensor<T>>,
        bias: Option<&Tensor<T>>,
        eps: f64,
    ) -> (Tensor<T>, Tensor<T>, Tensor<T>) {
        assert!(eps > 0.0, "batch_norm: eps is {eps:?}; expected more than 0");
        let layout = NormLayout::channels("batch_norm", &self.array, [weight, bias], eps);
        assert!(
            layout.count() != 1,
            "batch_norm: an input of shape {} has 1 value for each channel; expected more in \
             training: a single value has no variance",
            self.array.shape()
        );
        let stats = layout.stats(&self.array);
        let column = |f: fn(&(f64, f64)) -> f64| {
            let values: Vec<T> = stats.iter().map(|s| T::from_f64(f(s))).collect();
            Tensor::from(Array::from_slice_for("batch_norm", [values.len()].into(), &values))
        };
        let (mean, var) = (column(|s| s.0), column(|s| s.1));
        (normalize(self, weight, bias, layout, &stats), mean, var)
    }

    /// [`batch_norm`](Tensor::batch_norm) with given means and variances, `[C]` each, which get no
    /// gradient.
    ///
    /// PyTorch: `F.batch_norm(x, mean, var, weight, bias, eps=eps)`.
    ///
    /// # Panics
    /// If there is no channel dimension, an argument does not have an element for each channel, or
    /// `eps` is negative or NaN.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let (x, mean, var) = (Tensor::from([[1.0f32, 3.0]]), Tensor::ones([2]), Tensor::full([2], 4.0));
    /// assert_eq!(x.batch_norm_with(&mean, &var, None, None, 0.0).to_vec(), [0.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn batch_norm_with(
        &self,
        mean: &Tensor<T>,
        var: &Tensor<T>,
        weight: Option<&Tensor<T>>,
        bias: Option<&Tensor<T>>,
        eps: f64,
    ) -> Tensor<T> {
        assert!(eps >= 0.0, "batch_norm: eps is {eps:?}; expected 0 or more");
        let mut layout = NormLayout::channels("batch_norm", &self.array, [weight, bias], eps);
        let fixed = NormLayout::channels("batch_norm", &self.array, [Some(mean), Some(var)], eps);
        layout.fixed = true;
        let (mean, var) = (mean.to_vec(), var.to_vec());
        let stats: Vec<_> = mean.iter().zip(&var).map(|(m, v)| (m.to_f64(), v.to_f64())).collect();
        debug_assert_eq!(stats.len(), fixed.c);
        normalize(self, weight, bias, layout, &stats)
    }

    /// `(x − mean) / √(var + eps) · weight + bias` over each of `groups` groups of channels of each
    /// sample: `[N, C, …] → [N, C, …]`, with weight and bias `[C]`.
    ///
    /// Gradient: that of [`batch_norm`](Tensor::batch_norm). PyTorch: `F.group_norm`.
    ///
    /// # Panics
    /// If the channels cannot be divided into the groups, weight or bias does not have an element
    /// for each channel, `eps` is NaN, or a single sample has one element for each group. (With
    /// more samples, groups of one element are accepted, as in PyTorch; the result is the bias.)
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 3.0, 10.0, 20.0]]);
    /// assert_eq!(x.group_norm(2, None, None, 0.0).to_vec(), [-1.0, 1.0, -1.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Tensor<T>>,
        bias: Option<&Tensor<T>>,
        eps: f64,
    ) -> Tensor<T> {
        let mut layout = NormLayout::channels("group_norm", &self.array, [weight, bias], eps);
        let shape = self.array.shape();
        assert!(
            groups > 0 && layout.c.is_multiple_of(groups),
            "group_norm: the {} channels of an input of shape {shape} cannot be divided into \
             {groups} groups",
            layout.c
        );
        (layout.groups, layout.across) = (groups, false);
        assert!(
            layout.n * layout.count() != 1,
            "group_norm: an input of shape {shape} is one sample with 1 value for each of \
             {groups} groups; expected at least 2: one value is its own mean"
        );
        normalize_samples(self, weight, bias, layout)
    }

    /// `(x − mean) / √(var + eps) · weight + bias` over the last dimensions, whose sizes are
    /// `shape`, which is also the shape of weight and bias.
    ///
    /// Gradient: that of [`batch_norm`](Tensor::batch_norm). PyTorch: `F.layer_norm`.
    ///
    /// # Panics
    /// If the last dimensions, weight or bias do not have this shape, `shape` is empty, or `eps` is
    /// NaN.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 3.0], [10.0, 20.0]]);
    /// assert_eq!(x.layer_norm(&[2], None, None, 0.0).to_vec(), [-1.0, 1.0, -1.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn layer_norm(
        &self,
        shape: &[usize],
        weight: Option<&Tensor<T>>,
        bias: Option<&Tensor<T>>,
        eps: f64,
    ) -> Tensor<T> {
        let layout =
            NormLayout::trailing("layer_norm", &self.array, shape, [weight, bias], true, eps);
        normalize_samples(self, weight, bias, layout)
    }

    /// `x / √(mean(x²) + eps) · weight` over the last dimensions, whose sizes are `shape`, which is
    /// also the shape of the weight.
    ///
    /// Gradient: `(ĝ − x̂ mean(ĝ x̂)) / √(mean(x²) + eps)` where `ĝ = g · weight`. PyTorch:
    /// `F.rms_norm`.
    ///
    /// # Panics
    /// If the last dimensions or the weight do not have this shape, `shape` is empty, or `eps` is
    /// NaN.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, -1.0], [3.0, 3.0]]);
    /// assert_eq!(x.rms_norm(&[2], None, 0.0).to_vec(), [1.0, -1.0, 1.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn rms_norm(&self, shape: &[usize], weight: Option<&Tensor<T>>, eps: f64) -> Tensor<T> {
        let layout =
            NormLayout::trailing("rms_norm", &self.array, shape, [weight, None], false, eps);
        normalize_samples(self, weight, None, layout)
    }
}

/// With these statistics of each group.
#[track_caller]
fn normalize<T: Float>(
    x: &Tensor<T>,
    weight: Option<&Tensor<T>>,
    bias: Option<&Tensor<T>>,
    layout: NormLayout,
    stats: &[(f64, f64)],
) -> Tensor<T> {
    let groups: Vec<Group<T>> = stats.iter().map(|stats| layout.group(stats)).collect();
    let value = forward(&x.array.contiguous(layout.op), weight, bias, layout, &groups);
    record_normal(x, weight, bias, layout, groups, value)
}

/// With the statistics of each group, which lies within a sample.
#[track_caller]
fn normalize_samples<T: Float>(
    x: &Tensor<T>,
    weight: Option<&Tensor<T>>,
    bias: Option<&Tensor<T>>,
    layout: NormLayout,
) -> Tensor<T> {
    let input = x.array.contiguous(layout.op);
    let (value, groups) = forward_in_samples(&input, weight, bias, layout);
    record_normal(x, weight, bias, layout, groups, value)
}

/// The result `value`, recorded.
#[track_caller]
fn record_normal<T: Float>(
    x: &Tensor<T>,
    weight: Option<&Tensor<T>>,
    bias: Option<&Tensor<T>>,
    layout: NormLayout,
    groups: Vec<Group<T>>,
    value: Array<T>,
) -> Tensor<T> {
    let (saved, saved_weight) = (x.clone(), weight.cloned());
    let (has_weight, has_bias) = (weight.is_some(), bias.is_some());
    let shapes = [weight, bias].map(|other| other.map(|other| other.array.shape().clone()));
    let inputs: Vec<&Tensor<T>> = [Some(x), weight, bias].into_iter().flatten().collect();
    record_many(layout.op, &inputs, value, move |ctx| {
        let [dx, dw, db] = if is_pass_recorded() {
            in_operations(ctx, &saved, saved_weight.as_ref(), layout, &groups)
        } else {
            in_loops(
                ctx,
                &saved.array.contiguous(layout.op),
                saved_weight.as_ref(),
                layout,
                &groups,
            )
        };
        let mut gradients = Gradients::new();
        gradients.push(Some(dx));
        let others = [(has_weight, dw, &shapes[0]), (has_bias, db, &shapes[1])];
        for (_, gradient, shape) in others.into_iter().filter(|other| other.0) {
            let shape = shape.as_ref().expect("present, as its gradient is");
            gradients.push(ctx.needs(gradients.len()).then(|| gradient.reshape(shape)));
        }
        if !ctx.needs(0) {
            gradients[0] = None;
        }
        gradients
    })
}

/// The same gradients in tensor operations, which can be differentiated again.
#[track_caller]
fn in_operations<T: Float>(
    ctx: &Context<'_, T>,
    x: &Tensor<T>,
    weight: Option<&Tensor<T>>,
    layout: NormLayout,
    groups: &[Group<T>],
) -> [Tensor<T>; 3] {
    let NormLayout { n, c, s, .. } = layout;
    let view = [n, layout.groups, c / layout.groups.max(1), s];
    let dims: &[usize] = if layout.across { &[0, 2, 3] } else { &[2, 3] };
    let (x4, g) = (x.reshape(view), ctx.grad().reshape(view));
    let mean = |x: &Tensor<T>| x.mean_dim(keepdim(dims));
    let constant = |f: fn(&Group<T>) -> T| {
        let values: Vec<T> = groups.iter().map(f).collect();
        let shape = [if layout.across { 1 } else { n }, layout.groups, 1, 1];
        Tensor::from(Array::from_slice_for(layout.op, shape.into(), &values))
    };
    let centered = match (layout.fixed, layout.center) {
        (true, _) => &x4 - constant(|group| group.mean),
        (_, true) => &x4 - mean(&x4),
        _ => x4,
    };
    let scale = match layout.fixed {
        true => constant(|group| group.scale),
        false => (mean(&centered.square()) + T::from_f64(layout.eps)).rsqrt(),
    };
    let normal = &centered * &scale;
    let weighted = match weight {
        Some(weight) => &g * weight.reshape([1, layout.groups, c / layout.groups.max(1), 1]),
        None => g.clone(),
    };
    let mut inner = weighted.clone();
    if !layout.fixed {
        if layout.center {
            inner -= mean(&weighted);
        }
        inner -= &normal * mean(&(&weighted * &normal));
    }
    let dx = (inner * scale).reshape(x.array.shape());
    let dw = (&g * &normal).sum_dim([0, 3]);
    [dx, dw, g.sum_dim([0, 3])]
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        for shape in [&[4, 3][..], &[2, 3, 4], &[2, 4, 2, 3]] {
            let c = &shape[1..2];
            check_op(
                |i| i[0].batch_norm(Some(&i[1]), Some(&i[2]), 0.1).0,
                &[shape, c, c],
                -2.0..2.0,
            );
            check_op(|i| i[0].batch_norm(None, None, 0.1).0, &[shape], -2.0..2.0);
            check_op(|i| i[0].batch_norm(Some(&i[1]), None, 0.1).0, &[shape, c], -2.0..2.0);
            let groups = shape[1] / 2 % 2 + 1;
            let groups = if shape[1] % 2 == 0 { 2 } else { groups.min(1) };
            check_op(
                |i| i[0].group_norm(groups, Some(&i[1]), Some(&i[2]), 0.1),
                &[shape, c, c],
                -2.0..2.0,
            );
            check_op(|i| i[0].group_norm(groups, Some(&i[1]), None, 0.1), &[shape, c], -2.0..2.0);
            let (mean, var) = (Tensor::full(c, 0.3), Tensor::full(c, 0.7));
            check_op(
                |i| i[0].batch_norm_with(&mean, &var, Some(&i[1]), Some(&i[2]), 0.1),
                &[shape, c, c],
                -2.0..2.0,
            );
        }
        check_op(|i| i[0].group_norm(2, None, None, 0.1), &[&[3, 4]], -2.0..2.0);
        for over in [&[3][..], &[2, 3]] {
            let x: &[usize] = &[2, 2, 3];
            check_op(
                |i| i[0].layer_norm(over, Some(&i[1]), Some(&i[2]), 0.1),
                &[x, over, over],
                -2.0..2.0,
            );
            check_op(|i| i[0].layer_norm(over, Some(&i[1]), None, 0.1), &[x, over], -2.0..2.0);
            check_op(|i| i[0].rms_norm(over, Some(&i[1]), 0.1), &[x, over], -2.0..2.0);
            check_op(|i| i[0].rms_norm(over, None, 0.1), &[x], -2.0..2.0);
        }
        check_op(|i| i[0].layer_norm(&[3], None, None, 0.1), &[&[0, 3]], -2.0..2.0);
        check_op(|i| i[0].group_norm(2, Some(&i[1]), None, 0.1), &[&[2, 4, 0], &[4]], -2.0..2.0);
    }

    #[test]
    fn groups_of_one_element_become_the_bias() {
        let (w, b) = (Tensor::from([2.0f32, 3.0, 4.0]), Tensor::from([0.5f32, -1.0, 0.0]));
        for shape in [&[2, 3][..], &[2, 3, 1, 1]] {
            let x = Tensor::from([7.0f32, -1.0, 3.0, 0.0, 5.0, 2.0]).reshape(shape).requires_grad();
            let y = x.group_norm(3, Some(&w), Some(&b), 1e-5);
            assert_eq!((y.shape(), y.to_vec()), (shape, [b.to_vec(), b.to_vec()].concat()));
            y.square().sum().backward();
            assert_eq!(x.grad().unwrap().to_vec(), [0.0; 6]);
        }
    }

    #[test]
    fn one_element_has_no_gradient() {
        // torch.autograd.grad(F.layer_norm(x, (1,), w).mul(g).sum(), x)
        let x = Tensor::from([[7.0f32], [3.0], [-1e3]]).requires_grad();
        let (w, g) = (Tensor::from([1.3f32]), Tensor::from([[0.37f32], [1.9], [0.1]]));
        x.layer_norm(&[1], Some(&w), None, 1e-5).backward_with(&g);
        assert_eq!(x.grad().unwrap().to_vec(), [0.0; 3]);
    }

    #[test]
    fn a_division_by_zero_is_nan() {
        // F.layer_norm(torch.tensor([[1., 3.], [5., 5.]]), (2,), eps=0.0)
        let y = Tensor::from([[1.0f32, 3.0], [5.0, 5.0]]).layer_norm(&[2], None, None, 0.0);
        assert!(y.to_vec()[..2] == [-1.0, 1.0] && y.to_vec()[2..].iter().all(|y| y.is_nan()));
        // F.rms_norm(torch.zeros(1, 2), (2,), eps=1e-80)
        let y = Tensor::<f32>::zeros([1, 2]).rms_norm(&[2], None, 1e-80);
        assert!(y.to_vec().iter().all(|y| y.is_nan()));
    }

    #[test]
    fn eps_may_be_any_number() {
        // F.layer_norm(x, (2,), eps=eps), F.rms_norm(x, (2,), eps=eps)
        let x = Tensor::from([[1.0f32, 3.0]]);
        assert_eq!(x.layer_norm(&[2], None, None, f64::INFINITY).to_vec(), [0.0; 2]);
        assert_eq!(x.rms_norm(&[2], None, -1.0).to_vec(), [0.5, 1.5]);
    }

    #[test]
    fn an_empty_batch_is_normalized() {
        // F.batch_norm(x, None, None, w, b, True), and gradients of 0
        let [w, b] = [2.0f32, 0.5].map(|x| Tensor::full([3], x).requires_grad());
        for shape in [&[0, 3][..], &[0, 3, 4], &[2, 3, 0]] {
            let x = Tensor::<f32>::ones(shape).requires_grad();
            let (y, mean, _) = x.batch_norm(Some(&w), Some(&b), 1e-5);
            let again = x.batch_norm_with(&w.detach(), &b.detach(), Some(&w), Some(&b), 1e-5);
            (y.sum() + again.sum()).backward();
            assert_eq!((y.shape(), x.grad().unwrap().shape()), (shape, shape));
            assert!(mean.to_vec().iter().all(|mean| mean.is_nan()));
        }
        for parameter in [w, b] {
            assert_eq!(parameter.grad().unwrap().to_vec(), [0.0; 3]);
        }
        check_op(|i| i[0].batch_norm(None, Some(&i[1]), 0.1).0, &[&[0, 3], &[3]], -2.0..2.0);
    }

    #[test]
    #[should_panic(expected = "an input of shape [1, 3] has 1 value for each channel")]
    fn one_element_per_channel_is_refused() {
        let _ = Tensor::<f32>::ones([1, 3]).batch_norm(None, None, 1e-5);
    }

    #[test]
    #[should_panic(expected = "an input of shape [2, 4]; expected [3] as its last dimensions")]
    fn another_last_dimension_is_refused() {
        let _ = Tensor::<f32>::ones([2, 4]).layer_norm(&[3], None, None, 1e-5);
    }
}
