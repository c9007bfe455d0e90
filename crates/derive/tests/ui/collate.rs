use adamant_derive::Collate;

#[derive(Collate)]
struct Generic<T> {
    row: T,
}

#[derive(Collate)]
struct Pair(usize, usize);

#[derive(Collate)]
struct Nothing {}

#[derive(Collate)]
enum Either {
    Left(usize),
}

#[derive(Collate)]
#[collate(name = Batch)]
struct Named {
    row: usize,
}

fn main() {}
