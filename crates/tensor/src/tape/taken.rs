//! Values of parameters that are taken out of their slots, to be changed in place.

use crate::tape::node::lock;
use crate::tape::parameter::{Parameter, SlotState};
use crate::tape::stored::{NewValue, Storage, Stored};
use adamant_kernels::Float;
use std::mem;

/// Takes the values of all `parameters` out of their slots, to change them in place or to replace
/// them, for an optimizer's step or for loading a state, which `op` names in panics. The result is in
/// the order of the parameters.
///
/// If another caller holds one of the values, this waits for it. Values are taken in the order of
/// [`Parameter::id`], so two callers never wait for each other.
///
/// # Deadlocks
/// Readers of the parameters wait until the result is dropped. So, until then, run only loops over
/// slices: reading one of the parameters on the same thread, or waiting for a thread that reads
/// one, deadlocks.
///
/// # Panics
/// If a [`ValueMut`](crate::ValueMut) of one of the parameters exists, or one of them appears twice.
#[must_use]
#[track_caller]
pub fn take_values<'p, T: Float>(
    op: &str,
    parameters: impl Iterator<Item = &'p Parameter<T>>,
) -> Vec<TakenValue<T>> {
    let mut values: Vec<TakenValue<T>> = parameters.map(TakenValue::of).collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by_key(|&i| values[i].parameter.id());
    for pair in order.windows(2) {
        let [parameter, next] = [pair[0], pair[1]].map(|i| &values[i].parameter);
        assert!(!parameter.is_same(next), "{op}: {parameter:?} appears twice");
    }
    for i in order {
        values[i].take(op);
    }
    values
}

/// The value of a parameter while it is changed in place, from [`take_values`]. The value
/// returns to its slot when this is dropped. After a panic in the middle of an update, it returns
/// as the update left it.
pub struct TakenValue<T: Float> {
    parameter: Parameter<T>,
    /// `None` until it is taken, and in `drop`.
    value: Option<Stored<T>>,
    /// How the parameter stores the value, and will again.
    storage: Storage,
}

impl<T: Float> TakenValue<T> {
    /// To be taken.
    fn of(parameter: &Parameter<T>) -> Self {
        TakenValue { parameter: parameter.clone(), value: None, storage: Storage::Full }
    }

    #[track_caller]
    fn take(&mut self, op: &str) {
        let mut slot = self.parameter.shared.wait_for_value();
        slot.assert_no_guard(op);
        let SlotState::Free(value) = mem::replace(&mut slot.state, SlotState::Taken) else {
            unreachable!("the value is neither taken nor guarded")
        };
        self.storage = value.storage();
        self.value = Some(value);
    }

    /// The elements in row-major order. Copies them first if a tensor shares them, so that the tensor
    /// keeps the old ones.
    pub fn make_mut(&mut self) -> &mut [T] {
        self.value.as_mut().expect("`take_values` has taken it").make_mut()
    }

    /// Replaces the value, by an array or by a value from [`Parameter::new_value`]. Copies it only if
    /// the parameter stores it in another type.
    ///
    /// # Panics
    /// If `value` does not have the parameter's shape.
    #[track_caller]
    pub fn replace(&mut self, value: impl Into<NewValue<T>>) {
        let NewValue(value) = value.into();
        let (found, expected) = (value.shape(), self.parameter.shape());
        assert!(**found == *expected, "the value has shape {found}; expected {expected:?}");
        self.value = Some(value.stored_as(self.storage));
    }
}

impl<T: Float> Drop for TakenValue<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        let value = value.stored_as(self.storage); // rounds, which does not fail
        let shared = &self.parameter.shared;
        let mut slot = lock(&shared.slot);
        slot.state = SlotState::Free(value);
        if slot.waiting > 0 {
            shared.returned.notify_all(); // a system call even if no thread waits, hence the check
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use std::thread;

    fn parameter() -> Parameter<f64> {
        Parameter::new(Tensor::from_vec(vec![1.0, 2.0], [2]).unwrap())
    }

    #[test]
    fn taken_values_change_in_place_unless_shared() {
        let w = parameter();
        let address = || w.tensor().array.contiguous_slice().as_ptr();
        let before = address();
        take_values("step", [&w].into_iter())[0].make_mut()[0] = 5.0;
        assert_eq!(address(), before);
        let held = w.tensor();
        take_values("step", [&w].into_iter())[0].make_mut()[0] = 6.0;
        assert_ne!(address(), before);
        assert_eq!((held.to_vec()[0], w.tensor().to_vec()[0]), (5.0, 6.0));
    }

    #[test]
    fn readers_wait_for_a_taken_value() {
        let w = parameter();
        let mut taken = take_values("step", [&w].into_iter());
        thread::scope(|scope| {
            let reader = scope.spawn(|| w.tensor().to_vec());
            while lock(&w.shared.slot).waiting == 0 {
                thread::yield_now();
            }
            taken[0].make_mut().fill(3.0);
            drop(taken);
            assert_eq!(reader.join().unwrap(), [3.0, 3.0]);
        });
    }

    #[test]
    fn steps_in_opposite_orders_do_not_deadlock() {
        let (a, b) = (parameter(), parameter());
        thread::scope(|scope| {
            for order in [[&a, &b], [&b, &a]] {
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        let mut taken = take_values("step", order.into_iter());
                        taken.iter_mut().for_each(|value| value.make_mut()[0] += 1.0);
                    }
                });
            }
        });
        assert_eq!([a, b].map(|w| w.tensor().to_vec()[0]), [20_001.0; 2]);
    }

    #[test]
    #[should_panic(expected = "step: Parameter<f64>([2]) appears twice")]
    fn taking_a_value_twice_panics() {
        let w = parameter();
        let _ = take_values("step", [&w, &w].into_iter());
    }

    #[test]
    fn taken_values_are_in_the_order_of_the_parameters() {
        let parameters: Vec<_> = (0..8).map(|_| parameter()).collect();
        let orders: [Vec<&Parameter<f64>>; 2] =
            [parameters.iter().collect(), parameters.iter().rev().collect()];
        for order in &orders {
            let mut taken = take_values("step", order.iter().copied());
            taken.iter_mut().zip(0..).for_each(|(value, i)| value.make_mut()[0] += f64::from(i));
        }
        assert!(parameters.iter().all(|w| w.tensor().to_vec() == [8.0, 2.0])); // 1 + i + (7 − i)
    }
}
