//! Layers that change no element.

use crate::layers::stateless::stateless;

/// Joins dimensions `start_dim` to `end_dim` into one: `[N, C, H, W] → [N, C·H·W]` by default.
///
/// PyTorch: `torch.nn.Flatten(start_dim, end_dim)`.
///
/// # Panics
/// In `forward`: if the input does not have these dimensions.
///
/// ```
/// use adamant_nn::{Flatten, Forward};
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::ones([8, 2, 3, 4]);
/// assert_eq!(Flatten::default().forward(&x).shape(), [8, 24]);
/// assert_eq!(Flatten::new().start_dim(0).end_dim(-2).forward(&x).shape(), [48, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    start_dim: isize,
    end_dim: isize,
}
stateless!(Flatten, |layer, x| x.flatten(layer.start_dim, layer.end_dim));

impl Flatten {
    /// A layer with PyTorch's defaults.
    #[must_use]
    pub fn new() -> Self {
        Flatten { start_dim: 1, end_dim: -1 }
    }

    /// The first of the joined dimensions; default 1, which keeps the batch.
    #[must_use]
    pub fn start_dim(self, start_dim: isize) -> Self {
        Flatten { start_dim, ..self }
    }

    /// The last of the joined dimensions; default −1.
    #[must_use]
    pub fn end_dim(self, end_dim: isize) -> Self {
        Flatten { end_dim, ..self }
    }
}

impl Default for Flatten {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns its input: a placeholder for a layer.
///
/// PyTorch: `torch.nn.Identity`.
///
/// ```
/// use adamant_nn::{Forward, Identity};
/// use adamant_tensor::Tensor;
/// assert_eq!(Identity.forward(&Tensor::<f32>::from([1.0, 2.0])).to_vec(), [1.0, 2.0]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;
stateless!(Identity, |_, x| x.clone());
