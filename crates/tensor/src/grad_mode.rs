//! What this thread does besides computing: whether it records, and checks values.

use std::cell::Cell;

/// A thread's settings.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// Operations on tracked tensors are recorded.
    pub(crate) record: bool,
    /// Within [`detect_anomaly`](crate::detect_anomaly).
    pub(crate) detect_anomaly: bool,
    /// Within a backward pass.
    pub(crate) in_backward: bool,
}

thread_local! {
    static MODE: Cell<Mode> =
        const { Cell::new(Mode { record: true, detect_anomaly: false, in_backward: false }) };
}

impl Mode {
    #[inline]
    pub(crate) fn now() -> Mode {
        MODE.get()
    }

    /// Sets this mode until the guard is dropped.
    #[must_use]
    pub(crate) fn enter(self) -> ModeGuard {
        ModeGuard { before: MODE.replace(self) }
    }
}

/// Puts the mode back that was before. A guard rather than a function that takes
/// a closure where a panic is to show the caller's line: a closure hides it.
pub(crate) struct ModeGuard {
    before: Mode,
}

impl Drop for ModeGuard {
    fn drop(&mut self) {
        MODE.set(self.before);
    }
}

/// Whether operations on tracked tensors are recorded on this thread.
///
/// PyTorch: `torch.is_grad_enabled()`.
#[must_use]
#[inline]
pub fn is_grad_enabled() -> bool {
    Mode::now().record
}

/// Runs `f` without recording: its results are untracked and hold no graph.
///
/// PyTorch: `with torch.no_grad():`. The setting is this thread's own, and is
/// put back when `f` returns or panics. Other threads that `f` hands work to have their own;
/// and a task that this thread takes up while `f` waits for rayon's pool sees this one: where
/// that happens, begin tasks with [`enable_grad`] or [`no_grad`].
///
/// ```
/// use adamant_tensor::{Tensor, no_grad};
/// let x = Tensor::from_vec(vec![1.0f32], [1]).unwrap().requires_grad();
/// assert!(!no_grad(|| &x * 3.0).is_tracked());
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = Mode { record: false, ..Mode::now() }.enter();
    f()
}

/// Runs `f` with recording, even within [`no_grad`].
///
/// PyTorch: `with torch.enable_grad():`.
///
/// ```
/// use adamant_tensor::{Tensor, enable_grad, no_grad};
/// let x = Tensor::from_vec(vec![1.0f32], [1]).unwrap().requires_grad();
/// assert!(no_grad(|| enable_grad(|| &x * 3.0)).is_tracked());
/// ```
pub fn enable_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = Mode { record: true, ..Mode::now() }.enter();
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_survives_a_panic() {
        let result = std::panic::catch_unwind(|| no_grad(|| panic!("on purpose")));
        assert!(result.is_err() && is_grad_enabled());
    }
}
