//! A cache of keys and values, to generate a sequence token by token.

use adamant_tensor::{Array, Float, Tensor};
use std::fmt;

const NAME: &str = "KvCache";

/// The keys and values of the tokens so far, of one attention layer.
///
/// A new token's query attends to the keys of all tokens before it, which do not change: so each
/// step computes queries, keys and values of new tokens only, and appends the latter here. With
/// rotary embeddings, the keys are cached after their rotation.
///
/// Appending copies the new elements into a buffer that doubles when it is full, so that `T` tokens
/// take `O(T)` copies in total. The tensors that [`append`](KvCache::append) returns are views of
/// the buffer: drop them before the next call, or it has to copy the whole buffer first.
///
/// The cache holds values without gradients.
///
/// transformers: a layer of `DynamicCache`.
///
/// ```
/// use adamant_nn::{KvCache, RotaryEmbedding};
/// use adamant_tensor::{AttentionOptions, Tensor, no_grad, scaled_dot_product_attention};
/// let (rotary, mut cache) = (RotaryEmbedding::new(4), KvCache::new());
/// no_grad(|| {
///     for new in [5, 1, 1] {
///         // Four heads of queries share two heads of keys and values.
///         let (q, k) = (Tensor::ones([1, 4, new, 4]), Tensor::ones([1, 2, new, 4]));
///         let seen = cache.len();
///         let (q, k) = (rotary.rotate(&q, seen), rotary.rotate(&k, seen));
///         let (k, v) = cache.append(&k, &Tensor::ones([1, 2, new, 4]));
///         let options = AttentionOptions::default().enable_gqa(true);
///         let options = options.causal(true).causal_offset(seen);
///         let y = scaled_dot_product_attention(&q, &k, &v, options);
///         assert_eq!(y.shape(), [1, 4, new, 4]);
///     }
/// });
/// assert_eq!(cache.len(), 7);
/// ```
#[derive(Clone)]
pub struct KvCache<T: Float = f32> {
    /// `[…, capacity, E]`; elements after the first `len` tokens are arbitrary.
    keys: Option<Array<T>>,
    values: Option<Array<T>>,
    len: usize,
    /// The capacity of the first buffers, at least.
    reserved: usize,
}

// Not derived: that would ask for `T: Default`.
impl<T: Float> Default for KvCache<T> {
    fn default() -> Self {
        KvCache::with_capacity(0)
    }
}

impl<T: Float> KvCache<T> {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        KvCache::default()
    }

    /// An empty cache whose buffers, once the first keys and values are appended, have room for
    /// this number of tokens.
    #[must_use]
    pub fn with_capacity(tokens: usize) -> Self {
        KvCache { keys: None, values: None, len: 0, reserved: tokens }
    }

    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends the keys and values of `L` new tokens and returns those of all tokens:
    /// `[N, heads, L, E], [N, heads, L, Ev] → [N, heads, len, E], [N, heads, len, Ev]`, or any
    /// other leading dimensions.
    ///
    /// # Panics
    /// If the shapes do not match each other or those of earlier calls, or a tensor is tracked.
    #[must_use = "these are the keys and values to attend to"]
    #[track_caller]
    pub fn append(&mut self, k: &Tensor<T>, v: &Tensor<T>) -> (Tensor<T>, Tensor<T>) {
        assert!(
            !k.is_tracked() && !v.is_tracked(),
            "{NAME}: the new keys or values are tracked; expected values without gradients: \
             generate within `no_grad`"
        );
        let (of_k, of_v) = (k.shape(), v.shape());
        let (lead, len) = match (of_k, of_v) {
            ([lead @ .., len, _], [other @ .., same, _]) if (lead, len) == (other, same) => {
                (lead, *len)
            }
            _ => panic!(
                "{NAME}: keys of shape {of_k:?} and values of {of_v:?}; expected […, L, E] and \
                 […, L, Ev]"
            ),
        };
        for (what, buffer, new) in [("keys", &self.keys, of_k), ("values", &self.values, of_v)] {
            let Some(buffer) = buffer else { continue };
            let (width, held) = (new[new.len() - 1], &**buffer.shape());
            assert!(
                matches!(held, [held @ .., _, w] if (held, *w) == (lead, width)),
                "{NAME}: new {what} of shape {new:?} after {} tokens; expected the shape of the \
                 earlier ones, {:?}, but for the number of tokens",
                self.len,
                sized(held, self.len)
            );
        }
        let total = self.len + len;
        let room = total.max(self.reserved);
        for (buffer, new) in [(&mut self.keys, k), (&mut self.values, v)] {
            write(make_room(buffer, new.shape(), self.len, room), new, self.len);
        }
        self.len = total;
        let all = |buffer: &Option<Array<T>>| {
            Tensor::from(buffer.clone().expect("written")).narrow(-2, 0, total)
        };
        (all(&self.keys), all(&self.values))
    }

    /// Forgets all tokens but the first `len`; does nothing if there are no more. Keeps the buffers.
    ///
    /// transformers: `cache.crop(len)`.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets all tokens, and the shapes of their keys and values. A new sequence starts.
    ///
    /// transformers: `cache.reset()`.
    pub fn clear(&mut self) {
        *self = KvCache::with_capacity(self.reserved);
    }
}

impl<T: Float> fmt::Debug for KvCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KvCache<{}>({} tokens)", T::DTYPE, self.len)
    }
}

/// A shape `[…, tokens, E]` with another number of tokens.
fn sized(shape: &[usize], tokens: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    let dim = shape.len() - 2;
    shape[dim] = tokens;
    shape
}

