//! The confusion matrix, from which accuracy, precision, recall and F1 are read.

use super::checks::{check_classes, check_len};
use super::class_counts::ClassCounts;
use super::fields::{Fields, saved_counts};
use adamant_tensor::{Float, StateDict, StateError, Stateful, Tensor};

/// How often samples of each class are predicted as each class; and the accuracy, precision, recall
/// and F1 that follow.
///
/// The scores of single classes are those of [`per_class`](Self::per_class). For two classes,
/// scikit-learn's default is the score of class 1: `matrix.per_class()[1].f1()`.
///
/// [`Display`](std::fmt::Display) shows a table of at most 60 columns: all counts and the recall of
/// each class, or the counts alone; if they do not fit (ten classes with counts of four digits do),
/// the class that each is most often mistaken for, with its count.
///
/// PyTorch: `torchmetrics.classification.MulticlassConfusionMatrix`. scikit-learn:
/// `confusion_matrix`, `precision_score`, `recall_score`, `f1_score`.
///
/// ```
/// use adamant_train::{Average, ConfusionMatrix};
/// let mut matrix = ConfusionMatrix::new(3);
/// matrix.update_predictions(&[0, 2, 1, 2, 2, 0], &[0, 1, 1, 2, 2, 2]);
/// assert_eq!((matrix.get(1, 2), matrix.per_class()[2].support()), (1, 3));
/// assert_eq!(matrix.recall(Average::Macro), (1.0 + 1.0 / 2.0 + 2.0 / 3.0) / 3.0);
/// let table = [
///     "         predicted",
///     "target   0   1   2     recall",
///     "     0   1   0   0    100.0 %",
///     "     1   0   1   1     50.0 %",
///     "     2   1   0   2     66.7 %",
/// ];
/// assert_eq!(matrix.to_string(), table.join("\n"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[classes, classes]`: a row for each target.
    counts: Vec<u64>,
}

/// How the scores of several classes become one.
///
/// PyTorch and scikit-learn: the argument `average`.
///
/// ```
/// use adamant_train::{Average, ConfusionMatrix};
/// let mut matrix = ConfusionMatrix::new(2);
/// matrix.update_predictions(&[0, 0, 0, 1], &[0, 0, 0, 0]); // recalls 0.75 and 0
/// let recall = |average| matrix.recall(average);
/// assert_eq!((recall(Average::Micro), recall(Average::Weighted)), (0.75, 0.75));
/// assert_eq!(recall(Average::Macro), 0.375);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The score of the counts summed over all classes. As each sample has one target and one
    /// prediction, precision, recall and F1 all equal the accuracy.
    Micro,
    /// The mean of the classes' scores, over the classes that occur in targets or predictions.
    Macro,
    /// The mean of the classes' scores, each weighted by the number of its samples.
    Weighted,
}

