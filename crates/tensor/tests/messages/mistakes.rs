//! Checks that a mistake panics with a message and at a line, for the tests of messages in this
//! crate and in `nn`, which includes this file.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

thread_local! {
    pub(crate) static LOCATION: Cell<(&'static str, u32)> = const { Cell::new(("", 0)) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Marks its line as the one that the panic must show.
macro_rules! here {
    ($mistake:expr) => {{
        $crate::mistakes::LOCATION.set((file!(), line!()));
        let _ = $mistake;
    }};
}
pub(crate) use here;

/// The mistakes whose message or line was wrong.
#[derive(Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    /// Notes `mistake` unless it panics at the line of its `here!` with a message that contains
    /// `expected`.
    pub(crate) fn check(&mut self, expected: &str, mistake: impl Fn()) {
        static NOTE: Once = Once::new();
        NOTE.call_once(|| set_hook(Box::new(|info| MESSAGE.set(info.to_string()))));
        let result = catch_unwind(AssertUnwindSafe(mistake));
        let (message, (file, line)) = (MESSAGE.take(), LOCATION.get());
        let location = format!("{file}:{line}:");
        let at_location =
            message.strip_prefix("panicked at ").is_some_and(|m| m.starts_with(&location));
        if result.is_ok() || !at_location || !message.contains(expected) {
            self.0.push(format!("{expected} at {location}\nfound: {message}"));
        }
    }

    pub(crate) fn none_was_wrong(self) {
        if !self.0.is_empty() {
            eprintln!("{}", self.0.join("\n")); // the panic hook prints nothing
        }
        assert!(self.0.is_empty());
    }
}
