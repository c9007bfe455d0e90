//! A group of an optimizer: parameters, their current hyperparameters, and the state of each.

use crate::algorithm::{Algorithm, ParameterState};
use crate::fields::{self, Fields, Gather, Role};
use crate::reader::Reader;
use crate::sharing::Sharing;
use crate::valid_range::ValidRange;
use adamant_tensor::{Float, Mismatch, Parameter, Shape, StateDict};
use adamant_transport::Partition;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::OnceLock;

/// Parameters with their current hyperparameters, which can be read as fields.
///
/// ```
/// use adamant_optim::{Adam, AdamOptions, Optimizer};
/// use adamant_tensor::{Parameter, Tensor};
/// let adam = Adam::new([Parameter::new(Tensor::<f32>::ones([2]))], AdamOptions::default()).unwrap();
/// assert_eq!(adam.param_groups()[0].lr, 1e-3);
/// ```
pub struct Group<T: Float, A: Algorithm<T>> {
    pub(crate) options: A,
    /// The rate that schedules start from, if it is set.
    pub(crate) base_lr: OnceLock<f64>,
    pub(crate) name: Option<String>,
    pub(crate) slots: Vec<Slot<T, A>>,
}

impl<T: Float, A: Algorithm<T>> Deref for Group<T, A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.options
    }
}

impl<T: Float, A: Algorithm<T>> Group<T, A> {
    /// The parameters.
    pub fn params(&self) -> impl ExactSizeIterator<Item = &Parameter<T>> {
        self.slots.iter().map(|slot| &slot.parameter)
    }

    /// The learning rate, for any optimizer.
    pub(crate) fn lr(&self) -> f64 {
        let mut lr = f64::NAN;
        let mut options = self.options.clone();
        fields::change(Role::Lr, |value| lr = *value, |fields| options.fields(fields));
        lr
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// A parameter and its state.
pub(crate) struct Slot<T: Float, A: Algorithm<T>> {
    pub(crate) parameter: Parameter<T>,
    /// The index among the parameters of all groups.
    index: usize,
    pub(crate) name: Option<String>,
    /// `None` before the first step.
    pub(crate) state: Option<SteppedState<A::State>>,
}

impl<T: Float, A: Algorithm<T>> Slot<T, A> {
    pub(crate) fn new(parameter: Parameter<T>, index: usize, name: Option<String>) -> Self {
        Slot { parameter, index, name, state: None }
    }

    /// How processes share the elements.
    pub(crate) fn partition(&self, sharing: &Sharing) -> Partition {
        sharing.partition(self.index, self.parameter.numel())
    }

    /// The parameter, for errors: ``parameter 3 (`fc1.weight`, shape [256, 784])``.
    pub(crate) fn describe(&self, index: usize) -> String {
        let shape = Shape::from(self.parameter.shape());
        match &self.name {
            Some(name) => format!("parameter {index} (`{name}`, shape {shape})"),
            None => format!("parameter {index} (shape {shape})"),
        }
    }

    /// The state at `prefix`; `None` if there is none, and the parameter has not been stepped.
    fn read(&self, prefix: &str, reader: &mut Reader<'_>) -> Option<SteppedState<A::State>> {
        let mut stepped = SteppedState { step: 1, state: A::State::new(self.parameter.shape()) };
        let note = self.name.as_ref().map(|name| format!(" (parameter `{name}`)"));
        let note = note.unwrap_or_default();
        let visit = |fields: &mut Fields<'_>| stepped.fields(fields);
        reader.optional_fields(prefix, &note, visit).then_some(stepped)
    }
}

impl<T: Float, A: Algorithm<T>> std::fmt::Debug for Slot<T, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parameter.fmt(f)
    }
}

/// The state of a parameter that has been stepped; it derefs to the algorithm's own state.
#[derive(Clone, Debug)]
pub struct SteppedState<S> {
    pub(crate) step: u64,
    pub(crate) state: S,
}

impl<S> SteppedState<S> {
    /// The number of the parameter's steps: those at which it had a gradient.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    pub(crate) fn fields<T: Float>(&mut self, fields: &mut Fields<'_>)
    where
        S: ParameterState<T>,
    {
        fields.count("step", &mut self.step, 1);
        self.state.fields(fields);
    }
}

impl<S> Deref for SteppedState<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.state
    }
}

/// A group's part of a state, read but not yet loaded.
pub(crate) struct Loaded<T: Float, A: Algorithm<T>> {
    options: A,
    base_lr: OnceLock<f64>,
    name: Option<String>,
    states: Vec<Option<SteppedState<A::State>>>,
}

