//! An optimizer: groups of parameters, updated by one algorithm.

use crate::algorithm::{Algorithm, ParameterState, Sums};
use crate::error::OptimError;
use crate::fields::{self, Role};
use crate::group::{Group, Loaded, Slot, SteppedState};
use crate::hooks::{HookId, Hooks};
use crate::learning_rates::LearningRates;
use crate::non_finite::NonFinite;
use crate::param_group::ParamGroup;
use crate::reader::Reader;
use crate::sharing::Sharing;
use crate::step::step;
use crate::valid_range::ValidRange;
use adamant_tensor::{Float, Parameter, StateDict, StateError, Stateful, enable_grad};
use adamant_transport::{Partition, Transport};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// The interface of every optimizer.
///
/// PyTorch: `torch.optim.Optimizer`.
pub trait Optimizer<T: Float = f32>: LearningRates + Stateful {
    /// Updates every parameter that has a gradient. One without a gradient keeps its value and
    /// its state.
    ///
    /// PyTorch: `optimizer.step()`.
    ///
    /// Values are changed in place. A thread that reads one meanwhile waits for the end of the
    /// step; tensors taken from a parameter before keep their elements.
    ///
    /// # Panics
    /// If a parameter is being written to (a [`ValueMut`](adamant_tensor::ValueMut) of it exists)
    /// or there is no memory. Nothing is changed then. Or if a process that
    /// [shares](Optimizer::share) the optimizer has ended: the training must end too.
    #[track_caller]
    fn step(&mut self);

    /// Evaluates the model once, with gradients enabled (even within `no_grad`), then updates the
    /// parameters. Returns the closure's result.
    ///
    /// PyTorch: `optimizer.step(closure)`.
    /// Hooks before the step run before the closure, as in PyTorch.
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

    /// Adds a group, at any time: each of its parameters starts at its own first step.
    ///
    /// PyTorch: `optimizer.add_param_group(group)`.
    ///
    /// # Errors
    /// If the group is empty, a parameter appears twice, here or in another
    /// group, or a hyperparameter is unknown or out of range. Nothing is
    /// changed then.
    fn add_param_group(&mut self, group: ParamGroup<T>) -> Result<(), OptimError>;

    /// Shares the optimizer with other processes that train the same parameters: each updates a part
    /// of every parameter's elements, and keeps the state of this part only.
    ///
    /// From now on, [`step`](Optimizer::step) and [`state_dict`](Stateful::state_dict) exchange data:
    /// all processes call them at the same time. A step uses the gradients of this process's
    /// elements and completes the values of all. The state is whole on rank 0, and a part on the
    /// others. It loads into an optimizer with any number of processes.
    ///
    /// The data-parallel training of the crate `parallel` calls this.
    ///
    /// PyTorch: `torch.distributed.optim.ZeroRedundancyOptimizer`.
    ///
    /// # Panics
    /// If it is shared already.
    #[track_caller]
    fn share(&mut self, transport: Arc<dyn Transport>);

    /// The parameters of all groups, and how their elements are shared.
    fn partitions(&self) -> Vec<(Parameter<T>, Partition)>;
}

/// An optimizer: groups of parameters and the algorithm `A`.
///
/// [`Adam`](crate::Adam) and [`Sgd`](crate::Sgd) are two; [`Algorithm`] has an example of another.
pub struct GroupOptimizer<T: Float, A: Algorithm<T>> {
    defaults: A,
    groups: Vec<Group<T, A>>,
    sharing: Sharing,
    before_step: Hooks<Self>,
    after_step: Hooks<Self>,
}

