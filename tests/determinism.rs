//! The same seed gives the same bits, whatever the number of threads.

use adamant::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

const CHILD: &str = "ADAMANT_TEST_DETERMINISM";

/// A digest of every bit of a short training run: losses, gradients, weights.
fn train() -> u64 {
    let mnist = Mnist::bundled().unwrap();
    let data = mnist.train.take(2_000);
    let mut rng = Generator::seed(5);
    let model = Sequential::new()
        .add(Linear::new(784, 256, &mut rng))
        .add(Relu)
        .add(Dropout::new(0.2, &mut rng))
        .add(Linear::new(256, 128, &mut rng))
        .add(Tanh)
        .add(Linear::new(128, 10, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default()).unwrap();
    let mut loader = DataLoader::new(&data, 64).shuffle(&mut rng);
    let mut digest = DefaultHasher::new();
    for _ in 0..60 {
        let batch = loader.next_batch();
        adam.zero_grad(true);
        let loss = cross_entropy(&model.forward(&batch.inputs), &batch.targets);
        loss.backward();
        adam.step();
        loss.item().to_bits().hash(&mut digest);
    }
    for parameter in model.parameters() {
        for tensor in [parameter.tensor(), parameter.grad().unwrap()] {
            tensor.to_vec().into_iter().for_each(|x| x.to_bits().hash(&mut digest));
        }
    }
    digest.finish()
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    if std::env::var_os(CHILD).is_some() {
        println!("digest {:016x}", train());
        return;
    }
    let digest = |threads: &str| {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--exact", "the_bits_do_not_depend_on_the_number_of_threads"])
            .envs([(CHILD, "1"), ("RAYON_NUM_THREADS", threads)])
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let found = text.split("digest ").nth(1).and_then(|rest| rest.get(..16));
        found.unwrap_or_else(|| panic!("no digest in {text}")).to_string()
    };
    let expected = digest("1");
    for threads in ["1", "2", "2", "3", "8", "8"] {
        assert_eq!(digest(threads), expected, "{threads} threads");
    }
}
