//! Activation checkpointing: segments that are recomputed in the backward pass to save memory.

use crate::state::draw_tape;
use crate::tape::backward::Seed;
use crate::tape::collect::{CollectOptions, collect_gradients};
use crate::tape::context::Context;
use crate::tape::mode::{enable_grad, is_pass_recorded};
use crate::tape::node::{Gradients, Graph, Kind, Node, Operation, Recorded, next_sequence};
use crate::tape::record::record_node;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Runs `segment` without keeping its saved values; the backward pass runs it again to recompute
/// them.
///
/// The value and the gradients, to any order, are those of the plain call. A model that is split
/// into `n` segments holds `n` results and the saved values of one segment at a time. The closure
/// owns what it uses: clones of tensors and parameters, which are handles, or a model in an `Arc`.
/// Gradients flow to everything it uses that was tracked before. A pass that the segment runs over
/// its own operations, such as [`grad`](crate::grad()), must retain the graph if the result depends
/// on them.
///
/// The second run must compute the same as the first:
///
/// * Random numbers repeat: every [`Generator`](crate::Generator) used on this thread yields what
///   it yielded in the first run, so dropout drops the same elements. The states of the generators
///   do not change.
/// * Parameters are read again, so they must not change between forward and backward.
/// * The second run must not use tracked results that the first run has kept. A leaf or a parameter
///   that the first run has created is not a result.
/// * Side effects, such as counting and printing, happen twice.
///
/// While the segment waits for rayon's pool, this thread may run an unrelated task. In the first
/// run, the random numbers that the task draws count as the segment's; in the second, the task gets
/// the segment's numbers, and records its operations unless it begins with
/// [`no_grad`](crate::no_grad). So a segment must not wait for the pool while tasks that draw random
/// numbers run there.
///
/// If recording is off, or the segment uses nothing tracked, this is the plain call `segment()`.
///
/// PyTorch: `torch.utils.checkpoint.checkpoint(function, *args)`.
///
/// # Panics
/// If the result depends on operations of the segment whose graph it has freed. In the backward
/// pass, if the second run returns another shape, draws more random numbers, or uses a tracked
/// tensor that the first did not use.
///
/// ```
/// use adamant_tensor::{Tensor, checkpoint};
/// let x = Tensor::from_vec(vec![0.5f64, 2.0], [2]).unwrap().requires_grad();
/// let input = x.clone();
/// let y = checkpoint(move || (&input * &input).tanh());
/// y.sum().backward();
/// let plain = x.detach().requires_grad();
/// (&plain * &plain).tanh().sum().backward();
/// assert_eq!(x.grad().unwrap().to_vec(), plain.grad().unwrap().to_vec());
/// ```
#[must_use]
#[track_caller]
pub fn checkpoint<T: Float>(segment: impl Fn() -> Tensor<T> + Send + Sync + 'static) -> Tensor<T> {
    if !crate::is_grad_enabled() {
        return segment();
    }
    let begin = next_sequence();
    let (first, draws) = draw_tape::note(&segment);
    let entrances = match &first.node {
        Some(node) if operation_of_segment(node, begin).is_some() => find_entrances(node, begin),
        _ => return first, // nothing was recorded
    };
    let known: BTreeSet<u64> = entrances.iter().map(|node| node.sequence).collect();
    let draws = Arc::new(draws);
    let rerun = move |ctx: &Context<'_, T>| {
        let begin = next_sequence();
        let output = draw_tape::repeat(&draws, || enable_grad(&segment));
        gradients(ctx, output, begin, &known)
    };
    let parents = entrances.into_iter().map(Some).collect();
    record_node("checkpoint", first.array, Recorded::Formula { parents, backward: Arc::new(rerun) })
}

/// The node's operation, if it belongs to the segment whose first sequence number is `begin`. A leaf
/// does not, even a new one: a lazily created parameter is created in the segment.
fn operation_of_segment<T: Float>(node: &Node<T>, begin: u64) -> Option<&Operation<T>> {
    match &node.kind {
        Kind::Operation(operation) if node.sequence >= begin => Some(operation),
        _ => None,
    }
}

