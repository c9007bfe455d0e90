//! A folder of checkpoints, kept while a run goes on.

use crate::atomic::create_folder;
use crate::container::Checkpoint;
use crate::folder::{Better, Keep, Listing, Name, best_first, remove};
use adamant_files::FileError;
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Saves a run to a folder now and then, in the background, and finds the newest good checkpoint
/// when it starts again.
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
/// What the manager knows is what the folder holds: a file's name tells when it was saved (a
/// number that grows), the step, and the metric if there is one, as in
/// `000012-step-500-metric-0.25.ckpt`. Only one run may use a folder at a time. Dropping the
/// manager waits for a save in the background; only [`finish`](Self::finish) tells whether it
/// went well.
pub struct CheckpointManager {
    folder: PathBuf,
    every_steps: Option<u64>,
    every: Option<Duration>,
    keep: Keep,
    /// The step of the last save, or of the checkpoint that was found.
    last_step: u64,
    last_time: Instant,
    /// The numbers of files that were found damaged: they are left, but the places of those that
    /// are kept are not theirs.
    damaged: HashSet<u64>,
    /// The save in the background.
    running: Option<JoinHandle<Saved>>,
    warn: Box<dyn Fn(&FileError) + Send>,
}

/// What a save ends in: files that could not be removed after it are not its failure.
type Saved = Result<Vec<FileError>, FileError>;

