//! The values of a column.

/// The values of a column, one for each row; `None` where the value is missing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Column {
    /// Finite numbers.
    Numbers(Vec<Option<f64>>),
    Strings(Vec<Option<String>>),
}

impl Column {
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Numbers(values) => values.len(),
            Column::Strings(values) => values.len(),
        }
    }

    /// What the column holds, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Column::Numbers(_) => "a column of numbers",
            Column::Strings(_) => "a column of strings",
        }
    }

    pub(super) fn rows(&self, rows: &[usize]) -> Column {
        match self {
            Column::Numbers(values) => {
                Column::Numbers(rows.iter().map(|&row| values[row]).collect())
            }
            Column::Strings(values) => {
                Column::Strings(rows.iter().map(|&row| values[row].clone()).collect())
            }
        }
    }

    /// The value of a row as a category: a string, or a number as Rust prints it.
    pub(crate) fn category(&self, row: usize) -> Option<String> {
        match self {
            // Adding 0 makes 0 of −0.
            Column::Numbers(values) => values[row].map(|value| (value + 0.0).to_string()),
            Column::Strings(values) => values[row].clone(),
        }
    }

    /// The different values as categories, in ascending order; without missing values.
    pub(crate) fn categories(&self) -> Vec<String> {
        match self {
            Column::Numbers(values) => {
                let mut numbers: Vec<f64> = values.iter().flatten().map(|x| x + 0.0).collect();
                numbers.sort_unstable_by(f64::total_cmp);
                numbers.dedup();
                numbers.iter().map(f64::to_string).collect()
            }
            Column::Strings(values) => {
                let mut strings: Vec<&String> = values.iter().flatten().collect();
                strings.sort_unstable();
                strings.dedup();
                strings.into_iter().cloned().collect()
            }
        }
    }
}

/// A finite number. An infinite one, also for overflow, would make infinite statistics.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The value that made a column one of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NonNumber {
    pub(super) line: u64,
    pub(super) text: String,
    /// What a number would have been.
    pub(super) expected: &'static str,
}

impl NonNumber {
    /// The text, if a column with it contains strings: it is not a number, or another text, such as
    /// another code or identifier, would be the same number.
    pub(super) fn of(text: &str, line: u64) -> Option<Self> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
        let expected = if parse_number(text).is_none() {
            "a finite number"
        } else if is_integer && digits.len() > 1 && digits.starts_with('0') {
            "an integer without leading zeros"
        } else if is_integer && !digits.parse().is_ok_and(|integer: u64| integer <= 1 << 53) {
            "an integer up to 2^53, which an f64 represents exactly"
        } else {
            return None;
        };
        Some(NonNumber { line, text: text.into(), expected })
    }
}
