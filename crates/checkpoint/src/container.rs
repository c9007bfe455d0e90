//! A whole run in one file.

use crate::write::Plan;
use adamant_files::{FileError, write_atomically};
use adamant_tensor::{Mismatch, StateDict, StateError, Stateful};
use std::collections::HashSet;
use std::path::Path;

/// A snapshot of everything a run needs to resume, and its file.
///
/// Adding a part shares its arrays; their owner copies them when it next writes to them. So another
/// thread can save a checkpoint while training continues, as [`CheckpointManager`] does.
///
/// The file is documented in `docs/checkpoint-format.md`. PyTorch: `torch.save` of a
/// dictionary of `state_dict()`s.
///
/// ```
/// use adamant_checkpoint::Checkpoint;
/// use adamant_nn::{Dropout, Linear, Sequential};
/// use adamant_optim::{Adam, AdamOptions};
/// use adamant_nn::Module;
/// use adamant_tensor::Generator;
///
/// let build = |seed| {
///     let mut rng = Generator::seed(seed);
///     let dropout = Dropout::new(0.1, &mut rng);
///     let model = Sequential::new().add(Linear::new(4, 2, &mut rng)).add(dropout);
///     let adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
///     (model, adam, rng)
/// };
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("run.ckpt");
/// let (model, adam, rng) = build(0);
/// Checkpoint::new()
///     .with("model", &model)
///     .with("optimizer", &adam)
///     .with("rng", &rng)
///     .note("epoch", "7")
///     .save(&path)?;
///
/// let (mut model, mut adam, mut rng) = build(1);
/// let saved = Checkpoint::load(&path)?;
/// saved.restore(&mut [("model", &mut model), ("optimizer", &mut adam), ("rng", &mut rng)])?;
/// assert_eq!(saved.get_note("epoch"), Some("7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`restore_partial`](Checkpoint::restore_partial) restores only the parts that match. A module
/// can load the matching values of a part by name:
///
/// ```
/// # use adamant_checkpoint::Checkpoint;
/// # use adamant_nn::{Linear, LoadOptions, Sequential, load_with};
/// # use adamant_tensor::Generator;
/// # let mut rng = Generator::seed(0);
/// # let saved = Checkpoint::new().with("model", &Sequential::new().add(Linear::new(4, 2, &mut rng)));
/// let model = Sequential::new().add(Linear::new(4, 3, &mut rng));
/// let state = saved.part("model").ok_or("a checkpoint without a model")?;
/// let report = load_with(&model, state, LoadOptions::default().strict(false))?;
/// assert_eq!(report.misshapen, ["0.weight", "0.bias"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A state with infinite or NaN elements is saved and restored like any other;
/// [`StateDict::non_finite`] lists them. Gradients are not part of the state: save between a step
/// and the next backward pass.
///
/// [`CheckpointManager`]: crate::CheckpointManager
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    notes: Vec<(String, String)>,
    parts: Vec<(String, StateDict)>,
}

