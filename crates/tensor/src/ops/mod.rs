//! The operations: one file each, or one for a close family.
//!
//! To add one: a file in one of these folders with its documentation, shape check, forward, backward
//! and tests, and a line in the folder's `mod.rs`. See `docs/adding-an-op.md`.

pub(crate) mod creation;
pub(crate) mod custom;
pub(crate) mod elementwise;
pub(crate) mod index;
pub(crate) mod layer;
pub(crate) mod matrix;
pub(crate) mod product;
pub(crate) mod reduce;
pub(crate) mod shape;
