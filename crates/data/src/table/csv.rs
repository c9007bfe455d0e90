//! Reads a CSV file into a table.

use super::column::{Column, NonNumber, parse_number};
use super::records::{Record, Records};
use super::table::{SkippedLines, Source, Table};
use crate::messages::{one_of, quoted};
use adamant_files::{FileError, FormatError};
use std::collections::HashSet;
use std::path::Path;

/// How to read a CSV file.
///
/// A column contains numbers or strings. It contains numbers if each of its values that is not
/// missing is a finite number, unless [`numbers`](Csv::numbers) or [`strings`](Csv::strings) names
/// it. Integers with leading zeros or above 2^53 make a column of strings, since different ones
/// could be the same `f64`. If a column of strings is requested as numbers, the error names the
/// first value that is not one and its line.
///
/// White space around a value is removed, and empty lines are skipped. The file is UTF-8, plain or
/// compressed by gzip. It is read twice, first for the types, so only the values take memory.
///
/// pandas: `pandas.read_csv`.
///
/// ```
/// use adamant_data::Csv;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("people.csv");
/// std::fs::write(&path, "name;age\nAda;36\nAlan;?\n").unwrap();
///
/// let table = Csv::new().delimiter(b';').missing(["?"]).read(&path).unwrap();
/// assert_eq!(table.len(), 2);
/// assert_eq!(table.numbers("age").unwrap(), [Some(36.0), None]);
///
/// let error = Csv::new().delimiter(b';').numbers(["age"]).read(&path).unwrap_err().to_string();
/// assert!(error.ends_with("found \"?\" in line 3, column `age`, expected a finite number"));
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    delimiter: u8,
    has_header: bool,
    names: Option<Vec<String>>,
    missing: Vec<String>,
    numbers: Vec<String>,
    strings: Vec<String>,
    skip_bad_lines: bool,
}

impl Default for Csv {
    fn default() -> Self {
        Self::new()
    }
}