impl Checkpoint {
    /// A checkpoint without parts and notes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the current state of `part` under this name.
    ///
    /// # Panics
    /// If there is already a part with this name.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, name: impl Into<String>, part: &(impl Stateful + ?Sized)) -> Self {
        let name = name.into();
        assert!(self.part(&name).is_none(), "Checkpoint: two parts named `{name}`");
        self.parts.push((name, part.state_dict()));
        self
    }

    /// Adds a note: a string that the checkpoint stores under a key. Replaces a note with the same
    /// key.
    #[must_use]
    pub fn note(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        match self.notes.iter_mut().find(|(known, _)| *known == key) {
            Some((_, present)) => *present = value,
            None => self.notes.push((key, value)),
        }
        self
    }

    /// The note with this key.
    #[must_use]
    pub fn get_note(&self, key: &str) -> Option<&str> {
        self.notes().find(|&(known, _)| known == key).map(|(_, value)| value)
    }

    /// The keys and values of the notes, in the order in which they were added.
    pub fn notes(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.notes.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The part with this name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&StateDict> {
        self.parts().find(|&(known, _)| known == name).map(|(_, state)| state)
    }

    /// The names and states of the parts, in the order in which they were added.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (&str, &StateDict)> {
        self.parts.iter().map(|(name, state)| (name.as_str(), state))
    }

    /// Writes the checkpoint to a file. Equal checkpoints make equal bytes.
    ///
    /// At any moment, even after a loss of power, the path leads to the complete old file or the
    /// complete new one. The new file has the permissions of the one that it replaces.
    ///
    /// # Errors
    /// If the file cannot be written, the path leads to a folder, a pipe or a device, or the
    /// contents exceed the limits (131,072 entries, 64 dimensions, a header of 16 MiB). The old
    /// file is then unchanged, with one exception: if the last system call fails, which syncs the
    /// folder, the complete new file is there, but a loss of power may bring back the old one.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let plan = Plan::new(&self.notes, &self.parts).map_err(|error| error.at(path))?;
        write_atomically(path, |out| plan.write(out))
    }

    /// Reads a file that this or an earlier version of [`save`](Checkpoint::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read, or a single bit of it has changed.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let (notes, parts) = crate::read::read(path.as_ref())?;
        Ok(Checkpoint { notes, parts })
    }

    /// Restores every part into the target with its name: all of them, or none if any does not
    /// match.
    ///
    /// # Errors
    /// All mismatches of all parts at once. A part that is missing, or has two targets or none, is
    /// a mismatch: a run without its schedule or its generator would resume with other values.
    ///
    /// # Panics
    /// If a target fails to load a state that it accepted in its check.
    pub fn restore(&self, targets: &mut [(&str, &mut dyn Stateful)]) -> Result<(), StateError> {
        self.fit(targets).1.into_result()?;
        targets.iter_mut().for_each(|(name, target)| self.put(name, *target));
        Ok(())
    }

    /// Restores the parts that match into the targets with their names, each completely or not at
    /// all, and reports the other ones.
    ///
    /// # Panics
    /// If a target fails to load a state that it accepted in its check.
    ///
    /// ```
    /// use adamant_checkpoint::Checkpoint;
    /// use adamant_tensor::Generator;
    /// let saved = Checkpoint::new().with("rng", &Generator::seed(1)).with("other", &Generator::seed(2));
    /// let mut rng = Generator::seed(3);
    /// let report = saved.restore_partial(&mut [("rng", &mut rng)]);
    /// assert_eq!(report.restored, ["rng"]);
    /// assert_eq!(report.mismatches, ["`other`: found a part without a target, expected a target for each part"]);
    /// ```
    #[must_use]
    pub fn restore_partial(&self, targets: &mut [(&str, &mut dyn Stateful)]) -> PartialRestore {
        let (fits, errors) = self.fit(targets);
        let mut report =
            PartialRestore { restored: Vec::new(), mismatches: errors.mismatches().to_vec() };
        for ((name, target), _) in targets.iter_mut().zip(fits).filter(|(_, fits)| *fits) {
            self.put(name, *target);
            report.restored.push((*name).into());
        }
        report
    }

    /// Whether each target can load its part, and all mismatches.
    fn fit(&self, targets: &[(&str, &mut dyn Stateful)]) -> (Vec<bool>, StateError) {
        let mut errors = StateError::new();
        let mut named = HashSet::new();
        let mut fits = Vec::new();
        for (name, target) in targets {
            let before = errors.mismatches().len();
            match self.part(name) {
                _ if !named.insert(*name) => {
                    errors.push(Mismatch::wrong(*name, "two targets", "one"));
                }
                Some(state) => errors.extend(name, target.check_state_dict(state)),
                None => {
                    let parts: Vec<&str> = self.parts().map(|(name, _)| name).collect();
                    let expected = format!("one of the parts {parts:?}");
                    errors.push(Mismatch::Missing { name: (*name).into(), expected });
                }
            }
            fits.push(errors.mismatches().len() == before);
        }
        for (name, _) in self.parts().filter(|(name, _)| !named.contains(name)) {
            errors.push(Mismatch::wrong(name, "a part without a target", "a target for each part"));
        }
        (fits, errors)
    }

    /// Loads a part that matches its target.
    fn put(&self, name: &str, target: &mut dyn Stateful) {
        let state = self.part(name).expect("a part that was checked");
        if let Err(error) = target.load_state_dict(state) {
            panic!("restore: `{name}` rejects a state that it accepted in its check: {error}");
        }
    }
}

