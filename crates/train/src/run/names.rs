//! The names in a run's folder, for the command `adamant` too.

/// The file with what was logged; there from a run's start.
pub const METRICS: &str = "metrics.jsonl";

/// The file with what the run was started with.
pub const CONFIG: &str = "config.json";

/// The file that is locked during a run.
pub const LOCK: &str = adamant_checkpoint::LOCK;

/// The part of a checkpoint that is the program's state.
pub const TRAINING: &str = "training";

/// The note of a checkpoint with the number of rows that were logged before it.
pub(super) const ROWS: &str = "rows logged";
