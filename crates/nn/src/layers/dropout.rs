//! Dropout.

use crate::check;
use crate::tree::buffer::{SharedGenerator, Training};
use crate::tree::mask::masked;
use crate::tree::module::{Forward, Leaf, LeafMut, Module, Path};
use crate::tree::observe::observe;
use crate::tree::state;
use adamant_tensor::{Float, Generator, StateDict, StateError, Stateful, Tensor};
use std::sync::MutexGuard;

/// What a dropout needs to draw its masks.
#[derive(Debug)]
pub(crate) struct DropMask {
    p: f64,
    training: Training,
    rng: SharedGenerator,
}

impl DropMask {
    /// Drops with probability `p`, which the layer has checked, in training mode.
    pub(crate) fn new(p: f64, rng: &mut Generator) -> Self {
        DropMask { p, training: Training::default(), rng: SharedGenerator::new(rng.fork()) }
    }

    /// The probability and the locked generator, if something is to be dropped now.
    pub(crate) fn active(&self) -> Option<(f64, MutexGuard<'_, Generator>)> {
        (self.training.on() && self.p > 0.0).then(|| (self.p, self.rng.lock()))
    }

    /// `x` times a mask of this shape, which broadcasts.
    fn apply<T: Float>(&self, x: &Tensor<T>, shape: &[usize]) -> Tensor<T> {
        match self.active() {
            Some((p, mut rng)) => masked(x, shape, p, &mut rng),
            None => x.clone(),
        }
    }
}

impl Clone for DropMask {
    fn clone(&self) -> Self {
        DropMask { p: self.p, training: self.training.clone(), rng: self.rng.copy() }
    }
}

// By hand: it is a module of every element type, and not a line of a summary.
impl<T: Float> Module<T> for DropMask {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.child("rng", |path| Module::<T>::visit(&self.rng, path, visit));
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        visit(LeafMut::Generator(&mut self.rng));
        visit(LeafMut::Training(&mut self.training));
    }
}

/// In training, sets each element to 0 with probability `p` and scales the others by
/// `1 / (1 − p)`; in evaluation, returns its input.
///
/// The layer has its own generator, part of its state: a resumed run drops the same elements.
///
/// PyTorch: `torch.nn.Dropout(p)`.
///
/// ```
/// use adamant_nn::{Dropout, Forward};
/// use adamant_tensor::{Generator, Tensor};
/// let dropout = Dropout::new(0.5, &mut Generator::seed(0));
/// let y = dropout.forward(&Tensor::<f32>::ones([100]));
/// assert!(y.to_vec().iter().all(|&y| y == 0.0 || y == 2.0));
/// ```
#[derive(Clone, Debug)]
pub struct Dropout(DropMask);

impl Dropout {
    /// A layer that drops with probability `p`, in training mode.
    ///
    /// # Panics
    /// If `p` is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn new(p: f64, rng: &mut Generator) -> Self {
        check::probability("Dropout", "p", p);
        Dropout(DropMask::new(p, rng))
    }
}

impl<T: Float> Forward<T> for Dropout {
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        observe(self, self.0.apply(x, x.shape()))
    }
}

impl<T: Float> Module<T> for Dropout {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.enter(self);
        self.0.visit(path, visit);
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.0.visit_mut(visit);
    }
}

/// [`Dropout`] of whole channels: `[N, C, H, W]`, or `[N, C, L]`.
///
/// Neighboring pixels are strongly correlated, so dropping single elements would regularize
/// little.
///
/// PyTorch: `torch.nn.Dropout2d(p)`.
///
/// ```
/// use adamant_nn::{Dropout2d, Forward};
/// use adamant_tensor::{Generator, Tensor};
/// let dropout = Dropout2d::new(0.5, &mut Generator::seed(0));
/// let y = dropout.forward(&Tensor::<f32>::ones([8, 4, 2, 2])).to_vec();
/// assert!(y.chunks(4).all(|channel| channel == [0.0; 4] || channel == [2.0; 4]));
/// ```
#[derive(Clone, Debug)]
pub struct Dropout2d(DropMask);

impl Dropout2d {
    /// A layer that drops a channel with probability `p`, in training mode.
    ///
    /// # Panics
    /// If `p` is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn new(p: f64, rng: &mut Generator) -> Self {
        check::probability("Dropout2d", "p", p);
        Dropout2d(DropMask::new(p, rng))
    }
}

impl<T: Float> Forward<T> for Dropout2d {
    /// # Panics
    /// If the input does not have three or four dimensions.
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        let mut shape = x.shape().to_vec();
        assert!(
            matches!(shape.len(), 3 | 4),
            "Dropout2d: an input of shape {shape:?}; expected [N, C, H, W] or [N, C, L]"
        );
        shape[2..].fill(1);
        observe(self, self.0.apply(x, &shape))
    }
}

impl<T: Float> Module<T> for Dropout2d {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        path.enter(self);
        self.0.visit(path, visit);
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.0.visit_mut(visit);
    }
}

macro_rules! stateful {
    ($Name:ident) => {
        impl Stateful for $Name {
            fn state_dict(&self) -> StateDict {
                state::module_state::<f32>(self)
            }
            fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
                state::check_module_state::<f32>(self, state)
            }
            fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
                state::load_module_state::<f32>(self, state)
            }
        }
    };
}

stateful!(Dropout);
stateful!(Dropout2d);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_returns_the_input() {
        let mut dropout = Dropout::new(0.9, &mut Generator::seed(0));
        Module::<f32>::eval(&mut dropout);
        assert_eq!(dropout.forward(&Tensor::<f32>::ones([50])).to_vec(), [1.0; 50]);
    }

    #[test]
    fn probabilities_0_and_1_are_as_in_pytorch() {
        let ones = Tensor::<f64>::ones([50]);
        let rng = &mut Generator::seed(0);
        assert_eq!(Dropout::new(0.0, rng).forward(&ones).to_vec(), [1.0; 50]);
        assert_eq!(Dropout::new(1.0, rng).forward(&ones).to_vec(), [0.0; 50]);
    }

    #[test]
    fn the_gradient_is_dropped_with_the_value() {
        let x = Tensor::<f32>::ones([50]).requires_grad();
        let y = Dropout::new(0.5, &mut Generator::seed(0)).forward(&x);
        y.sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), y.to_vec());
    }

    #[test]
    fn whole_channels_are_dropped() {
        let mut dropout = Dropout2d::new(0.25, &mut Generator::seed(0));
        let x = Tensor::<f64>::ones([100, 50, 3, 2]);
        let y = dropout.forward(&x).to_vec();
        let is_whole = |channel: &[f64]| channel.iter().all(|&y| y == channel[0]);
        assert!(y.chunks(6).all(is_whole));
        let dropped = y.iter().filter(|&&y| y == 0.0).count() as f64 / y.len() as f64;
        assert!((dropped - 0.25).abs() < 0.02, "{dropped}");
        Module::<f64>::eval(&mut dropout);
        assert_eq!(dropout.forward(&x).to_vec(), x.to_vec());
    }
}
