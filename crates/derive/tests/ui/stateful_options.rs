use adamant_derive::Stateful;

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Run {
    #[stateful(skipped)]
    step: u64,
}

#[derive(Stateful)]
#[stateful(skip)]
struct Other {
    step: u64,
}

#[derive(Stateful)]
enum Phase {
    Warmup,
    Training(u64),
}

#[derive(Stateful)]
union Either {
    small: u32,
    large: u64,
}

fn main() {}
