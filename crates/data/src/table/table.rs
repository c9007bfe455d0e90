//! Named columns of numbers and strings.

use super::column::{Column, NonNumber};
use crate::messages::{one_of, quoted};
use crate::value_error::ValueError;
use adamant_tensor::Tensor;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of values in named columns, of numbers or strings, in which values may be missing.
///
/// [`Csv`](crate::Csv) reads one from a file. An error about a value names its file and line.
///
/// pandas: `pandas.DataFrame`.
///
/// ```
/// use adamant_data::Table;
/// let table = Table::new()
///     .with_numbers("age", [31.0, 52.0, 47.0])
///     .with_strings("kind", [Some("a"), None, Some("b")]);
/// assert_eq!(table.column_names().collect::<Vec<_>>(), ["age", "kind"]);
///
/// let part = table.rows(&[2, 0]);
/// assert_eq!(part.floats("age").unwrap().to_vec(), [47.0, 31.0]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<(String, Column)>,
    source: Option<Source>,
    skipped: SkippedLines,
}

/// Where the rows of a table come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    file: Arc<File>,
    /// The line of each row.
    lines: Vec<u64>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// By the name of a column of strings whose type was inferred: the first of its values that is
    /// not a number, also if the table does not have its row.
    non_numbers: HashMap<String, NonNumber>,
}

impl Source {
    pub(super) fn new(
        path: &Path,
        lines: Vec<u64>,
        non_numbers: HashMap<String, NonNumber>,
    ) -> Self {
        Source { file: Arc::new(File { path: path.into(), non_numbers }), lines }
    }
}

/// The lines of a file that are not in the table.
///
/// See [`Csv::skip_bad_lines`](crate::Csv::skip_bad_lines).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedLines {
    /// Their number.
    pub count: usize,
    /// What is wrong with the first of them.
    pub first: Option<String>,
}

impl SkippedLines {
    pub(super) fn add(&mut self, error: impl FnOnce() -> String) {
        self.count += 1;
        self.first.get_or_insert_with(error);
    }
}