/// The result of [`Checkpoint::restore_partial`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialRestore {
    /// The names of the parts that were restored.
    pub restored: Vec<String>,
    /// The mismatches that [`Checkpoint::restore`] would have returned.
    pub mismatches: Vec<Mismatch>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::{Array, Generator, Value};

    /// Loads any state with the same names.
    #[derive(Clone, Debug, PartialEq)]
    struct Anything(StateDict);

    impl Stateful for Anything {
        fn state_dict(&self) -> StateDict {
            self.0.clone()
        }
        fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
            let mut errors = StateError::new();
            errors.check_names(state, self.0.iter().map(|(name, _)| name));
            errors.into_result()
        }
        fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
            self.check_state_dict(state)?;
            self.0 = state.clone();
            Ok(())
        }
    }

    fn everything() -> Anything {
        let mut state = StateDict::new();
        let nan = f32::from_bits(0x7fa0_1234); // signaling
        state.insert("f32", Array::from_slice([2, 2].into(), &[1.0f32, -0.0, nan, 1e-45]));
        state.insert("f64", Array::from_slice([1].into(), &[0.1f64]));
        state.insert("i64", Value::I64(Array::from_slice([].into(), &[i64::MIN])));
        state.insert("empty", Array::<f32>::from_slice([0, 3].into(), &[]));
        state.insert("bool", true);
        state.insert("int", -7);
        state.insert("float", f64::from_bits(0x7ff4_0000_0000_0001));
        state.insert("text", "grüße");
        state.insert("", "a name without a letter");
        Anything(state)
    }

    fn saved(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        Plan::new(&checkpoint.notes, &checkpoint.parts).unwrap().write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_note_replaces_one_with_the_same_key() {
        let notes = Checkpoint::new().note("step", "1").note("by", "me").note("step", "2");
        assert_eq!(notes.notes().collect::<Vec<_>>(), [("step", "2"), ("by", "me")]);
        let found = ["step", "by", "none"].map(|key| notes.get_note(key));
        assert_eq!(found, [Some("2"), Some("me"), None]);
    }

    #[test]
    fn a_checkpoint_round_trips_to_equal_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ckpt");
        for checkpoint in [
            Checkpoint::new(),
            Checkpoint::new().note("key", "first").note("other", "").note("key", "value"),
            Checkpoint::new().with("rng", &Generator::seed(1)),
            Checkpoint::new().with("a", &everything()).with("b", &everything()).note("", "é"),
        ] {
            checkpoint.save(&path).unwrap();
            let loaded = Checkpoint::load(&path).unwrap();
            assert_eq!(loaded, checkpoint);
            loaded.save(&path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), saved(&checkpoint));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn contents_beyond_the_limits_are_not_written() {
        use crate::limits;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ckpt");
        let part = |name: String, shape: &[usize]| {
            let mut state = StateDict::new();
            state.insert(name, Array::from_slice(shape.into(), &[1.0f32]));
            Checkpoint::new().with("part", &Anything(state))
        };
        let notes = (0..=limits::ENTRIES).map(|i| (i.to_string(), String::new()));
        let notes = Checkpoint { notes: notes.collect(), parts: Vec::new() };
        for (checkpoint, expected) in [
            (part("deep".into(), &[1; 65]), "found an array of 65 dimensions, expected at most 64"),
            (part("x".repeat(limits::HEADER), &[1]), "found a header of 16777"),
            (notes, "found a file of 131073 entries, expected at most 131072"),
        ] {
            let error = checkpoint.save(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("x.ckpt: {expected}")), "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn arrays_start_at_multiples_of_64() {
        let bytes = saved(&Checkpoint::new().with("a", &everything()));
        let position =
            |needle: &[u8]| bytes.windows(needle.len()).position(|w| w == needle).unwrap();
        let first = position(&[1.0f32.to_le_bytes(), (-0.0f32).to_le_bytes()].concat());
        assert!(first.is_multiple_of(64));
        assert_eq!(position(&0.1f64.to_le_bytes()), first + 64);
        assert_eq!(bytes.len(), first + 192 + 4); // the empty array is at 192
    }

    #[test]
    fn restore_is_all_or_nothing_and_lists_mismatches() {
        let checkpoint =
            Checkpoint::new().with("rng", &Generator::seed(1)).with("a", &everything());
        let mut rng = Generator::seed(2);
        let mut other = Anything(StateDict::new());
        let before = rng.state_dict();
        let targets: &mut [(&str, &mut dyn Stateful)] = &mut [
            ("rng", &mut rng),
            ("a", &mut other),
            ("scheduler", &mut Generator::seed(3)),
            ("rng", &mut Generator::seed(4)),
        ];
        let error = checkpoint.restore(targets).unwrap_err();
        assert_eq!(error.mismatches().len(), 9 + 2, "{error}");
        let lines = error.mismatches();
        assert!(
            lines[0].to_string().starts_with("`a.f32`: found f32 [2, 2], expected nothing"),
            "{error}"
        );
        assert_eq!(lines[9], "`scheduler`: missing, expected one of the parts [\"rng\", \"a\"]");
        assert_eq!(lines[10], "`rng`: found two targets, expected one");
        assert_eq!((rng.state_dict(), &other.0), (before, &StateDict::new()));

        let error = checkpoint.restore(&mut [("rng", &mut rng)]).unwrap_err();
        assert_eq!(
            error.mismatches(),
            ["`a`: found a part without a target, expected a target for each part"]
        );
        assert_eq!(rng.state_dict(), Generator::seed(2).state_dict());
        checkpoint.restore(&mut [("a", &mut everything()), ("rng", &mut rng)]).unwrap();
        assert_eq!(rng.state_dict(), Generator::seed(1).state_dict());
    }

    #[test]
    fn restore_partial_reports_the_other_parts() {
        let rng = Generator::seed(1);
        let checkpoint =
            Checkpoint::new().with("rng", &rng).with("a", &everything()).with("b", &rng);
        let (mut found, mut twice, mut new) =
            (Generator::seed(2), Generator::seed(3), Generator::seed(4));
        let mut other = Anything(StateDict::new());
        let report = checkpoint.restore_partial(&mut [
            ("a", &mut other),
            ("rng", &mut found),
            ("new", &mut new),
            ("rng", &mut twice),
        ]);
        assert_eq!(report.restored, ["rng"]);
        assert_eq!(
            report.mismatches[9..],
            [
                "`new`: missing, expected one of the parts [\"rng\", \"a\", \"b\"]",
                "`rng`: found two targets, expected one",
                "`b`: found a part without a target, expected a target for each part"
            ]
        );
        assert_eq!(found.state_dict(), rng.state_dict());
        assert_eq!(twice.state_dict(), Generator::seed(3).state_dict());
        assert_eq!(new.state_dict(), Generator::seed(4).state_dict());
        assert_eq!(other.0, StateDict::new());
    }

    #[test]
    #[should_panic(expected = "two parts named `rng`")]
    fn two_parts_with_one_name_panic() {
        let rng = Generator::seed(0);
        let _ = Checkpoint::new().with("rng", &rng).with("rng", &rng);
    }
}
