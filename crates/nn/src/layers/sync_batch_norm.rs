//! Batch normalization with the statistics of shards that are evaluated together.

use crate::layers::batch_norm::Moments;
use adamant_tensor::{Float, GradOptions, Tensor, enable_grad, grad, is_grad_enabled, no_grad};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What the shards of a batch contribute to a meeting.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The contributions of all shards, in their order, one after another. They have one length.
    pub contributions: Arc<[f64]>,
    /// Whether the shard of this thread is the first.
    pub is_first: bool,
}

/// Waits for all shards to contribute.
pub(crate) type Meet = dyn Fn(Vec<f64>) -> Meeting;

thread_local! {
    static MEET: RefCell<Option<Rc<Meet>>> = const { RefCell::new(None) };
}

/// Runs `f`, the forward and backward passes of a shard, during which each
/// [`SyncBatchNorm`](crate::SyncBatchNorm) in training mode on this thread calls `meet` with the
/// contribution of the shard.
///
/// For the crate `parallel`.
#[doc(hidden)]
pub fn with_shards<R>(meet: impl Fn(Vec<f64>) -> Meeting + 'static, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Rc<Meet>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            MEET.set(self.0.take());
        }
    }
    let _restore = Restore(MEET.replace(Some(Rc::new(meet))));
    f()
}

/// How the shard of this thread meets the others, if there are others.
pub(crate) fn meet() -> Option<Rc<Meet>> {
    MEET.with_borrow(Clone::clone)
}

/// [`Tensor::batch_norm`] with the moments of all shards. Returns the moments to the first shard,
/// which takes them into the running statistics for all.
///
/// Gradient: `(ĝ − Σ ĝ / n − x̂ Σ ĝ x̂ / n) / √(var + eps)`, where the sums are over all shards and
/// `n` is their number of values. The gradients of weight and bias are those of this shard.
#[track_caller]
pub(crate) fn sync_batch_norm<T: Float>(
    x: &Tensor<T>,
    [weight, bias]: [Option<&Tensor<T>>; 2],
    eps: f64,
    meet: &Meet,
) -> (Tensor<T>, Option<Moments<T>>) {
    let c = x.shape()[1];
    let own = moments(x);
    let length = own.len();
    let Meeting { contributions, is_first } = meet(own);
    let sum = contributions.chunks(length).fold(vec![0.0; length], add);
    let (n, mean, squares) = (sum[0], &sum[1..=c], &sum[1 + c..]);
    assert!(
        n != 1.0,
        "SyncBatchNorm: an input of shape {:?} has 1 value for each channel, and the other shards \
         have none; expected more in training: a single value has no variance",
        x.shape()
    );
    let mean: Tensor<T> = column(mean.iter().copied());
    let var: Tensor<T> = column(squares.iter().map(|squares| squares / n));
    let y = no_grad(|| x.batch_norm_with(&mean, &var, weight, bias, eps));
    let inputs: Vec<&Tensor<T>> = [Some(x), weight, bias].into_iter().flatten().collect();
    let (has_weight, has_bias) = (weight.is_some(), bias.is_some());
    let saved = Saved {
        x: x.detach(),
        weight: weight.map_or_else(|| Tensor::ones([c]), Tensor::detach),
        mean: mean.clone(),
        var: var.clone(),
        n,
        eps,
    };
    let needs_input = x.is_tracked();
    let y = Tensor::custom("sync_batch_norm", &inputs, y, move |g| {
        let (dx, dw, db) = saved.gradients(g, needs_input);
        let mut gradients = vec![dx];
        gradients.extend(has_weight.then_some(Some(dw)));
        gradients.extend(has_bias.then_some(Some(db)));
        gradients
    });
    (y, is_first.then_some(Moments { mean, var, values: n as usize }))
}

