//! Named fields: one declaration saves, loads, overrides and checks them.

use crate::count;
use crate::error::OptimError;
use crate::sharing::Sharing;
use crate::valid_range::ValidRange;
use adamant_tensor::{Array, Float, Mismatch, Shape, StateDict, Value};
use adamant_transport::Partition;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::ops::Range;

/// The fields of hyperparameters, of a parameter's state or of a schedule.
///
/// A type declares each field once, by its name in a [`StateDict`] and a reference to it, in a
/// method `fields` that visits all of them. Whatever concerns every field goes through this
/// method: saving, loading, overriding by name, checking ranges. A field that is saved is
/// restored. A condition on several fields comes after them.
///
/// ```
/// use adamant_optim::{Fields, ValidRange};
/// struct Decay {
///     weight_decay: f64,
///     decoupled: bool,
/// }
/// impl Decay {
///     fn fields(&mut self, fields: &mut Fields<'_>) {
///         fields.float("weight_decay", &mut self.weight_decay, ValidRange::AT_LEAST_0);
///         fields.flag("decoupled", &mut self.decoupled);
///     }
/// }
/// ```
pub struct Fields<'a>(Action<'a>);

/// An action on every field.
enum Action<'a> {
    /// Adds it to `state`, its name after `prefix`: `groups.0.`.
    Save { prefix: &'a str, state: &'a mut StateDict },
    /// Sets it to its value in a state.
    Load(Load<'a>),
    /// Sets it to its value in `overrides`, if it is there, and reports the outcome.
    Set {
        overrides: &'a [(String, Value)],
        outcomes: &'a mut [Option<Result<(), String>>],
        violation: &'a mut Option<Violation>,
    },
    /// Checks the conditions on it, also those on values that a user sets.
    Check { is_set: bool, violation: &'a mut Option<Violation> },
    /// Copies a shared array, so that its elements can be changed in place.
    Unshare,
    /// Keeps these elements of an array, in row-major order.
    Cut(Range<usize>),
    /// Replaces the part of an array by the whole.
    Gather(Gather<'a>),
    /// Collects its name.
    Names(&'a mut Vec<String>),
    /// Calls `change` with it, if it has this role.
    Change { role: Role, change: &'a mut dyn FnMut(&mut f64) },
}

/// The role of a field that schedules change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Lr,
    Momentum,
}

/// A condition that does not hold.
struct Violation {
    name: String,
    found: String,
    expected: String,
}

impl Fields<'_> {
    /// A float within a range. A state or a user may set it to an integer.
    pub fn float(&mut self, name: &str, value: &mut f64, range: ValidRange) {
        self.field(name, Some((*value).into()), &"a number", |found| {
            *value = match found {
                Some(Value::Float(x)) => *x,
                Some(Value::Int(x)) => *x as f64,
                _ => return false,
            };
            true
        });
        self.require((range.fits)(*value), name, *value, range.expected);
    }

    /// The learning rate, which schedules change: a [`float`](Fields::float) with the name `lr`.
    /// Whatever `range` is, it must be finite and at least 0.
    pub fn lr(&mut self, value: &mut f64, range: ValidRange) {
        const LR: ValidRange = ValidRange::AT_LEAST_0;
        self.change(Role::Lr, value);
        self.float("lr", value, range);
        let fits = (LR.fits)(*value) || !(range.fits)(*value);
        self.require(fits, "lr", *value, LR.expected);
    }

    /// A [`float`](Fields::float) that a one-cycle schedule changes against the learning rate: the
    /// momentum, or Adam's β₁.
    pub fn momentum(&mut self, name: &str, value: &mut f64, range: ValidRange) {
        self.change(Role::Momentum, value);
        self.float(name, value, range);
    }

    /// A boolean.
    pub fn flag(&mut self, name: &str, value: &mut bool) {
        self.field(name, Some((*value).into()), &"true or false", |found| {
            let Some(Value::Bool(found)) = found else { return false };
            *value = *found;
            true
        });
    }

    /// A [`flag`](Fields::flag) that older states lack: a missing one is false.
    pub fn flag_or_false(&mut self, name: &str, value: &mut bool) {
        self.field(name, Some((*value).into()), &"true or false", |found| {
            *value = match found {
                Some(Value::Bool(found)) => *found,
                Some(_) => return false,
                None => false,
            };
            true
        });
    }

    /// A count of at least `least`. Saved as an `i64`: counts above [`i64::MAX`] become this.
    pub fn count(&mut self, name: &str, value: &mut u64, least: u64) {
        let expected = format_args!("an integer of at least {least}");
        self.field(name, Some(count::saved(*value).into()), &expected, |found| {
            let Some(Value::Int(found)) = found else { return false };
            let Some(found) = u64::try_from(*found).ok().filter(|x| *x >= least) else {
                return false;
            };
            *value = found;
            true
        });
        self.require(*value >= least, name, *value, format_args!("at least {least}"));
    }

    /// A list of counts: its length under `name`, and each under `name.i`.
    pub fn counts(&mut self, name: &str, values: &mut Vec<u64>) {
        let mut len = values.len() as u64;
        self.count(name, &mut len, 0);
        if let Action::Load(load) = &self.0 {
            // The elements that exist, whatever the length claims.
            let is_there = |i: &usize| load.has(&format!("{name}.{i}"));
            *values = vec![0; (0..).take_while(is_there).count()];
        }
        for (i, value) in values.iter_mut().enumerate() {
            self.count(&format!("{name}.{i}"), value, 0);
        }
        let found = values.len();
        self.require(found as u64 == len, name, format_args!("{found} of them"), len);
    }

    /// One of several values, each with a name in the state.
    pub fn choice<V: Copy + PartialEq>(
        &mut self,
        name: &str,
        value: &mut V,
        choices: &[(&str, V)],
    ) {
        let text = choices.iter().find(|(_, choice)| choice == value).map(|&(text, _)| text.into());
        let texts: Vec<String> = choices.iter().map(|(text, _)| format!("{text:?}")).collect();
        self.field(name, text, &texts.join(" or "), |found| {
            let Some(Value::Text(found)) = found else { return false };
            let choice = choices.iter().find(|(text, _)| text == found);
            choice.map(|(_, choice)| *value = *choice).is_some()
        });
    }

    /// An array; its type and shape are those that it has.
    pub fn array<T: Float>(&mut self, name: &str, array: &mut Array<T>) {
        if self.change_array(Some(array)) {
            return;
        }
        let shape = array.shape().clone();
        self.field(name, Some(array.clone().into()), &kind::<T>(&shape), |found| {
            read(found, &shape).map(|found| *array = found).is_some()
        });
    }

    /// An array of this shape that a state may lack.
    pub fn optional_array<T: Float>(
        &mut self,
        name: &str,
        array: &mut Option<Array<T>>,
        shape: &[usize],
    ) {
        if self.change_array(array.as_mut()) {
            return;
        }
        let shape = Shape::from(shape);
        self.field(name, array.clone().map(Value::from), &kind::<T>(&shape), |found| {
            *array = read(found, &shape);
            array.is_some() == found.is_some()
        });
    }

    /// Changes an array if there is one; whether that is the action.
    fn change_array<T: Float>(&mut self, array: Option<&mut Array<T>>) -> bool {
        let change: &dyn Fn(&mut Array<T>) = match &self.0 {
            Action::Unshare => &|array| _ = array.make_mut(),
            Action::Cut(range) => &|array| *array = cut_array(array, range.clone()),
            Action::Gather(Gather { sharing, partition, shape }) => {
                &|array| *array = sharing.gather(partition, shape, array)
            }
            _ => return false,
        };
        if let Some(array) = array {
            change(array);
        }
        true
    }

    /// A condition on the fields: `found`, the value of `name`, is an error unless it `fits`.
    pub fn require(&mut self, fits: bool, name: &str, found: impl Display, expected: impl Display) {
        if fits {
            return;
        }
        match &mut self.0 {
            Action::Load(load) => load.violated(name, &found, &expected),
            Action::Set { violation, .. } | Action::Check { violation, .. } => {
                violation.get_or_insert_with(|| Violation {
                    name: name.into(),
                    found: found.to_string(),
                    expected: expected.to_string(),
                });
            }
            _ => {}
        }
    }

    /// A condition on values that a user sets, but not on those of a schedule or a state:
    /// Nesterov's momentum must not be 0, but a schedule may lead it through 0.
    pub fn require_when_set(
        &mut self,
        fits: bool,
        name: &str,
        found: impl Display,
        expected: &str,
    ) {
        if let Action::Set { .. } | Action::Check { is_set: true, .. } = self.0 {
            self.require(fits, name, found, expected);
        }
    }

    /// A condition on each element of an array that is loaded.
    pub fn require_elements<T: Float>(
        &mut self,
        name: &str,
        array: &Array<T>,
        fits: impl Fn(T) -> bool,
        expected: &str,
    ) {
        let Action::Load(_) = self.0 else { return };
        let elements = array.as_slice().map_or_else(|| Cow::from(array.to_vec()), Cow::from);
        if let Some(i) = elements.iter().position(|&x| !fits(x)) {
            self.require(false, name, format_args!("{} at element {i}", elements[i]), expected);
        }
    }

    /// A field with this value, or `None` if it is left out of a state, of the kind `expected`.
    /// `set` sets it, or its default if it is missing, and returns `false` if that is not possible.
    fn field(
        &mut self,
        name: &str,
        value: Option<Value>,
        expected: &dyn Display,
        mut set: impl FnMut(Option<&Value>) -> bool,
    ) {
        match &mut self.0 {
            Action::Save { prefix, state } => {
                if let Some(value) = value {
                    state.insert(format!("{prefix}{name}"), value);
                }
            }
            Action::Load(load) => load.field(name, expected, set),
            Action::Set { overrides, outcomes, .. } => {
                let pairs = overrides.iter().zip(outcomes.iter_mut());
                for ((_, value), outcome) in pairs.filter(|((of, _), _)| of == name) {
                    let is_set = set(Some(value));
                    *outcome = Some(is_set.then_some(()).ok_or_else(|| expected.to_string()));
                }
            }
            Action::Names(names) => names.push(name.into()),
            _ => {}
        }
    }

    /// Changes a field of this role, if that is the action.
    fn change(&mut self, of: Role, value: &mut f64) {
        match &mut self.0 {
            Action::Change { role, change } if *role == of => change(value),
            _ => {}
        }
    }
}

fn kind<T: Float>(shape: &Shape) -> impl Display {
    format!("{} {shape}", T::DTYPE)
}

/// These elements of an array, in row-major order.
fn cut_array<T: Float>(array: &Array<T>, range: Range<usize>) -> Array<T> {
    let elements = array.as_slice().map_or_else(|| Cow::from(array.to_vec()), Cow::from);
    let own = &elements[range];
    Array::from_slice(Shape::from([own.len()]), own)
}

fn read<T: Float>(found: Option<&Value>, shape: &Shape) -> Option<Array<T>> {
    found?.array().filter(|array| array.shape() == shape).cloned()
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

/// Adds every field to `state`, its name after `prefix`: `groups.0.`.
pub(crate) fn save(prefix: &str, state: &mut StateDict, visit: impl FnOnce(&mut Fields<'_>)) {
    visit(&mut Fields(Action::Save { prefix, state }));
}

/// A state that fields are loaded from, and the findings.
pub(crate) struct Load<'a> {
    pub(crate) state: &'a StateDict,
    /// Precedes the names of the fields in the state.
    pub(crate) prefix: &'a str,
    /// Ends the mismatches.
    pub(crate) note: &'a str,
    /// The names that were requested.
    pub(crate) known: &'a mut HashSet<String>,
    pub(crate) mismatches: &'a mut Vec<Mismatch>,
    /// The number of fields that are in the state.
    pub(crate) found: &'a mut usize,
}

impl Load<'_> {
    fn has(&self, name: &str) -> bool {
        self.state.contains(&format!("{}{name}", self.prefix))
    }

    fn field(
        &mut self,
        name: &str,
        expected: &dyn Display,
        mut set: impl FnMut(Option<&Value>) -> bool,
    ) {
        let name = format!("{}{name}", self.prefix);
        let found = self.state.get(&name);
        *self.found += usize::from(found.is_some());
        if !set(found) {
            let (name, expected) = (name.clone(), format!("{expected}{}", self.note));
            self.mismatches.push(match found {
                Some(found) => Mismatch::Wrong { name, found: found.kind(), expected },
                None => Mismatch::Missing { name, expected },
            });
        }
        self.known.insert(name);
    }

    fn violated(&mut self, name: &str, found: &dyn Display, expected: &dyn Display) {
        self.mismatches.push(Mismatch::Wrong {
            name: format!("{}{name}", self.prefix),
            found: found.to_string(),
            expected: format!("{expected}{}", self.note),
        });
    }
}

/// Sets every field to its value in a state.
pub(crate) fn load(load: Load<'_>, visit: impl FnOnce(&mut Fields<'_>)) {
    visit(&mut Fields(Action::Load(load)));
}

/// Sets the fields that `overrides` names, in any order, and checks all fields.
pub(crate) fn set(
    group: usize,
    optimizer: &'static str,
    overrides: &[(String, Value)],
    visit: impl FnOnce(&mut Fields<'_>),
) -> Result<(), OptimError> {
    let context = OptimError::context(group);
    let mut outcomes: Vec<Option<Result<(), String>>> = vec![None; overrides.len()];
    let mut violation = None;
    let action = Action::Set { overrides, outcomes: &mut outcomes, violation: &mut violation };
    visit(&mut Fields(action));
    for ((name, value), outcome) in overrides.iter().zip(outcomes) {
        let name = name.clone();
        match outcome {
            Some(Ok(())) => {}
            Some(Err(expected)) => {
                let found = value.kind();
                return Err(OptimError::Hyperparameter { context, name, found, expected });
            }
            None => return Err(OptimError::Unknown { group, optimizer, name }),
        }
    }
    refuse(&context, violation)
}

/// The first condition that does not hold, as an error that names `context`.
pub(crate) fn check(context: &str, visit: impl FnOnce(&mut Fields<'_>)) -> Result<(), OptimError> {
    let mut violation = None;
    visit(&mut Fields(Action::Check { is_set: false, violation: &mut violation }));
    refuse(context, violation)
}

/// [`check`], with the conditions on values that a user sets.
pub(crate) fn check_set(
    context: &str,
    visit: impl FnOnce(&mut Fields<'_>),
) -> Result<(), OptimError> {
    let mut violation = None;
    visit(&mut Fields(Action::Check { is_set: true, violation: &mut violation }));
    refuse(context, violation)
}

fn refuse(context: &str, violation: Option<Violation>) -> Result<(), OptimError> {
    let Some(Violation { name, found, expected }) = violation else { return Ok(()) };
    Err(OptimError::Hyperparameter { context: context.into(), name, found, expected })
}

/// Copies every shared array, so that its elements can be changed in place.
pub(crate) fn unshare(visit: impl FnOnce(&mut Fields<'_>)) {
    visit(&mut Fields(Action::Unshare));
}

/// How the parts of a parameter's state become whole.
pub(crate) struct Gather<'a> {
    pub(crate) sharing: &'a Sharing,
    pub(crate) partition: Partition,
    /// The parameter's shape.
    pub(crate) shape: &'a Shape,
}

/// Keeps these elements of every array.
pub(crate) fn cut(range: Range<usize>, visit: impl FnOnce(&mut Fields<'_>)) {
    visit(&mut Fields(Action::Cut(range)));
}

/// Replaces the part of every array by the whole, on rank 0.
#[track_caller]
pub(crate) fn gather(gather: Gather<'_>, visit: impl FnOnce(&mut Fields<'_>)) {
    visit(&mut Fields(Action::Gather(gather)));
}

/// Calls `change` with the fields of this role, and returns their number.
pub(crate) fn change(
    role: Role,
    mut change: impl FnMut(&mut f64),
    visit: impl FnOnce(&mut Fields<'_>),
) -> usize {
    let mut count = 0;
    let change = &mut |value: &mut f64| {
        count += 1;
        change(value);
    };
    visit(&mut Fields(Action::Change { role, change }));
    count
}

/// Asserts that the fields of `owner` have different names, and none a reserved one: the first
/// part of a name, up to a dot.
#[track_caller]
pub(crate) fn assert_distinct(owner: &str, reserved: &[&str], visit: impl FnOnce(&mut Fields<'_>)) {
    let mut names = Vec::new();
    visit(&mut Fields(Action::Names(&mut names)));
    let mut seen = HashSet::new();
    for name in &names {
        let first = name.split('.').next().unwrap_or_default();
        assert!(
            !reserved.contains(&first),
            "{owner}: a field is named `{name}`; expected a name other than {reserved:?}"
        );
        assert!(seen.insert(name), "{owner}: two fields are named `{name}`; expected one");
    }
}
