//! User-defined operations.

use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// A user-defined operation: `value`, computed from `inputs` by any means, and a function from
    /// the gradient of `value` to those of the inputs.
    ///
    /// `backward` returns one entry for each input, `None` for an input without a gradient. Written
    /// in tensor operations, it can itself be differentiated. The tensors that it captures are
    /// saved by the operation. Check it with [`gradcheck`](crate::gradcheck).
    ///
    /// Operations in `backward` are recorded only in a pass with
    /// [`create_graph`](crate::GradOptions::create_graph). While `backward` waits for rayon's pool,
    /// this thread may run an unrelated task, which then runs in the mode of the pass too: begin
    /// such tasks with [`enable_grad`](crate::enable_grad) or [`no_grad`](crate::no_grad).
    ///
    /// PyTorch: `torch.autograd.Function`.
    ///
    /// # Panics
    /// In a backward pass, if `backward` returns the wrong number of gradients, or a gradient whose
    /// shape differs from its input's.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![2.0f64], [1]).unwrap().requires_grad();
    /// let input = x.clone();
    /// let cube = Tensor::custom("cube", &[&x], x.detach().powf(3.0), move |g| {
    ///     vec![Some(g * &input.powf(2.0) * 3.0)]
    /// });
    /// cube.sum().backward();
    /// assert_eq!(x.grad().unwrap().item(), 12.0);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn custom(
        name: &'static str,
        inputs: &[&Tensor<T>],
        value: Tensor<T>,
        backward: impl Fn(&Tensor<T>) -> Vec<Option<Tensor<T>>> + Send + Sync + 'static,
    ) -> Tensor<T> {
        record_many(name, inputs, value.array, move |ctx| backward(ctx.grad()).into())
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    #[should_panic(expected = "odd: backward returned a gradient of shape [3] for input 0")]
    fn a_gradient_of_another_shape_is_refused() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap().requires_grad();
        Tensor::custom("odd", &[&x], x.detach(), |_| vec![Some(Tensor::ones([3]))])
            .sum()
            .backward();
    }
}
