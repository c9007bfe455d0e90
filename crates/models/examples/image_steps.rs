//! Trains EfficientNet-Lite0 for some steps, for `examples/pretrained/train_image.py`, which compares the
//! losses with those of timm.
//!
//! ```text
//! cargo run --release -p adamant-models --example image_steps -- WEIGHTS BATCHES LR
//! ```
//!
//! `BATCHES` is a safetensors file: `images`, `[steps, N, 3, H, W]`, `classes`, `[steps, N]`, and `weight`
//! and `bias` of a new head. The batch normalizations are frozen, and nothing is dropped. Prints the loss
//! of each step, and its seconds apart from the first, as JSON.

use adamant::prelude::load_safetensors;
use adamant_models::{EfficientNetLite, EfficientNetLiteOptions};
use adamant_nn::{Forward, Linear, Module, cross_entropy};
use adamant_optim::{Adam, AdamOptions, Optimizer};
use adamant_tensor::{Generator, Value};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Vec::from_iter(std::env::args().skip(1));
    let [weights, batches, lr] = &args[..] else {
        return Err("expected WEIGHTS BATCHES LR".into());
    };
    let batches = load_safetensors(batches)?;
    let images = batches["images"].tensor::<f32>().ok_or("expected images of f32")?;
    let Value::I64(classes) = &batches["classes"] else {
        return Err("expected classes of i64".into());
    };
    let classes: Vec<usize> =
        classes.to_vec().into_iter().map(usize::try_from).collect::<Result<_, _>>()?;

    let rng = &mut Generator::seed(0);
    let options = EfficientNetLiteOptions::default().dropout(0.0);
    let mut net = EfficientNetLite::open(weights, options, rng)?;
    let weight = batches["weight"].tensor::<f32>().ok_or("expected a weight of f32")?;
    let bias = batches["bias"].tensor::<f32>().ok_or("expected a bias of f32")?;
    net.classifier = Linear::new(weight.shape()[1], weight.shape()[0], rng);
    net.classifier.weight.set_value(&weight);
    net.classifier.bias.as_ref().ok_or("a head has a bias")?.set_value(&bias);
    net.freeze_batch_norms();
    net.train();

    let mut adam = Adam::new(net.parameters(), AdamOptions::default().lr(lr.parse()?))?;
    let (mut losses, mut seconds) = (Vec::new(), Vec::new());
    let per_step = images.shape()[1];
    for (step, classes) in classes.chunks_exact(per_step).enumerate() {
        let start = Instant::now();
        adam.zero_grad();
        let loss = cross_entropy(&net.forward(&images.select(0, step)), classes);
        loss.backward();
        adam.step();
        losses.push(loss.item());
        seconds.push(start.elapsed().as_secs_f64());
    }
    println!("{{\"losses\": {losses:?}, \"seconds\": {:?}}}", &seconds[1..]);
    Ok(())
}
