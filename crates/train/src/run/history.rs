//! The metrics of a run, `metrics.jsonl`: a line for each call of [`Run::log`](crate::Run::log).

use super::names::METRICS;
use adamant_files::{FileError, write_atomically};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(METRICS)
}

/// What one call of [`Run::log`](crate::Run::log) has logged.
///
/// In the file it is a flat JSON object, such as `{"step":100,"time":1732600000.123,"loss":0.5}`.
/// JSON has no number for a NaN or an infinity: these are the strings `"NaN"`, `"inf"`, `"-inf"`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The step.
    pub step: u64,
    /// The time in seconds since 1970. It never decreases from a row to the next.
    pub time: f64,
    /// Names and values, in the order in which they were logged.
    pub values: Vec<(String, f64)>,
}

impl Row {
    /// The value with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == name).map(|&(_, value)| value)
    }

    /// The row as a line of the file.
    pub(super) fn line(&self) -> String {
        let mut line = serde_json::to_string(self).expect("a row has no fallible part");
        line.push('\n');
        line
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("step", &self.step)?;
        map.serialize_entry("time", &self.time)?;
        for (name, value) in &self.values {
            match value.is_finite() {
                true => map.serialize_entry(name, value)?,
                false => map.serialize_entry(name, &value.to_string())?, // NaN, inf or -inf
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of a step, a time and numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let (mut step, mut time, mut values) = (None, None, Vec::new());
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "step" => step = Some(map.next_value()?),
                "time" => time = Some(map.next_value()?),
                _ => values.push((name, map.next_value::<Number>()?.0)),
            }
        }
        let step = step.ok_or_else(|| A::Error::missing_field("step"))?;
        let time = time.ok_or_else(|| A::Error::missing_field("time"))?;
        Ok(Row { step, time, values })
    }
}

/// A number, or the name of one that JSON does not have.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, \"NaN\", \"inf\" or \"-inf\"")
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                match text {
                    "NaN" => Ok(Number(f64::NAN)),
                    "inf" => Ok(Number(f64::INFINITY)),
                    "-inf" => Ok(Number(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// The metrics of a run, read from its folder.
///
/// ```
/// use adamant_train::History;
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// std::fs::write(folder.join("metrics.jsonl"), concat!(
///     "{\"step\":1,\"time\":1732600000.0,\"loss\":0.5}\n",
///     "{\"step\":2,\"time\":1732600000.1,\"loss\":\"NaN\",\"accuracy\":90}\n",
///     "{\"step\":3,\"time\":173260", // cut by a kill
/// ))?;
/// let history = History::read(folder)?;
/// assert_eq!(history.rows.len(), 2);
/// assert_eq!(history.names(), ["loss", "accuracy"]);
/// assert_eq!(history.series("accuracy"), [(2, 90.0)]);
/// assert!(history.last("loss").unwrap().is_nan());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The rows, in the order in which they were logged.
    pub rows: Vec<Row>,
}

impl History {
    /// Reads the metrics in a run's folder, also while it runs. A last line that is incomplete,
    /// because the process was killed while it wrote the line, is ignored.
    ///
    /// # Errors
    /// If the file cannot be read, or another line is not a row.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path(folder.as_ref());
        let text = read(&path)?;
        let rows = rows(&path, &text).map(|row| row.map(|(_, row)| row));
        Ok(History { rows: rows.collect::<Result<_, _>>()? })
    }

    /// The names of all values, in the order of their first appearance.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, _) in self.rows.iter().flat_map(|row| &row.values) {
            if !names.contains(&name.as_str()) {
                names.push(name.as_str());
            }
        }
        names
    }

    /// The steps and values of a name, in order.
    #[must_use]
    pub fn series(&self, name: &str) -> Vec<(u64, f64)> {
        self.rows.iter().filter_map(|row| Some((row.step, row.get(name)?))).collect()
    }

    /// The last value of a name.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<f64> {
        self.rows.iter().rev().find_map(|row| row.get(name))
    }
}

/// The bytes of a file that may end within a character.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    use std::io::Read;
    let (mut file, _) = adamant_files::open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(|error| FileError::io(path, error))?;
    Ok(text)
}

