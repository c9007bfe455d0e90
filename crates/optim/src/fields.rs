//! Named fields: one declaration saves, loads, overrides and checks them.

use crate::count;
use crate::error::OptimError;
use adamant_tensor::{Array, Float, Shape, StateDict, Value};
use std::fmt::{self, Display};

/// The fields of hyperparameters, of a parameter's state or of a schedule.
///
/// A type declares each field once, by its name in a [`StateDict`] and a reference to it, in a
/// method `fields` that visits all of them. Whatever concerns every field goes through this
/// method: saving, loading, overriding by name, checking ranges. A field that is saved is
/// restored.
///
/// ```
/// use adamant_optim::{Fields, Range};
/// struct Decay {
///     weight_decay: f64,
///     decoupled: bool,
/// }
/// impl Decay {
///     fn fields(&mut self, fields: &mut Fields<'_>) {
///         fields.float("weight_decay", &mut self.weight_decay, Range::AT_LEAST_0);
///         fields.flag("decoupled", &mut self.decoupled);
///     }
/// }
/// ```
pub struct Fields<'a>(&'a mut (dyn Visitor + 'a));

/// The values that a float field may have.
///
/// ```
/// use adamant_optim::Range;
/// const CLIP: Range = Range::new(|clip| clip > 1.0, "a number above 1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Range {
    fits: fn(f64) -> bool,
    expected: &'static str,
}

impl Range {
    /// Any number, infinity and NaN included.
    pub const ANY: Range = Range::new(|_| true, "a number");
    /// A finite number.
    pub const FINITE: Range = Range::new(f64::is_finite, "a finite number");
    /// A finite number of at least 0: a learning rate, a weight decay.
    pub const AT_LEAST_0: Range =
        Range::new(|x| x >= 0.0 && x.is_finite(), "a finite number of at least 0");
    /// A finite number above 0.
    pub const ABOVE_0: Range = Range::new(|x| x > 0.0 && x.is_finite(), "a finite number above 0");
    /// At least 0 and below 1: the decay of a running mean.
    pub const BELOW_1: Range =
        Range::new(|x| (0.0..1.0).contains(&x), "a number from 0 to below 1");
    /// From 0 to 1: a fraction.
    pub const UNIT: Range = Range::new(|x| (0.0..=1.0).contains(&x), "a number from 0 to 1");

    /// The values that `fits` accepts; errors say that `expected` was expected.
    #[must_use]
    pub const fn new(fits: fn(f64) -> bool, expected: &'static str) -> Self {
        Range { fits, expected }
    }

    /// An error that names `context` and `name` if `x` is not in the range.
    pub(crate) fn check(self, context: &str, name: &str, x: f64) -> Result<(), OptimError> {
        check(context, |fields| fields.require((self.fits)(x), name, x, self.expected))
    }
}

/// An action on every field.
pub(crate) trait Visitor {
    /// A field with this value, or `None` if it is left out of a state, of the kind `expected`.
    /// `set` sets it, or its default if it is missing, and returns `false` if that is not
    /// possible.
    fn field(&mut self, name: &str, value: Option<Value>, expected: &dyn Display, set: Set<'_>);

    /// A condition that does not hold.
    fn broken(&mut self, _name: &str, _found: &dyn Display, _expected: &dyn Display) {}

    /// Whether a user sets the values, rather than a state or a schedule.
    fn is_chosen(&self) -> bool {
        false
    }

    /// Whether fields are set from a state.
    fn is_load(&self) -> bool {
        false
    }

    /// Whether that state has the field `name`.
    fn has(&self, _name: &str) -> bool {
        false
    }

    /// Whether shared arrays are to be copied.
    fn unshares(&self) -> bool {
        false
    }
}

pub(crate) type Set<'f> = &'f mut dyn FnMut(Option<&Value>) -> bool;

impl<'a> Fields<'a> {
    pub(crate) fn new(visitor: &'a mut (dyn Visitor + 'a)) -> Self {
        Fields(visitor)
    }

    /// A number, within a range.
    pub fn float(&mut self, name: &str, value: &mut f64, range: Range) {
        self.0.field(name, Some((*value).into()), &"a number", &mut |found| {
            *value = match found {
                Some(Value::Float(x)) => *x,
                Some(Value::Int(x)) => *x as f64,
                _ => return false,
            };
            true
        });
        self.require((range.fits)(*value), name, *value, range.expected);
    }

    /// True or false.
    pub fn flag(&mut self, name: &str, value: &mut bool) {
        self.0.field(name, Some((*value).into()), &"true or false", &mut |found| {
            let Some(Value::Bool(found)) = found else { return false };
            *value = *found;
            true
        });
    }

    /// A [`flag`](Fields::flag) that older states lack: a missing one is false.
    pub fn newer_flag(&mut self, name: &str, value: &mut bool) {
        self.0.field(name, Some((*value).into()), &"true or false", &mut |found| {
            *value = match found {
                Some(Value::Bool(found)) => *found,
                Some(_) => return false,
                None => false,
            };
            true
        });
    }

