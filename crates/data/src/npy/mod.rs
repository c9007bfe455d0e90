//! NumPy's files: an array (`.npy`) and an archive of arrays (`.npz`).

mod array;
mod elements;
mod header;
mod npz;

pub use array::Npy;
pub use elements::NpyElements;
pub use npz::Npz;