impl Table {
    /// A table without columns, to which columns are added.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn read(
        columns: Vec<(String, Column)>,
        source: Source,
        skipped: SkippedLines,
    ) -> Self {
        Table { columns, source: Some(source), skipped }
    }

    /// The table with another column of numbers: `f64`, or `Option<f64>` if values are missing. A
    /// number that is not finite counts as missing.
    ///
    /// # Panics
    /// If there is a column of this name, or the number of values is not that of the rows.
    #[must_use]
    #[track_caller]
    pub fn with_numbers(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item: Into<Option<f64>>>,
    ) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let values = values.into_iter().map(|value| finite(value.into())).collect();
        self.with_column("with_numbers", name.into(), Column::Numbers(values))
    }

    /// The table with another column of strings: `&str`, or `Option<&str>` if values are missing.
    ///
    /// # Panics
    /// If there is a column of this name, or the number of values is not that of the rows.
    #[must_use]
    #[track_caller]
    pub fn with_strings<'s>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item: Into<Option<&'s str>>>,
    ) -> Self {
        let values = values.into_iter().map(|value| value.into().map(str::to_string)).collect();
        self.with_column("with_strings", name.into(), Column::Strings(values))
    }

    #[track_caller]
    fn with_column(mut self, function: &str, name: String, column: Column) -> Self {
        assert!(
            self.column_names().all(|other| other != name),
            "{function}: name is {name:?}; expected one that no other column has"
        );
        let (found, rows) = (column.len(), self.len());
        assert!(
            self.columns.is_empty() || found == rows,
            "{function}: column `{name}` has {found} values; expected {rows}, one for each row"
        );
        self.columns.push((name, column));
        self
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| column.len())
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the columns, in order.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The values of a column of numbers; `None` where the value is missing.
    ///
    /// # Errors
    /// If the column does not exist or contains strings. If its type was inferred from a file, the
    /// message names the first value that is not a number, and its line.
    pub fn numbers(&self, column: &str) -> Result<&[Option<f64>], ValueError> {
        match self.column(column)? {
            Column::Numbers(values) => Ok(values),
            other => Err(match self.non_number(column) {
                Some((path, NonNumber { line, text, expected })) => {
                    let at = format!("{}, line {line}, column `{column}`", path.display());
                    let found = format!("{}, which makes a column of strings", quoted(text));
                    ValueError::new(at, found, *expected)
                }
                None => self.wrong_kind(column, other, "a column of numbers"),
            }),
        }
    }

    /// The values of a column of strings; `None` where the value is missing.
    ///
    /// # Errors
    /// If the column does not exist or contains numbers.
    pub fn strings(&self, column: &str) -> Result<&[Option<String>], ValueError> {
        match self.column(column)? {
            Column::Strings(values) => Ok(values),
            other => Err(self.wrong_kind(column, other, "a column of strings")),
        }
    }

    /// A column of numbers as a tensor `[rows]`, such as the targets of a regression.
    ///
    /// # Errors
    /// If the column does not exist or contains strings, or a value is missing or beyond `f32`.
    pub fn floats(&self, column: &str) -> Result<Tensor, ValueError> {
        let float = |(row, value): (usize, &Option<f64>)| match value {
            Some(value) if (*value as f32).is_finite() => Ok(*value as f32),
            Some(value) => {
                let at = self.position(row, column);
                Err(ValueError::new(at, format!("{value:e}"), "a number in the range of f32"))
            }
            None => Err(ValueError::new(self.position(row, column), "no value", "a number")),
        };
        let values = self.numbers(column)?.iter().enumerate().map(float);
        Ok(Tensor::from(values.collect::<Result<Vec<f32>, _>>()?))
    }

    /// The table of these rows, in this order; a row may occur several times.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    #[track_caller]
    pub fn rows(&self, rows: &[usize]) -> Table {
        let len = self.len();
        if let Some(row) = rows.iter().find(|&&row| row >= len) {
            panic!("rows: row {row} is out of range; expected a row below {len}");
        }
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), column.rows(rows)));
        let source = self.source.as_ref().map(|Source { file, lines }| Source {
            file: file.clone(),
            lines: rows.iter().map(|&row| lines[row]).collect(),
        });
        Table { columns: columns.collect(), source, skipped: SkippedLines::default() }
    }

    /// The bad lines of the file that were skipped; none in a table made by
    /// [`rows`](Table::rows).
    #[must_use]
    pub fn skipped(&self) -> &SkippedLines {
        &self.skipped
    }

    pub(crate) fn column(&self, name: &str) -> Result<&Column, ValueError> {
        let column = self.columns.iter().find(|(other, _)| other == name);
        column.map(|(_, column)| column).ok_or_else(|| {
            let names: Vec<&str> = self.column_names().collect();
            let found = format!("no column `{name}`");
            ValueError::new(self.name(), found, one_of(&names))
        })
    }

    /// The file, and the first value there that is not a number.
    fn non_number(&self, column: &str) -> Option<(&Path, &NonNumber)> {
        let file = &self.source.as_ref()?.file;
        Some((&file.path, file.non_numbers.get(column)?))
    }

    fn wrong_kind(&self, name: &str, found: &Column, expected: &str) -> ValueError {
        ValueError::new(format!("{}, column `{name}`", self.name()), found.kind(), expected)
    }

    /// The file, for messages.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Some(source) => source.file.path.display().to_string(),
            None => "table".into(),
        }
    }

    /// The file and line of a value, for messages.
    pub(crate) fn position(&self, row: usize, column: &str) -> String {
        match &self.source {
            Some(Source { file, lines }) => {
                format!("{}, line {}, column `{column}`", file.path.display(), lines[row])
            }
            None => format!("row {row}, column `{column}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_known_columns_and_the_kind() {
        let table = Table::new().with_numbers("x", [1.0]).with_strings("s", ["a"]);
        let text = |error: ValueError| error.to_string();
        assert_eq!(
            text(table.numbers("y").unwrap_err()),
            "table: found no column `y`, expected one of [\"x\", \"s\"]"
        );
        assert_eq!(
            text(table.numbers("s").unwrap_err()),
            "table, column `s`: found a column of strings, expected a column of numbers"
        );
        assert!(text(table.strings("x").unwrap_err()).contains("found a column of numbers"));
    }

    #[test]
    fn floats_are_finite() {
        let table = Table::new().with_numbers("x", [1.0, 1e300]).with_numbers("y", [f64::NAN, 0.0]);
        let error = table.floats("x").unwrap_err().to_string();
        assert_eq!(error, "row 1, column `x`: found 1e300, expected a number in the range of f32");
        assert_eq!(table.numbers("y").unwrap(), [None, Some(0.0)]);
        assert_eq!(Table::new().with_numbers("x", [0.0; 0]).floats("x").unwrap().shape(), [0]);
    }

    #[test]
    fn numbers_are_classes_by_value() {
        let table = Table::new().with_numbers("x", [10.0, -0.0, 2.5, 0.0, 10.0]);
        let classes = table.classes("x").unwrap();
        assert_eq!(classes.names, ["0", "2.5", "10"]);
        assert_eq!(classes.indices, [2, 0, 1, 0, 2]);
        let error = Table::new().with_strings("s", [Some("a"), None]).classes("s").unwrap_err();
        let expected = "row 1, column `s`: found no value, expected one of [\"a\"]";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    #[should_panic(expected = "with_numbers: column `y` has 2 values; expected 1")]
    fn columns_have_one_length() {
        let _ = Table::new().with_numbers("x", [1.0]).with_numbers("y", [1.0, 2.0]);
    }

    #[test]
    #[should_panic(expected = "with_strings: name is \"x\"; expected one that no other column has")]
    fn columns_have_different_names() {
        let _ = Table::new().with_numbers("x", [1.0]).with_strings("x", ["a"]);
    }

    #[test]
    #[should_panic(expected = "rows: row 3 is out of range; expected a row below 1")]
    fn rows_are_in_range() {
        let _ = Table::new().with_numbers("x", [1.0]).rows(&[0, 3]);
    }
}