/// The number of values of each channel, their means, and the sums of squares of their deviations.
fn moments<T: Float>(x: &Tensor<T>) -> Vec<f64> {
    let c = x.shape()[1];
    let n = x.shape()[0] * x.shape()[2..].iter().product::<usize>();
    let (mean, var) = match n {
        0 => (Tensor::zeros([c]), Tensor::zeros([c])),
        1 => (x.detach().reshape([c]), Tensor::zeros([c])),
        _ => {
            // This normalizes in vain, but `var_dim` takes more passes.
            let (_, mean, var) = no_grad(|| x.batch_norm(None, None, 1.0));
            (mean, var)
        }
    };
    let squares = var.to_vec().into_iter().map(|var| var.to_f64() * n as f64);
    let mean = mean.to_vec().into_iter().map(Float::to_f64);
    [n as f64].into_iter().chain(mean).chain(squares).collect()
}

/// The moments of two sets of values together: with `d`, the difference of their means, the mean is
/// `mean + d · nₛ / (n + nₛ)`, and the squares are `squares + squaresₛ + d² · n · nₛ / (n + nₛ)`.
fn add(mut sum: Vec<f64>, shard: &[f64]) -> Vec<f64> {
    let (n, of_shard) = (sum[0], shard[0]);
    if of_shard == 0.0 {
        return sum;
    }
    let c = shard.len() / 2;
    let part = of_shard / (n + of_shard);
    for i in 1..=c {
        let d = shard[i] - sum[i];
        sum[i] += d * part;
        sum[i + c] += shard[i + c] + d * d * n * part;
    }
    sum[0] += of_shard;
    sum
}

/// A value for each channel.
fn column<T: Float>(values: impl Iterator<Item = f64>) -> Tensor<T> {
    Tensor::from(values.map(T::from_f64).collect::<Vec<T>>())
}

/// What the backward pass reads.
struct Saved<T: Float> {
    x: Tensor<T>,
    weight: Tensor<T>,
    mean: Tensor<T>,
    var: Tensor<T>,
    n: f64,
    eps: f64,
}

impl<T: Float> Saved<T> {
    /// The gradients of the input, if it is needed, weight and bias. The shards meet for that of the
    /// input.
    #[track_caller]
    fn gradients(
        &self,
        g: &Tensor<T>,
        needs_input: bool,
    ) -> (Option<Tensor<T>>, Tensor<T>, Tensor<T>) {
        assert!(
            !is_grad_enabled(),
            "SyncBatchNorm: found a backward pass that is recorded (`create_graph`); expected one \
             that is not: its gradient over several shards cannot be differentiated"
        );
        let Saved { mean, var, n, eps, .. } = self;
        let (x, weight) = (self.x.clone().requires_grad(), self.weight.clone().requires_grad());
        let bias = Tensor::zeros(weight.shape()).requires_grad();
        // With mean and variance as constants.
        let y = enable_grad(|| x.batch_norm_with(mean, var, Some(&weight), Some(&bias), *eps));
        let found = grad((&y, g), &[&x, &weight, &bias], GradOptions::default());
        let [dx, dw, db] = found.try_into().expect("a gradient for each of three inputs");
        if !needs_input {
            return (None, dw, db);
        }
        let Some(meet) = meet() else {
            panic!(
                "SyncBatchNorm: found a backward pass without the other shards; expected one of \
                 `DataParallel::backward_synchronized`, as the forward pass"
            )
        };
        let c = weight.numel();
        let own = dw.to_vec().into_iter().chain(db.to_vec()).map(Float::to_f64).collect();
        let all = meet(own).contributions;
        let sum = |i: usize| all.iter().skip(i).step_by(2 * c).sum::<f64>();
        // −(x̂ Σ g x̂ + Σ g) · weight / (n √(var + eps)) is a normalization of x, too.
        let (weights, vars) = (self.weight.to_vec(), var.to_vec());
        let factor = |i: usize| -weights[i].to_f64() / (n * (vars[i].to_f64() + eps).sqrt());
        let slope = column((0..c).map(|i| factor(i) * sum(i)));
        let shift = column((0..c).map(|i| factor(i) * sum(c + i)));
        let through = self.x.batch_norm_with(mean, var, Some(&slope), Some(&shift), *eps);
        (Some(dx + through), dw, db)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchNorm2d, BatchNormOptions, Forward, Module, SyncBatchNorm, module_state};
    use adamant_tensor::{Generator, gradcheck};

