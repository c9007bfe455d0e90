//! What the options of several layers must be: checked where a layer is made.

/// `eps` is added to a variance, under a root.
#[track_caller]
pub(crate) fn eps(layer: &str, argument: &str, eps: f64) {
    assert!(eps >= 0.0, "{layer}: {argument} = {eps:?}; expected a number that is at least 0");
}

#[track_caller]
pub(crate) fn probability(layer: &str, argument: &str, p: f64) {
    assert!((0.0..=1.0).contains(&p), "{layer}: {argument} = {p:?}; expected a number from 0 to 1");
}
