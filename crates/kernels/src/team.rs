//! A team that helps with one piece of work at a time, and is there at once.
//!
//! Rayon's threads go to sleep soon after their last job, and waking one costs
//! more than many a kernel takes: 5 µs on bare metal, 50 µs on a virtual
//! machine. So a helper, which is a job on rayon's pool, lingers a moment
//! after its work, looking out for the next piece: in a training loop there is
//! one every few microseconds.
//!
//! The caller begins at once and waits only for helpers that have come. So no
//! one waits for a thread that is asleep or busy, and there is nothing to
//! deadlock on: who comes finds work or leaves. One piece of work at a time
//! has the team; a caller that finds it engaged, which may be itself one level
//! up, does its work alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a helper looks out for the next piece of work.
const LINGER: Duration = Duration::from_micros(200);
/// How long it stays in all: a pool's thread may be wanted for something else.
const STAY: Duration = Duration::from_millis(10);

static TEAM: Team = Team {
    engaged: AtomicBool::new(false),
    open: AtomicBool::new(false),
    working: AtomicUsize::new(0),
    helpers: AtomicUsize::new(0),
    piece: Mutex::new(Piece { work: None, seats: 0, panic: None }),
};

struct Team {
    /// Whether a caller has the team.
    engaged: AtomicBool,
    /// Whether there is a seat to be taken: what helpers look at without a lock.
    open: AtomicBool,
    /// Helpers that have a seat.
    working: AtomicUsize,
    /// Helpers that work or look out for work.
    helpers: AtomicUsize,
    piece: Mutex<Piece>,
}

struct Piece {
    work: Option<Work>,
    /// How many more helpers may come.
    seats: usize,
    /// What a helper panicked with.
    panic: Option<Box<dyn Any + Send>>,
}

/// The work, with the lifetime of its borrows forgotten.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn() + Sync));

// SAFETY: it points to something that is Sync.
unsafe impl Send for Work {}

/// Nothing panics while it holds this lock. Nothing is dropped under it either: a payload of a
/// panic may panic when dropped.
fn lock() -> MutexGuard<'static, Piece> {
    TEAM.piece.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a caller has the team, so that work begun now would be done alone.
pub(crate) fn is_engaged() -> bool {
    TEAM.engaged.load(Ordering::Relaxed)
}

/// Runs `work` on this thread and on up to `helpers` others at once. It returns
/// when `work` has returned everywhere it was begun; it may have been begun
/// here only.
///
/// # Panics
/// With what `work` panics with, here or on a helper.
pub(crate) fn run(helpers: usize, work: &(dyn Fn() + Sync)) {
    if TEAM.engaged.swap(true, Ordering::Acquire) {
        return work();
    }
    // SAFETY: only the lifetime changes. A helper reads the pointer under the
    // lock together with taking a seat. `Engagement` removes the pointer and
    // then waits until all seats are empty, before this function returns or
    // unwinds: no helper uses the work after its borrows end.
    let forgotten = unsafe {
        std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync + 'static)>(
            work,
        )
    };
    let engagement = Engagement;
    *lock() = Piece { work: Some(Work(forgotten)), seats: helpers, panic: None };
    TEAM.open.store(true, Ordering::Release);
    while TEAM.helpers.load(Ordering::Relaxed) < helpers {
        let helper = Helper::new();
        rayon::spawn(move || helper.help());
    }
    work();
    drop(engagement);
}

/// The caller's hold of the team; ends it when dropped.
struct Engagement;

impl Drop for Engagement {
    fn drop(&mut self) {
        TEAM.open.store(false, Ordering::Relaxed);
        lock().work = None; // from here on no one takes a seat
        let mut spins = 0u32;
        while TEAM.working.load(Ordering::Acquire) > 0 {
            spins += 1;
            if spins < 10_000 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now(); // the helper may be waiting for this processor
            }
        }
        let panic = lock().panic.take();
        TEAM.engaged.store(false, Ordering::Release);
        match panic {
            Some(panic) if std::thread::panicking() => std::mem::forget(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}

/// One of [`Team::helpers`], from when it is asked for until it has left, or was never made.
struct Helper;

impl Helper {
    fn new() -> Helper {
        TEAM.helpers.fetch_add(1, Ordering::Relaxed);
        Helper
    }

    /// Takes a seat wherever one is free, and leaves after a while without.
    fn help(self) {
        let begun = Instant::now();
        let mut idle_since = begun;
        while idle_since.duration_since(begun) < STAY {
            if TEAM.open.load(Ordering::Acquire)
                && let Some(Work(work)) = take_seat()
            {
                // SAFETY: with a seat taken, the work lives; see `run`.
                let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)() }));
                // Only one panic can go on. Others are leaked rather than dropped: a helper
                // that panicked here would not leave its seat.
                if let Err(panic) = result {
                    std::mem::forget(lock().panic.replace(panic));
                }
                TEAM.working.fetch_sub(1, Ordering::Release);
                idle_since = Instant::now();
            } else if idle_since.elapsed() > LINGER {
                break;
            } else {
                (0..32).for_each(|_| std::hint::spin_loop());
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        TEAM.helpers.fetch_sub(1, Ordering::Relaxed);
    }
}

fn take_seat() -> Option<Work> {
    let mut piece = lock();
    let work = piece.work?;
    piece.seats = piece.seats.checked_sub(1)?;
    if piece.seats == 0 {
        TEAM.open.store(false, Ordering::Relaxed);
    }
    TEAM.working.fetch_add(1, Ordering::Relaxed);
    Some(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_here_and_maybe_elsewhere() {
        for _ in 0..1000 {
            let begun = AtomicUsize::new(0);
            run(3, &|| {
                begun.fetch_add(1, Ordering::Relaxed);
            });
            assert!((1..=4).contains(&begun.into_inner()));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        for _ in 0..100 {
            assert!(catch_unwind(|| run(3, &|| panic!("on purpose"))).is_err());
        }
        run(3, &|| ());
    }

    #[test]
    fn payloads_that_panic_when_they_are_dropped_do_no_harm() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(std::thread::panicking(), "dropped on purpose");
            }
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        for _ in 0..20 {
            let (here, begun) = (Instant::now(), AtomicUsize::new(0));
            let result = pool.install(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    run(3, &|| {
                        begun.fetch_add(1, Ordering::Relaxed);
                        // Several panic, if the team is not engaged by another test.
                        while begun.load(Ordering::Relaxed) < 4 && here.elapsed() < STAY {
                            std::thread::yield_now();
                        }
                        std::panic::panic_any(Bomb)
                    });
                }))
            });
            std::mem::forget(result.unwrap_err());
        }
        assert!(catch_unwind(|| run(3, &|| panic!("on purpose"))).is_err());
    }

    #[test]
    fn many_callers_at_once_and_nested_do_all_their_work() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let left = AtomicUsize::new(10);
                        run(2, &|| {
                            let take = |n: usize| n.checked_sub(1);
                            while left
                                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                                .is_ok()
                            {
                                run(2, &|| ());
                                total.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 8 * 200 * 10);
    }
}
