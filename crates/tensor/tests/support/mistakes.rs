//! Checks that a mistake panics with a message and at a line, for the tests of messages in this
//! crate, in `nn` and in `optim`, which include this file.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    pub(crate) static LOCATION: Cell<(&'static str, u32)> = const { Cell::new(("", 0)) };
    /// The message of the last mistake; `None` outside a mistake.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
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
        NOTE.call_once(|| {
            let others = take_hook();
            set_hook(Box::new(move |info| {
                MESSAGE.with_borrow_mut(|message| match message {
                    Some(message) => *message = info.to_string(),
                    None => others(info),
                });
            }));
        });
        MESSAGE.set(Some(String::new()));
        let result = catch_unwind(AssertUnwindSafe(mistake));
        let (message, (file, line)) = (MESSAGE.take().unwrap(), LOCATION.get());
        let location = format!("{file}:{line}:");
        let at_location =
            message.strip_prefix("panicked at ").is_some_and(|m| m.starts_with(&location));
        if result.is_ok() || !at_location || !message.contains(expected) {
            self.0.push(format!("{expected} at {location}\nfound: {message}"));
        }
    }

    pub(crate) fn none_was_wrong(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}
