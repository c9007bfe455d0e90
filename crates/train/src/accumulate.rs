//! Gradients of a batch that is too large for one forward pass.

use adamant_tensor::{Float, Tensor};

/// Runs `loss` `n` times, each time with a backward pass of `loss / n`, and returns the mean loss.
/// The gradients, added up, are those of the mean: of one batch that consists of the `n` smaller
/// ones, if these have equal sizes and each loss is a mean over its batch.
///
/// Call `zero_grad` before it and the optimizer's `step` after it, as with a single batch. Nothing
/// is kept between calls: a checkpoint that is taken between steps is complete. Batch
/// normalization sees the smaller batches.
///
/// PyTorch: a loop of `(loss / n).backward()`; Lightning's `accumulate_grad_batches`.
///
/// # Panics
/// If `n` is 0, or a loss does not have exactly one element or is not tracked.
///
/// ```
/// use adamant_nn::{Forward, Linear, Module, mse_loss};
/// use adamant_tensor::{Generator, Tensor};
/// use adamant_train::accumulate;
/// let rng = &mut Generator::seed(0);
/// let model = Linear::new(3, 1, rng);
/// let (x, y) = (Tensor::randn([8, 3], rng), Tensor::randn([8, 1], rng));
///
/// let mut batches = (0..4).map(|i| (x.narrow(0, 2 * i, 2), y.narrow(0, 2 * i, 2)));
/// let loss = accumulate(4, || {
///     let (x, y) = batches.next().unwrap();
///     mse_loss(&model.forward(&x), &y)
/// });
/// assert!((loss - mse_loss(&model.forward(&x), &y).item()).abs() < 1e-6);
/// assert!(model.weight.grad().is_some());
/// ```
#[track_caller]
pub fn accumulate<T: Float>(n: usize, mut loss: impl FnMut() -> Tensor<T>) -> T {
    assert!(n > 0, "accumulate: n is 0; expected at least 1");
    let mut sum = 0.0;
    for _ in 0..n {
        sum += backward(loss(), n);
    }
    T::from_f64(sum / n as f64)
}

/// [`accumulate`] for a loss that can fail, because its batch cannot be read for example.
///
/// ```
/// # use adamant_nn::{Forward, Linear, mse_loss};
/// # use adamant_tensor::{Generator, Tensor};
/// # use adamant_train::try_accumulate;
/// # let rng = &mut Generator::seed(0);
/// # let model = Linear::<f32>::new(3, 1, rng);
/// # let mut files = ["a", "b"].into_iter();
/// # let mut read = |_| -> Result<(Tensor, Tensor), std::io::Error> {
/// #     Ok((Tensor::ones([2, 3]), Tensor::ones([2, 1])))
/// # };
/// let loss = try_accumulate(2, || {
///     let (x, y) = read(files.next().unwrap())?;
///     Ok::<_, std::io::Error>(mse_loss(&model.forward(&x), &y))
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The first error of `loss`. The gradients of the losses before it are added up then: call
/// `zero_grad`.
///
/// # Panics
/// Like [`accumulate`].
#[track_caller]
pub fn try_accumulate<T: Float, E>(
    n: usize,
    mut loss: impl FnMut() -> Result<Tensor<T>, E>,
) -> Result<T, E> {
    assert!(n > 0, "try_accumulate: n is 0; expected at least 1");
    let mut sum = 0.0;
    for _ in 0..n {
        sum += backward(loss()?, n);
    }
    Ok(T::from_f64(sum / n as f64))
}

/// The backward pass of `loss / n`. Returns the loss.
#[track_caller]
fn backward<T: Float>(loss: Tensor<T>, n: usize) -> f64 {
    let value = loss.item().to_f64();
    (loss / T::from_f64(n as f64)).backward();
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_nn::{Forward, Linear, Module, Sequential, Tanh, mse_loss};
    use adamant_tensor::Generator;

    #[test]
    fn gradients_are_those_of_the_large_batch() {
        let rng = &mut Generator::seed(0);
        let model = Sequential::<f32>::new()
            .add(Linear::new(3, 5, rng))
            .add(Tanh)
            .add(Linear::new(5, 2, rng));
        let (x, y) = (Tensor::randn([12, 3], rng), Tensor::randn([12, 2], rng));
        let loss = |at: usize, len: usize| {
            mse_loss(&model.forward(&x.narrow(0, at, len)), &y.narrow(0, at, len))
        };
        let gradients = || -> Vec<f32> {
            model.parameters().iter().flat_map(|p| p.grad().unwrap().to_vec()).collect()
        };
        let whole = loss(0, 12);
        whole.backward();
        let expected = gradients();
        for n in [1, 3, 12] {
            model.zero_grad();
            let (mut at, len) = (0, 12 / n);
            let mean = accumulate(n, || {
                at += len;
                loss(at - len, len)
            });
            assert_eq!(at, 12);
            assert!((mean - whole.item()).abs() < 1e-6);
            for (found, expected) in gradients().into_iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{n}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let weight = adamant_tensor::Parameter::new(Tensor::<f32>::ones([1]));
        let mut calls = 0;
        let result = try_accumulate(4, || {
            calls += 1;
            if calls < 3 { Ok(weight.tensor().sum()) } else { Err("no batch") }
        });
        assert_eq!((result, calls), (Err("no batch"), 3));
        assert_eq!(weight.grad().unwrap().to_vec(), [0.5]);
        assert_eq!(try_accumulate(2, || Ok::<_, ()>(weight.tensor().sum() * 3.0)), Ok(3.0));
    }

    #[test]
    #[should_panic(expected = "accumulate: n is 0; expected at least 1")]
    fn no_batches_are_refused() {
        let _ = accumulate(0, || Tensor::<f32>::ones([]));
    }
}
