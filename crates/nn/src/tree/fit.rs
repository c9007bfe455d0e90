//! Compares what a source has with what a module expects, before anything is read or changed.

use crate::tree::buffer::{Buffer, Counter, SharedGenerator};
use crate::tree::entries::{Entries, Entry};
use crate::tree::load::{LoadError, LoadOptions};
use crate::tree::load_report::LoadReport;
use crate::tree::module::{Leaf, Module, Path};
use adamant_tensor::{
    Float, Mismatch, Parameter, Shape, StateDict, StateError, StateSource, Stateful, ValueKind,
};
use std::collections::{HashMap, HashSet};

/// A leaf that has elements.
pub(super) enum ArrayLeaf<T: Float> {
    Parameter(Parameter<T>),
    Buffer(Buffer<T>),
}

impl<T: Float> ArrayLeaf<T> {
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            ArrayLeaf::Parameter(parameter) => parameter.shape(),
            ArrayLeaf::Buffer(buffer) => buffer.shape(),
        }
    }
}

/// The leaves of a module.
struct Leaves<T: Float> {
    /// Each with all its paths: a state may have a tied one under any of them.
    arrays: Vec<(Vec<String>, ArrayLeaf<T>)>,
    counters: Vec<(String, Counter)>,
    generators: Vec<(String, SharedGenerator)>,
}

impl<T: Float> Leaves<T> {
    fn of(module: &(impl Module<T> + ?Sized)) -> Self {
        let mut leaves =
            Leaves { arrays: Vec::new(), counters: Vec::new(), generators: Vec::new() };
        let mut indices = HashMap::new();
        module.visit(&mut Path::default(), &mut |path, leaf| {
            let path = path.to_string();
            let id = leaf.id();
            let array = match leaf {
                Leaf::Parameter(parameter) => ArrayLeaf::Parameter(parameter.clone()),
                Leaf::Buffer(buffer) => ArrayLeaf::Buffer(buffer.clone()),
                Leaf::Adapter(_) => return, // has a state of its own
                Leaf::Counter(counter) => return leaves.counters.push((path, counter.clone())),
                Leaf::Generator(generator) => {
                    return leaves.generators.push((path, generator.clone()));
                }
            };
            let index = *indices.entry(id).or_insert_with(|| {
                leaves.arrays.push((Vec::new(), array));
                leaves.arrays.len() - 1
            });
            leaves.arrays[index].0.push(path);
        });
        leaves
    }
}

/// A leaf that can be loaded.
pub(super) struct FittingArray<T: Float> {
    pub(super) leaf: ArrayLeaf<T>,
    /// Its first path.
    pub(super) path: String,
    /// The names among its paths that the source has: at least one. Their values must agree.
    pub(super) names: Vec<String>,
}

/// The leaves of a module that a source can be loaded into, and what does not fit.
pub(super) struct Fit<'s, T: Float> {
    pub(super) entries: Entries<'s>,
    pub(super) arrays: Vec<FittingArray<T>>,
    /// Counters with their paths.
    pub(super) counters: Vec<(String, Counter)>,
    /// Generators with their paths and new states.
    pub(super) generators: Vec<(String, SharedGenerator, StateDict)>,
    /// What is not loaded.
    pub(super) report: LoadReport,
    /// What keeps even the rest from being loaded.
    pub(super) obstacles: StateError,
}

/// Whether `name` is a batch normalization's count, which stays as it is if the state does not have
/// it. Old states of PyTorch do not have it, and PyTorch still loads them.
fn may_be_missing(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

impl<'s, T: Float> Fit<'s, T> {
    /// Reads the states of generators, which are a few scalars each, and no other value.
    pub(super) fn of(
        module: &(impl Module<T> + ?Sized),
        source: &'s dyn StateSource,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let (entries, skipped, clashes) = Entries::of(source, options);
        let mut fit = Fit {
            entries,
            arrays: Vec::new(),
            counters: Vec::new(),
            generators: Vec::new(),
            report: LoadReport { skipped, ..LoadReport::default() },
            obstacles: clashes,
        };
        let leaves = Leaves::of(module);
        let mut known: HashSet<String> = HashSet::new();
        for (names, leaf) in leaves.arrays {
            known.extend(names.iter().cloned());
            fit.array(names, leaf, options.convert);
        }
        for (path, counter) in leaves.counters {
            known.insert(path.clone());
            fit.counter(path, counter);
        }
        known.extend(fit.generators(leaves.generators)?);
        for entry in fit.entries.iter().filter(|entry| !known.contains(&entry.name)) {
            fit.report.add_unexpected(entry);
        }
        Ok(fit)
    }

    /// Compares a leaf with the source's entries under all of its names.
    fn array(&mut self, names: Vec<String>, leaf: ArrayLeaf<T>, convert: bool) {
        if let ArrayLeaf::Parameter(parameter) = &leaf
            && parameter.is_being_written()
        {
            let found = "a parameter with a `ValueMut`";
            self.obstacles.push(Mismatch::wrong(&names[0], found, "one that can be replaced"));
        }
        let expected = format!("{} {}", T::DTYPE, Shape::from(leaf.shape()));
        let fits = |entry: &Entry<'_>| match &entry.kind {
            ValueKind::Floats { stored, shape } => {
                **shape == *leaf.shape() && (convert || stored == T::DTYPE)
            }
            ValueKind::Integers { shape, .. } => convert && **shape == *leaf.shape(),
            ValueKind::Other(_) => false,
        };
        let mut found = names.iter().filter_map(|name| self.entries.get(name));
        let Some(first) = found.next() else {
            return self.report.add_missing(&names[0], expected);
        };
        let mut fitting = Vec::new();
        for entry in [first].into_iter().chain(found) {
            if !fits(entry) {
                self.report.add_misshapen(entry, expected.clone());
            } else if !fits(first) {
                self.report.add_untied(entry, first);
            } else {
                fitting.push(entry.name.clone());
            }
        }
        if fits(first) {
            let path = names.into_iter().next().expect("a leaf has a path");
            self.arrays.push(FittingArray { leaf, path, names: fitting });
        }
    }

    fn counter(&mut self, path: String, counter: Counter) {
        let expected = || "i64 []".to_string();
        match self.entries.get(&path) {
            None if may_be_missing(&path) => {}
            None => self.report.add_missing(&path, expected()),
            Some(entry) => match &entry.kind {
                ValueKind::Integers { shape, .. } if shape.is_empty() => {
                    self.counters.push((path, counter));
                }
                _ => self.report.add_misshapen(entry, expected()),
            },
        }
    }

    /// Returns the names that belong to generators. PyTorch's states have none; all generators stay
    /// as they are then.
    fn generators(
        &mut self,
        generators: Vec<(String, SharedGenerator)>,
    ) -> Result<Vec<String>, LoadError> {
        let mut known = Vec::new();
        let mut states = Vec::new();
        for (path, generator) in generators {
            let mut state = StateDict::new();
            for entry in self.entries.iter() {
                let rest = entry.name.strip_prefix(path.as_str());
                if let Some(name) = rest.and_then(|rest| rest.strip_prefix('.')) {
                    state.insert(name, self.entries.read(entry)?);
                    known.push(entry.name.clone());
                }
            }
            states.push((path, generator, state));
        }
        if known.is_empty() {
            return Ok(known);
        }
        for (path, generator, state) in states {
            let check = generator.lock().check_state_dict(&state);
            match check {
                Ok(()) => self.generators.push((path, generator, state)),
                Err(error) => self.report.add_generator(&path, state.is_empty(), error),
            }
        }
        Ok(known)
    }
}
