//! Two data sets in sequence.

use crate::dataset::{Dataset, Labeled};
use crate::error::DataError;

/// The samples of one data set, then those of another: [`Dataset::concat`].
#[derive(Clone, Debug)]
pub struct Concat<A, B> {
    first: A,
    second: B,
}

impl<A, B> Concat<A, B> {
    pub(crate) fn new(first: A, second: B) -> Self {
        Concat { first, second }
    }
}

impl<A: Dataset, B: Dataset<Sample = A::Sample>> Dataset for Concat<A, B> {
    type Sample = A::Sample;

    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn get(&self, index: usize) -> Result<A::Sample, DataError> {
        match index.checked_sub(self.first.len()) {
            None => self.first.get(index),
            Some(rest) => self.second.get(rest),
        }
    }
}

impl<A: Labeled, B: Labeled + Dataset<Sample = A::Sample>> Labeled for Concat<A, B> {
    fn label(&self, index: usize) -> usize {
        match index.checked_sub(self.first.len()) {
            None => self.first.label(index),
            Some(rest) => self.second.label(rest),
        }
    }
}
