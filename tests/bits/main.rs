//! The same bits on every processor and any number of threads: `hashes.txt` has a hash of the results of
//! each operation, layer, loss and optimizer, of random numbers, and of short trainings.
//!
//! `.ci/run` also runs this program in emulated processors. After a change of bits that is intended:
//! `ADAMANT_WRITE=1 cargo test --test bits`.

#[path = "../pytorch/common.rs"]
#[allow(dead_code)]
mod common;
mod hashes;
#[path = "../ops/inputs.rs"]
#[allow(dead_code)]
mod inputs;
mod large;
mod layers;
mod losses;
mod operations;
mod optimizers;
mod random;
#[path = "../ops/table.rs"]
#[allow(dead_code)]
mod table;
mod training;

use hashes::Hashes;

/// All results, computed on this number of threads.
fn hashes(threads: usize) -> Hashes {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut hashes = Hashes::default();
        operations::add(&mut hashes);
        large::add(&mut hashes);
        layers::add(&mut hashes);
        losses::add(&mut hashes);
        optimizers::add(&mut hashes);
        random::add(&mut hashes);
        training::add(&mut hashes);
        hashes
    })
}

#[test]
fn hashes_on_3_threads() {
    hashes(3).compare();
}

#[test]
fn hashes_on_other_numbers_of_threads() {
    for threads in [1, 2, 8] {
        hashes(threads).compare();
    }
}
