//! The embedding layer.

use crate::tree::observe::observe;
use crate::{Module, check, init};
use adamant_tensor::{Float, Generator, Indices, Mask, Parameter, Tensor, Weight};

/// The options of an [`Embedding`], with PyTorch's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddingOptions {
    padding_idx: Option<usize>,
}

impl EmbeddingOptions {
    /// The index of the padding row; default: none. The row is initialized to zeros and receives
    /// no gradient.
    #[must_use]
    pub fn padding_idx(self, padding_idx: usize) -> Self {
        EmbeddingOptions { padding_idx: Some(padding_idx) }
    }
}

/// The rows of a table at given indices: `[…] → […, embedding_dim]`.
///
/// `weight` is `[num_embeddings, embedding_dim]`, from the standard normal distribution.
///
/// PyTorch: `torch.nn.Embedding(num_embeddings, embedding_dim, padding_idx)`.
///
/// ```
/// use adamant_nn::Embedding;
/// use adamant_tensor::{Generator, Indices};
/// let words = Embedding::new(1000, 16, &mut Generator::seed(0));
/// let sentences = Indices::from([[3, 1, 4], [1, 5, 9]]);
/// assert_eq!(words.forward(&sentences).shape(), [2, 3, 16]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate, float = T, clone)]
pub struct Embedding<T: Float = f32> {
    /// `[num_embeddings, embedding_dim]`
    pub weight: Parameter<T>,
    #[module(skip)]
    padding_idx: Option<usize>,
}

impl Embedding {
    /// A table with PyTorch's defaults, in `f32`.
    ///
    /// # Panics
    /// If the table does not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn new(num_embeddings: usize, embedding_dim: usize, rng: &mut Generator) -> Self {
        Embedding::with_options(num_embeddings, embedding_dim, EmbeddingOptions::default(), rng)
    }
}

impl<T: Float> Embedding<T> {
    /// A table with these options, of any type.
    ///
    /// # Panics
    /// If `padding_idx` is not less than `num_embeddings`, or the table does not fit in memory.
    ///
    /// ```
    /// use adamant_nn::{Embedding, EmbeddingOptions};
    /// use adamant_tensor::{Generator, Indices};
    /// let options = EmbeddingOptions::default().padding_idx(0);
    /// let words = Embedding::<f64>::with_options(9, 2, options, &mut Generator::seed(0));
    /// assert_eq!(words.forward(&Indices::from([0, 0])).to_vec(), [0.0; 4]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_options(
        num_embeddings: usize,
        embedding_dim: usize,
        options: EmbeddingOptions,
        rng: &mut Generator,
    ) -> Self {
        let EmbeddingOptions { padding_idx } = options;
        let shape = [num_embeddings, embedding_dim];
        check::fits::<T>(
            "Embedding",
            format_args!("num_embeddings = {num_embeddings}, embedding_dim = {embedding_dim}"),
            &shape,
        );
        let weight = Parameter::new(init::normal(shape, 0.0, 1.0, rng));
        if let Some(row) = padding_idx {
            assert!(
                row < num_embeddings,
                "Embedding: padding_idx is {row}; expected less than num_embeddings = {num_embeddings}"
            );
            if !init::is_skipped() {
                weight.value_mut()[row * embedding_dim..(row + 1) * embedding_dim].fill(T::ZERO);
            }
        }
        Embedding { weight, padding_idx }
    }

    /// The rows at `index`.
    ///
    /// # Panics
    /// If an index is not less than `num_embeddings`.
    #[must_use]
    #[track_caller]
    pub fn forward(&self, index: &Indices) -> Tensor<T> {
        let weight = Weight::from(&self.weight);
        let rows = weight.embedding(index);
        let rows = match self.padding_idx.filter(|_| rows.is_tracked()) {
            None => rows,
            Some(padding) => {
                // The same values, from a row that gets no gradient.
                let is_padding = index.to_vec().into_iter().map(|index| index == padding).collect();
                let mut shape = index.shape().to_vec();
                shape.push(1);
                let is_padding = Mask::from_vec(is_padding, shape).expect("a value for each index");
                rows.masked_fill(&is_padding, weight.tensor().detach().select(0, padding))
            }
        };
        observe(self, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_gets_no_gradient() {
        let words = Embedding::with_options(
            3,
            2,
            EmbeddingOptions::default().padding_idx(1),
            &mut Generator::seed(0),
        );
        words.weight.value_mut().copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let y = words.forward(&Indices::from([[1, 2, 1, 2]]));
        assert_eq!(y.to_vec(), [3.0, 4.0, 5.0, 6.0, 3.0, 4.0, 5.0, 6.0]);
        y.sum().backward();
        assert_eq!(words.weight.grad().unwrap().to_vec(), [0.0, 0.0, 0.0, 0.0, 2.0, 2.0]);
    }
}
