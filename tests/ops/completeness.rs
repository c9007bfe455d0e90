//! Every operation has a row, and the page of operations is up to date.

use crate::common::up_to_date;
use crate::table::table;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The names of the public functions in these source files.
fn functions(files: impl IntoIterator<Item = PathBuf>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines() {
            // Setters of options take `self`.
            if let Some(rest) = line.trim_start().strip_prefix("pub fn ")
                && !rest.contains("(self")
            {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
                found.insert(rest[..end].to_string());
            }
        }
    }
    found
}

/// The files in a folder and the folders in it.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/tensor/src")
}

#[test]
fn every_operation_has_its_row() {
    let arrays = ["mask.rs", "indices.rs"].map(|file| source().join("arrays").join(file));
    let is_random = |file: &PathBuf| file.ends_with("random.rs");
    let ops = sources(&source().join("ops")).into_iter().filter(|file| !is_random(file));
    let operations = functions(ops.chain(arrays));
    let rows: Vec<String> =
        table().into_iter().flat_map(|section| section.rows).map(|row| row.ours).collect();
    let called = |name: &String| {
        let call = format!("{name}(");
        let called_in = |ours: &String| {
            ours.match_indices(&call)
                .any(|(at, _)| at == 0 || matches!(ours.as_bytes()[at - 1], b'.' | b':' | b' '))
        };
        rows.iter().any(called_in)
    };
    // Custom operations, layers whose values tests/pytorch compares, queries of shapes, and
    // conversions from and to the user's values.
    const NO_OPERATIONS: [&str; 13] = [
        "custom",
        "recurrence",
        "cast",
        "check",
        "check_transposed",
        "weight_shape",
        "group_count",
        "shape",
        "numel",
        "from_vec",
        "scalar",
        "build",
        "to_vec",
    ];
    let missing: Vec<String> = operations
        .into_iter()
        .filter(|name| !NO_OPERATIONS.contains(&name.as_str()) && !called(name))
        .collect();
    assert!(missing.is_empty(), "operations without a row in tests/ops/table.rs: {missing:?}");
}

#[test]
fn the_page_of_operations_is_up_to_date() {
    let random = functions([source().join("ops/creation/random.rs")]);
    let random: Vec<String> = random.iter().map(|name| format!("`{name}`")).collect();
    let mut page = format!(
        "# Operations\n\nEvery operation, here and in PyTorch; `x`, `y` and `z` are tensors, `F` is\n\
         `torch.nn.functional`. The values and gradients (if any) of each are compared with PyTorch's, also at NaN,\n\
         ±0, ±∞, subnormal values and ties, and its derivatives to second order with differences. Random\n\
         tensors are not listed, since their values are not PyTorch's: {}.\n\
         A test writes this page from `tests/ops/table.rs`.\n",
        random.join(", ")
    );
    for section in table() {
        write!(page, "\n## {}\n\n| adamant | PyTorch | notes |\n|---|---|---|\n", section.title)
            .unwrap();
        for row in section.rows {
            let ours = row.ours.replace('|', "\\|");
            writeln!(page, "| `{ours}` | `{}` | {} |", row.pytorch, row.note).unwrap();
        }
    }
    up_to_date(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"), &page);
}
