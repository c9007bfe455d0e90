//! The contents of a checkpoint or a file of weights.

use crate::text::{bytes, count};
use adamant_checkpoint::{Checkpoint, FileError, Weights, WeightsFormat};
use adamant_files::{Kind, Opened};
use adamant_tensor::StateDict;
use adamant_train::names::TRAINING;
use std::fmt;
use std::path::Path;

/// A file of weights, or a folder or index of one; `None` for a checkpoint.
///
/// # Errors
/// If it cannot be read, is damaged, or of another kind.
pub(crate) fn open_weights(path: &Path) -> Result<Option<Weights>, FileError> {
    let is_file = !path.is_dir();
    match is_file && Opened::new(path)?.kind() == Some(Kind::Checkpoint) {
        true => Ok(None),
        false => Weights::open(path).map(Some),
    }
}

/// What a file is, how large, and what has been verified, in one line.
pub(crate) enum Summary {
    Checkpoint { bytes: u64 },
    Weights { format: WeightsFormat, files: usize, bytes: u64, checksums: bool },
}

impl Summary {
    pub(crate) fn of(weights: &Weights) -> Self {
        Summary::Weights {
            format: weights.format(),
            files: weights.files().len(),
            bytes: weights.file_bytes(),
            checksums: weights.has_checksums(),
        }
    }
}

/// `a checkpoint, 598.4 KiB, intact`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Summary::Checkpoint { bytes: len } => {
                write!(f, "a checkpoint, {}, intact", bytes(*len))
            }
            Summary::Weights { format, files, bytes: len, checksums } => {
                let verified = if *checksums { "intact" } else { "complete, without checksums" };
                match files {
                    1 => write!(f, "a {format} file")?,
                    _ => write!(f, "a {format} model in {}", count(*files, "file"))?,
                }
                write!(f, ", {}, {verified}", bytes(*len))
            }
        }
    }
}

/// What a file says about its model.
pub(crate) fn notes(weights: &Weights) -> Vec<(String, String)> {
    // Of a safetensors file, these say by which program it was written.
    if weights.format() != WeightsFormat::Gguf {
        return Vec::new();
    }
    let note = |key: &str| Some((key.into(), weights.metadata(key)?.to_string()));
    weights.metadata_keys().into_iter().filter_map(note).collect()
}

/// The contents of a file of any kind.
pub(crate) struct Contents {
    pub(crate) summary: Summary,
    pub(crate) notes: Vec<(String, String)>,
    /// A file of weights has one part, with an empty name.
    pub(crate) parts: Vec<(String, StateDict)>,
}

impl Contents {
    /// Reads a whole file and verifies its checksums.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or of another kind.
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        match open_weights(path)? {
            Some(weights) => {
                let (summary, notes) = (Summary::of(&weights), notes(&weights));
                let parts = vec![(String::new(), weights.into_state_dict()?)];
                Ok(Contents { summary, notes, parts })
            }
            None => Contents::read_checkpoint(path),
        }
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If it cannot be read, is damaged, or of another kind.
    pub(crate) fn read_checkpoint(path: &Path) -> Result<Self, FileError> {
        let bytes = Opened::new(path)?.len;
        let saved = Checkpoint::load(path)?;
        Ok(Contents {
            summary: Summary::Checkpoint { bytes },
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
        if matches!(self.summary, Summary::Weights { .. }) {
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
