//! Why a state does not fit.

use super::dict::{StateDict, joined};
use super::shown::shown;
use std::collections::HashSet;
use std::fmt;

/// One reason why a state does not fit. Its `Display` is a line:
/// `` `weight`: found f32 [2, 3], expected f32 [3, 2] ``.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of an error are named by its message")]
pub enum Mismatch {
    /// The state does not have the name.
    Missing { name: String, expected: String },
    /// The state has another value under the name.
    Wrong { name: String, found: String, expected: String },
    /// The state has a name that the object does not have.
    Unexpected { name: String, found: String },
    /// Anything else, in words that begin with the name in backquotes.
    Other(String),
}

impl Mismatch {
    /// A value that is not as expected.
    pub fn wrong(
        name: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Mismatch::Wrong { name: name.into(), found: found.into(), expected: expected.into() }
    }

    /// The name of the entry, which is empty for a state of one value; `None` for other mismatches.
    fn name(&self) -> Option<&str> {
        match self {
            Mismatch::Missing { name, .. }
            | Mismatch::Wrong { name, .. }
            | Mismatch::Unexpected { name, .. } => Some(name),
            Mismatch::Other(_) => None,
        }
    }

    /// This as a mismatch of the whole that `part` belongs to.
    fn within(self, part: &str) -> Mismatch {
        let longer = |name: String| joined(part, &name);
        match self {
            Mismatch::Missing { name, expected } => {
                Mismatch::Missing { name: longer(name), expected }
            }
            Mismatch::Wrong { name, found, expected } => {
                Mismatch::Wrong { name: longer(name), found, expected }
            }
            Mismatch::Unexpected { name, found } => {
                Mismatch::Unexpected { name: longer(name), found }
            }
            Mismatch::Other(text) => Mismatch::Other(match text.strip_prefix('`') {
                Some(rest) => format!("`{part}.{rest}"),
                None => format!("{part}: {text}"),
            }),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name().filter(|name| !name.is_empty()) {
            write!(f, "`{}`: ", shown(name))?;
        }
        match self {
            Mismatch::Missing { expected, .. } => write!(f, "missing, expected {expected}"),
            Mismatch::Wrong { found, expected, .. } => {
                write!(f, "found {found}, expected {expected}")
            }
            Mismatch::Unexpected { name, found } if name.is_empty() => {
                write!(f, "found {found}, expected entries with names")
            }
            Mismatch::Unexpected { found, .. } => {
                write!(f, "found {found}, expected nothing of this name")
            }
            Mismatch::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Mismatch {}

impl From<String> for Mismatch {
    fn from(text: String) -> Self {
        Mismatch::Other(text)
    }
}

impl From<&str> for Mismatch {
    fn from(text: &str) -> Self {
        Mismatch::Other(text.into())
    }
}

/// Compares the message.
impl PartialEq<&str> for Mismatch {
    fn eq(&self, other: &&str) -> bool {
        self.to_string().as_str() == *other
    }
}

/// Everything that keeps a state from being loaded, a line for each mismatch.
///
/// If the state's names have a prefix that the expected ones do not have, the message ends with
/// the calls that remove it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StateError {
    mismatches: Vec<Mismatch>,
}

crate::debug_as_display!(Mismatch, StateError);

impl From<Mismatch> for StateError {
    fn from(mismatch: Mismatch) -> Self {
        let mut errors = StateError::new();
        errors.push(mismatch);
        errors
    }
}

impl StateError {
    /// An error without mismatches, to collect them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mismatch.
    pub fn push(&mut self, mismatch: impl Into<Mismatch>) {
        self.mismatches.push(mismatch.into());
    }

    /// The value, or `None` with its error added.
    pub fn take<V>(&mut self, result: Result<V, impl Into<Mismatch>>) -> Option<V> {
        result.map_err(|mismatch| self.push(mismatch)).ok()
    }

    /// Adds a mismatch for each name of `state` that is not a known one.
    pub fn check_names<'n>(&mut self, state: &StateDict, known: impl IntoIterator<Item = &'n str>) {
        let known: HashSet<&str> = known.into_iter().collect();
        for (name, value) in state.iter().filter(|(name, _)| !known.contains(name)) {
            self.push(Mismatch::Unexpected { name: name.into(), found: value.kind() });
        }
    }

    /// Adds the mismatches of a part; their names begin with `part.` here.
    pub fn extend(&mut self, part: &str, result: Result<(), StateError>) {
        if let Err(other) = result {
            let within = other.mismatches.into_iter().map(|mismatch| mismatch.within(part));
            self.mismatches.extend(within);
        }
    }

    /// The mismatches, in order.
    #[must_use]
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.mismatches
    }

    /// `Ok` if there is no mismatch.
    ///
    /// # Errors
    /// This, if there is one.
    pub fn into_result(self) -> Result<(), StateError> {
        if self.mismatches.is_empty() { Ok(()) } else { Err(self) }
    }

    /// A prefix whose removal would turn unexpected names into the missing ones, and the part
    /// (empty, or ending with a dot) that both begin with.
    fn surplus_prefix(&self) -> Option<(&str, &str)> {
        let missing = self.mismatches.iter().find_map(|mismatch| match mismatch {
            Mismatch::Missing { name, .. } => Some(name.as_str()),
            _ => None,
        })?;
        let unexpected = || {
            self.mismatches.iter().filter_map(|mismatch| match mismatch {
                Mismatch::Unexpected { name, .. } => Some(name.as_str()),
                _ => None,
            })
        };
        let dots = missing.match_indices('.').map(|(dot, _)| dot + 1);
        [0].into_iter().chain(dots).find_map(|end| {
            let (part, name) = missing.split_at(end);
            let between =
                |found: &'_ str| found.strip_prefix(part)?.strip_suffix(name).map(str::len);
            let found = unexpected().find(|found| between(found).is_some_and(|len| len > 0))?;
            let prefix = &found[end..found.len() - name.len()];
            let mut of_part = unexpected().filter_map(|found| found.strip_prefix(part));
            (prefix.ends_with('.') && of_part.all(|rest| rest.starts_with(prefix)))
                .then_some((part, prefix))
        })
    }
}

/// The number of mismatches in a message; all of them are in [`StateError::mismatches`].
const SHOWN: usize = 20;

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state does not fit; nothing was changed:")?;
        let first = self.mismatches.len().min(SHOWN);
        self.mismatches[..first].iter().try_for_each(|mismatch| write!(f, "\n  {mismatch}"))?;
        if first < self.mismatches.len() {
            write!(f, "\n  … and {} more", self.mismatches.len() - first)?;
        }
        if let Some((part, prefix)) = self.surplus_prefix() {
            let part = part.trim_end_matches('.');
            let whose =
                if part.is_empty() { String::new() } else { format!(" of `{}`", shown(part)) };
            let prefix = shown(prefix);
            write!(f, "\nthe names{whose} begin with `{prefix}`, the expected ones do not: ")?;
            write!(f, "`LoadOptions::rename_prefix(\"{prefix}\", \"\")` or ")?;
            write!(f, "`StateDict::remove_prefix(\"{prefix}\")` removes it")?;
        }
        Ok(())
    }
}

