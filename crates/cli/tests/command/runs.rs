//! `runs`.

use super::adamant;
use adamant_tensor::Generator;
use adamant_train::Run;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A folder with the runs `runs/first`, which was stopped, and `runs/sweep/second`, which has no metrics.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["runs/first", "runs/sweep/second"].map(|run| folder.path().join(run));
    fs::create_dir_all(&first).unwrap();
    fs::create_dir_all(&second).unwrap();
    fs::write(first.join("000000-step-1000.ckpt"), "").unwrap();
    fs::write(second.join("metrics.jsonl"), "").unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let start = now - 7_230.0;
    metrics(
        &first,
        &[
            format!("{{\"step\":100,\"time\":{start},\"loss\":2.5}}"),
            format!("{{\"step\":200,\"time\":{},\"loss\":0.5,\"accuracy\":97.5}}", start + 10.0),
            format!("{{\"step\":1200,\"time\":{},\"loss\":\"NaN\"}}", start + 75.0),
        ],
    );
    folder
}

fn metrics(run: &Path, rows: &[String]) {
    fs::write(run.join("metrics.jsonl"), rows.join("\n") + "\n").unwrap();
}

#[test]
fn runs_are_listed_with_their_last_metrics() {
    let folder = folder();
    let text = adamant(folder.path(), &["runs"]).succeeds();
    let expected = "\
run                state   step  took        updated        checkpoints  last metrics
runs/first         stopped  1,200  1 min 15 s  1 h 59 min ago            1  loss NaN, accuracy 97.5
runs/sweep/second  stopped                                               0
";
    // The columns depend on the time.
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    assert_eq!(words(&text), words(expected));
    assert_eq!(adamant(folder.path(), &["runs", "runs"]).succeeds(), text);
}

#[test]
fn metrics_are_selected() {
    let folder = folder();
    let text = adamant(folder.path(), &["runs", "--metric", "accuracy"]).succeeds();
    assert!(text.contains("accuracy 97.5") && !text.contains("loss"), "{text}");
}

#[test]
fn a_locked_run_is_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/digits");
    let mut training = Generator::seed(0);
    let open = Run::open(&path).unwrap().quiet().save_every_steps(1);
    let mut run = open.resume(&mut training).unwrap();
    run.step(1, &training).unwrap();
    run.log(1, &[("loss", 0.25)]);
    let state = || {
        let text = adamant(folder.path(), &["runs"]).succeeds();
        text.lines().nth(1).unwrap().split_whitespace().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(state()[..3], ["runs/digits", "running", "1"]);
    run.finish(1, &training).unwrap();
    let finished = state();
    assert_eq!(finished[..3], ["runs/digits", "finished", "1"]);
    assert_eq!(finished[finished.len() - 3..], ["1", "loss", "0.25"]);
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(adamant(folder.path(), &["runs"]).fails().starts_with("error: runs: "));
    fs::create_dir(folder.path().join("runs")).unwrap();
    assert_eq!(adamant(folder.path(), &["runs"]).succeeds(), "runs: no runs\n");
}

#[test]
fn damaged_metrics_are_reported_beside_the_other_runs() {
    let folder = folder();
    metrics(&folder.path().join("runs/sweep/second"), &["[]".into(), "{}".into()]);
    let ran = adamant(folder.path(), &["runs"]);
    assert_eq!(ran.status, 2);
    assert!(ran.out.contains("runs/first") && !ran.out.contains("second"), "{}", ran.out);
    let expected = "error: runs/sweep/second/metrics.jsonl: found line 1";
    assert!(ran.err.starts_with(expected), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_read_is_reported_beside_the_other_runs() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let closed = folder.path().join("runs/closed");
    fs::create_dir(&closed).unwrap();
    let permissions = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode));
    permissions(0o000).unwrap();
    let is_root = fs::read_dir(&closed).is_ok(); // whom permissions do not stop
    let ran = adamant(folder.path(), &["runs"]);
    permissions(0o755).unwrap();
    assert!(ran.out.contains("runs/first") && ran.out.contains("second"), "{}", ran.out);
    if !is_root {
        assert_eq!(ran.status, 2);
        assert!(ran.err.starts_with("error: runs/closed: Permission denied"), "{}", ran.err);
    }
}