    /// Runs `f` as the only shard, or as one of two that contribute the same.
    fn with_copies<R>(copies: usize, f: impl FnOnce() -> R) -> R {
        let meet = move |own: Vec<f64>| Meeting {
            contributions: own.repeat(copies).into(),
            is_first: copies == 1,
        };
        with_shards(meet, f)
    }

    fn layer() -> SyncBatchNorm<f64> {
        let layer = SyncBatchNorm::with_options(3, BatchNormOptions::default().eps(0.1));
        layer.weight.as_ref().unwrap().set_value(&Tensor::from([0.5, -2.0, 1.5]));
        layer
    }

    fn images() -> Tensor<f64> {
        Tensor::randn([4, 3, 2, 2], &mut Generator::seed(0)) + 10.0
    }

    #[test]
    fn a_lone_shard_is_a_batch() {
        let expected = BatchNorm2d::with_options(3, BatchNormOptions::default().eps(0.1));
        expected.weight.as_ref().unwrap().set_value(&Tensor::from([0.5, -2.0, 1.5]));
        for copies in [0, 1] {
            let (x, layer) = (images(), layer());
            let y = match copies {
                0 => layer.forward(&x),
                _ => with_copies(copies, || layer.forward(&x)),
            };
            let difference = y - expected.forward(&x);
            assert!(difference.abs().max().item() < 1e-13);
            assert!(layer.num_batches_tracked.unwrap().get() == 1);
        }
    }

    #[test]
    fn gradients() {
        let inputs = [images(), Tensor::from([0.5, -2.0, 1.5]), Tensor::from([0.1, 0.2, 0.3])];
        with_copies(1, || {
            let y = |x: &[Tensor<f64>]| {
                let meet = meet().unwrap();
                sync_batch_norm(&x[0], [Some(&x[1]), Some(&x[2])], 0.1, &*meet).0
            };
            gradcheck(y, &inputs).unwrap();
            let without =
                |x: &[Tensor<f64>]| sync_batch_norm(&x[0], [None, None], 0.1, &*meet().unwrap()).0;
            gradcheck(without, &inputs[..1]).unwrap();
        });
    }

    #[test]
    fn the_first_shard_updates_the_running_statistics() {
        let layer = layer();
        let before = module_state::<f64>(&layer);
        let _ = with_copies(2, || layer.forward(&images()));
        assert!(module_state::<f64>(&layer) == before);
        let _ = with_copies(1, || layer.forward(&images()));
        assert!(module_state::<f64>(&layer) != before);
    }

    #[test]
    fn one_value_in_each_shard_is_enough() {
        let x = Tensor::from([[1.0, 2.0, 3.0]]);
        let y = with_copies(2, || layer().forward(&x));
        assert_eq!(y.to_vec(), [0.0; 3]);
    }

    #[test]
    #[should_panic(
        expected = "SyncBatchNorm: an input of shape [1, 3] has 1 value for each channel"
    )]
    fn one_value_in_all_shards_is_refused() {
        let _ = with_copies(1, || layer().forward(&Tensor::from([[1.0, 2.0, 3.0]])));
    }

    #[test]
    fn evaluation_does_not_meet() {
        let mut layer = layer();
        layer.eval();
        let _ = with_shards(|_| panic!("a meeting"), || layer.forward(&images()));
    }

    #[test]
    #[should_panic(expected = "SyncBatchNorm: found a backward pass that is recorded")]
    fn a_recorded_pass_is_refused() {
        let x = images().requires_grad();
        let y = with_copies(1, || layer().forward(&x)).square().sum();
        let _ = grad(&y, &[&x], GradOptions::default().create_graph(true));
    }

    #[test]
    #[should_panic(expected = "SyncBatchNorm: found a backward pass without the other shards")]
    fn a_pass_without_the_other_shards_is_refused() {
        let x = images().requires_grad();
        with_copies(1, || layer().forward(&x)).square().sum().backward();
    }
}
