//! What a run was started with, `config.json`.

use super::names::CONFIG;
use adamant_files::{FileError, write_atomically};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What a run was started and resumed with: the file `config.json` in its folder.
///
/// ```
/// use adamant_train::{Run, RunConfig};
/// # use adamant_tensor::Generator;
/// # let runs = tempfile::tempdir().unwrap();
/// # let folder = runs.path().join("digits");
/// # let mut training = Generator::seed(0); // anything with a state
/// let run = Run::open(&folder)?.config("lr", 1e-3).quiet().resume(&mut training)?;
/// let session = RunConfig::read(&folder)?.sessions.pop().unwrap();
/// assert_eq!((session.step, session.config["lr"].as_str()), (0, "0.001"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Each start of the program, the last one at the end.
    pub sessions: Vec<Session>,
}

/// One start of a program that trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The time in seconds since 1970.
    pub started: f64,
    /// The step after which it resumed; 0 at the beginning of the run.
    pub step: u64,
    /// The path by which the program was started.
    pub program: String,
    /// The program's version, if [`RunFolder::version`](crate::RunFolder::version) has set it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The version of adamant.
    pub adamant: String,
    /// The arguments of the program.
    pub arguments: Vec<String>,
    /// The name of the computer, if known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// The process ID.
    pub process: u32,
    /// What [`RunFolder::config`](crate::RunFolder::config) has set. In the file, what is a number is
    /// a number.
    #[serde(with = "values")]
    pub config: BTreeMap<String, String>,
    /// Whether the run is [finished](crate::Run::finish), in this session or, if this one performed
    /// no further step, in the one before.
    #[serde(default)]
    pub finished: bool,
}

impl RunConfig {
    /// Reads the file in a run's folder.
    ///
    /// # Errors
    /// If it cannot be read, or is not the configuration of a run.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = folder.as_ref().join(CONFIG);
        let (file, _) = adamant_files::open(&path)?;
        let text = io::read_to_string(file).map_err(|error| FileError::io(&path, error))?;
        serde_json::from_str(&text).map_err(|error| {
            FileError::format(&path, error.to_string(), "the configuration of a run")
        })
    }

    /// Like [`read`](Self::read), but returns an empty list of sessions if the file does not exist.
    pub(super) fn read_or_new(folder: &Path) -> Result<Self, FileError> {
        match RunConfig::read(folder) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(RunConfig { sessions: Vec::new() })
            }
            read => read,
        }
    }

    /// Records whether the run is finished after the last session.
    pub(super) fn record(folder: &Path, finished: bool) -> Result<(), FileError> {
        let mut config = RunConfig::read_or_new(folder)?;
        let Some(session) = config.sessions.last_mut() else { return Ok(()) };
        session.finished = finished;
        config.write(folder)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), FileError> {
        let mut text = serde_json::to_string_pretty(self).expect("strings and numbers");
        text.push('\n');
        write_atomically(&folder.join(CONFIG), |out| out.write_all(text.as_bytes()))
    }
}

impl Session {
    /// What differs from `before` and may change the results, in words.
    pub(super) fn differences(&self, before: &Session) -> Vec<String> {
        let versions = |session: &Session| {
            let program = session.version.clone();
            [
                ("the program's version", program),
                ("adamant's version", Some(session.adamant.clone())),
            ]
        };
        let changed = |name: &str, was: Option<&String>, is: Option<&String>| {
            let text = |value: Option<&String>| value.map_or("not set".into(), String::clone);
            (was != is).then(|| format!("{name} was {}, is {}", text(was), text(is)))
        };
        let versions = versions(before).into_iter().zip(versions(self));
        let versions =
            versions.filter_map(|((name, was), (_, is))| changed(name, was.as_ref(), is.as_ref()));
        let mut names: Vec<&String> = before.config.keys().chain(self.config.keys()).collect();
        names.sort();
        names.dedup();
        let values = names.into_iter();
        let values =
            values.filter_map(|name| changed(name, before.config.get(name), self.config.get(name)));
        versions.chain(values).collect()
    }
}

