//! Activations that replace the logistic function by pieces of lines.

use crate::ops::elementwise::piecewise::record_pieces;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// `min(max(x + 3, 0), 6)`
#[inline(always)]
fn ramp<T: Float>(x: T) -> T {
    let (x, six) = (x + T::from_f64(3.0), T::from_f64(6.0));
    if x < T::ZERO {
        T::ZERO
    } else if x > six {
        six
    } else {
        x
    }
}

impl<T: Float> Tensor<T> {
    /// `min(max(x + 3, 0), 6) / 6`, element by element: lines instead of the curve of
    /// [`sigmoid`](Tensor::sigmoid).
    ///
    /// Gradient: `g / 6` where `−3 < x < 3`, and 0 elsewhere, including at ±3. The sixth is
    /// rounded to f32 for every type, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.functional.hardsigmoid(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([-9.0f32, 0.0, 9.0]).hardsigmoid().to_vec(), [0.0, 0.5, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn hardsigmoid(&self) -> Tensor<T> {
        let (three, six) = (T::from_f64(3.0), T::from_f64(6.0));
        let value = move |x| ramp(x) / six;
        let piece = move |x| u8::from(x > -three && x < three);
        // PyTorch multiplies by this factor, a rounded f32, in f64 as well.
        let sixth = T::from_f64(f64::from(1.0f32 / 6.0));
        let slope = move |g, inside| if inside == 1 { g * sixth } else { T::ZERO };
        record_pieces("hardsigmoid", self, value, piece, slope)
    }

    /// `x min(max(x + 3, 0), 6) / 6`, element by element: lines instead of the curve in
    /// [`silu`](Tensor::silu).
    ///
    /// Gradient: `g (x/3 + ½)` where `−3 < x < 3`, 0 up to −3, and `g` from 3 on.
    ///
    /// PyTorch: `torch.nn.functional.hardswish(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([-3.0f32, 0.0, 1.5, 9.0]).hardswish().to_vec(), [0.0, 0.0, 1.125, 9.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn hardswish(&self) -> Tensor<T> {
        let [half, three, six] = [0.5, 3.0, 6.0].map(T::from_f64);
        let value = self.array.map("hardswish", move |x| x * ramp(x) / six);
        let x = self.clone();
        record("hardswish", [self], value, move |ctx| {
            let gradient = ctx.chain(
                &x,
                move |g, x| {
                    if x <= -three {
                        T::ZERO
                    } else if x < three {
                        g * (x / three + half)
                    } else {
                        g
                    }
                },
                |g, x| {
                    let inside = g * (x / three + half);
                    let above = inside.where_(&x.lt(three), g);
                    above.masked_fill(&x.le(-three), T::ZERO)
                },
            );
            [Some(gradient)]
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{GradOptions, grad};

    #[test]
    fn gradients() {
        check_op(|x| x[0].hardsigmoid() * &x[0], &[&[3, 4]], -5.0..5.0);
        check_op(|x| x[0].hardswish(), &[&[3, 4]], -5.0..5.0);
    }

    /// `y.sum().backward()` in PyTorch 2.15.
    #[test]
    fn gradients_at_the_kinks_are_pytorchs() {
        let x = Tensor::from([-3.0f64, 3.0]).requires_grad();
        for recorded in [false, true] {
            let gradient = |y: Tensor<f64>| {
                let options = GradOptions::default().create_graph(recorded);
                grad(&y.sum(), &[&x], options)[0].to_vec()
            };
            assert_eq!(gradient(x.hardsigmoid()), [0.0, 0.0]);
            assert_eq!(gradient(x.hardswish()), [0.0, 1.0]);
            assert_eq!(gradient((&x + 3.0).relu6()), [0.0, 0.0]);
        }
    }
}
