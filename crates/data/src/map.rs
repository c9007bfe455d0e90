//! Transformed samples.

use crate::dataset::Dataset;
use crate::error::DataError;

/// A data set whose samples are transformed by a function: [`Dataset::map`].
#[derive(Clone, Debug)]
pub struct Map<D, F> {
    data: D,
    f: F,
}

impl<D, F> Map<D, F> {
    pub(crate) fn new(data: D, f: F) -> Self {
        Map { data, f }
    }
}

impl<D: Dataset, S, F: Fn(D::Sample) -> Result<S, DataError>> Dataset for Map<D, F> {
    type Sample = S;

    fn len(&self) -> usize {
        self.data.len()
    }

    fn get(&self, index: usize) -> Result<S, DataError> {
        (self.f)(self.data.get(index)?)
    }
}
