//! The position of a loader, which its epochs share.

use super::plan::{EpochPlan, Loaded};
use super::workers::Workers;
use crate::error::DataError;
use adamant_tensor::Generator;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a loader is.
pub(super) struct Cursor<B> {
    /// The sampler's generator.
    pub(super) rng: Generator,
    /// The generator before it drew the order of this epoch.
    pub(super) before: Generator,
    /// The number of epochs that have been started.
    pub(super) epochs: u64,
    /// The current epoch; `None` before the first one.
    pub(super) plan: Option<Arc<EpochPlan<B>>>,
    /// The number of samples of this epoch that have been returned; `None` before the first one.
    pub(super) returned: Option<usize>,
    /// Whether a state was loaded in the middle of an epoch, which `epoch` resumes.
    pub(super) resumes: bool,
    pub(super) skipped: u64,
    pub(super) threads: usize,
    pub(super) workers: Option<Workers<B>>,
}

/// At the same position, without workers.
impl<B> Clone for Cursor<B> {
    fn clone(&self) -> Self {
        Cursor {
            rng: self.rng.clone(),
            before: self.before.clone(),
            plan: self.plan.clone(),
            workers: None,
            ..*self
        }
    }
}

impl<B> Cursor<B> {
    /// Before the first epoch.
    pub(super) fn new(rng: Generator) -> Self {
        Cursor {
            before: rng.clone(),
            rng,
            epochs: 0,
            plan: None,
            returned: None,
            resumes: false,
            skipped: 0,
            threads: 0,
            workers: None,
        }
    }

    /// Back to before the first epoch, with this generator.
    pub(super) fn reset(&mut self, rng: Generator) {
        *self = Cursor { threads: self.threads, ..Cursor::new(rng) };
    }

    /// Drops the rest of this epoch.
    pub(super) fn end(&mut self) {
        self.returned = self.plan.as_ref().map(|plan| plan.order.len());
        self.workers = None;
    }

    pub(super) fn start(&mut self, plan: EpochPlan<B>) {
        (self.plan, self.returned) = (Some(Arc::new(plan)), Some(0));
        (self.workers, self.resumes) = (None, false);
        self.epochs += 1;
    }
}

impl<B: Send + 'static> Cursor<B> {
    /// The number of batches left in this epoch.
    pub(super) fn batches_left(&self) -> usize {
        let Some(plan) = &self.plan else { return 0 };
        (plan.order.len() - self.returned.unwrap_or(0)).div_ceil(plan.batch_size)
    }

    /// The next batch of this epoch, or `None` at its end.
    fn take(&mut self) -> Option<Loaded<B>> {
        let plan = self.plan.as_ref()?;
        let returned = self.returned.filter(|&returned| returned < plan.order.len())?;
        let number = returned / plan.batch_size;
        let end = plan.order.len().min(returned.saturating_add(plan.batch_size));
        self.returned = Some(end);
        let loaded = if self.threads == 0 {
            plan.load(number)
        } else {
            let start = || Workers::start(plan.clone(), number, self.threads);
            self.workers.get_or_insert_with(start).take(number)
        };
        if end == plan.order.len() {
            self.workers = None;
        }
        self.skipped += loaded.skipped.len() as u64;
        Some(loaded)
    }
}

/// A panic while a batch is loaded leaves the position after that batch.
pub(super) fn lock<B>(cursor: &Mutex<Cursor<B>>) -> MutexGuard<'_, Cursor<B>> {
    cursor.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next batch of the epoch of this number (from 1), or `None` at its end or if another epoch was
/// started.
pub(super) fn next<B: Send + 'static>(
    cursor: &Mutex<Cursor<B>>,
    epoch: u64,
) -> Option<Result<B, DataError>> {
    let (loaded, on_skip) = {
        let mut cursor = lock(cursor);
        if cursor.epochs != epoch {
            return None;
        }
        let on_skip = cursor.plan.as_ref().and_then(|plan| plan.on_skip.clone());
        (cursor.take()?, on_skip)
    };
    // Not under the lock: the function may use the loader.
    if let Some(on_skip) = on_skip {
        loaded.skipped.iter().for_each(|error| on_skip(error));
    }
    Some(loaded.batch)
}
