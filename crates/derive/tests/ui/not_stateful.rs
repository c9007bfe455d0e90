use adamant_derive::Stateful;

struct Log;

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Run {
    step: u64,
    log: Log,
}

#[derive(Stateful)]
#[stateful(crate = adamant_tensor)]
struct Maybe(Option<Log>);

fn main() {}
