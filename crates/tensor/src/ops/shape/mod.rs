//! The same elements under another shape or in another order.

pub(crate) mod arrange;
pub(crate) mod broadcast;
pub(crate) mod element;
pub(crate) mod join;
pub(crate) mod narrow;
pub(crate) mod pad_mode;
pub(crate) mod permute;
pub(crate) mod reshape;
