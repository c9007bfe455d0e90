//! Columns of a table as the features of a tensor.

use super::column::{Encoded, Encoding, Fitted};
use crate::table::Table;
use crate::value_error::ValueError;
use adamant_tensor::{Array, Mismatch, StateDict, StateError, Stateful, Tensor};
use std::collections::HashSet;

/// Turns the columns of a table into a tensor `[rows, features]`.
///
/// The features come in the order in which the columns were named. Statistics and categories are
/// those of the table that it was [`fit`](TableEncoder::fit) to, the training part. A missing
/// number becomes the mean of the column, and a missing category becomes zeros.
///
/// scikit-learn: `ColumnTransformer` with `StandardScaler`, then `SimpleImputer` of 0, and with
/// `OneHotEncoder`.
///
/// ```
/// use adamant_data::{Table, TableEncoder};
/// use adamant_tensor::Stateful;
/// let train = Table::new()
///     .with_numbers("age", [Some(20.0), Some(40.0), None])
///     .with_strings("kind", ["a", "b", "a"]);
/// let mut encoder = TableEncoder::new().standardize(["age"]).one_hot(["kind"]);
/// encoder.fit(&train).unwrap();
/// assert_eq!(encoder.feature_names(), ["age", "kind=a", "kind=b"]);
///
/// let x = encoder.transform(&train).unwrap();
/// assert_eq!(x.shape(), [3, 3]);
/// assert_eq!(x.to_vec(), [-1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
///
/// // A program that only predicts.
/// let mut loaded = TableEncoder::new();
/// loaded.load_state_dict(&encoder.state_dict()).unwrap();
/// let new = Table::new().with_numbers("age", [50.0]).with_strings("kind", ["c"]);
/// let error = loaded.transform(&new).unwrap_err().to_string();
/// assert_eq!(error, "row 0, column `kind`: found \"c\", expected one of [\"a\", \"b\"]");
/// ```
#[derive(Clone, Debug, Default)]
pub struct TableEncoder {
    columns: Vec<Encoded>,
    ignore_unknown: bool,
}

impl TableEncoder {
    /// An encoder without columns, to which columns are added, or which takes them from a state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds columns of numbers as they are: a feature for each.
    ///
    /// # Panics
    /// If a column was added before.
    #[must_use]
    #[track_caller]
    pub fn keep(self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with("keep", Encoding::Keep, columns)
    }

    /// Adds columns of numbers as `(x − mean) / std`: a feature for each. A constant column is not
    /// scaled.
    ///
    /// # Panics
    /// If a column was added before.
    #[must_use]
    #[track_caller]
    pub fn standardize(self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with("standardize", Encoding::Standardize, columns)
    }

    /// Adds columns of strings or numbers as categories: a feature for each category, which is 1 in
    /// the rows of the category and 0 in the others.
    ///
    /// # Panics
    /// If a column was added before.
    #[must_use]
    #[track_caller]
    pub fn one_hot(self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.with("one_hot", Encoding::OneHot, columns)
    }

    #[track_caller]
    fn with(
        mut self,
        function: &str,
        encoding: Encoding,
        columns: impl IntoIterator<Item: Into<String>>,
    ) -> Self {
        for name in columns {
            let name = name.into();
            assert!(
                self.columns.iter().all(|column| column.name != name),
                "{function}: column `{name}` was already added; expected each column once"
            );
            self.columns.push(Encoded { name, encoding, fitted: None });
        }
        self
    }

    /// Whether a category that the training part does not have becomes zeros, or is an error; default
    /// `false`.
    ///
    /// An option of the program, not of what was learned: a state does not contain it, and an
    /// encoder that loads one keeps its own.
    #[must_use]
    pub fn ignore_unknown(mut self, on: bool) -> Self {
        self.ignore_unknown = on;
        self
    }

