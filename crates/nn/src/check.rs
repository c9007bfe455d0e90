//! Checks that several layers or losses make.

use std::fmt::Arguments;

#[track_caller]
pub(crate) fn at_least_one(layer: &str, argument: &str, size: usize) {
    assert!(size > 0, "{layer}: {argument} is 0; expected at least 1");
}

#[track_caller]
pub(crate) fn probability(layer: &str, argument: &str, p: f64) {
    assert!((0.0..=1.0).contains(&p), "{layer}: {argument} is {p:?}; expected 0 to 1");
}

/// Checks a value that is added to a variance under a root.
#[track_caller]
pub(crate) fn eps(layer: &str, argument: &str, eps: f64) {
    assert!(eps >= 0.0, "{layer}: {argument} is {eps:?}; expected at least 0");
}

/// Whether a tensor of shape `from` broadcasts to shape `to`.
pub(crate) fn broadcasts(from: &[usize], to: &[usize]) -> bool {
    let mut ends = from.iter().rev().zip(to.iter().rev());
    from.len() <= to.len() && ends.all(|(&from, &to)| from == 1 || from == to)
}

/// Panics if a layer of these `sizes`, whose number of elements is at least the product of
/// `factors`, does not fit in memory.
///
/// Tested by a reservation, which touches no page.
#[track_caller]
pub(crate) fn fits<T>(layer: &str, sizes: Arguments<'_>, factors: &[usize]) {
    let product = |len: usize, &factor: &usize| len.checked_mul(factor.max(1));
    let fits = factors.iter().try_fold(1, product).is_some_and(|len| {
        let bytes = len.saturating_mul(size_of::<T>());
        Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
    });
    assert!(fits, "{layer}: {sizes}: parameters of these sizes do not fit in memory");
}
