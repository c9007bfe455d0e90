//! Values kept within bounds.

use crate::ops::elementwise::extremum::extremum;
use crate::ops::elementwise::piecewise::{piecewise, record_pieces};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::cmp::Ordering;

mod sealed {
    pub trait Sealed {}
}

/// A bound of [`clamp`](Tensor::clamp): a scalar, or a tensor of bounds.
///
/// As in PyTorch, the two differ in the gradient where an element equals its bound.
///
/// ```
/// use adamant_tensor::Tensor;
/// let x = Tensor::from([-3.0f32, 3.0]);
/// assert_eq!(x.clamp_min(0.0).to_vec(), [0.0, 3.0]);
/// assert_eq!(x.clamp_min(&Tensor::from([-1.0, 5.0])).to_vec(), [-1.0, 5.0]);
/// ```
pub trait Bound<T: Float>: sealed::Sealed + Copy {
    #[doc(hidden)]
    #[track_caller]
    fn clamp(x: &Tensor<T>, min: Self, max: Self) -> Tensor<T>;
    #[doc(hidden)]
    #[track_caller]
    fn clamp_min(self, x: &Tensor<T>) -> Tensor<T>;
    #[doc(hidden)]
    #[track_caller]
    fn clamp_max(self, x: &Tensor<T>) -> Tensor<T>;
}

impl sealed::Sealed for f64 {}

impl<T: Float> Bound<T> for f64 {
    #[track_caller]
    fn clamp(x: &Tensor<T>, min: f64, max: f64) -> Tensor<T> {
        bounded("clamp", x, min, max)
    }

    #[track_caller]
    fn clamp_min(self, x: &Tensor<T>) -> Tensor<T> {
        let min = T::from_f64(self);
        let value = move |x| if x < min || min.is_nan() { min } else { x };
        record_pieces("clamp_min", x, value, move |x| u8::from(x > min), pass)
    }

    #[track_caller]
    fn clamp_max(self, x: &Tensor<T>) -> Tensor<T> {
        let max = T::from_f64(self);
        let value = move |x| if x > max || max.is_nan() { max } else { x };
        record_pieces("clamp_max", x, value, move |x| u8::from(x < max), pass)
    }
}

impl<T: Float> sealed::Sealed for &Tensor<T> {}

impl<T: Float> Bound<T> for &Tensor<T> {
    #[track_caller]
    fn clamp(x: &Tensor<T>, min: Self, max: Self) -> Tensor<T> {
        bounded_by_tensors(x, min, max)
    }

    #[track_caller]
    fn clamp_min(self, x: &Tensor<T>) -> Tensor<T> {
        extremum("clamp_min", x, self, |x, min| x > min)
    }

    #[track_caller]
    fn clamp_max(self, x: &Tensor<T>) -> Tensor<T> {
        extremum("clamp_max", x, self, |x, max| x < max)
    }
}

