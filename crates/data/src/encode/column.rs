//! One column and its encoding.

use super::statistics::Statistics;
use crate::messages::{one_of, quoted};
use crate::table::{Column, Table};
use crate::value_error::ValueError;
use adamant_tensor::{Mismatch, StateDict, StateError};
use std::collections::{HashMap, HashSet};

/// A column and its encoding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Encoded {
    pub(super) name: String,
    pub(super) encoding: Encoding,
    /// What was learned from the training part.
    pub(super) fitted: Option<Fitted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Keep,
    Standardize,
    OneHot,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fitted {
    Numbers(Statistics),
    /// A category's index is that of its feature.
    Categories(Vec<String>),
}

impl Encoding {
    const ALL: [(Encoding, &str); 3] = [
        (Encoding::Keep, "keep"),
        (Encoding::Standardize, "standardize"),
        (Encoding::OneHot, "one_hot"),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Fitted {
    /// The number of features.
    pub(super) fn width(&self) -> usize {
        match self {
            Fitted::Numbers(_) => 1,
            Fitted::Categories(categories) => categories.len(),
        }
    }
}

impl Encoded {
    /// What `train` says about the column.
    pub(super) fn fit(&self, train: &Table) -> Result<Fitted, ValueError> {
        let at = || format!("{}, column `{}`", train.name(), self.name);
        if self.encoding == Encoding::OneHot {
            let categories = train.column(&self.name)?.categories();
            return match categories.is_empty() {
                true => Err(ValueError::new(at(), "no values", "at least one category")),
                false => Ok(Fitted::Categories(categories)),
            };
        }
        let values = train.numbers(&self.name)?.iter().flatten().copied();
        let found = if values.clone().next().is_none() { "no values" } else { "values too large" };
        let error = || ValueError::new(at(), found, "numbers with a mean");
        Statistics::of(values).map(Fitted::Numbers).ok_or_else(error)
    }

    #[track_caller]
    pub(super) fn fitted(&self, function: &str) -> &Fitted {
        match &self.fitted {
            Some(fitted) => fitted,
            None => panic!(
                "{function}: column `{}` is not fitted; expected fit or load_state_dict before",
                self.name
            ),
        }
    }

    /// Calls `set` with row, feature and value, for values other than 0.
    pub(super) fn write(
        &self,
        fitted: &Fitted,
        table: &Table,
        ignore_unknown: bool,
        mut set: impl FnMut(usize, usize, f32),
    ) -> Result<(), ValueError> {
        match fitted {
            Fitted::Numbers(Statistics { mean, scale }) => {
                for (row, value) in table.numbers(&self.name)?.iter().enumerate() {
                    let value = value.unwrap_or(*mean);
                    let feature = match self.encoding {
                        Encoding::Standardize => (value - mean) / scale,
                        _ => value,
                    } as f32;
                    if !feature.is_finite() {
                        let (at, found) = (table.position(row, &self.name), format!("{value:e}"));
                        return Err(ValueError::new(at, found, "a feature in the range of f32"));
                    }
                    set(row, 0, feature);
                }
            }
            Fitted::Categories(categories) => {
                let features: HashMap<&str, usize> =
                    categories.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
                let column: &Column = table.column(&self.name)?;
                for row in 0..table.len() {
                    let Some(category) = column.category(row) else { continue };
                    match features.get(category.as_str()) {
                        Some(&feature) => set(row, feature, 1.0),
                        None if ignore_unknown => {}
                        None => {
                            let at = table.position(row, &self.name);
                            let (found, expected) = (quoted(&category), one_of(categories));
                            return Err(ValueError::new(at, found, expected));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("name", self.name.as_str());
        state.insert("encoding", self.encoding.name());
        match &self.fitted {
            None => {}
            Some(Fitted::Numbers(Statistics { mean, scale })) => {
                state.insert("mean", *mean);
                state.insert("scale", *scale);
            }
            Some(Fitted::Categories(categories)) => {
                state.insert("categories", categories.len() as i64);
                for (index, category) in categories.iter().enumerate() {
                    state.insert(format!("category.{index}"), category.as_str());
                }
            }
        }
        state
    }

    /// The column of a state; `expected` is the one that loads it, if it is known.
    pub(super) fn read(state: &StateDict, expected: Option<&Self>) -> Result<Self, StateError> {
        let mut errors = StateError::new();
        let name = errors.take(state.text("name")).unwrap_or_default();
        let encoding = errors.take(state.text("encoding")).unwrap_or_default();
        if let Some(expected) = expected {
            for (entry, found, expected) in [
                ("name", name, expected.name.as_str()),
                ("encoding", encoding, expected.encoding.name()),
            ] {
                if found != expected {
                    errors.push(Mismatch::wrong(entry, found, expected));
                }
            }
        }
        let Some(&(encoding, _)) = Encoding::ALL.iter().find(|(_, name)| *name == encoding) else {
            let names = Encoding::ALL.map(|(_, name)| name);
            errors.push(Mismatch::wrong("encoding", encoding, format!("one of {names:?}")));
            return Err(errors);
        };
        let mut known = vec!["name".to_string(), "encoding".into()];
        let others = state.len().saturating_sub(known.len());
        let fitted = match encoding {
            _ if others == 0 => None, // of an encoder that was not fitted
            Encoding::OneHot => {
                // Each category has an entry, and `categories` is one; others are unexpected.
                let count = errors.take(state.int("categories")).unwrap_or(0);
                if !usize::try_from(count).is_ok_and(|count| 0 < count && count <= others) {
                    let expected = "the number of categories";
                    errors.push(Mismatch::wrong("categories", count.to_string(), expected));
                    return Err(errors);
                }
                let entries: Vec<String> = (0..count).map(|i| format!("category.{i}")).collect();
                let categories = entries
                    .iter()
                    .filter_map(|entry| errors.take(state.text(entry)).map(str::to_string));
                let categories: Vec<String> = categories.collect();
                let mut different = HashSet::new();
                if let Some(twice) = categories.iter().find(|name| !different.insert(*name)) {
                    let expected = "each category once";
                    errors.push(Mismatch::wrong("category", format!("{twice:?} twice"), expected));
                }
                known.push("categories".into());
                known.extend(entries);
                Some(Fitted::Categories(categories))
            }
            Encoding::Keep | Encoding::Standardize => {
                known.extend(["mean".into(), "scale".into()]);
                let mean = errors.take(state.float("mean"));
                let scale = errors.take(state.float("scale"));
                mean.zip(scale).map(|(mean, scale)| {
                    let statistics = Statistics { mean, scale };
                    if !statistics.is_valid() {
                        let found = format!("{scale} with mean {mean}");
                        let expected = "finite numbers, the scale above 0";
                        errors.push(Mismatch::wrong("scale", found, expected));
                    }
                    Fitted::Numbers(statistics)
                })
            }
        };
        errors.check_names(state, known.iter().map(String::as_str));
        errors.into_result()?;
        Ok(Encoded { name: name.into(), encoding, fitted })
    }
}
