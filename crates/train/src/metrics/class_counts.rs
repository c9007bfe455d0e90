//! The four counts of a class, and the scores that follow from them.

/// How often one class is predicted correctly and wrongly: a class of a
/// [`ConfusionMatrix`](crate::ConfusionMatrix) against all others.
///
/// A score whose denominator is 0 is 0, as by the default `zero_division` of scikit-learn and
/// torchmetrics; all scores of no samples are NaN.
///
/// ```
/// use adamant_train::ClassCounts;
/// let counts = ClassCounts {
///     true_positives: 6,
///     false_positives: 2,
///     false_negatives: 4,
///     true_negatives: 8,
/// };
/// assert_eq!((counts.precision(), counts.recall(), counts.support()), (0.75, 0.6, 10));
/// assert_eq!(counts.f1(), 12.0 / 18.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Samples of the class, predicted as such.
    pub true_positives: u64,
    /// Samples of other classes, predicted as this one.
    pub false_positives: u64,
    /// Samples of the class, predicted as another one.
    pub false_negatives: u64,
    /// Samples of other classes, predicted as other ones.
    pub true_negatives: u64,
}

impl ClassCounts {
    /// `TP / (TP + FP)`: the fraction of the predictions of this class that are correct; 0 if it
    /// is never predicted.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.score(self.true_positives, self.predicted())
    }

    /// `TP / (TP + FN)`: the fraction of the samples of this class that are found; 0 if there are
    /// none.
    #[must_use]
    pub fn recall(&self) -> f64 {
        self.score(self.true_positives, self.support())
    }

    /// `2 TP / (2 TP + FP + FN)`: the harmonic mean of precision and recall; 0 if the class occurs
    /// in neither targets nor predictions.
    #[must_use]
    pub fn f1(&self) -> f64 {
        self.score(2 * self.true_positives, self.predicted() + self.support())
    }

    /// The number of samples of this class.
    #[must_use]
    pub fn support(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// The number of predictions of this class.
    #[must_use]
    pub fn predicted(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    fn score(&self, numerator: u64, denominator: u64) -> f64 {
        if denominator == 0 && self.false_positives + self.false_negatives + self.true_negatives > 0
        {
            return 0.0;
        }
        numerator as f64 / denominator as f64
    }
}
