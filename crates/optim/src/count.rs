//! Counts of steps and epochs, as a state holds them: integers from 0 to [`MOST`].

/// The largest count. Options that are set to more, to mean "never", are held as this.
pub(crate) const MOST: u64 = i64::MAX as u64;

/// One more, and [`MOST`] after [`MOST`].
pub(crate) fn next(count: u64) -> u64 {
    count.saturating_add(1).min(MOST)
}

/// As a state holds it.
pub(crate) fn saved(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
