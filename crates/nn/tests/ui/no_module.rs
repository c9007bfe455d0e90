use adamant_nn::{Linear, Module};

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Net {
    name: String,
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
enum Block<M> {
    Plain(M),
    Scaled { layer: M, scales: Vec<f32> },
}

fn main() {}