impl<T: Float> Tensor<T> {
    /// `min(max(x, min), max)`, element by element; NaN if the element or a bound is. The bounds
    /// are two scalars, or two tensors that broadcast with this one. Where `min > max` the result
    /// is `max`.
    ///
    /// Gradient for scalar bounds: `g` where `min < x < max`, and 0 elsewhere, including at the
    /// bounds.
    ///
    /// Gradients for tensors: `g` goes to an element within its bounds, or else to the bound that
    /// replaced it. An element and a bound that it equals get half each; an element that equals
    /// both bounds gets all. A NaN is neither above nor below a bound, so a NaN element gets `g`.
    ///
    /// PyTorch: `x.clamp(min, max)`. For a single bound: [`clamp_min`](Tensor::clamp_min),
    /// [`clamp_max`](Tensor::clamp_max).
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([-3.0f32, 0.5, 3.0]);
    /// assert_eq!(x.clamp(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// let (low, high) = (Tensor::from([-4.0, 1.0, 1.0]), Tensor::from(2.0));
    /// assert_eq!(x.clamp(&low, &high).to_vec(), [-3.0, 1.0, 2.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn clamp<B: Bound<T>>(&self, min: B, max: B) -> Tensor<T> {
        B::clamp(self, min, max)
    }

    /// `max(x, min)`, element by element; NaN if the element or the bound is. The bound is a
    /// scalar, or a tensor that broadcasts with this one.
    ///
    /// Gradient for a scalar: `g` where `x > min`, and 0 elsewhere. For a tensor, it is that of
    /// [`maximum`](Tensor::maximum): equal elements get half of `g` each.
    ///
    /// PyTorch: `x.clamp_min(min)`, `x.clamp(min=min)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([-3.0f32, 0.5]);
    /// assert_eq!(x.clamp_min(0.0).to_vec(), [0.0, 0.5]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn clamp_min(&self, min: impl Bound<T>) -> Tensor<T> {
        min.clamp_min(self)
    }

    /// `min(x, max)`, element by element; NaN if the element or the bound is. The bound is a
    /// scalar, or a tensor that broadcasts with this one.
    ///
    /// Gradient for a scalar: `g` where `x < max`, and 0 elsewhere. For a tensor, it is that of
    /// [`minimum`](Tensor::minimum): equal elements get half of `g` each.
    ///
    /// PyTorch: `x.clamp_max(max)`, `x.clamp(max=max)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([-3.0f32, 0.5]);
    /// assert_eq!(x.clamp_max(0.0).to_vec(), [-3.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn clamp_max(&self, max: impl Bound<T>) -> Tensor<T> {
        max.clamp_max(self)
    }

    /// `min(max(x, min), max)`: [`clamp`](Tensor::clamp) under its name as an activation.
    ///
    /// Gradient: `g` where `min < x < max`, and 0 elsewhere, including at the bounds.
    ///
    /// PyTorch: `torch.nn.functional.hardtanh(x, min, max)`, where the bounds default to −1 and 1.
    ///
    /// # Panics
    /// If `min > max`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![-3.0f32, 0.5, 3.0], [3]).unwrap();
    /// assert_eq!(x.hardtanh(-1.0, 1.0).to_vec(), [-1.0, 0.5, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn hardtanh(&self, min: f64, max: f64) -> Tensor<T> {
        assert!(min <= max, "hardtanh: the bounds {min} and {max}; expected them in order");
        bounded("hardtanh", self, min, max)
    }

    /// `min(max(x, 0), 6)`, element by element.
    ///
    /// Gradient: `g` where `0 < x < 6`, and 0 elsewhere, including at the bounds.
    ///
    /// PyTorch: `torch.nn.functional.relu6(x)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::from([-3.0f32, 0.5, 8.0]).relu6().to_vec(), [0.0, 0.5, 6.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn relu6(&self) -> Tensor<T> {
        bounded("relu6", self, 0.0, 6.0)
    }
}

/// The gradient, where the piece is 1.
fn pass<T: Float>(g: T, inside: u8) -> T {
    if inside == 1 { g } else { T::ZERO }
}

#[track_caller]
fn bounded<T: Float>(op: &'static str, x: &Tensor<T>, min: f64, max: f64) -> Tensor<T> {
    let (min, max) = (T::from_f64(min), T::from_f64(max));
    let no_bound = min.is_nan() || max.is_nan();
    let value = move |x| {
        let x = if x < min { min } else { x };
        if no_bound {
            T::NAN
        } else if x > max {
            max
        } else {
            x
        }
    };
    record_pieces(op, x, value, move |x| u8::from(x > min && x < max), pass)
}

/// How two values compare, in two bits.
fn compare<T: Float>(a: T, b: T) -> u8 {
    match a.partial_cmp(&b) {
        Some(Ordering::Less) => LESS,
        Some(Ordering::Equal) => EQUAL,
        Some(Ordering::Greater) => GREATER,
        None => UNORDERED,
    }
}

const LESS: u8 = 0;
const EQUAL: u8 = 1;
const GREATER: u8 = 2;
const UNORDERED: u8 = 3;

/// Which inputs get the gradient: a single one all of it; with `OR` each half of it; with `AND`
/// each all of it, as for a NaN element with `max` below `min`.
const ELEMENT: u8 = 0;
const MIN: u8 = 1;
const MAX: u8 = 2;
const ELEMENT_OR_MIN: u8 = 3;
const ELEMENT_OR_MAX: u8 = 4;
const ELEMENT_AND_MAX: u8 = 5;
const NONE: u8 = 6;

/// PyTorch's choice, given how the element compares with `min` and `max`, and these with each
/// other.
fn receiver(element_min: u8, element_max: u8, min_max: u8) -> u8 {
    match (min_max, element_min, element_max) {
        (GREATER, UNORDERED, _) => ELEMENT_AND_MAX,
        (GREATER, _, _) => MAX,
        (LESS, EQUAL, _) => ELEMENT_OR_MIN,
        (LESS, _, EQUAL) => ELEMENT_OR_MAX,
        (UNORDERED, LESS, _) | (UNORDERED, _, GREATER) => NONE,
        (_, LESS, _) => MIN,
        (_, _, GREATER) => MAX,
        _ => ELEMENT,
    }
}

