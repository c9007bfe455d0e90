//! Windows of a long sequence of tokens, for language models.

use crate::collate::{Batch, Collate};
use crate::dataset::Dataset;
use crate::error::DataError;
use adamant_tensor::Indices;
use std::sync::Arc;

/// Windows of `context` tokens; the targets of a window are the tokens that follow each of its own.
///
/// In a batch of `n` windows, the inputs have shape `[n, context]`, and there are `n · context`
/// targets, in row-major order, as [`cross_entropy`](adamant_tensor::cross_entropy) takes them.
///
/// ```
/// use adamant_data::{DataLoader, TokenWindows};
/// let windows = TokenWindows::new(vec![5, 6, 7, 8, 9], 2).unwrap();
/// let batch = DataLoader::new(windows, 2).next_batch();
/// assert_eq!((batch.inputs.shape(), batch.inputs.to_vec()), (&[2, 2][..], vec![5, 6, 7, 8]));
/// assert_eq!(batch.targets, [6, 7, 8, 9]);
/// ```
#[derive(Clone, Debug)]
pub struct TokenWindows {
    // `Arc<Vec>`, since making an `Arc<[_]>` of a vector copies it.
    tokens: Arc<Vec<usize>>,
    context: usize,
    stride: usize,
}

/// A window of [`TokenWindows`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWindow {
    /// The tokens, and the one that follows them.
    tokens: Vec<usize>,
}

impl TokenWindow {
    /// The tokens.
    #[must_use]
    pub fn inputs(&self) -> &[usize] {
        &self.tokens[..self.tokens.len() - 1]
    }

    /// The token that follows each.
    #[must_use]
    pub fn targets(&self) -> &[usize] {
        &self.tokens[1..]
    }
}

impl TokenWindows {
    /// Adjacent windows, which do not overlap. The last tokens that do not fill a window are left
    /// out.
    ///
    /// # Errors
    /// If `context` is 0, or there are not more tokens than that.
    pub fn new(tokens: impl Into<Arc<Vec<usize>>>, context: usize) -> Result<Self, DataError> {
        let tokens = tokens.into();
        if context == 0 || tokens.len() <= context {
            let found = format!("{} tokens for windows of {context}", tokens.len());
            let expected = "windows of at least one token, and more tokens than that".into();
            return Err(DataError::Unfit { operation: "TokenWindows", found, expected });
        }
        Ok(TokenWindows { tokens, context, stride: context })
    }

    /// The distance between the starts of windows; default: `context`. With 1, windows start at
    /// every token.
    ///
    /// # Panics
    /// If `stride` is 0.
    #[must_use]
    #[track_caller]
    pub fn stride(mut self, stride: usize) -> Self {
        assert!(stride > 0, "TokenWindows: stride is 0; expected at least 1");
        self.stride = stride;
        self
    }
}

impl Dataset for TokenWindows {
    type Sample = TokenWindow;

    fn len(&self) -> usize {
        (self.tokens.len() - self.context - 1) / self.stride + 1
    }

    fn get(&self, index: usize) -> Result<TokenWindow, DataError> {
        let start = index * self.stride;
        Ok(TokenWindow { tokens: self.tokens[start..=start + self.context].to_vec() })
    }
}

impl Collate for TokenWindow {
    type Batch = Batch<Indices, Vec<usize>>;

    fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
        let context = samples.first().map_or(0, |window| window.inputs().len());
        let inputs = samples.iter().flat_map(|window| window.inputs()).copied().collect();
        let inputs = Indices::from_vec(inputs, [samples.len(), context]);
        let targets = samples.iter().flat_map(|window| window.targets()).copied().collect();
        Ok(Batch { inputs: inputs.expect("windows of one length"), targets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_tokens() {
        let starts = |tokens: usize, context, stride| -> Vec<usize> {
            let tokens: Vec<usize> = (0..tokens).collect();
            let windows = TokenWindows::new(tokens, context).unwrap().stride(stride);
            (0..windows.len()).map(|i| windows.get(i).unwrap().inputs()[0]).collect()
        };
        assert_eq!(starts(4, 3, 3), [0]);
        assert_eq!(starts(7, 3, 3), [0, 3]);
        assert_eq!(starts(6, 3, 3), [0]);
        assert_eq!(starts(6, 3, 1), [0, 1, 2]);
    }

    #[test]
    fn too_few_tokens_are_an_error() {
        let error = TokenWindows::new(vec![1, 2], 2).unwrap_err().to_string();
        assert!(error.contains("found 2 tokens for windows of 2"), "{error}");
        assert!(TokenWindows::new(vec![1, 2], 0).is_err());
    }
}
