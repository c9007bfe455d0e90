//! Slices in, slices out: the loops under adamant.
//!
//! This crate works on slices, shapes and strides. It does not know tensors, the tape or layers;
//! a backward kernel is a formula over slices like any other. Three things live here and nowhere
//! else:
//!
//! * **SIMD**: [`simd!`] compiles a loop for three instruction sets and picks the widest at run
//!   time, so that nobody needs `-C target-cpu`.
//! * **Threads**: [`drain`] decides whether work runs in parallel. How a sum is split depends on
//!   the sizes alone, so results have the same bits for any number of threads.
//! * **`unsafe`**: every block states its reason; every other crate forbids `unsafe`.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))] // the same bits on every processor

mod adam;
mod attention;
mod bf16;
mod block;
mod concatenate;
mod conv;
mod elementwise;
mod erf;
mod exponential;
mod float;
mod gemm;
mod gemm_bf16;
mod gemm_panels;
mod gemv;
mod indexing;
mod logarithm;
mod marked;
mod memory;
mod normalize;
mod packed;
mod packing;
mod pad;
mod panel;
mod parallel;
mod pool;
mod power;
mod recurrence;
mod recurrent_cell;
mod reduce;
mod rotary;
mod scan;
mod sgd;
mod simd;
mod softmax;
mod softmax_blocks;
mod sort;
mod strided;
mod sweep;
mod team;
mod transpose;
mod triangle;
mod trigonometry;
mod windows;

pub use adam::{AdamScalars, adam};
pub use attention::{
    Attention, AttentionGradients, RowStats, WeightDropout, attention, attention_backward,
    first_blind_query,
};
pub use bf16::Bf16;
pub use concatenate::concatenate;
pub use conv::{Conv, conv, conv_input, conv_weight};
pub use elementwise::{
    add_strided, convert_bytes, copy, fill, map, map_assign, map_dense, map_twice, zip, zip_assign,
    zip_dense, zip_gradients, zip3,
};
pub use float::{Element, Float};
pub use gemm::{Matrix, gemm, gemm_batch, gemm_sum};
pub use gemm_bf16::gemm_bf16;
pub use indexing::{
    Lookup, Taken, add_rows, all_below, gather, put_rows, scatter_add, take, take_slices,
};
pub use marked::Marked;
pub use memory::CacheLine;
pub use normalize::{
    by_segment, column_sums, column_sums_with, moments, weighted_sums, with_moments,
};
pub use pad::pad;
pub use parallel::{CHUNK, drain, num_threads, set_num_threads};
pub use pool::{
    AvgPool, Divisor, adaptive_avg_pool, adaptive_avg_pool_input, adaptive_max_pool, avg_pool,
    avg_pool_input, max_pool, pick, place,
};
pub use power::powi;
pub use recurrence::{Recurrence, RecurrenceGradients, recurrence, recurrence_backward};
pub use recurrent_cell::RecurrentCell;
pub use reduce::{
    arg_best, best, count, dot, product_row, reduce_rows, sum, sum_of, sum_row, sum_squares,
    sum_view,
};
pub use rotary::{Rotary, RotaryPairs, rotary};
pub use scan::scan;
pub use sgd::{SgdScalars, sgd};
pub use simd::vectorize;
pub use softmax::{
    log_softmax_rows, log_softmax_rows_backward, logsumexp_row, nll_rows, nll_rows_backward,
    softmax_rows, softmax_rows_backward,
};
pub use softmax_blocks::{add_to_stats, softmax_of_stats};
pub use sort::sort_rows;
pub use strided::{View, contiguous_strides};
pub use sweep::{Cut, PIECE, Shared, SweepSize, pieces, sweep, sweep_into};
pub use triangle::triangle;
pub use trigonometry::{cos, sin};
pub use windows::Windows;