#[track_caller]
fn bounded_by_tensors<T: Float>(x: &Tensor<T>, min: &Tensor<T>, max: &Tensor<T>) -> Tensor<T> {
    let bounds = min.broadcast_with("clamp", max);
    let shape = x.array.shape().broadcast_with("clamp", &bounds);
    let (a, low, high) = (&x.array, &min.array, &max.array);
    let value = a.zip3("clamp", low, high, shape.clone(), |x, min, max| {
        let x = if x < min || min.is_nan() { min } else { x };
        if x > max || max.is_nan() { max } else { x }
    });
    let recorded = [x, min, max].iter().any(|input| input.wants_grad());
    let receivers = if recorded {
        Some(a.zip3("clamp", low, high, shape, |x, min, max| {
            receiver(compare(x, min), compare(x, max), compare(min, max))
        }))
    } else {
        None
    };
    record("clamp", [x, min, max], value, move |ctx| {
        let Some(receivers) = &receivers else { return [None, None, None] };
        // `all` are the pieces in which an input gets all of the gradient, `half` those in which it
        // gets half.
        let part = |all: [u8; 2], half: [u8; 2]| {
            let share = move |g: T, piece: u8| {
                if all.contains(&piece) {
                    g
                } else if half.contains(&piece) {
                    g * T::from_f64(0.5)
                } else {
                    T::ZERO
                }
            };
            piecewise("clamp", ctx.grad(), receivers, share)
        };
        [
            ctx.broadcast_back(0, || {
                part([ELEMENT, ELEMENT_AND_MAX], [ELEMENT_OR_MIN, ELEMENT_OR_MAX])
            }),
            ctx.broadcast_back(1, || part([MIN, MIN], [ELEMENT_OR_MIN, ELEMENT_OR_MIN])),
            ctx.broadcast_back(2, || {
                part([MAX, ELEMENT_AND_MAX], [ELEMENT_OR_MAX, ELEMENT_OR_MAX])
            }),
        ]
    })
}

#[cfg(test)]
mod tests {
    use crate::Tensor;
    use crate::tools::gradcheck::testing::check_op;

    #[test]
    fn gradients() {
        check_op(|x| x[0].clamp(-1.0, 0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].clamp_min(-1.0) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].clamp_max(0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].hardtanh(-1.0, 0.5) * &x[0], &[&[3, 4]], -2.0..2.0);
        check_op(|x| x[0].relu6() * &x[0], &[&[3, 4]], -2.0..8.0);
        for shapes in [[&[2, 3][..], &[2, 3], &[2, 3]], [&[3], &[2, 1], &[]]] {
            let clamp = |x: &[Tensor<f64>]| x[0].clamp(&(&x[1] - 0.7), &(&x[2] + 0.4));
            check_op(|x| clamp(x) * &x[0], &shapes, -2.0..2.0);
        }
    }

    #[test]
    fn an_element_shares_with_an_equal_bound() {
        let leaf = |values: [f32; 4]| Tensor::from(values).requires_grad();
        let x = leaf([1.0, 2.0, 1.0, f32::NAN]);
        let (min, max) = (leaf([1.0, 0.0, 1.0, 1.0]), leaf([3.0, 2.0, 1.0, 0.0]));
        x.clamp(&min, &max).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [0.5, 0.5, 1.0, 1.0]);
        assert_eq!(min.grad().unwrap().to_vec(), [0.5, 0.0, 0.0, 0.0]);
        assert_eq!(max.grad().unwrap().to_vec(), [0.0, 0.5, 0.0, 1.0]);
    }

    #[test]
    fn an_element_that_equals_a_bound_keeps_its_sign() {
        let is_negative = |x: Tensor| x.item().is_sign_negative();
        assert!(is_negative(Tensor::from([-0.0]).clamp_min(0.0)));
        assert!(!is_negative(Tensor::from([0.0]).clamp_max(-0.0)));
        assert!(is_negative(Tensor::from([-0.0]).clamp(0.0, 1.0)));
        assert!(!is_negative(Tensor::from([0.0]).clamp(-1.0, -0.0)));
    }

    #[test]
    fn bounds_may_be_infinite() {
        let x = Tensor::from([f32::INFINITY, 1.0]).requires_grad();
        x.clamp(0.0, f64::INFINITY).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [0.0, 1.0]);
        x.zero_grad();
        x.clamp_min(0.0).sum().backward();
        assert_eq!(x.grad().unwrap().to_vec(), [1.0, 1.0]);
        assert!(x.clamp(f64::NAN, 1.0).isnan().all() && x.clamp_max(f64::NAN).isnan().all());
    }
}
