//! Loading a model from a file takes the memory of the model and one tensor. One test, since memory
//! is counted for the whole process.

use adamant_checkpoint::{SavedType, Weights, save_pt, save_safetensors, save_safetensors_as};
use adamant_nn::{Linear, LoadOptions, Sequential, init::skip_init, load_with};
use adamant_tensor::{Generator, StateDict, Stateful, memory_stats, reset_peak_memory_stats};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WIDTH: usize = 512;
/// The bytes of a layer's weight, the largest tensor.
const LAYER: usize = WIDTH * WIDTH * 4;
/// Biases, pieces of 256 KiB, names.
const REST: usize = 600 << 10;

fn model() -> Sequential<f32> {
    let mut rng = Generator::seed(0);
    (0..8).fold(Sequential::new(), |net, _| net.add(Linear::new(WIDTH, WIDTH, &mut rng)))
}

type Save = fn(&StateDict, &Path);

#[test]
fn loading_takes_the_model_and_one_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let state = model().state_dict();
    let formats: [Save; 4] = [
        |state, path| save_safetensors(state, path).unwrap(),
        |state, path| save_safetensors_as(state, path, SavedType::Bf16).unwrap(),
        |state, path| save_pt(state, path).unwrap(),
        |state, path| save_pt(&state.cast::<f64>(), path).unwrap(), // a tensor is twice as large
    ];
    for (format, save) in formats.iter().enumerate() {
        save(&state, &path);
        let model = skip_init(model);
        let weights = Weights::open(&path).unwrap();
        let before = memory_stats().live_bytes;
        reset_peak_memory_stats();
        let region = Region::new(ALLOCATOR);
        let report = load_with(&model, &weights, LoadOptions::default()).unwrap();
        let change = region.change();
        let kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        let arrays = memory_stats().peak_bytes - before;
        assert_eq!(report.loaded.len(), 16);
        let one = if format == 3 { 2 * LAYER } else { LAYER };
        assert!(arrays <= 8 * LAYER + one + REST, "{format}: {arrays} bytes of arrays");
        // Including what was freed in between: arrays of the file's type, and the pieces.
        let converted = if format == 3 { 16 * LAYER } else { 0 };
        let freed = change.bytes_allocated - kept;
        assert!(freed <= converted + 8 * REST, "{format}: {freed} bytes freed");
        if format != 1 {
            assert_eq!(model.state_dict(), state);
        }
    }
}
