//! Runs of several ranks.

use crate::training::{Training, logged, names, open, saved_steps, straight};
use adamant_optim::Optimizer;
use adamant_tensor::Stateful;
use adamant_train::{History, Run, RunConfig, RunError};
use adamant_transport::{Frame, Pending, Transport, run_threads};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A training whose optimizer keeps a part of its state on each rank.
fn shared(transport: &Arc<dyn Transport>) -> Training {
    let mut training = Training::new(8);
    training.adam.share(transport.clone());
    training
}

/// Trains on this number of ranks to `steps`, with a save at each fifth step.
fn train(folder: &Path, ranks: usize, resumed: Option<u64>, steps: u64) {
    run_threads(ranks, |transport| {
        let mut training = shared(&transport);
        let run = Run::open_on(folder, transport).unwrap().quiet().save_every_steps(5);
        let mut run = run.resume(&mut training).unwrap();
        assert_eq!((run.resumed(), run.folder()), (resumed, folder));
        assert_eq!(training.step, resumed.unwrap_or(0));
        training.train(&mut run, steps).unwrap();
    });
}

#[test]
fn a_run_resumes_with_another_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut resumed, path) = (None, folder.path());
    // 12: the steps after the last save are lost, and repeated.
    for (ranks, steps) in [(2, 12), (3, 20), (1, 25), (2, 32)] {
        train(path, ranks, resumed, steps);
        resumed = Some(steps / 5 * 5);
    }
    let states = run_threads(3, |transport| {
        let mut training = shared(&transport);
        let run = Run::open_on(path, transport.clone()).unwrap().quiet().resume(&mut training);
        let mut run = run.unwrap();
        training.train(&mut run, 40).unwrap();
        run.finish(40, &training).unwrap();
        // The checkpoint is on the disk before any rank returns.
        (Run::newest(path).unwrap(), training.model.state_dict())
    });
    let (state, log) = straight(40);
    for ((step, saved), model) in states {
        assert_eq!(step, 40);
        assert!(saved == state, "other bits");
        assert!(model == state.part("model"), "other bits");
    }
    assert_eq!(logged(path), log);
    assert_eq!(saved_steps(path), [5, 10, 15, 20, 25, 30, 40]);
    assert!(RunConfig::read(path).unwrap().sessions.last().unwrap().finished);
}

#[test]
fn only_rank_0_writes() {
    for ranks in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let path = |rank: usize| folder.path().join(rank.to_string());
        for _ in 0..2 {
            run_threads(ranks, |transport| {
                let (rank, mut training) = (transport.rank(), shared(&transport));
                let run = Run::open_on(path(rank), transport).unwrap().quiet().config("lr", 0.1);
                let mut run = run.total_steps(10).resume(&mut training).unwrap();
                training.train(&mut run, 10).unwrap();
                run.step_with_metric(10, 0.5, &training).unwrap();
                run.finish(10, &training).unwrap();
            });
        }
        assert_eq!(names(folder.path()), ["0"]);
        assert_eq!(saved_steps(&path(0)), [10, 10]);
        assert_eq!(History::read(path(0)).unwrap().rows.len(), 10);
        assert_eq!(RunConfig::read(path(0)).unwrap().sessions.len(), 2);
    }
}

#[test]
fn a_folder_in_use_is_an_error_on_all_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let _run = open(folder.path());
    let errors = run_threads(2, |transport| Run::open_on(folder.path(), transport).unwrap_err());
    let RunError::File(error) = &errors[0] else { panic!("{}", errors[0]) };
    assert_eq!(errors[1].to_string(), format!("rank 0: {error}"));
    assert!(matches!(errors[1], RunError::OtherRank { rank: 0, .. }));
}

#[test]
fn a_state_that_does_not_fit_on_one_rank_changes_nothing_on_any() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), 1, None, 7); // of two rows that are not saved
    let errors = run_threads(3, |transport| {
        let mut training = Training::new(if transport.rank() == 1 { 9 } else { 8 });
        let before = training.state_dict();
        let run = Run::open_on(folder.path(), transport).unwrap().quiet();
        let error = run.resume(&mut training).unwrap_err();
        assert!(training.state_dict() == before);
        error
    });
    assert!(matches!(errors[1], RunError::State { step: 5, .. }), "{}", errors[1]);
    for error in [&errors[0], &errors[2]] {
        assert_eq!(error.to_string(), format!("rank 1: {}", errors[1]));
    }
    assert_eq!(logged(folder.path()).len(), 7);
    assert_eq!(RunConfig::read(folder.path()).unwrap().sessions.len(), 1);
}

#[test]
fn a_failed_save_is_an_error_on_all_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let errors = run_threads(2, |transport| {
        let mut training = shared(&transport);
        let run = Run::open_on(&path, transport.clone()).unwrap().quiet();
        let mut run = run.resume(&mut training).unwrap();
        training.train(&mut run, 3).unwrap();
        if transport.rank() == 0 {
            fs::remove_dir_all(&path).unwrap();
        }
        run.finish(3, &training).unwrap_err()
    });
    assert!(matches!(errors[0], RunError::File(_)), "{}", errors[0]);
    assert_eq!(errors[1].to_string(), format!("rank 0: {}", errors[0]));
}

#[test]
fn a_rank_that_ends_ends_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let results = run_threads(3, |transport| {
        let (rank, mut training) = (transport.rank(), Training::new(8));
        let run = Run::open_on(folder.path(), transport).unwrap().quiet();
        let mut run = run.resume(&mut training).unwrap();
        training.train(&mut run, if rank == 2 { 5 } else { 10 })
    });
    assert!(results[2].is_ok());
    for result in &results[..2] {
        let Err(RunError::Transport(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.found, "rank 2 has ended");
    }
}

/// The only rank, which exchanges nothing.
struct Silent;

impl Transport for Silent {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn all_to_all(&self, _: Frame, _: &[usize], _: &[usize]) -> Pending {
        panic!("an exchange")
    }

    fn all_gather(&self, _: Frame, _: &[usize]) -> Pending {
        panic!("an exchange")
    }

    fn broadcast(&self, _: usize, _: Frame) -> Pending {
        panic!("an exchange")
    }
}

#[test]
fn a_run_of_one_rank_exchanges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for steps in [6, 12] {
        let mut training = Training::new(8);
        let run = Run::open_on(folder.path(), Arc::new(Silent)).unwrap().quiet();
        let mut run = run.save_every_steps(3).resume(&mut training).unwrap();
        training.train(&mut run, steps).unwrap();
        run.finish(steps, &training).unwrap();
    }
    assert!(Run::newest(folder.path()).unwrap().1 == straight(12).0, "other bits");
}
