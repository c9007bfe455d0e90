//! The formulas of recurrent layers, for one row of a batch and one step.

use crate::float::Float;

/// What a step does with the input's contribution and the hidden one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecurrentCell {
    /// `h ← tanh(x + h)`
    Tanh,
    /// `h ← max(x + h, 0)`
    Relu,
    /// Gates i, f, g, o: `c ← f c + i g`, `h ← o tanh(c)`.
    Lstm,
    /// Gates r, z, n, where r multiplies the hidden contribution to n: `h ← (1 − z) n + z h`.
    Gru,
}

impl RecurrentCell {
    /// The number of matrices of H rows in a weight.
    #[must_use]
    pub fn gates(self) -> usize {
        match self {
            RecurrentCell::Tanh | RecurrentCell::Relu => 1,
            RecurrentCell::Lstm => 4,
            RecurrentCell::Gru => 3,
        }
    }

    /// Whether a step saves H more values for each row: the next `c`, or the hidden contribution
    /// to `n`.
    #[must_use]
    pub fn saves_more(self) -> bool {
        matches!(self, RecurrentCell::Lstm | RecurrentCell::Gru)
    }
}

#[inline(always)]
fn sigmoid<T: Float>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

#[inline(always)]
pub(crate) fn relu<T: Float>(x: T) -> T {
    if x <= T::ZERO { T::ZERO } else { x }
}

/// `out[j] ← f(out[j], [x[j] for each input x])`: one output at a time, so that the loop is
/// vectorized.
#[inline(always)]
fn each<T: Float, const N: usize>(out: &mut [T], inputs: [&[T]; N], f: impl Fn(T, [T; N]) -> T) {
    let mut x = inputs;
    for x in &mut x {
        *x = &x[..out.len()];
    }
    for j in 0..out.len() {
        let mut values = [T::ZERO; N];
        for (value, x) in values.iter_mut().zip(x) {
            *value = x[j];
        }
        out[j] = f(out[j], values);
    }
}

/// `x[j] ← f(x[j] + bias[j] + sums[j])`
#[inline(always)]
fn add_to<T: Float>(x: &mut [T], sums: &[T], bias: &[T], f: impl Fn(T) -> T) {
    each(
        x,
        [sums, bias],
        #[inline(always)]
        |x, [sum, bias]| f(x + bias + sum),
    );
}

/// `gates ← f(gates + bias + sums)`, `out ← gates`
#[inline(always)]
pub(crate) fn plain<T: Float>(
    out: &mut [T],
    gates: &mut [T],
    sums: &[T],
    bias: &[T],
    f: impl Fn(T) -> T,
) {
    add_to(gates, sums, bias, f);
    out.copy_from_slice(gates);
}

#[inline(always)]
pub(crate) fn tanh_backward<T: Float>(out: &mut [T], y: &[T], dh: &[T]) {
    each(
        out,
        [y, dh],
        #[inline(always)]
        |_, [y, dh]| dh * (T::ONE - y * y),
    );
}

#[inline(always)]
pub(crate) fn relu_backward<T: Float>(out: &mut [T], y: &[T], dh: &[T]) {
    each(
        out,
        [y, dh],
        // Not a product, in which an infinite gradient times 0 would be NaN.
        #[inline(always)]
        |_, [y, dh]| if y <= T::ZERO { T::ZERO } else { dh },
    );
}

/// Adds `bias` and `sums` to the gates and applies their functions, then `c ← f before + i g` and
/// `out ← o tanh(c)`.
#[inline(always)]
pub(crate) fn lstm<T: Float>(
    out: &mut [T],
    [gates, c]: [&mut [T]; 2],
    before: &[T],
    sums: &[T],
    bias: &[T],
) {
    let (sums, bias) = (parts::<_, 4>(sums), parts::<_, 4>(bias));
    let [i, f, g, o] = parts_mut(gates);
    add_to(i, sums[0], bias[0], sigmoid);
    add_to(f, sums[1], bias[1], sigmoid);
    add_to(g, sums[2], bias[2], T::tanh);
    add_to(o, sums[3], bias[3], sigmoid);
    each(
        c,
        [f, before, i, g],
        #[inline(always)]
        |_, [f, before, i, g]| f * before + i * g,
    );
    each(
        out,
        [o, c],
        #[inline(always)]
        |_, [o, c]| o * c.tanh(),
    );
}

