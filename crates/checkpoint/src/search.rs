//! Finding a checkpoint in a manager's folder.

use crate::container::Checkpoint;
use crate::folder::{Better, Name, best_first, list};
use adamant_files::FileError;
use std::io::ErrorKind;
use std::path::Path;

/// Which checkpoint of a folder is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one that was saved last.
    Newest,
    /// The one with the lowest metric, such as a loss.
    Lowest,
    /// The one with the highest metric, such as an accuracy.
    Highest,
}

/// The first good checkpoint of a [manager's](crate::CheckpointManager) folder in this order, with
/// its step; `None` if the folder has no checkpoints, or none with a metric. Damaged ones are
/// skipped, and reported to `warn`.
///
/// It only reads, without the folder's lock: a run may be in progress there.
///
/// # Errors
/// If the folder does not exist, all checkpoints are damaged, or one cannot be read or has a later
/// version (it may be intact).
pub fn find_checkpoint(
    folder: impl AsRef<Path>,
    order: Order,
    mut warn: impl FnMut(&FileError),
) -> Result<Option<(u64, Checkpoint)>, FileError> {
    // A file may be removed after the folder was listed: then there is a newer one.
    const ATTEMPTS: usize = 5;
    let folder = folder.as_ref();
    for _ in 1..ATTEMPTS {
        match first_good(folder, order, &mut |_, error| warn(error)) {
            Err(FileError::Io { path, source })
                if source.kind() == ErrorKind::NotFound && path != folder => {}
            found => return found,
        }
    }
    first_good(folder, order, &mut |_, error| warn(error))
}

/// `damaged` receives the numbers of damaged files.
pub(crate) fn first_good(
    folder: &Path,
    order: Order,
    damaged: &mut dyn FnMut(u64, &FileError),
) -> Result<Option<(u64, Checkpoint)>, FileError> {
    let mut names = list(folder)?;
    let names: Vec<Name> = match order {
        Order::Newest => {
            names.reverse();
            names
        }
        Order::Lowest => best_first(&names, Better::Lower),
        Order::Highest => best_first(&names, Better::Higher),
    };
    for name in &names {
        match Checkpoint::load(folder.join(name.to_string())) {
            Ok(checkpoint) => return Ok(Some((name.step, checkpoint))),
            Err(error @ FileError::Format { .. }) => damaged(name.number, &error),
            Err(error) => return Err(error),
        }
    }
    match names.len() {
        0 => Ok(None),
        n => Err(FileError::format(folder, format!("{n} damaged checkpoints"), "a good one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CheckpointManager;
    use adamant_tensor::Generator;

    #[test]
    fn a_folder_is_searched_while_it_is_locked() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("run");
        let find = |order| find_checkpoint(&folder, order, |error| panic!("{error}"));
        assert!(matches!(find(Order::Newest), Err(FileError::Io { .. })));
        assert!(!folder.exists());
        let mut manager = CheckpointManager::new(&folder).unwrap();
        assert_eq!(find(Order::Newest).unwrap(), None);
        let saved = |seed| Checkpoint::new().with("rng", &Generator::seed(seed));
        for (step, metric) in [(1, 0.5), (2, 0.25), (3, 0.75), (4, 0.5)] {
            manager.save_with_metric(step, metric, saved(step)).unwrap();
        }
        manager.finish().unwrap();
        for (order, step) in [(Order::Newest, 4), (Order::Lowest, 2), (Order::Highest, 3)] {
            assert_eq!(find(order).unwrap(), Some((step, saved(step))));
        }
    }
}
