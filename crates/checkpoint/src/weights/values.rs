//! The tensors and scalars of a model, in order and by name.

use super::entry::{ScalarEntry, TensorEntry};

/// Tensors and scalars with unique names.
pub(super) struct Values {
    pub(super) tensors: Vec<TensorEntry>,
    pub(super) scalars: Vec<ScalarEntry>,
    /// The positions of the tensors, and after them of the scalars, in the order of their names.
    by_name: Vec<u32>,
}

/// A tensor or a scalar.
pub(super) enum Entry<'v> {
    Tensor(&'v TensorEntry),
    Scalar(&'v ScalarEntry),
}

impl<'v> Entry<'v> {
    pub(super) fn name(&self) -> &'v str {
        match self {
            Entry::Tensor(tensor) => &tensor.name,
            Entry::Scalar(scalar) => &scalar.name,
        }
    }
}

impl Values {
    /// # Errors
    /// If a name appears twice: the name.
    pub(super) fn new(
        tensors: Vec<TensorEntry>,
        scalars: Vec<ScalarEntry>,
    ) -> Result<Self, String> {
        let count = (tensors.len() + scalars.len()) as u32; // at most limits::ENTRIES
        let mut values = Values { tensors, scalars, by_name: Vec::new() };
        let mut by_name: Vec<u32> = (0..count).collect();
        let name = |position: &u32| values.at(*position).name();
        by_name.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        if let Some(pair) = by_name.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
            return Err(name(&pair[0]).into());
        }
        values.by_name = by_name;
        Ok(values)
    }

    fn at(&self, position: u32) -> Entry<'_> {
        let position = position as usize;
        match self.tensors.get(position) {
            Some(tensor) => Entry::Tensor(tensor),
            None => Entry::Scalar(&self.scalars[position - self.tensors.len()]),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Entry<'_>> {
        let found = self.by_name.binary_search_by(|&position| self.at(position).name().cmp(name));
        found.ok().map(|index| self.at(self.by_name[index]))
    }

    /// Everything in the order of the file.
    pub(super) fn in_order(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut scalars = self.scalars.iter().peekable();
        let mut tensors = self.tensors.iter().enumerate().peekable();
        std::iter::from_fn(move || {
            let next = tensors.peek().map_or(usize::MAX, |(index, _)| *index);
            match scalars.next_if(|scalar| scalar.after <= next) {
                Some(scalar) => Some(Entry::Scalar(scalar)),
                None => tensors.next().map(|(_, tensor)| Entry::Tensor(tensor)),
            }
        })
    }
}
