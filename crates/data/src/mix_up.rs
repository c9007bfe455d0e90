//! Mixtures of samples.

use crate::collate::Batch;
use crate::error::DataError;
use adamant_tensor::{Generator, Indices, Tensor};

/// Mixes each sample of a batch with the one before it: `λ · x + (1 − λ) · x_before`, and likewise
/// their classes as one-hot rows. `λ` is drawn once for each batch from Beta(`alpha`, `alpha`).
///
/// Its targets `[batch, classes]` are probabilities, which `CrossEntropyLoss` takes.
///
/// PyTorch: `torchvision.transforms.v2.MixUp`.
///
/// ```
/// use adamant_data::{DataLoader, MixUp, TensorDataset};
/// use adamant_tensor::{Generator, Tensor};
/// let set = TensorDataset::new(Tensor::<f32>::ones([8, 3]), vec![0usize, 1, 2, 3, 0, 1, 2, 3]).unwrap();
/// let mix_up = MixUp::new(4).alpha(0.2);
/// let loader = DataLoader::new(set, 8).shuffle(&mut Generator::seed(0));
/// let mut loader = loader.map(move |batch, rng| mix_up.apply(batch, rng));
/// let batch = loader.next_batch();
/// assert_eq!((batch.inputs.shape(), batch.targets.shape()), (&[8, 3][..], &[8, 4][..]));
/// ```
#[derive(Clone, Debug)]
pub struct MixUp {
    classes: usize,
    alpha: f64,
}

impl MixUp {
    /// Mixtures of samples of this many classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        MixUp { classes, alpha: 1.0 }
    }

    /// Both parameters of the beta distribution; default 1, which is uniform. Small values leave most
    /// samples nearly as they are.
    ///
    /// # Panics
    /// If it is not positive and finite.
    #[must_use]
    #[track_caller]
    pub fn alpha(self, alpha: f64) -> Self {
        assert!(0.0 < alpha && alpha < f64::INFINITY, "MixUp: alpha is {alpha}; expected above 0");
        MixUp { alpha, ..self }
    }

    /// The mixtures of a batch.
    ///
    /// # Errors
    /// If a target is not below the number of classes.
    pub fn apply(
        &self,
        batch: Batch,
        rng: &mut Generator,
    ) -> Result<Batch<Tensor, Tensor>, DataError> {
        let Batch { inputs, targets } = batch;
        if let Some((position, class)) =
            targets.iter().enumerate().find(|&(_, &class)| class >= self.classes)
        {
            return Err(DataError::Unfit {
                operation: "MixUp",
                found: format!("class {class} at position {position} of a batch"),
                expected: format!("classes below {}", self.classes),
            });
        }
        let share = rng.beta(self.alpha, self.alpha) as f32;
        let mix = |x: &Tensor| x * share + x.roll(1, 0) * (1.0 - share);
        let targets = Indices::from(&targets[..]).one_hot(self.classes);
        Ok(Batch { inputs: mix(&inputs), targets: mix(&targets) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        Batch { inputs: Tensor::from([[1.0], [2.0], [4.0]]), targets: vec![0, 2, 2] }
    }

    #[test]
    fn inputs_and_targets_are_mixed_alike() {
        let rng = &mut Generator::seed(0);
        let mut shares = Vec::new();
        for _ in 0..300 {
            let mixed = MixUp::new(3).alpha(0.5).apply(batch(), rng).unwrap();
            let [a, b, c] = mixed.inputs.to_vec()[..] else { panic!("three samples") };
            let share = b - 1.0; // b = 2 λ + 1 (1 − λ)
            shares.push(share);
            let expected = [share, 0.0, 1.0 - share, 1.0 - share, 0.0, share, 0.0, 0.0, 1.0];
            for (found, expected) in mixed.targets.to_vec().into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6);
            }
            assert!((a - (4.0 - 3.0 * share)).abs() < 1e-5 && (c - 2.0 - 2.0 * share).abs() < 1e-5);
        }
        let mean = shares.iter().sum::<f32>() / 300.0;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f32>() / 300.0;
        // Beta(α, α) has mean 1/2 and variance 1 / (4 (2α + 1)).
        assert!((mean - 0.5).abs() < 0.06 && (variance - 0.125).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn a_target_beyond_the_classes_is_an_error() {
        let error = MixUp::new(2).apply(batch(), &mut Generator::seed(0)).unwrap_err().to_string();
        assert_eq!(
            error,
            "MixUp: found class 2 at position 1 of a batch, expected classes below 2"
        );
    }
}
