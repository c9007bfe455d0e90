//! Rotary position embedding: pairs of elements are rotated by angles that depend on the position.

use crate::arrays::array::Array;
use crate::arrays::shape::Shape;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{self as kernels, Float, Rotary, RotaryPairs, View};

impl<T: Float> Tensor<T> {
    /// Rotates elements `i` and `i + P` of each row by the row's angle `i`, of `P` angles given by
    /// their cosines and sines: `[…, L, D], […, L, P], […, L, P] → […, L, D]`, where the leading
    /// dimensions of the angles broadcast to those of `x`, and `2 P ≤ D`.
    ///
    /// `yᵢ = xᵢ cosᵢ − xᵢ₊ₚ sinᵢ` and `yᵢ₊ₚ = xᵢ₊ₚ cosᵢ + xᵢ sinᵢ`; elements from `2 P` on are
    /// unchanged. With `P = D / 2` the pairs are those of the two halves of a row, as in Hugging
    /// Face's models. A transposed `x` is read in place if the elements of its rows are contiguous.
    ///
    /// Gradient: `g` rotated by the opposite angles. PyTorch: `x * cos + rotate_half(x) * sin`,
    /// where transformers' `cos` and `sin` repeat the angles of this one.
    ///
    /// # Panics
    /// If `cos` and `sin` differ in shape, their rows are longer than half a row of `x`, or their
    /// leading dimensions do not broadcast to those of `x`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 2.0, 3.0, 4.0]]);
    /// let (cos, sin) = (Tensor::from([[1.0, 0.0]]), Tensor::from([[0.0, 1.0]])); // 0° and 90°
    /// assert_eq!(x.rotary(&cos, &sin).to_vec(), [1.0, -4.0, 3.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn rotary(&self, cos: &Tensor<T>, sin: &Tensor<T>) -> Tensor<T> {
        rotate("rotary", RotaryPairs::Halves, self, cos, sin)
    }

    /// [`rotary`](Tensor::rotary) that pairs neighbors, elements `2 i` and `2 i + 1`, as Meta's
    /// Llama and GGUF files do: `y₂ᵢ = x₂ᵢ cosᵢ − x₂ᵢ₊₁ sinᵢ` and `y₂ᵢ₊₁ = x₂ᵢ₊₁ cosᵢ + x₂ᵢ sinᵢ`.
    ///
    /// Gradient: `g` rotated by the opposite angles. PyTorch: the product of complex numbers,
    /// `view_as_real(view_as_complex(x.unflatten(-1, (-1, 2))) * freqs_cis).flatten(-2)`.
    ///
    /// # Panics
    /// As [`rotary`](Tensor::rotary).
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, 2.0, 3.0, 4.0]]);
    /// let (cos, sin) = (Tensor::from([[1.0, 0.0]]), Tensor::from([[0.0, 1.0]])); // 0° and 90°
    /// assert_eq!(x.rotary_interleaved(&cos, &sin).to_vec(), [1.0, 2.0, -4.0, 3.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn rotary_interleaved(&self, cos: &Tensor<T>, sin: &Tensor<T>) -> Tensor<T> {
        rotate("rotary_interleaved", RotaryPairs::Adjacent, self, cos, sin)
    }
}

#[track_caller]
fn rotate<T: Float>(
    op: &'static str,
    pairs: RotaryPairs,
    x: &Tensor<T>,
    cos: &Tensor<T>,
    sin: &Tensor<T>,
) -> Tensor<T> {
    let value = rotated(op, pairs, [x, cos, sin]);
    let saved = (cos.wants_grad() || sin.wants_grad()).then(|| x.clone());
    let (c, s) = (cos.clone(), sin.clone());
    record(op, [x, cos, sin], value, move |ctx| {
        let g = ctx.grad();
        let dx = ctx.needs(0).then(|| rotate(op, pairs, g, &c, &-&s));
        let Some(x) = &saved else { return [dx, None, None] };
        let angles = c.shape()[c.shape().len() - 1];
        let [a, b] = paired(x, angles, pairs);
        let [da, db] = paired(g, angles, pairs);
        let dcos = ctx.broadcast_back(1, || &da * &a + &db * &b);
        let dsin = ctx.broadcast_back(2, || &db * &a - &da * &b);
        [dx, dcos, dsin]
    })
}

/// The first and the second elements of the pairs, `[…, P]` each.
#[track_caller]
fn paired<T: Float>(x: &Tensor<T>, angles: usize, pairs: RotaryPairs) -> [Tensor<T>; 2] {
    match pairs {
        RotaryPairs::Halves => [x.narrow(-1, 0, angles), x.narrow(-1, angles, angles)],
        RotaryPairs::Adjacent => {
            let x = x.narrow(-1, 0, 2 * angles);
            [x.slice(-1, 0.., 2), x.slice(-1, 1.., 2)]
        }
    }
}

