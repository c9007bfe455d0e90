//! An optimizer: groups of parameters, moved by one rule.

use crate::algorithm::{Algorithm, Memory};
use crate::error::{OptimError, at_least_0};
use crate::group::{Group, Loaded, Slot, check_count, describe, place};
use crate::hooks::{HookId, Hooks};
use crate::non_finite::NonFinite;
use crate::param_group::ParamGroup;
use crate::rates::Rates;
use adamant_kernels::SweepSize;
use adamant_tensor::{Float, Parameter, StateDict, StateError, Stateful, enable_grad, take_values};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// What every optimizer does.
///
/// PyTorch: `torch.optim.Optimizer`.
pub trait Optimizer<T: Float = f32>: Rates + Stateful {
    /// Moves every parameter that has a gradient. One that has none is left
    /// alone: its value and what is remembered of it stay as they are.
    ///
    /// PyTorch: `optimizer.step()`.
    ///
    /// Values are changed in place. A thread that reads one meanwhile waits for the end of the
    /// step; tensors taken from a parameter before keep their elements.
    ///
    /// # Panics
    /// If a parameter is being written to: a [`ValueMut`](adamant_tensor::ValueMut) of it exists.
    #[track_caller]
    fn step(&mut self);

    /// Evaluates the model once, with gradients enabled (even within
    /// `no_grad`), then moves the parameters; gives what the closure gives.
    ///
    /// PyTorch: `optimizer.step(closure)`.
    /// Hooks before the step run before the closure, as there.
    ///
    /// # Panics
    /// As [`step`](Optimizer::step).
    #[track_caller]
    fn step_with<R>(&mut self, closure: impl FnOnce(&mut Self) -> R) -> R
    where
        Self: Sized;

    /// Sets every gradient to `None`.
    ///
    /// PyTorch: `optimizer.zero_grad()`.
    fn zero_grad(&mut self);

    /// Sets the elements of every gradient to zero; `None` stays `None`.
    ///
    /// PyTorch: `optimizer.zero_grad(set_to_none=False)`.
    fn zero_grad_in_place(&mut self);

    /// Adds a group, at any time: its parameters begin at their own first step.
    ///
    /// PyTorch: `optimizer.add_param_group(group)`.
    ///
    /// # Errors
    /// If the group is empty, a parameter stands twice, here or in another
    /// group, or a hyperparameter is unknown or out of range. Nothing is
    /// changed then.
    fn add_param_group(&mut self, group: ParamGroup<T>) -> Result<(), OptimError>;
}

/// An optimizer with groups of parameters and the rule `A`: see [`Adam`](crate::Adam)
/// and [`Sgd`](crate::Sgd).
pub struct GroupOptimizer<T: Float, A: Algorithm<T>> {
    defaults: A,
    groups: Vec<Group<T, A>>,
    before_step: Hooks<Self>,
    after_step: Hooks<Self>,
}

impl<T: Float, A: Algorithm<T>> GroupOptimizer<T, A> {
    /// An optimizer of these parameters, as one group.
    ///
    /// # Errors
    /// If there is no parameter, one stands twice, or a hyperparameter is out of range.
    pub fn new(
        params: impl IntoIterator<Item = Parameter<T>>,
        options: A,
    ) -> Result<Self, OptimError> {
        Self::with_groups([ParamGroup::new(params)], options)
    }

    /// An optimizer of several groups; what a group does not set comes from `options`.
    ///
    /// # Errors
    /// If there is no group, or one could not be [added](Optimizer::add_param_group).
    pub fn with_groups(
        groups: impl IntoIterator<Item = ParamGroup<T>>,
        options: A,
    ) -> Result<Self, OptimError> {
        options.check("the defaults")?;
        let (before_step, after_step) = (Hooks::default(), Hooks::default());
        let mut optimizer =
            GroupOptimizer { defaults: options, groups: Vec::new(), before_step, after_step };
        groups.into_iter().try_for_each(|group| optimizer.add_param_group(group))?;
        if optimizer.groups.is_empty() {
            return Err(OptimError::NoParameters { group: 0 });
        }
        Ok(optimizer)
    }

    /// The groups, with the hyperparameters in force.
    ///
    /// PyTorch: `optimizer.param_groups`, to read.
    #[must_use]
    pub fn param_groups(&self) -> &[Group<T, A>] {
        &self.groups
    }

