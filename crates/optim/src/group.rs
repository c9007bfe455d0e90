//! A group of an optimizer: parameters, the hyperparameters in force for them,
//! and what is remembered of each.

use crate::algorithm::{Algorithm, Memory};
use adamant_tensor::{Float, Parameter, Shape, StateDict, StateError, Tensor, ValueMut};
use std::collections::HashMap;
use std::ops::Deref;

/// Parameters with the hyperparameters in force for them, which can be read as fields.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Optimizer};
/// use adamant_tensor::{Parameter, Tensor};
/// let adam = Adam::new([Parameter::new(Tensor::<f32>::ones([2]))], AdamOptions::default()).unwrap();
/// assert_eq!(adam.param_groups()[0].lr, 1e-3);
/// ```
pub struct Group<T: Float, A: Algorithm<T>> {
    pub(crate) hyper: A,
    /// The rate that schedules start from, once one has changed the rate.
    pub(crate) base_lr: Option<f64>,
    pub(crate) name: Option<String>,
    pub(crate) slots: Vec<Slot<T, A::Memory>>,
}

impl<T: Float, A: Algorithm<T>> Deref for Group<T, A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.hyper
    }
}

impl<T: Float, A: Algorithm<T>> Group<T, A> {
    /// The parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &Parameter<T>> {
        self.slots.iter().map(|slot| &slot.parameter)
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// A parameter and what is remembered of it.
pub(crate) struct Slot<T: Float, M> {
    pub(crate) parameter: Parameter<T>,
    pub(crate) name: Option<String>,
    /// `None` until the parameter has been moved.
    pub(crate) memory: Option<M>,
    /// The value and the gradient, during a step.
    pub(crate) at_hand: Option<(ValueMut<T>, Tensor<T>)>,
}

impl<T: Float, M> std::fmt::Debug for Slot<T, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parameter.fmt(f)
    }
}

/// A group's part of a state, read and not yet taken over.
pub(crate) struct Loaded<A, M> {
    hyper: A,
    base_lr: Option<f64>,
    name: Option<String>,
    memories: Vec<Option<M>>,
}

impl<T: Float, A: Algorithm<T>> Group<T, A> {
    pub(crate) fn save(&self, g: usize, state: &mut StateDict) {
        let prefix = format!("groups.{g}");
        if let Some(name) = &self.name {
            state.insert(format!("{prefix}.name"), name.as_str());
        }
        self.hyper.save(&prefix, state);
        if let Some(base_lr) = self.base_lr {
            state.insert(format!("{prefix}.base_lr"), base_lr);
        }
        state.insert(format!("{prefix}.params"), self.slots.len() as i64);
        for (i, slot) in self.slots.iter().enumerate() {
            let prefix = format!("{prefix}.params.{i}");
            if let Some(name) = &slot.name {
                state.insert(format!("{prefix}.name"), name.as_str());
            }
            if let Some(memory) = &slot.memory {
                memory.save(&prefix, state);
            }
        }
    }

    /// What `state` says of this group, checked; mismatches go to `errors`.
    pub(crate) fn read(
        &self,
        g: usize,
        state: &StateDict,
        errors: &mut StateError,
    ) -> Loaded<A, A::Memory> {
        let prefix = format!("groups.{g}");
        let mut hyper = self.hyper.clone();
        hyper.load(&prefix, state, errors);
        if let Err(error) = hyper.check(&format!("`{prefix}`")) {
            errors.push(error.to_string());
        }
        let optional = |name: &str| state.get(name).is_some();
        let base_name = format!("{prefix}.base_lr");
        let base_lr = optional(&base_name).then(|| errors.take(state.float(&base_name))).flatten();
        let group_name = format!("{prefix}.name");
        let name = optional(&group_name).then(|| errors.take(state.text(&group_name))).flatten();
        let name = name.map(String::from);

        check_count(errors, state, &format!("{prefix}.params"), self.slots.len());
        let places = self.places(&prefix, state, errors);
        let memory = |(slot, place): (&Slot<T, A::Memory>, usize)| {
            A::Memory::load(
                &format!("{prefix}.params.{place}"),
                slot.parameter.shape(),
                state,
                errors,
            )
        };
        let memories = self.slots.iter().zip(places).map(memory).collect();
        Loaded { hyper, base_lr, name, memories }
    }

    pub(crate) fn load(&mut self, loaded: Loaded<A, A::Memory>) {
        self.hyper = loaded.hyper;
        self.base_lr = loaded.base_lr;
        self.name = loaded.name;
        for (slot, memory) in self.slots.iter_mut().zip(loaded.memories) {
            slot.memory = memory;
        }
    }

    /// Where in the state each parameter is: by name if both sides have names
    /// for all of them, else by position.
    fn places(&self, prefix: &str, state: &StateDict, errors: &mut StateError) -> Vec<usize> {
        let saved_name = |i: usize| state.text(&format!("{prefix}.params.{i}.name")).ok();
        let saved: Option<Vec<&str>> = (0..self.slots.len()).map(saved_name).collect();
        let ours: Option<Vec<&str>> = self.slots.iter().map(|slot| slot.name.as_deref()).collect();
        let (Some(saved), Some(ours)) = (saved, ours) else {
            return (0..self.slots.len()).collect();
        };
        let by_name: HashMap<&str, usize> =
            saved.iter().enumerate().map(|(i, &n)| (n, i)).collect();
        if by_name.len() < saved.len() {
            errors.push(format!("`{prefix}.params`: found a name twice, expected each once"));
        }
        for name in saved.iter().filter(|name| !ours.contains(name)) {
            errors.push(format!(
                "`{prefix}.params`: found a parameter `{name}`, expected none of this name"
            ));
        }
        let place = |name: &&str| {
            by_name.get(name).copied().or_else(|| {
                errors.push(format!("`{prefix}.params`: no parameter `{name}`, expected one"));
                None
            })
        };
        ours.iter().filter_map(place).collect()
    }
}

pub(crate) fn check_count(errors: &mut StateError, state: &StateDict, name: &str, expected: usize) {
    if let Some(found) = errors.take(state.int(name))
        && found != expected as i64
    {
        errors.push(format!("`{name}`: found {found} of them, expected {expected}"));
    }
}

pub(crate) fn place(group: usize) -> String {
    format!("parameter group {group}")
}

pub(crate) fn describe<T: Float, M>(index: usize, slot: &Slot<T, M>) -> String {
    let shape = Shape::from(slot.parameter.shape());
    match &slot.name {
        Some(name) => format!("parameter {index} (`{name}`, shape {shape})"),
        None => format!("parameter {index} (shape {shape})"),
    }
}

impl<T: Float, A: Algorithm<T>> std::fmt::Debug for Group<T, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, params) = (&self.name, &self.slots);
        f.debug_struct("Group")
            .field("name", name)
            .field("hyper", &self.hyper)
            .field("params", params)
            .finish()
    }
}
