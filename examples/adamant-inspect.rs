//! Lists a checkpoint or a safetensors file, verifies files, and compares two.
//!
//! ```text
//! cargo run --release --example adamant-inspect -- run.ckpt
//! cargo run --release --example adamant-inspect -- --verify runs/digits/*.ckpt
//! cargo run --release --example adamant-inspect -- run.ckpt other.ckpt
//! ```
//!
//! As for `diff`, the exit status is 0 for success, 1 if two files differ, and 2 if a file is damaged
//! or cannot be read.

use adamant::prelude::*;
use adamant::tensor::Value;
use clap::Parser;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// List a checkpoint or a safetensors file, verify files, or compare two
#[derive(Parser)]
#[command(after_help = "Exit status: 0 for success, 1 if two files differ, 2 for an error.")]
struct Args {
    /// A file to list, or two to compare
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only report whether each file is intact
    #[arg(long)]
    verify: bool,
}

const SAME: u8 = 0;
const DIFFERENT: u8 = 1;
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    match run(&Args::parse(), &mut io::stdout().lock(), &mut io::stderr()) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS, // as in `… | head`
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if args.files.len() > 2 && !args.verify {
        writeln!(err, "found {} files, expected one to list or two to compare", args.files.len())?;
        return Ok(TROUBLE);
    }
    let mut read = Vec::new();
    let mut status = SAME;
    for path in &args.files {
        match Contents::read(path) {
            Ok(contents) if args.verify => {
                writeln!(out, "{}: {}, intact", path.display(), contents.kind)?;
            }
            Ok(contents) => read.push(contents),
            Err(error) => {
                writeln!(err, "{error}")?;
                status = TROUBLE;
            }
        }
    }
    match &read[..] {
        _ if status == TROUBLE => Ok(TROUBLE),
        [one] => one.list(&args.files[0], out).map(|()| SAME),
        [a, b] => compare(a, b, out),
        _ => Ok(SAME),
    }
}

/// The contents of a file of either kind.
struct Contents {
    kind: &'static str,
    notes: Vec<(String, String)>,
    /// A safetensors file has one part, with an empty name.
    parts: Vec<(String, StateDict)>,
}

impl Contents {
    fn read(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut start = Vec::new();
        if let Ok(file) = File::open(path) {
            // An error is reported below.
            let _ = file.take(9).read_to_end(&mut start);
        }
        if start.get(8) == Some(&b'{') {
            let parts = vec![(String::new(), load_safetensors(path)?)];
            return Ok(Contents { kind: "a safetensors file", notes: Vec::new(), parts });
        }
        let saved = Checkpoint::load(path)?;
        Ok(Contents {
            kind: "a checkpoint",
            notes: saved.notes().map(|(key, text)| (key.into(), text.into())).collect(),
            parts: saved.parts().map(|(name, state)| (name.into(), state.clone())).collect(),
        })
    }

    fn list(&self, path: &Path, out: &mut dyn Write) -> io::Result<()> {
        let bytes = std::fs::metadata(path)?.len();
        writeln!(out, "{}: {}, {bytes} bytes, intact", path.display(), self.kind)?;
        if !self.notes.is_empty() {
            writeln!(out, "\nnotes")?;
            let rows = self.notes.iter().map(|(key, text)| (key.as_str(), text.clone()));
            table(out, rows.collect())?;
        }
        for (name, state) in &self.parts {
            let arrays: Vec<usize> =
                state.iter().filter_map(|(_, value)| elements(value)).collect();
            let count: usize = arrays.iter().sum();
            let name = if name.is_empty() { "arrays" } else { name };
            let arrays = arrays.len();
            let plural = if arrays == 1 { "" } else { "s" };
            writeln!(out, "\n{name}: {arrays} array{plural}, {count} elements in total")?;
            table(out, state.iter().map(|(name, value)| (name, describe(value))).collect())?;
            for (name, element, found) in state.non_finite() {
                writeln!(out, "not finite: {name} is {found} at element {element}")?;
            }
        }
        Ok(())
    }

    /// Every note and every entry of every part, with its location.
    fn entries(&self) -> Vec<(Location<'_>, Value)> {
        let notes = self.notes.iter();
        let notes = notes.map(|(key, text)| ((None, key.as_str()), Value::from(text.as_str())));
        let parts = self.parts.iter().flat_map(|(part, state)| {
            state.iter().map(|(name, value)| ((Some(part.as_str()), name), value.clone()))
        });
        notes.chain(parts).collect()
    }
}

/// The part, `None` for the notes, and the name of an entry in it.
type Location<'a> = (Option<&'a str>, &'a str);

fn named((part, name): Location<'_>) -> String {
    match part {
        None => format!("note {name}"),
        Some("") => name.into(),
        Some(part) => format!("{part}.{name}"),
    }
}

/// Writes names and texts in two columns.
fn table<N: AsRef<str>>(out: &mut dyn Write, rows: Vec<(N, String)>) -> io::Result<()> {
    let rows = rows.iter().map(|(name, text)| (name.as_ref(), text));
    let width = rows.clone().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.clone().try_for_each(|(name, text)| writeln!(out, "  {name:width$}  {text}"))
}

/// The number of elements of an array.
fn elements(value: &Value) -> Option<usize> {
    match value {
        Value::F32(array) => Some(array.shape().numel()),
        Value::F64(array) => Some(array.shape().numel()),
        Value::I64(array) => Some(array.shape().numel()),
        _ => None,
    }
}

/// The elements of an array as `f64`; integers above 2⁵³ are rounded.
fn floats(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::F32(array) => Some(array.to_vec().into_iter().map(f64::from).collect()),
        Value::F64(array) => Some(array.to_vec()),
        Value::I64(array) => Some(array.to_vec().into_iter().map(|x| x as f64).collect()),
        _ => None,
    }
}

