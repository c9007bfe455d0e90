//! Functions that take turns, each on a thread of its own.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};

/// A function that runs only while another thread waits in [`resume`](Coroutine::resume). It ends
/// with the coroutine: its thread then unwinds.
pub(crate) struct Coroutine<I, Y, R> {
    inputs: Sender<I>,
    steps: Receiver<Step<Y, R>>,
}

/// How a turn has ended.
pub(crate) enum Step<Y, R> {
    Yielded(Y),
    Returned(R),
    Panicked(Box<dyn Any + Send>),
}

/// How the function of a coroutine ends its turn.
pub(crate) struct Yield<I, Y, R> {
    inputs: Receiver<I>,
    steps: Sender<Step<Y, R>>,
}

/// The payload of the unwinding that ends the function of a coroutine that was dropped.
struct Ended;

impl<I: Send, Y: Send, R: Send> Coroutine<I, Y, R> {
    /// On a thread of this name. The function starts in the first turn, without its input.
    ///
    /// # Panics
    /// If the thread cannot be started.
    #[track_caller]
    pub(crate) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        name: String,
        function: impl FnOnce(Yield<I, Y, R>) -> R + Send + 'scope,
    ) -> Self
    where
        I: 'scope,
        Y: 'scope,
        R: 'scope,
    {
        let ((inputs, received), (sent, steps)) = (channel(), channel());
        let run = move || {
            if received.recv().is_err() {
                return;
            }
            let last = sent.clone();
            let turns = Yield { inputs: received, steps: sent };
            // The caller of `resume` continues the panic.
            let step = match catch_unwind(AssertUnwindSafe(|| function(turns))) {
                Ok(result) => Step::Returned(result),
                Err(panic) => Step::Panicked(panic),
            };
            // If the coroutine was dropped, nobody waits for the step.
            let _ = last.send(step);
        };
        let thread = Builder::new().name(name).spawn_scoped(scope, run);
        thread.unwrap_or_else(|error| panic!("a thread for a shard cannot be started: {error}"));
        Coroutine { inputs, steps }
    }

    /// Runs the function until it yields or ends.
    ///
    /// # Panics
    /// If it has ended before.
    #[track_caller]
    pub(crate) fn resume(&self, input: I) -> Step<Y, R> {
        let step = self.inputs.send(input).ok().and_then(|()| self.steps.recv().ok());
        step.expect("a coroutine that has not ended")
    }
}

impl<I, Y, R> Yield<I, Y, R> {
    /// Ends the turn with this value; returns the input of the next one.
    pub(crate) fn call(&self, value: Y) -> I {
        let input =
            self.steps.send(Step::Yielded(value)).ok().and_then(|()| self.inputs.recv().ok());
        // Not a panic of the function, so the panic hook does not report it.
        input.unwrap_or_else(|| resume_unwind(Box::new(Ended)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn turns_alternate() {
        thread::scope(|scope| {
            let sum = Coroutine::new(scope, "sum".into(), |turns: Yield<usize, usize, String>| {
                let first = turns.call(1);
                let second = turns.call(first + 1);
                format!("{first} {second} {:?}", thread::current().name())
            });
            assert!(matches!(sum.resume(0), Step::Yielded(1)));
            assert!(matches!(sum.resume(5), Step::Yielded(6)));
            let Step::Returned(text) = sum.resume(7) else { panic!("the function has returned") };
            assert_eq!(text, "5 7 Some(\"sum\")");
        });
    }

    #[test]
    fn a_panic_is_a_step() {
        thread::scope(|scope| {
            let panics = |_: Yield<(), (), ()>| resume_unwind(Box::new("no"));
            let Step::Panicked(panic) = Coroutine::new(scope, "no".into(), panics).resume(())
            else {
                panic!("the function has panicked")
            };
            assert_eq!(panic.downcast_ref(), Some(&"no"));
        });
    }

    #[test]
    fn a_dropped_coroutine_unwinds() {
        struct Count<'c>(&'c AtomicUsize);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = AtomicUsize::new(0);
        thread::scope(|scope| {
            let count = |turns: Yield<(), (), ()>| {
                let _count = Count(&dropped);
                turns.call(());
                unreachable!("the coroutine is not resumed again");
            };
            let started = Coroutine::new(scope, "started".into(), count);
            let _ = started.resume(());
            let _not_started = Coroutine::new(scope, "not started".into(), count);
        });
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }
}
