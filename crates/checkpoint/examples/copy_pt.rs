//! Reads a file of `torch.save` and writes it again: for `tests/fixtures/pt/round_trip.py`.

use adamant_checkpoint::{load_pt, save_pt};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &paths[..] else {
        return Err("usage: copy_pt FROM TO".into());
    };
    let state = load_pt(from)?;
    println!("{}: {} entries", from, state.len());
    Ok(save_pt(&state, to)?)
}