/// The buffer, replaced by one with twice the capacity if it does not have room for `room` tokens.
/// The first `len` are kept. `new` is the shape of the new elements.
#[track_caller]
fn make_room<'a, T: Float>(
    buffer: &'a mut Option<Array<T>>,
    new: &[usize],
    len: usize,
    room: usize,
) -> &'a mut Array<T> {
    if buffer.as_ref().is_none_or(|old| capacity(old) < room) {
        let doubled = buffer.as_ref().map_or(0, |old| 2 * capacity(old));
        let mut grown = Array::full(sized(new, room.max(doubled)).into(), T::ZERO);
        let width = new[new.len() - 1];
        if let Some(old) = buffer
            && len * width > 0
        {
            let rows = [capacity(old), capacity(&grown)].map(|tokens| tokens * width);
            let old = old.as_slice().expect("a buffer is contiguous").chunks_exact(rows[0]);
            for (rows, old) in grown.make_mut().chunks_exact_mut(rows[1]).zip(old) {
                rows[..len * width].copy_from_slice(&old[..len * width]);
            }
        }
        *buffer = Some(grown);
    }
    buffer.as_mut().expect("there is one now")
}

fn capacity<T: Float>(buffer: &Array<T>) -> usize {
    buffer.shape()[buffer.shape().len() - 2]
}

/// Writes `new`, `[…, L, E]`, to tokens `start..start + L` of the buffer, which has room for them.
#[track_caller]
fn write<T: Float>(buffer: &mut Array<T>, new: &Tensor<T>, start: usize) {
    let &[.., len, width] = new.shape() else { unreachable!("two dimensions or more") };
    if new.numel() == 0 {
        return;
    }
    let copy; // of new elements only
    let new = match new.array().as_slice() {
        Some(elements) => elements,
        None => {
            copy = new.to_vec();
            &copy
        }
    };
    let rows = capacity(buffer) * width;
    for (rows, new) in buffer.make_mut().chunks_exact_mut(rows).zip(new.chunks_exact(len * width)) {
        rows[start * width..][..len * width].copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RotaryEmbedding, RotaryEmbeddingOptions};
    use adamant_tensor::{AttentionOptions, Generator, scaled_dot_product_attention};

    fn draw(shape: &[usize], seed: u64) -> Tensor {
        Tensor::randn(shape, &mut Generator::seed(seed))
    }

    #[test]
    fn views_are_the_tokens_in_order() {
        // As a model's projections, which are transposed.
        let (k, v) = (draw(&[2, 20, 3, 4], 1), draw(&[2, 20, 3, 5], 2));
        let (k, v) = (k.transpose(1, 2), v.transpose(1, 2));
        for mut cache in [KvCache::new(), KvCache::with_capacity(30)] {
            let mut held = Vec::new();
            for (start, len) in [(0, 7), (7, 1), (8, 1), (9, 0), (9, 4), (13, 7)] {
                assert_eq!((cache.len(), cache.is_empty()), (start, start == 0));
                let new = |x: &Tensor| x.narrow(2, start, len);
                held.push(cache.append(&new(&k), &new(&v)));
            }
            // Views stay as they were, even if they are held.
            for (all_k, all_v) in held {
                let len = all_k.shape()[2];
                assert_eq!(all_k.to_vec(), k.narrow(2, 0, len).to_vec());
                assert_eq!(all_v.to_vec(), v.narrow(2, 0, len).to_vec());
            }
        }
    }

    #[test]
    fn tokens_are_written_in_place_and_buffers_double() {
        let mut cache = KvCache::<f32>::new();
        let mut buffers = Vec::new();
        for _ in 0..1000 {
            let (k, v) = cache.append(&Tensor::ones([1, 1, 1, 16]), &Tensor::ones([1, 1, 1, 8]));
            buffers.push([&k, &v].map(|x| x.array().as_slice().unwrap().as_ptr().addr()));
        }
        buffers.dedup();
        assert_eq!(buffers.len(), 11); // capacities 1, 2, 4, …, 1024
        cache.truncate(3);
        let (k, _) = cache.append(&Tensor::zeros([1, 1, 1, 16]), &Tensor::zeros([1, 1, 1, 8]));
        assert_eq!(k.sum_dim(-1).to_vec(), [16.0, 16.0, 16.0, 0.0]);
        drop(k);
        cache.clear();
        let (k, _) = cache.append(&Tensor::ones([2, 1, 1, 4]), &Tensor::ones([2, 1, 1, 4]));
        assert_eq!((cache.len(), k.shape()), (1, &[2, 1, 1, 4][..]));
    }

    #[test]
    fn token_by_token_equals_the_whole_sequence() {
        let options = RotaryEmbeddingOptions::default().rotary_dim(6);
        let rotary = RotaryEmbedding::with_options(8, options);
        let attend = |q: &Tensor, k: &Tensor, v: &Tensor, seen| {
            let options = AttentionOptions::default().enable_gqa(true);
            let options = options.causal(true).causal_offset(seen);
            scaled_dot_product_attention(q, k, v, options)
        };
        let (q, k, v) = (draw(&[2, 4, 12, 8], 1), draw(&[2, 2, 12, 8], 2), draw(&[2, 2, 12, 8], 3));
        let whole = attend(&rotary.rotate(&q, 0), &rotary.rotate(&k, 0), &v, 0);
        let mut cache = KvCache::new();
        for (start, len) in [(0, 5), (5, 1), (6, 1), (7, 3), (10, 2)] {
            let new = |x: &Tensor| x.narrow(2, start, len);
            let (all_k, all_v) = cache.append(&rotary.rotate(&new(&k), start), &new(&v));
            let y = attend(&rotary.rotate(&new(&q), start), &all_k, &all_v, start);
            assert!((y - new(&whole)).abs().max().item() < 1e-6);
        }
    }
}
