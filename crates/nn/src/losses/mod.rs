//! Losses: a scalar that measures the distance of a batch from its targets.
//!
//! Each loss is a function, for PyTorch's defaults, and a struct with the name of PyTorch's module,
//! which is its own options: setters have PyTorch's names and defaults.
//!
//! ```
//! use adamant_nn::{MseLoss, Reduction, mse_loss};
//! use adamant_tensor::Tensor;
//! let (x, y) = (Tensor::<f32>::from([1.0, 2.0]), Tensor::from([1.0, 4.0]));
//! assert_eq!(mse_loss(&x, &y).item(), 2.0);
//! assert_eq!(MseLoss::new().reduction(Reduction::Sum).loss(&x, &y).item(), 4.0);
//! ```

mod binary;
mod cross_entropy;
mod distance;
mod kl_div;
mod nll_loss;
mod regression;
mod targets;

pub use binary::{BceLoss, BceWithLogitsLoss, bce_loss, bce_with_logits};
pub use cross_entropy::CrossEntropyLoss;
pub use distance::{
    CosineEmbeddingLoss, TripletMarginLoss, cosine_embedding_loss, triplet_margin_loss,
};
pub use kl_div::{KlDivLoss, kl_div};
pub use nll_loss::{NllLoss, nll_loss};
pub use regression::{
    HuberLoss, L1Loss, MseLoss, SmoothL1Loss, huber_loss, l1_loss, mse_loss, smooth_l1_loss,
};
pub use targets::{Classes, Targets};

use adamant_tensor::{Float, Mask, Tensor};

/// The reduction of the elements' losses.
///
/// PyTorch: `reduction="mean"`, `"sum"` or `"none"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean; weighted, if classes have weights. NaN if there are no elements.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// None: the losses of the elements.
    None,
}

impl Reduction {
    #[track_caller]
    fn apply<T: Float>(self, losses: Tensor<T>) -> Tensor<T> {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::None => losses,
        }
    }
}

/// A loss whose options are its reduction and floats.
macro_rules! options {
    ($(#[$doc:meta])* $Loss:ident { $($(#[$field_doc:meta])* $field:ident: f64 = $default:expr),* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $Loss {
            $($field: f64,)*
            reduction: Reduction,
        }

        impl $Loss {
            /// A loss with PyTorch's defaults.
            #[must_use]
            pub fn new() -> Self {
                $Loss { $($field: $default,)* reduction: Reduction::Mean }
            }

            $(
                $(#[$field_doc])*
                #[must_use]
                pub fn $field(mut self, $field: f64) -> Self {
                    self.$field = $field;
                    self
                }
            )*

            /// The reduction of the elements' losses; default their mean.
            #[must_use]
            pub fn reduction(mut self, reduction: Reduction) -> Self {
                self.reduction = reduction;
                self
            }
        }

        impl Default for $Loss {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}
use options;

#[track_caller]
fn same_shape<T: Float>(op: &str, x: &Tensor<T>, y: &Tensor<T>) {
    assert!(
        x.shape() == y.shape(),
        "{op}: an input of shape {:?} and a target of shape {:?}; expected the same",
        x.shape(),
        y.shape()
    );
}

/// Panics if an element of `x`, the input or the target, is not as `expected`.
#[track_caller]
fn check_elements<T: Float>(op: &str, what: &str, x: &Tensor<T>, are: &Mask, expected: &str) {
    // The search copies everything, so only after a test that does not.
    if !are.all()
        && let Some(index) = are.to_vec().iter().position(|is| !is)
    {
        panic!(
            "{op}: element {index} of the {what}, of shape {:?}, is {}; expected {expected}",
            x.shape(),
            x.to_vec()[index]
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::{Indices, cross_entropy};

    /// PyTorch: `F.mse_loss(torch.ones(0, 3), torch.ones(0, 3))`, and so on.
    #[test]
    fn the_mean_of_an_empty_batch_is_nan() {
        let (x, cube) = (&Tensor::<f32>::ones([0, 3]), &Tensor::<f32>::ones([0, 3, 2]));
        let none = &Indices::from_vec(vec![], [0, 2]).unwrap();
        for loss in [
            mse_loss(x, x),
            l1_loss(x, x),
            smooth_l1_loss(x, x),
            huber_loss(x, x),
            bce_loss(x, x),
            bce_with_logits(x, x),
            kl_div(x, x),
            KlDivLoss::new().batchmean().loss(x, x),
            triplet_margin_loss(x, x, x),
            cosine_embedding_loss(x, x, &Tensor::ones([0])),
            cross_entropy(x, &[]),
            nll_loss(x, &[]),
            CrossEntropyLoss::new().loss(cube, none),
            CrossEntropyLoss::new().loss(x, x),
        ] {
            assert!(loss.shape().is_empty() && loss.item().is_nan());
        }
    }
}

#[cfg(test)]
mod testing {
    use adamant_tensor::{Generator, Tensor, gradcheck, gradgradcheck};

    /// Checks first and second derivatives at random inputs of shape `[2, 3]`.
    #[track_caller]
    pub(super) fn check(inputs: usize, f: impl Fn(&[Tensor<f64>]) -> Tensor<f64>) {
        let mut rng = Generator::seed(0);
        let inputs: Vec<_> = (0..inputs).map(|_| Tensor::randn([2, 3], &mut rng)).collect();
        gradcheck(&f, &inputs).unwrap();
        gradgradcheck(&f, &inputs).unwrap();
    }
}
