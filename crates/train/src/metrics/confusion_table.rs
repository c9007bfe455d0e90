//! The confusion matrix as a table.

use super::confusion_matrix::ConfusionMatrix;
use std::fmt;

/// The most columns of text that a table takes.
const WIDTH: usize = 60;
/// The heading of the first column, which sets its width.
const TARGET: &str = "target";
/// The width of the last column: `    100.0 %`.
const RECALL: usize = 11;

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = self.rows().flatten().copied().max().unwrap_or(0);
        let digits = largest.max(self.classes() as u64 - 1).to_string().len();
        let cell = (digits + 1).max(4);
        let counts = TARGET.len() + self.classes() * cell;
        if counts <= WIDTH {
            all_counts(self, cell, counts + RECALL <= WIDTH, f)
        } else {
            most_frequent_errors(self, f)
        }
    }
}

/// Each count, in a cell of this width; then each recall, if they fit.
fn all_counts(
    matrix: &ConfusionMatrix,
    cell: usize,
    recalls_fit: bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let indent = TARGET.len() + cell - 1;
    write!(f, "{:indent$}predicted\n{TARGET}", "")?;
    (0..matrix.classes()).try_for_each(|class| write!(f, "{class:>cell$}"))?;
    if recalls_fit {
        write!(f, "{:>RECALL$}", "recall")?;
    }
    for (target, row) in matrix.rows().enumerate() {
        write!(f, "\n{target:>width$}", width = TARGET.len())?;
        row.iter().try_for_each(|count| write!(f, "{count:>cell$}"))?;
        if recalls_fit {
            f.write_str(&recall(row, target))?;
        }
    }
    Ok(())
}

/// A line for each class: the wrong prediction that its samples get most often.
fn most_frequent_errors(matrix: &ConfusionMatrix, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{TARGET}{:>13}{:>RECALL$}    most often mistaken for", "samples", "recall")?;
    for (target, row) in matrix.rows().enumerate() {
        let samples: u64 = row.iter().sum();
        write!(f, "\n{target:>width$}{samples:>13}", width = TARGET.len())?;
        f.write_str(&recall(row, target))?;
        let errors = row.iter().enumerate().filter(|&(class, &count)| class != target && count > 0);
        // Of equal counts, the first class.
        if let Some((class, count)) = errors.rev().max_by_key(|(_, count)| **count) {
            write!(f, "    {class} ({count})")?;
        }
    }
    Ok(())
}

/// The recall of a row, in percent, as wide as its column.
fn recall(row: &[u64], target: usize) -> String {
    match row.iter().sum::<u64>() {
        0 => format!("{:>RECALL$}", "-"),
        samples => {
            let percent = 100.0 * row[target] as f64 / samples as f64;
            format!("{:>RECALL$}", format!("{percent:.1} %"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes of which each is predicted as itself `count` times, and once as the next.
    fn matrix(classes: usize, count: usize) -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(classes);
        for class in 0..classes {
            matrix.update_predictions(&vec![class; count], &vec![class; count]);
            matrix.update_predictions(&[(class + 1) % classes], &[class]);
        }
        matrix
    }

    #[test]
    fn tables_fit_in_60_columns() {
        for (classes, count) in [(1, 0), (2, 1_000_000), (8, 999), (10, 9999), (10, 7), (1000, 3)] {
            let table = matrix(classes, count).to_string();
            let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= WIDTH, "{widest} columns:\n{table}");
        }
    }

    #[test]
    fn recalls_are_left_out_where_counts_need_the_room() {
        let lines = |count| matrix(10, count).to_string().lines().map(String::from).collect();
        let (narrow, wide): (Vec<String>, Vec<String>) = (lines(980), lines(1000));
        let row = "     1   0 980   1   0   0   0   0   0   0   0     99.9 %";
        assert_eq!(narrow[3], row);
        let row = "     1    0 1000    1    0    0    0    0    0    0    0";
        assert_eq!(wide[3], row);
    }

    #[test]
    fn a_wide_matrix_shows_the_most_frequent_errors() {
        let mut matrix = matrix(14, 3);
        matrix.update_predictions(&[7, 7, 7, 3, 3], &[2; 5]);
        let table = matrix.to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "target      samples     recall    most often mistaken for");
        assert_eq!(lines[1], "     0            4     75.0 %    1 (1)");
        assert_eq!(lines[3], "     2            9     33.3 %    3 (3)");
        matrix.reset();
        assert_eq!(matrix.to_string().lines().nth(1), Some("     0            0          -"));
    }
}
