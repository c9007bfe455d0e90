#[derive(adamant_nn::Module)]
#[module(crate = adamant_nn)]
enum Nothing {}

fn main() {}
