//! Two data sets in sequence.

use crate::dataset::{Dataset, Labeled};
use crate::error::DataError;

/// The samples of one data set, then those of another: [`Dataset::chain`].
#[derive(Clone, Debug)]
pub struct Chain<A, B> {
    first: A,
    second: B,
}

impl<A, B> Chain<A, B> {
    pub(crate) fn new(first: A, second: B) -> Self {
        Chain { first, second }
    }
}

impl<A: Dataset, B: Dataset<Sample = A::Sample>> Dataset for Chain<A, B> {
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

impl<A: Labeled, B: Labeled + Dataset<Sample = A::Sample>> Labeled for Chain<A, B> {
    fn label(&self, index: usize) -> usize {
        match index.checked_sub(self.first.len()) {
            None => self.first.label(index),
            Some(rest) => self.second.label(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_continue_in_the_second_set() {
        let both = Dataset::chain(vec![5, 6], vec![7usize]).chain(Vec::new());
        assert_eq!(both.len(), 3);
        assert_eq!((0..3).map(|i| both.get(i).unwrap()).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(both.labels(), [5, 6, 7]);
    }
}