fn describe(value: &Value) -> String {
    let Some(elements) = floats(value) else {
        return match value {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Text(value) => format!("{value:?}"),
            _ => unreachable!("the others are arrays"),
        };
    };
    let kind = value.kind();
    match &elements[..] {
        [] => kind,
        [one] => format!("{kind}  {one:?}"),
        _ => {
            let norm = elements.iter().map(|x| x * x).sum::<f64>().sqrt();
            let low = elements.iter().copied().fold(f64::INFINITY, f64::min);
            let high = elements.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let bad = elements.iter().filter(|x| !x.is_finite()).count();
            let bad = if bad > 0 { format!(", {bad} NaN or infinite") } else { String::new() };
            format!("{kind}  norm {norm:.6}, {low:.4} to {high:.4}{bad}")
        }
    }
}

/// Lists the entries that are in one file only, or differ in any bit.
fn compare(a: &Contents, b: &Contents, out: &mut dyn Write) -> io::Result<u8> {
    let (a, b) = (a.entries(), b.entries());
    let [in_a, in_b] = [&a, &b].map(|entries| {
        entries.iter().map(|(location, value)| (*location, value)).collect::<HashMap<_, _>>()
    });
    let mut rows = Vec::new();
    for (location, value) in &a {
        let text = match in_b.get(location) {
            None => format!("only in the first: {}", describe(value)),
            Some(&other) if value != other => difference(value, other),
            Some(_) => continue,
        };
        rows.push((named(*location), text));
    }
    for (location, value) in b.iter().filter(|(location, _)| !in_a.contains_key(location)) {
        rows.push((named(*location), format!("only in the second: {}", describe(value))));
    }
    if rows.is_empty() {
        writeln!(out, "equal in every bit: {} entries", a.len())?;
        return Ok(SAME);
    }
    writeln!(out, "{} of {} entries differ", rows.len(), a.len())?;
    table(out, rows)?;
    Ok(DIFFERENT)
}

/// Describes how two unequal values differ.
fn difference(a: &Value, b: &Value) -> String {
    match (floats(a), floats(b)) {
        (Some(x), Some(y)) if a.kind() == b.kind() => {
            let pairs = || x.iter().zip(&y);
            let count = match (a, b) {
                (Value::I64(x), Value::I64(y)) => {
                    x.to_vec().iter().zip(&y.to_vec()).filter(|(x, y)| x != y).count()
                }
                _ => pairs().filter(|(x, y)| x.to_bits() != y.to_bits()).count(),
            };
            let most = pairs().map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
            format!("{}  {count} of {} elements differ, by up to {most:e}", a.kind(), x.len())
        }
        _ => format!("{} and {}", describe(a), describe(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(files: &[&Path], verify: bool) -> (u8, String) {
        let args = Args { files: files.iter().map(|&path| path.into()).collect(), verify };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = run(&args, &mut out, &mut err).unwrap();
        out.extend(err);
        (status, String::from_utf8(out).unwrap())
    }

    #[test]
    fn files_are_listed_verified_and_compared() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a.ckpt", "b.ckpt", "c.safetensors"].map(|name| folder.path().join(name));
        let net = Sequential::new().add(Linear::new(2, 1, &mut Generator::seed(0)));
        let mut adam = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
        let save = |adam: &Adam, path: &Path| {
            let now = Checkpoint::new().with("model", &net).with("optimizer", adam);
            now.note("step", "7").save(path).unwrap();
        };
        net.parameters()[0].set_value(&Tensor::from([[3.0, -4.0]]));
        save(&adam, &a);
        save_safetensors(&net.state_dict(), &c).unwrap();

        let (status, text) = inspect(&[&a], false);
        assert_eq!(status, SAME);
        for line in [
            "a.ckpt: a checkpoint, ",
            "notes\n  step  7\n",
            "model: 2 arrays, 3 elements in total\n  0.weight  f32 [1, 2]  norm 5.000000, -4.0000 to 3.0000",
            "groups.0.lr ",
            "  0.001\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let (status, text) = inspect(&[&c], false);
        assert!(status == SAME && text.contains("arrays: 2 arrays, 3 elements"), "{text}");
        assert_eq!(inspect(&[&a, &a], false).0, SAME);

        adam.set_lr(0, 0.5).unwrap();
        net.parameters()[0].set_value(&Tensor::from([[3.0, -4.5]]));
        save(&adam, &b);
        let (status, text) = inspect(&[&a, &b], false);
        assert_eq!(status, DIFFERENT);
        assert!(text.contains("1 of 2 elements differ, by up to 5e-1"), "{text}");
        assert!(text.contains("0.001 and 0.5"), "{text}");
        let (status, text) = inspect(&[&a, &c], false);
        assert!(status == DIFFERENT && text.contains("only in the second"), "{text}");

        net.parameters()[1].set_value(&Tensor::from([f32::INFINITY]));
        save(&adam, &b);
        let (status, text) = inspect(&[&b], false);
        assert_eq!(status, SAME);
        assert!(text.contains("not finite: 0.bias is inf at element 0\n"), "{text}");

        let mut bytes = std::fs::read(&b).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&b, bytes).unwrap();
        let (status, text) = inspect(&[&a, &b, &c], true);
        assert_eq!(status, TROUBLE);
        assert!(text.contains("a.ckpt: a checkpoint, intact"), "{text}");
        assert!(text.contains("b.ckpt: found damage in the file"), "{text}");
        assert_eq!(inspect(&[&a, &c], true).0, SAME);
        assert_eq!(inspect(&[Path::new("no such file")], false).0, TROUBLE);
    }
}
