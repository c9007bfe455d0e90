//! A classifier of sentences.

use adamant::data::Padded;
use adamant::prelude::*;
use adamant_models::{Bert, mean_of_tokens};

/// Padded tokens, and the class of each sentence.
pub(crate) type Sentences = Batch<Padded, Vec<usize>>;

/// A head on the mean features of a sentence's tokens.
#[derive(Module)]
pub(crate) struct Classifier {
    pub(crate) bert: Bert,
    pub(crate) head: Linear,
}

impl Classifier {
    /// The logits of the classes, `[N, classes]`.
    pub(crate) fn forward(&self, sentences: &Padded) -> Tensor {
        let features = self.bert.forward(&sentences.values, &sentences.mask);
        self.head.forward(&mean_of_tokens(&features, &sentences.mask))
    }
}

/// Sentences that are not learned from.
pub(crate) struct Test {
    pub(crate) loader: DataLoader<Sentences>,
    pub(crate) classes: usize,
}

impl Test {
    /// Prints a row of the table: the training loss of a stage, and the results on these sentences.
    pub(crate) fn print(&self, stage: &str, loss: Option<f64>, model: &mut Classifier) {
        let mut confusion = ConfusionMatrix::new(self.classes);
        model.eval();
        for batch in self.loader.clone().epoch() {
            confusion.update(&no_grad(|| model.forward(&batch.inputs)), &batch.targets);
        }
        model.train();
        let loss = loss.map_or("-".into(), |loss| format!("{loss:.3}"));
        let (f1, accuracy) = (confusion.f1(Average::Macro), 100.0 * confusion.accuracy());
        println!("{stage:10} {loss:>10} {f1:10.3} {accuracy:10.1} %");
    }
}
