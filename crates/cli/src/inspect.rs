//! `adamant inspect`: what is in a file.

use crate::contents::{Contents, Summary, notes, open_weights};
use crate::table::Table;
use crate::text::{bytes, count, printable};
use crate::values::{Statistics, shape_or_value, size, type_name};
use crate::{Outcome, Status};
use adamant_checkpoint::{FileError, TensorEntry, Weights};
use adamant_tensor::{Shape, Value};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

/// List what is in a checkpoint or a file of weights: safetensors, PyTorch's, GGUF
///
/// The file is read whole, and its checksums are verified, if it has any. Arrays with NaN or infinite elements are
/// reported. The types of weights are those in the file. A model in several files is listed by its
/// folder or index. The fields of what a run trains are listed as the parts of its checkpoint.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkpoint; a safetensors, PyTorch or GGUF file; the folder or index of a model
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
    if let Some(weights) = open_weights(&args.file)? {
        // Tensor by tensor: the model may be larger than the memory.
        let rows = rows_of_weights(&weights)?;
        title(args, &Summary::of(&weights), &notes(&weights), out)?;
        part(args.part.as_deref().unwrap_or("arrays"), rows, args, out)?;
        return Ok(Status::Success);
    }
    let mut contents = Contents::read_checkpoint(&args.file)?;
    if let Some(part) = &args.part {
        contents = contents.with_only(part, &args.file)?;
    }
    let Contents { summary, notes, parts } = contents;
    title(args, &summary, &notes, out)?;
    for (name, state) in &parts {
        let name = args.part.as_deref().unwrap_or(name);
        part(name, state.iter().map(|(name, value)| Row::new(name, value)).collect(), args, out)?;
    }
    Ok(Status::Success)
}

fn title(
    args: &Args,
    summary: &Summary,
    notes: &[(String, String)],
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "{}: {summary}", args.file.display())?;
    if !notes.is_empty() {
        writeln!(out, "\nnotes")?;
        let mut table = Table::new();
        notes.iter().for_each(|(key, text)| table.row([key, text]));
        table.print_list(args.all, out)?;
    }
    Ok(())
}

/// What is shown of a value.
struct Row {
    name: String,
    type_name: String,
    shape_or_value: String,
    /// The numbers of elements and of bytes, if it is known, of an array.
    size: Option<(usize, Option<u64>)>,
    /// `None` if it is not an array, or one that cannot be read.
    statistics: Option<Statistics>,
}

impl Row {
    fn new(name: &str, value: &Value) -> Self {
        Row {
            name: name.into(),
            type_name: type_name(value).into(),
            shape_or_value: shape_or_value(value),
            size: size(value).map(|(elements, bytes)| (elements, Some((elements * bytes) as u64))),
            statistics: Statistics::of(value),
        }
    }
}

/// The rows of a file of weights, with the types and sizes of the file.
fn rows_of_weights(weights: &Weights) -> Result<Vec<Row>, FileError> {
    let mut read = HashMap::new();
    for (entry, value) in weights.values() {
        let value = value?;
        read.insert(entry.name(), (shape_or_value(&value), Statistics::of(&value)));
    }
    let row = |entry: &TensorEntry| {
        let shape = || (Shape::from(entry.shape()).to_string(), None);
        let (shape_or_value, statistics) = read.remove(entry.name()).unwrap_or_else(shape);
        // A file says what it likes of tensors that cannot be read.
        let elements =
            entry.shape().iter().fold(1, |product, &size| usize::saturating_mul(product, size));
        Row {
            name: entry.name().into(),
            type_name: entry.dtype().to_string().to_lowercase(),
            shape_or_value,
            size: Some((elements, entry.bytes())),
            statistics,
        }
    };
    let mut rows: Vec<Row> = weights.entries().iter().map(row).collect();
    rows.extend(weights.scalars().map(|(name, value)| Row::new(name, &value)));
    Ok(rows)
}

fn part(name: &str, rows: Vec<Row>, args: &Args, out: &mut dyn Write) -> io::Result<()> {
    let sizes: Vec<_> = rows.iter().filter_map(|row| row.size).collect();
    let elements = sizes.iter().fold(0, |sum, (elements, _)| usize::saturating_add(sum, *elements));
    let total = sizes.iter().filter_map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
    let others = rows.len() - sizes.len();
    let mut line = vec![];
    if !sizes.is_empty() {
        line.push(count(sizes.len(), "array"));
        line.push(count(elements, "element"));
        line.push(bytes(total));
    }
    if others > 0 || sizes.is_empty() {
        line.push(count(others, if sizes.is_empty() { "value" } else { "other value" }));
    }
    writeln!(out, "\n{}: {}", printable(name), line.join(", "))?;
    let mut table = Table::new().right(3);
    let mut not_finite = Table::new();
    for Row { name, type_name, shape_or_value, size, statistics } in rows {
        if let Some(found) = statistics.as_ref().and_then(Statistics::not_finite) {
            not_finite.row([format!("not finite: {name}"), found]);
        }
        let mut row = vec![name, type_name, shape_or_value];
        row.extend(size.map(|(_, size)| size.map_or_else(|| "?".into(), bytes)));
        if args.stats {
            row.extend(statistics.map(|found| found.range()));
        }
        table.row(row);
    }
    table.print_list(args.all, out)?;
    not_finite.print_list(args.all, out)
}
