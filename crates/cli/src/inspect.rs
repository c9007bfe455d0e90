//! `adamant inspect`: what is in a file.

use crate::contents::Contents;
use crate::table::Table;
use crate::text::{bytes, count, printable};
use crate::values::{Statistics, shape_or_value, size, type_name};
use crate::{Outcome, Status};
use adamant_tensor::StateDict;
use std::io::{self, Write};
use std::path::PathBuf;

/// List what is in a checkpoint or a safetensors file
///
/// The file is read whole, and its checksums are verified. Arrays with NaN or infinite elements are
/// reported. The fields of what a run trains are listed as the parts of its checkpoint.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkpoint or a safetensors file
    file: PathBuf,
    /// Add the range and the mean of each array's finite elements
    #[arg(long)]
    stats: bool,
    /// List only this part of a checkpoint, such as `model`
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// List all entries of long parts, and long texts whole
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Outcome {
    let mut contents = Contents::read(&args.file)?;
    if let Some(part) = &args.part {
        contents = contents.with_only(part, &args.file)?;
    }
    let Contents { kind, len, notes, parts } = contents;
    writeln!(out, "{}: {}, {}, intact", args.file.display(), kind.name(), bytes(len))?;
    if !notes.is_empty() {
        writeln!(out, "\nnotes")?;
        let mut table = Table::new();
        notes.iter().for_each(|(key, text)| table.row([key, text]));
        table.print_list(args.all, out)?;
    }
    for (name, state) in &parts {
        let name = match (name.is_empty(), &args.part) {
            (false, _) => name,
            (true, Some(part)) => part,
            (true, None) => "arrays",
        };
        part(name, state, args, out)?;
    }
    Ok(Status::Success)
}

fn part(name: &str, state: &StateDict, args: &Args, out: &mut dyn Write) -> io::Result<()> {
    let sizes: Vec<_> = state.iter().filter_map(|(_, value)| size(value)).collect();
    let elements: usize = sizes.iter().map(|(elements, _)| elements).sum();
    let total: usize = sizes.iter().map(|(elements, bytes)| elements * bytes).sum();
    let others = state.len() - sizes.len();
    let mut line = vec![];
    if !sizes.is_empty() {
        line.push(count(sizes.len(), "array"));
        line.push(count(elements, "element"));
        line.push(bytes(total as u64));
    }
    if others > 0 || sizes.is_empty() {
        line.push(count(others, if sizes.is_empty() { "value" } else { "other value" }));
    }
    writeln!(out, "\n{}: {}", printable(name), line.join(", "))?;
    let mut table = Table::new().right(3);
    let mut not_finite = Table::new();
    for (name, value) in state.iter() {
        let mut row = vec![name.to_string(), type_name(value).into(), shape_or_value(value)];
        if let Some((elements, size)) = size(value) {
            row.push(bytes((elements * size) as u64));
        }
        if let Some(found) = Statistics::of(value) {
            if args.stats {
                row.push(found.range());
            }
            if let Some(found) = found.not_finite() {
                not_finite.row([format!("not finite: {name}"), found]);
            }
        }
        table.row(row);
    }
    table.print_list(args.all, out)?;
    not_finite.print_list(args.all, out)
}
