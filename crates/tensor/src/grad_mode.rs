//! Whether operations are recorded on this thread.

use std::cell::Cell;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Whether operations on tracked tensors are recorded on this thread.
///
/// PyTorch: `torch.is_grad_enabled()`.
#[must_use]
#[inline]
pub fn is_grad_enabled() -> bool {
    ENABLED.get()
}

/// Runs `f` without recording: its results are untracked and hold no graph.
///
/// PyTorch: `with torch.no_grad():`. The setting is this thread's own, and is
/// put back when `f` returns or panics.
///
/// ```
/// use adamant_tensor::{Tensor, no_grad};
/// let x = Tensor::from_vec(vec![1.0f32], [1]).unwrap().requires_grad();
/// assert!(!no_grad(|| &x * 3.0).is_tracked());
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    with_grad(false, f)
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
    with_grad(true, f)
}

pub(crate) fn with_grad<R>(enabled: bool, f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ENABLED.set(self.0);
        }
    }
    let _restore = Restore(ENABLED.replace(enabled));
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
