//! Models in several files: the index that Hugging Face writes next to them.

use super::header::{Members, Unique, find};
use crate::limits;
use crate::tensor_files::TensorFiles;
use adamant_files::{FileError, FormatError, START, open, other_kind};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The name of a model's only file.
const FILE: &str = "model.safetensors";
/// The name of the index of a model's shards.
const INDEX: &str = "model.safetensors.index.json";

/// What a path leads to.
pub(super) enum Source {
    File(PathBuf),
    Index(PathBuf),
}

impl Source {
    /// # Errors
    /// If the path is a folder without a model.
    pub(super) fn find(path: &Path) -> Result<Self, FileError> {
        let is_index = path.extension().is_some_and(|extension| extension == "json");
        if !path.is_dir() {
            let path = path.into();
            return Ok(if is_index { Source::Index(path) } else { Source::File(path) });
        }
        let [file, index] = [FILE, INDEX].map(|name| path.join(name));
        // As in `transformers`, the file comes first if there are both.
        if file.exists() {
            return Ok(Source::File(file));
        }
        if index.exists() {
            return Ok(Source::Index(index));
        }
        let found = match other_weights(path)?.as_slice() {
            [] => "a folder without weights".to_string(),
            names => format!("a folder with {}", names.join(", ")),
        };
        Err(FileError::format(path, found, format!("{FILE} or {INDEX}, or the path of a file")))
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
    names.truncate(3);
    Ok(names)
}

/// The file of each tensor.
pub(super) struct Index {
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
        let (file, len) = open(path)?;
        limits::check_header(len).map_err(|error| error.at(path))?;
        let mut text = Vec::new();
        file.take(len).read_to_end(&mut text).map_err(io)?;
        let shards = Self::parse(&text).map_err(|error| error.at(path))?;
        Ok(shards)
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
        let File { weight_map: Unique(map) } = serde_json::from_slice(text)
            .map_err(|error| FormatError::new(format!("other JSON ({error})"), expected))?;
        let shards: BTreeSet<&String> = map.iter().map(|(_, shard)| shard).collect();
        for shard in &shards {
            let mut components = Path::new(shard.as_str()).components();
            let only = (components.next(), components.next());
            if !matches!(only, (Some(Component::Normal(_)), None)) || shard.contains(['/', '\\']) {
                let found = format!("the shard {shard:?}");
                return Err(FormatError::new(found, "the name of a file next to the index"));
            }
        }
        Ok(Index { shards: shards.into_iter().cloned().collect(), tensors: WeightMap(map) })
    }
}

impl WeightMap {
    /// Checks that the shards, which were opened in this order, have exactly the tensors that the
    /// index lists for them.
    pub(super) fn check(
        &self,
        index: &Path,
        shards: &[String],
        found: &TensorFiles,
    ) -> Result<(), FileError> {
        let error = |found: String, expected: String| FileError::format(index, found, expected);
        for entry in found.entries() {
            let shard = &shards[entry.file as usize];
            match find(&self.0, entry.name()) {
                Some(listed) if listed == shard => {}
                Some(listed) => {
                    let found = format!("`{}` in {shard}", entry.name());
                    return Err(error(found, format!("it in {listed}, by the index")));
                }
                None => {
                    let found = format!("`{}` in {shard}", entry.name());
                    return Err(error(found, "only tensors that are in the index".into()));
                }
            }
        }
        match self.0.iter().find(|(name, _)| found.entry(name).is_none()) {
            None => Ok(()),
            Some((name, shard)) => {
                Err(error(format!("no `{name}` in {shard}"), "it there, by the index".into()))
            }
        }
    }
}
