//! Models as trees of parameters, buffers, counts and generators, with their paths, states and
//! copies. Nothing here knows a layer.

pub(crate) mod adapter;
pub(crate) mod buffer;
pub(crate) mod checkpoint;
pub(crate) mod containers;
pub(crate) mod deep_copy;
mod entries;
mod fit;
pub(crate) mod load;
pub(crate) mod load_report;
pub(crate) mod mask;
pub(crate) mod module;
pub(crate) mod module_dict;
mod new_values;
pub(crate) mod observe;
pub(crate) mod panic_context;
pub(crate) mod state;
pub(crate) mod type_name;
