//! `plot`.

use super::adamant;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder with runs: `fast` with a loss and an accuracy, `slow` with a loss that has gaps.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let loss = |step: u64| 2.0 / step as f64;
    run(folder.path(), "fast", |step| format!("\"loss\":{},\"accuracy\":{step}", loss(step)));
    run(folder.path(), "slow", |step| match step {
        40..50 => "\"loss\":\"NaN\"".into(),
        60 => "\"loss\":0".into(),
        _ => format!("\"loss\":{}", 2.0 * loss(step)),
    });
    folder
}

/// A run of 100 steps and 99 minutes.
fn run(folder: &Path, name: &str, values: impl Fn(u64) -> String) {
    let mut rows = String::new();
    for step in 1..=100 {
        let time = 1_732_600_000 + step * 60;
        writeln!(rows, "{{\"step\":{step},\"time\":{time},{}}}", values(step)).unwrap();
    }
    fs::create_dir(folder.join(name)).unwrap();
    fs::write(folder.join(name).join("metrics.jsonl"), rows).unwrap();
}

fn read(folder: &TempDir, file: &str) -> String {
    fs::read_to_string(folder.path().join(file)).unwrap()
}

/// The texts of a picture, in order.
fn texts(svg: &str) -> Vec<&str> {
    let texts = svg.split("<text").skip(1);
    texts.map(|text| text.split(['>', '<']).nth(1).unwrap().trim()).collect()
}

fn lines(svg: &str) -> usize {
    svg.matches("<polyline").count()
}

#[test]
fn a_run_is_drawn() {
    let folder = folder();
    assert_eq!(adamant(folder.path(), &["plot", "fast"]).succeeds(), "curves.svg\n");
    let svg = read(&folder, "curves.svg");
    assert!(svg.starts_with("<svg width=\"86.0mm\" height=\""), "{svg}");
    assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    let texts = texts(&svg);
    for text in ["fast", "loss", "step", "0", "20", "100", "0.5", "2.0"] {
        assert!(texts.contains(&text), "{text}: {texts:?}");
    }
}

#[test]
fn runs_share_a_panel_for_each_metric() {
    let folder = folder();
    let args =
        ["plot", "fast", "slow", "--metric", "loss", "--metric", "accuracy", "--out", "x.svg"];
    let ran = adamant(folder.path(), &args);
    assert_eq!((ran.status, ran.out.as_str()), (0, "x.svg\n"));
    let expected = "warning: slow: 10 values of loss are not finite, and leave gaps
warning: slow: has no metric `accuracy`
";
    assert_eq!(ran.err, expected);
    let svg = read(&folder, "x.svg");
    let texts = texts(&svg);
    for text in ["fast", "slow", "loss", "accuracy", "step"] {
        assert_eq!(texts.iter().filter(|found| **found == text).count(), 1, "{text}: {texts:?}");
    }
    assert!(svg.contains("#0072B2") && svg.contains("#D55E00"));
}

#[test]
fn smoothing_adds_a_line() {
    let folder = folder();
    adamant(folder.path(), &["plot", "fast"]).succeeds();
    let before = lines(&read(&folder, "curves.svg"));
    adamant(folder.path(), &["plot", "fast", "--smooth", "10"]).succeeds();
    let svg = read(&folder, "curves.svg");
    assert_eq!(lines(&svg), before + 1);
    assert!(svg.contains("opacity=\"0.25\""), "{svg}");
}

#[test]
fn a_logarithmic_axis_has_round_ticks() {
    let folder = folder();
    let ran = adamant(folder.path(), &["plot", "slow", "--log-y"]);
    assert_eq!(ran.status, 0);
    let expected = "warning: slow: 11 values of loss are not positive and finite, and leave gaps\n";
    assert_eq!(ran.err, expected);
    let svg = read(&folder, "curves.svg");
    assert!(["0.1", "0.3", "1", "3"].iter().all(|tick| texts(&svg).contains(tick)));
}

#[test]
fn the_time_axis_has_a_unit() {
    let folder = folder();
    adamant(folder.path(), &["plot", "fast", "--x", "time"]).succeeds();
    let svg = read(&folder, "curves.svg");
    let texts = texts(&svg);
    assert!(["time (min)", "0", "80"].iter().all(|text| texts.contains(text)), "{texts:?}");
}

#[test]
fn a_single_row_is_a_dot() {
    let folder = folder();
    fs::write(folder.path().join("fast/metrics.jsonl"), "{\"step\":5,\"time\":1,\"loss\":2}\n")
        .unwrap();
    adamant(folder.path(), &["plot", "fast"]).succeeds();
    assert!(read(&folder, "curves.svg").contains("<circle"));
}

#[test]
fn names_are_escaped() {
    let folder = folder();
    run(folder.path(), "a<b>&c", |step| format!("\"loss\":{step}"));
    adamant(folder.path(), &["plot", "a<b>&c"]).succeeds();
    assert!(read(&folder, "curves.svg").contains("a&lt;b&gt;&amp;c"));
}

#[test]
fn an_unknown_metric_names_the_known_ones() {
    let folder = folder();
    let error = adamant(folder.path(), &["plot", "slow", "fast", "--metric", "los"]).fails();
    let expected = "error: slow, fast: found no metric `los`, expected one of loss, accuracy\n";
    assert_eq!(error, expected);
    assert!(!folder.path().join("curves.svg").exists());
}

#[test]
fn what_is_not_a_run_is_an_error() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::create_dir(folder.path().join("new")).unwrap();
    fs::write(folder.path().join("new/metrics.jsonl"), "").unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = |args: &[&str]| adamant(folder.path(), args).fails();
    for (run, expected) in [
        ("missing", "error: missing: "),
        ("file", "error: file: "),
        ("empty", "error: empty: found an empty folder, expected the folder of a run\n"),
        (".", "error: .: found a folder without metrics.jsonl, expected the folder of a run\n"),
        ("new", "error: new: found a run without metrics, expected at least one row\n"),
    ] {
        let error = error(&["plot", run]);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn bad_arguments_are_errors() {
    let folder = folder();
    for (args, expected) in [
        (["--out", "x.png"], "found another extension, expected .svg"),
        (["--out", "no/x.svg"], "error: no/x.svg: "),
        (["--smooth", "0"], "0 is not in 1.."),
        (["--x", "epoch"], "[possible values: step, time]"),
    ] {
        let error = adamant(folder.path(), &["plot", "fast", args[0], args[1]]).fails();
        assert!(error.contains(expected), "{error}");
    }
}