fn owned(names: impl IntoIterator<Item: Into<String>>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

impl Csv {
    /// A comma-separated file with a header.
    #[must_use]
    pub fn new() -> Self {
        Csv {
            delimiter: b',',
            has_header: true,
            names: None,
            missing: owned(["", "NA", "N/A", "NaN", "nan", "null", "NULL"]),
            numbers: Vec::new(),
            strings: Vec::new(),
            skip_bad_lines: false,
        }
    }

    /// The byte between two values; default `b','`.
    ///
    /// # Panics
    /// If it is not ASCII, or is a quote or a line break.
    #[must_use]
    #[track_caller]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        assert!(
            delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\n' | b'\r' | b'\0'),
            "delimiter: delimiter is {:?}; expected an ASCII character, not a quote or a line break",
            char::from(delimiter)
        );
        self.delimiter = delimiter;
        self
    }

    /// Whether the first line contains the names of the columns; default `true`.
    #[must_use]
    pub fn has_header(mut self, on: bool) -> Self {
        self.has_header = on;
        self
    }

    /// The names of the columns; default those of the header, or `"0"`, `"1"`, … without one.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        self.names = Some(owned(names));
        self
    }

    /// The texts that stand for a missing value; default `""`, `"NA"`, `"N/A"`, `"NaN"`, `"nan"`,
    /// `"null"` and `"NULL"`.
    #[must_use]
    pub fn missing(mut self, texts: impl IntoIterator<Item: Into<String>>) -> Self {
        self.missing = owned(texts);
        self
    }

    /// The columns that must contain numbers, rounded to `f64`: another value is an error;
    /// default none.
    #[must_use]
    pub fn numbers(mut self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.numbers = owned(columns);
        self
    }

    /// The columns that contain strings, even if all of them look like numbers; default none.
    #[must_use]
    pub fn strings(mut self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.strings = owned(columns);
        self
    }

    /// Whether to skip lines with a wrong number of values, invalid text, or a value other than a
    /// number in a column of [`numbers`](Csv::numbers), which are errors otherwise; default `false`.
    /// [`Table::skipped`] reports them.
    ///
    /// In a column that is not named, such a value is not a mistake: it makes a column of strings.
    #[must_use]
    pub fn skip_bad_lines(mut self, on: bool) -> Self {
        self.skip_bad_lines = on;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If the file cannot be read or does not contain a row, two columns have the same name, an
    /// option names a column that does not exist, a quoted value is not closed, or a line is
    /// bad: the message names it.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table, FileError> {
        let path = path.as_ref();
        let names = self.column_names(path)?;
        let mut demanded = vec![None; names.len()];
        for (columns, kind) in [(&self.numbers, Kind::Number), (&self.strings, Kind::String)] {
            for column in columns {
                let index = names.iter().position(|name| name == column);
                let index = index.ok_or_else(|| {
                    let found = format!("no column `{column}`");
                    FileError::format(path, found, one_of(&names))
                })?;
                demanded[index] = Some(kind);
            }
        }
        let (kinds, non_numbers) = self.infer(path, &names, demanded)?;
        let mut columns: Vec<Column> = kinds.iter().map(|kind| kind.column()).collect();
        let mut lines = Vec::new();
        let skipped = self.each_line(path, &names, |line, values| {
            // Checked before the first value is stored, so that a bad line leaves nothing.
            let numbers = numbers(&kinds, &names, line, values)?;
            for ((column, value), number) in columns.iter_mut().zip(values).zip(numbers) {
                match column {
                    Column::Numbers(column) => column.push(number),
                    Column::Strings(column) => column.push(value.map(str::to_string)),
                }
            }
            lines.push(line);
            Ok(())
        })?;
        if lines.is_empty() {
            let found = match &skipped.first {
                Some(first) => format!("{} bad lines and no good one ({first})", skipped.count),
                None if self.has_header => "a header without rows".into(),
                None => "no rows".into(),
            };
            return Err(FileError::format(path, found, "at least one row"));
        }
        let non_numbers = names.iter().cloned().zip(non_numbers);
        let non_numbers = non_numbers.filter_map(|(name, text)| Some((name, text?))).collect();
        let source = Source::new(path, lines, non_numbers);
        Ok(Table::read(names.into_iter().zip(columns).collect(), source, skipped))
    }

    /// The names of the columns, from the options or the first record.
    fn column_names(&self, path: &Path) -> Result<Vec<String>, FileError> {
        let mut records = Records::open(path, self.delimiter)?;
        let first = records.next()?;
        let first = first.ok_or_else(|| FileError::format(path, "only empty lines", "a table"))?;
        let names = match &self.names {
            Some(names) if names.len() != first.len() => {
                return Err(FileError::format(
                    path,
                    format!("{} values in line {}", first.len(), first.line),
                    format!("one for each of the {} names", names.len()),
                ));
            }
            Some(names) => names.clone(),
            None if self.has_header => {
                let names = first.fields().map(|field| field.map(str::to_string));
                names.collect::<Result<_, _>>().map_err(|error| error.at(path))?
            }
            None => (0..first.len()).map(|column| column.to_string()).collect(),
        };
        let mut known = HashSet::new();
        match names.iter().find(|name| !known.insert(*name)) {
            Some(name) => {
                let found = format!("two columns `{name}`");
                Err(FileError::format(path, found, "a different name for each column"))
            }
            None => Ok(names),
        }
    }

    /// The kinds of the columns, where they are not demanded: numbers until another value is found.
    /// Returns these values too.
    fn infer(
        &self,
        path: &Path,
        names: &[String],
        demanded: Vec<Option<Kind>>,
    ) -> Result<(Vec<Kind>, Vec<Option<NonNumber>>), FileError> {
        let mut non_numbers = vec![None; names.len()];
        if demanded.contains(&None) {
            let known: Vec<Kind> =
                demanded.iter().map(|kind| kind.unwrap_or(Kind::String)).collect();
            self.each_line(path, names, |line, values| {
                numbers(&known, names, line, values)?; // a bad line says nothing about types
                for ((first, demanded), value) in non_numbers.iter_mut().zip(&demanded).zip(values)
                {
                    if demanded.is_none() && first.is_none() {
                        *first = value.and_then(|text| NonNumber::of(text, line));
                    }
                }
                Ok(())
            })?;
        }
        let inferred = |first: &Option<NonNumber>| match first {
            Some(_) => Kind::String,
            None => Kind::Number,
        };
        let kinds = demanded.iter().zip(&non_numbers);
        let kinds = kinds.map(|(kind, first)| kind.unwrap_or_else(|| inferred(first))).collect();
        Ok((kinds, non_numbers))
    }

    /// Calls `use_line` with the values of each line. Skips the lines that are bad, here or there,
    /// if that is wanted.
    fn each_line(
        &self,
        path: &Path,
        names: &[String],
        mut use_line: impl FnMut(u64, &[Option<&str>]) -> Result<(), FormatError>,
    ) -> Result<SkippedLines, FileError> {
        let mut records = Records::open(path, self.delimiter)?;
        if self.has_header {
            records.next()?;
        }
        let mut skipped = SkippedLines::default();
        while let Some(record) = records.next()? {
            let used =
                self.values(record, names.len()).and_then(|values| use_line(record.line, &values));
            match used {
                Ok(()) => {}
                Err(error) if self.skip_bad_lines => skipped.add(|| error.at(path).to_string()),
                Err(error) => return Err(error.at(path)),
            }
        }
        Ok(skipped)
    }

    fn values<'r>(
        &self,
        record: Record<'r>,
        expected: usize,
    ) -> Result<Vec<Option<&'r str>>, FormatError> {
        if record.len() != expected {
            let values = if record.len() == 1 { "value" } else { "values" };
            let found = format!("{} {values} in line {}", record.len(), record.line);
            return Err(FormatError::new(found, format!("{expected}, one for each column")));
        }
        let present = |value: &str| !self.missing.iter().any(|missing| missing == value);
        record.fields().map(|field| Ok(Some(field?).filter(|value| present(value)))).collect()
    }
}

/// What a column contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    String,
}

impl Kind {
    fn column(self) -> Column {
        match self {
            Kind::Number => Column::Numbers(Vec::new()),
            Kind::String => Column::Strings(Vec::new()),
        }
    }
}

/// The numbers among the values of a line: `None` for a missing value, and for one of a column of
/// strings.
fn numbers(
    kinds: &[Kind],
    names: &[String],
    line: u64,
    values: &[Option<&str>],
) -> Result<Vec<Option<f64>>, FormatError> {
    let columns = kinds.iter().zip(names).zip(values);
    columns
        .map(|((kind, name), value)| match value {
            Some(text) if *kind == Kind::Number => {
                let number = parse_number(text).ok_or_else(|| {
                    let found = format!("{} in line {line}, column `{name}`", quoted(text));
                    FormatError::new(found, "a finite number")
                })?;
                Ok(Some(number))
            }
            _ => Ok(None),
        })
        .collect()
}
