//! The error of opening a model.

use adamant_files::FileError;
use adamant_nn::LoadError;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a model was not opened.
#[derive(Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file cannot be read, is damaged, or is not that of such a model.
    #[error(transparent)]
    File(#[from] FileError),
    /// The weights do not fit the configuration.
    #[error("{}: {error}", path.display())]
    Weights {
        /// The file or folder.
        path: PathBuf,
        /// All mismatches.
        error: LoadError,
    },
}

adamant_tensor::debug_as_display!(ModelError);

impl ModelError {
    pub(crate) fn weights(path: &Path, error: LoadError) -> Self {
        ModelError::Weights { path: path.into(), error }
    }
}
