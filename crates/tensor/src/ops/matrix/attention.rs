//! Scaled dot-product attention.
//!
//! One operation that never holds all scores: forward keeps two values for each row of them, and
//! backward recomputes them, a block of queries at a time.

use crate::ops::matrix::attention_call::{AttentionCall, NAME};
use crate::ops::matrix::attention_options::AttentionOptions;
use crate::state::generator::{Generator, MaskRows};
use crate::tape::mode::is_pass_recorded;
use crate::tape::record::record_many;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use smallvec::SmallVec;

/// `softmax(scale · q kᵀ + bias) v`: for each query a mean of the values, weighted by how well
/// their keys match it: `[…, L, E], […, S, E], […, S, Ev] → […, L, Ev]`, where the leading
/// dimensions broadcast.
///
/// Keys and values that broadcast are read in place, and so are those that groups of heads share
/// ([`enable_gqa`](AttentionOptions::enable_gqa)): neither they nor their gradients are repeated.
///
/// The scores `[…, L, S]` are never all in memory, not even for the gradients (except for the
/// gradient of a bias, and for gradients that are to be differentiated again). The mask of a
/// dropout is regenerated where it is needed.
///
/// PyTorch: `torch.nn.functional.scaled_dot_product_attention`.
///
/// # Panics
/// If the shapes do not fit, or a query may look at no key, so that its mean would have no terms.
///
/// ```
/// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention};
/// let (q, k) = (Tensor::<f32>::zeros([2, 4]), Tensor::zeros([2, 4]));
/// let v = Tensor::from([[1.0], [3.0]]);
/// let y = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default());
/// assert_eq!(y.to_vec(), [2.0, 2.0]);
/// let y = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default().causal(true));
/// assert_eq!(y.to_vec(), [1.0, 2.0]);
/// ```
#[must_use]
#[track_caller]
pub fn scaled_dot_product_attention<T: Float>(
    q: &Tensor<T>,
    k: &Tensor<T>,
    v: &Tensor<T>,
    options: AttentionOptions<'_, T>,
) -> Tensor<T> {
    let mut call = AttentionCall::new(q, k, v, &options);
    call.check_rows();
    call.dropout = options.dropout.map(draw);
    let (value, stats) = call.value([q, k, v]);
    let inputs: SmallVec<[&Tensor<T>; 4]> = [q, k, v].into_iter().chain(options.bias).collect();
    let (q, k, v, bias) = (q.clone(), k.clone(), v.clone(), options.bias.cloned());
    let out = value.clone();
    record_many(NAME, &inputs, value, move |ctx| {
        if is_pass_recorded() {
            call.backward_in_operations(ctx, [&q, &k, &v], bias.as_ref())
        } else {
            call.backward(ctx, [&q, &k, &v], &out, &stats)
        }
    })
}

/// [`scaled_dot_product_attention`], and the weights of its means, `[…, L, S]`, after the dropout:
/// `[…, L, E], […, S, E], […, S, Ev] → […, L, Ev], […, L, S]`.
///
/// All weights are in memory, and for gradients the scores too: this is for inspecting weights, not
/// for long sequences.
///
/// PyTorch: what `torch.nn.MultiheadAttention` computes with `need_weights=True`.
///
/// # Panics
/// As [`scaled_dot_product_attention`].
///
/// ```
/// use adamant_tensor::{AttentionOptions, Tensor, scaled_dot_product_attention_with_weights};
/// let (q, k) = (Tensor::<f32>::zeros([1, 4]), Tensor::zeros([2, 4]));
/// let (v, options) = (Tensor::from([[1.0], [3.0]]), AttentionOptions::default());
/// let (y, weights) = scaled_dot_product_attention_with_weights(&q, &k, &v, options);
/// assert_eq!((y.to_vec(), weights.to_vec()), (vec![2.0], vec![0.5, 0.5]));
/// ```
#[must_use]
#[track_caller]
pub fn scaled_dot_product_attention_with_weights<T: Float>(
    q: &Tensor<T>,
    k: &Tensor<T>,
    v: &Tensor<T>,
    options: AttentionOptions<'_, T>,
) -> (Tensor<T>, Tensor<T>) {
    let mut call = AttentionCall::new(q, k, v, &options);
    call.check_rows();
    call.dropout = options.dropout.map(draw);
    let [value, weights] = call.in_operations([q, k, v], options.bias);
    (value, weights)
}

