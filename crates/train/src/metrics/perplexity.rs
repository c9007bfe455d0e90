//! The perplexity of language models.

use super::mean::Mean;
use adamant_tensor::{Float, StateDict, StateError, Stateful};

/// `exp` of the mean negative log likelihood of a token.
///
/// The mean is over all tokens of all batches, so it is not the mean of the batches' perplexities.
///
/// PyTorch: `torchmetrics.text.Perplexity`, which computes the likelihoods again from the logits.
///
/// ```
/// use adamant_tensor::{Tensor, cross_entropy};
/// use adamant_train::Perplexity;
/// let mut perplexity = Perplexity::new();
/// let (logits, targets) = (Tensor::<f32>::zeros([3, 8]), [0, 5, 7]);
/// let loss = cross_entropy(&logits, &targets);
/// perplexity.update(loss.item(), targets.len());
/// assert!((perplexity.value() - 8.0).abs() < 1e-5); // as uncertain as among 8 equal ones
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Perplexity {
    nll: Mean,
}

impl Perplexity {
    /// The perplexity of no tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `tokens` tokens whose mean negative log likelihood, in nats, is `nll`: the value of
    /// `cross_entropy`.
    pub fn update(&mut self, nll: impl Into<f64>, tokens: usize) {
        self.nll.update(nll, tokens);
    }

    /// The perplexity; NaN if there are no tokens.
    #[must_use]
    pub fn value(&self) -> f64 {
        Float::exp(self.nll.value())
    }

    /// The number of tokens.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nll.count()
    }

    /// Forgets all tokens.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Adds the tokens of `other`. Metrics of shards become that of all tokens, up to rounding.
    pub fn merge(&mut self, other: &Self) {
        self.nll.merge(&other.nll);
    }
}

/// The state of the mean.
impl Stateful for Perplexity {
    fn state_dict(&self) -> StateDict {
        self.nll.state_dict()
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.nll.check_state_dict(state)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.nll.load_state_dict(state)
    }
}
