//! Panics that are raised again at the caller's line, where the mistake can be mended.
//!
//! `#[track_caller]` does not reach through a call of a `dyn` method or a closure: the line of a
//! panic there is one of this library.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::path::Path;

thread_local! {
    /// Whether this thread is within a call of [`with_context`].
    static IS_NESTED: Cell<bool> = const { Cell::new(false) };
}

/// The value of `f`. If it panics, panics at the caller's line with `context` before the message.
///
/// The panic hook reports two panics however deep the calls are nested: the original one, and the
/// one of the outermost call, whose message has all contexts.
#[track_caller]
pub(crate) fn with_context<R>(f: impl FnOnce() -> R, context: impl FnOnce() -> String) -> R {
    let is_nested = IS_NESTED.replace(true);
    // The panic continues, so no code observes partly changed state.
    let result = catch_unwind(AssertUnwindSafe(f));
    IS_NESTED.set(is_nested);
    let panic = match result {
        Ok(value) => return value,
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<&str>().copied();
    let Some(message) = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)) else {
        resume_unwind(panic) // not a message
    };
    if !is_nested {
        panic!("{}: {message}", context());
    }
    // A line of the user's model, unless it is one of this crate.
    let (line, this) = (Location::caller(), Path::new(file!()));
    let src = this.ancestors().nth(2).expect("`src/tree` contains this file");
    let is_users = !Path::new(line.file()).starts_with(src);
    let at = if is_users { format!(" (at {line})") } else { String::new() };
    resume_unwind(Box::new(format!("{}{at}: {message}", context())))
}

#[cfg(test)]
mod tests {
    use super::with_context;
    use std::cell::RefCell;
    use std::panic::{catch_unwind, set_hook, take_hook};

    thread_local! {
        static REPORTS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
    }

    #[test]
    fn nested_contexts_are_reported_once() {
        let others = take_hook();
        set_hook(Box::new(move |info| match REPORTS.take() {
            Some(mut reports) => {
                reports.push(info.to_string());
                REPORTS.set(Some(reports));
            }
            None => others(info),
        }));
        REPORTS.set(Some(Vec::new()));
        let layer = || panic!("no");
        let inner = || with_context(layer, || "inner".into());
        let middle = || with_context(inner, || "middle".into());
        let line = line!() + 1;
        let outer = || with_context(middle, || "outer".into());
        let panic = catch_unwind(outer).unwrap_err();
        let reports = REPORTS.take().unwrap();
        assert_eq!(panic.downcast_ref(), Some(&"outer: middle: inner: no".to_string()));
        assert_eq!(reports.len(), 2, "{reports:?}");
        assert!(reports[1].contains(&format!("panic_context.rs:{line}:")), "{reports:?}");
    }
}