impl ConfusionMatrix {
    /// The matrix of no samples, of classes 0 to `classes − 1`.
    ///
    /// # Panics
    /// If `classes` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(classes: usize) -> Self {
        assert!(classes > 0, "ConfusionMatrix: classes is 0; expected at least 1");
        ConfusionMatrix { classes, counts: vec![0; classes * classes] }
    }

    /// Adds the samples of a batch: logits or probabilities `[N, C]`, and `N` classes. The
    /// prediction is the class with the largest logit: [`argmax(1)`](Tensor::argmax).
    ///
    /// # Panics
    /// If `logits` is not a matrix with a column for each class, if there is not one target for
    /// each row, or if a target is not a class.
    #[track_caller]
    pub fn update<T: Float>(&mut self, logits: &Tensor<T>, targets: &[usize]) {
        let (op, classes) = ("ConfusionMatrix::update", self.classes);
        assert!(
            matches!(*logits.shape(), [_, columns] if columns == classes),
            "{op}: logits has shape {}; expected [N, {classes}]",
            logits.array().shape()
        );
        self.add(op, &logits.argmax(1), targets);
    }

    /// Adds the samples of a batch, from the predicted classes. For one logit for each sample: `1`
    /// where it is above 0, else `0`.
    ///
    /// # Panics
    /// If the numbers of predictions and targets differ, or if one of them is not a class.
    #[track_caller]
    pub fn update_predictions(&mut self, predictions: &[usize], targets: &[usize]) {
        let op = "ConfusionMatrix::update_predictions";
        check_classes(op, "predictions", predictions, self.classes);
        self.add(op, predictions, targets);
    }

    #[track_caller]
    fn add(&mut self, op: &str, predictions: &[usize], targets: &[usize]) {
        check_len(op, targets, predictions.len());
        check_classes(op, "targets", targets, self.classes);
        for (prediction, target) in predictions.iter().zip(targets) {
            self.counts[target * self.classes + prediction] += 1;
        }
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of samples of class `target` that are predicted as class `prediction`.
    ///
    /// # Panics
    /// If one of them is not a class.
    #[must_use]
    #[track_caller]
    pub fn get(&self, target: usize, prediction: usize) -> u64 {
        let classes = self.classes;
        for (name, class) in [("target", target), ("prediction", prediction)] {
            let op = "ConfusionMatrix::get";
            assert!(class < classes, "{op}: {name} is {class}; expected a class below {classes}");
        }
        self.counts[target * classes + prediction]
    }

    /// The number of samples for each prediction, in a row for each target.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// The counts of each class against all others.
    #[must_use]
    pub fn per_class(&self) -> Vec<ClassCounts> {
        let mut classes = vec![ClassCounts::default(); self.classes];
        for (target, row) in self.rows().enumerate() {
            for (prediction, &count) in row.iter().enumerate() {
                if prediction == target {
                    classes[target].true_positives = count;
                } else {
                    classes[target].false_negatives += count;
                    classes[prediction].false_positives += count;
                }
            }
        }
        let all = self.count();
        for class in &mut classes {
            class.true_negatives = all - class.support() - class.false_positives;
        }
        classes
    }

    /// The fraction of samples that are predicted correctly; NaN if there are no samples.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let correct: u64 = self.counts.iter().step_by(self.classes + 1).sum();
        correct as f64 / self.count() as f64
    }

    /// The average of [`ClassCounts::precision`]; NaN if there are no samples.
    #[must_use]
    pub fn precision(&self, average: Average) -> f64 {
        self.average(average, ClassCounts::precision)
    }

    /// The average of [`ClassCounts::recall`]; NaN if there are no samples.
    #[must_use]
    pub fn recall(&self, average: Average) -> f64 {
        self.average(average, ClassCounts::recall)
    }

    /// The average of [`ClassCounts::f1`]; NaN if there are no samples.
    #[must_use]
    pub fn f1(&self, average: Average) -> f64 {
        self.average(average, ClassCounts::f1)
    }

    fn average(&self, average: Average, score: fn(&ClassCounts) -> f64) -> f64 {
        let classes = self.per_class();
        let weighted = |weight: fn(&ClassCounts) -> f64| {
            let sum: f64 = classes.iter().map(|class| weight(class) * score(class)).sum();
            sum / classes.iter().map(weight).sum::<f64>()
        };
        match average {
            Average::Micro => self.accuracy(),
            Average::Macro => weighted(|class| {
                let occurs = class.support() + class.predicted() > 0;
                f64::from(u8::from(occurs))
            }),
            Average::Weighted => weighted(|class| class.support() as f64),
        }
    }

    /// Forgets all samples.
    pub fn reset(&mut self) {
        self.counts.fill(0);
    }

    /// Adds the samples of `other`. Metrics of shards become exactly that of all samples.
    ///
    /// # Panics
    /// If `other` has another number of classes.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        let (found, expected) = (other.classes, self.classes);
        assert!(
            found == expected,
            "ConfusionMatrix::merge: classes of other is {found}; expected {expected}"
        );
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
    }

    fn read(&self, state: &StateDict) -> Result<Self, StateError> {
        let classes = self.classes;
        let mut fields = Fields::new(state, &["counts"]);
        let counts = fields.counts("counts", &[classes; 2]);
        fields.finish(counts.map(|counts| ConfusionMatrix { classes, counts }))
    }
}

/// `counts`, a row for each target.
impl Stateful for ConfusionMatrix {
    fn state_dict(&self) -> StateDict {
        let counts = saved_counts([self.classes; 2], self.counts.iter().copied());
        StateDict::from_iter([("counts", counts)])
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
    fn a_class_that_never_occurs_takes_no_part_in_an_average() {
        let mut matrix = ConfusionMatrix::new(4);
        matrix.update_predictions(&[0, 0, 2], &[0, 1, 2]);
        // Class 1 is never predicted, class 3 occurs nowhere.
        let precisions: Vec<f64> = matrix.per_class().iter().map(ClassCounts::precision).collect();
        assert_eq!(precisions, [0.5, 0.0, 1.0, 0.0]);
        assert_eq!(matrix.precision(Average::Macro), 0.5);
    }

    #[test]
    fn scores_of_no_samples_are_nan() {
        let matrix = ConfusionMatrix::new(3);
        assert!(matrix.accuracy().is_nan() && matrix.per_class()[0].recall().is_nan());
        for average in [Average::Micro, Average::Macro, Average::Weighted] {
            assert!(matrix.precision(average).is_nan(), "{average:?}");
            assert!(matrix.recall(average).is_nan(), "{average:?}");
            assert!(matrix.f1(average).is_nan(), "{average:?}");
        }
    }
}
