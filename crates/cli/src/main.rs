//! The command `adamant`.

#![forbid(unsafe_code)]

fn main() {}
