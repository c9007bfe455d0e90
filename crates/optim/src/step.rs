//! A step: the one loop over groups and parameters that changes them.

use crate::algorithm::{Algorithm, ParameterState, Sums};
use crate::count;
use crate::error::OptimError;
use crate::fields;
use crate::group::{Group, Slot, SteppedState};
use crate::sharing::Sharing;
use adamant_kernels::{Cut, Shared, SweepSize, pieces, sweep, sweep_into};
use adamant_tensor::{Float, TakenValue, Tensor, take_values};
use adamant_transport::Partition;
use std::ops::Range;

/// A parameter with a gradient, during a step.
struct Update<'g, T: Float, A: Algorithm<T>> {
    options: &'g A,
    slot: &'g mut Slot<T, A>,
    /// The group's index, and the parameter's in the group.
    position: (usize, usize),
    partition: Partition,
    /// The elements that this process updates.
    own: Range<usize>,
    grad: Tensor<T>,
    /// The number of the parameter's step, from 1 on.
    step: u64,
    /// The state that replaces the current one. Large and rare, hence boxed.
    prepared: Option<Box<A::State>>,
    sums: A::Sums,
}

/// Updates every parameter that has a gradient.
///
/// First allocates whatever the step needs, then takes the values and checks the buffers, and only
/// then counts the step and changes elements: whatever fails before, nothing has changed. Dropping
/// the values puts them back, on a panic too.
///
/// Of processes that share the optimizer, each updates its own elements; then they exchange these.
#[track_caller]
pub(crate) fn step<T: Float, A: Algorithm<T>>(groups: &mut [Group<T, A>], sharing: &Sharing) {
    let mut updates = prepare(groups, sharing);
    let mut size = SweepSize::default();
    updates.iter().for_each(|update| size.add(update.own.len()));
    let mut sums = vec![A::Sums::ZERO; if A::Sums::LEN > 0 { size.pieces() } else { 0 }];
    // Last, since readers wait for the values: gradients and memory are there.
    let mut values = take_values("step", updates.iter().map(|update| &update.slot.parameter));
    for value in &mut values {
        let _ = value.make_mut(); // copies now where a tensor shares the elements
    }
    for (update, value) in updates.iter_mut().zip(&mut values) {
        // Wrong lengths are a mistake of the optimizer, found at the first step of a parameter.
        if update.prepared.is_some() {
            update.assert_lengths(value);
        }
    }
    updates.iter_mut().for_each(Update::count);
    if A::Sums::LEN > 0 {
        sweep_into(buffers(&mut updates, &mut values), size, &mut sums, |(piece, _)| {
            A::measure(piece)
        });
        // The sums over a parameter are those over its pieces, added in their order.
        let sums =
            if sharing.is_alone() { sums } else { sharing.all_sums(&partitions(&updates), &sums) };
        let mut sums = sums.into_iter();
        for update in &mut updates {
            let of_parameter = sums.by_ref().take(pieces(update.slot.parameter.numel()));
            update.sums = of_parameter.fold(A::Sums::ZERO, A::Sums::add);
        }
    }
    sweep(buffers(&mut updates, &mut values), size, |(piece, Shared(sums))| {
        A::update(piece, sums);
    });
    if !sharing.is_alone() {
        let mut values: Vec<&mut [T]> = values.iter_mut().map(TakenValue::make_mut).collect();
        sharing.complete(&partitions(&updates), &mut values);
    }
}

fn partitions<T: Float, A: Algorithm<T>>(updates: &[Update<'_, T, A>]) -> Vec<Partition> {
    updates.iter().map(|update| update.partition).collect()
}

/// The update of every parameter that has a gradient, with the state that it needs.
#[track_caller]
fn prepare<'g, T: Float, A: Algorithm<T>>(
    groups: &'g mut [Group<T, A>],
    sharing: &Sharing,
) -> Vec<Update<'g, T, A>> {
    let mut updates = Vec::with_capacity(groups.iter().map(|group| group.slots.len()).sum());
    for (g, group) in groups.iter_mut().enumerate() {
        let options = &group.options;
        for (i, slot) in group.slots.iter_mut().enumerate() {
            let Some(grad) = slot.parameter.grad() else { continue };
            let state = slot.state.as_ref();
            let step = count::next(state.map_or(0, SteppedState::step));
            let state = state.map(|stepped| &stepped.state);
            let partition = slot.partition(sharing);
            let own = sharing.own(&partition);
            let shape = if sharing.is_alone() { slot.parameter.shape() } else { &[own.len()] };
            let mut prepared = options.prepare(step, state, shape).map(Box::new);
            let state = state_of(&mut prepared, slot);
            // A snapshot may share the arrays: it keeps the old elements.
            fields::unshare(|fields| state.fields(fields));
            let (position, sums) = ((g, i), A::Sums::ZERO);
            updates.push(Update {
                options,
                slot,
                position,
                partition,
                own,
                grad,
                step,
                prepared,
                sums,
            });
        }
    }
    updates
}

impl<T: Float, A: Algorithm<T>> Update<'_, T, A> {
    fn buffers<'u>(&'u mut self, value: &'u mut TakenValue<T>) -> A::Buffers<'u> {
        let state = state_of(&mut self.prepared, self.slot);
        let grad = self.grad.array().as_slice().expect("a collected gradient is contiguous");
        let own = self.own.clone();
        self.options.buffers(self.step, state, &mut value.make_mut()[own.clone()], &grad[own])
    }

    /// Asserts that every buffer has an element for each of the parameter's.
    #[track_caller]
    fn assert_lengths(&mut self, value: &mut TakenValue<T>) {
        let expected = self.own.len();
        let mut found = expected;
        self.buffers(value).lengths(&mut |len| {
            if len != expected {
                found = len;
            }
        });
        let (group, index) = self.position;
        assert!(
            found == expected,
            "{}: {}: {}: a buffer has {found} elements; expected {expected}",
            A::OPTIMIZER,
            OptimError::context(group),
            self.slot.describe(index)
        );
    }

    fn count(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.slot.state = Some(SteppedState { step: self.step, state: *prepared });
        } else if let Some(stepped) = &mut self.slot.state {
            stepped.step = self.step;
        }
    }
}

/// The state that the step changes.
fn state_of<'u, T: Float, A: Algorithm<T>>(
    prepared: &'u mut Option<Box<A::State>>,
    slot: &'u mut Slot<T, A>,
) -> &'u mut A::State {
    let current = slot.state.as_mut().map(|stepped| &mut stepped.state);
    let state = prepared.as_deref_mut().or(current);
    state.unwrap_or_else(|| {
        panic!("{}: `prepare` returned None at the first step; expected a state", A::OPTIMIZER)
    })
}

/// The buffers of every update, with the sums over the parameter.
fn buffers<'u, T: Float, A: Algorithm<T>>(
    updates: &'u mut [Update<'_, T, A>],
    values: &'u mut [TakenValue<T>],
) -> impl Iterator<Item = (A::Buffers<'u>, Shared<A::Sums>)> + Send {
    updates.iter_mut().zip(values).map(|(update, value)| {
        let sums = Shared(update.sums);
        (update.buffers(value), sums)
    })
}
