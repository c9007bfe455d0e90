use adamant_nn::{Linear, Module};

struct Name;

#[derive(Module)]
#[module(crate = adamant_nn, clone)]
struct Net {
    layer: Linear,
    #[module(skip)]
    name: Name,
}

fn main() {}
