use adamant_nn::{Linear, Module};

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Empty {
    #[module(rename = "")]
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Leading {
    #[module(rename = ".self")]
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
enum Trailing {
    Plain(#[module(rename = "self.")] Linear),
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct NoName {
    #[module(rename = "attention..self")]
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Twice {
    query: Linear,
    #[module(rename = "query")]
    key: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
enum TwiceInAVariant {
    Pair(#[module(rename = "1")] Linear, Linear),
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct TwoNames {
    #[module(rename = "key", rename = "query")]
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct Skipped {
    #[module(skip, rename = "key")]
    layer: Linear,
}

#[derive(Module)]
#[module(crate = adamant_nn)]
struct NoString {
    #[module(rename = key)]
    layer: Linear,
}

fn main() {}
