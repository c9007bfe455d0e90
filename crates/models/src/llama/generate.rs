//! Text from a model, a token at a time.

use super::{Llama, LlamaCache};
use adamant_nn::Forward;
use adamant_tensor::{Float, Generator, Indices, no_grad};

/// The options of [`Llama::generate`], with most names and defaults of Hugging Face's `generate`. A
/// text has no end unless [`eos_token`](Self::eos_token) is set.
///
/// ```
/// use adamant_models::GenerateOptions;
/// let options = GenerateOptions::default().max_new_tokens(100).do_sample(true).temperature(0.8);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    max_new_tokens: usize,
    do_sample: bool,
    temperature: f64,
    top_k: usize,
    top_p: f64,
    eos_token: Option<usize>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        GenerateOptions {
            max_new_tokens: 20,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            eos_token: None,
        }
    }
}

impl GenerateOptions {
    /// The most tokens to generate; default 20.
    #[must_use]
    pub fn max_new_tokens(self, max_new_tokens: usize) -> Self {
        GenerateOptions { max_new_tokens, ..self }
    }

    /// Whether a token is drawn according to its score, or the one with the highest score is taken;
    /// default false.
    #[must_use]
    pub fn do_sample(self, do_sample: bool) -> Self {
        GenerateOptions { do_sample, ..self }
    }

    /// The divisor of the scores: below 1, likely tokens become likelier; default 1.
    ///
    /// # Panics
    /// If it is not above 0 and finite.
    #[must_use]
    #[track_caller]
    pub fn temperature(self, temperature: f64) -> Self {
        assert!(
            temperature > 0.0 && temperature.is_finite(),
            "temperature: temperature is {temperature}; expected a finite number above 0"
        );
        GenerateOptions { temperature, ..self }
    }

    /// The number of tokens with the highest scores that are drawn from; default 50.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    #[track_caller]
    pub fn top_k(self, top_k: usize) -> Self {
        assert!(top_k > 0, "top_k: top_k is 0; expected at least 1");
        GenerateOptions { top_k, ..self }
    }

    /// The probability that the tokens that are drawn from have together, at least: the likeliest
    /// ones; default 1, all tokens.
    ///
    /// # Panics
    /// If it is not above 0 and at most 1.
    #[must_use]
    #[track_caller]
    pub fn top_p(self, top_p: f64) -> Self {
        assert!(top_p > 0.0 && top_p <= 1.0, "top_p: top_p is {top_p}; expected 0 to 1, not 0");
        GenerateOptions { top_p, ..self }
    }

    /// The token that ends a text; default none.
    #[must_use]
    pub fn eos_token(self, eos_token: usize) -> Self {
        GenerateOptions { eos_token: Some(eos_token), ..self }
    }

    /// A token according to the scores of all tokens. Of equal scores, the first token counts as
    /// higher.
    fn choose(&self, scores: &[f32], rng: &mut Generator) -> usize {
        let mut order = Vec::from_iter(0..scores.len());
        let kept = if self.do_sample { self.top_k.min(order.len()) } else { 1 };
        let descending = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
        if kept < order.len() {
            order.select_nth_unstable_by(kept - 1, descending);
            order.truncate(kept);
        }
        order.sort_unstable_by(descending);
        let highest = f64::from(scores[order[0]]);
        let weight = |&i: &usize| Float::exp((f64::from(scores[i]) - highest) / self.temperature);
        let mut sums: Vec<f64> = order.iter().map(weight).collect();
        for i in 1..sums.len() {
            sums[i] += sums[i - 1];
        }
        // The first tokens that together have the probability.
        let enough = self.top_p * sums[sums.len() - 1];
        sums.truncate(1 + sums.partition_point(|&sum| sum < enough));
        let drawn = rng.uniform() * sums[sums.len() - 1];
        order[sums.partition_point(|&sum| sum <= drawn).min(sums.len() - 1)]
    }
}

impl Llama {
    /// The tokens that the model continues a text with, until there are
    /// [`max_new_tokens`](GenerateOptions::max_new_tokens), the last one is
    /// [`eos_token`](GenerateOptions::eos_token), or the text is as long as those of the model's
    /// training. Equal generators yield equal tokens.
    ///
    /// PyTorch: `model.generate(prompt, …)`, without the prompt.
    ///
    /// # Panics
    /// If the prompt is empty, or a token in it is not less than `vocab_size`.
    #[must_use]
    #[track_caller]
    pub fn generate(
        &self,
        prompt: &[usize],
        options: GenerateOptions,
        rng: &mut Generator,
    ) -> Vec<usize> {
        assert!(!prompt.is_empty(), "generate: the prompt is empty; expected at least one token");
        let room = self.config.max_position_embeddings.saturating_sub(prompt.len());
        let (mut cache, mut generated) = (LlamaCache::new(), Vec::new());
        let mut unseen = prompt.to_vec();
        while generated.len() < options.max_new_tokens.min(room) {
            let tokens = Indices::from(&unseen[..]).reshape([1, unseen.len()]);
            let scores = no_grad(|| {
                let last = unseen.len() - 1;
                let rows = self.model.forward_cached(&tokens, &mut cache).narrow(1, last, 1);
                self.lm_head.forward(&rows)
            });
            let token = options.choose(&scores.to_vec(), rng);
            generated.push(token);
            if options.eos_token == Some(token) {
                break;
            }
            unseen = vec![token];
        }
        generated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of five tokens is drawn, of 1,000.
    fn counts(options: &GenerateOptions) -> [usize; 5] {
        // Probabilities of 0.4, 0.1, 0.3, 0.15, 0.05.
        let scores = [0.4f32, 0.1, 0.3, 0.15, 0.05].map(|p| p.ln() + 7.0);
        let mut counts = [0; 5];
        let rng = &mut Generator::seed(0);
        (0..1000).for_each(|_| counts[options.choose(&scores, rng)] += 1);
        counts
    }

    #[track_caller]
    fn assert_near(counts: [usize; 5], expected: [usize; 5]) {
        let near = |(count, expected): (&usize, &usize)| match expected {
            0 => *count == 0,
            _ => count.abs_diff(*expected) < 50,
        };
        assert!(counts.iter().zip(&expected).all(near), "{counts:?}, not {expected:?}");
    }

    #[test]
    fn tokens_are_drawn_by_their_probabilities() {
        let sample = GenerateOptions::default().do_sample(true);
        assert_near(counts(&sample), [400, 100, 300, 150, 50]);
        assert_near(counts(&sample.clone().temperature(0.5)), [582, 36, 327, 82, 9]);
        assert_near(counts(&sample.clone().top_k(2)), [571, 0, 429, 0, 0]);
        assert_near(counts(&sample.clone().top_p(0.8)), [471, 0, 353, 176, 0]);
        assert_near(counts(&sample.clone().top_p(0.2)), [1000, 0, 0, 0, 0]);
        assert_near(counts(&GenerateOptions::default()), [1000, 0, 0, 0, 0]);
    }

    #[test]
    fn a_nan_among_the_scores_still_yields_a_token() {
        let options = GenerateOptions::default().do_sample(true);
        let scores = [f32::NAN, 1.0, f32::NEG_INFINITY];
        assert!(options.choose(&scores, &mut Generator::seed(0)) < 3);
    }

    #[test]
    fn the_highest_score_is_taken_and_the_first_of_equal_ones() {
        let rng = &mut Generator::seed(0);
        assert_eq!(GenerateOptions::default().choose(&[1.0, 3.0, 3.0, 2.0], rng), 1);
    }
}