    /// A count of at least `least`. Saved as an `i64`, so that counts above [`i64::MAX`] become
    /// this.
    pub fn count(&mut self, name: &str, value: &mut u64, least: u64) {
        let expected = format_args!("an integer of at least {least}");
        self.0.field(name, Some(count::saved(*value).into()), &expected, &mut |found| {
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
    pub(crate) fn counts(&mut self, name: &str, values: &mut Vec<u64>) {
        let mut len = values.len() as u64;
        self.count(name, &mut len, 0);
        if self.0.is_load() {
            // The elements that exist, whatever the length claims.
            let is_there = |i: &usize| self.0.has(&format!("{name}.{i}"));
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
        self.0.field(name, text, &texts.join(" or "), &mut |found| {
            let Some(Value::Text(found)) = found else { return false };
            let choice = choices.iter().find(|(text, _)| text == found);
            choice.map(|(_, choice)| *value = *choice).is_some()
        });
    }

    /// An array; its type and shape are those that it has.
    pub fn array<T: Float>(&mut self, name: &str, array: &mut Array<T>) {
        if self.0.unshares() {
            let _ = array.make_mut();
            return;
        }
        let shape = array.shape().clone();
        let value = Some(array.clone().into());
        self.0.field(name, value, &kind::<T>(&shape), &mut |found| {
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
        if self.0.unshares() {
            let _ = array.as_mut().map(Array::make_mut);
            return;
        }
        let shape = Shape::from(shape);
        let value = array.clone().map(Value::from);
        self.0.field(name, value, &kind::<T>(&shape), &mut |found| {
            *array = read(found, &shape);
            array.is_some() == found.is_some()
        });
    }

    /// A condition on the fields: `found`, the value of `name`, is an error unless it `fits`.
    pub fn require(&mut self, fits: bool, name: &str, found: impl Display, expected: impl Display) {
        if !fits {
            self.0.broken(name, &found, &expected);
        }
    }

    /// A condition on values that a user sets, but not on those of a schedule or a state:
    /// Nesterov's momentum must not be 0, but a schedule may lead it through 0.
    pub fn require_of_user(&mut self, fits: bool, name: &str, found: impl Display, expected: &str) {
        if self.0.is_chosen() {
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
        if !self.0.is_load() {
            return;
        }
        let mut elements = array.to_vec().into_iter().enumerate();
        if let Some((i, x)) = elements.find(|(_, x)| !fits(*x)) {
            self.require(false, name, format_args!("{x} at element {i}"), expected);
        }
    }
}

fn kind<T: Float>(shape: &Shape) -> impl Display {
    format!("{} {shape}", T::DTYPE)
}

fn read<T: Float>(found: Option<&Value>, shape: &Shape) -> Option<Array<T>> {
    found?.array().filter(|array| array.shape() == shape).cloned()
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields")
    }
}

/// Adds every field to `state`, its name behind `prefix`: `groups.0.`.
pub(crate) fn save(prefix: &str, state: &mut StateDict, visit: impl FnOnce(&mut Fields<'_>)) {
    struct Save<'s>(&'s str, &'s mut StateDict);
    impl Visitor for Save<'_> {
        fn field(&mut self, name: &str, value: Option<Value>, _: &dyn Display, _: Set<'_>) {
            if let Some(value) = value {
                self.1.insert(format!("{}{name}", self.0), value);
            }
        }
    }
    visit(&mut Fields::new(&mut Save(prefix, state)));
}

/// Sets the field `name`. `None` if there is none; an error, with the kind of value that was
/// expected, if it cannot have this value.
pub(crate) fn set(
    name: &str,
    value: &Value,
    visit: impl FnOnce(&mut Fields<'_>),
) -> Option<Result<(), String>> {
    struct Override<'s> {
        name: &'s str,
        value: &'s Value,
        result: Option<Result<(), String>>,
    }
    impl Visitor for Override<'_> {
        fn field(&mut self, name: &str, _: Option<Value>, expected: &dyn Display, set: Set<'_>) {
            if name == self.name {
                let is_set = set(Some(self.value));
                self.result = Some(is_set.then_some(()).ok_or_else(|| expected.to_string()));
            }
        }
    }
    let mut set = Override { name, value, result: None };
    visit(&mut Fields::new(&mut set));
    set.result
}

struct Check<'p> {
    context: &'p str,
    is_chosen: bool,
    result: Result<(), OptimError>,
}

impl Visitor for Check<'_> {
    fn field(&mut self, _: &str, _: Option<Value>, _: &dyn Display, _: Set<'_>) {}

    fn broken(&mut self, name: &str, found: &dyn Display, expected: &dyn Display) {
        if self.result.is_ok() {
            let (context, name) = (self.context.into(), name.into());
            let (found, expected) = (found.to_string(), expected.to_string());
            self.result = Err(OptimError::Hyperparameter { context, name, found, expected });
        }
    }

    fn is_chosen(&self) -> bool {
        self.is_chosen
    }
}

/// The first condition that does not hold, as an error that names `context`.
pub(crate) fn check(context: &str, visit: impl FnOnce(&mut Fields<'_>)) -> Result<(), OptimError> {
    let mut check = Check { context, is_chosen: false, result: Ok(()) };
    visit(&mut Fields::new(&mut check));
    check.result
}

/// [`check`], with the conditions on values that a user sets.
pub(crate) fn check_chosen(
    context: &str,
    visit: impl FnOnce(&mut Fields<'_>),
) -> Result<(), OptimError> {
    let mut check = Check { context, is_chosen: true, result: Ok(()) };
    visit(&mut Fields::new(&mut check));
    check.result
}

/// Copies every shared array, so that its elements can be changed in place.
pub(crate) fn unshare(visit: impl FnOnce(&mut Fields<'_>)) {
    struct Unshare;
    impl Visitor for Unshare {
        fn field(&mut self, _: &str, _: Option<Value>, _: &dyn Display, _: Set<'_>) {}

        fn unshares(&self) -> bool {
            true
        }
    }
    visit(&mut Fields::new(&mut Unshare));
}
