//! Encodings that are fitted on training data, saved with the model, and applied to new data.

mod column;
mod standardize;
mod statistics;
mod table_encoder;

pub use standardize::Standardize;
pub use table_encoder::TableEncoder;
