//! The batches of one epoch, as iterators.

use super::cursor::{Cursor, lock, next};
use crate::error::DataError;
use std::fmt;
use std::sync::{Arc, Mutex};

/// The batches of one epoch: [`DataLoader::epoch`](crate::DataLoader::epoch).
///
/// It does not borrow the loader: the loop's body can save the loader's state, and so that of the
/// whole training. It ends if the loader starts another epoch. Dropping it ends the epoch.
pub struct Epoch<B> {
    cursor: Arc<Mutex<Cursor<B>>>,
    number: u64,
}

impl<B> Epoch<B> {
    /// The rest of the epoch of this number.
    pub(super) fn new(cursor: Arc<Mutex<Cursor<B>>>, number: u64) -> Self {
        Epoch { cursor, number }
    }
}

impl<B: Send + 'static> Epoch<B> {
    fn batches_left(&self) -> usize {
        let cursor = lock(&self.cursor);
        if cursor.epochs == self.number { cursor.batches_left() } else { 0 }
    }
}

impl<B> Drop for Epoch<B> {
    fn drop(&mut self) {
        let mut cursor = lock(&self.cursor);
        if cursor.epochs == self.number {
            cursor.end();
        }
    }
}

impl<B> fmt::Debug for Epoch<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.number)
    }
}

impl<B: Send + 'static> Iterator for Epoch<B> {
    type Item = B;

    #[track_caller]
    fn next(&mut self) -> Option<B> {
        match next(&self.cursor, self.number)? {
            Ok(batch) => Some(batch),
            Err(error) => panic!("epoch: {error}"),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let batches = self.batches_left();
        (batches, Some(batches))
    }
}

impl<B: Send + 'static> ExactSizeIterator for Epoch<B> {}

/// The batches of one epoch, or their errors: [`DataLoader::try_epoch`](crate::DataLoader::try_epoch).
#[derive(Debug)]
pub struct TryEpoch<B> {
    epoch: Epoch<B>,
    /// The error of a loader whose epochs have no batches.
    error: Option<DataError>,
}

impl<B> TryEpoch<B> {
    pub(super) fn new(epoch: Epoch<B>, error: Option<DataError>) -> Self {
        TryEpoch { epoch, error }
    }
}

impl<B: Send + 'static> Iterator for TryEpoch<B> {
    type Item = Result<B, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.error.take() {
            Some(error) => Some(Err(error)),
            None => next(&self.epoch.cursor, self.epoch.number),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let batches = self.epoch.batches_left() + usize::from(self.error.is_some());
        (batches, Some(batches))
    }
}

impl<B: Send + 'static> ExactSizeIterator for TryEpoch<B> {}