impl std::error::Error for StateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(missing: &[&str], unexpected: &[&str]) -> StateError {
        let mut error = StateError::new();
        for &name in missing {
            error.push(Mismatch::Missing { name: name.into(), expected: "f32 [1]".into() });
        }
        for &name in unexpected {
            error.push(Mismatch::Unexpected { name: name.into(), found: "f32 [1]".into() });
        }
        error
    }

    #[test]
    fn a_surplus_prefix_is_reported_with_its_remedy() {
        let wrapped = error(&["fc.w", "fc.b"], &["module.fc.w", "module.fc.b", "module.seen"]);
        let remedy = "`LoadOptions::rename_prefix(\"module.\", \"\")` or \
                      `StateDict::remove_prefix(\"module.\")` removes it";
        assert!(wrapped.to_string().ends_with(remedy), "{wrapped}");
        let mut whole = StateError::new();
        whole.extend("model", Err(wrapped));
        let text = whole.to_string();
        assert!(text.contains("the names of `model` begin with `module.`"), "{text}");
        assert!(text.ends_with(remedy), "{text}");
    }

    #[test]
    fn names_are_escaped_and_cut() {
        let long = "a".repeat(1000);
        let error = error(&["w"], &["\u{1b}[2J.w", &format!("\u{1b}[2J.{long}")]).to_string();
        assert!(error.contains("`\\u{1b}[2J.w`: found f32 [1]"), "{error}");
        assert!(error.contains("remove_prefix(\"\\u{1b}[2J.\")"), "{error}");
        assert!(!error.contains('\u{1b}') && error.len() < 700, "{error}");
    }

    #[test]
    fn no_remedy_where_it_would_not_help() {
        for other in [
            error(&["fc.w"], &["module.fc.w", "fc2.w"]),
            error(&["fc.w"], &["module.fc.b"]),
            error(&["w"], &["xw"]),
            error(&[], &["module.fc.w"]),
            error(&["fc.w"], &[]),
        ] {
            assert!(!other.to_string().contains("remove_prefix"), "{other}");
        }
    }
}
