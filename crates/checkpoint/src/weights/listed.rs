//! What a reader of a format finds in a file before it reads any tensor.

use super::entry::{ScalarEntry, TensorEntry};
use super::metadata::Metadata;

pub(super) struct Listed {
    pub(super) entries: Vec<TensorEntry>,
    pub(super) scalars: Vec<ScalarEntry>,
    pub(super) metadata: Metadata,
}
