//! A folder of checkpoints, maintained during a run.

use crate::container::Checkpoint;
use crate::folder::{Better, Keep, Name, list, remove};
use crate::lock::FolderLock;
use crate::read::check;
use crate::search::{Order, first_good};
use adamant_files::{FileError, create_folder, remove_stale};
use std::collections::HashSet;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Saves a run to a folder at intervals, in the background, and finds the newest good checkpoint
/// when the run restarts.
///
/// ```
/// use adamant_checkpoint::{Checkpoint, CheckpointManager};
/// # use adamant_tensor::Generator;
/// # let runs = tempfile::tempdir().unwrap();
/// # let folder = runs.path().join("digits");
/// # let (mut model, mut adam) = (Generator::seed(0), Generator::seed(1)); // anything with a state
/// let mut checkpoints = CheckpointManager::new(&folder)?.every_steps(100).keep_last(2);
/// let mut step = 0;
/// if let Some((at, saved)) = checkpoints.newest()? {
///     saved.restore(&mut [("model", &mut model), ("optimizer", &mut adam)])?;
///     step = at;
/// }
/// while step < 1000 {
///     // … a step of training …
///     step += 1;
///     if checkpoints.is_due(step) {
///         let now = Checkpoint::new().with("model", &model).with("optimizer", &adam);
///         checkpoints.save(step, now)?;
///     }
/// }
/// checkpoints.finish()?;
/// assert_eq!(checkpoints.newest()?.map(|(step, _)| step), Some(1000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The manager's only record is the folder: a file's name contains the count of saves, the step,
/// and the metric if there is one, as in `000012-step-500-metric-0.25.ckpt`.
///
/// Only one manager can use a folder at a time: it locks the file `.lock` there, and a second one,
/// in this process or another, is an error. A killed process does not keep its lock. To read the
/// files of a run in progress, use [`find_checkpoint`](crate::find_checkpoint) or
/// [`Checkpoint::load`].
///
/// Dropping the manager waits for the save in the background; only [`finish`](Self::finish) returns
/// its error.
pub struct CheckpointManager {
    lock: FolderLock,
    folder: PathBuf,
    every_steps: Option<u64>,
    every: Option<Duration>,
    keep: Keep,
    /// The step of the last save, or of the checkpoint that was loaded.
    last_step: u64,
    last_time: Instant,
    /// The numbers of damaged files. They are not removed, and do not count among the files to keep.
    damaged: HashSet<u64>,
    /// The save in the background.
    running: Option<JoinHandle<Saved>>,
    before_save: BeforeSave,
    warn: Box<dyn Fn(&FileError) + Send>,
}

/// Work to be done before each save; returns warnings.
type BeforeSave = Arc<dyn Fn() -> Vec<FileError> + Send + Sync>;

/// The result of a save. Old files that could not be removed are warnings, not a failure.
type Saved = Result<Vec<FileError>, FileError>;

impl CheckpointManager {
    /// A manager of this folder, which is created if it does not exist.
    ///
    /// # Errors
    /// If the folder cannot be created, or another manager uses it ([`FileError::InUse`]).
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, FileError> {
        let folder = folder.into();
        create_folder(&folder)?;
        Ok(CheckpointManager {
            lock: FolderLock::take(&folder)?,
            folder,
            every_steps: None,
            every: None,
            keep: Keep::default(),
            last_step: 0,
            last_time: Instant::now(),
            damaged: HashSet::new(),
            running: None,
            before_save: Arc::new(Vec::new),
            warn: Box::new(|error| {
                let _ = writeln!(io::stderr(), "warning: {error}"); // it may be closed
            }),
        })
    }

    /// A save is due at each multiple of `steps`; default never.
    ///
    /// # Panics
    /// If `steps` is 0.
    #[must_use]
    #[track_caller]
    pub fn every_steps(mut self, steps: u64) -> Self {
        assert!(steps > 0, "CheckpointManager: every_steps is 0; expected at least 1");
        self.every_steps = Some(steps);
        self
    }

    /// A save is due when this time has passed since the last one; default never.
    ///
    /// # Panics
    /// If `minutes` is negative, NaN, or more than a `Duration` holds.
    #[must_use]
    #[track_caller]
    pub fn every_minutes(mut self, minutes: f64) -> Self {
        let Ok(every) = Duration::try_from_secs_f64(minutes * 60.0) else {
            panic!(
                "CheckpointManager: every_minutes is {minutes:?}; expected a number from 0 to 3e17"
            );
        };
        self.every = Some(every);
        self
    }

