//! Layers that change the shape at most, and when one shape broadcasts to another.

use crate::stateless::stateless;

/// Whether a tensor of shape `from` can stand for one of shape `to`.
pub(crate) fn broadcasts(from: &[usize], to: &[usize]) -> bool {
    let mut ends = from.iter().rev().zip(to.iter().rev());
    from.len() <= to.len() && ends.all(|(&from, &to)| from == 1 || from == to)
}

/// Dimensions `start_dim` to `end_dim` become one: `[N, C, H, W] → [N, C·H·W]` by default.
///
/// PyTorch: `torch.nn.Flatten(start_dim, end_dim)`.
///
/// # Panics
/// In `forward`: if there are no such dimensions.
///
/// ```
/// use adamant_nn::{Flatten, Forward};
/// use adamant_tensor::Tensor;
/// let x = Tensor::<f32>::ones([8, 2, 3, 4]);
/// assert_eq!(Flatten::default().forward(&x).shape(), [8, 24]);
/// assert_eq!(Flatten { start_dim: 0, end_dim: -2 }.forward(&x).shape(), [48, 4]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    /// 1 by default: a batch stays one.
    pub start_dim: isize,
    /// −1 by default.
    pub end_dim: isize,
}
stateless!(Flatten, |layer, x| x.flatten(layer.start_dim, layer.end_dim));

impl Default for Flatten {
    fn default() -> Self {
        Flatten { start_dim: 1, end_dim: -1 }
    }
}

/// What goes in comes out: for a place where a model may have a layer or none.
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
