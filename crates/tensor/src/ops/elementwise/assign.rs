//! `+= -= *= /=`.
//!
//! Values are immutable: `x += y` is `x = x + y`. Other handles to the old tensor keep it, and the
//! new one is tracked like any result.

use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

macro_rules! assign {
    ($Op:ident, $op:ident, $operator:tt, $B:ty) => {
        impl<T: Float> $Op<$B> for Tensor<T> {
            #[track_caller]
            fn $op(&mut self, rhs: $B) {
                *self = &*self $operator rhs;
            }
        }
    };
    ($Op:ident, $op:ident, $operator:tt) => {
        assign!($Op, $op, $operator, &Tensor<T>);
        assign!($Op, $op, $operator, Tensor<T>);
        assign!($Op, $op, $operator, T);
    };
}

assign!(AddAssign, add_assign, +);
assign!(SubAssign, sub_assign, -);
assign!(MulAssign, mul_assign, *);
assign!(DivAssign, div_assign, /);

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn assignment_replaces_the_handle() {
        let x = Tensor::from([1.0f32, 2.0]).requires_grad();
        let mut y = x.clone();
        y *= &x;
        y += 1.0;
        y -= Tensor::from([1.0, 1.0]);
        y /= 2.0;
        y.sum().backward();
        assert_eq!((x.to_vec(), y.to_vec()), (vec![1.0, 2.0], vec![0.5, 2.0]));
        assert_eq!(x.grad().unwrap().to_vec(), [1.0, 2.0]); // y = x² / 2
    }
}
