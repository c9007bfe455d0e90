#[derive(adamant_nn::Module)]
#[module(crate = adamant_nn)]
union Either {
    small: u32,
    large: u64,
}

fn main() {}
