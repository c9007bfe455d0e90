//! The files in a manager's folder.

use adamant_files::FileError;
use std::fmt;
use std::fs;
use std::path::Path;

/// The contents of a file's name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Name {
    /// Counts the saves. Steps do not give their order: a run may return to an earlier step.
    pub(crate) number: u64,
    pub(crate) step: u64,
    pub(crate) metric: Option<f64>,
}

impl Name {
    /// `None` for a name that the manager would not write.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (number, rest) = name.strip_suffix(".ckpt")?.split_once("-step-")?;
        let (step, metric) = match rest.split_once("-metric-") {
            Some((step, metric)) => (step, Some(metric.parse().ok()?)),
            None => (rest, None),
        };
        let found = Name { number: number.parse().ok()?, step: step.parse().ok()?, metric };
        found.number.checked_add(1)?; // room for the next save
        (found.to_string() == name).then_some(found)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}-step-{}", self.number, self.step)?;
        if let Some(metric) = self.metric {
            write!(f, "-metric-{metric:?}")?; // `Debug` writes 1e-300 in that form, with all digits
        }
        f.write_str(".ckpt")
    }
}

/// The checkpoints of a manager's folder, in the order in which they were saved.
pub(crate) fn list(folder: &Path) -> Result<Vec<Name>, FileError> {
    let io = |error| FileError::io(folder, error);
    let mut saved = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let Ok(name) = entry.map_err(io)?.file_name().into_string() else { continue };
        saved.extend(Name::parse(&name));
    }
    saved.sort_by_key(|name| name.number);
    Ok(saved)
}

/// Removes files; returns the errors of those that could not be removed.
pub(crate) fn remove(
    folder: &Path,
    names: impl IntoIterator<Item = impl ToString>,
) -> Vec<FileError> {
    let removed = names.into_iter().map(|name| {
        let path = folder.join(name.to_string());
        fs::remove_file(&path).map_err(|error| FileError::io(&path, error))
    });
    removed.filter_map(Result::err).collect()
}

/// Which files to keep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keep {
    pub(crate) last: Option<usize>,
    pub(crate) best: Option<Better>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Better {
    Lower,
    Higher,
}

impl Keep {
    /// The files of `saved` to remove.
    pub(crate) fn surplus(self, saved: &[Name]) -> Vec<Name> {
        let Some(last) = self.last else { return Vec::new() };
        let best = self.best.and_then(|better| best_first(saved, better).first().copied());
        let old = saved[..saved.len().saturating_sub(last)].iter().copied();
        old.filter(|name| best.is_none_or(|best| name.number != best.number)).collect()
    }
}

/// The files with a metric other than NaN, best first; equals in the order of saving.
pub(crate) fn best_first(names: &[Name], better: Better) -> Vec<Name> {
    let mut names = names.to_vec();
    names.retain(|name| name.metric.is_some_and(|metric| !metric.is_nan()));
    names.sort_by(|a, b| {
        let order = a.metric.partial_cmp(&b.metric).expect("not NaN");
        match better {
            Better::Lower => order,
            Better::Higher => order.reverse(),
        }
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_to_their_contents() {
        for metric in [None, Some(0.25), Some(-3.0), Some(1e-300), Some(f64::INFINITY)] {
            let name = Name { number: 12, step: 500, metric };
            assert_eq!(Name::parse(&name.to_string()), Some(name));
        }
        for name in [
            "a.ckpt",
            "12-step-5.ckpt",
            "000012-step-05.ckpt",
            "000012-step-5-metric-0.50.ckpt",
            "000012-step-5",
            "18446744073709551615-step-5.ckpt",
        ] {
            assert_eq!(Name::parse(name), None);
        }
    }
}
