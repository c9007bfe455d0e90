//! State that is saved and restored: dictionaries of values, and random generators.

pub(crate) mod dict;
pub(crate) mod draw_tape;
pub(crate) mod generator;
pub(crate) mod mismatch;
pub(crate) mod stateful;
pub(crate) mod value;
