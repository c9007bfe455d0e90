//! The contents of a checkpoint or a safetensors file.

use adamant_checkpoint::{Checkpoint, FileError, load_safetensors};
use adamant_files::{START, is_safetensors, open};
use adamant_tensor::StateDict;
use adamant_train::names::TRAINING;
use std::io::Read;
use std::path::Path;

/// The contents of a file of either kind.
pub(crate) struct Contents {
    pub(crate) kind: Kind,
    /// The length of the file in bytes.
    pub(crate) len: u64,
    pub(crate) notes: Vec<(String, String)>,
    /// A safetensors file has one part, with an empty name.
    pub(crate) parts: Vec<(String, StateDict)>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Checkpoint,
    Safetensors,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Checkpoint => "a checkpoint",
            Kind::Safetensors => "a safetensors file",
        }
    }
}

impl Contents {
    /// Reads a whole file and verifies its checksums.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or of another kind.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let (file, len) = open(path)?;
        let mut start = Vec::new();
        let read = file.take(START as u64).read_to_end(&mut start);
        read.map_err(|error| FileError::io(path, error))?;
        if is_safetensors(&start) {
            let parts = vec![(String::new(), load_safetensors(path)?)];
            return Ok(Contents { kind: Kind::Safetensors, len, notes: Vec::new(), parts });
        }
        let saved = Checkpoint::load(path)?;
        Ok(Contents {
            kind: Kind::Checkpoint,
            len,
            notes: saved.notes().map(|(key, text)| (key.into(), text.into())).collect(),
            parts: parts(&saved),
        })
    }

    /// The contents of a checkpoint reduced to one part, which has no name then. A safetensors file
    /// stays as it is: it corresponds to one part.
    ///
    /// # Errors
    /// If there is no such part.
    pub(crate) fn with_only(mut self, part: &str, path: &Path) -> Result<Self, FileError> {
        if self.kind == Kind::Safetensors {
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