    /// Learns means, standard deviations and categories from a table: the training part only, so
    /// that nothing about the other parts is known in training.
    ///
    /// # Errors
    /// If a column does not exist, contains strings that should be numbers, or has no values.
    /// Nothing is changed then.
    pub fn fit(&mut self, train: &Table) -> Result<(), ValueError> {
        let fitted = self.columns.iter().map(|column| column.fit(train));
        let fitted = fitted.collect::<Result<Vec<_>, _>>()?;
        for (column, fitted) in self.columns.iter_mut().zip(fitted) {
            column.fitted = Some(fitted);
        }
        Ok(())
    }

    /// The features of each row: `[rows, features]`.
    ///
    /// # Errors
    /// If a column does not exist or contains strings that should be numbers, a category is
    /// unknown, or a feature is beyond `f32`: the message names the row, or its file and line.
    ///
    /// # Panics
    /// If neither [`fit`](TableEncoder::fit) nor a state came before.
    #[track_caller]
    pub fn transform(&self, table: &Table) -> Result<Tensor, ValueError> {
        let (rows, features) = (table.len(), self.width("transform"));
        let mut written = Ok(());
        let array = Array::try_build([rows, features].into(), |values| {
            values.fill(0.0);
            written = self.write(table, values, features);
        });
        written?;
        // A column of names that are all different has a feature for each row.
        let array = array.map_err(|_| {
            let found = format!("{features} features in {rows} rows");
            ValueError::new(table.name(), found, "a tensor that fits in memory")
        })?;
        Ok(array.into())
    }

    /// Writes the features that are not 0.
    fn write(&self, table: &Table, values: &mut [f32], features: usize) -> Result<(), ValueError> {
        let mut first = 0;
        for column in &self.columns {
            let fitted = column.fitted("transform");
            column.write(fitted, table, self.ignore_unknown, |row, feature, value| {
                values[row * features + first + feature] = value;
            })?;
            first += fitted.width();
        }
        Ok(())
    }

    /// The number of features.
    ///
    /// # Panics
    /// If neither [`fit`](TableEncoder::fit) nor a state came before.
    #[must_use]
    #[track_caller]
    pub fn num_features(&self) -> usize {
        self.width("num_features")
    }

    #[track_caller]
    fn width(&self, function: &str) -> usize {
        let mut width = 0;
        for column in &self.columns {
            width += column.fitted(function).width();
        }
        width
    }

    /// The names of the features: that of the column, or `column=category`.
    ///
    /// # Panics
    /// If neither [`fit`](TableEncoder::fit) nor a state came before.
    #[must_use]
    #[track_caller]
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for column in &self.columns {
            let name = &column.name;
            match column.fitted("feature_names") {
                Fitted::Numbers(_) => names.push(name.clone()),
                Fitted::Categories(categories) => {
                    names.extend(categories.iter().map(|category| format!("{name}={category}")));
                }
            }
        }
        names
    }
}

/// The columns, their statistics and their categories.
///
/// An encoder without columns takes them from the state; the columns of another one must equal
/// those of the state. [`ignore_unknown`](TableEncoder::ignore_unknown) is an option of the program
/// and not part of the state.
impl Stateful for TableEncoder {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("columns", self.columns.len() as i64);
        for (index, column) in self.columns.iter().enumerate() {
            state.insert_part(&index.to_string(), column.state_dict());
        }
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.columns = self.read(state)?;
        Ok(())
    }
}

impl TableEncoder {
    fn read(&self, state: &StateDict) -> Result<Vec<Encoded>, StateError> {
        let mut errors = StateError::new();
        let found = errors.take(state.int("columns"));
        let count = found.and_then(|count| usize::try_from(count).ok());
        let fits = |count: &usize| match self.columns.len() {
            0 => *count < state.len(), // each has an entry, and `columns` is one
            columns => *count == columns,
        };
        let Some(count) = count.filter(fits) else {
            let expected = match self.columns.len() {
                0 => "the number of columns".to_string(),
                columns => columns.to_string(),
            };
            if let Some(value) = state.get("columns").filter(|_| found.is_some()) {
                errors.push(Mismatch::wrong("columns", value.kind(), expected));
            }
            return Err(errors);
        };
        let parts: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let known: HashSet<&str> = parts.iter().map(String::as_str).collect();
        let of_part = |name: &&str| name.split_once('.').is_some_and(|(p, _)| known.contains(p));
        errors.check_names(state, state.keys().filter(of_part).chain(["columns"]));
        let mut columns: Vec<Encoded> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            match Encoded::read(&state.part(part), self.columns.get(index)) {
                Ok(column) if columns.iter().any(|other| other.name == column.name) => {
                    let name = format!("{part}.name");
                    errors.push(Mismatch::wrong(name, column.name, "each column once"));
                }
                Ok(column) => columns.push(column),
                Err(error) => errors.extend(part, Err(error)),
            }
        }
        errors.into_result()?;
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::Value;