/// Values in the file: numbers, as far as their digits are what was set, and strings.
mod values {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Value {
        Integer(i64),
        Float(f64),
        Text(String),
    }

    impl Value {
        fn of(text: &str) -> Self {
            if let Ok(value) = text.parse::<i64>()
                && value.to_string() == text
            {
                return Value::Integer(value);
            }
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() && value.to_string() == text => Value::Float(value),
                _ => Value::Text(text.into()),
            }
        }

        fn text(self) -> String {
            match self {
                Value::Integer(value) => value.to_string(),
                Value::Float(value) => value.to_string(),
                Value::Text(text) => text,
            }
        }
    }

    pub(super) fn serialize<S: Serializer>(
        config: &BTreeMap<String, String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(config.iter().map(|(name, text)| (name, Value::of(text))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        let config = BTreeMap::<String, Value>::deserialize(deserializer)?;
        Ok(config.into_iter().map(|(name, value)| (name, value.text())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(version: Option<&str>, config: &[(&str, &str)]) -> Session {
        Session {
            started: 1_732_600_000.5,
            step: 0,
            program: "train".into(),
            version: version.map(Into::into),
            adamant: "0.1.0".into(),
            arguments: vec!["--lr".into(), "0.1".into()],
            host: None,
            process: 7,
            finished: false,
            config: config.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        }
    }

    #[test]
    fn the_file_round_trips() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = RunConfig::read_or_new(folder.path()).unwrap();
        config.sessions.push(session(Some("1.2"), &[("lr", "0.1")]));
        config.sessions.push(session(None, &[]));
        config.write(folder.path()).unwrap();
        assert_eq!(RunConfig::read(folder.path()).unwrap(), config);
        RunConfig::record(folder.path(), true).unwrap();
        let finished = RunConfig::read(folder.path()).unwrap().sessions;
        assert_eq!(
            finished.iter().map(|session| session.finished).collect::<Vec<_>>(),
            [false, true]
        );
        let missing = RunConfig::read(folder.path().join("missing")).unwrap_err();
        assert!(matches!(missing, FileError::Io { .. }), "{missing}");
        std::fs::write(folder.path().join(CONFIG), "{}").unwrap();
        let error = RunConfig::read_or_new(folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json: found missing field `sessions`"), "{error}");
        assert!(error.ends_with("expected the configuration of a run"), "{error}");
    }

    #[test]
    fn numbers_are_numbers_in_the_file_and_keep_their_digits() {
        let values = [
            ("0.001", "0.001"),
            ("-3", "-3"),
            ("0.0000001", "1e-7"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("1e-3", "\"1e-3\""),
            ("007", "\"007\""),
            ("1.0", "\"1.0\""),
            ("NaN", "\"NaN\""),
            ("adam", "\"adam\""),
            ("123456789012345678901", "\"123456789012345678901\""),
        ];
        for (text, expected) in values {
            let session = session(None, &[("value", text)]);
            let json = serde_json::to_string(&session).unwrap();
            assert!(json.contains(&format!("{{\"value\":{expected}}}")), "{json}");
            assert_eq!(serde_json::from_str::<Session>(&json).unwrap(), session);
        }
    }

    #[test]
    fn differences_name_both_values() {
        let before = session(Some("1.0"), &[("batch", "64"), ("lr", "0.1"), ("old", "1")]);
        assert_eq!(before.differences(&before), [""; 0]);
        let mut now = session(None, &[("batch", "64"), ("lr", "0.2"), ("new", "2")]);
        now.adamant = "0.2.0".into();
        now.arguments = vec![]; // may differ without another result
        assert_eq!(
            now.differences(&before),
            [
                "the program's version was 1.0, is not set",
                "adamant's version was 0.1.0, is 0.2.0",
                "lr was 0.1, is 0.2",
                "new was not set, is 2",
                "old was 1, is not set"
            ]
        );
    }
}