    /// Keeps the last `count` files and removes older ones; default all.
    ///
    /// Older files are removed after a save. If the disk is full, they are removed one by one until
    /// the save succeeds, but never the newest good one: with `keep_last(1)`, the disk needs room
    /// for two.
    ///
    /// # Panics
    /// If `count` is 0.
    #[must_use]
    #[track_caller]
    pub fn keep_last(mut self, count: usize) -> Self {
        assert!(count > 0, "CheckpointManager: keep_last is 0; expected at least 1");
        self.keep.last = Some(count);
        self
    }

    /// Also keeps the file with the lowest metric, such as a loss.
    #[must_use]
    pub fn keep_lowest(mut self) -> Self {
        self.keep.best = Some(Better::Lower);
        self
    }

    /// Also keeps the file with the highest metric, such as an accuracy.
    #[must_use]
    pub fn keep_highest(mut self) -> Self {
        self.keep.best = Some(Better::Higher);
        self
    }

    /// Calls `warn` for a damaged file that is skipped, a file that cannot be removed, and a failed
    /// save when the manager is dropped; default prints to the standard error.
    #[must_use]
    pub fn on_warning(mut self, warn: impl Fn(&FileError) + Send + 'static) -> Self {
        self.warn = Box::new(warn);
        self
    }

    /// Calls `prepare` at the start of each save, in the background, before the checkpoint is
    /// written: for other files that must be on the disk when the checkpoint is, such as a log. It
    /// returns warnings; default nothing.
    #[must_use]
    pub fn before_save(
        mut self,
        prepare: impl Fn() -> Vec<FileError> + Send + Sync + 'static,
    ) -> Self {
        self.before_save = Arc::new(prepare);
        self
    }

    /// Whether a save is due, by [`every_steps`](Self::every_steps) or
    /// [`every_minutes`](Self::every_minutes).
    #[must_use]
    pub fn is_due(&self, step: u64) -> bool {
        self.every_steps.is_some_and(|n| step / n != self.last_step / n)
            || self.every.is_some_and(|every| self.last_time.elapsed() >= every)
    }

    /// Saves in the background, after the previous save has finished. Removes temporary files that
    /// killed saves left behind, and after the save the files that are not kept.
    ///
    /// # Errors
    /// If the previous save failed; this one has started nevertheless. Its own error is returned by
    /// the next call, or by [`finish`](Self::finish).
    pub fn save(&mut self, step: u64, checkpoint: Checkpoint) -> Result<(), FileError> {
        self.start(step, None, checkpoint)
    }

    /// [`save`](Self::save) with a metric, which determines the best checkpoint.
    ///
    /// # Errors
    /// Like [`save`](Self::save).
    pub fn save_with_metric(
        &mut self,
        step: u64,
        metric: f64,
        checkpoint: Checkpoint,
    ) -> Result<(), FileError> {
        self.start(step, Some(metric), checkpoint)
    }

    fn start(
        &mut self,
        step: u64,
        metric: Option<f64>,
        checkpoint: Checkpoint,
    ) -> Result<(), FileError> {
        self.warn_if_unlocked();
        let before = self.finish();
        (self.last_step, self.last_time) = (step, Instant::now());
        let save = Save {
            folder: self.folder.clone(),
            keep: self.keep,
            damaged: self.damaged.clone(),
            step,
            metric,
            checkpoint,
            before: self.before_save.clone(),
        };
        let running = thread::Builder::new().name("checkpoint".into()).spawn(|| save.run());
        match running {
            Ok(running) => self.running = Some(running),
            Err(error) => {
                if let Err(previous) = &before {
                    (self.warn)(previous);
                }
                return Err(FileError::io(&self.folder, error));
            }
        }
        before
    }