    fn train() -> Table {
        Table::new()
            .with_numbers("x", [Some(1.0), None, Some(3.0)])
            .with_numbers("constant", [0.5, 0.5, 0.5])
            .with_strings("s", [Some("b"), Some("a"), None])
            .with_numbers("stars", [10.0, 9.0, 10.0])
    }

    fn encoder() -> TableEncoder {
        TableEncoder::new().standardize(["x", "constant"]).one_hot(["s", "stars"])
    }

    fn fitted() -> TableEncoder {
        let mut encoder = encoder();
        encoder.fit(&train()).unwrap();
        encoder
    }

    #[test]
    fn missing_and_constant_values_become_zeros() {
        let encoder = fitted();
        let names = ["x", "constant", "s=a", "s=b", "stars=9", "stars=10"];
        assert_eq!(encoder.feature_names(), names);
        let x = encoder.transform(&train()).unwrap();
        assert_eq!(x.shape(), [3, 6]);
        assert_eq!(x.narrow(0, 0, 1).to_vec(), [-1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(x.narrow(0, 1, 1).to_vec(), [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(x.narrow(0, 2, 1).to_vec(), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(encoder.transform(&train().rows(&[])).unwrap().shape(), [0, 6]);
    }

    #[test]
    fn kept_columns_stay_as_they_are() {
        let mut encoder = TableEncoder::new().keep(["x"]);
        encoder.fit(&train()).unwrap();
        assert_eq!(encoder.transform(&train()).unwrap().to_vec(), [1.0, 2.0, 3.0]);
        let mut none = TableEncoder::new();
        none.fit(&train()).unwrap();
        assert_eq!(none.transform(&train()).unwrap().shape(), [3, 0]);
    }

    #[test]
    fn unknown_categories_are_an_error_or_zeros() {
        let new = train().rows(&[0]);
        let mut encoder = encoder();
        encoder.fit(&train().rows(&[1])).unwrap_err(); // `x` has no values there
        encoder.fit(&train().rows(&[2, 1])).unwrap();
        let error = encoder.transform(&new).unwrap_err().to_string();
        assert_eq!(error, "row 0, column `s`: found \"b\", expected one of [\"a\"]");
        let zeros = encoder.ignore_unknown(true).transform(&new).unwrap();
        assert_eq!(zeros.to_vec()[2..], [0.0, 0.0, 1.0]);
        // The option is the program's: a state neither contains nor changes it.
        let state = fitted().state_dict();
        let unknown = Table::new()
            .with_numbers("x", [1.0])
            .with_numbers("constant", [0.5])
            .with_strings("s", ["c"])
            .with_numbers("stars", [9.0]);
        for ignore in [false, true] {
            let mut loaded = TableEncoder::new().ignore_unknown(ignore);
            loaded.load_state_dict(&state).unwrap();
            assert_eq!(loaded.transform(&unknown).is_ok(), ignore);
        }
    }

    #[test]
    fn columns_that_cannot_be_fitted_are_named() {
        let error = |encoder: TableEncoder, table: &Table| {
            let mut encoder = encoder;
            let before = encoder.state_dict();
            let error = encoder.fit(table).unwrap_err().to_string();
            assert_eq!(encoder.state_dict(), before);
            error
        };
        let empty = Table::new()
            .with_numbers("x", [None::<f64>])
            .with_strings("s", [None::<&str>])
            .with_numbers("huge", [1e200]);
        let x = TableEncoder::new().keep(["x"]);
        let expected = "table, column `x`: found no values, expected numbers with a mean";
        assert_eq!(error(x, &empty), expected);
        let s = TableEncoder::new().one_hot(["s"]);
        let expected = "table, column `s`: found no values, expected at least one category";
        assert_eq!(error(s.clone(), &empty), expected);
        assert!(error(s, &Table::new()).contains("found no column `s`, expected one of []"));
        let strings = error(TableEncoder::new().standardize(["s"]), &empty);
        assert!(strings.contains("found a column of strings, expected a column of numbers"));
        let mut huge = TableEncoder::new().keep(["huge"]);
        huge.fit(&empty).unwrap();
        let error = huge.transform(&empty).unwrap_err().to_string();
        let expected = "row 0, column `huge`: found 1e200, expected a feature in the range of f32";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_state_loads_into_a_fresh_and_an_equal_encoder() {
        let state = fitted().state_dict();
        for mut other in [TableEncoder::new(), encoder(), fitted()] {
            other.load_state_dict(&state).unwrap();
            assert_eq!(other.state_dict(), state);
            let (x, y) = (fitted().transform(&train()), other.transform(&train()));
            assert_eq!(x.unwrap().to_vec(), y.unwrap().to_vec());
        }
        let mut unfitted = fitted();
        unfitted.load_state_dict(&encoder().state_dict()).unwrap();
        assert_eq!(unfitted.state_dict(), encoder().state_dict());
    }

    #[test]
    fn a_state_of_other_columns_changes_nothing() {
        let mut encoder = TableEncoder::new().standardize(["x"]).keep(["s"]);
        let error = encoder.load_state_dict(&fitted().state_dict()).unwrap_err().to_string();
        assert!(error.contains("`columns`: found the integer 4, expected 2"), "{error}");
        let mut encoder = TableEncoder::new().one_hot(["x", "a", "s", "stars"]);
        let before = encoder.state_dict();
        let error = encoder.load_state_dict(&fitted().state_dict()).unwrap_err().to_string();
        assert!(error.contains("`0.encoding`: found standardize, expected one_hot"), "{error}");
        assert!(error.contains("`1.name`: found constant, expected a"), "{error}");
        assert_eq!(encoder.state_dict(), before);
    }

    /// Each entry missing, of another type, or changed; and one too many.
    #[test]
    fn a_damaged_state_changes_nothing() {
        let state = fitted().state_dict();
        let mut encoder = TableEncoder::new();
        let names: Vec<String> = state.keys().map(str::to_string).collect();
        let rejected = |encoder: &mut TableEncoder, state: &StateDict, why: &str| {
            assert!(encoder.check_state_dict(state).is_err(), "{why}");
            assert!(encoder.load_state_dict(state).is_err(), "{why}");
            assert_eq!(encoder.columns, []);
        };
        for name in &names {
            let mut damaged = state.clone();
            damaged.remove(name);
            rejected(&mut encoder, &damaged, name);
            for value in [Value::Int(-1), Value::Int(i64::MAX), Value::Float(f64::NAN)] {
                damaged.insert(name.as_str(), value);
                rejected(&mut encoder, &damaged, name);
            }
        }
        for (name, value) in [
            ("0.scale", Value::from(0.0)),
            ("1.name", "x".into()),
            ("2.encoding", "two_hot".into()),
            ("2.category.1", "a".into()),
            ("2.category.01", "c".into()),
            ("4.name", "y".into()),
            ("+1.name", "y".into()),
            ("more", "y".into()),
        ] {
            let mut damaged = state.clone();
            damaged.insert(name, value);
            rejected(&mut encoder, &damaged, name);
        }
        rejected(&mut encoder, &StateDict::new(), "an empty state");
    }

    #[test]
    #[should_panic(
        expected = "transform: column `x` is not fitted; expected fit or load_state_dict"
    )]
    fn a_fit_comes_first() {
        let _ = encoder().transform(&train());
    }

    #[test]
    #[should_panic(expected = "one_hot: column `x` was already added; expected each column once")]
    fn a_column_is_added_once() {
        let _ = TableEncoder::new().keep(["x"]).one_hot(["x"]);
    }
}
