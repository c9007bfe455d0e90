//! Trainings have the same bits on any number of ranks and threads.

mod trainings;

use adamant_optim::{Adam, Optimizer, ParamGroup, Sgd};
use adamant_parallel::run_threads;
use adamant_tensor::{StateDict, Stateful};
use trainings::{Cnn, Gpt, Mlp, Net, Recurrent, STEPS, SyncCnn, Training, adam, sgd};

/// What rank 0 has after step `until`, and the losses and norms of each step; continues `state`.
fn run<N: Net, O: Optimizer>(
    (ranks, threads): (usize, usize),
    optimizer: impl Fn(ParamGroup) -> O + Sync,
    until: u64,
    state: Option<&StateDict>,
) -> (StateDict, Vec<[u64; 2]>) {
    let mut trained = run_threads(ranks, |transport| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut training = Training::<N, O>::new(transport, &optimizer, STEPS);
            if let Some(state) = state {
                training.load_state_dict(state).unwrap();
            }
            let mut numbers = Vec::new();
            while training.step < until {
                numbers.push(training.step().map(f64::to_bits));
            }
            (training.state_dict(), numbers)
        })
    });
    for (state, numbers) in &trained {
        assert_eq!(*numbers, trained[0].1);
        assert!(state.part("net") == trained[0].0.part("net"), "models of {ranks} ranks");
    }
    trained.swap_remove(0)
}

fn assert_same<N: Net, O: Optimizer>(optimizer: impl Fn(ParamGroup) -> O + Sync) {
    let expected = run::<N, O>((1, 1), &optimizer, STEPS, None);
    for ranks in [1, 2, 3, 4, 8] {
        for threads in [1, 2, 3] {
            let found = run::<N, O>((ranks, threads), &optimizer, STEPS, None);
            assert!(found == expected, "{ranks} ranks of {threads} threads");
        }
    }
    // Saved by one number of ranks, continued by another.
    for (saved, resumed, step) in [(4, 3, 2), (3, 8, 4), (8, 1, 5), (1, 4, 3)] {
        let (state, numbers) = run::<N, O>((saved, 1), &optimizer, step, None);
        let rest = run::<N, O>((resumed, 2), &optimizer, STEPS, Some(&state));
        assert!(rest.0 == expected.0, "{saved} ranks, then {resumed}");
        assert_eq!([numbers, rest.1].concat(), expected.1);
    }
}

#[test]
fn a_perceptron_with_missing_gradients() {
    assert_same::<Mlp, Adam>(adam);
}

#[test]
fn a_perceptron_under_sgd() {
    assert_same::<Mlp, Sgd>(sgd);
}

#[test]
fn a_convolutional_net_with_batch_norm_and_dropout() {
    assert_same::<Cnn, Adam>(adam);
}

#[test]
fn a_convolutional_net_with_sync_batch_norm_and_dropout() {
    assert_same::<SyncCnn, Adam>(adam);
}

/// Shards that are synchronized use the global pool, whose number of threads is that of a process.
#[test]
fn sync_batch_norm_on_threads_of_the_global_pool() {
    const TEST: &str = "sync_batch_norm_on_threads_of_the_global_pool";
    const CHILD: &str = "ADAMANT_TEST_RANKS";
    if let Ok(ranks) = std::env::var(CHILD) {
        let (_, losses) = run::<SyncCnn, Adam>((ranks.parse().unwrap(), 1), adam, STEPS, None);
        return println!("losses {losses:?}");
    }
    let (_, losses) = run::<SyncCnn, Adam>((1, 1), adam, STEPS, None);
    for (ranks, threads) in [("1", "1"), ("2", "1"), ("1", "3"), ("2", "3")] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--nocapture", "--exact", TEST]).env(CHILD, ranks);
        let output = child.env("RAYON_NUM_THREADS", threads).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("losses {losses:?}")), "{threads} threads: {text}");
    }
}

#[test]
fn a_recurrent_net() {
    assert_same::<Recurrent, Adam>(adam);
}

#[test]
fn a_small_gpt() {
    assert_same::<Gpt, Adam>(adam);
}