/// The nodes outside the segment that its operations use as inputs.
#[track_caller]
fn find_entrances<T: Float>(output: &Arc<Node<T>>, begin: u64) -> Vec<Arc<Node<T>>> {
    let (mut seen, mut entrances) = (BTreeSet::new(), BTreeMap::new());
    let mut to_visit = vec![output.clone()];
    while let Some(node) = to_visit.pop() {
        let Some(Operation { name, location, .. }) = operation_of_segment(&node, begin) else {
            entrances.insert(node.sequence, node);
            continue;
        };
        if seen.insert(node.sequence) {
            let Some(parents) = node.parents() else {
                panic!(
                    "checkpoint: the segment has freed its own graph at `{name}` ({location}); \
                     a pass inside it must retain the graph"
                )
            };
            to_visit.extend(parents);
        }
    }
    entrances.into_values().collect()
}

/// The gradients of the entrances that the first run found, from the graph of the second run, whose
/// first sequence number is `begin`. `known` are the numbers of all these entrances; the parents in
/// `ctx` are only those that need a gradient.
#[track_caller]
fn gradients<T: Float>(
    ctx: &Context<'_, T>,
    output: Tensor<T>,
    begin: u64,
    known: &BTreeSet<u64>,
) -> Gradients<T> {
    let (found, expected) = (output.array.shape(), ctx.grad().array.shape());
    assert!(
        found == expected,
        "checkpoint: the segment returned shape {found} in backward; expected shape {expected}, as \
         in forward"
    );
    let wanted = || ctx.parents().iter().map(|parent| parent.as_ref().map(|node| node.sequence));
    let Some(node) = output.node else { return wanted().map(|_| None).collect() };
    for entrance in find_entrances(&node, begin) {
        let is_new_leaf = entrance.sequence >= begin; // no path leads on from it
        assert!(
            is_new_leaf || known.contains(&entrance.sequence),
            "checkpoint: the segment uses a tracked tensor in backward that it did not use in \
             forward"
        );
    }
    // The graph of the second run is used once. If the outer pass is recorded, so is this one. It
    // stops at the entrances, from which the outer pass continues.
    let graph = if is_pass_recorded() { Graph::Record } else { Graph::Free };
    let seeds = vec![Seed { node, grad: ctx.grad().clone() }];
    let options = CollectOptions { graph, since: begin };
    let mut found = collect_gradients(seeds, wanted().flatten(), options);
    wanted().map(|sequence| found.remove(&sequence?).flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;
    use crate::{Generator, GradOptions, Parameter, grad, gradcheck, gradgradcheck, no_grad};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn leaf(values: &[f64]) -> Tensor<f64> {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap().requires_grad()
    }

    #[test]
    fn first_and_second_derivatives_are_right() {
        check_op(
            |x| {
                let (a, b) = (x[0].clone(), x[1].clone());
                checkpoint(move || (&a * &b).tanh() * &a)
            },
            &[&[2, 3], &[3]],
            -2.0..2.0,
        );
        // Nested segments that both use tensors from outside, and an output that is used twice.
        check_op(
            |x| {
                let h = &x[0] * &x[0];
                let input = x[0].clone();
                let y = checkpoint(move || {
                    let inner = &h * &input;
                    let (h, captured) = (h.clone(), inner.clone());
                    checkpoint(move || (&captured * &h).tanh()) * inner
                });
                &y * &y
            },
            &[&[2, 2]],
            -1.0..1.0,
        );
    }

    #[test]
    fn inner_and_outer_uses_of_an_entrance_add_up() {
        let x = leaf(&[3.0]);
        let h = &x * &x; // outside; the segment also uses x itself
        let (a, b) = (h.clone(), x.clone());
        let y = checkpoint(move || &a * &b); // x³
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        h.register_hook(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            None
        });
        (&y + &h).sum().backward();
        assert_eq!(x.grad().unwrap().item(), 33.0); // 3x² + 2x
        assert_eq!(calls.load(Ordering::Relaxed), 1); // with the complete gradient
    }

    #[test]
    fn grad_works_through_a_segment() {
        let (x, w) = (leaf(&[3.0]), leaf(&[2.0]));
        let h = &x * 2.0;
        let (a, b) = (h.clone(), w.clone());
        let y = checkpoint(move || &a * &a * &b).sum();
        let options = GradOptions::default().retain_graph(true);
        assert_eq!(grad(&y, &[&h], options)[0].item(), 24.0); // 2 h w
        assert_eq!(grad(&y, &[&x], options)[0].item(), 48.0);
        assert_eq!(grad(&y, &[&w], options)[0].item(), 36.0);
        y.backward();
        assert_eq!(x.grad().unwrap().item(), 48.0);
    }

    #[test]
    #[should_panic(expected = "the graph of `checkpoint`")]
    fn a_second_pass_requires_a_retained_graph() {
        let x = leaf(&[3.0]);
        let y = checkpoint(move || &x * &x);
        (&y * 1.0).sum().backward();
        (&y * 2.0).sum().backward();
    }

    #[test]
    fn a_segment_runs_twice_and_holds_nothing_between() {
        let w = Parameter::new(Tensor::<f64>::ones([1000]));
        let runs = Arc::new(AtomicUsize::new(0));
        let (weight, count) = (w.clone(), runs.clone());
        let tape_length = |y: &Tensor<f64>| crate::graph_to_dot(y).matches("label").count();
        let y = checkpoint(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let x = weight.tensor();
            (0..10).fold(x.clone(), |y, _| (&y * &x).tanh())
        });
        assert_eq!((runs.load(Ordering::Relaxed), tape_length(&y)), (1, 2));
        y.sum().backward();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        assert!(w.grad().is_some());
    }

    #[test]
    fn random_numbers_repeat_and_generators_do_not_move() {
        let run = |checkpointed: bool| {
            let rng = Arc::new(Mutex::new(Generator::seed(5)));
            let x = leaf(&[1.0, 2.0, 3.0]);
            let (input, shared) = (x.clone(), rng.clone());
            let segment = move || {
                let noise = |n: usize| Tensor::randn([n], &mut shared.lock().unwrap());
                (&input * noise(3)).tanh() * noise(3) + noise(1)
            };
            let y = if checkpointed { checkpoint(segment) } else { segment() };
            let between = rng.lock().unwrap().next_u64();
            y.sum().backward();
            let after = rng.lock().unwrap().next_u64();
            (y.to_vec(), x.grad().unwrap().to_vec(), between, after)
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn nested_segments_repeat_random_numbers() {
        let run = |depth: usize| {
            let rng = Arc::new(Mutex::new(Generator::seed(5)));
            let x = leaf(&[1.0, 2.0, 3.0]);
            let y = nested(depth, x.clone(), rng.clone());
            y.sum().backward();
            let after = rng.lock().unwrap().next_u64();
            (y.to_vec(), x.grad().unwrap().to_vec(), after)
        };
        fn nested(depth: usize, x: Tensor<f64>, rng: Arc<Mutex<Generator>>) -> Tensor<f64> {
            let noise = |n: usize| Tensor::randn([n], &mut rng.lock().unwrap());
            let step = |x: &Tensor<f64>| (x * noise(3)).tanh();
            match depth {
                0 => step(&step(&step(&x))),
                1 => {
                    let (x, shared) = (step(&x), rng.clone());
                    let y = checkpoint(move || {
                        (&x * Tensor::randn([3], &mut shared.lock().unwrap())).tanh()
                    });
                    step(&y)
                }
                _ => checkpoint(move || nested(1, x.clone(), rng.clone())),
            }
        }
        assert_eq!(run(1), run(0));
        assert_eq!(run(2), run(0));
    }

    #[test]
    fn without_recording_it_is_the_plain_call() {
        let x = leaf(&[3.0]);
        let inner = x.clone();
        assert!(!no_grad(|| checkpoint(move || &inner * 2.0)).is_tracked());
        assert!(!checkpoint(|| Tensor::<f32>::ones([2])).is_tracked());
        let inner = x.clone();
        let same = checkpoint(move || inner.clone());
        same.sum().backward();
        assert_eq!(x.grad().unwrap().item(), 1.0);
    }

    #[test]
    fn a_leaf_created_in_the_segment_gets_its_gradient() {
        let kept = Arc::new(std::sync::OnceLock::new());
        let lazy = kept.clone();
        checkpoint(move || {
            let w = lazy.get_or_init(|| Parameter::new(Tensor::<f64>::ones([2])));
            w.tensor() * 3.0
        })
        .sum()
        .backward();
        assert_eq!(kept.get().unwrap().grad().unwrap().to_vec(), [3.0, 3.0]);
        let x = leaf(&[2.0]);
        let inner = x.clone();
        checkpoint(move || &inner * leaf(&[5.0])).backward(); // a new leaf in each run
        assert_eq!(x.grad().unwrap().item(), 5.0);
    }

    #[test]
    #[should_panic(expected = "checkpoint: the segment has freed its own graph at `mul` (")]
    fn a_segment_may_not_free_its_own_graph() {
        let x = leaf(&[2.0]);
        let _ = checkpoint(move || {
            let h = &x * &x;
            let _ = grad(&h.sum(), &[&x], GradOptions::default());
            &h * 2.0
        });
    }

    #[test]
    fn a_segment_may_use_its_own_graph_twice() {
        let x = leaf(&[2.0]);
        let input = x.clone();
        let y = checkpoint(move || {
            let h = &input * &input;
            let first = grad(&h.sum(), &[&input], GradOptions::default().retain_graph(true));
            h * &first[0]
        });
        y.sum().backward();
        assert_eq!(x.grad().unwrap().item(), 16.0); // 2x · 4, where 4 is not differentiated
    }

    #[test]
    #[should_panic(expected = "checkpoint: the segment uses a tracked tensor in backward that it \
                               did not use in forward")]
    fn a_result_cached_in_the_first_run_is_rejected() {
        let (x, w) = (leaf(&[2.0]), Parameter::new(Tensor::<f64>::ones([1])));
        let cache = std::sync::OnceLock::new();
        checkpoint(move || cache.get_or_init(|| w.tensor() * 3.0) * &x).sum().backward();
    }

    #[test]
    #[should_panic(expected = "returned shape [2] in backward; expected shape [1], as in forward")]
    fn another_shape_in_the_second_run_is_rejected() {
        let x = leaf(&[3.0]);
        let runs = AtomicUsize::new(0);
        checkpoint(move || x.broadcast_to([runs.fetch_add(1, Ordering::Relaxed) + 1]) * 2.0)
            .sum()
            .backward();
    }

    #[test]
    fn a_long_chain_of_segments_fits_a_small_stack() {
        let chain = || {
            let x = leaf(&[1.0]);
            let mut y = x.clone();
            for _ in 0..50_000 {
                let input = y.clone();
                y = checkpoint(move || &input + 1.0);
            }
            y.sum().backward_retain_graph();
            drop(y);
            x.grad().unwrap().item()
        };
        let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(chain).unwrap();
        assert_eq!(thread.join().unwrap(), 1.0);
    }

    #[test]
    fn checkpoints_work_after_a_panic_in_a_segment() {
        let panics = || {
            let _ = checkpoint(|| -> Tensor<f32> { panic!("on purpose") });
        };
        assert!(std::panic::catch_unwind(panics).is_err());
        let x = Tensor::from_vec(vec![0.3], [1]).unwrap();
        let f = |x: &[Tensor<f64>]| {
            let x = x[0].clone();
            checkpoint(move || x.exp())
        };
        gradcheck(f, std::slice::from_ref(&x)).unwrap();
        gradgradcheck(f, &[x]).unwrap();
    }
}
