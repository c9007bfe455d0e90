//! System calls that tests can make fail.

use std::io;

/// Makes a system call. Tests can make it fail by its name.
pub fn call<R>(_name: &'static str, make: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    #[cfg(any(test, feature = "faults"))]
    injection::attempt(_name)?;
    make()
}

#[cfg(any(test, feature = "faults"))]
pub use injection::failing;

/// Injects failures into system calls.
#[cfg(any(test, feature = "faults"))]
mod injection {
    use std::cell::RefCell;
    use std::io::{self, ErrorKind};
    use std::ops::Range;

    thread_local! {
        static CALLS: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
        static FAILING: RefCell<(Range<usize>, ErrorKind)> =
            const { RefCell::new((0..0, ErrorKind::Other)) };
    }

    pub(super) fn attempt(call: &'static str) -> io::Result<()> {
        let number = CALLS.with_borrow_mut(|calls| {
            calls.push(call);
            calls.len() - 1
        });
        FAILING.with_borrow(|(failing, kind)| match failing.contains(&number) {
            true => Err(io::Error::new(*kind, format!("injected into {call}"))),
            false => Ok(()),
        })
    }

    /// Runs `f`, with a failure in these calls of this thread. Returns its result and the names of
    /// all calls.
    pub fn failing<R>(
        calls: Range<usize>,
        kind: ErrorKind,
        f: impl FnOnce() -> R,
    ) -> (R, Vec<&'static str>) {
        FAILING.set((calls, kind));
        CALLS.take();
        let result = f();
        FAILING.set((0..0, kind));
        (result, CALLS.take())
    }
}