/// The mask of a dropout with probability `p`.
fn draw<T: Float>((p, rng): (f64, &mut Generator)) -> MaskRows<T> {
    let keep = if p == 1.0 { 0.0 } else { 1.0 / (1.0 - p) };
    MaskRows::draw(rng, p, T::from_f64(keep))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::mask::Mask;
    use crate::arrays::shape::Shape;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{GradOptions, grad, no_grad};

    fn mask(values: &[u8], shape: impl Into<Shape>) -> Mask {
        Mask::from_vec(values.iter().map(|&value| value != 0).collect(), shape).unwrap()
    }

    fn attend<'a>(x: &'a [Tensor<f64>], options: AttentionOptions<'a, f64>) -> Tensor<f64> {
        scaled_dot_product_attention(&x[0], &x[1], &x[2], options)
    }

    #[test]
    fn gradients() {
        let shapes: &[&[&[usize]]] = &[
            &[&[2, 3], &[4, 3], &[4, 2]],
            &[&[2, 1, 3, 2], &[2, 2, 2], &[1, 2, 2, 1]],
            &[&[0, 2, 3], &[0, 2, 3], &[0, 2, 3]],
            &[&[1, 1], &[1, 1], &[1, 0]],
        ];
        for shapes in shapes {
            check_op(|x| attend(x, AttentionOptions::default()), shapes, -2.0..2.0);
            check_op(|x| attend(x, AttentionOptions::default().causal(true)), shapes, -2.0..2.0);
        }
        let mask = mask(&[0, 1, 1, 0, 1, 0], [3, 2]);
        let with_bias = |x: &[Tensor<f64>]| {
            attend(x, AttentionOptions::default().mask(&mask).bias(&x[3]).scale(0.7))
        };
        // The same weights are dropped each time.
        let with_dropout = |x: &[Tensor<f64>]| {
            let rng = &mut Generator::seed(3);
            attend(x, AttentionOptions::default().bias(&x[3]).dropout(0.4, rng))
        };
        for bias in [&[2, 3, 2][..], &[3, 1], &[]] {
            check_op(with_bias, &[&[2, 3, 2], &[2, 2], &[2, 2, 2], bias], -2.0..2.0);
            check_op(with_dropout, &[&[2, 3, 2], &[2, 2], &[2, 2, 2], bias], -2.0..2.0);
        }
    }

    #[test]
    fn gradients_of_grouped_heads() {
        let gqa = || AttentionOptions::default().enable_gqa(true);
        let shapes: &[&[&[usize]]] = &[
            &[&[2, 6, 2, 2], &[2, 3, 3, 2], &[2, 3, 3, 1]],
            &[&[4, 3, 2], &[1, 2, 2], &[1, 2, 2]],
            &[&[2, 2, 2, 1], &[2, 3, 1], &[1, 2, 3, 2]],
            &[&[0, 4, 2, 1], &[0, 2, 3, 1], &[0, 2, 3, 1]],
            &[&[3, 0, 2, 1], &[3, 2, 3, 1], &[3, 2, 3, 1]],
        ];
        for shapes in shapes {
            check_op(|x| attend(x, gqa()), shapes, -2.0..2.0);
            check_op(|x| attend(x, gqa().causal(true).causal_offset(1)), shapes, -2.0..2.0);
        }
        let mask = mask(&[0, 1, 1, 0, 1, 0, 1, 1], [4, 1, 2]);
        let with_bias = |x: &[Tensor<f64>]| attend(x, gqa().mask(&mask).bias(&x[3]));
        let with_dropout = |x: &[Tensor<f64>]| {
            let rng = &mut Generator::seed(3);
            attend(x, gqa().bias(&x[3]).dropout(0.4, rng))
        };
        for bias in [&[4, 3, 2][..], &[2, 1, 3, 1], &[3, 2]] {
            let shapes = &[&[2, 4, 3, 2][..], &[2, 2, 2, 2], &[2, 2, 2, 2], bias];
            check_op(with_bias, shapes, -2.0..2.0);
            check_op(with_dropout, shapes, -2.0..2.0);
        }
    }

    #[test]
    fn grouped_heads_match_repeated_keys() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        // Views, as a model makes them; more queries than a block.
        let q = draw(&[2, 70, 6, 4]);
        let (k, v, bias) = (draw(&[2, 90, 2, 4]), draw(&[2, 90, 2, 3]), draw(&[6, 70, 90]));
        let heads = |x: &Tensor<f64>| x.transpose(1, 2);
        let repeated = |x: &Tensor<f64>| {
            let shape = [2, 2, 3, 90, x.shape()[3]];
            heads(x).unsqueeze(2).broadcast_to(shape).flatten(1, 2)
        };
        let seen = bias.detach().gt(-1.0) | Tensor::<f64>::arange(0.0, 90.0, 1.0).lt(0.5);
        for (offset, p) in [(None, 0.0), (Some(0), 0.3), (Some(20), 0.0)] {
            let options = || {
                let options = AttentionOptions::default().mask(&seen).bias(&bias);
                options.causal(offset.is_some()).causal_offset(offset.unwrap_or(7))
            };
            let rngs = [1, 1, 1].map(Generator::seed);
            let [mut first, mut second, mut third] = rngs;
            let grouped = || options().enable_gqa(true);
            let y = scaled_dot_product_attention(
                &heads(&q),
                &heads(&k),
                &heads(&v),
                grouped().dropout(p, &mut first),
            );
            let (z, weights) = scaled_dot_product_attention_with_weights(
                &heads(&q),
                &heads(&k),
                &heads(&v),
                grouped().dropout(p, &mut second),
            );
            let expected = scaled_dot_product_attention(
                &heads(&q),
                &repeated(&k),
                &repeated(&v),
                options().dropout(p, &mut third),
            );
            assert_eq!((y.shape(), weights.shape()), (&[2, 6, 70, 3][..], &[2, 6, 70, 90][..]));
            assert_eq!(y.to_vec(), expected.to_vec());
            let inputs = [&q, &k, &v, &bias];
            let gradients =
                |y: &Tensor<f64>| grad(&y.square().sum(), &inputs, GradOptions::default());
            let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
                assert!((a - b).abs().max().item() < 1e-12);
            };
            close(&z, &expected);
            let expected = gradients(&expected);
            for gradients in [gradients(&y), gradients(&z)] {
                gradients.iter().zip(&expected).for_each(|(a, b)| close(a, b));
            }
        }
    }

    #[test]
    fn keys_that_a_batch_shares_have_one_gradient() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        let q = draw(&[2, 3, 5, 4]);
        for (k, v) in [
            (draw(&[7, 4]), draw(&[1, 7, 2])),
            (draw(&[2, 1, 7, 4]), draw(&[1, 1, 7, 2])),
            (draw(&[3, 7, 4]), draw(&[7, 2])),
            (draw(&[1, 1, 7, 4]), draw(&[2, 3, 7, 2])),
        ] {
            let whole = |x: &Tensor<f64>| x.broadcast_to([2, 3, 7, x.shape()[x.shape().len() - 1]]);
            let options = AttentionOptions::default;
            let y = scaled_dot_product_attention(&q, &k, &v, options());
            let z =
                scaled_dot_product_attention(&q, &(whole(&k) + 0.0), &(whole(&v) + 0.0), options());
            let gradients =
                |y: &Tensor<f64>| grad(&y.square().sum(), &[&q, &k, &v], GradOptions::default());
            for (a, b) in gradients(&y).iter().zip(gradients(&z)) {
                assert!((a - b).abs().max().item() < 1e-12);
            }
        }
    }

    #[test]
    fn a_causal_offset_continues_a_sequence() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng);
        let (q, k, v) = (draw(&[150, 4]), draw(&[150, 4]), draw(&[150, 3]));
        let options = || AttentionOptions::default().causal(true);
        let whole = scaled_dot_product_attention(&q, &k, &v, options());
        for (start, end) in [(0, 70), (70, 80), (80, 81), (81, 150)] {
            let q = q.narrow(0, start, end - start);
            let (k, v) = (k.narrow(0, 0, end), v.narrow(0, 0, end));
            let y = scaled_dot_product_attention(&q, &k, &v, options().causal_offset(start));
            let expected = whole.narrow(0, start, end - start);
            assert!((y - expected).abs().max().item() < 1e-12);
        }
        let all = scaled_dot_product_attention(&q, &k, &v, options().causal_offset(usize::MAX));
        let plain = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default());
        assert_eq!(all.to_vec(), plain.to_vec());
    }

    #[test]
    fn blocks_match_the_plain_formula() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        for (l, s) in [(150, 150), (130, 40), (65, 200)] {
            let (q, k) = (draw(&[2, 2, l, 5]), draw(&[2, 2, s, 5]));
            let (v, bias, g) = (draw(&[2, 2, s, 3]), draw(&[2, 1, l, s]), draw(&[2, 2, l, 3]));
            let seen = bias.detach().gt(-1.0) | Tensor::<f64>::eye_rectangular(l, s).gt(0.5);
            let seen = seen | Tensor::<f64>::arange(0.0, s as f64, 1.0).lt(0.5);
            for (causal, p) in [(false, 0.0), (true, 0.0), (false, 0.3), (true, 0.3)] {
                let rng = &mut Generator::seed(1);
                let options = || AttentionOptions::default().mask(&seen).bias(&bias).causal(causal);
                let mut call = AttentionCall::new(&q, &k, &v, &options());
                call.dropout = Some(MaskRows::draw(&mut rng.clone(), p, 1.0 / (1.0 - p)));
                let y = scaled_dot_product_attention(&q, &k, &v, options().dropout(p, rng));
                let [z, _] = call.in_operations([&q, &k, &v], Some(&bias));
                let inputs = [&q, &k, &v, &bias];
                let gradients = |y: &Tensor<f64>| {
                    grad(&(y * g.detach()).sum(), &inputs, GradOptions::default())
                };
                let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
                    assert!((a - b).abs().max().item() < 1e-12);
                };
                close(&y, &z);
                for (a, b) in gradients(&y).iter().zip(gradients(&z)) {
                    close(a, &b);
                }
            }
        }
    }

    #[test]
    fn weights_match_the_fused_operation() {
        let mut rng = Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f64>::randn(shape, &mut rng).requires_grad();
        let (q, k, v) = (draw(&[2, 1, 3, 4]), draw(&[2, 5, 4]), draw(&[3, 1, 1, 5, 2]));
        let (bias, seen) = (draw(&[3, 5]), mask(&[1, 0, 1, 1, 1], [5]));
        for (causal, p) in [(false, 0.0), (true, 0.0), (true, 0.4)] {
            let options = || AttentionOptions::default().mask(&seen).bias(&bias).causal(causal);
            let rngs = [1, 1].map(Generator::seed);
            let [mut first, mut second] = rngs;
            let y = scaled_dot_product_attention(&q, &k, &v, options().dropout(p, &mut first));
            let options = options().dropout(p, &mut second);
            let (z, weights) = scaled_dot_product_attention_with_weights(&q, &k, &v, options);
            assert_eq!((z.shape(), weights.shape()), (y.shape(), &[3, 2, 2, 3, 5][..]));
            assert_eq!(first.uniform(), second.uniform());
            let inputs = [&q, &k, &v, &bias];
            let gradients =
                |y: &Tensor<f64>| grad(&y.square().sum(), &inputs, GradOptions::default());
            let close = |a: &Tensor<f64>, b: &Tensor<f64>| {
                assert!((a - b).abs().max().item() < 1e-12);
            };
            close(&y, &z);
            close(&y, &weights.matmul(&v));
            for (a, b) in gradients(&y).iter().zip(gradients(&z)) {
                close(a, &b);
            }
            assert!(p > 0.0 || (weights.sum_dim(-1) - 1.0).abs().max().item() < 1e-12);
        }
    }

    #[test]
    fn large_scores_are_stable() {
        let q = Tensor::<f32>::from([[1e4], [-1e4]]);
        let k = Tensor::from([[1e4], [1e4], [0.0]]);
        let v = Tensor::from([[1.0], [3.0], [10.0]]);
        let y = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default());
        assert_eq!(y.to_vec(), [2.0, 10.0]);
    }

    #[test]
    fn dropout_drops_weights_and_scales_the_others() {
        let (q, v) = (Tensor::<f32>::zeros([50, 1]), Tensor::<f32>::eye(50));
        let mut rng = Generator::seed(0);
        let drop = |p, rng: &mut Generator| {
            let options = AttentionOptions::default().dropout(p, rng);
            scaled_dot_product_attention(&q, &q, &v, options).to_vec()
        };
        let half = drop(0.5, &mut rng);
        let kept = half.iter().filter(|&&y| y > 0.0).count();
        assert!((1100..1400).contains(&kept), "{kept}");
        assert!(half.iter().all(|&y| y == 0.0 || (y - 0.04).abs() < 1e-6));
        assert!(drop(1.0, &mut rng).iter().all(|&y| y == 0.0));
        let plain = scaled_dot_product_attention(&q, &q, &v, AttentionOptions::default());
        assert_eq!(no_grad(|| drop(0.0, &mut rng)), plain.to_vec());
    }

    #[test]
    #[should_panic(
        expected = "query [1, 0, 2] of the scores, which are [2, 1, 3, 2], may look at \
                               no key"
    )]
    fn a_query_without_keys_is_refused() {
        let x = Tensor::<f32>::ones([2, 4, 3, 2]);
        let y = Tensor::<f32>::ones([2, 4, 2, 2]);
        let mask = mask(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0], [2, 1, 3, 2]);
        let _ = scaled_dot_product_attention(&x, &y, &y, AttentionOptions::default().mask(&mask));
    }

    #[test]
    #[should_panic(expected = "may look at no key")]
    fn mask_and_causality_may_leave_no_key() {
        let x = Tensor::<f32>::ones([2, 2]);
        let mask = mask(&[0, 1], [2]);
        let options = AttentionOptions::default().mask(&mask).causal(true);
        let _ = scaled_dot_product_attention(&x, &x, &x, options);
    }

    #[test]
    #[should_panic(expected = "may look at no key")]
    fn a_bias_that_hides_all_keys_is_refused() {
        let x = Tensor::<f32>::ones([2, 2]);
        let bias = Tensor::full([2, 2], f32::NEG_INFINITY);
        let _ = scaled_dot_product_attention(&x, &x, &x, AttentionOptions::default().bias(&bias));
    }

    #[test]
    #[should_panic(expected = "queries of shape [2, 3] and keys of shape [2, 4]")]
    fn widths_that_differ_are_refused() {
        let (q, k) = (Tensor::<f32>::ones([2, 3]), Tensor::ones([2, 4]));
        let _ = scaled_dot_product_attention(&q, &k, &k, AttentionOptions::default());
    }
}