impl CheckpointManager {
    /// A manager of this folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self, FileError> {
        let folder = folder.into();
        create_folder(&folder)?;
        Ok(CheckpointManager {
            folder,
            every_steps: None,
            every: None,
            keep: Keep::default(),
            last_step: 0,
            last_time: Instant::now(),
            damaged: HashSet::new(),
            running: None,
            warn: Box::new(|error| eprintln!("warning: {error}")),
        })
    }

    /// A save is due at each multiple of `steps`.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    #[track_caller]
    pub fn every_steps(mut self, steps: u64) -> Self {
        assert!(steps > 0, "every_steps: found 0, expected at least 1");
        self.every_steps = Some(steps);
        self
    }

    /// A save is due when the last one was so long ago.
    ///
    /// # Panics
    /// If it is negative or not finite.
    #[must_use]
    #[track_caller]
    pub fn every_minutes(mut self, minutes: f64) -> Self {
        let Ok(every) = Duration::try_from_secs_f64(minutes * 60.0) else {
            panic!("every_minutes: found {minutes}, expected a finite number of at least 0");
        };
        self.every = Some(every);
        self
    }

    /// Keeps the last `count` files and removes older ones; without this call all are kept.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    #[track_caller]
    pub fn keep_last(mut self, count: usize) -> Self {
        assert!(count > 0, "keep_last: found 0, expected at least 1");
        self.keep.last = Some(count);
        self
    }

    /// Keeps the file with the lowest metric too, such as a loss.
    #[must_use]
    pub fn keep_lowest(mut self) -> Self {
        self.keep.best = Some(Better::Lower);
        self
    }

    /// Keeps the file with the highest metric too, such as an accuracy.
    #[must_use]
    pub fn keep_highest(mut self) -> Self {
        self.keep.best = Some(Better::Higher);
        self
    }

    /// Tells `warn`, rather than the standard error, of a damaged file that is skipped, of one that
    /// cannot be removed, and of a last save that failed when the manager is dropped.
    #[must_use]
    pub fn on_warning(mut self, warn: impl Fn(&FileError) + Send + 'static) -> Self {
        self.warn = Box::new(warn);
        self
    }

    /// Whether it is time to save. Never, without [`every_steps`](Self::every_steps) or
    /// [`every_minutes`](Self::every_minutes).
    #[must_use]
    pub fn is_due(&self, step: u64) -> bool {
        self.every_steps.is_some_and(|n| step / n != self.last_step / n)
            || self.every.is_some_and(|every| self.last_time.elapsed() >= every)
    }

    /// Saves in the background, after the save before has come to its end. Removes what saves that
    /// were killed have left, and then the files that are not kept.
    ///
    /// # Errors
    /// That of the save before, which failed; this one has begun none the less. Its own error comes
    /// from the next call, or from [`finish`](Self::finish).
    pub fn save(&mut self, step: u64, checkpoint: Checkpoint) -> Result<(), FileError> {
        self.start(step, None, checkpoint)
    }

    /// [`save`](Self::save) with a metric, by which the best is kept and found.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
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
        let before = self.finish();
        (self.last_step, self.last_time) = (step, Instant::now());
        let (folder, keep, damaged) = (self.folder.clone(), self.keep, self.damaged.clone());
        let save = move || {
            let Listing { mut saved, stale } = Listing::of(&folder)?;
            let mut warnings = remove(&folder, stale);
            let number = saved.last().map_or(0, |name| name.number + 1);
            let name = Name { number, step, metric };
            checkpoint.save(folder.join(name.to_string()))?;
            drop(checkpoint); // training need not copy any longer
            saved.push(name);
            saved.retain(|name| !damaged.contains(&name.number));
            warnings.extend(remove(&folder, keep.surplus(&saved)));
            Ok(warnings)
        };
        let running = thread::Builder::new().name("checkpoint".into()).spawn(save);
        self.running = Some(running.map_err(|error| FileError::io(&self.folder, error))?);
        before
    }

    /// Waits until what was given to [`save`](Self::save) is on the disk.
    ///
    /// # Errors
    /// That of the save.
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

    /// The newest good checkpoint, with its step; `None` if the folder has none at all. A damaged
    /// one is skipped, with a warning.
    ///
    /// # Errors
    /// If all are damaged, or the system refuses to read one, or one is of a later version: there
    /// may be nothing wrong with it. Or that of a save before.
    pub fn newest(&mut self) -> Result<Option<(u64, Checkpoint)>, FileError> {
        self.finish()?;
        let mut names = Listing::of(&self.folder)?.saved;
        names.reverse();
        let found = self.first_good(&names)?;
        if let Some((step, _)) = found {
            self.last_step = step;
        }
        Ok(found)
    }

    /// The good checkpoint with the best metric, with its step; `None` if the folder has none with
    /// a metric. The [lowest](Self::keep_lowest) is the best, unless the
    /// [highest](Self::keep_highest) is kept. A damaged one is skipped, with a warning.
    ///
    /// # Errors
    /// As of [`newest`](Self::newest).
    pub fn best(&mut self) -> Result<Option<(u64, Checkpoint)>, FileError> {
        self.finish()?;
        let better = self.keep.best.unwrap_or(Better::Lower);
        let names = best_first(&Listing::of(&self.folder)?.saved, better);
        self.first_good(&names)
    }

    fn first_good(&mut self, names: &[Name]) -> Result<Option<(u64, Checkpoint)>, FileError> {
        for name in names {
            match Checkpoint::load(self.folder.join(name.to_string())) {
                Ok(checkpoint) => return Ok(Some((name.step, checkpoint))),
                Err(error @ FileError::Format { .. }) => {
                    (self.warn)(&error);
                    self.damaged.insert(name.number);
                }
                Err(error) => return Err(error),
            }
        }
        match names.len() {
            0 => Ok(None),
            n => Err(FileError::format(
                &self.folder,
                format!("{n} damaged checkpoints"),
                "a good one",
            )),
        }
    }
}

