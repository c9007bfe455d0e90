//! Opens a file of weights, or the files of a sharded model.

use super::entry::{ScalarEntry, TensorEntry};
use super::files::Files;
use super::listed::Listed;
use super::metadata::Metadata;
use super::pt::Room;
use super::shards::{Index, Source};
use super::values::Values;
use super::{Weights, WeightsFormat, gguf, pt, safetensors};
use crate::limits;
use adamant_files::{FileError, FormatError, Kind, Opened, other_kind};
use adamant_tensor::shown;
use std::path::Path;

/// The kind of file that a reader of any format expects, for messages.
const ANY: &str = "a file of weights: safetensors, PyTorch (.pt, .pth) or GGUF";

impl WeightsFormat {
    /// The format of a file of this kind.
    fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::SafeTensors => Some(WeightsFormat::SafeTensors),
            Kind::TorchArchive | Kind::TorchPickle | Kind::Zip => Some(WeightsFormat::PyTorch),
            Kind::Gguf => Some(WeightsFormat::Gguf),
            _ => None,
        }
    }

    /// The kind of file, for messages.
    fn expected(self) -> &'static str {
        match self {
            WeightsFormat::SafeTensors => safetensors::EXPECTED,
            WeightsFormat::PyTorch => pt::EXPECTED,
            WeightsFormat::Gguf => gguf::EXPECTED,
        }
    }
}

/// Opens a path; of this format only, if there is one.
pub(super) fn open(path: &Path, only: Option<WeightsFormat>) -> Result<Weights, FileError> {
    match Source::find(path)? {
        Source::File(file) => {
            let mut opening = Opening::new(only);
            opening.add(&file)?;
            opening.finish(path)
        }
        Source::Index(index) => {
            let Index { len, shards, tensors } = Index::read(&index)?;
            let mut opening = Opening::new(only);
            opening.count_index(len).map_err(|error| error.at(&index))?;
            for shard in &shards {
                let path = index.with_file_name(shard);
                if opening.add(&path)? == WeightsFormat::Gguf {
                    let expected = "the safetensors or PyTorch files that an index lists";
                    return Err(FileError::format(&path, gguf::EXPECTED, expected));
                }
            }
            let weights = opening.finish(&index)?;
            tensors.check(&index, &shards, &weights)?;
            Ok(weights)
        }
    }
}

/// The files that have been opened so far, and what they contain. They share the limits.
struct Opening {
    /// The format of the files, if it is known.
    format: Option<WeightsFormat>,
    files: Files,
    entries: Vec<TensorEntry>,
    scalars: Vec<ScalarEntry>,
    metadata: Option<Metadata>,
    /// The length of the index and of all headers of safetensors files.
    headers: u64,
    room: Room,
}

impl Opening {
    fn new(format: Option<WeightsFormat>) -> Self {
        let (entries, scalars, metadata) = Default::default();
        let files = Files::none();
        Opening { format, files, entries, scalars, metadata, headers: 0, room: Room::new() }
    }

    /// Counts an index of this length, whose names stay in memory until the shards are open.
    fn count_index(&mut self, len: u64) -> Result<(), FormatError> {
        self.headers = len;
        self.room.take(len as usize) // at most limits::HEADER
    }

    /// Adds a file, of the format of those before it.
    fn add(&mut self, path: &Path) -> Result<WeightsFormat, FileError> {
        let opened = Opened::new(path)?;
        let format = opened.kind().and_then(WeightsFormat::of);
        let format = format.filter(|format| self.format.is_none_or(|only| only == *format));
        let Some(format) = format else {
            let expected = self.format.map_or(ANY, WeightsFormat::expected);
            return Err(other_kind(&opened.start, expected).at(path));
        };
        self.format = Some(format);
        let file = self.files.count() as u32; // at most limits::ENTRIES
        let listed = match format {
            WeightsFormat::SafeTensors => safetensors::list(&opened, file, &mut self.headers),
            WeightsFormat::PyTorch => pt::list(&opened, file, &mut self.room),
            WeightsFormat::Gguf => gguf::list(&opened, file),
        };
        let Listed { mut entries, mut scalars, metadata } =
            listed.map_err(|error| error.at(path))?;
        let before = self.entries.len();
        scalars.iter_mut().for_each(|scalar| scalar.after += before);
        self.scalars.append(&mut scalars);
        // The entries of the only file are not copied.
        match before {
            0 => self.entries = entries,
            _ => self.entries.append(&mut entries),
        }
        self.metadata = Some(match (self.metadata.take(), metadata) {
            (Some(Metadata::Strings(mut all)), Metadata::Strings(more)) => {
                all.extend(more);
                // Of strings that the shards have in common, the first shard's stays.
                all.sort_by(|(a, _), (b, _)| a.cmp(b));
                all.dedup_by(|(a, _), (b, _)| a == b);
                Metadata::Strings(all)
            }
            (_, metadata) => metadata,
        });
        self.files.push(path, opened.file)?;
        let entries = (self.entries.len() + self.scalars.len()) as u64;
        limits::check_entries(entries).map_err(|error| error.at(path))?;
        Ok(format)
    }

    /// # Errors
    /// If two values have the same name.
    fn finish(self, path: &Path) -> Result<Weights, FileError> {
        let Opening { format, files, entries, scalars, metadata, .. } = self;
        let values = Values::new(entries, scalars).map_err(|name| {
            FileError::format(path, format!("`{}` twice", shown(&name)), "each name once")
        })?;
        Ok(Weights {
            path: path.into(),
            // An index without shards has no format of its own.
            format: format.unwrap_or(WeightsFormat::SafeTensors),
            metadata: metadata.unwrap_or(Metadata::Strings(Vec::new())),
            files,
            values,
        })
    }
}
