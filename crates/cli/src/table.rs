//! Tables of text.

use crate::text::printable;
use std::io::{self, Write};

/// The number of rows of a list that is not shown whole.
const SHOWN: usize = 40;
/// The number of characters of a cell that is not shown whole.
const WIDTH: usize = 100;

/// Rows of cells, printed with aligned columns.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Whether each column is aligned to the right; columns beyond are not.
    right: Vec<bool>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Aligns this column to the right; default left.
    pub(crate) fn right(mut self, column: usize) -> Self {
        self.right.resize(self.right.len().max(column + 1), false);
        self.right[column] = true;
        self
    }

    /// Adds a row. Rows may have different numbers of cells.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.rows.push(cells.into_iter().map(|cell| printable(cell.as_ref())).collect());
    }

    /// Prints all rows.
    pub(crate) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        print(&self.rows, &self.right, "", out)
    }

    /// Prints the rows, indented; unless `all` are requested, the first ones of a long table, and
    /// the beginning of a long cell.
    pub(crate) fn print_list(mut self, all: bool, out: &mut dyn Write) -> io::Result<()> {
        if all {
            return print(&self.rows, &self.right, "  ", out);
        }
        let hidden = self.rows.len().saturating_sub(SHOWN);
        self.rows.truncate(SHOWN);
        self.rows.iter_mut().flatten().for_each(shorten);
        print(&self.rows, &self.right, "  ", out)?;
        match hidden {
            0 => Ok(()),
            _ => writeln!(out, "  … {hidden} more, with --all"),
        }
    }
}

fn shorten(cell: &mut String) {
    if let Some((end, _)) = cell.char_indices().nth(WIDTH) {
        cell.truncate(end);
        cell.push('…');
    }
}

fn print(
    rows: &[Vec<String>],
    right: &[bool],
    indent: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let chars = |cell: &String| cell.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(chars).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { indent } else { "  " };
            line += &match right.get(column) {
                Some(true) => format!("{gap}{cell:>width$}"),
                _ => format!("{gap}{cell:width$}"),
            };
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new().right(1);
        table.row(["a", "10", "x\ny"]);
        table.row(["ändern", "5"]);
        assert_eq!(printed(|out| table.print(out)), "a       10  x\\ny\nändern   5\n");
    }

    #[test]
    fn long_lists_are_cut() {
        let table = || {
            let mut table = Table::new();
            (0..50).for_each(|i| table.row([i.to_string(), "ü".repeat(101)]));
            table
        };
        let text = printed(|out| table().print_list(false, out));
        assert_eq!(text.lines().count(), 41);
        assert!(text.ends_with("\n  … 10 more, with --all\n"), "{text}");
        assert!(text.starts_with(&format!("  0   {}…\n", "ü".repeat(100))), "{text}");
        assert_eq!(printed(|out| table().print_list(true, out)).lines().count(), 50);
    }
}
