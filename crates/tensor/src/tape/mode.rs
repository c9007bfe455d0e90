//! The mode of a thread: whether it records operations and checks their values.

use std::cell::Cell;

/// The mode of the current thread.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// Operations on tracked tensors are recorded.
    pub(crate) record: bool,
    /// Inside [`detect_anomaly`](crate::detect_anomaly).
    pub(crate) detect_anomaly: bool,
    /// Inside a backward pass.
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
        ModeGuard { previous: MODE.replace(self) }
    }
}

/// Restores the previous mode when dropped.
///
/// Code whose panics must show the user's line uses this guard: `#[track_caller]` does not reach
/// into a closure.
pub(crate) struct ModeGuard {
    previous: Mode,
}

impl Drop for ModeGuard {
    fn drop(&mut self) {
        MODE.set(self.previous);
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

/// Whether the backward pass that this thread runs is itself recorded, so that its results can be
/// differentiated. For backward functions.
#[inline]
pub(crate) fn is_pass_recorded() -> bool {
    Mode::now().record
}

/// Runs `f` without recording: results of operations are untracked and hold no graph.
///
/// The setting belongs to this thread and is restored when `f` returns or panics. Threads that `f`
/// hands work to have their own. While `f` waits for rayon's pool, this thread may run an unrelated
/// task, which then sees this setting: if that matters, begin tasks with [`enable_grad`] or
/// [`no_grad`].
///
/// PyTorch: `with torch.no_grad():`.
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

/// Runs `f` with recording, even inside [`no_grad`].
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
    fn a_panic_restores_the_setting() {
        let result = std::panic::catch_unwind(|| no_grad(|| panic!("on purpose")));
        assert!(result.is_err() && is_grad_enabled());
    }
}
