//! The files of a run, and what a run returns from them.

use crate::training::{Training, logged, names, open, saved_steps, straight};
use adamant_tensor::Stateful;
use adamant_train::{History, Run, RunConfig, RunError};
use std::fs;
use std::path::Path;

/// Trains to `steps` and stops there without a last save, as if killed.
fn part(folder: &Path, steps: u64) {
    let mut training = Training::new(8);
    let mut run = open(folder).save_every_steps(10).resume(&mut training).unwrap();
    training.train(&mut run, steps).unwrap();
}

#[test]
fn a_resumed_run_ends_as_the_straight_one() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), 25);
    assert_eq!(logged(folder.path()).len(), 25);
    let mut training = Training::new(8);
    let mut run = open(folder.path()).resume(&mut training).unwrap();
    assert_eq!((run.resumed(), training.step), (Some(20), 20));
    assert_eq!(logged(folder.path()).len(), 20);
    training.train(&mut run, 50).unwrap();
    run.finish(50, &training).unwrap();
    let (state, log) = straight(50);
    assert!(training.state_dict() == state, "other bits");
    assert_eq!(logged(folder.path()), log);
}

#[test]
fn a_run_that_saved_nothing_starts_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), 5);
    let mut training = Training::new(8);
    let run = open(folder.path()).resume(&mut training).unwrap();
    assert_eq!((run.resumed(), training.step), (None, 0));
    assert!(logged(folder.path()).is_empty());
}

#[test]
fn a_state_is_not_saved_twice() {
    let folder = tempfile::tempdir().unwrap();
    for starts in 1..=3 {
        let mut training = Training::new(8);
        let run = open(folder.path()).save_every_steps(5).resume(&mut training);
        let mut run = run.unwrap();
        training.train(&mut run, 5).unwrap();
        run.finish(training.step, &training).unwrap();
        assert_eq!(saved_steps(folder.path()), [5]);
        assert_eq!(logged(folder.path()).len(), 5);
        let sessions = RunConfig::read(folder.path()).unwrap().sessions;
        assert_eq!(sessions.len(), starts);
    }
    // What has changed after the last step is saved.
    let mut training = Training::new(8);
    let run = open(folder.path()).resume(&mut training).unwrap();
    training.rng = adamant_tensor::Generator::seed(99);
    run.finish(5, &training).unwrap();
    assert_eq!(saved_steps(folder.path()), [5, 5]);
    assert_eq!(Run::newest(folder.path()).unwrap(), (5, training.state_dict()));
}

#[test]
fn the_best_state_is_kept_and_returned() {
    let folder = tempfile::tempdir().unwrap();
    let mut training = Training::new(8);
    let run = open(folder.path()).keep_last(1).keep_highest();
    let mut run = run.resume(&mut training).unwrap();
    let mut states = Vec::new();
    for (step, metric) in (1..).zip([0.5, 0.9, f64::NAN, 0.7]) {
        training.advance();
        run.step_with_metric(step, metric, &training).unwrap();
        states.push((step, training.state_dict()));
    }
    run.finish(4, &training).unwrap();
    assert_eq!(saved_steps(folder.path()), [2, 4]);
    assert_eq!(Run::highest(folder.path()).unwrap(), states[1]);
    assert_eq!(Run::lowest(folder.path()).unwrap(), states[3]);
    assert_eq!(Run::newest(folder.path()).unwrap(), states[3]);
}

#[test]
fn reading_a_state_neither_locks_nor_writes() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let error = Run::newest(&folder).unwrap_err().to_string();
    assert!(error.contains("No such file or directory"), "{error}");
    assert!(!folder.exists());
    fs::create_dir(&folder).unwrap();
    let error = Run::newest(&folder).unwrap_err().to_string();
    assert!(error.contains("found a folder without checkpoints, expected"), "{error}");
    assert_eq!(names(&folder), [""; 0]);
    let mut training = Training::new(8);
    let mut run = open(&folder).save_every_steps(5).resume(&mut training).unwrap();
    training.train(&mut run, 5).unwrap();
    let state = training.state_dict();
    training.train(&mut run, 10).unwrap(); // the first save is on the disk
    drop(run);
    let _run = open(&folder).resume(&mut training).unwrap();
    let before = files(&folder);
    assert_eq!(Run::newest(&folder).unwrap(), (10, training.state_dict()));
    fs::remove_file(folder.join("000001-step-10.ckpt")).unwrap();
    assert_eq!(Run::newest(&folder).unwrap(), (5, state));
    let error = Run::lowest(&folder).unwrap_err().to_string();
    assert!(error.contains("found no checkpoint with a metric, expected"), "{error}");
    assert_eq!(files(&folder).len(), before.len() - 1);
}

