//! Progress on the standard error: a bar on a terminal, lines elsewhere.

use super::margin::Margin;
use super::number::short;
use console::Term;
use indicatif::{
    HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike,
};
use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// The time between two lines, where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// How often the bar is drawn in a second.
const RATE: u8 = 20;

/// How progress is shown.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Bar,
    Lines,
    Hidden,
}

/// The progress of a run. The bar appears at the first step, and removes itself when its last clone
/// is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    shown: Shown,
    /// The last logged value of each name.
    values: Vec<(String, f64)>,
    /// The last written line, and its time.
    last: Option<(u64, Instant)>,
}

impl Progress {
    /// `total` is the number of steps, if it is known.
    pub(super) fn new(total: Option<u64>, quiet: bool) -> Self {
        let terminal = Term::stderr().features().is_attended();
        let shown = match (quiet, terminal) {
            (true, _) => Shown::Hidden,
            (false, true) => Shown::Bar,
            (false, false) => Shown::Lines,
        };
        Progress::shown(total, shown)
    }

    fn shown(total: Option<u64>, shown: Shown) -> Self {
        let hidden = ProgressDrawTarget::hidden();
        let bar = ProgressBar::with_draw_target(total, hidden).with_style(style(total));
        Progress { bar, shown, values: Vec::new(), last: None }
    }

    /// Starts after this step, or at the beginning.
    pub(super) fn start(&self, resumed: Option<u64>) {
        self.start_on(Term::stderr(), resumed);
    }

    fn start_on(&self, terminal: impl TermLike + 'static, resumed: Option<u64>) {
        // The speed is measured from here on, so the bar must know the position before it is reset.
        // A hidden bar learns it without being drawn.
        self.bar.set_position(resumed.unwrap_or(0));
        self.bar.reset_eta();
        if let Some(step) = resumed {
            self.info(&format!("resumed after step {step}"));
        }
        if self.shown == Shown::Bar {
            let terminal = Box::new(Margin(terminal));
            self.bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(terminal, RATE));
        }
    }

    pub(super) fn step(&self, step: u64) {
        self.bar.set_position(step);
    }

    /// Shows the values. Elsewhere than on a terminal, writes a line unless the last one is recent.
    pub(super) fn log(&mut self, step: u64, values: &[(&str, f64)]) {
        if self.shown == Shown::Hidden {
            return;
        }
        for &(name, value) in values {
            match self.values.iter_mut().find(|(known, _)| known == name) {
                Some((_, last)) => *last = value,
                None => self.values.push((name.into(), value)),
            }
        }
        if self.shown == Shown::Bar {
            self.bar.set_message(self.values("  "));
            return;
        }
        let now = Instant::now();
        if self.last.is_none_or(|(_, last)| now - last >= PAUSE) {
            self.line(step, now);
        }
    }

    fn values(&self, separator: &str) -> String {
        let values = self.values.iter().map(|(name, value)| format!("{name} {}", short(*value)));
        values.collect::<Vec<_>>().join(separator)
    }

    fn line(&mut self, step: u64, now: Instant) {
        self.last = Some((step, now));
        let values = self.values(", ");
        let text = line(step, self.bar.length(), &values, self.bar.per_sec(), self.bar.eta());
        self.note(&text);
    }

    /// Removes the bar; writes the last line.
    pub(super) fn finish(&mut self, step: u64) {
        self.bar.finish_and_clear();
        if self.shown == Shown::Lines && self.last.is_some_and(|(last, _)| last != step) {
            self.line(step, Instant::now());
        }
    }

    /// Writes a line about the run, unless it is quiet.
    pub(super) fn info(&self, text: &str) {
        if self.shown != Shown::Hidden {
            self.note(text);
        }
    }

    /// Writes a line to the standard error, above the bar. An error is ignored: training does not
    /// end because nobody reads.
    pub(super) fn note(&self, text: &str) {
        note(&self.bar, text);
    }

    /// Writes lines to the standard error, above the bar, from anywhere.
    pub(super) fn notes(&self) -> impl Fn(&str) + Send + 'static {
        let bar = self.bar.clone();
        move |text| note(&bar, text)
    }

    /// Runs `f` without the bar on the screen.
    pub(super) fn suspend<R>(&self, f: impl FnOnce() -> R) -> R {
        self.bar.suspend(f)
    }
}

fn note(bar: &ProgressBar, text: &str) {
    bar.suspend(|| print(text));
}

/// Writes a line to the standard error, which may be closed.
pub(super) fn print(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The message is cut at the end of the line. In 60 columns, about 20 are left for it.
fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{bar:14} {percent:>3} %  {eta} left  {speed}  {wide_msg}",
        None => "step {pos}  {speed}  {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).expect("a valid template");
    style.with_key("speed", |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{}/s", short(state.per_sec()));
    })
}

