//! A folder per run: checkpoints, metrics, configuration; progress on the screen.

mod append;
mod clock;
mod config;
mod error;
mod events;
mod exit;
mod folder;
mod history;
mod log;
mod margin;
mod progress;
mod session;
mod signals;

pub use config::{RunConfig, Session};
pub use error::{Interrupted, RunError};
pub use exit::exit;
pub use folder::RunFolder;
pub use history::{History, Row};
pub use session::Run;
