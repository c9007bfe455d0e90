//! A training over MPI: the bits of its last state, in one line from rank 0.
//!
//! ```text
//! cargo test --release --features mpi --test distributed --no-run
//! mpirun -n 3 target/release/deps/distributed-… cnn 40 target/run
//! ```
//!
//! Arguments: the model, steps, and the folder of the run, which is saved after every second step.
//! `tests/distributed.sh` compares the lines.

#[path = "../crates/parallel/tests/trainings/mod.rs"]
mod trainings;

use adamant::mpi::Mpi;
use adamant::prelude::*;
use adamant::train::RunError;
use std::process::ExitCode;
use std::sync::Arc;
use trainings::{Cnn, Gpt, Mlp, Net, Recurrent, SyncCnn, Training, adam, sgd};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, steps, folder] = &arguments[..] else {
        println!("0 tests: run by tests/distributed.sh");
        return ExitCode::SUCCESS;
    };
    let steps = steps.parse().expect("the number of steps");
    adamant::train::exit(match &model[..] {
        "mlp" => train::<Mlp, _>(adam, steps, folder),
        "sgd" => train::<Mlp, _>(sgd, steps, folder),
        "cnn" => train::<Cnn, _>(adam, steps, folder),
        "sync" => train::<SyncCnn, _>(adam, steps, folder),
        "lstm" => train::<Recurrent, _>(adam, steps, folder),
        "gpt" => train::<Gpt, _>(adam, steps, folder),
        _ => panic!("model is {model}; expected mlp, sgd, cnn, sync, lstm or gpt"),
    })
}

fn train<N: Net, O: Optimizer>(
    optimizer: impl Fn(ParamGroup) -> O,
    steps: u64,
    folder: &str,
) -> Result<(), RunError> {
    let mpi = Arc::new(Mpi::start()?);
    let mut training = Training::<N, O>::new(mpi.clone(), optimizer, steps);
    let run = Run::open_on(folder, mpi)?.save_every_steps(2).keep_last(2).quiet();
    let mut run = run.resume(&mut training)?;
    while training.step < steps {
        let [loss, norm] = training.step();
        run.log(training.step, &[("loss", loss), ("norm", norm)]);
        run.step(training.step, &training)?;
    }
    let state = training.state_dict(); // whole on rank 0, which prints
    run.println(format!("{:016x}", hash(&state)));
    run.finish(steps, &training)
}

/// FNV-1a of the names and bits of a state.
fn hash(state: &StateDict) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, value) in state.iter() {
        add(name.as_bytes());
        match value {
            Value::F32(array) => {
                array.to_vec().iter().for_each(|x| add(&x.to_bits().to_le_bytes()));
            }
            other => add(format!("{other:?}").as_bytes()),
        }
    }
    hash
}
