//! The contents of a checkpoint or a file of weights.

use crate::weights::{Weights, start};
use adamant_checkpoint::{Checkpoint, FileError, load_pt};
use adamant_files::is_torch;
use adamant_tensor::StateDict;
use adamant_train::names::TRAINING;
use std::path::Path;

/// The contents of a file of any kind.
pub(crate) struct Contents {
    pub(crate) kind: Kind,
    /// The length of the file in bytes.
    pub(crate) len: u64,
    pub(crate) notes: Vec<(String, String)>,
    /// A file of weights has one part, with an empty name.
    pub(crate) parts: Vec<(String, StateDict)>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Checkpoint,
    Safetensors,
    /// A folder, or the index of several files.
    SafetensorsModel,
    Gguf,
    PyTorch,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Checkpoint => "a checkpoint",
            Kind::Safetensors => "a safetensors file",
            Kind::SafetensorsModel => "a safetensors model",
            Kind::Gguf => "a GGUF file",
            Kind::PyTorch => "a PyTorch file",
        }
    }
}

impl Contents {
    /// Reads a whole file and verifies its checksums.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or of another kind.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        if let Some(weights) = Weights::open(path)? {
            let (kind, len, notes) = (weights.kind, weights.len, weights.notes());
            let parts = vec![(String::new(), weights.load()?)];
            return Ok(Contents { kind, len, notes, parts });
        }
        let (start, len) = start(path)?;
        if is_torch(&start) {
            let parts = vec![(String::new(), load_pt(path)?)];
            return Ok(Contents { kind: Kind::PyTorch, len, notes: Vec::new(), parts });
        }
        let saved = Checkpoint::load(path)?;
        Ok(Contents {
            kind: Kind::Checkpoint,
            len,
            notes: saved.notes().map(|(key, text)| (key.into(), text.into())).collect(),
            parts: parts(&saved),
        })
    }

    /// The contents of a checkpoint reduced to one part, which has no name then. A file of weights
    /// corresponds to one part, and stays as it is except for its notes.
    ///
    /// # Errors
    /// If there is no such part.
    pub(crate) fn with_only(mut self, part: &str, path: &Path) -> Result<Self, FileError> {
        if self.kind != Kind::Checkpoint {
            self.notes.clear();
            return Ok(self);
        }
        let names: Vec<&str> = self.parts.iter().map(|(name, _)| name.as_str()).collect();
        let Some(index) = names.iter().position(|name| *name == part) else {
            let found = match names.join(", ") {
                names if names.is_empty() => "a checkpoint without parts".into(),
                names => format!("the parts {names}"),
            };
            return Err(FileError::format(path, found, format!("a part `{part}`")));
        };
        self.parts = vec![(String::new(), self.parts.swap_remove(index).1)];
        self.notes.clear();
        Ok(self)
    }
}

/// The parts of a checkpoint. For that of a run, its fields instead, such as `model` and
/// `optimizer`; plain values among the fields stay together. A field with the name of another part
/// is called `training.model`.
fn parts(saved: &Checkpoint) -> Vec<(String, StateDict)> {
    let mut parts: Vec<(String, StateDict)> = Vec::new();
    for (name, state) in saved.parts() {
        if name != TRAINING {
            parts.push((name.into(), state.clone()));
            continue;
        }
        for (entry, value) in state.iter() {
            let (part, entry) = match entry.split_once('.') {
                None => (TRAINING.into(), entry),
                Some((field, rest)) if saved.part(field).is_some() => {
                    (format!("{TRAINING}.{field}"), rest)
                }
                Some((field, rest)) => (field.into(), rest),
            };
            let index = parts.iter().position(|(known, _)| *known == part).unwrap_or_else(|| {
                parts.push((part, StateDict::new()));
                parts.len() - 1
            });
            parts[index].1.insert(entry, value.clone());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_run_are_parts() {
        let names =
            ["model.0.weight", "model.0.bias", "epoch", "rng.seed", "best", "training.epoch"];
        let state = StateDict::from_iter(names.map(|name| (name, 1)));
        let rng = StateDict::from_iter([("key", 2)]);
        let saved = Checkpoint::new().with("rng", &rng).with("training", &state);
        let found = parts(&saved);
        let found: Vec<(&str, Vec<&str>)> =
            found.iter().map(|(name, state)| (name.as_str(), state.keys().collect())).collect();
        let expected = [
            ("rng", vec!["key"]),
            ("model", vec!["0.weight", "0.bias"]),
            ("training", vec!["epoch", "best"]),
            ("training.rng", vec!["seed"]),
            ("training.training", vec!["epoch"]),
        ];
        assert_eq!(found, expected);
    }
}
