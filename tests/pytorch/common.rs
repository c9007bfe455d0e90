//! Helpers for comparisons with PyTorch.

use adamant::prelude::*;
use adamant::tensor::Float;

/// The arrays in `tests/fixtures/NAME.safetensors`.
pub(crate) fn fixture(name: &str) -> StateDict {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    load_safetensors(format!("{folder}/{name}.safetensors")).unwrap()
}

/// `numbers` of `tests/fixtures/adam.py`: multiples of 2⁻²⁴ in ±scale/2.
pub(crate) fn numbers<T: Float>(seed: u64, shape: &[usize], scale: f64) -> Tensor<T> {
    let number = |i: u64| {
        let x = i.wrapping_add(seed.wrapping_mul(1_000_003)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        T::from_f64(((x >> 40) as f64 * (-24f64).exp2() - 0.5) * scale)
    };
    let len = shape.iter().product::<usize>() as u64;
    Tensor::from_vec((0..len).map(number).collect(), shape).unwrap()
}

/// Asserts that the file contains `text`. With `ADAMANT_WRITE=1`, writes it instead.
#[allow(dead_code)] // used by some test binaries only
pub(crate) fn up_to_date(path: &str, text: &str) {
    if std::env::var_os("ADAMANT_WRITE").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{path} is not up to date: run this test with ADAMANT_WRITE=1");
}