/// The lines of a log with their rows; of an incomplete last line, nothing.
fn rows<'t>(
    path: &'t Path,
    text: &'t [u8],
) -> impl Iterator<Item = Result<(&'t [u8], Row), FileError>> {
    let lines = (1..).zip(text.split_inclusive(|&byte| byte == b'\n'));
    lines.filter_map(move |(number, line)| match serde_json::from_slice(line) {
        Ok(row) => Some(Ok((line, row))),
        Err(_) if !line.ends_with(b"\n") => None,
        Err(error) => {
            // serde_json counts lines from the start of this one.
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            let found = format!("line {number}: {reason}");
            Some(Err(FileError::format(path, found, "an object of a step, a time and numbers")))
        }
    })
}

/// What is left of a log that was cut.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Cut {
    /// The number of rows.
    pub(super) rows: u64,
    /// The highest step.
    pub(super) step: Option<u64>,
    /// The last time in the log before it was cut; 0 in an empty log.
    pub(super) time: f64,
    /// The number of rows that were removed.
    pub(super) removed: usize,
    /// What is wrong, for the user.
    pub(super) warning: Option<String>,
}

/// Keeps the first `keep` rows, and removes everything after them. The file is replaced atomically,
/// and only if there is something to remove.
///
/// Damage after these rows, which a loss of power may leave, ends the log.
pub(super) fn cut(folder: &Path, keep: u64) -> Result<Cut, FileError> {
    let path = path(folder);
    let text = match read(&path) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Vec::new()
        }
        text => text?,
    };
    let mut cut = Cut::default();
    let mut kept = Vec::with_capacity(text.len());
    for row in rows(&path, &text) {
        match row {
            Ok((line, row)) => {
                cut.time = cut.time.max(row.time);
                if cut.rows < keep {
                    kept.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
                    kept.push(b'\n');
                    cut.rows += 1;
                    cut.step = cut.step.max(Some(row.step));
                } else {
                    cut.removed += 1;
                }
            }
            Err(error) if cut.rows < keep => return Err(error),
            Err(error) => {
                cut.warning = Some(format!("{error}; the log is cut before it"));
                break;
            }
        }
    }
    if cut.rows < keep {
        let (path, rows) = (path.display(), cut.rows);
        cut.warning = Some(format!(
            "{path}: found {rows} rows, expected {keep}, as at the checkpoint; the other ones are lost"
        ));
    }
    if kept != text {
        write_atomically(&path, |out| out.write_all(&kept))?;
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64, values: &[(&str, f64)]) -> Row {
        let values = values.iter().map(|&(name, value)| (name.into(), value)).collect();
        Row { step, time: 1_732_600_000.125, values }
    }

    #[test]
    fn rows_are_flat_objects() {
        let values = [
            ("loss", 0.1),
            ("lr", 1e-7),
            ("a \"quoted\" näme", -0.0),
            ("nan", f64::NAN),
            ("high", f64::INFINITY),
            ("low", f64::NEG_INFINITY),
        ];
        let line = row(3, &values).line();
        assert_eq!(
            line,
            "{\"step\":3,\"time\":1732600000.125,\"loss\":0.1,\"lr\":1e-7,\
             \"a \\\"quoted\\\" näme\":-0.0,\"nan\":\"NaN\",\"high\":\"inf\",\"low\":\"-inf\"}\n"
        );
        let read: Row = serde_json::from_str(&line).unwrap();
        assert_eq!((read.step, read.time), (3, 1_732_600_000.125));
        for ((name, value), (read_name, read_value)) in values.iter().zip(&read.values) {
            assert_eq!((*name, value.to_bits()), (read_name.as_str(), read_value.to_bits()));
        }
    }

    #[test]
    fn floats_of_any_size_round_trip() {
        for value in [f64::MIN_POSITIVE, 5e-324, f64::MAX, 1.0 / 3.0, 123_456_789.0, 1e21] {
            let read: Row = serde_json::from_str(&row(1, &[("x", value)]).line()).unwrap();
            assert_eq!(read.get("x"), Some(value));
        }
    }

    fn in_folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(path(folder.path()), text).unwrap();
        folder
    }

    #[test]
    fn a_log_that_is_cut_anywhere_can_be_read() {
        let lines = [row(1, &[("loss", 0.5)]).line(), row(2, &[("löss", 0.25)]).line()];
        let whole = lines.concat().into_bytes();
        let folder = tempfile::tempdir().unwrap();
        for end in 0..=whole.len() {
            std::fs::write(path(folder.path()), &whole[..end]).unwrap();
            let complete =
                if end >= whole.len() - 1 { 2 } else { usize::from(end + 1 >= lines[0].len()) };
            assert_eq!(History::read(folder.path()).unwrap().rows.len(), complete, "{end}");
        }
    }

    #[test]
    fn a_damaged_line_is_named() {
        for (text, expected) in [
            ("{\"step\":1,\"time\":1}\nhello\n", "line 2: expected value"),
            ("{\"time\":1}\n", "line 1: missing field `step`"),
            ("{\"step\":-1,\"time\":1}\n", "line 1: invalid value: integer `-1`, expected u64"),
            ("{\"step\":1,\"time\":1,\"x\":\"big\"}\n", "line 1: invalid value: string \"big\""),
            ("{\"step\":1,\"time\":1,\"x\":[]}\n", "line 1: invalid type: sequence"),
            ("\n", "line 1: EOF while parsing a value"),
        ] {
            let error = History::read(in_folder(text).path()).unwrap_err().to_string();
            assert!(error.contains(&format!("metrics.jsonl: found {expected}")), "{error}");
        }
        let error = History::read(tempfile::tempdir().unwrap().path()).unwrap_err();
        assert!(matches!(error, FileError::Io { .. }), "{error}");
    }

    #[test]
    fn a_cut_leaves_the_first_rows() {
        let lines: Vec<String> = [0, 1, 5, 2, 3].map(|step| row(step, &[("x", 0.5)]).line()).into();
        let whole = lines.concat();
        let time = 1_732_600_000.125;
        for (text, keep, removed, left) in [
            (whole.clone(), 2, 3, lines[..2].concat()),
            (whole.clone(), 5, 0, whole.clone()),
            (whole.clone(), 0, 5, String::new()),
            (whole.clone() + "{\"step\":4", 5, 0, whole.clone()),
            (whole.clone() + "\0\0\0", 5, 0, whole.clone()),
            (whole.trim_end().into(), 5, 0, whole.clone()),
        ] {
            let folder = in_folder(&text);
            let cut = cut(folder.path(), keep).unwrap();
            let step = [None, Some(0), Some(1), None, None, Some(5)][keep as usize];
            assert_eq!(cut, Cut { rows: keep, step, time, removed, warning: None });
            assert_eq!(std::fs::read_to_string(path(folder.path())).unwrap(), left);
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(cut(folder.path(), 0).unwrap(), Cut::default());
    }

    #[test]
    fn damage_after_the_rows_ends_the_log_with_a_warning() {
        let lines: Vec<String> = [1, 2, 3].map(|step| row(step, &[("x", 0.5)]).line()).into();
        let damaged = lines[..2].concat() + "\0\0\n" + &lines[2];
        let folder = in_folder(&damaged);
        let error = cut(folder.path(), 3).unwrap_err().to_string();
        assert!(error.contains("found line 3: expected value, "), "{error}");
        assert_eq!(std::fs::read_to_string(path(folder.path())).unwrap(), damaged);
        let after = cut(folder.path(), 2).unwrap();
        assert!(after.warning.unwrap().contains("found line 3: expected value, "));
        assert_eq!(std::fs::read_to_string(path(folder.path())).unwrap(), lines[..2].concat());
        assert_eq!(cut(folder.path(), 2).unwrap().warning, None);
    }

    #[test]
    fn missing_rows_are_a_warning() {
        let folder = in_folder(&row(1, &[]).line());
        let warning = cut(folder.path(), 3).unwrap().warning.unwrap();
        assert!(warning.contains("metrics.jsonl: found 1 rows, expected 3, as at"), "{warning}");
    }
}
