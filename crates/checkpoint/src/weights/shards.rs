//! Models in several files: the index that Hugging Face writes next to them.

use super::Weights;
use super::members::{Members, find};
use super::safetensors::{Unique, json};
use crate::limits;
use adamant_files::{FileError, FormatError, Opened, START, other_kind};
use adamant_tensor::shown;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The names of a model's only file or its index in a folder of Hugging Face, in the order in which
/// `transformers` looks for them.
const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// What a path leads to.
pub(super) enum Source {
    File(PathBuf),
    Index(PathBuf),
}

impl Source {
    /// # Errors
    /// If the path is a folder without a model.
    pub(super) fn find(path: &Path) -> Result<Self, FileError> {
        let source = |path: PathBuf| match path.extension().is_some_and(|found| found == "json") {
            true => Source::Index(path),
            false => Source::File(path),
        };
        if !path.is_dir() {
            return Ok(source(path.into()));
        }
        let mut paths = NAMES.into_iter().map(|name| path.join(name));
        if let Some(path) = paths.find(|path| path.symlink_metadata().is_ok()) {
            return Ok(source(path));
        }
        let found = match other_weights(path)?.as_slice() {
            [] => "a folder without weights".to_string(),
            names => format!("a folder with {}", names.join(", ")),
        };
        Err(FileError::format(path, found, format!("{}, or the path of a file", NAMES.join(", "))))
    }
}

/// The names of files of weights in a folder: the first three.
fn other_weights(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = fs::read_dir(folder).map_err(|error| FileError::io(folder, error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let weights = |name: &String| {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|e| ["safetensors", "gguf", "bin", "pt", "pth"].contains(&e))
    };
    let mut names: Vec<String> = names.filter(weights).collect();
    names.sort();
    Ok(names.iter().take(3).map(|name| shown(name)).collect())
}

/// The file of each tensor.
pub(super) struct Index {
    /// The length of its file.
    pub(super) len: u64,
    /// The names of the shards, in order.
    pub(super) shards: Vec<String>,
    pub(super) tensors: WeightMap,
}

pub(super) struct WeightMap(Members<String>);

impl Index {
    /// # Errors
    /// If the file cannot be read, is not an index, exceeds the limits of a header, or names a shard
    /// that is not a plain name of a file.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let io = |source| FileError::io(path, source);
        let Opened { file, len, .. } = Opened::new(path)?;
        limits::check_header(len).map_err(|error| error.at(path))?;
        let mut text = Vec::with_capacity(len as usize);
        file.take(len).read_to_end(&mut text).map_err(io)?;
        Self::parse(&text).map_err(|error| error.at(path))
    }

    fn parse(text: &[u8]) -> Result<Self, FormatError> {
        #[derive(serde::Deserialize)]
        struct File {
            weight_map: Unique<String>,
        }
        let expected = "an index of shards, with a `weight_map` from tensors to files";
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(other_kind(&text[..text.len().min(START)], expected));
        }
        let File { weight_map: Unique(map) } = serde_json::from_slice(text).map_err(|error| {
            FormatError::new(format!("other JSON ({})", json(&error)), expected)
        })?;
        let shards: BTreeSet<&String> = map.iter().map(|(_, shard)| shard).collect();
        for shard in &shards {
            let mut components = Path::new(shard.as_str()).components();
            let only = (components.next(), components.next());
            if !matches!(only, (Some(Component::Normal(_)), None))
                || shard.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'))
            {
                let found = format!("the shard \"{}\"", shown(shard));
                return Err(FormatError::new(found, "the name of a file next to the index"));
            }
        }
        Ok(Index {
            len: text.len() as u64,
            shards: shards.into_iter().cloned().collect(),
            tensors: WeightMap(map),
        })
    }
}

impl WeightMap {
    /// Checks that the shards, which were opened in this order, have exactly the tensors that the
    /// index lists for them.
    pub(super) fn check(
        &self,
        index: &Path,
        shards: &[String],
        found: &Weights,
    ) -> Result<(), FileError> {
        let error = |found: String, expected: String| FileError::format(index, found, expected);
        for entry in found.entries() {
            let shard = &shards[entry.file as usize];
            let expected = match find(&self.0, entry.name()) {
                Some(listed) if listed == shard => continue,
                Some(listed) => format!("it in {}, by the index", shown(listed)),
                None => "only tensors that are in the index".into(),
            };
            let found = format!("`{}` in {}", shown(entry.name()), shown(shard));
            return Err(error(found, expected));
        }
        match self.0.iter().find(|(name, _)| found.entry(name).is_none()) {
            None => Ok(()),
            Some((name, shard)) => {
                let found = format!("no `{}` in {}", shown(name), shown(shard));
                Err(error(found, "it there, by the index".into()))
            }
        }
    }
}
