//! The area under the receiver operating characteristic.

use super::checks::{check_classes, check_len, elements};
use super::fields::{Fields, saved_counts, saved_floats};
use adamant_tensor::{Float, StateDict, StateError, Stateful, Tensor};

/// The area under the ROC curve: the probability that a positive sample has a higher score than a
/// negative one, where an equal score counts half.
///
/// It is computed from ranks in integers, hence exactly, however scores are tied. It is NaN if all
/// samples are of one class, and if a score is NaN (scikit-learn raises an error then).
///
/// Scores and targets of all samples are kept: 16 bytes for a sample of a binary metric, and
/// 8 (C + 1) for one with C classes. Reading the value sorts them.
///
/// PyTorch: `torchmetrics.classification.BinaryAUROC`, `MulticlassAUROC`. scikit-learn:
/// `roc_auc_score`, with `multi_class="ovr"`.
///
/// ```
/// use adamant_tensor::Tensor;
/// use adamant_train::Auroc;
/// let mut auroc = Auroc::new();
/// auroc.update(&Tensor::from([0.1f32, 0.4, 0.35, 0.8]), &[0, 0, 1, 1]);
/// assert_eq!(auroc.value(), 0.75);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Auroc {
    /// `[N, columns]`.
    scores: Vec<f64>,
    /// `[N]`.
    targets: Vec<usize>,
    /// 1 for a binary metric, else the number of classes.
    columns: usize,
}

impl Default for Auroc {
    fn default() -> Self {
        Self::new()
    }
}

impl Auroc {
    /// The metric of no samples, for targets 0 and 1 and one score for each sample.
    ///
    /// The score may be a logit or a probability: only its order matters.
    #[must_use]
    pub fn new() -> Self {
        Auroc { scores: Vec::new(), targets: Vec::new(), columns: 1 }
    }

    /// The metric of no samples, for several classes and a score for each: the mean over classes of
    /// the area of one class against the rest.
    ///
    /// The scores of a class are compared between samples, so they should be probabilities, such as
    /// `logits.softmax(1)`: a logit says little without the others of its row. The mean is NaN if
    /// one of the classes has no samples.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// use adamant_train::Auroc;
    /// let logits = Tensor::from([[2.0f32, 0.0, 1.0], [0.0, 3.0, 1.0], [2.0, 0.0, 1.5]]);
    /// let mut auroc = Auroc::with_classes(3);
    /// auroc.update(&logits.softmax(1), &[0, 1, 2]);
    /// assert_eq!((auroc.value(), auroc.per_class()), (1.0, vec![1.0; 3]));
    /// ```
    ///
    /// # Panics
    /// If there are fewer than two classes.
    #[must_use]
    #[track_caller]
    pub fn with_classes(classes: usize) -> Self {
        assert!(classes >= 2, "Auroc::with_classes: classes is {classes}; expected at least 2");
        Auroc { columns: classes, ..Self::new() }
    }

    fn classes(&self) -> usize {
        self.columns.max(2)
    }

    /// Adds the samples of a batch: scores `[N]` or `[N, 1]`, or for several classes `[N, C]`; and
    /// `N` classes.
    ///
    /// # Panics
    /// If the scores have another shape, if there is not one target for each sample, or if a target
    /// is not a class.
    #[track_caller]
    pub fn update<T: Float>(&mut self, scores: &Tensor<T>, targets: &[usize]) {
        let op = "Auroc::update";
        let samples = match *scores.shape() {
            [samples] if self.columns == 1 => samples,
            [samples, columns] if columns == self.columns => samples,
            _ => {
                let expected = match self.columns {
                    1 => "[N] or [N, 1]".to_string(),
                    classes => format!("[N, {classes}]"),
                };
                panic!("{op}: scores has shape {}; expected {expected}", scores.array().shape())
            }
        };
        check_len(op, targets, samples);
        check_classes(op, "targets", targets, self.classes());
        self.scores.extend(elements(scores).iter().map(|score| score.to_f64()));
        self.targets.extend(targets);
    }