    /// Waits until the last [`save`](Self::save) is on the disk.
    ///
    /// # Errors
    /// If that save failed.
    pub fn finish(&mut self) -> Result<(), FileError> {
        match self.running.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(saved)) => {
                saved?.iter().for_each(&self.warn);
                Ok(())
            }
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }

    /// The newest good checkpoint, with its step; `None` if the folder has no checkpoints. Damaged
    /// ones are skipped, with a warning.
    ///
    /// # Errors
    /// If all checkpoints are damaged, or one cannot be read or has a later version (it may be
    /// intact), or the previous save failed.
    pub fn newest(&mut self) -> Result<Option<(u64, Checkpoint)>, FileError> {
        self.finish()?;
        let found = self.first_good(Order::Newest)?;
        if let Some((step, _)) = found {
            self.last_step = step;
        }
        Ok(found)
    }

    /// The good checkpoint with the best metric, with its step; `None` if no checkpoint has a
    /// metric. The best is the highest with [`keep_highest`](Self::keep_highest), else the lowest.
    /// Damaged ones are skipped, with a warning.
    ///
    /// # Errors
    /// Like [`newest`](Self::newest).
    pub fn best(&mut self) -> Result<Option<(u64, Checkpoint)>, FileError> {
        self.finish()?;
        self.first_good(match self.keep.best {
            Some(Better::Higher) => Order::Highest,
            Some(Better::Lower) | None => Order::Lowest,
        })
    }

    fn first_good(&mut self, order: Order) -> Result<Option<(u64, Checkpoint)>, FileError> {
        self.warn_if_unlocked();
        let CheckpointManager { folder, warn, damaged, .. } = self;
        first_good(folder, order, &mut |number, error| {
            warn(error);
            damaged.insert(number);
        })
    }

    /// Warns once if a second process can use the folder.
    fn warn_if_unlocked(&mut self) {
        self.lock.warning.take().iter().for_each(&self.warn);
    }
}

/// A save, with everything that it needs from its manager.
struct Save {
    folder: PathBuf,
    keep: Keep,
    damaged: HashSet<u64>,
    step: u64,
    metric: Option<f64>,
    checkpoint: Checkpoint,
    before: BeforeSave,
}

impl Save {
    fn run(self) -> Saved {
        let Save { folder, keep, damaged, step, metric, checkpoint, before } = self;
        let mut warnings = before();
        warnings.extend(remove_stale(&folder, |target| Name::parse(target).is_some())?);
        let mut saved = list(&folder)?;
        let number = saved.last().map_or(0, |name| name.number + 1);
        let name = Name { number, step, metric };
        saved.retain(|name| !damaged.contains(&name.number));
        saved.push(name);
        let mut surplus = keep.surplus(&saved);
        let mut good = None;
        while let Err(error) = checkpoint.save(folder.join(name.to_string())) {
            if !is_full(&error) || surplus.is_empty() {
                return Err(error);
            }
            // Make room by removing the oldest of the files that this save would remove anyway, but
            // not the newest good one, which is needed until this save succeeds.
            let newest_good = || {
                let older = saved.iter().rev().filter(|older| older.number != number);
                older.copied().find(|older| check(&folder.join(older.to_string())).is_ok())
            };
            let Some(good) = *good.get_or_insert_with(newest_good) else { return Err(error) };
            if surplus[0].number >= good.number {
                return Err(error);
            }
            warnings.extend(remove(&folder, [surplus.remove(0)]));
        }
        drop(checkpoint); // training no longer has to copy the arrays before it writes to them
        warnings.extend(remove(&folder, surplus));
        Ok(warnings)
    }
}

/// Whether the disk was full.
fn is_full(error: &FileError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, FileError::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}

/// Waits for the save in the background.
impl Drop for CheckpointManager {
    fn drop(&mut self) {
        match self.running.take().map(JoinHandle::join) {
            Some(Ok(Ok(warnings))) => warnings.iter().for_each(&self.warn),
            Some(Ok(Err(error))) => (self.warn)(&error),
            Some(Err(_)) | None => {} // the thread has printed its panic
        }
    }
}

