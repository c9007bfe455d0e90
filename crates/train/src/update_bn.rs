//! The statistics of batch normalizations, recomputed.

use adamant_nn::{LeafMut, Module, RunningStatistics, Training, with_cumulative_statistics};
use adamant_tensor::{Float, Tensor, no_grad};

/// Resets the running statistics of every batch normalization in `model`, and recomputes them from
/// `batches`: `forward` runs the model on each, in training mode and without gradients. For an
/// [`AveragedModel`](crate::AveragedModel), whose weights no batch has seen before. Frozen ones are
/// included. Afterwards each layer is in the mode that it was in, and frozen if it was.
///
/// The statistics are the means over all batches, whatever the momentum of a layer. A model without
/// them is left as it is, and no batch is taken.
///
/// PyTorch: `torch.optim.swa_utils.update_bn(loader, model)`.
///
/// ```
/// use adamant_nn::{BatchNorm1d, Forward};
/// use adamant_tensor::Tensor;
/// use adamant_train::update_bn;
/// let mut model = BatchNorm1d::new(1);
/// let batches = [Tensor::from([[1.0f32], [3.0]]), Tensor::from([[5.0], [7.0]])];
/// update_bn(&mut model, batches, |model, x| model.forward(&x));
/// assert_eq!(model.running_mean.unwrap().tensor().to_vec(), [4.0]);
/// ```
pub fn update_bn<T: Float, M: Module<T>, B, R>(
    model: &mut M,
    batches: impl IntoIterator<Item = B>,
    mut forward: impl FnMut(&M, B) -> R,
) {
    if !reset(model) {
        return;
    }
    let modes = modes(model);
    model.unfreeze_batch_norms();
    model.train();
    for batch in batches {
        no_grad(|| with_cumulative_statistics(|| drop(forward(model, batch))));
    }
    let mut modes = modes.into_iter();
    model.visit_mut(&mut |leaf| {
        if let LeafMut::Training(mode) = leaf
            && let Some(before) = modes.next()
        {
            *mode = before;
        }
    });
}

fn modes<T: Float>(model: &mut impl Module<T>) -> Vec<Training> {
    let mut modes = Vec::new();
    model.visit_mut(&mut |leaf| {
        if let LeafMut::Training(mode) = leaf {
            modes.push(mode.clone());
        }
    });
    modes
}

/// PyTorch: `module.reset_running_stats()`, of each batch normalization. Returns whether there is
/// one.
fn reset<T: Float>(model: &impl Module<T>) -> bool {
    let mut any = false;
    for RunningStatistics { mean, var, count } in RunningStatistics::of(model) {
        let Some(count) = count else { continue };
        mean.set(&Tensor::zeros(mean.shape()));
        var.set(&Tensor::ones(var.shape()));
        count.set(0);
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_nn::{BatchNorm1d, Buffer, Forward, Leaf, Linear, Path, Sequential};
    use adamant_tensor::Generator;

    #[test]
    fn a_model_without_statistics_takes_no_batch() {
        let mut model = Linear::<f32>::new(1, 1, &mut Generator::seed(0));
        let batches = std::iter::from_fn(|| -> Option<Tensor<f32>> { panic!("a batch is taken") });
        update_bn(&mut model, batches, |model, x| model.forward(&x));
    }

    #[test]
    fn frozen_statistics_are_recomputed_and_stay_frozen() {
        let mut model = BatchNorm1d::<f32>::with_options(1, Default::default());
        model.freeze_batch_norms();
        update_bn(&mut model, [Tensor::from([[1.0], [3.0]])], |model, x| model.forward(&x));
        let mean = || model.running_mean.as_ref().unwrap().tensor().to_vec();
        assert_eq!(mean(), [2.0]);
        let _ = model.forward(&Tensor::from([[7.0], [9.0]]));
        assert_eq!(mean(), [2.0]);
    }

    #[derive(Module)]
    #[module(crate = adamant_nn)]
    struct Other {
        running_mean: Buffer<f32>,
        norms: Sequential,
    }

    #[test]
    fn only_batch_normalizations_are_reset() {
        let norms = Sequential::new().add(BatchNorm1d::new(1)).add(BatchNorm1d::new(1));
        let mut model = Other { running_mean: Buffer::new(Tensor::from([7.0f32])), norms };
        let batches = [Tensor::from([[1.0f32], [3.0]])];
        update_bn(&mut model, batches, |model, x| model.norms.forward(&x));
        assert_eq!(model.running_mean.tensor().to_vec(), [7.0]);
        let mut counts = Vec::new();
        model.visit(&mut Path::default(), &mut |_, leaf| {
            if let Leaf::Counter(count) = leaf {
                counts.push(count.get());
            }
        });
        assert_eq!(counts, [1, 1]);
    }
}