/// A loop that logs at its head, before the step, as `Training::train` logs at its end; and a row
/// after the loop. Stops without a last save at `stop`.
fn log_at_head(folder: &Path, steps: u64, stop: u64) {
    let mut training = Training::new(8);
    let mut run = open(folder).save_every_steps(10).resume(&mut training).unwrap();
    while training.step < steps {
        run.log(training.step, &[("position", training.step as f64)]);
        if training.step == stop {
            return;
        }
        training.advance();
        run.step(training.step, &training).unwrap();
    }
    run.log(training.step, &[("test", 1.0)]);
    run.finish(training.step, &training).unwrap();
}

#[test]
fn a_resumed_log_is_the_straight_one_wherever_the_loop_logs() {
    let folder = tempfile::tempdir().unwrap();
    log_at_head(folder.path(), 35, u64::MAX);
    let straight = logged(folder.path());
    assert_eq!(straight.len(), 36);
    for stop in [0, 7, 10, 11, 20, 34] {
        let folder = tempfile::tempdir().unwrap();
        log_at_head(folder.path(), 35, stop);
        log_at_head(folder.path(), 35, u64::MAX);
        assert_eq!(logged(folder.path()), straight, "{stop}");
        log_at_head(folder.path(), 35, u64::MAX); // already complete
        assert_eq!(logged(folder.path()), straight, "{stop}");
        log_at_head(folder.path(), 40, 37); // longer
        log_at_head(folder.path(), 40, u64::MAX);
        let steps = logged(folder.path()).into_iter().map(|(step, _)| step);
        assert_eq!(steps.collect::<Vec<_>>(), (0..=40).collect::<Vec<_>>(), "{stop}");
    }
}

#[test]
fn a_program_that_reports_no_steps_keeps_its_log() {
    let folder = tempfile::tempdir().unwrap();
    for (start, expected) in [(0, 3), (3, 3), (3, 5), (5, 5)] {
        let mut training = Training::new(8);
        let mut run = open(folder.path()).resume(&mut training).unwrap();
        assert_eq!((training.step, logged(folder.path()).len() as u64), (start, start));
        while training.step < expected {
            let loss = training.advance();
            run.log(training.step, &[("loss", loss)]);
        }
        run.finish(training.step, &training).unwrap();
        assert_eq!(logged(folder.path()).len() as u64, expected);
    }
}

#[test]
fn a_finished_run_is_finished_until_it_performs_a_further_step() {
    let folder = tempfile::tempdir().unwrap();
    let finished = || RunConfig::read(folder.path()).unwrap().sessions.last().unwrap().finished;
    let start = |training: &mut Training| open(folder.path()).resume(training).unwrap();
    let mut training = Training::new(8);
    let mut run = start(&mut training);
    training.train(&mut run, 5).unwrap();
    assert!(!finished());
    run.finish(5, &training).unwrap();
    assert!(finished());
    let mut run = start(&mut training);
    assert!(finished());
    training.train(&mut run, 6).unwrap();
    assert!(!finished());
    // A configuration that cannot be written is a warning, after everything else is saved.
    fs::remove_file(folder.path().join("config.json")).unwrap();
    fs::create_dir(folder.path().join("config.json")).unwrap();
    run.finish(6, &training).unwrap();
    assert_eq!(Run::newest(folder.path()).unwrap().0, 6);
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), 15);
    let before: Vec<_> = files(folder.path());
    let mut training = Training::new(9);
    let state = training.state_dict();
    let error = open(folder.path()).resume(&mut training).unwrap_err();
    assert!(matches!(error, RunError::State { step: 10, .. }), "{error}");
    let path = folder.path().display();
    let expected =
        format!("{path}, step 10: the state does not fit; nothing was changed:\n  `model.");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(training.state_dict() == state);
    assert_eq!(files(folder.path()), before);
}

/// The names and contents of a folder's files.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| (name.clone(), fs::read(folder.join(name)).unwrap());
    names(folder).into_iter().map(read).collect()
}

