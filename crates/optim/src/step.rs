//! A step: the one loop over groups and parameters that changes them.

use crate::algorithm::{Algorithm, ParameterState, Sums};
use crate::fields;
use crate::group::{Group, Slot, Stepped};
use adamant_kernels::{Shared, SweepSize, pieces, sweep, sweep_into};
use adamant_tensor::{Float, TakenValue, Tensor, take_values};

/// A parameter's part of the step that is being made.
pub(crate) struct Update<T: Float, A: Algorithm<T>> {
    grad: Tensor<T>,
    /// The state that replaces the present one. Large and rare, hence boxed.
    prepared: Option<Box<Stepped<A::State>>>,
    /// Set once all parameters are prepared.
    value: Option<TakenValue<T>>,
    sums: A::Sums,
}

/// The groups during a step. However it ends, values are put back and gradients released when
/// this is dropped.
struct Step<'g, T: Float, A: Algorithm<T>> {
    groups: &'g mut [Group<T, A>],
    size: SweepSize,
    /// The sums over each piece.
    sums: Vec<A::Sums>,
}

/// Updates every parameter that has a gradient.
///
/// All that can fail is in [`Step::begin`], and nothing has changed if it does.
#[track_caller]
pub(crate) fn step<T: Float, A: Algorithm<T>>(groups: &mut [Group<T, A>]) {
    let mut step = Step::begin(groups);
    if A::Sums::ANY {
        step.measure();
    }
    let size = step.size;
    sweep(step.buffers(), size, |(piece, Shared(sums))| A::update(piece, sums));
}

impl<'g, T: Float, A: Algorithm<T>> Step<'g, T, A> {
    /// Allocates whatever the step needs, takes the values, and only then counts the step.
    #[track_caller]
    fn begin(groups: &'g mut [Group<T, A>]) -> Self {
        let mut step = Step { groups, size: SweepSize::default(), sums: Vec::new() };
        for group in &mut *step.groups {
            for slot in &mut group.slots {
                let Some(grad) = slot.parameter.grad() else { continue };
                let (number, state) = match &mut slot.state {
                    Some(Stepped { step, state }) => (*step + 1, Some(state)),
                    None => (1, None),
                };
                let shape = slot.parameter.shape();
                let mut prepared = group
                    .hyper
                    .prepare(number, state.as_deref(), shape)
                    .map(|state| Box::new(Stepped { step: number, state }));
                let state = prepared.as_mut().map(|stepped| &mut stepped.state).or(state);
                let state = state.expect("`prepare` returns a state at the first step");
                // A snapshot may share the arrays: it keeps the old elements.
                fields::unshare(|fields| state.fields(fields));
                slot.update = Some(Update { grad, prepared, value: None, sums: A::Sums::ZERO });
                step.size.add(slot.parameter.numel());
            }
        }
        if A::Sums::ANY {
            step.sums = vec![A::Sums::ZERO; step.size.pieces()];
        }
        // After the gradients: whoever holds values waits for nothing.
        let slots = step.groups.iter().flat_map(|group| &group.slots);
        let with_grad = slots.filter(|slot| slot.update.is_some());
        let mut values = take_values(with_grad.map(|slot| &slot.parameter)).into_iter();
        for slot in step.groups.iter_mut().flat_map(|group| &mut group.slots) {
            let Some(update) = &mut slot.update else { continue };
            update.value = values.next();
            if let Some(prepared) = update.prepared.take() {
                slot.state = Some(*prepared);
            } else if let Some(stepped) = &mut slot.state {
                stepped.step += 1;
            }
        }
        step
    }

    /// The buffers of every parameter in the step.
    fn buffers(&mut self) -> impl Iterator<Item = (A::Buffers<'_>, Shared<A::Sums>)> + Send {
        self.groups.iter_mut().flat_map(|group| {
            let hyper = &group.hyper;
            group.slots.iter_mut().filter_map(move |slot| {
                let Update { grad, value, sums, .. } = slot.update.as_mut()?;
                let Stepped { step, state } = slot.state.as_mut()?;
                let grad = grad.array().as_slice().expect("a collected gradient is contiguous");
                let buffers = hyper.buffers(*step, state, value.as_mut()?.make_mut(), grad);
                Some((buffers, Shared(*sums)))
            })
        })
    }

    /// Sums over every parameter: those of its pieces, in their order.
    fn measure(&mut self) {
        let (size, mut sums) = (self.size, std::mem::take(&mut self.sums));
        sweep_into(self.buffers(), size, &mut sums, |(piece, _)| A::measure(piece));
        let mut sums = sums.into_iter();
        for slot in self.groups.iter_mut().flat_map(|group| &mut group.slots) {
            let Some(update) = &mut slot.update else { continue };
            let of_parameter = sums.by_ref().take(pieces(slot.parameter.numel()));
            update.sums = of_parameter.fold(A::Sums::ZERO, A::Sums::add);
        }
    }
}

impl<T: Float, A: Algorithm<T>> Drop for Step<'_, T, A> {
    fn drop(&mut self) {
        let slots = self.groups.iter_mut().flat_map(|group| &mut group.slots);
        slots.for_each(|slot: &mut Slot<T, A>| slot.update = None);
    }
}
