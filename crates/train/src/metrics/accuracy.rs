//! Accuracy and top-k accuracy.

use super::checks::{check_classes, check_len, elements};
use super::fields::Fields;
use adamant_tensor::{Float, StateDict, StateError, Stateful, Tensor};

/// The fraction of samples whose target is the class with the largest logit, or among the `k`
/// largest.
///
/// Of equal logits, the class with the smaller index comes first, as in
/// [`argmax`](Tensor::argmax); scikit-learn's top-k accuracy takes the larger index. A NaN comes
/// before all numbers.
///
/// PyTorch: `torchmetrics.classification.MulticlassAccuracy(average="micro")`. scikit-learn:
/// `accuracy_score`, `top_k_accuracy_score`.
///
/// ```
/// use adamant_tensor::Tensor;
/// use adamant_train::Accuracy;
/// let logits = Tensor::from_vec(vec![0.1f32, 0.7, 0.2, 0.5, 0.1, 0.4], [2, 3]).unwrap();
/// let (mut accuracy, mut top2) = (Accuracy::new(), Accuracy::new().top_k(2));
/// accuracy.update(&logits, &[1, 2]);
/// top2.update(&logits, &[1, 2]);
/// assert_eq!((accuracy.value(), top2.value()), (0.5, 1.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accuracy {
    top_k: usize,
    correct: u64,
    count: u64,
}

impl Default for Accuracy {
    fn default() -> Self {
        Self::new()
    }
}

impl Accuracy {
    /// The accuracy of no samples.
    #[must_use]
    pub fn new() -> Self {
        Accuracy { top_k: 1, correct: 0, count: 0 }
    }

    /// The number of largest logits among which the target must be; default 1.
    ///
    /// # Panics
    /// If `k` is 0.
    #[must_use]
    #[track_caller]
    pub fn top_k(mut self, k: usize) -> Self {
        assert!(k > 0, "Accuracy::top_k: k is 0; expected at least 1");
        self.top_k = k;
        self
    }

    /// Adds the samples of a batch: logits or probabilities `[N, C]`, and `N` classes.
    ///
    /// # Panics
    /// If `logits` is not a matrix with at least `k` columns, if there is not one target for each
    /// row, or if a target is not a class.
    #[track_caller]
    pub fn update<T: Float>(&mut self, logits: &Tensor<T>, targets: &[usize]) {
        let op = "Accuracy::update";
        let &[rows, classes] = logits.shape() else {
            panic!("{op}: logits has shape {}; expected [N, C]", logits.array().shape())
        };
        let k = self.top_k;
        assert!(k <= classes, "{op}: top_k is {k}; expected at most the {classes} classes");
        check_len(op, targets, rows);
        check_classes(op, "targets", targets, classes);
        let elements = elements(logits);
        let rows = elements.chunks_exact(classes).zip(targets);
        self.correct += rows.filter(|(row, target)| rank(row, **target) < k).count() as u64;
        self.count += targets.len() as u64;
    }

    /// Adds the samples of a batch, from the predicted classes. For one logit for each sample:
    /// `1` where it is above 0, else `0`.
    ///
    /// ```
    /// use adamant_train::Accuracy;
    /// let mut accuracy = Accuracy::new();
    /// accuracy.update_predictions(&[0, 1, 1, 0], &[0, 1, 0, 0]);
    /// assert_eq!((accuracy.correct(), accuracy.count(), accuracy.value()), (3, 4, 0.75));
    /// ```
    ///
    /// # Panics
    /// If the numbers of predictions and targets differ, or if `top_k` is not 1.
    #[track_caller]
    pub fn update_predictions(&mut self, predictions: &[usize], targets: &[usize]) {
        let (op, k) = ("Accuracy::update_predictions", self.top_k);
        assert!(k == 1, "{op}: top_k is {k}; expected 1, for a single prediction");
        check_len(op, targets, predictions.len());
        let pairs = predictions.iter().zip(targets);
        self.correct += pairs.filter(|(prediction, target)| prediction == target).count() as u64;
        self.count += targets.len() as u64;
    }

    /// The accuracy, from 0 to 1; NaN if there are no samples.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.correct as f64 / self.count as f64
    }

    /// The number of samples that are predicted correctly.
    #[must_use]
    pub fn correct(&self) -> u64 {
        self.correct
    }

    /// The number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        *self = Accuracy { top_k: self.top_k, ..Self::new() };
    }

    /// Adds the samples of `other`. Metrics of shards become exactly that of all samples.
    ///
    /// # Panics
    /// If `other` has another `top_k`.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        let (k, expected) = (other.top_k, self.top_k);
        assert!(k == expected, "Accuracy::merge: top_k of other is {k}; expected {expected}");
        self.correct += other.correct;
        self.count += other.count;
    }

    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let top_k = self.top_k;
        let mut fields = Fields::new(state, &["top_k", "correct", "count"]);
        if let Some(found) = fields.count("top_k") {
            let fits = found == top_k as u64;
            fields.require(fits, "top_k", &found.to_string(), &top_k.to_string());
        }
        let read = fields.count("correct").zip(fields.count("count"));
        if let Some((correct, count)) = read {
            let expected = format!("at most `count`, {count}");
            fields.require(correct <= count, "correct", &correct.to_string(), &expected);
        }
        fields.finish(read.map(|(correct, count)| Accuracy { top_k, correct, count }))
    }
}

/// The number of elements that come before the one at `index`, from the largest on.
fn rank<T: Float>(row: &[T], index: usize) -> usize {
    let own = row[index];
    let before = |&(i, x): &(usize, T)| match (x.is_nan(), own.is_nan()) {
        (false, false) => x > own || (x == own && i < index),
        (true, true) => i < index,
        (nan, _) => nan,
    };
    row.iter().copied().enumerate().filter(before).count()
}

/// `correct` and `count`. `top_k` must equal that of the metric that loads the state.
impl Stateful for Accuracy {
    fn state_dict(&self) -> StateDict {
        StateDict::from_iter([
            ("top_k", self.top_k as i64),
            ("correct", self.correct as i64),
            ("count", self.count as i64),
        ])
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = self.read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_logits_and_nan_rank_as_in_argmax() {
        let nan = f32::NAN;
        for row in [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [nan, 2.0, nan], [2.0, nan, nan], [nan; 3]] {
            let first = Tensor::from(row).argmax(0)[0];
            assert_eq!(rank(&row, first), 0, "{row:?}");
            let mut ranks = [0, 1, 2].map(|index| rank(&row, index));
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2], "{row:?}");
        }
    }

    #[test]
    fn a_view_is_read_in_its_own_order() {
        let logits = Tensor::from_vec(vec![0.0f32, 5.0, 1.0, 0.0], [2, 2]).unwrap();
        let mut accuracy = Accuracy::new();
        accuracy.update(&logits.transpose(0, 1), &[1, 0]);
        assert_eq!(accuracy.value(), 1.0);
    }
}