/// The line for a step.
fn line(step: u64, total: Option<u64>, values: &str, speed: f64, left: Duration) -> String {
    let of = total.map_or(String::new(), |total| format!("/{total}"));
    let left = match total {
        Some(total) if step < total && speed > 0.0 => format!(", {:#} left", HumanDuration(left)),
        _ => String::new(),
    };
    let speed =
        if speed > 0.0 { format!(" ({} steps/s{left})", short(speed)) } else { String::new() };
    let colon = if values.is_empty() { "" } else { ": " };
    format!("step {step}{of}{colon}{values}{speed}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::InMemoryTerm;

    #[test]
    fn a_line_has_step_values_speed_and_time_left() {
        let left = Duration::from_secs(75);
        for (step, total, values, speed, expected) in [
            (
                5,
                Some(100),
                "loss 0.5, lr 0.1",
                930.0,
                "step 5/100: loss 0.5, lr 0.1 (930 steps/s, 75s left)",
            ),
            (100, Some(100), "loss 0.5", 1.5, "step 100/100: loss 0.5 (1.5 steps/s)"),
            (5, None, "loss 0.5", 1.5, "step 5: loss 0.5 (1.5 steps/s)"),
            (5, Some(100), "", 0.0, "step 5/100"),
        ] {
            assert_eq!(line(step, total, values, speed, left), expected);
        }
    }

    fn on_terminal(columns: u16, total: Option<u64>) -> (InMemoryTerm, Progress) {
        let terminal = InMemoryTerm::new(6, columns);
        let progress = Progress::shown(total, Shown::Bar);
        progress.start_on(terminal.clone(), None);
        (terminal, progress)
    }

    #[test]
    fn the_bar_fits_any_terminal_and_leaves_nothing() {
        let values = [("loss", 0.229_512), ("accuracy", 93.07), ("learning rate", 1e-3)];
        for (columns, total) in [(60, Some(1000)), (60, None), (40, Some(1000)), (200, Some(1000))]
        {
            let (terminal, mut progress) = on_terminal(columns, total);
            assert_eq!(terminal.contents(), ""); // before the first step
            for step in 1..=500 {
                progress.log(step, &values);
                progress.step(step);
            }
            progress.bar.force_draw();
            let screen = terminal.contents();
            assert_eq!(screen.lines().count(), 1, "{screen}");
            if columns >= 60 {
                assert!(screen.contains("loss 0.2295"), "{screen}");
            }
            assert_eq!(screen.contains(" 50 %  "), total.is_some(), "{screen}");
            let whole = screen.contains("accuracy 93.07  learning rate 0.001");
            assert_eq!(whole, columns == 200, "{screen}");
            progress.suspend(|| assert_eq!(terminal.contents(), ""));
            progress.bar.force_draw();
            terminal.write_str("^C").unwrap(); // as the terminal does
            drop(progress);
            assert_eq!(terminal.contents(), "");
        }
    }

    #[test]
    fn the_last_value_of_each_name_stays_visible() {
        let (terminal, mut progress) = on_terminal(100, None);
        progress.log(1, &[("loss", 0.5), ("lr", 0.1)]);
        progress.log(2, &[("accuracy", 90.0)]);
        progress.log(3, &[("lr", 0.01), ("loss", 0.25)]);
        progress.step(3);
        progress.bar.force_draw();
        let screen = terminal.contents();
        assert!(screen.ends_with("  loss 0.25  lr 0.01  accuracy 90"), "{screen}");
    }

    #[test]
    fn lines_are_rare() {
        let mut progress = Progress::shown(Some(100), Shown::Lines);
        let written = |progress: &Progress| progress.last.map(|(step, _)| step);
        assert_eq!(written(&progress), None);
        progress.log(1, &[("loss", 0.5)]);
        progress.log(2, &[("loss", 0.4)]);
        assert_eq!(written(&progress), Some(1));
        progress.last = Some((1, Instant::now().checked_sub(PAUSE).unwrap()));
        progress.log(3, &[("loss", 0.3)]);
        assert_eq!(written(&progress), Some(3));
        progress.finish(4);
        assert_eq!(written(&progress), Some(4));
    }

    #[test]
    fn the_speed_of_a_resumed_run_is_measured_from_its_resume() {
        let progress = Progress::shown(Some(2_000_000), Shown::Hidden);
        progress.start(Some(1_000_000));
        std::thread::sleep(Duration::from_millis(20));
        progress.step(1_000_001);
        let speed = progress.bar.per_sec();
        assert!(speed > 0.0 && speed < 1000.0, "{speed}");
    }
}
