//! Parity with PyTorch: what a run there gave, this gives. The fixtures and the
//! scripts that make them are in `tests/fixtures`.

mod adam;
mod attention;
mod cases;
mod close;
mod common;
mod convnets;
mod exchange;
mod exchange_run;
mod layers;
mod losses;
mod mlp;
mod norms;
mod recurrent;
mod schedules;
