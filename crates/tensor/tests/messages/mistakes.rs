//! A mistake is to be told with a text and at a line: what the tests of this crate's and of
//! `nn`'s messages (which includes this file) have in common.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

thread_local! {
    pub(crate) static PLACE: Cell<(&'static str, u32)> = const { Cell::new(("", 0)) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes the line that is to be blamed.
macro_rules! here {
    ($mistake:expr) => {{
        $crate::mistakes::PLACE.set((file!(), line!()));
        let _ = $mistake;
    }};
}
pub(crate) use here;

/// What was not said as it should be.
#[derive(Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    /// `mistake` must panic at the line of its `here!`, with a message that has `expected`.
    pub(crate) fn check(&mut self, expected: &str, mistake: impl Fn()) {
        static NOTE: Once = Once::new();
        NOTE.call_once(|| set_hook(Box::new(|info| MESSAGE.set(info.to_string()))));
        let result = catch_unwind(AssertUnwindSafe(mistake));
        let (message, (file, line)) = (MESSAGE.take(), PLACE.get());
        let place = format!("{file}:{line}:");
        let at_place = message.strip_prefix("panicked at ").is_some_and(|m| m.starts_with(&place));
        if result.is_ok() || !at_place || !message.contains(expected) {
            self.0.push(format!("{expected} at {place}\nfound: {message}"));
        }
    }

    pub(crate) fn none_was_wrong(self) {
        if !self.0.is_empty() {
            eprintln!("{}", self.0.join("\n")); // the panic hook is quiet
        }
        assert!(self.0.is_empty());
    }
}