    /// Changes the hyperparameters of a group: all that `change` sets, or
    /// nothing if any of it is out of range.
    ///
    /// PyTorch: `optimizer.param_groups[group]["lr"] = …`, without a check.
    ///
    /// # Errors
    /// The first hyperparameter that is out of its range.
    ///
    /// # Panics
    /// If there is no such group.
    ///
    /// ```
    /// use adamant_optim::{Adam, AdamOptions};
    /// use adamant_tensor::{Parameter, Tensor};
    /// let p = Parameter::new(Tensor::<f32>::ones([2]));
    /// let mut adam = Adam::new([p], AdamOptions::default()).unwrap();
    /// adam.change_group(0, |group| group.lr = 1e-4).unwrap();
    /// assert!(adam.change_group(0, |group| group.lr = f64::NAN).is_err());
    /// assert_eq!(adam.param_groups()[0].lr, 1e-4);
    /// ```
    #[track_caller]
    pub fn change_group(
        &mut self,
        group: usize,
        change: impl FnOnce(&mut A),
    ) -> Result<(), OptimError> {
        let mut hyper = self.group("change_group", group).hyper.clone();
        change(&mut hyper);
        hyper.check(&place(group))?;
        self.groups[group].hyper = hyper;
        Ok(())
    }

    /// What is remembered of a parameter; `None` if it has not been moved.
    ///
    /// PyTorch: `optimizer.state[parameter]`.
    #[must_use]
    pub fn memory(&self, parameter: &Parameter<T>) -> Option<&A::Memory> {
        let mut slots = self.groups.iter().flat_map(|group| &group.slots);
        slots.find(|slot| slot.parameter.is_same(parameter))?.memory.as_ref()
    }

    /// What is remembered and has an infinite element or NaN, in the order of the parameters.
    ///
    /// A gradient whose square overflows leaves infinity in Adam's `exp_avg_sq`: the weight of that
    /// element stays where it is from then on, and the run goes on. Such a state can be saved and
    /// loaded; this finds it. PyTorch has nothing like it.
    ///
    /// ```
    /// use adamant_optim::{Adam, AdamOptions, Optimizer, ParamGroup};
    /// use adamant_tensor::{Parameter, Tensor};
    /// let p = Parameter::new(Tensor::<f32>::ones([2]));
    /// let group = ParamGroup::new([("bias".to_string(), p.clone())]);
    /// let mut adam = Adam::with_groups([group], AdamOptions::default()).unwrap();
    /// p.set_grad(Some(Tensor::from([1.0, 1e21])));
    /// adam.step();
    /// assert_eq!(
    ///     adam.non_finite()[0].to_string(),
    ///     "parameter group 0: parameter 0 (`bias`, shape [2]): exp_avg_sq is inf at element 1"
    /// );
    /// ```
    #[must_use]
    pub fn non_finite(&self) -> Vec<NonFinite> {
        let mut report = Vec::new();
        for (group, slots) in self.groups.iter().map(|group| &group.slots).enumerate() {
            for (index, slot) in slots.iter().enumerate() {
                let Some(memory) = &slot.memory else { continue };
                let mut state = StateDict::new();
                memory.save("", &mut state);
                report.extend(state.non_finite().map(|(name, element, found)| NonFinite {
                    group,
                    parameter: describe(index, slot),
                    part: name.trim_start_matches('.').into(),
                    element,
                    found,
                }));
            }
        }
        report
    }

    /// Calls `hook` before each step, after the hooks that are there.
    ///
    /// PyTorch: `optimizer.register_step_pre_hook(hook)`.
    pub fn register_step_pre_hook(
        &mut self,
        hook: impl FnMut(&mut Self) + Send + 'static,
    ) -> HookId {
        self.before_step.add(hook)
    }

    /// Calls `hook` after each step, after the hooks that are there.
    ///
    /// PyTorch: `optimizer.register_step_post_hook(hook)`.
    pub fn register_step_post_hook(
        &mut self,
        hook: impl FnMut(&mut Self) + Send + 'static,
    ) -> HookId {
        self.after_step.add(hook)
    }

    /// Removes a hook; `false` if it is not there any more.
    pub fn remove_hook(&mut self, hook: HookId) -> bool {
        self.before_step.remove(hook) || self.after_step.remove(hook)
    }

    #[track_caller]
    fn group(&self, op: &str, group: usize) -> &Group<T, A> {
        let count = self.groups.len();
        assert!(group < count, "{op}: group {group}; expected one of the {count}, from 0 on");
        &self.groups[group]
    }

