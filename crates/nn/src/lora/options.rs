//! The options of a [`Lora`](crate::Lora).

use super::LoraError;

/// The options of a [`Lora`](crate::Lora), with the names and defaults of Python's `peft`.
///
/// Python: `peft.LoraConfig`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoraOptions {
    /// See [`rank`](LoraOptions::rank()).
    pub rank: usize,
    /// See [`lora_alpha`](LoraOptions::lora_alpha()).
    pub lora_alpha: f64,
    /// See [`lora_dropout`](LoraOptions::lora_dropout()).
    pub lora_dropout: f64,
    /// See [`use_rslora`](LoraOptions::use_rslora()).
    pub use_rslora: bool,
    /// See [`target_modules`](LoraOptions::target_modules()) and
    /// [`all_linear`](LoraOptions::all_linear).
    pub target_modules: TargetModules,
    /// See [`exclude_modules`](LoraOptions::exclude_modules()).
    pub exclude_modules: Vec<String>,
    /// See [`init_lora_weights`](LoraOptions::init_lora_weights()).
    pub init_lora_weights: LoraInit,
}

/// The layers that get an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetModules {
    /// Those with one of these names.
    Names(Vec<String>),
    /// All linear layers except a head.
    AllLinear,
}

/// How `A` starts. `B` starts as zero, so that the model computes the same as without adapters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoraInit {
    /// Kaiming-uniform with a = √5, as the weight of a [`Linear`](crate::Linear).
    #[default]
    Kaiming,
    /// Normal with standard deviation `1 / rank`.
    Gaussian,
}

impl Default for LoraOptions {
    fn default() -> Self {
        LoraOptions {
            rank: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            use_rslora: false,
            target_modules: TargetModules::Names(Vec::new()),
            exclude_modules: Vec::new(),
            init_lora_weights: LoraInit::Kaiming,
        }
    }
}

impl LoraOptions {
    /// The rank of what is added to a weight, at least 1; default 8. In `peft`: `r`.
    #[must_use]
    pub fn rank(self, rank: usize) -> Self {
        LoraOptions { rank, ..self }
    }

    /// The numerator of the scale, `lora_alpha / rank`; default 8.
    #[must_use]
    pub fn lora_alpha(self, lora_alpha: f64) -> Self {
        LoraOptions { lora_alpha, ..self }
    }

    /// The probability with which an adapter drops an element of its input, at least 0 and below 1;
    /// default 0.
    #[must_use]
    pub fn lora_dropout(self, lora_dropout: f64) -> Self {
        LoraOptions { lora_dropout, ..self }
    }

    /// Whether the scale is `lora_alpha / √rank` (rank-stabilized LoRA); default false.
    #[must_use]
    pub fn use_rslora(self, use_rslora: bool) -> Self {
        LoraOptions { use_rslora, ..self }
    }

    /// The layers that get an adapter: those whose path is one of these names or ends in one.
    /// `q_proj` is every layer of this name, `3.mlp.down_proj` one layer; default none, which
    /// [`Lora::new`](crate::Lora::new) rejects.
    #[must_use]
    pub fn target_modules(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        LoraOptions { target_modules: TargetModules::Names(names), ..self }
    }

    /// An adapter for each linear layer, except one named `lm_head`, `classifier` or `score`, the
    /// names of heads in Hugging Face's models. In `peft`: `target_modules="all-linear"`.
    #[must_use]
    pub fn all_linear(self) -> Self {
        LoraOptions { target_modules: TargetModules::AllLinear, ..self }
    }

    /// Layers that do not get an adapter, by names that match as those of
    /// [`target_modules`](LoraOptions::target_modules()); default none.
    #[must_use]
    pub fn exclude_modules(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        LoraOptions { exclude_modules: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// How `A` starts; default [`LoraInit::Kaiming`].
    #[must_use]
    pub fn init_lora_weights(self, init_lora_weights: LoraInit) -> Self {
        LoraOptions { init_lora_weights, ..self }
    }

    /// The factor of an adapter's output.
    pub(super) fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    pub(super) fn check(&self) -> Result<(), LoraError> {
        let wrong = |option, found, expected| Err(LoraError::Option { option, found, expected });
        if self.rank == 0 {
            return wrong("rank", "0".into(), "at least 1");
        }
        if !self.lora_alpha.is_finite() {
            return wrong("lora_alpha", format!("{:?}", self.lora_alpha), "finite");
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let found = format!("{:?}", self.lora_dropout);
            return wrong("lora_dropout", found, "at least 0 and below 1");
        }
        Ok(())
    }

    /// Whether the layer at `path` gets an adapter.
    pub(super) fn chooses(&self, path: &str) -> bool {
        let is_target = match &self.target_modules {
            TargetModules::Names(names) => names.iter().any(|name| matches(name, path)),
            TargetModules::AllLinear => !HEADS.iter().any(|name| matches(name, path)),
        };
        is_target && !self.exclude_modules.iter().any(|name| matches(name, path))
    }
}

/// The names of heads in Hugging Face's models.
const HEADS: [&str; 3] = ["lm_head", "classifier", "score"];

/// Whether `name` is `path` or its end, from the beginning of a component.
pub(super) fn matches(name: &str, path: &str) -> bool {
    path.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_components() {
        assert!(matches("q_proj", "layers.0.q_proj") && matches("q_proj", "q_proj"));
        assert!(matches("0.q_proj", "layers.0.q_proj") && !matches("0.q_proj", "layers.10.q_proj"));
        assert!(!matches("proj", "layers.0.q_proj") && !matches("layers", "layers.0"));
    }

    #[test]
    fn the_scale_is_that_of_peft() {
        let options = LoraOptions::default().rank(4).lora_alpha(6.0);
        assert_eq!(options.scale(), 1.5);
        assert_eq!(options.use_rslora(true).scale(), 3.0);
        assert_eq!(LoraOptions::default().scale(), 1.0);
    }
}
