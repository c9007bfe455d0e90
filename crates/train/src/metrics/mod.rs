//! Metrics: what is measured over many batches.
//!
//! A metric holds counts, sums in `f64`, or, for ranks, all samples. `update` adds a batch, `merge`
//! adds another metric of the same kind, and values are computed when they are read. Nothing is
//! recorded on the tape.
//!
//! * An update checks its arguments first: one that panics has changed nothing.
//! * Merging metrics of the shards of a data set yields the same as one metric of the whole:
//!   exactly for counts and ranks, up to rounding for sums.
//! * A metric of no samples is NaN.
//! * All are [`Stateful`](adamant_tensor::Stateful): a metric saved in the middle of an epoch
//!   resumes to the bit.

mod accuracy;
mod auroc;
mod checks;
mod class_counts;
mod confusion_matrix;
mod confusion_table;
mod fields;
mod mean;
mod output_errors;
mod perplexity;
mod regression_errors;

pub(crate) use checks::elements;

pub use accuracy::Accuracy;
pub use auroc::Auroc;
pub use class_counts::ClassCounts;
pub use confusion_matrix::{Average, ConfusionMatrix};
pub use mean::Mean;
pub use output_errors::OutputErrors;
pub use perplexity::Perplexity;
pub use regression_errors::RegressionErrors;
