//! Parity with PyTorch: results equal those in the fixtures of `tests/fixtures`, which Python scripts
//! there write.

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
mod rotary;
mod schedules;
