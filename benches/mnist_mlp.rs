//! Seconds for an epoch of the MNIST perceptron: 784-256-128-10, batch 64, Adam.
//!
//! ```text
//! cargo bench --bench mnist_mlp               five epochs after one to warm up
//! python benches/mnist_mlp.py                 side by side with PyTorch
//! ```
//!
//! With `--epochs N` it prints only the seconds of `N` epochs, one per line.

use adamant::prelude::*;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let asked = args.iter().position(|arg| arg == "--epochs").map(|i| args[i + 1].parse::<usize>());
    let epochs = asked.transpose()?;

    let mut rng = Generator::seed(0);
    let mnist = Mnist::bundled()?;
    let model = Sequential::new()
        .add(Linear::new(784, 256, &mut rng))
        .add(Relu)
        .add(Linear::new(256, 128, &mut rng))
        .add(Relu)
        .add(Linear::new(128, 10, &mut rng));
    let mut adam = Adam::new(model.parameters(), AdamOptions::default())?;
    let mut loader = DataLoader::new(&mnist.train, 64).shuffle(&mut rng).drop_last(true);
    let mut epoch = || {
        let start = Instant::now();
        for batch in loader.epoch() {
            adam.zero_grad();
            cross_entropy(&model.forward(&batch.inputs), &batch.targets).backward();
            adam.step();
        }
        start.elapsed().as_secs_f64()
    };
    if let Some(epochs) = epochs {
        (0..epochs).for_each(|_| println!("{}", epoch()));
        return Ok(());
    }
    epoch();
    let mut seconds: Vec<f64> = (0..5).map(|_| epoch()).collect();
    seconds.sort_by(f64::total_cmp);
    let [fastest, _, median, _, slowest] = seconds[..] else { unreachable!("five epochs") };
    println!("an epoch: {median:.3} s (median of 5; {fastest:.3} to {slowest:.3})");
    Ok(())
}