impl fmt::Debug for CheckpointManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointManager").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_files::failing;
    use adamant_tensor::Generator;
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    fn snapshot(seed: u64) -> Checkpoint {
        Checkpoint::new().with("rng", &Generator::seed(seed))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != crate::lock::NAME).collect();
        names.sort();
        names
    }

    fn steps(manager: &mut CheckpointManager) -> Vec<u64> {
        manager.finish().unwrap();
        list(&manager.folder).unwrap().iter().map(|name| name.step).collect()
    }

    /// A list of warnings, and the closure that adds to it.
    fn warnings() -> (Arc<Mutex<Vec<String>>>, impl Fn(&FileError) + Send + 'static) {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let list = warnings.clone();
        (warnings, move |error: &FileError| list.lock().unwrap().push(error.to_string()))
    }

    #[test]
    fn the_last_and_the_best_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut manager =
            CheckpointManager::new(folder.path()).unwrap().keep_last(2).keep_highest();
        fs::write(folder.path().join("readme.txt"), "mine").unwrap();
        let metrics = [Some(0.5), Some(0.9), Some(f64::NAN), None, Some(0.9), Some(0.2)];
        for (metric, step) in metrics.into_iter().zip([10, 20, 30, 40, 5, 6]) {
            let snapshot = snapshot(step);
            match metric {
                Some(metric) => manager.save_with_metric(step, metric, snapshot).unwrap(),
                None => manager.save(step, snapshot).unwrap(),
            }
        }
        assert_eq!(steps(&mut manager), [20, 5, 6]);
        assert_eq!(manager.newest().unwrap(), Some((6, snapshot(6)))); // an earlier step, saved later
        assert_eq!(manager.best().unwrap(), Some((20, snapshot(20))));
        let mut others = names(folder.path());
        others.retain(|name| Name::parse(name).is_none());
        assert_eq!(others, ["readme.txt"]);
    }

    #[test]
    fn damaged_files_are_skipped_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let (warnings, warn) = warnings();
        let mut manager = CheckpointManager::new(folder.path()).unwrap().on_warning(warn);
        assert_eq!(manager.newest().unwrap(), None);
        for step in [1, 2, 3] {
            manager.save_with_metric(step, 1.0 / step as f64, snapshot(step)).unwrap();
        }
        manager.finish().unwrap();
        let path = |name: &str| folder.path().join(name);
        let third = path("000002-step-3-metric-0.3333333333333333.ckpt");
        let mut bytes = fs::read(&third).unwrap();
        bytes[100] ^= 1;
        fs::write(&third, bytes).unwrap();
        assert_eq!(manager.newest().unwrap(), Some((2, snapshot(2))));
        assert_eq!(manager.best().unwrap(), Some((2, snapshot(2))));
        let texts = std::mem::take(&mut *warnings.lock().unwrap());
        assert_eq!(texts.len(), 2);
        assert!(
            texts[0].contains("-step-3-") && texts[0].contains("damage in the header"),
            "{texts:?}"
        );

        // A new save is newer than the damaged one, though its step is not.
        manager.save(3, snapshot(33)).unwrap();
        assert_eq!(manager.newest().unwrap(), Some((3, snapshot(33))));

        for name in names(folder.path()) {
            fs::write(path(&name), "").unwrap();
        }
        let error = manager.newest().unwrap_err().to_string();
        assert!(error.ends_with("found 4 damaged checkpoints, expected a good one"), "{error}");
    }

    #[test]
    fn damaged_files_do_not_count_as_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (_, warn) = warnings();
        let mut manager = CheckpointManager::new(folder.path()).unwrap().on_warning(warn);
        for (step, loss) in [(1, 0.1), (2, 0.2), (3, 0.3)] {
            manager.save_with_metric(step, loss, snapshot(step)).unwrap();
        }
        manager.finish().unwrap();
        fs::write(folder.path().join("000000-step-1-metric-0.1.ckpt"), "").unwrap();
        let mut manager = manager.keep_last(1).keep_lowest();
        assert_eq!(manager.best().unwrap(), Some((2, snapshot(2))));
        manager.save_with_metric(4, 0.4, snapshot(4)).unwrap();
        assert_eq!(steps(&mut manager), [1, 2, 4]);
    }

    #[test]
    fn stale_temporaries_are_removed_and_other_files_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (stale, other) = (".000003-step-7.ckpt.x7YzQ2.tmp", ".notes.txt.x7YzQ2.tmp");
        for name in [stale, other] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        let mut manager = CheckpointManager::new(folder.path()).unwrap();
        manager.newest().unwrap();
        assert_eq!(names(folder.path()), [stale, other]); // reading removes nothing
        manager.save(1, snapshot(0)).unwrap();
        manager.finish().unwrap();
        assert_eq!(names(folder.path()), [other, "000000-step-1.ckpt"]);
    }

    #[test]
    fn a_failed_removal_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let (warnings, warn) = warnings();
        fs::create_dir(folder.path().join("000000-step-1.ckpt")).unwrap(); // `remove_file` fails on it
        let mut manager =
            CheckpointManager::new(folder.path()).unwrap().keep_last(1).on_warning(warn);
        manager.save(2, snapshot(2)).unwrap();
        manager.save(3, snapshot(3)).unwrap();
        assert_eq!(manager.newest().unwrap(), Some((3, snapshot(3))));
        assert_eq!(names(folder.path()), ["000000-step-1.ckpt", "000002-step-3.ckpt"]);
        let texts = std::mem::take(&mut *warnings.lock().unwrap());
        assert_eq!(texts.len(), 2);
        assert!(texts[0].contains("-step-1."), "{texts:?}");
    }

    #[test]
    fn a_folder_has_one_manager_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let new = || CheckpointManager::new(folder.path());
        let mut manager = new().unwrap();
        let error = new().unwrap_err();
        assert!(matches!(error, FileError::InUse { .. }), "{error}");
        let expected = "found a folder in use by this process itself, expected one that";
        assert!(error.to_string().contains(expected), "{error}");
        manager.save(1, snapshot(1)).unwrap();
        drop(manager);
        assert_eq!(new().unwrap().newest().unwrap(), Some((1, snapshot(1))));
        // The contents of an unlocked file do not matter.
        fs::write(folder.path().join(crate::lock::NAME), "process 1 on earth").unwrap();
        drop(new().unwrap());
    }

    /// Saves with `keep_last(keep)` to a folder of three files, one of them `damaged`, where the
    /// disk is full in these calls. Returns the steps left, whether the save succeeded, and the
    /// calls.
    fn on_a_full_disk(
        keep: usize,
        damaged: Option<u64>,
        full: std::ops::Range<usize>,
    ) -> (Vec<u64>, bool, Vec<&'static str>) {
        let folder = tempfile::tempdir().unwrap();
        let mut manager = CheckpointManager::new(folder.path()).unwrap();
        (1..=3).for_each(|step| manager.save(step, snapshot(step)).unwrap());
        drop(manager);
        if let Some(step) = damaged {
            fs::write(folder.path().join(format!("{:06}-step-{step}.ckpt", step - 1)), "").unwrap();
        }
        let save = Save {
            folder: folder.path().into(),
            keep: Keep { last: Some(keep), best: None },
            damaged: HashSet::new(),
            step: 4,
            metric: None,
            checkpoint: snapshot(4),
            before: Arc::new(Vec::new),
        };
        let (result, calls) = failing(full, io::ErrorKind::StorageFull, || save.run());
        if let Err(error) = &result {
            assert!(is_full(error), "{error}");
        }
        let steps = list(folder.path()).unwrap().iter().map(|name| name.step).collect();
        (steps, result.is_ok(), calls)
    }

    #[test]
    fn a_full_disk_removes_no_more_than_it_must() {
        let (steps, good, calls) = on_a_full_disk(3, None, 0..0);
        assert_eq!((steps, good), (vec![2, 3, 4], true));
        let write = calls.iter().position(|&call| call == "write").unwrap();
        // With four files to keep, none is removed.
        assert_eq!(on_a_full_disk(4, None, write..write + 2).0, [1, 2, 3]);
        assert!(!on_a_full_disk(4, None, write..write + 2).1);
        // One write fails: the same files are removed as after any save.
        let (steps, good, calls) = on_a_full_disk(3, None, write..write + 2);
        assert_eq!((steps, good), (vec![2, 3, 4], true));
        let saves = calls.iter().filter(|&&call| call == "create").count();
        assert_eq!(saves, 2);
        // All writes fail: the oldest files are removed, and the newest good one stays.
        for (keep, damaged, left) in [
            (3, None, vec![2, 3]),
            (2, None, vec![3]),
            (1, None, vec![3]),
            (1, Some(3), vec![2, 3]), // a damaged file stays
            (2, Some(3), vec![2, 3]),
            (1, Some(1), vec![3]),
        ] {
            let (steps, good, _) = on_a_full_disk(keep, damaged, write..usize::MAX);
            assert_eq!((steps, good), (left, false), "keep_last({keep}), {damaged:?} damaged");
        }
    }

    #[test]
    fn files_that_may_be_intact_are_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut manager = CheckpointManager::new(folder.path()).unwrap();
        manager.save(1, snapshot(1)).unwrap();
        manager.save(2, snapshot(2)).unwrap();
        manager.finish().unwrap();
        let newest = folder.path().join("000001-step-2.ckpt");
        let mut bytes = fs::read(&newest).unwrap();
        bytes[8] = 2; // a later version
        bytes[30] ^= 1; // with another header
        fs::write(&newest, bytes).unwrap();
        let error = manager.newest().unwrap_err();
        assert!(matches!(error, FileError::Version { found: 2, .. }), "{error}");
        fs::remove_file(&newest).unwrap();
        fs::create_dir(&newest).unwrap(); // in place of a file that cannot be read
        let error = manager.newest().unwrap_err();
        assert!(matches!(error, FileError::Io { .. }), "{error}");
    }

    #[test]
    #[should_panic(expected = "every_minutes is 1e300; expected a number from 0 to 3e17")]
    fn an_interval_beyond_all_time_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _ = CheckpointManager::new(folder.path()).unwrap().every_minutes(1e300);
    }

    #[test]
    fn a_folder_that_cannot_be_locked_is_a_warning_once() {
        let runs = tempfile::tempdir().unwrap();
        let new = |name: &str| CheckpointManager::new(runs.path().join(name)).unwrap();
        let (_, calls) = failing(0..0, io::ErrorKind::Unsupported, || new("a"));
        let lock = calls.iter().position(|&call| call == "lock").unwrap();
        let manager = failing(lock..lock + 1, io::ErrorKind::Unsupported, || new("b")).0;
        let (warnings, warn) = warnings();
        let mut manager = manager.on_warning(warn);
        assert_eq!(manager.newest().unwrap(), None);
        manager.save(1, snapshot(1)).unwrap();
        manager.finish().unwrap();
        let texts = std::mem::take(&mut *warnings.lock().unwrap());
        assert_eq!(texts.len(), 1);
        assert!(texts[0].contains("found a file system without locks"), "{texts:?}");
    }

    #[test]
    fn work_is_done_before_each_save() {
        let folder = tempfile::tempdir().unwrap();
        let (warnings, warn) = warnings();
        let path = folder.path().to_path_buf();
        let mut manager = CheckpointManager::new(folder.path())
            .unwrap()
            .on_warning(warn)
            .before_save(move || {
                let saved = list(&path).unwrap().len();
                vec![FileError::io(&path, io::Error::other(format!("after {saved} saves")))]
            });
        manager.save(1, snapshot(1)).unwrap();
        manager.save(2, snapshot(2)).unwrap();
        manager.finish().unwrap();
        let texts = std::mem::take(&mut *warnings.lock().unwrap());
        let ends = ["after 0 saves", "after 1 saves"];
        assert!(texts.iter().zip(ends).all(|(text, end)| text.ends_with(end)), "{texts:?}");
        assert_eq!(texts.len(), 2);
    }

    #[test]
    fn a_save_is_due_by_steps_or_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let new = || CheckpointManager::new(folder.path()).unwrap();
        assert!(!new().is_due(100));
        let mut manager = new().every_steps(10);
        let due = |manager: &CheckpointManager, steps: &[u64]| -> Vec<bool> {
            steps.iter().map(|&step| manager.is_due(step)).collect()
        };
        assert_eq!(due(&manager, &[0, 9, 10, 11]), [false, false, true, true]);
        manager.save(11, snapshot(0)).unwrap();
        assert_eq!(due(&manager, &[11, 19, 20]), [false, false, true]);
        drop(manager);
        let mut manager = new().every_steps(10); // a restarted run
        assert_eq!(manager.newest().unwrap().unwrap().0, 11);
        assert_eq!(due(&manager, &[11, 19, 20]), [false, false, true]);
        drop(manager);
        assert_eq!(new().every_minutes(1.5).every, Some(Duration::from_secs(90)));
        assert!(new().every_minutes(0.0).is_due(1));
        assert!(!new().every_minutes(1e6).is_due(1));
    }

    #[test]
    fn the_next_call_returns_a_background_error() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("a").join("run");
        let mut manager = CheckpointManager::new(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        manager.save(1, snapshot(0)).unwrap();
        assert!(manager.finish().is_err());
        manager.save(2, snapshot(0)).unwrap();
        while !manager.running.as_ref().unwrap().is_finished() {
            thread::yield_now();
        }
        fs::create_dir(&folder).unwrap();
        assert!(manager.save(3, snapshot(0)).is_err()); // the error of save 2; save 3 still runs
        drop(manager); // waits
        assert_eq!(names(&folder), ["000000-step-3.ckpt"]);
    }
}
