//! `adamant diff`: what differs between two files.

use crate::contents::Contents;
use crate::table::Table;
use crate::text::grouped;
use crate::values::{describe, difference};
use crate::{Outcome, Status};
use adamant_tensor::Value;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

/// Compare two checkpoints or files of weights, entry by entry
///
/// Two entries are equal if every bit is: NaN equals itself, and 0 does not equal -0. The exit
/// status is 0 if the files are equal, 1 if they differ, 2 for an error.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first file
    a: PathBuf,
    /// The second file
    b: PathBuf,
    /// Compare only this part of each checkpoint, with the whole of a file of weights
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// List all entries that differ, and long texts whole
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let read = |path: &PathBuf| {
        let contents = Contents::read(path)?;
        match &args.part {
            Some(part) => contents.with_only(part, path),
            None => Ok(contents),
        }
    };
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let (a, b) = (entries(&a), entries(&b));
    let [in_a, in_b] =
        [&a, &b].map(|entries| entries.iter().cloned().collect::<HashMap<Location<'_>, Value>>());
    let mut table = Table::new();
    let (mut rows, mut equal) = (0, 0);
    let mut row = |location: Location<'_>, text| {
        table.row([name(location), text]);
        rows += 1;
    };
    for (location, value) in &a {
        match in_b.get(location) {
            None => row(*location, format!("only in the first: {}", describe(value))),
            Some(other) if value != other => row(*location, difference(value, other)),
            Some(_) => equal += 1,
        }
    }
    for (location, value) in b.iter().filter(|(location, _)| !in_a.contains_key(location)) {
        row(*location, format!("only in the second: {}", describe(value)));
    }
    if rows == 0 {
        writeln!(out, "equal in every bit; entries: {}", grouped(equal))?;
        return Ok(Status::Success);
    }
    writeln!(out, "entries: {} differ, {} equal", grouped(rows), grouped(equal))?;
    table.print_list(args.all, out)?;
    Ok(Status::Different)
}

/// The part, `None` for the notes, and the name of an entry in it.
type Location<'a> = (Option<&'a str>, &'a str);

fn name((part, name): Location<'_>) -> String {
    match part {
        None => format!("note {name}"),
        Some("") => name.into(),
        Some(part) if name.is_empty() => part.into(), // a plain value
        Some(part) => format!("{part}.{name}"),
    }
}

/// Every note and every entry of every part, with its location.
fn entries(contents: &Contents) -> Vec<(Location<'_>, Value)> {
    let notes = contents.notes.iter();
    let notes = notes.map(|(key, text)| ((None, key.as_str()), Value::from(text.as_str())));
    let parts = contents.parts.iter().flat_map(|(part, state)| {
        state.iter().map(|(name, value)| ((Some(part.as_str()), name), value.clone()))
    });
    notes.chain(parts).collect()
}
