//! Recording random draws, to repeat them.
//!
//! A [checkpointed](crate::checkpoint()) segment runs twice and must see the same random numbers,
//! while the generators that it draws from advance as if it had run once. So the first run records
//! on a tape the state before each draw. The second run draws from copies of these states, in the
//! same order, and touches no generator: it need not know which generator each draw came from.

use rand_chacha::ChaCha8Rng;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Draws in order, in runs: the state before the first draw of a run, and the number of draws.
#[derive(Default)]
pub(crate) struct DrawTape {
    runs: Vec<Run>,
}

struct Run {
    start: ChaCha8Rng,
    /// The state after the last draw.
    end: ChaCha8Rng,
    draws: usize,
}

/// A segment that this thread is in, and what it does with draws.
enum Segment {
    Recorded(DrawTape),
    Repeated { tape: Arc<DrawTape>, run: usize, rng: Option<Box<ChaCha8Rng>>, done: usize },
}

thread_local! {
    /// The outermost segment first.
    static SEGMENTS: RefCell<Vec<Segment>> = const { RefCell::new(Vec::new()) };
    /// The number of segments: all that a draw outside of segments reads.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Leaves the innermost segment when dropped, also on a panic.
struct Entered;

impl Entered {
    fn enter(segment: Segment) -> Entered {
        SEGMENTS.with_borrow_mut(|segments| segments.push(segment));
        DEPTH.set(DEPTH.get() + 1);
        Entered
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        SEGMENTS.with_borrow_mut(Vec::pop);
    }
}

/// Runs `f` and records its draws on this thread.
pub(crate) fn note<R>(f: impl FnOnce() -> R) -> (R, DrawTape) {
    let entered = Entered::enter(Segment::Recorded(DrawTape::default()));
    let result = f();
    let tape = SEGMENTS.with_borrow_mut(|segments| match segments.last_mut() {
        Some(Segment::Recorded(tape)) => std::mem::take(tape),
        _ => unreachable!("segments end in the reverse order of their start"),
    });
    drop(entered);
    (result, tape)
}

/// Runs `f` with the draws of the tape for its draws on this thread.
pub(crate) fn repeat<R>(tape: &Arc<DrawTape>, f: impl FnOnce() -> R) -> R {
    let tape = tape.clone();
    let _entered = Entered::enter(Segment::Repeated { tape, run: 0, rng: None, done: 0 });
    f()
}

/// Every draw from a generator goes through here. `f` makes one draw, without another draw inside.
#[inline]
pub(crate) fn draw<R>(rng: &mut ChaCha8Rng, f: impl FnOnce(&mut ChaCha8Rng) -> R) -> R {
    if DEPTH.get() == 0 { f(rng) } else { draw_in_segment(rng, f) }
}

#[cold]
fn draw_in_segment<R>(rng: &mut ChaCha8Rng, f: impl FnOnce(&mut ChaCha8Rng) -> R) -> R {
    SEGMENTS.with_borrow_mut(|segments| {
        // The innermost repetition supplies the numbers; recordings within it record them.
        let repeated = segments.iter().rposition(|s| matches!(s, Segment::Repeated { .. }));
        let (outside, inside) = segments.split_at_mut(repeated.map_or(0, |at| at + 1));
        let rng = outside.last_mut().map_or(rng, Segment::next);
        let start = rng.clone();
        let result = f(rng);
        for segment in inside {
            if let Segment::Recorded(tape) = segment {
                tape.push(&start, rng);
            }
        }
        result
    })
}

impl DrawTape {
    fn push(&mut self, start: &ChaCha8Rng, end: &ChaCha8Rng) {
        match self.runs.last_mut() {
            Some(run) if run.end == *start => {
                run.end = end.clone();
                run.draws += 1;
            }
            _ => self.runs.push(Run { start: start.clone(), end: end.clone(), draws: 1 }),
        }
    }
}

impl Segment {
    /// For a repetition: the state before the next draw.
    fn next(&mut self) -> &mut ChaCha8Rng {
        let Segment::Repeated { tape, run, rng, done } = self else {
            unreachable!("called for repetitions only")
        };
        if rng.is_some() && *done == tape.runs[*run].draws {
            (*run, *rng, *done) = (*run + 1, None, 0);
        }
        let Some(recorded) = tape.runs.get(*run) else {
            panic!(
                "checkpoint: the segment draws more random numbers in backward than it did in \
                 forward; it must do the same both times"
            )
        };
        *done += 1;
        rng.get_or_insert_with(|| Box::new(recorded.start.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    fn draws(a: &mut Generator, b: &mut Generator) -> Vec<u64> {
        let mut items = [1, 2, 3, 4, 5];
        let mut drawn = vec![a.next_u64(), b.normal().to_bits(), b.uniform().to_bits()];
        a.shuffle(&mut items);
        drawn.extend(items);
        drawn.extend([a.below(1000) as u64, a.fork().next_u64(), b.next_u64()]);
        let mut mask = [0.0f64; 8];
        a.bernoulli_mask(&mut mask, 0.5, 1.0);
        drawn.extend(mask.map(f64::to_bits));
        drawn
    }

    #[test]
    fn a_repetition_leaves_generators_alone() {
        let (mut a, mut b) = (Generator::seed(1), Generator::seed(2));
        let (first, tape) = note(|| draws(&mut a, &mut b));
        let tape = Arc::new(tape);
        let after = (a.clone().next_u64(), b.clone().next_u64());
        for _ in 0..2 {
            assert_eq!(repeat(&tape, || draws(&mut a, &mut b)), first);
        }
        assert_eq!((a.next_u64(), b.next_u64()), after);
        assert_ne!(draws(&mut a, &mut b), first);
    }

    #[test]
    fn draws_in_a_row_are_one_entry() {
        let mut rng = Generator::seed(1);
        let ((), tape) = note(|| (0..10_000).for_each(|_| _ = rng.normal()));
        assert_eq!(tape.runs.len(), 1);
    }

    #[test]
    fn segments_nest() {
        let mut rng = Generator::seed(1);
        let mut segment = || {
            let before = rng.next_u64();
            let (inner, tape) = note(|| rng.next_u64());
            ([before, inner, rng.next_u64()], Arc::new(tape))
        };
        let ((first, inner), outer) = note(&mut segment);
        let outer = Arc::new(outer);
        let (second, inner_again) = repeat(&outer, &mut segment);
        assert_eq!(first, second);
        for tape in [inner, inner_again] {
            assert_eq!(repeat(&tape, || rng.next_u64()), first[1]);
        }
        // An inner repetition takes precedence and does not advance the outer one.
        let within = repeat(&outer, || {
            let other = repeat(&outer, || [rng.next_u64(), rng.next_u64()]);
            (other, rng.next_u64())
        });
        assert_eq!(within, ([first[0], first[1]], first[0]));
    }

    #[test]
    #[should_panic(expected = "draws more random numbers in backward")]
    fn more_draws_than_before_are_refused() {
        let mut rng = Generator::seed(1);
        let (_, tape) = note(|| rng.next_u64());
        repeat(&Arc::new(tape), || [rng.next_u64(), rng.next_u64()]);
    }

    #[test]
    fn a_panic_ends_the_segment() {
        let panics = || std::panic::catch_unwind(|| note(|| panic!("on purpose"))).is_err();
        assert!(panics() && DEPTH.get() == 0);
    }
}
