//! Helper threads that are ready at once, for one piece of work at a time.
//!
//! Rayon's threads sleep soon after their last job, and waking one costs more than many kernels
//! take: 5 µs on bare metal, 50 µs on a virtual machine. So a helper, which is a job on rayon's
//! pool, lingers for a moment after its work and polls for more: a training loop has a new piece
//! every few microseconds.
//!
//! The caller starts at once and waits only for helpers that have joined, never for a thread that
//! sleeps or is busy, so nothing can deadlock. The team serves one caller at a time. A caller that
//! finds it engaged, perhaps by its own outer call, does its work alone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a helper polls for the next piece of work.
const LINGER: Duration = Duration::from_micros(200);
/// How long it stays in total: the pool may need its thread for something else.
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
    /// Whether a seat is free; polled without the lock.
    open: AtomicBool,
    /// Helpers that have a seat.
    working: AtomicUsize,
    /// Helpers that work or poll for work.
    helpers: AtomicUsize,
    piece: Mutex<Piece>,
}

struct Piece {
    work: Option<Work>,
    /// How many more helpers may join.
    seats: usize,
    /// The payload of a helper's panic.
    panic: Option<Box<dyn Any + Send>>,
}

/// The work, with the lifetime of its borrows erased.
#[derive(Clone, Copy)]
struct Work(*const (dyn Fn() + Sync));

// SAFETY: the pointee is Sync.
unsafe impl Send for Work {}

/// No code that holds this lock can panic. In particular, no panic payload is dropped under it:
/// its `Drop` may panic.
fn lock() -> MutexGuard<'static, Piece> {
    TEAM.piece.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a caller has the team, so that work started now would run on one thread.
pub(crate) fn is_engaged() -> bool {
    TEAM.engaged.load(Ordering::Relaxed)
}

/// Runs `work` on this thread and on up to `helpers` others at the same time, perhaps on none.
/// Returns when every call of `work` has returned.
///
/// # Panics
/// If `work` panics, here or on a helper, with the same payload.
pub(crate) fn run(helpers: usize, work: &(dyn Fn() + Sync)) {
    if TEAM.engaged.swap(true, Ordering::Acquire) {
        return work();
    }
    // SAFETY: only the lifetime changes. A helper reads the pointer and takes a seat under one
    // lock. Before this function returns or unwinds, `Engagement` removes the pointer and waits
    // until all seats are empty, so no helper uses the work after its borrows end.
    let erased = unsafe {
        std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync + 'static)>(
            work,
        )
    };
    let engagement = Engagement;
    *lock() = Piece { work: Some(Work(erased)), seats: helpers, panic: None };
    TEAM.open.store(true, Ordering::Release);
    while TEAM.helpers.load(Ordering::Relaxed) < helpers {
        let helper = Helper::new();
        rayon::spawn(move || helper.help());
    }
    work();
    drop(engagement);
}

/// The caller's hold on the team, until it is dropped.
struct Engagement;

impl Drop for Engagement {
    fn drop(&mut self) {
        TEAM.open.store(false, Ordering::Relaxed);
        lock().work = None; // from here on, no helper takes a seat
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

/// Counts as one of [`Team::helpers`] until it is dropped, even if `rayon::spawn` panics.
struct Helper;

impl Helper {
    fn new() -> Helper {
        TEAM.helpers.fetch_add(1, Ordering::Relaxed);
        Helper
    }

    /// Works whenever a seat is free; leaves after [`LINGER`] without work, or after [`STAY`].
    fn help(self) {
        let begun = Instant::now();
        let mut idle_since = begun;
        while idle_since.duration_since(begun) < STAY {
            if TEAM.open.load(Ordering::Acquire)
                && let Some(Work(work)) = take_seat()
            {
                // SAFETY: the work outlives every taken seat; see `run`.
                let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)() }));
                // Only one panic reaches the caller. Other payloads are leaked, not dropped: if a
                // drop panicked here, the helper would never leave its seat.
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
    fn work_runs_here_and_on_at_most_all_helpers() {
        for _ in 0..1000 {
            let begun = AtomicUsize::new(0);
            run(3, &|| {
                begun.fetch_add(1, Ordering::Relaxed);
            });
            assert!((1..=4).contains(&begun.into_inner()));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_survives() {
        for _ in 0..100 {
            assert!(catch_unwind(|| run(3, &|| panic!("on purpose"))).is_err());
        }
        run(3, &|| ());
    }

    #[test]
    fn a_payload_whose_drop_panics_is_harmless() {
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
                        // Several panic, unless another test has engaged the team.
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
    fn concurrent_and_nested_callers_finish_their_work() {
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
