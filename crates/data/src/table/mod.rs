//! Tables with named columns, and CSV files.

mod classes;
mod column;
mod csv;
mod records;
mod split;
#[expect(clippy::module_inception, reason = "the type that the folder is about")]
mod table;

pub use classes::Classes;
pub use csv::Csv;
pub use table::{SkippedLines, Table};

pub(crate) use column::Column;
