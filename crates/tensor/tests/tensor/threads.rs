//! Many threads on shared parameters: no gradient is lost, and there is no deadlock.
//!
//! There cannot be a deadlock, because a lock of the tape is held only to move a value in or out or
//! for a loop over elements, and never while another lock of the tape is taken or a user's function
//! runs (except by `change_grad`). The tests exercise everything at once; gradients are small
//! integers, so sums are exact in any order.

use crate::watched::watched;
use adamant_tensor::{GradOptions, Parameter, Tensor, checkpoint, enable_grad, grad, no_grad};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const THREADS: usize = 8;
const ROUNDS: usize = 120;
/// Enough elements for a kernel to go parallel.
const LARGE: usize = (1 << 15) + 1;

/// The state that the threads share.
struct Shared {
    /// Gradients that are only added to: their totals are known.
    small: Parameter,
    large: Parameter,
    leaf: Tensor,
    /// Its gradient is reset repeatedly.
    zeroed: Parameter,
    /// Its value changes.
    moving: Parameter,
    hooked: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Shared> {
        let shared = Arc::new(Shared {
            small: Parameter::new(Tensor::ones([4])),
            large: Parameter::new(Tensor::ones([LARGE])),
            leaf: Tensor::ones([LARGE]).requires_grad(),
            zeroed: Parameter::new(Tensor::ones([LARGE])),
            moving: Parameter::new(Tensor::ones([4])),
            hooked: AtomicUsize::new(0),
        });
        let inner = Arc::downgrade(&shared);
        shared.leaf.register_hook(move |_| {
            inner.upgrade()?.hooked.fetch_add(1, Ordering::Relaxed);
            None
        });
        shared
    }

    /// One round of everything. Adds 7 to each element of the gradients that are only added to.
    fn round(&self, round: usize) {
        // Forward and backward through all three at once: adds 1 to each.
        let y = self.small.tensor().sum() + (self.large.tensor() + &self.leaf).sum();
        y.backward();

        // Two passes over one graph: adds 2 to each.
        let y = (self.large.tensor() * &self.leaf).sum() + self.small.tensor().sum() * 1.0;
        y.backward_retain_graph();
        y.backward();

        // Gradients that are returned as values change no `.grad`.
        let large = self.large.tensor();
        let y = (&large * &large).sum();
        let first = grad(&y, &[&large], GradOptions::default().create_graph(true));
        let second = grad(&first[0].sum(), &[&large], GradOptions::default());
        assert_eq!(second[0].to_vec(), vec![2.0; LARGE]);

        // Checkpointed segments, recomputed in backward: adds 4 to each.
        let (small, large, leaf) = (self.small.clone(), self.large.clone(), self.leaf.clone());
        let y =
            checkpoint(move || (large.tensor() * &leaf).sum() * 4.0 + small.tensor().sum() * 4.0);
        y.backward();

        // Values and gradients that other threads replace meanwhile.
        let value = self.moving.tensor();
        assert!(value.to_vec().iter().all(|x| *x == value.to_vec()[0]), "half of an update");
        self.moving.set_value(&Tensor::full([4], round as f32));
        (self.moving.tensor() * self.zeroed.tensor().sum()).sum().backward();
        match round % 2 {
            0 => self.zeroed.zero_grad(),
            _ => self.zeroed.zero_grad_in_place(),
        }
        match round % 3 {
            0 => self.moving.zero_grad(),
            _ => self.moving.zero_grad_in_place(),
        }
        assert!(no_grad(|| self.zeroed.tensor() * 2.0).to_vec().iter().all(|x| *x == 2.0));

        // This thread's own graph, updated in place.
        let own = Parameter::new(Tensor::<f32>::ones([LARGE]));
        (own.tensor() * 3.0).sum().backward();
        let step = own.grad().unwrap().to_vec();
        own.value_mut().iter_mut().zip(step).for_each(|(x, g)| *x -= g);
        assert!(own.tensor().to_vec().iter().all(|x| *x == -2.0));
    }

    fn check(&self, rounds: usize) {
        let total = (7 * rounds) as f32;
        assert_eq!(self.small.grad().unwrap().to_vec(), vec![total; 4]);
        assert_eq!(self.large.grad().unwrap().to_vec(), vec![total; LARGE]);
        assert_eq!(self.leaf.grad().unwrap().to_vec(), vec![total; LARGE]);
        assert_eq!(self.hooked.load(Ordering::Relaxed), 4 * rounds);
    }
}

#[test]
fn plain_threads_lose_nothing() {
    watched(|| {
        let shared = Shared::new();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..ROUNDS).for_each(|round| shared.round(round)));
            }
        });
        shared.check(THREADS * ROUNDS);
    });
}

#[test]
fn pool_tasks_lose_nothing() {
    watched(|| {
        let shared = Shared::new();
        rayon::scope(|scope| {
            for task in 0..THREADS {
                let shared = &shared;
                scope.spawn(move |scope| {
                    (0..ROUNDS / 2).for_each(|round| shared.round(round));
                    scope.spawn(move |_| {
                        (0..ROUNDS / 2).for_each(|round| shared.round(round + task));
                    });
                });
            }
        });
        shared.check(THREADS * ROUNDS);
    });
}

/// While a backward function waits for the pool, its thread may run any other task, including one
/// that uses the same parameters, in the middle of the waiting pass. (Recording is off in a
/// backward function and in tasks that run there, so these tasks turn it on.)
#[test]
fn a_waiting_backward_may_reenter() {
    fn waiting(shared: &Arc<Shared>, depth: usize) {
        let x = shared.small.tensor();
        let inner = shared.clone();
        let y = Tensor::custom("waiting", &[&x], x.detach(), move |g| {
            if depth > 0 {
                let both = || enable_grad(|| waiting(&inner, depth - 1));
                rayon::join(both, both);
            }
            vec![Some(g.clone())]
        });
        let inner = shared.clone();
        y.register_hook(move |_| {
            let task = || enable_grad(|| inner.large.tensor().sum().backward());
            rayon::join(task, task);
            None
        });
        y.sum().backward();
    }
    watched(|| {
        let shared = Shared::new();
        const DEPTH: usize = 3;
        rayon::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|_| enable_grad(|| waiting(&shared, DEPTH)));
            }
        });
        let passes = THREADS * ((1 << (DEPTH + 1)) - 1);
        assert_eq!(shared.small.grad().unwrap().to_vec(), vec![passes as f32; 4]);
        assert_eq!(shared.large.grad().unwrap().to_vec(), vec![(2 * passes) as f32; LARGE]);
    });
}

#[test]
fn many_threads_run_backward_on_one_graph() {
    watched(|| {
        let x = Tensor::<f64>::ones([LARGE]).requires_grad();
        let y = (&x * &x).sum(); // retained: each thread replays the same nodes
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..ROUNDS).for_each(|_| y.backward_retain_graph()));
            }
        });
        assert_eq!(x.grad().unwrap().to_vec(), vec![(2 * THREADS * ROUNDS) as f64; LARGE]);
    });
}
