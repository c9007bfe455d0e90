//! `+ - * /` between tensors and scalars, owned or borrowed, on either side.

use super::{add, div, mul};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// One operator: tensor with tensor, tensor with scalar, scalar with tensor.
macro_rules! operator {
    ($Op:ident, $op:ident, $tensors:path, $tensor_scalar:expr, $scalar_tensor:expr) => {
        operator!(impl $Op, $op, &Tensor<T>, &Tensor<T>, |a, b| $tensors(a, b));
        operator!(impl $Op, $op, &Tensor<T>, Tensor<T>, |a, b| $tensors(a, &b));
        operator!(impl $Op, $op, Tensor<T>, &Tensor<T>, |a, b| $tensors(&a, b));
        operator!(impl $Op, $op, Tensor<T>, Tensor<T>, |a, b| $tensors(&a, &b));
        operator!(impl $Op, $op, &Tensor<T>, T, |a, b| $tensor_scalar(a, b));
        operator!(impl $Op, $op, Tensor<T>, T, |a, b| $tensor_scalar(&a, b));
        operator!(scalar $Op, $op, f32, $scalar_tensor);
        operator!(scalar $Op, $op, f64, $scalar_tensor);
    };
    (impl $Op:ident, $op:ident, $A:ty, $B:ty, |$a:ident, $b:ident| $value:expr) => {
        impl<T: Float> $Op<$B> for $A {
            type Output = Tensor<T>;
            #[track_caller]
            fn $op(self, rhs: $B) -> Tensor<T> {
                let ($a, $b) = (self, rhs);
                $value
            }
        }
    };
    (scalar $Op:ident, $op:ident, $T:ty, $value:expr) => {
        impl $Op<&Tensor<$T>> for $T {
            type Output = Tensor<$T>;
            #[track_caller]
            fn $op(self, rhs: &Tensor<$T>) -> Tensor<$T> {
                $value(self, rhs)
            }
        }
        impl $Op<Tensor<$T>> for $T {
            type Output = Tensor<$T>;
            #[track_caller]
            fn $op(self, rhs: Tensor<$T>) -> Tensor<$T> {
                $value(self, &rhs)
            }
        }
    };
}

operator!(Add, add, add::add, add::add_scalar, |a, b| add::add_scalar(b, a));
operator!(Sub, sub, add::sub, |a, b: T| add::add_scalar(a, -b), add::scalar_sub);
operator!(Mul, mul, mul::mul, mul::mul_scalar, |a, b| mul::mul_scalar(b, a));
operator!(Div, div, div::div, div::div_scalar, div::scalar_div);

impl<T: Float> Neg for &Tensor<T> {
    type Output = Tensor<T>;
    #[track_caller]
    fn neg(self) -> Tensor<T> {
        add::neg(self)
    }
}

impl<T: Float> Neg for Tensor<T> {
    type Output = Tensor<T>;
    #[track_caller]
    fn neg(self) -> Tensor<T> {
        add::neg(&self)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn scalars_may_be_on_either_side() {
        let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
        assert_eq!((1.0 - &x).to_vec(), [0.0, -1.0]);
        assert_eq!((&x - 1.0).to_vec(), [0.0, 1.0]);
        assert_eq!((2.0 / &x).to_vec(), [2.0, 1.0]);
        assert_eq!((-(x.clone() * 3.0 + 1.0) / 2.0).to_vec(), [-2.0, -3.5]);
        assert_eq!((1.0 + x.clone() + &x).to_vec(), [3.0, 5.0]);
    }
}
