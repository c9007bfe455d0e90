//! The cases of a fixture: named outputs and gradients, as `tests/fixtures/cases.py` writes them.

use crate::close::close;
use crate::common::{fixture, numbers};
use adamant::prelude::*;
use adamant::tensor::Float;
use std::cell::RefCell;
use std::collections::BTreeSet;

pub(crate) struct Cases {
    fixture: StateDict,
    tolerance: f64,
    /// The names read so far.
    read: RefCell<BTreeSet<String>>,
}

impl Cases {
    pub(crate) fn of(file: &str, tolerance: f64) -> Cases {
        Cases { fixture: fixture(file), tolerance, read: RefCell::default() }
    }

    /// Asserts that every entry of the fixture was compared, except those whose names start with
    /// `elsewhere`.
    #[track_caller]
    pub(crate) fn finish(&self, elsewhere: Option<&str>) {
        let read = self.read.borrow();
        let left = self.fixture.iter().map(|(name, _)| name).filter(|&name| {
            !read.contains(name) && !elsewhere.is_some_and(|part| name.starts_with(part))
        });
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
    }

    pub(crate) fn tensor<T: Float>(&self, name: &str) -> Tensor<T> {
        self.read.borrow_mut().insert(name.into());
        self.fixture.get(name).and_then(|value| value.array()).expect(name).clone().into()
    }

    /// The module's weights in PyTorch.
    pub(crate) fn state(&self, case: &str) -> StateDict {
        let mut state = StateDict::new();
        let prefix = format!("{case}|state.");
        for (full_name, value) in self.fixture.iter() {
            if let Some(name) = full_name.strip_prefix(&prefix) {
                self.read.borrow_mut().insert(full_name.into());
                state.insert(name, value.clone());
            }
        }
        state
    }

    #[track_caller]
    pub(crate) fn check<T: Float>(&self, name: &str, found: &Tensor<T>) {
        self.read.borrow_mut().insert(name.into());
        close(found, &self.fixture, name, self.tolerance);
    }

    /// Compares the outputs, and the gradients of inputs and parameters.
    pub(crate) fn compare<T: Float>(
        &self,
        case: &str,
        inputs: &[Tensor<T>],
        outputs: &[Tensor<T>],
        module: Option<&dyn Module<T>>,
    ) {
        if let Some(module) = module {
            module.zero_grad();
        }
        inputs.iter().for_each(|input| input.zero_grad());
        let mut sum = Tensor::scalar(T::ZERO);
        for (i, y) in outputs.iter().enumerate() {
            self.check(&format!("{case}|out{i}"), y);
            sum += (y * (numbers::<T>(100 + i as u64, y.shape(), 1.0) + T::ONE)).sum();
        }
        sum.backward();
        for (i, x) in inputs.iter().enumerate() {
            self.check(&format!("{case}|grad{i}"), &x.grad().unwrap());
        }
        for (name, parameter) in module.map(Module::named_parameters).unwrap_or_default() {
            self.check(&format!("{case}|grad.{name}"), &parameter.grad().unwrap());
        }
    }
}

/// `leaf` of `tests/fixtures/cases.py`.
pub(crate) fn leaf<T: Float>(seed: u64, shape: &[usize]) -> Tensor<T> {
    numbers::<T>(seed, shape, 4.0).requires_grad()
}
