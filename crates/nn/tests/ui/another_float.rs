use adamant_nn::{Linear, Module};
use adamant_tensor::Float;

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Double {
    layer: Linear<f64>,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Any<T: Float> {
    layer: Linear<T>,
}

fn main() {}
