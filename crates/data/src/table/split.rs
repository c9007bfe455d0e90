//! Parts of a table.

use super::Table;
use crate::error::DataError;
use crate::split::{random_split, stratified_split};
use adamant_tensor::Generator;

impl Table {
    /// Splits the rows at random into parts with these fractions of them, as
    /// [`random_split`](crate::random_split) does.
    ///
    /// # Errors
    /// If a fraction is not within `(0, 1]`, they add up to more than 1, or a part would be empty.
    ///
    /// ```
    /// use adamant_data::Table;
    /// use adamant_tensor::Generator;
    /// let table = Table::new().with_numbers("price", [3.0, 1.0, 4.0, 1.5, 9.0]);
    /// let rng = &mut Generator::seed(0);
    /// let [train, test] = table.random_split([0.8, 0.2], rng).unwrap();
    /// assert_eq!((train.len(), test.len()), (4, 1));
    /// ```
    pub fn random_split<const N: usize>(
        &self,
        fractions: [f64; N],
        rng: &mut Generator,
    ) -> Result<[Table; N], DataError> {
        let rows: Vec<usize> = (0..self.len()).collect();
        Ok(random_split(rows, fractions, rng)?.map(|part| self.rows(part.indices())))
    }

    /// [`random_split`](Table::random_split) with the fractions of each class of a column: every
    /// part has about the same classes.
    ///
    /// scikit-learn: `train_test_split(…, stratify=table[column])`.
    ///
    /// # Errors
    /// As [`random_split`](Table::random_split) and [`classes`](Table::classes).
    ///
    /// ```
    /// use adamant_data::Table;
    /// use adamant_tensor::Generator;
    /// let kinds = ["tea"; 5].into_iter().chain(["coffee"; 15]);
    /// let table = Table::new().with_strings("kind", kinds);
    /// let rng = &mut Generator::seed(0);
    /// let [_, test] = table.stratified_split("kind", [0.8, 0.2], rng).unwrap();
    /// let tea = test.strings("kind").unwrap().iter().filter(|kind| kind.as_deref() == Some("tea"));
    /// assert_eq!((test.len(), tea.count()), (4, 1));
    /// ```
    pub fn stratified_split<const N: usize>(
        &self,
        column: &str,
        fractions: [f64; N],
        rng: &mut Generator,
    ) -> Result<[Table; N], DataError> {
        let classes = self.classes(column)?.indices;
        Ok(stratified_split(classes, fractions, rng)?.map(|part| self.rows(part.indices())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_complete() {
        let ids = || (0..40).map(f64::from);
        let kinds = (0..40).map(|i| if i % 4 == 0 { "tea" } else { "coffee" });
        let table = Table::new().with_numbers("id", ids()).with_strings("kind", kinds);
        let rng = &mut Generator::seed(1);
        let random = table.random_split([0.75, 0.25], rng).unwrap();
        let stratified = table.stratified_split("kind", [0.75, 0.25], rng).unwrap();
        for [train, test] in [random, stratified] {
            assert_eq!((train.len(), test.len()), (30, 10));
            let parts = [train, test].map(|part| part.numbers("id").unwrap().to_vec()).concat();
            let mut found: Vec<f64> = parts.into_iter().flatten().collect();
            assert!(!found.is_sorted());
            found.sort_by(f64::total_cmp);
            assert_eq!(found, ids().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_missing_class_is_named() {
        let table = Table::new().with_strings("kind", [Some("tea"), None]);
        let rng = &mut Generator::seed(0);
        let error = table.stratified_split("kind", [0.5, 0.5], rng).unwrap_err().to_string();
        assert_eq!(error, "row 1, column `kind`: found no value, expected one of [\"tea\"]");
        let error = table.random_split([0.9, 0.2], rng).unwrap_err().to_string();
        assert!(error.contains("random_split: found the fractions [0.9, 0.2]"), "{error}");
    }
}
