//! The statistics of batch normalizations, computed anew.

use adamant_nn::{Leaf, LeafMut, Module, Path, Training, with_cumulative_statistics};
use adamant_tensor::{Float, Tensor, no_grad};

/// Resets the running statistics of every batch normalization in `model`, and computes them from
/// `batches`: `forward` runs the model on each, in training mode and without gradients. For an
/// [`AveragedModel`](crate::AveragedModel), whose weights no batch has seen before. Afterwards
/// each layer is in the mode that it was in.
///
/// The statistics are the means over all batches, whatever the momentum of a layer.
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
    reset(model);
    let modes = modes(model);
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

/// PyTorch: `module.reset_running_stats()`.
fn reset<T: Float>(model: &impl Module<T>) {
    model.visit(&mut Path::default(), &mut |path, leaf| match (
        leaf,
        path.rsplit('.').next().unwrap_or_default(),
    ) {
        (Leaf::Buffer(mean), "running_mean") => mean.set(&Tensor::zeros(mean.shape())),
        (Leaf::Buffer(var), "running_var") => var.set(&Tensor::ones(var.shape())),
        (Leaf::Counter(count), "num_batches_tracked") => count.set(0),
        _ => {}
    });
}
