//! What several layers ask of their sizes and options, checked where a layer is made.

use std::fmt::Arguments;

#[track_caller]
pub(crate) fn at_least_one(layer: &str, argument: &str, size: usize) {
    assert!(size > 0, "{layer}: {argument} = 0; expected at least 1");
}

#[track_caller]
pub(crate) fn probability(layer: &str, argument: &str, p: f64) {
    assert!((0.0..=1.0).contains(&p), "{layer}: {argument} = {p:?}; expected a number from 0 to 1");
}

/// Checks a number that is added to a variance, under a root.
#[track_caller]
pub(crate) fn eps(layer: &str, argument: &str, eps: f64) {
    assert!(eps >= 0.0, "{layer}: {argument} = {eps:?}; expected a number that is at least 0");
}

/// Panics if a layer of these `sizes`, with as many elements as the product of `factors` or more,
/// cannot be held in memory.
///
/// A reservation is what the system promises: no page of it is touched.
#[track_caller]
pub(crate) fn fits<T>(layer: &str, sizes: Arguments<'_>, factors: &[usize]) {
    let product = |len: usize, &factor: &usize| len.checked_mul(factor.max(1));
    let fits = factors.iter().try_fold(1, product).is_some_and(|len| {
        let bytes = len.saturating_mul(size_of::<T>());
        Vec::<u8>::new().try_reserve_exact(bytes).is_ok()
    });
    assert!(fits, "{layer}: {sizes}: parameters of these sizes do not fit in memory");
}