#[test]
fn a_checkpoint_of_another_program_is_refused() {
    use adamant_checkpoint::{Checkpoint, CheckpointManager};
    let folder = tempfile::tempdir().unwrap();
    let mut manager = CheckpointManager::new(folder.path()).unwrap();
    manager.save(1, Checkpoint::new().with("model", &Training::new(2).model)).unwrap();
    manager.finish().unwrap();
    drop(manager);
    let error = open(folder.path()).resume(&mut Training::new(2)).unwrap_err().to_string();
    let expected = "found a checkpoint of the parts [\"model\"] and the notes [], expected one of a run, with the part `training` and the note `rows logged`";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn damage_leads_to_the_checkpoint_before_and_cuts_the_log() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), 35);
    let newest = folder.path().join("000002-step-30.ckpt");
    fs::write(&newest, &fs::read(&newest).unwrap()[..200]).unwrap();
    let mut training = Training::new(8);
    let run = open(folder.path()).resume(&mut training).unwrap();
    assert_eq!((run.resumed(), training.step), (Some(20), 20));
    assert_eq!(logged(folder.path()).len(), 20);
}

#[test]
fn a_clock_that_was_set_back_leaves_times_in_order() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), 10);
    // As if the log had been written a century later.
    let metrics = folder.path().join("metrics.jsonl");
    let mut rows = History::read(folder.path()).unwrap().rows;
    let late = rows.last().unwrap().time + 3.2e9;
    rows.last_mut().unwrap().time = late;
    let line = |row: &adamant_train::Row| {
        format!("{{\"step\":{},\"time\":{},\"loss\":1.0}}\n", row.step, row.time)
    };
    fs::write(&metrics, rows.iter().map(line).collect::<String>()).unwrap();
    part(folder.path(), 20);
    let rows = History::read(folder.path()).unwrap().rows;
    assert_eq!(rows.len(), 20);
    assert!(rows.is_sorted_by(|a, b| a.time <= b.time));
    assert!((late..late + 60.0).contains(&rows[19].time));
    let events = names(folder.path()).into_iter().filter(|name| name.contains("tfevents"));
    let events: Vec<String> = events.collect();
    let expected = format!("events.out.tfevents.{}.", late as u64);
    assert!(events.len() == 2 && events[1].starts_with(&expected), "{events:?}");
}

#[test]
fn the_configuration_is_kept_for_each_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut training = Training::new(8);
    let start = |lr: f64, training: &mut Training| {
        let folder = open(folder.path()).config("lr", lr).config("net", "linear").version("1.2.3");
        folder.resume(training).unwrap()
    };
    let mut run = start(0.1, &mut training);
    training.train(&mut run, 3).unwrap();
    run.finish(3, &training).unwrap();
    drop(start(0.2, &mut training));
    let sessions = RunConfig::read(folder.path()).unwrap().sessions;
    let lr: Vec<&str> = sessions.iter().map(|session| session.config["lr"].as_str()).collect();
    assert_eq!(lr, ["0.1", "0.2"]);
    assert_eq!([sessions[0].step, sessions[1].step], [0, 3]);
    assert!(sessions[0].started <= sessions[1].started);
    let session = &sessions[1];
    assert_eq!(session.version.as_deref(), Some("1.2.3"));
    assert_eq!(session.adamant, env!("CARGO_PKG_VERSION"));
    assert_eq!(session.process, std::process::id());
    assert!(session.program.contains("run-"), "{}", session.program);
}

#[test]
fn failed_checkpoints_are_warnings_until_the_third_in_a_row() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut training = Training::new(8);
    let mut run = open(&folder).save_every_steps(1).resume(&mut training).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    // The error of a save in the background is returned by the next one.
    let error = training.train(&mut run, 1000).unwrap_err();
    assert!(matches!(error, RunError::File(_)), "{error}");
    assert_eq!(training.step, 4);
    fs::create_dir(&folder).unwrap(); // there is a disk again
    training.train(&mut run, 10).unwrap();
    run.finish(10, &training).unwrap();
    assert_eq!(Run::newest(&folder).unwrap(), (10, training.state_dict()));
}

#[test]
fn a_failed_checkpoint_at_the_end_is_an_error() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let mut training = Training::new(8);
    let mut run = open(&folder).resume(&mut training).unwrap();
    training.train(&mut run, 5).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let error = run.finish(5, &training).unwrap_err();
    assert!(matches!(error, RunError::File(_)), "{error}");
}

#[test]
#[should_panic(expected = "log: name is `time`; expected another one than `step` and `time`")]
fn a_reserved_name_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path()).resume(&mut Training::new(2)).unwrap();
    run.log(1, &[("loss", 0.5), ("time", 1.0)]);
}

#[test]
#[should_panic(expected = "log: name is `loss` twice; expected each name once")]
fn a_name_twice_panics() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path()).resume(&mut Training::new(2)).unwrap();
    run.log(1, &[("loss", 0.5), ("loss", 1.0)]);
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Run::open(&path).unwrap_err().to_string();
    assert!(error.contains("file"), "{error}");
}