impl<T: Float, A: Algorithm<T>> GroupOptimizer<T, A> {
    /// An optimizer of one group: a model's `parameters()` or `named_parameters()`, or a
    /// [`ParamGroup`] of any other parameters.
    ///
    /// # Errors
    /// If there is no parameter, one appears twice, or a hyperparameter is out of range.
    ///
    /// # Panics
    /// As [`with_groups`](GroupOptimizer::with_groups).
    ///
    /// ```
    /// use adamant_optim::{Adam, AdamOptions};
    /// use adamant_tensor::{Parameter, Tensor};
    /// let p = Parameter::new(Tensor::<f32>::ones([2]));
    /// let named = vec![("weight".to_string(), p.clone())];
    /// assert!(Adam::new(named, AdamOptions::default()).is_ok());
    /// let error = Adam::new([p.clone(), p], AdamOptions::default()).unwrap_err().to_string();
    /// assert!(error.contains("parameter 1 (shape [2]) is also in group 0"));
    /// ```
    #[track_caller]
    pub fn new(params: impl Into<ParamGroup<T>>, options: A) -> Result<Self, OptimError> {
        Self::with_groups([params.into()], options)
    }

    /// An optimizer of several groups. The hyperparameters that a group does not set are those of
    /// `options`.
    ///
    /// # Errors
    /// If there is no group, or one could not be [added](Optimizer::add_param_group).
    ///
    /// # Panics
    /// If the fields of the algorithm or of its state are not declared as
    /// [`Hyperparameters`](crate::Hyperparameters) and [`ParameterState`] require.
    #[track_caller]
    pub fn with_groups(
        groups: impl IntoIterator<Item = ParamGroup<T>>,
        options: A,
    ) -> Result<Self, OptimError> {
        assert_declared::<T, A>(&options);
        fields::check_set("the defaults", |fields| options.clone().fields(fields))?;
        let mut optimizer = GroupOptimizer {
            defaults: options,
            groups: Vec::new(),
            sharing: Sharing::alone(),
            before_step: Hooks::default(),
            after_step: Hooks::default(),
        };
        groups.into_iter().try_for_each(|group| optimizer.add_param_group(group))?;
        if optimizer.groups.is_empty() {
            return Err(OptimError::NoGroups);
        }
        Ok(optimizer)
    }

    /// The groups, with their current hyperparameters.
    ///
    /// PyTorch: `optimizer.param_groups`, to read.
    #[must_use]
    pub fn param_groups(&self) -> &[Group<T, A>] {
        &self.groups
    }

    /// Changes the hyperparameters of a group: all that `update` sets, or
    /// none if any is out of range.
    ///
    /// PyTorch: `optimizer.param_groups[group]["betas"] = …`, without a check.
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
    /// adam.update_param_group(0, |group| group.lr = 1e-4).unwrap();
    /// assert!(adam.update_param_group(0, |group| group.lr = f64::NAN).is_err());
    /// assert_eq!(adam.param_groups()[0].lr, 1e-4);
    /// ```
    #[track_caller]
    pub fn update_param_group(
        &mut self,
        group: usize,
        update: impl FnOnce(&mut A),
    ) -> Result<(), OptimError> {
        let mut options = self.group("update_param_group", group).options.clone();
        update(&mut options);
        fields::check_set(&OptimError::context(group), |fields| options.fields(fields))?;
        self.groups[group].options = options;
        Ok(())
    }

    /// The state of a parameter; `None` before its first step. The part of this process, if several
    /// [share](Optimizer::share) the optimizer.
    ///
    /// PyTorch: `optimizer.state[parameter]`.
    #[must_use]
    pub fn state(&self, parameter: &Parameter<T>) -> Option<&SteppedState<A::State>> {
        let mut slots = self.groups.iter().flat_map(|group| &group.slots);
        slots.find(|slot| slot.parameter.is_same(parameter))?.state.as_ref()
    }

