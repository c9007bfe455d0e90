//! The loss of classifiers.

use crate::arrays::array::Array;
use crate::tape::mode::is_pass_recorded;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, nll_rows, nll_rows_backward, sum};

/// The mean over the batch of `−log_softmax(logits)[target]`: `[N, C], N → []`.
///
/// Softmax, logarithm and selection are one step, exact for finite logits of any size. The loss of
/// an empty batch is NaN. Gradient: `g (softmax(logits) − onehot(targets)) / N`.
///
/// PyTorch: `torch.nn.functional.cross_entropy(logits, targets)`.
///
/// # Panics
/// If `logits` is not a matrix, if there is not one target for each row, or if a target is not a
/// class.
///
/// ```
/// use adamant_tensor::{Tensor, cross_entropy};
/// let logits = Tensor::from_vec(vec![1e4f32, -1e4, 0.0, 0.0], [2, 2]).unwrap();
/// assert_eq!(cross_entropy(&logits, &[0, 1]).item(), 2f32.ln() / 2.0);
/// ```
#[must_use]
#[track_caller]
pub fn cross_entropy<T: Float>(logits: &Tensor<T>, targets: &[usize]) -> Tensor<T> {
    let shape = logits.array.shape().clone();
    let &[rows, classes] = &*shape else {
        panic!("cross_entropy: logits of shape {shape}; expected [batch, classes]")
    };
    assert!(
        targets.len() == rows,
        "cross_entropy: {} targets for logits of shape {shape}; expected one for each row",
        targets.len()
    );
    if let Some((row, target)) = targets.iter().enumerate().find(|&(_, &target)| target >= classes)
    {
        panic!(
            "cross_entropy: target {target} in row {row}, but logits of shape {shape} have {classes} classes"
        );
    }
    let n = T::from_f64(rows as f64);
    let x = logits.array.contiguous("cross_entropy");
    let losses = Array::build("cross_entropy", [rows].into(), |out| {
        nll_rows(out, x.contiguous_slice(), targets);
    });
    let mean = Array::build("cross_entropy", [].into(), |out| {
        sum(out, losses.contiguous_slice(), [1, rows, 1]);
        out[0] /= n;
    });
    let (logits_saved, targets) = (logits.clone(), targets.to_vec());
    record("cross_entropy", [logits], mean, move |ctx| {
        if !is_pass_recorded() {
            let (x, g) = (logits_saved.array.contiguous("cross_entropy"), ctx.grad().item() / n);
            let gradient =
                |out: &mut [T]| nll_rows_backward(out, x.contiguous_slice(), &targets, g);
            return [Some(Array::build("cross_entropy", shape.clone(), gradient).into())];
        }
        let one_hot = Array::build("cross_entropy", shape.clone(), |out: &mut [T]| {
            out.fill(T::ZERO);
            for (row, &target) in out.chunks_exact_mut(classes.max(1)).zip(&targets) {
                row[target] = T::ONE;
            }
        });
        [Some((logits_saved.softmax(1) - Tensor::from(one_hot)) * (ctx.grad() / n))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{GradOptions, grad};

    #[test]
    fn gradients() {
        check_op(|x| cross_entropy(&x[0], &[2, 0, 1, 2]), &[&[4, 3]], -2.0..2.0);
        check_op(|x| cross_entropy(&x[0], &[0]), &[&[1, 1]], -2.0..2.0);
    }

    #[test]
    fn the_loss_of_an_empty_batch_is_nan() {
        // F.cross_entropy(torch.ones(0, 3), torch.ones(0, dtype=torch.long))
        for shape in [[0, 3], [0, 0]] {
            let logits = Tensor::<f32>::ones(shape).requires_grad();
            let loss = cross_entropy(&logits, &[]);
            loss.backward_retain_graph();
            assert!(loss.item().is_nan());
            assert_eq!(logits.grad().unwrap().shape(), shape);
            let again = GradOptions::default().create_graph(true);
            assert_eq!(grad(&loss, &[&logits], again)[0].shape(), shape);
        }
    }

    #[test]
    fn large_logits_are_exact() {
        let logits = Tensor::from_vec(vec![-1e4f64, 1e4, 0.0], [1, 3]).unwrap().requires_grad();
        let loss = cross_entropy(&logits, &[0]);
        loss.backward();
        assert_eq!(loss.item(), 2e4);
        assert_eq!(logits.grad().unwrap().to_vec(), [-1.0, 1.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "target 3 in row 1, but logits of shape [2, 3] have 3 classes")]
    fn a_target_outside_the_classes_is_refused() {
        let _ = cross_entropy(&Tensor::<f32>::ones([2, 3]), &[0, 3]);
    }
}
