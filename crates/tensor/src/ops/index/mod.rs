//! Elements chosen by indices and masks.

pub(crate) mod gather;
pub(crate) mod index_copy;
pub(crate) mod index_select;
pub(crate) mod indexing;
pub(crate) mod masked;