    /// The area, or the mean over the classes.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.per_class().iter().sum::<f64>() / self.columns as f64
    }

    /// The area of each class against the rest; of a binary metric, that of class 1 alone.
    #[must_use]
    pub fn per_class(&self) -> Vec<f64> {
        let mut samples = Vec::with_capacity(self.targets.len());
        let area = |column| {
            let positive = if self.columns == 1 { 1 } else { column };
            let scores = self.scores.iter().skip(column).step_by(self.columns).copied();
            samples.clear();
            samples.extend(scores.zip(self.targets.iter().map(|&target| target == positive)));
            area(&mut samples)
        };
        (0..self.columns).map(area).collect()
    }

    /// The number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.targets.len() as u64
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        self.scores.clear();
        self.targets.clear();
    }

    /// Adds the samples of `other`. The value is exactly that of all samples, in any order.
    ///
    /// # Panics
    /// If `other` has another number of scores for each sample.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        let (found, expected) = (other.columns, self.columns);
        assert!(
            found == expected,
            "Auroc::merge: other has {found} scores for each sample; expected {expected}"
        );
        self.scores.extend(&other.scores);
        self.targets.extend(&other.targets);
    }

    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let (columns, classes) = (self.columns, self.classes());
        let mut fields = Fields::new(state, &["scores", "targets"]);
        let Some(targets) = fields.vector_of_counts("targets") else { return fields.finish(None) };
        let scores = fields.floats("scores", &[targets.len(), columns]);
        let targets: Vec<usize> = targets.into_iter().map(|target| target as usize).collect();
        if let Some(target) = targets.iter().find(|&&target| target >= classes) {
            let expected = format!("classes below {classes}");
            fields.require(false, "targets", &target.to_string(), &expected);
        }
        fields.finish(scores.map(|scores| Auroc { scores, targets, columns }))
    }
}

/// The area for samples of a score and whether they are positive. Sorts the samples.
fn area(samples: &mut [(f64, bool)]) -> f64 {
    if samples.iter().any(|(score, _)| score.is_nan()) {
        return f64::NAN;
    }
    samples.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    let (mut positives, mut negatives) = (0u128, 0u128);
    // Twice the number of pairs of a positive sample and a negative one below it; a tie is half.
    let mut twice_below = 0u128;
    for ties in samples.chunk_by(|(a, _), (b, _)| a == b) {
        let up = ties.iter().filter(|(_, positive)| *positive).count() as u128;
        let down = ties.len() as u128 - up;
        twice_below += up * (2 * negatives + down);
        positives += up;
        negatives += down;
    }
    twice_below as f64 / (2 * positives * negatives) as f64
}

/// `scores` and `targets` of all samples.
impl Stateful for Auroc {
    fn state_dict(&self) -> StateDict {
        let samples = self.targets.len();
        let targets = self.targets.iter().map(|&target| target as u64);
        StateDict::from_iter([
            ("scores", saved_floats([samples, self.columns], &self.scores)),
            ("targets", saved_counts([samples], targets)),
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
    fn one_class_and_nan_have_no_area() {
        let value = |scores: [f32; 3], targets: &[usize]| {
            let mut auroc = Auroc::new();
            auroc.update(&Tensor::from(scores), targets);
            auroc.value()
        };
        assert!(Auroc::new().value().is_nan());
        assert!(value([0.1, 0.2, 0.3], &[1, 1, 1]).is_nan());
        assert!(value([0.1, 0.2, 0.3], &[0, 0, 0]).is_nan());
        assert!(value([0.1, f32::NAN, 0.3], &[0, 1, 1]).is_nan());
        assert_eq!(value([f32::NEG_INFINITY, 0.2, f32::INFINITY], &[0, 1, 1]), 1.0);
    }

    #[test]
    fn zeros_of_both_signs_are_equal() {
        assert_eq!(area(&mut [(0.0, true), (-0.0, false)]), 0.5);
        assert_eq!(area(&mut [(-0.0, true), (0.0, false)]), 0.5);
    }

    #[test]
    fn a_class_without_samples_makes_the_mean_nan() {
        let mut auroc = Auroc::with_classes(3);
        auroc.update(
            &Tensor::from([[0.2f32, 0.3, 0.5], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]]),
            &[0, 1, 1],
        );
        assert_eq!(auroc.per_class()[..2], [0.5, 0.5]);
        assert!(auroc.per_class()[2].is_nan() && auroc.value().is_nan());
    }
}
