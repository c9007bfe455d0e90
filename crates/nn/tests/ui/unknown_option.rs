use adamant_nn::{Linear, Module};

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Net {
    #[module(skipped)]
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn, skip)]
struct Other {
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
enum Block {
    #[module(skip)]
    Plain(Linear),
}

fn main() {}