    /// The arrays of the state with an infinite element or NaN, in the order of the parameters.
    ///
    /// A gradient whose square overflows leaves infinity in Adam's `exp_avg_sq`: that element of
    /// the parameter no longer changes, and the run continues. Such a state can be saved and
    /// loaded; this finds it. PyTorch has no equivalent.
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
                let Some(stepped) = &slot.state else { continue };
                let mut state = StateDict::new();
                fields::save("", &mut state, |fields| stepped.clone().fields(fields));
                let first = self.sharing.own(&slot.partition(&self.sharing)).start;
                report.extend(state.non_finite().map(|(name, element, found)| NonFinite {
                    group,
                    parameter: slot.describe(index),
                    part: name.into(),
                    element: first + element,
                    found,
                }));
            }
        }
        report
    }

    /// Calls `hook` before each step, after the hooks that are registered.
    ///
    /// PyTorch: `optimizer.register_step_pre_hook(hook)`.
    pub fn register_step_pre_hook(
        &mut self,
        hook: impl FnMut(&mut Self) + Send + 'static,
    ) -> HookId {
        self.before_step.add(hook)
    }

    /// Calls `hook` after each step, after the hooks that are registered.
    ///
    /// PyTorch: `optimizer.register_step_post_hook(hook)`.
    pub fn register_step_post_hook(
        &mut self,
        hook: impl FnMut(&mut Self) + Send + 'static,
    ) -> HookId {
        self.after_step.add(hook)
    }

    /// Removes a hook; `false` if it is not registered any more.
    pub fn remove_hook(&mut self, hook: HookId) -> bool {
        self.before_step.remove(hook) || self.after_step.remove(hook)
    }

    #[track_caller]
    fn group(&self, op: &str, group: usize) -> &Group<T, A> {
        let count = self.groups.len();
        assert!(group < count, "{op}: group {group}; expected one of the {count}, from 0 on");
        &self.groups[group]
    }

    /// The options of a group with this learning rate and momentum, if they are in range. Whether
    /// they fit each other (Nesterov's momentum must not be 0) matters only when a user sets them.
    fn scheduled(
        &self,
        group: usize,
        lr: Option<f64>,
        momentum: Option<f64>,
    ) -> Result<A, OptimError> {
        let mut options = self.groups[group].options.clone();
        for (role, value) in [(Role::Momentum, momentum), (Role::Lr, lr)] {
            let Some(value) = value else { continue };
            let change = |current: &mut f64| *current = value;
            if fields::change(role, change, |fields| options.fields(fields)) == 0 {
                let (optimizer, name) = (A::OPTIMIZER, "momentum".into());
                return Err(OptimError::Unknown { group, optimizer, name });
            }
        }
        fields::check(&OptimError::context(group), |fields| options.fields(fields))?;
        Ok(options)
    }

    /// The whole state, read and checked; nothing is changed.
    fn read(&self, state: &StateDict) -> Result<Vec<Loaded<T, A>>, StateError> {
        let mut reader = Reader::new(state);
        if let Some(found) = reader.text("optimizer").filter(|found| *found != A::OPTIMIZER) {
            reader.push_wrong("optimizer", found, A::OPTIMIZER);
        }
        reader.length("groups", self.groups.len());
        let groups = self.groups.iter().enumerate();
        let loaded = groups.map(|(g, group)| group.read(g, &mut reader)).collect();
        reader.finish()?;
        Ok(loaded)
    }
}

impl<T: Float, A: Algorithm<T>> Optimizer<T> for GroupOptimizer<T, A> {
    fn step(&mut self) {
        self.step_with(|_| ());
    }

    fn step_with<R>(&mut self, closure: impl FnOnce(&mut Self) -> R) -> R {
        Hooks::call(self, |optimizer| &mut optimizer.before_step);
        let result = enable_grad(|| closure(self));
        step(&mut self.groups, &self.sharing);
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
        let mut options = self.defaults.clone();
        fields::set(index, A::OPTIMIZER, &group.overrides, |fields| options.fields(fields))?;
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
            let slot = Slot::new(named.parameter, owners.len(), named.name);
            if let Some(other) = owners.insert(slot.parameter.id(), index) {
                let parameter = slot.describe(i);
                return Err(OptimError::Duplicate { group: index, parameter, other });
            }
            slots.push(slot);
        }
        self.groups.push(Group { options, base_lr: OnceLock::new(), name: group.name, slots });
        Ok(())
    }

    fn share(&mut self, transport: Arc<dyn Transport>) {
        assert!(self.sharing.is_alone(), "share: the optimizer is shared already; expected once");
        self.sharing = Sharing::new(transport, A::Sums::LEN > 0);
        self.groups.iter_mut().for_each(|group| group.keep_own(&self.sharing));
    }

    fn partitions(&self) -> Vec<(Parameter<T>, Partition)> {
        let slots = self.groups.iter().flat_map(|group| &group.slots);
        slots.map(|slot| (slot.parameter.clone(), slot.partition(&self.sharing))).collect()
    }
}