#[track_caller]
fn rotated<T: Float>(
    op: &'static str,
    pairs: RotaryPairs,
    [x, cos, sin]: [&Tensor<T>; 3],
) -> Array<T> {
    let (shape, of_cos, of_sin) = (x.array.shape(), cos.array.shape(), sin.array.shape());
    let fits = match (shape.split_last(), of_cos.split_last()) {
        (Some((&width, rows)), Some((&angles, of_angles))) if of_cos == of_sin => {
            let (rows, of_angles) = (Shape::from(rows), Shape::from(of_angles));
            let fits = of_angles.broadcast(&rows).as_ref() == Some(&rows) && angles <= width / 2;
            fits.then_some((rows, width, angles))
        }
        _ => None,
    };
    let Some((rows, width, angles)) = fits else {
        panic!(
            "{op}: an input of shape {shape}, cosines of {of_cos}, sines of {of_sin}; expected \
             […, D], […, P] and […, P], where P is at most D / 2 and the leading dimensions \
             broadcast to those of the input"
        )
    };
    let of_angles: Shape = rows.iter().copied().chain([angles]).collect();
    let x = with_contiguous_rows(op, &x.array);
    let [cos, sin] =
        [cos, sin].map(|x| with_contiguous_rows(op, &x.array).broadcast_to(&of_angles));
    Array::build(op, shape.clone(), |out| {
        let (x, cos, sin) = (leading(&x), leading(&cos), leading(&sin));
        kernels::rotary(out, Rotary { rows: &rows, width, angles, x, cos, sin, pairs });
    })
}

/// The elements of `x`, a copy if those of a row are not contiguous.
#[track_caller]
fn with_contiguous_rows<T: Float>(op: &str, x: &Array<T>) -> Array<T> {
    let last = x.shape().len() - 1;
    if x.shape()[last] < 2 || x.strided_slice().strides[last] == 1 {
        x.clone()
    } else {
        x.contiguous(op)
    }
}

/// `x` with the strides of all dimensions but the last.
fn leading<T: Float>(x: &Array<T>) -> View<'_, T> {
    let View { data, strides } = x.strided_slice();
    View { data, strides: &strides[..strides.len() - 1] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Generator, GradOptions, grad};

    #[test]
    fn gradients() {
        let shapes: &[&[&[usize]]] = &[
            &[&[2, 3, 4], &[3, 2], &[3, 2]],
            &[&[2, 2, 3, 5], &[2, 1, 3, 1], &[2, 1, 3, 1]],
            &[&[2, 7], &[1, 3], &[1, 3]],
            &[&[4], &[2], &[2]],
            &[&[0, 3, 4], &[3, 2], &[3, 2]],
            &[&[2, 3], &[2, 0], &[2, 0]],
            &[&[2, 0], &[2, 0], &[2, 0]],
        ];
        for shapes in shapes {
            check_op(|x| x[0].rotary(&x[1], &x[2]), shapes, -2.0..2.0);
            check_op(|x| x[0].rotary_interleaved(&x[1], &x[2]), shapes, -2.0..2.0);
        }
    }

    #[test]
    fn views_are_rotated_as_their_copies() {
        let rng = &mut Generator::seed(0);
        let mut draw = |shape: &[usize]| Tensor::<f32>::randn(shape, rng);
        // Large enough for several pieces.
        let (x, cos, sin) = (draw(&[2, 150, 8, 64]), draw(&[150, 31]), draw(&[150, 31]));
        let heads = x.transpose(1, 2);
        let copy = Tensor::from_vec(heads.to_vec(), heads.shape()).unwrap();
        let across = draw(&[2, 8, 64, 150]).transpose(-2, -1);
        let across_copy = Tensor::from_vec(across.to_vec(), across.shape()).unwrap();
        let turned = Tensor::from_vec(cos.t().to_vec(), [31, 150]).unwrap();
        for f in [Tensor::rotary, Tensor::rotary_interleaved] {
            assert_eq!(f(&heads, &cos, &sin).to_vec(), f(&copy, &cos, &sin).to_vec());
            assert_eq!(f(&across, &cos, &sin).to_vec(), f(&across_copy, &cos, &sin).to_vec());
            assert_eq!(f(&heads, &turned.t(), &sin).to_vec(), f(&copy, &cos, &sin).to_vec());
        }
    }

    #[test]
    fn a_gradient_is_rotated_back() {
        let rng = &mut Generator::seed(0);
        let x = Tensor::<f64>::randn([3, 5, 6], rng).requires_grad();
        let angles = Tensor::<f64>::randn([5, 3], rng);
        let (cos, sin) = (angles.cos(), angles.sin());
        for f in [Tensor::rotary, Tensor::rotary_interleaved] {
            // A rotation keeps lengths, so the gradient of the squared length is 2 x.
            let y = f(&x, &cos, &sin);
            assert!((y.square().sum() - x.square().sum()).item().abs() < 1e-12);
            let g = &grad(&y.square().sum(), &[&x], GradOptions::default())[0];
            assert!((g - x.detach() * 2.0).abs().max().item() < 1e-12);
        }
    }
}
