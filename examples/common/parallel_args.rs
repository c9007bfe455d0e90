//! The flags of an example that several processes can train.

use super::count;
use adamant::parallel::{Transport, TransportError};
use adamant::prelude::*;
use adamant::train::{RunError, exit};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

/// The processes of a training, and how its batches are cut.
#[derive(clap::Args)]
pub(crate) struct ParallelArgs {
    /// Number of parts of each batch, which are distributed among the processes of `mpirun`. Results
    /// depend on it, not on the number of processes
    #[arg(long, default_value_t = 1, value_parser = count)]
    shards: usize,
}

impl ParallelArgs {
    /// Calls `train` with the processes that `mpirun` has started, or this one alone. An error of one
    /// process ends the others too, which would wait for it.
    pub(crate) fn run(
        &self,
        train: impl FnOnce(&DataParallel) -> Result<(), Box<dyn Error>>,
    ) -> ExitCode {
        let transport = match transport() {
            Ok(transport) => transport,
            Err(error) => return exit(Err(error)),
        };
        let (shards, ranks) = (self.shards, transport.ranks());
        if shards < ranks {
            let expected = format!("expected at least {ranks}, the number of processes");
            return exit(Err(format!("--shards is {shards}; {expected}")));
        }
        let result = train(&DataParallel::new(transport.clone(), shards));
        if let Err(error) = &result
            && ranks > 1
            && !matches!(error.downcast_ref(), Some(RunError::Interrupted(_)))
        {
            transport.abort(&error.to_string());
        }
        exit(result)
    }
}

#[cfg(feature = "mpi")]
fn transport() -> Result<Arc<dyn Transport>, TransportError> {
    Ok(Arc::new(adamant::mpi::Mpi::start()?))
}

#[cfg(not(feature = "mpi"))]
fn transport() -> Result<Arc<dyn Transport>, TransportError> {
    Ok(Arc::new(adamant::parallel::Alone))
}
