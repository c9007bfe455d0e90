//! No operation without its row, and a page of documentation that cannot drift.

use crate::common::up_to_date;
use crate::table::table;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// The public functions of the crate's folder of operations.
fn operations() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/tensor/src/ops");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines() {
            if let Some(rest) = line.trim_start().strip_prefix("pub fn ") {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
                found.insert(rest[..end].to_string());
            }
        }
    }
    found
}

#[test]
fn every_operation_has_its_row() {
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
    // The user's own, and a question about shapes.
    const NO_OPERATIONS: [&str; 2] = ["custom", "weight_shape"];
    let missing: Vec<String> = operations()
        .into_iter()
        .filter(|name| !NO_OPERATIONS.contains(&name.as_str()) && !called(name))
        .collect();
    assert!(missing.is_empty(), "operations without a row in tests/ops/table.rs: {missing:?}");
}

#[test]
fn the_page_of_operations_is_up_to_date() {
    let mut page = String::from(
        "# Operations\n\nEvery operation, as it is written here and in PyTorch; `x`, `y` and `z` are tensors, \
         `F` is\n`torch.nn.functional`. Each has its values and gradients (if it has any) compared with PyTorch's, at NaN,\n\
         ±0, ±∞, subnormal numbers and ties too, and its derivatives with differences to second order. Random\n\
         tensors are not listed: `rand`, `randn`, `uniform`, `bernoulli`, `randint`, `randperm`. This page is\n\
         written by a test from `tests/ops/table.rs`.\n",
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
