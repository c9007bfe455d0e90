//! A group of an optimizer: parameters, the hyperparameters in force for them,
//! and what is remembered of each.

use crate::algorithm::{Algorithm, Memory};
use adamant_tensor::{Float, Parameter, Shape, StateDict, StateError, TakenValue, Tensor};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::OnceLock;

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
    /// The rate that schedules start from, once there is one.
    pub(crate) base_lr: OnceLock<f64>,
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
    pub(crate) at_hand: Option<(TakenValue<T>, Tensor<T>)>,
}

impl<T: Float, M> std::fmt::Debug for Slot<T, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parameter.fmt(f)
    }
}

/// A group's part of a state, read and not yet taken over.
pub(crate) struct Loaded<A, M> {
    hyper: A,
    base_lr: OnceLock<f64>,
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
        if let Some(&base_lr) = self.base_lr.get() {
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
        for problem in hyper.problems(&format!("`{prefix}`")) {
            errors.push(problem.to_string());
        }
        let base_name = format!("{prefix}.base_lr");
        let base_lr = match state.get(&base_name) {
            Some(_) => errors.take(state.float(&base_name)),
            None => None,
        };
        if let Some(base_lr) = base_lr.filter(|lr| !(*lr >= 0.0 && lr.is_finite())) {
            let expected = "expected a finite number of at least 0";
            errors.push(format!("`{base_name}`: found {base_lr}, {expected}"));
        }
        let group_name = format!("{prefix}.name");
        let saved_name = match state.get(&group_name) {
            Some(_) => errors.take(state.text(&group_name)),
            None => None,
        };
        if let (Some(found), Some(expected)) = (saved_name, self.name())
            && found != expected
        {
            errors.push(format!("`{group_name}`: found \"{found}\", expected \"{expected}\""));
        }

        check_count(errors, state, &format!("{prefix}.params"), self.slots.len());
        let places = self.places(&prefix, state, errors);
        let memory = |(slot, place): (&Slot<T, A::Memory>, Option<usize>)| {
            let mut of_slot = StateError::new();
            let prefix = format!("{prefix}.params.{}", place?);
            let memory = A::Memory::load(&prefix, slot.parameter.shape(), state, &mut of_slot);
            for mismatch in of_slot.mismatches() {
                match &slot.name {
                    Some(name) => errors.push(format!("{mismatch} (parameter `{name}`)")),
                    None => errors.push(mismatch.clone()),
                }
            }
            memory
        };
        let memories = self.slots.iter().zip(places).map(memory).collect();
        let base_lr = base_lr.map_or_else(OnceLock::new, OnceLock::from);
        let name = saved_name.map(String::from).or_else(|| self.name.clone());
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

    /// Where in the state each parameter is: by name if both sides have names,
    /// else by position; `None` for one that is not there.
    fn places(
        &self,
        prefix: &str,
        state: &StateDict,
        errors: &mut StateError,
    ) -> Vec<Option<usize>> {
        let count = state.int(&format!("{prefix}.params")).unwrap_or(0);
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        let saved_name = |i: usize| state.text(&format!("{prefix}.params.{i}.name")).ok();
        // Each name is an entry: what the state claims beyond is not believed.
        let limit = count.min(state.iter().count());
        let saved: Vec<Option<&str>> = (0..limit).map(saved_name).collect();
        // A group has names for all of its parameters or for none.
        let named = self.slots.iter().all(|slot| slot.name.is_some());
        if !named || saved.iter().all(Option::is_none) {
            return (0..self.slots.len()).map(|i| (i < count).then_some(i)).collect();
        }
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (i, name) in saved.iter().enumerate() {
            let Some(name) = name else {
                errors.push(format!("`{prefix}.params.{i}.name`: missing, expected a name"));
                continue;
            };
            if by_name.insert(name, i).is_some() {
                errors.push(format!("`{prefix}.params`: found `{name}` twice, expected it once"));
            }
        }
        let place = |slot: &Slot<T, A::Memory>| by_name.remove(slot.name.as_deref()?);
        let places: Vec<Option<usize>> = self.slots.iter().map(place).collect();
        for (slot, _) in self.slots.iter().zip(&places).filter(|(_, place)| place.is_none()) {
            let name = slot.name.as_deref().unwrap_or_default();
            errors.push(format!("`{prefix}.params`: no parameter `{name}`, expected one"));
        }
        let mut left: Vec<&str> = by_name.into_keys().collect();
        left.sort_unstable();
        for name in left {
            let found = format!("found a parameter `{name}`, expected none of this name");
            errors.push(format!("`{prefix}.params`: {found}"));
        }
        places
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
