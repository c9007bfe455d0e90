//! The guard by which users' code writes to a parameter.

use crate::arrays::array::Array;
use crate::tape::node::lock;
use crate::tape::parameter::{Parameter, SlotState};
use adamant_kernels::Float;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::thread;

/// A guard to write to a parameter's value, from [`Parameter::value_mut`]. Dereferences to the
/// elements, which replace the value when the guard is dropped, except by a panic.
pub struct ValueMut<T: Float> {
    pub(super) parameter: Parameter<T>,
    pub(super) array: Array<T>,
    /// Whether the thread was unwinding from a panic when the guard was created, in a destructor.
    pub(super) unwinding: bool,
}

impl<T: Float> Deref for ValueMut<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.array.contiguous_slice()
    }
}

impl<T: Float> DerefMut for ValueMut<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.array.make_mut()
    }
}

impl<T: Float> Drop for ValueMut<T> {
    fn drop(&mut self) {
        let panicked = thread::panicking() && !self.unwinding;
        let mut slot = lock(&self.parameter.shared.slot);
        let SlotState::Guarded(mut value) = mem::replace(&mut slot.state, SlotState::Taken) else {
            unreachable!("a guarded value is neither taken nor replaced")
        };
        if !panicked {
            value.replace(&mut self.array);
        }
        slot.state = SlotState::Free(value);
        // `self.array`, which is not needed any more, is dropped after the lock.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn parameter() -> Parameter<f64> {
        Parameter::new(Tensor::from_vec(vec![1.0, 2.0], [2]).unwrap())
    }

    #[test]
    fn readers_get_the_old_value_while_a_guard_exists() {
        let w = parameter();
        let mut guard = w.value_mut();
        guard.fill(7.0);
        assert_eq!(w.tensor().to_vec(), [1.0, 2.0]);
        drop(guard);
        assert_eq!(w.tensor().to_vec(), [7.0, 7.0]);
    }

    #[test]
    fn a_panic_keeps_the_old_value() {
        let w = parameter();
        let write = || {
            let mut guard = w.value_mut();
            guard[0] = 7.0;
            panic!("on purpose");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        assert_eq!(w.tensor().to_vec(), [1.0, 2.0]);
        w.value_mut().fill(8.0); // the guard is gone
        assert_eq!(w.tensor().to_vec(), [8.0, 8.0]);
    }

    #[test]
    fn a_guard_of_a_destructor_publishes_while_unwinding() {
        struct Reset(Parameter<f64>);
        impl Drop for Reset {
            fn drop(&mut self) {
                self.0.value_mut().fill(0.0);
            }
        }
        let w = parameter();
        let reset = Reset(w.clone());
        let panics = move || {
            let _reset = reset;
            panic!("on purpose");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(w.tensor().to_vec(), [0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "value_mut: the parameter is already being written to")]
    fn a_second_guard_panics() {
        let w = parameter();
        let _guard = w.value_mut();
        let _ = w.value_mut();
    }

    #[test]
    #[should_panic(expected = "set_value: the parameter is already being written to")]
    fn replacing_a_guarded_value_panics() {
        let w = parameter();
        let _guard = w.value_mut();
        w.set_value(&Tensor::zeros([2]));
    }
}