/// Waits for the save in the background.
impl Drop for CheckpointManager {
    fn drop(&mut self) {
        match self.running.take().map(JoinHandle::join) {
            Some(Ok(Ok(warnings))) => warnings.iter().for_each(&self.warn),
            Some(Ok(Err(error))) => (self.warn)(&error),
            Some(Err(_)) | None => {} // a panic has been told
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
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn steps(manager: &mut CheckpointManager) -> Vec<u64> {
        manager.finish().unwrap();
        Listing::of(&manager.folder).unwrap().saved.iter().map(|name| name.step).collect()
    }

    /// Texts of warnings, and what takes them.
    fn warnings() -> (Arc<Mutex<Vec<String>>>, impl Fn(&FileError) + Send + 'static) {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let told = warnings.clone();
        (warnings, move |error: &FileError| told.lock().unwrap().push(error.to_string()))
    }

    #[test]
    fn the_last_and_the_best_are_kept_whatever_the_steps() {
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
        assert_eq!(manager.newest().unwrap(), Some((6, snapshot(6)))); // the run went back
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
        let told = std::mem::take(&mut *warnings.lock().unwrap());
        assert_eq!(told.len(), 2);
        assert!(
            told[0].contains("-step-3-") && told[0].contains("damage in the header"),
            "{told:?}"
        );

        // What is saved now is newer than the damaged one, though its step is not.
        manager.save(3, snapshot(33)).unwrap();
        assert_eq!(manager.newest().unwrap(), Some((3, snapshot(33))));

        for name in names(folder.path()) {
            fs::write(path(&name), "").unwrap();
        }
        let error = manager.newest().unwrap_err().to_string();
        assert!(error.ends_with("found 4 damaged checkpoints, expected a good one"), "{error}");
    }

    #[test]
    fn a_damaged_file_takes_no_place_among_those_that_are_kept() {
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
    fn temporaries_of_killed_saves_are_removed_and_others_left() {
        let folder = tempfile::tempdir().unwrap();
        let (stale, other) = (".000003-step-7.ckpt.x7Yz.tmp", ".notes.txt.x7Yz.tmp");
        for name in [stale, other] {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        let mut manager = CheckpointManager::new(folder.path()).unwrap();
        manager.newest().unwrap();
        assert_eq!(names(folder.path()), [stale, other]); // it may be another run's
        manager.save(1, snapshot(0)).unwrap();
        manager.finish().unwrap();
        assert_eq!(names(folder.path()), [other, "000000-step-1.ckpt"]);
    }

    #[test]
    fn what_cannot_be_removed_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let (warnings, warn) = warnings();
        let stale = ".000003-step-7.ckpt.x7Yz.tmp";
        for name in [stale, "000000-step-1.ckpt"] {
            fs::create_dir(folder.path().join(name)).unwrap(); // `remove_file` refuses it
        }
        let mut manager =
            CheckpointManager::new(folder.path()).unwrap().keep_last(1).on_warning(warn);
        manager.save(2, snapshot(2)).unwrap();
        manager.save(3, snapshot(3)).unwrap();
        assert_eq!(manager.newest().unwrap(), Some((3, snapshot(3))));
        assert_eq!(names(folder.path()), [stale, "000000-step-1.ckpt", "000002-step-3.ckpt"]);
        let told = std::mem::take(&mut *warnings.lock().unwrap());
        assert_eq!(told.len(), 4);
        assert!(told[0].contains(stale) && told[1].contains("-step-1."), "{told:?}");
    }

    #[test]
    fn what_may_be_whole_is_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut manager = CheckpointManager::new(folder.path()).unwrap();
        manager.save(1, snapshot(1)).unwrap();
        manager.save(2, snapshot(2)).unwrap();
        manager.finish().unwrap();
        let newest = folder.path().join("000001-step-2.ckpt");
        let mut bytes = fs::read(&newest).unwrap();
        bytes[8] = 2; // a later version,
        bytes[30] ^= 1; // whose header is another one
        fs::write(&newest, bytes).unwrap();
        let error = manager.newest().unwrap_err();
        assert!(matches!(error, FileError::Version { found: 2, .. }), "{error}");
        fs::remove_file(&newest).unwrap();
        fs::create_dir(&newest).unwrap(); // stands for a file that cannot be read
        let error = manager.newest().unwrap_err();
        assert!(matches!(error, FileError::Io { .. }), "{error}");
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
        manager.finish().unwrap();
        let mut manager = new().every_steps(10); // the run starts again
        assert_eq!(manager.newest().unwrap().unwrap().0, 11);
        assert_eq!(due(&manager, &[11, 19, 20]), [false, false, true]);
        assert!(new().every_minutes(0.0).is_due(1));
        assert!(!new().every_minutes(1e6).is_due(1));
    }

    #[test]
    fn an_error_in_the_background_is_told_by_the_next_call() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("a").join("run");
        let mut manager = CheckpointManager::new(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        manager.save(1, snapshot(0)).unwrap();
        assert!(manager.finish().is_err());
        manager.save(2, snapshot(0)).unwrap();
        while !manager.running.as_ref().unwrap().is_finished() {
            thread::yield_now();
        }
        fs::create_dir(&folder).unwrap();
        assert!(manager.save(3, snapshot(0)).is_err()); // that of 2, which does not cost 3
        drop(manager); // waits
        assert_eq!(names(&folder), ["000000-step-3.ckpt"]);
    }
}
