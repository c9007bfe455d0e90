//! The tape: tensors, the graph of what they were computed from, and the backward pass.

pub(crate) mod anomaly;
pub(crate) mod backward;
pub(crate) mod collect;
pub(crate) mod context;
pub(crate) mod early;
pub(crate) mod grad_cell;
pub(crate) mod hooks;
pub(crate) mod mode;
pub(crate) mod node;
pub(crate) mod parameter;
pub(crate) mod pending;
pub(crate) mod positions;
pub(crate) mod record;
pub(crate) mod stored;
pub(crate) mod taken;
pub(crate) mod tensor;
pub(crate) mod value_mut;
pub(crate) mod view;
pub(crate) mod weight;