    /// A schedule sets one hyperparameter, which must be in its range. How it goes with others
    /// (Nesterov's momentum must not be 0) is a question for who chooses them.
    #[track_caller]
    fn set_scheduled(&mut self, op: &str, group: usize, set: fn(&mut A, f64), value: f64) {
        let mut hyper = self.group(op, group).hyper.clone();
        set(&mut hyper, value);
        if let Some(problem) = hyper.problems(&place(group)).into_iter().next() {
            panic!("{op}: {problem}");
        }
        self.groups[group].hyper = hyper;
    }

    /// Every name must be one that a state of this optimizer can have, with as many groups and
    /// parameters as it says: a misspelt one would be missing without a word.
    fn check_names(&self, state: &StateDict, errors: &mut StateError) {
        let ours = self.state_dict();
        let is_below = |index: &str, count: &str| {
            let index = index.parse::<i64>().ok().filter(|i| i.to_string() == index);
            index.is_some_and(|index| (0..state.int(count).unwrap_or(i64::MAX)).contains(&index))
        };
        for (name, _) in state.iter() {
            let parts: Vec<&str> = name.split('.').collect();
            let known = match parts[..] {
                ["optimizer" | "groups"] => true,
                ["groups", g, ..] if !is_below(g, "groups") => false,
                ["groups", _, "name" | "base_lr"] => true,
                ["groups", g, "params", i, part] => {
                    is_below(i, &format!("groups.{g}.params"))
                        && (part == "name" || <A::Memory as Memory<T>>::PARTS.contains(&part))
                }
                // Of a group too many, its number is told.
                ["groups", g, _] => {
                    ours.get(name).is_some() || ours.get(&format!("groups.{g}.lr")).is_none()
                }
                _ => false,
            };
            if !known {
                errors.push(format!("`{name}`: found, expected nothing of this name"));
            }
        }
    }

    /// All that `state` says, read and checked; nothing is changed.
    fn read(&self, state: &StateDict) -> Result<Vec<Loaded<A, A::Memory>>, StateError> {
        let mut errors = StateError::new();
        if let Some(optimizer) = errors.take(state.text("optimizer"))
            && optimizer != A::OPTIMIZER
        {
            errors.push(format!("`optimizer`: found {optimizer}, expected {}", A::OPTIMIZER));
        }
        check_count(&mut errors, state, "groups", self.groups.len());
        let groups = self.groups.iter().enumerate();
        let loaded = groups.map(|(g, group)| group.read(g, state, &mut errors)).collect();
        self.check_names(state, &mut errors);
        errors.into_result()?;
        Ok(loaded)
    }
}

/// The values and gradients of all parameters that have a gradient; the values are
/// put back when this is dropped, also by a panic.
struct AtHand<'g, T: Float, A: Algorithm<T>>(&'g mut [Group<T, A>]);

impl<'g, T: Float, A: Algorithm<T>> AtHand<'g, T, A> {
    #[track_caller]
    fn take(groups: &'g mut [Group<T, A>]) -> Self {
        let slots = || groups.iter().flat_map(|group| &group.slots);
        // Before the values: whoever holds taken values waits for nothing.
        let grads: Vec<_> = slots().map(|slot| slot.parameter.grad()).collect();
        let moved = slots().zip(&grads).filter(|(_, grad)| grad.is_some());
        let mut values = take_values(moved.map(|(slot, _)| &slot.parameter)).into_iter();
        let slots = groups.iter_mut().flat_map(|group| &mut group.slots);
        for (slot, grad) in slots.zip(grads) {
            slot.at_hand = grad.map(|grad| (values.next().expect("one for each gradient"), grad));
        }
        AtHand(groups)
    }
}

impl<T: Float, A: Algorithm<T>> Drop for AtHand<'_, T, A> {
    fn drop(&mut self) {
        let slots = self.0.iter_mut().flat_map(|group| &mut group.slots);
        slots.for_each(|slot| slot.at_hand = None);
    }
}

impl<T: Float, A: Algorithm<T>> Optimizer<T> for GroupOptimizer<T, A> {
    fn step(&mut self) {
        self.step_with(|_| ());
    }

    fn step_with<R>(&mut self, closure: impl FnOnce(&mut Self) -> R) -> R {
        Hooks::call(self, |optimizer| &mut optimizer.before_step);
        let result = enable_grad(|| closure(self));
        let at_hand = AtHand::take(&mut self.groups);
        let mut size = SweepSize::default();
        for group in &mut *at_hand.0 {
            for slot in group.slots.iter_mut().filter(|slot| slot.at_hand.is_some()) {
                group.hyper.advance(&mut slot.memory, &slot.parameter);
                size.add(slot.parameter.numel());
            }
        }
        A::update(at_hand.0, size);
        drop(at_hand);
        Hooks::call(self, |optimizer| &mut optimizer.after_step);
        result
    }

