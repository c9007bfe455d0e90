//! adamant's side of the comparison: a process that answers requests on its standard input with
//! times. `run.py` asks it and PyTorch's and JAX's workers in turn; README.md describes the
//! requests.
//!
//! ```text
//! python benches/compare/run.py                                      everything, side by side
//! cargo bench --bench compare -- operations                          the operations, a line each
//! cargo bench --bench compare -- repeat 100 tiny_step batch=4        100 repetitions, without times
//! ```

mod limits;
mod models;
mod operations;
#[path = "../../tests/ops/table.rs"]
#[allow(dead_code, reason = "the notes and the conversions to tensors are for tests")]
mod table;
mod works;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// One repetition of a piece of work; returns the time that counts.
type Work = Box<dyn FnMut() -> Duration>;

/// A piece of work, all of whose time counts.
fn timed<R>(mut work: impl FnMut() -> R + 'static) -> Work {
    Box::new(move || {
        let start = Instant::now();
        std::hint::black_box(work());
        start.elapsed()
    })
}

/// The sizes of a piece of work: `batch=64`, …
struct Sizes<'a>(HashMap<&'a str, &'a str>);

impl<'a> Sizes<'a> {
    fn new(fields: &[&'a str]) -> Self {
        Sizes(fields.iter().filter_map(|field| field.split_once('=')).collect())
    }

    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).unwrap_or_else(|| panic!("the request has no `{name}`"))
    }

    fn number(&self, name: &str) -> usize {
        self.list(name)[0]
    }

    /// `784,256,10`
    fn list(&self, name: &str) -> Vec<usize> {
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`"));
        self.text(name).split(',').map(number).collect()
    }

    /// Whether the backward pass is a part of the work.
    fn backward(&self) -> bool {
        self.text("pass") == "both"
    }
}

/// Prepares a piece of work: `fields` are its kind and sizes.
fn prepare(fields: &[&str]) -> Work {
    let [kind, sizes @ ..] = fields else { panic!("the request has no kind of work") };
    let sizes = Sizes::new(sizes);
    works::prepare(kind, &sizes)
        .or_else(|| limits::prepare(kind, &sizes))
        .unwrap_or_else(|| panic!("`{kind}` is not a kind of work"))
}

/// The median nanoseconds of repetitions that take `seconds` in all, at least one.
fn measure(work: &mut Work, seconds: f64) -> f64 {
    let (budget, mut spent, mut times) = (Duration::from_secs_f64(seconds), Duration::ZERO, vec![]);
    while times.is_empty() || spent < budget {
        let time = work();
        spent += time;
        times.push(time);
    }
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64
}

/// A piece of work, and the seconds of its first repetition.
struct Prepared {
    work: Work,
    first: f64,
}

impl Prepared {
    fn new(fields: &[&str]) -> Self {
        let mut work = prepare(fields);
        let first = work().as_secs_f64();
        Prepared { work, first }
    }

    /// Measures after other repetitions, which fill caches and wake threads, unless they are long.
    fn measure(&mut self, seconds: f64) -> f64 {
        if self.first < seconds {
            measure(&mut self.work, seconds / 4.0);
        }
        measure(&mut self.work, seconds)
    }
}

/// Answers one request.
fn answer(works: &mut HashMap<String, Prepared>, request: &str) -> Result<f64, Box<dyn Error>> {
    let fields: Vec<&str> = request.split('\t').collect();
    match fields[..] {
        ["measure", seconds, ref work @ ..] => {
            let seconds: f64 = seconds.parse()?;
            let prepared = works.entry(work.join("\t")).or_insert_with(|| Prepared::new(work));
            Ok(prepared.measure(seconds))
        }
        ["forget"] => {
            works.clear();
            adamant::empty_cache();
            Ok(0.0)
        }
        ["memory", ref work @ ..] => {
            // One-time allocations of the library first.
            let mut tiny = prepare(&["tiny_step", "batch=4"]);
            tiny();
            let mut work = prepare(work);
            std::fs::write("/proc/self/clear_refs", "5")?; // the peak starts here
            let before = resident("VmRSS")?;
            for _ in 0..3 {
                work();
            }
            Ok(resident("VmHWM")? - before)
        }
        _ => Err(format!("`{request}` is not a request").into()),
    }
}

/// A line of `/proc/self/status`, in bytes.
fn resident(name: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kib = line.trim_matches(|c: char| !c.is_ascii_digit());
    Ok(kib.parse::<f64>()? * 1024.0)
}

fn serve() -> Result<(), Box<dyn Error>> {
    let mut works = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        // A piece of work that fails is an answer too: the table shows it.
        let answered = catch_unwind(AssertUnwindSafe(|| answer(&mut works, &line)));
        let answer = match answered {
            Ok(Ok(value)) => format!("{value}"),
            Ok(Err(error)) => format!("error {error}"),
            Err(_) => "error it panicked".into(),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => serve(),
        ["operations"] => {
            operations::list();
            Ok(())
        }
        ["repeat", times, ref work @ ..] => {
            let (times, mut work): (usize, Work) = (times.parse()?, prepare(work));
            for _ in 0..times {
                work();
            }
            Ok(())
        }
        _ => {
            Err(format!("{args:?}: expected nothing, `operations`, or `repeat TIMES WORK`").into())
        }
    }
}
