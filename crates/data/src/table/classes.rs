//! Class indices of a column.

use super::Table;
use crate::messages::{one_of, quoted};
use crate::value_error::ValueError;
use std::collections::HashMap;

/// A column as classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The class of each row: an index into `names`.
    pub indices: Vec<usize>,
    /// The name of each class.
    pub names: Vec<String>,
}

impl Table {
    /// A column as classes, in ascending order: strings by their bytes, numbers by their values.
    ///
    /// The classes of a part of a table, or of other data, are
    /// [`class_indices`](Table::class_indices) with the names of the whole.
    ///
    /// scikit-learn: `LabelEncoder`.
    ///
    /// # Errors
    /// If the column does not exist or a value is missing.
    ///
    /// ```
    /// use adamant_data::Table;
    /// let table = Table::new().with_strings("kind", ["tea", "coffee", "tea"]);
    /// let classes = table.classes("kind").unwrap();
    /// assert_eq!(classes.names, ["coffee", "tea"]);
    /// assert_eq!(classes.indices, [1, 0, 1]);
    /// ```
    pub fn classes(&self, column: &str) -> Result<Classes, ValueError> {
        let names = self.column(column)?.categories();
        Ok(Classes { indices: self.class_indices(column, &names)?, names })
    }

    /// A column as indices into `names`.
    ///
    /// # Errors
    /// If the column does not exist, a value is missing, or it is not one of the names.
    ///
    /// ```
    /// use adamant_data::Table;
    /// let table = Table::new().with_numbers("stars", [5.0, 1.0]);
    /// assert_eq!(table.class_indices("stars", &["1", "3", "5"]).unwrap(), [2, 0]);
    /// let error = table.class_indices("stars", &["1"]).unwrap_err().to_string();
    /// assert_eq!(error, "row 0, column `stars`: found \"5\", expected one of [\"1\"]");
    /// ```
    pub fn class_indices(
        &self,
        column: &str,
        names: &[impl AsRef<str>],
    ) -> Result<Vec<usize>, ValueError> {
        let values = self.column(column)?;
        let known: HashMap<&str, usize> =
            names.iter().enumerate().map(|(index, name)| (name.as_ref(), index)).collect();
        let index = |row| {
            let value = values.category(row);
            value.as_deref().and_then(|value| known.get(value).copied()).ok_or_else(|| {
                let found = value.map_or("no value".into(), |value| quoted(&value));
                ValueError::new(self.position(row, column), found, one_of(names))
            })
        };
        (0..self.len()).map(index).collect()
    }
}