    fn zero_grad(&mut self) {
        self.groups.iter().flat_map(Group::params).for_each(Parameter::zero_grad);
    }

    fn zero_grad_in_place(&mut self) {
        self.groups.iter().flat_map(Group::params).for_each(Parameter::zero_grad_in_place);
    }

    fn add_param_group(&mut self, group: ParamGroup<T>) -> Result<(), OptimError> {
        let index = self.groups.len();
        let mut hyper = self.defaults.clone();
        for setting in group.settings {
            if !hyper.set(setting) {
                let (optimizer, name) = (A::OPTIMIZER, setting.name());
                return Err(OptimError::Unknown { group: index, optimizer, name });
            }
        }
        hyper.check(&place(index))?;
        if group.params.is_empty() {
            return Err(OptimError::NoParameters { group: index });
        }
        let mut owners: HashMap<usize, usize> = HashMap::new();
        for (i, group) in self.groups.iter().enumerate() {
            owners.extend(group.params().map(|parameter| (parameter.id(), i)));
        }
        let names: Vec<&str> = group.params.iter().filter_map(|p| p.name.as_deref()).collect();
        let unnamed = group.params.len() - names.len();
        if unnamed > 0 && !names.is_empty() {
            let found = format!("{} parameters with a name and {unnamed} without", names.len());
            return Err(OptimError::Names { group: index, found });
        }
        let mut seen = HashSet::new();
        if let Some(twice) = names.into_iter().find(|&name| !seen.insert(name)) {
            let found = format!("two parameters named `{twice}`");
            return Err(OptimError::Names { group: index, found });
        }
        let mut slots = Vec::with_capacity(group.params.len());
        for (i, named) in group.params.into_iter().enumerate() {
            let slot =
                Slot { parameter: named.parameter, name: named.name, memory: None, at_hand: None };
            if let Some(other) = owners.insert(slot.parameter.id(), index) {
                let parameter = describe(i, &slot);
                return Err(OptimError::Duplicate { group: index, parameter, other });
            }
            slots.push(slot);
        }
        self.groups.push(Group { hyper, base_lr: OnceLock::new(), name: group.name, slots });
        Ok(())
    }
}

impl<T: Float, A: Algorithm<T>> Stateful for GroupOptimizer<T, A> {
    /// The hyperparameters of each group, and what is remembered of each
    /// parameter that has been moved. `docs/numerics.md` lists the names.
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("optimizer", A::OPTIMIZER);
        state.insert("groups", self.groups.len() as i64);
        self.groups.iter().enumerate().for_each(|(g, group)| group.save(g, &mut state));
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    /// As in PyTorch, the saved hyperparameters take the place of the present ones.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let loaded = self.read(state)?;
        self.groups.iter_mut().zip(loaded).for_each(|(group, loaded)| group.load(loaded));
        Ok(())
    }
}

impl<T: Float, A: Algorithm<T>> Rates for GroupOptimizer<T, A> {
    fn group_count(&self) -> usize {
        self.groups.len()
    }

    #[track_caller]
    fn lr(&self, group: usize) -> f64 {
        self.group("lr", group).hyper.lr()
    }

    #[track_caller]
    fn base_lr(&self, group: usize) -> f64 {
        let group = self.group("base_lr", group);
        *group.base_lr.get_or_init(|| group.hyper.lr())
    }

    #[track_caller]
    fn set_scheduled_lr(&mut self, group: usize, lr: f64) {
        self.set_scheduled("set_scheduled_lr", group, A::set_lr, lr);
    }

    #[track_caller]
    fn set_base_lr(&mut self, group: usize, lr: f64) {
        self.group("set_base_lr", group);
        if let Err(error) = at_least_0(&place(group), "lr", lr) {
            panic!("set_base_lr: {error}");
        }
        self.groups[group].base_lr = OnceLock::from(lr);
    }

    #[track_caller]
    fn set_scheduled_momentum(&mut self, group: usize, momentum: f64) {
        self.set_scheduled("set_scheduled_momentum", group, A::set_momentum, momentum);
    }
}

impl<T: Float, A: Algorithm<T>> std::fmt::Debug for GroupOptimizer<T, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(A::OPTIMIZER).field("groups", &self.groups).finish()
    }
}
