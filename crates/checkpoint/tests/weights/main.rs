//! Files of weights that others wrote, and wrong ones.

mod gguf;
#[path = "../support/gguf_writer.rs"]
mod gguf_writer;
mod open;
mod safetensors;
mod sharded;

use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
