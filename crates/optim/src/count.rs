//! Counts of steps and epochs, as a state holds them: whole numbers from 0 to [`MOST`].

use adamant_tensor::{StateDict, StateError};

/// The largest count. Options may be set to more, to mean "never": they are held as this.
pub(crate) const MOST: u64 = i64::MAX as u64;

/// One more, and [`MOST`] after [`MOST`].
pub(crate) fn next(count: u64) -> u64 {
    count.saturating_add(1).min(MOST)
}

/// As a state holds it.
pub(crate) fn saved(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count of at least `least`; `None` and an error if there is none.
pub(crate) fn take(
    errors: &mut StateError,
    state: &StateDict,
    name: &str,
    least: u64,
) -> Option<u64> {
    let found = errors.take(state.int(name))?;
    let count = u64::try_from(found).ok().filter(|&count| count >= least);
    if count.is_none() {
        errors.push(format!("`{name}`: found {found}, expected at least {least}"));
    }
    count
}