impl<T: Float, A: Algorithm<T>> Group<T, A> {
    #[track_caller]
    pub(crate) fn save(&self, g: usize, sharing: &Sharing, state: &mut StateDict) {
        let prefix = format!("groups.{g}.");
        if let Some(name) = &self.name {
            state.insert(format!("{prefix}name"), name.as_str());
        }
        fields::save(&prefix, state, |fields| self.options.clone().fields(fields));
        if let Some(&base_lr) = self.base_lr.get() {
            state.insert(format!("{prefix}base_lr"), base_lr);
        }
        state.insert(format!("{prefix}params"), self.slots.len() as i64);
        for (i, slot) in self.slots.iter().enumerate() {
            let prefix = format!("{prefix}params.{i}.");
            if let Some(name) = &slot.name {
                state.insert(format!("{prefix}name"), name.as_str());
            }
            let Some(mut stepped) = slot.state.clone() else { continue };
            if !sharing.is_alone() {
                let partition = slot.partition(sharing);
                let shape = &Shape::from(slot.parameter.shape());
                let gather = Gather { sharing, partition, shape };
                fields::gather(gather, |fields| stepped.fields(fields));
            }
            fields::save(&prefix, state, |fields| stepped.fields(fields));
        }
    }

    /// The group's part of a state, checked.
    pub(crate) fn read(&self, g: usize, reader: &mut Reader<'_>) -> Loaded<T, A> {
        let prefix = format!("groups.{g}.");
        let mut options = self.options.clone();
        reader.fields(&prefix, |fields| options.fields(fields));
        let mut base_lr = 0.0;
        let has_base_lr = reader.optional_fields(&prefix, "", |fields| {
            fields.float("base_lr", &mut base_lr, ValidRange::AT_LEAST_0);
        });
        let base_lr = if has_base_lr { OnceLock::from(base_lr) } else { OnceLock::new() };
        let name = reader.optional_text(&format!("{prefix}name"));
        if let (Some(found), Some(expected)) = (name, self.name())
            && found != expected
        {
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
            reader.push_wrong(format!("{prefix}name"), found, expected);
        }
        let name = name.map(String::from).or_else(|| self.name.clone());
        let params = format!("{prefix}params");
        let positions = self.positions(&params, reader);
        let read = |(slot, position): (&Slot<T, A>, Option<usize>)| {
            slot.read(&format!("{params}.{}.", position?), reader)
        };
        let states = self.slots.iter().zip(positions).map(read).collect();
        Loaded { options, base_lr, name, states }
    }

    pub(crate) fn load(&mut self, loaded: Loaded<T, A>, sharing: &Sharing) {
        self.options = loaded.options;
        self.base_lr = loaded.base_lr;
        self.name = loaded.name;
        for (slot, state) in self.slots.iter_mut().zip(loaded.states) {
            slot.state = state;
        }
        self.keep_own(sharing);
    }

    /// Keeps the part of the whole state that belongs to this process.
    pub(crate) fn keep_own(&mut self, sharing: &Sharing) {
        if sharing.is_alone() {
            return;
        }
        for slot in &mut self.slots {
            let own = sharing.own(&slot.partition(sharing));
            let Some(stepped) = &mut slot.state else { continue };
            fields::cut(own, |fields| stepped.fields(fields));
        }
    }

    /// The position of each parameter in the state: by name if both sides have names, else its
    /// own; `None` for one that is not there.
    fn positions(&self, params: &str, reader: &mut Reader<'_>) -> Vec<Option<usize>> {
        let count = reader.length(params, self.slots.len());
        // Each name is an entry, so there are no more than entries, whatever the count says.
        let saved: Vec<Option<&str>> = (0..count.min(reader.len()))
            .map(|i| reader.optional_text(&format!("{params}.{i}.name")))
            .collect();
        // A group has names for all of its parameters or for none.
        let is_named = self.slots.iter().all(|slot| slot.name.is_some());
        if !is_named || saved.iter().all(Option::is_none) {
            return (0..self.slots.len()).map(|i| (i < count).then_some(i)).collect();
        }
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (i, name) in saved.iter().enumerate() {
            let Some(name) = name else {
                let (name, expected) = (format!("{params}.{i}.name"), "a name".into());
                reader.push(Mismatch::Missing { name, expected });
                continue;
            };
            if by_name.insert(name, i).is_some() {
                reader.push_wrong(params, format!("`{name}` twice"), "it once");
            }
        }
        let position = |slot: &Slot<T, A>| by_name.remove(slot.name.as_deref()?);
        let positions: Vec<Option<usize>> = self.slots.iter().map(position).collect();
        for (slot, _) in self.slots.iter().zip(&positions).filter(|(_, i)| i.is_none()) {
            let name = slot.name.as_deref().unwrap_or_default();
            reader.push(format!("`{params}`: no parameter `{name}`, expected one"));
        }
        let mut left: Vec<(&str, usize)> = by_name.into_iter().collect();
        left.sort_unstable();
        for (name, i) in left {
            reader.push_wrong(params, format!("a parameter `{name}`"), "none of this name");
            reader.report(&format!("{params}."), i..i + 1);
        }
        positions
    }
}

impl<T: Float, A: Algorithm<T>> std::fmt::Debug for Group<T, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, params) = (&self.name, &self.slots);
        f.debug_struct("Group")
            .field("name", name)
            .field("options", &self.options)
            .field("params", params)
            .finish()
    }
}