impl<T: Float, A: Algorithm<T>> Stateful for GroupOptimizer<T, A> {
    /// The hyperparameters of each group, and the state of each parameter that has been stepped.
    /// `docs/numerics.md` lists the names.
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("optimizer", A::OPTIMIZER);
        state.insert("groups", self.groups.len() as i64);
        for (g, group) in self.groups.iter().enumerate() {
            group.save(g, &self.sharing, &mut state);
        }
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    /// As in PyTorch, the saved hyperparameters replace the current ones.
    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let loaded = self.read(state)?;
        for (group, loaded) in self.groups.iter_mut().zip(loaded) {
            group.load(loaded, &self.sharing);
        }
        Ok(())
    }
}

impl<T: Float, A: Algorithm<T>> LearningRates for GroupOptimizer<T, A> {
    fn group_count(&self) -> usize {
        self.groups.len()
    }

    #[track_caller]
    fn lr(&self, group: usize) -> f64 {
        self.group("lr", group).lr()
    }

    #[track_caller]
    fn base_lr(&self, group: usize) -> f64 {
        let group = self.group("base_lr", group);
        group.base_lr.get().copied().unwrap_or_else(|| group.lr())
    }

    #[track_caller]
    fn set_lr(&mut self, group: usize, lr: f64) -> Result<(), OptimError> {
        self.group("set_lr", group);
        self.groups[group].options = self.scheduled(group, Some(lr), None)?;
        Ok(())
    }

    #[track_caller]
    fn set_base_lr(&mut self, group: usize, lr: f64) -> Result<(), OptimError> {
        self.group("set_base_lr", group);
        ValidRange::AT_LEAST_0.check(&OptimError::context(group), "base_lr", lr)?;
        self.groups[group].base_lr = OnceLock::from(lr);
        Ok(())
    }

    #[track_caller]
    fn set_default_base_lr(&self, group: usize) {
        let group = self.group("set_default_base_lr", group);
        group.base_lr.get_or_init(|| group.lr());
    }

    #[track_caller]
    fn set_momentum(&mut self, group: usize, momentum: f64) -> Result<(), OptimError> {
        self.group("set_momentum", group);
        self.groups[group].options = self.scheduled(group, None, Some(momentum))?;
        Ok(())
    }

    #[track_caller]
    fn set_all(&mut self, lrs: &[f64], momentum: Option<f64>) -> Result<(), OptimError> {
        let (found, count) = (lrs.len(), self.groups.len());
        assert!(
            found == count,
            "set_all: lrs has {found} elements; expected {count}, one for each group"
        );
        let scheduled = |(group, &lr)| self.scheduled(group, Some(lr), momentum);
        let options: Vec<A> = lrs.iter().enumerate().map(scheduled).collect::<Result<_, _>>()?;
        self.groups.iter_mut().zip(options).for_each(|(group, options)| group.options = options);
        Ok(())
    }
}

/// Asserts that the algorithm declares its fields as [`GroupOptimizer::with_groups`] documents.
#[track_caller]
fn assert_declared<T: Float, A: Algorithm<T>>(options: &A) {
    let (name, mut options) = (A::OPTIMIZER, options.clone());
    let mut count = |role| fields::change(role, |_| (), |fields| options.fields(fields));
    let (lrs, momenta) = (count(Role::Lr), count(Role::Momentum));
    assert!(lrs == 1, "{name}: {lrs} fields are declared by `Fields::lr`; expected 1");
    assert!(
        momenta <= 1,
        "{name}: {momenta} fields are declared by `Fields::momentum`; expected at most 1"
    );
    // The other names in the same part of a state: see `Group::save`.
    let reserved = ["name", "base_lr", "params"];
    fields::assert_distinct(name, &reserved, |fields| options.fields(fields));
    let mut stepped = SteppedState { step: 1, state: A::State::new(&[]) };
    fields::assert_distinct(name, &["name"], |fields| stepped.fields(fields));
}

impl<T: Float, A: Algorithm<T>> std::fmt::Debug for GroupOptimizer<T, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(A::OPTIMIZER).field("groups", &self.groups).finish()
    }
}
