//! Why a run stops.

use adamant_files::FileError;
use adamant_tensor::StateError;
use adamant_transport::TransportError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a run could not start, or stopped.
#[derive(Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file of the run's folder could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The run's newest checkpoint does not fit the program's state.
    #[error("{}, step {step}: {error}", folder.display())]
    State {
        /// The run's folder.
        folder: PathBuf,
        /// The checkpoint's step.
        step: u64,
        /// All mismatches.
        error: StateError,
    },
    /// Ctrl-C was pressed or SIGTERM arrived, and the run is saved.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The ranks could not exchange data.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Another rank of the run has an error.
    #[error("rank {rank}: {message}")]
    OtherRank {
        /// The rank.
        rank: usize,
        /// The message of its error.
        message: String,
    },
}

/// A run that was saved and stopped on Ctrl-C or SIGTERM. Its message names the step and the
/// command that resumes the run; [`exit`](crate::exit) ends the program with status 130.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("interrupted after step {step}, which is saved in {}; to resume:\n  {command}", folder.display())]
pub struct Interrupted {
    /// The last finished step.
    pub step: u64,
    /// The run's folder.
    pub folder: PathBuf,
    /// The command that resumes the run: the one that started this process.
    pub command: String,
    /// The rank of this process: [`exit`](crate::exit) prints the message of rank 0 only.
    pub rank: usize,
}

adamant_tensor::debug_as_display!(RunError, Interrupted);
