//! The flags of an example that several processes can train.

use super::count;
use adamant::parallel::Transport;
use adamant::prelude::*;
use std::error::Error;
use std::sync::Arc;

/// The processes of a training, and how its batches are cut.
#[derive(clap::Args)]
pub(crate) struct ParallelArgs {
    /// Parts of each batch, shared out to the processes of `mpirun`. The results depend on this number,
    /// and not on that of the processes
    #[arg(long, default_value_t = 1, value_parser = count)]
    shards: usize,
}

impl ParallelArgs {
    /// The processes that `mpirun` has started, or this one.
    pub(crate) fn start(&self) -> Result<DataParallel, Box<dyn Error>> {
        #[cfg(feature = "mpi")]
        let transport = Arc::new(adamant::mpi::Mpi::start()?);
        #[cfg(not(feature = "mpi"))]
        let transport = Arc::new(adamant::parallel::Alone);
        let (shards, ranks) = (self.shards, transport.ranks());
        if shards < ranks {
            return Err(format!(
                "--shards is {shards}; expected at least {ranks}, the number of processes"
            )
            .into());
        }
        Ok(DataParallel::new(transport, shards))
    }
}
