//! State that is saved and restored: dictionaries of values, and random generators.

pub(crate) mod dict;
mod distributions;
pub(crate) mod draw_tape;
pub(crate) mod generator;
mod list;
pub(crate) mod mismatch;
mod parts;
mod plain;
pub(crate) mod shown;
pub(crate) mod source;
pub(crate) mod stateful;
pub(crate) mod value;
