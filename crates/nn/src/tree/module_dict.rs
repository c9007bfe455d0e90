//! Modules by name.

use crate::tree::module::{Leaf, LeafMut, Module, Path};
use adamant_tensor::Float;
use std::ops::Index;

/// Modules under names chosen at run time, in order of insertion.
///
/// PyTorch: `torch.nn.ModuleDict`.
///
/// ```
/// use adamant_nn::{Linear, Module, ModuleDict};
/// use adamant_tensor::Generator;
/// let rng = &mut Generator::seed(0);
/// let mut heads = ModuleDict::new();
/// for (task, classes) in [("digit", 10), ("parity", 2)] {
///     heads.insert(task, Linear::new(8, classes, rng));
/// }
/// assert_eq!(heads["parity"].weight.shape(), [2, 8]);
/// assert_eq!(heads.named_parameters()[3].0, "parity.bias");
/// ```
#[derive(Clone, Debug)]
pub struct ModuleDict<M> {
    modules: Vec<(String, M)>,
}

impl<M> ModuleDict<M> {
    /// An empty dictionary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `module`: in its position if it is there, else at the end. Returns the module
    /// that was there.
    ///
    /// # Panics
    /// If `name` is empty or contains a dot, which separates the names of a path.
    #[track_caller]
    pub fn insert(&mut self, name: impl Into<String>, module: M) -> Option<M> {
        let name = name.into();
        assert!(
            !name.is_empty() && !name.contains('.'),
            "ModuleDict: name is {name:?}; expected a name that is not empty, without a dot"
        );
        match self.get_mut(&name) {
            Some(found) => Some(std::mem::replace(found, module)),
            None => {
                self.modules.push((name, module));
                None
            }
        }
    }

    /// The module `name`. `dict["name"]` panics if it is missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&M> {
        self.iter().find(|(found, _)| *found == name).map(|(_, module)| module)
    }

    /// The module `name`, mutably.
    #[must_use]
    pub fn get_mut(&mut self, name: &str) -> Option<&mut M> {
        self.modules.iter_mut().find(|(found, _)| found == name).map(|(_, module)| module)
    }

    /// Removes the module `name` and returns it.
    ///
    /// PyTorch: `dict.pop(name)`.
    pub fn remove(&mut self, name: &str) -> Option<M> {
        let position = self.modules.iter().position(|(found, _)| found == name)?;
        Some(self.modules.remove(position).1)
    }

    /// Names and modules, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &M)> + ExactSizeIterator {
        self.modules.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// The names, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.modules.iter().map(|(name, _)| name.as_str())
    }

    /// The number of modules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are no modules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }
}

impl<M> Default for ModuleDict<M> {
    fn default() -> Self {
        ModuleDict { modules: Vec::new() }
    }
}

/// The module of a name.
///
/// # Panics
/// If there is no such name.
impl<M> Index<&str> for ModuleDict<M> {
    type Output = M;

    #[track_caller]
    fn index(&self, name: &str) -> &M {
        match self.get(name) {
            Some(module) => module,
            None => panic!(
                "ModuleDict: no `{name}`; expected one of {:?}",
                self.keys().collect::<Vec<_>>()
            ),
        }
    }
}

impl<T: Float, M: Module<T>> Module<T> for ModuleDict<M> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        for (name, module) in &self.modules {
            path.child(name, |path| module.visit(path, visit));
        }
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.modules.iter_mut().for_each(|(_, module)| module.visit_mut(visit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dict: &ModuleDict<u8>) -> Vec<(&str, u8)> {
        dict.iter().map(|(name, &module)| (name, module)).collect()
    }

    #[test]
    fn modules_keep_their_order() {
        let mut dict = ModuleDict::new();
        for (name, module) in [("b", 1), ("a", 2), ("c", 3)] {
            assert_eq!(dict.insert(name, module), None);
        }
        assert_eq!(dict.insert("a", 4), Some(2));
        assert_eq!(names(&dict), [("b", 1), ("a", 4), ("c", 3)]);
        assert_eq!((dict.remove("b"), dict.remove("b")), (Some(1), None));
        assert_eq!((names(&dict), dict.len()), (vec![("a", 4), ("c", 3)], 2));
    }

    #[test]
    #[should_panic(expected = "ModuleDict: name is \"a.b\"; expected a name that is not empty")]
    fn a_name_with_a_dot_is_refused() {
        ModuleDict::new().insert("a.b", 0);
    }

    #[test]
    #[should_panic(expected = "ModuleDict: no `b`; expected one of [\"a\"]")]
    fn indexing_names_what_is_there() {
        let mut dict = ModuleDict::new();
        dict.insert("a", 0);
        let _ = dict["b"];
    }
}
