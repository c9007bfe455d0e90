//! Elements and rows by index.
//!
//! Functions that write through indices do so in order, on one thread: an index may repeat, and
//! the result depends on the order.

use crate::float::{Element, Float};
use crate::parallel::{CHUNK, drain};
use crate::strided::Nest;

/// Indices along one dimension of a strided operand: position `p` of `shape` maps to the element
/// `offset(p) + index[p] · step`, where `offset` follows from `strides`.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// The shape of `index`.
    pub shape: &'a [usize],
    /// The operand's strides, 0 in the indexed dimension.
    pub strides: &'a [usize],
    /// The operand's stride in the indexed dimension.
    pub step: usize,
    /// Row-major indices.
    pub index: &'a [usize],
}

/// `out[p] ← x[offset(p) + index[p] · step]`
///
/// # Panics
/// If the lengths do not match, or an element is outside `x`.
///
/// ```
/// use adamant_kernels::{Lookup, gather};
/// let lookup = Lookup { shape: &[2, 1], strides: &[2, 0], step: 1, index: &[1, 0] };
/// let mut out = [0.0; 2];
/// gather(&mut out, &[1.0, 2.0, 3.0, 4.0], lookup); // column 1 of row 0, column 0 of row 1
/// assert_eq!(out, [2.0, 3.0]);
/// ```
pub fn gather<T: Float>(out: &mut [T], x: &[T], lookup: Lookup<'_>) {
    let Lookup { shape, strides, step, index } = lookup;
    assert_eq!(out.len(), shape.iter().product::<usize>(), "one result for each index");
    assert_eq!(out.len(), index.len(), "one result for each index");
    let nest = Nest::new(shape, [strides]);
    let [stride] = nest.inner_strides();
    let cost = out.len().saturating_mul(4);
    drain(out.chunks_mut(CHUNK).enumerate(), cost, |(chunk, out)| {
        let start = chunk * CHUNK;
        let index = &index[start..start + out.len()];
        nest.runs(start..start + out.len(), |run, [offset]| {
            for (i, (out, &index)) in out[run.clone()].iter_mut().zip(&index[run]).enumerate() {
                *out = x[offset + i * stride + index * step];
            }
        });
    });
}

/// `out[offset(p) + index[p] · step] ← … + x[p]`, in the order of `p`.
///
/// # Panics
/// If the lengths do not match, or an element is outside `out`.
///
/// ```
/// use adamant_kernels::{Lookup, scatter_add};
/// let lookup = Lookup { shape: &[2], strides: &[0], step: 1, index: &[1, 1] };
/// let mut out = [0.0; 2];
/// scatter_add(&mut out, &[3.0, 4.0], lookup);
/// assert_eq!(out, [0.0, 7.0]);
/// ```
pub fn scatter_add<T: Float>(out: &mut [T], x: &[T], lookup: Lookup<'_>) {
    let Lookup { shape, strides, step, index } = lookup;
    assert_eq!(x.len(), shape.iter().product::<usize>(), "one value for each index");
    assert_eq!(x.len(), index.len(), "one value for each index");
    let nest = Nest::new(shape, [strides]);
    let [stride] = nest.inner_strides();
    nest.runs(0..x.len(), |run, [offset]| {
        for (i, (&x, &index)) in x[run.clone()].iter().zip(&index[run]).enumerate() {
            out[offset + i * stride + index * step] += x;
        }
    });
}

/// `out[o, i, ..] ← x[o, index[i], ..]` for `x` of shape `[outer, size, inner]`.
///
/// # Panics
/// If the lengths do not match, or an index is not below `size`.
///
/// ```
/// let mut out = [0usize; 4];
/// adamant_kernels::take_rows(&mut out, &[1, 2, 3, 4, 5, 6], [1, 3, 2], &[2, 0]);
/// assert_eq!(out, [5, 6, 1, 2]);
/// ```
pub fn take_rows<E: Element>(out: &mut [E], x: &[E], shape: [usize; 3], index: &[usize]) {
    let [outer, size, inner] = shape;
    assert_eq!(x.len(), outer * size * inner, "the operand has its shape");
    assert_eq!(out.len(), outer * index.len() * inner, "a row for each index");
    if out.is_empty() {
        return;
    }
    let rows = CHUNK.div_ceil(inner); // per piece of work
    let cost = out.len();
    drain(out.chunks_mut(rows * inner).enumerate(), cost, |(piece, out)| {
        for (i, out) in out.chunks_exact_mut(inner).enumerate() {
            let row = piece * rows + i;
            let from = (row / index.len()) * size + index[row % index.len()];
            out.copy_from_slice(&x[from * inner..(from + 1) * inner]);
        }
    });
}

/// `out[o, index[i], ..] ← … + x[o, i, ..]` for `out` of shape `[outer, size, inner]`,
/// in the order of `i`.
///
/// # Panics
/// If the lengths do not match, or an index is not below `size`.
///
/// ```
/// let mut out = [0.0; 4];
/// adamant_kernels::add_rows(&mut out, &[1.0, 2.0, 3.0, 4.0], [1, 2, 2], &[1, 1]);
/// assert_eq!(out, [0.0, 0.0, 4.0, 6.0]);
/// ```
pub fn add_rows<T: Float>(out: &mut [T], x: &[T], shape: [usize; 3], index: &[usize]) {
    each_row(out, x, shape, index, |out, x| {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
    });
}

/// `out[o, index[i], ..] ← x[o, i, ..]` for `out` of shape `[outer, size, inner]`, in the order of
/// `i`: the last of equal indices wins.
///
/// # Panics
/// If the lengths do not match, or an index is not below `size`.
///
/// ```
/// let mut out = [0.0; 4];
/// adamant_kernels::put_rows(&mut out, &[1.0, 2.0, 3.0, 4.0], [1, 2, 2], &[1, 1]);
/// assert_eq!(out, [0.0, 0.0, 3.0, 4.0]);
/// ```
pub fn put_rows<T: Float>(out: &mut [T], x: &[T], shape: [usize; 3], index: &[usize]) {
    each_row(out, x, shape, index, |out, x| out.copy_from_slice(x));
}

/// `f(out[o, index[i], ..], x[o, i, ..])`, in the order of `i`.
fn each_row<T: Float>(
    out: &mut [T],
    x: &[T],
    shape: [usize; 3],
    index: &[usize],
    f: impl Fn(&mut [T], &[T]),
) {
    let [outer, size, inner] = shape;
    assert_eq!(out.len(), outer * size * inner, "the result has its shape");
    assert_eq!(x.len(), outer * index.len() * inner, "a row for each index");
    if x.is_empty() {
        return;
    }
    for (row, x) in x.chunks_exact(inner).enumerate() {
        let to = (row / index.len()) * size + index[row % index.len()];
        f(&mut out[to * inner..(to + 1) * inner], x);
    }
}
