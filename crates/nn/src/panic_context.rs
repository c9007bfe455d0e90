//! Panics that are raised again at the line of the caller, who can mend the mistake.
//!
//! `#[track_caller]` reaches through neither a closure nor a call of a `dyn` method: there, the
//! line of a panic is one of this library.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The value of `f`. If it panics, panics at the caller's line with `context` before the message.
#[track_caller]
pub(crate) fn with_context<R>(f: impl FnOnce() -> R, context: impl FnOnce() -> String) -> R {
    // The panic goes on: nobody sees what it may have left half-done.
    let panic = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => return value,
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<&str>().copied();
    match text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)) {
        Some(message) => panic!("{}: {message}", context()),
        None => resume_unwind(panic), // not a message
    }
}