/// Writes the gradients of the four sums to `out`, and changes `dc` from that of `c` to that of
/// the `c` before; `dh` is that of the outputs.
#[inline(always)]
pub(crate) fn lstm_backward<T: Float>(
    out: &mut [T],
    dc: &mut [T],
    gates: &[T],
    dh: &[T],
    [c, before]: [&[T]; 2],
) {
    let [i, f, g, o] = parts(gates);
    let [di, df, dg, d_o] = parts_mut(out);
    let tanh = dg;
    each(
        tanh,
        [c],
        #[inline(always)]
        |_, [c]| c.tanh(),
    );
    each(
        dc,
        [dh, o, tanh],
        #[inline(always)]
        |dc, [dh, o, tanh]| dc + dh * o * (T::ONE - tanh * tanh),
    );
    each(
        d_o,
        [dh, o, tanh],
        #[inline(always)]
        |_, [dh, o, tanh]| dh * tanh * (o * (T::ONE - o)),
    );
    let dg = tanh;
    each(
        dg,
        [dc, i, g],
        #[inline(always)]
        |_, [dc, i, g]| dc * i * (T::ONE - g * g),
    );
    each(
        di,
        [dc, i, g],
        #[inline(always)]
        |_, [dc, i, g]| dc * g * (i * (T::ONE - i)),
    );
    each(
        df,
        [dc, f, before],
        #[inline(always)]
        |_, [dc, f, before]| dc * before * (f * (T::ONE - f)),
    );
    each(
        dc,
        [f],
        #[inline(always)]
        |dc, [f]| dc * f,
    );
}

/// Adds `bias` and `sums` to the gates r and z and applies their function, then
/// `n ← tanh(n + bias + r sums)` and `h ← (h − n) z + n`; saves the sums of n.
#[inline(always)]
pub(crate) fn gru<T: Float>(h: &mut [T], [gates, saved]: [&mut [T]; 2], sums: &[T], bias: &[T]) {
    let (sums, bias) = (parts::<_, 3>(sums), parts::<_, 3>(bias));
    let [r, z, n] = parts_mut(gates);
    add_to(r, sums[0], bias[0], sigmoid);
    add_to(z, sums[1], bias[1], sigmoid);
    saved.copy_from_slice(sums[2]);
    each(
        n,
        [bias[2], r, sums[2]],
        #[inline(always)]
        |n, [bias, r, sum]| (n + bias + r * sum).tanh(),
    );
    each(
        h,
        [n, z],
        #[inline(always)]
        |h, [n, z]| (h - n) * z + n,
    );
}

/// Writes the gradients of the three sums of the inputs to `out`; `dh` is that of the outputs.
#[inline(always)]
pub(crate) fn gru_backward<T: Float>(
    out: &mut [T],
    gates: &[T],
    dh: &[T],
    sums: &[T],
    before: &[T],
) {
    let [r, z, n] = parts(gates);
    let [dr, dz, dn] = parts_mut(out);
    each(
        dz,
        [dh, before, n, z],
        #[inline(always)]
        |_, [dh, before, n, z]| dh * (before - n) * (z * (T::ONE - z)),
    );
    each(
        dn,
        [dh, z, n],
        #[inline(always)]
        |_, [dh, z, n]| dh * (T::ONE - z) * (T::ONE - n * n),
    );
    each(
        dr,
        [dn, sums, r],
        #[inline(always)]
        |_, [dn, sum, r]| dn * sum * (r * (T::ONE - r)),
    );
}

/// The parts of equal length.
#[inline(always)]
fn parts<T, const N: usize>(x: &[T]) -> [&[T]; N] {
    let len = x.len() / N;
    let mut parts = [x; N];
    for (i, part) in parts.iter_mut().enumerate() {
        *part = &x[i * len..][..len];
    }
    parts
}

/// [`parts`], to write to.
#[inline(always)]
fn parts_mut<T, const N: usize>(x: &mut [T]) -> [&mut [T]; N] {
    let len = x.len() / N;
    let mut rest = x;
    [(); N].map(
        #[inline(always)]
        |()| {
            let part;
            (part, rest) = std::mem::take(&mut rest).split_at_mut(len);
            part
        },
    )
}
