//! Recurrent layers: all steps of a sequence.
//!
//! Each row of a batch is a sequence of its own, so threads share the rows, and a thread runs all
//! steps of its rows without waiting for the others. The weights are packed once per sequence.

use crate::float::Float;
use crate::gemm::{Matrix, gemm};
use crate::packed::Packed;
use crate::parallel::{drain, num_threads};
use crate::recurrent_cell::{
    RecurrentCell, gru, gru_backward, lstm, lstm_backward, plain, relu, relu_backward,
    tanh_backward,
};
use crate::simd::simd;
use crate::team;

/// Bytes of weights that stay in the cache of a core.
const CACHE: usize = 512 << 10;

/// A layer in one direction: N sequences of L steps, H hidden units of `gates` gates each (G = gates
/// · H), and outputs of width P, which is H unless they are projected.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence<'a, T> {
    /// The step.
    pub cell: RecurrentCell,
    /// `[L, H, P]`
    pub sizes: [usize; 3],
    /// Whether the last element of a sequence is the first step.
    pub reverse: bool,
    /// The inputs, `[N, L, inputs]`.
    pub x: &'a [T],
    /// The weight of the inputs, `[G, inputs]`.
    pub input: Matrix<'a, T>,
    /// The weight of the outputs of the step before, `[G, P]`.
    pub hidden: Matrix<'a, T>,
    /// The projection, `[P, H]`.
    pub projection: Option<Matrix<'a, T>>,
    /// The initial outputs, `[N, P]`.
    pub h: &'a [T],
    /// The initial `c` of an [`Lstm`](RecurrentCell::Lstm), `[N, H]`; otherwise empty.
    pub c: &'a [T],
}

/// The buffers for the gradients, row-major.
#[derive(Debug)]
pub struct RecurrenceGradients<'a, T> {
    /// Of the inputs, `[N, L, inputs]`, or empty if it is not needed.
    pub x: &'a mut [T],
    /// Of the inputs' contributions to the gates, `[N, L, G]`.
    pub gates: &'a mut [T],
    /// For a [`Gru`](RecurrentCell::Gru), of the hidden contributions to n, `[N, L, H]`; for a projected
    /// net, of the outputs with all later uses, `[N, L, P]`; otherwise empty.
    pub more: &'a mut [T],
    /// Of the initial outputs, `[N, P]`.
    pub h: &'a mut [T],
    /// `[N, H]`: of the last `c` at the start, of the initial `c` at the end; empty without `c`.
    pub c: &'a mut [T],
}

impl<T: Float> Recurrence<'_, T> {
    /// G
    fn width(&self) -> usize {
        self.cell.gates() * self.sizes[1]
    }

    fn rows(&self) -> usize {
        self.h.len() / self.sizes[2].max(1)
    }

    /// Whether the weights are used often enough to pack them. A single row reads them as they are,
    /// and its products share their columns between threads.
    fn packs(&self) -> bool {
        self.rows() > 1 && self.rows().saturating_mul(self.sizes[0]) >= 16
    }

    /// Whether both weights fit in a core's cache, so that the inputs' contribution is best computed
    /// where a step uses it; otherwise it is one product for all steps.
    fn fits(&self) -> bool {
        let elements = (self.input.cols + self.hidden.cols).saturating_mul(self.width());
        self.packs() && elements.saturating_mul(size_of::<T>()) <= CACHE
    }

    /// All inputs as a matrix.
    fn all_x(&self) -> Matrix<'_, T> {
        Matrix::row_major(self.x, self.rows() * self.sizes[0], self.input.cols)
    }

    /// Rows in a piece: one piece for each thread. The bits do not depend on it.
    fn piece(&self) -> usize {
        if !self.packs() {
            return self.rows();
        }
        let threads = if team::is_engaged() { 1 } else { num_threads() };
        self.rows().div_ceil(threads).next_multiple_of(2)
    }

    fn cost(&self) -> usize {
        let [steps, hidden, output] = self.sizes;
        let inputs = if self.fits() { self.input.cols } else { 0 };
        let each = self.width() * (inputs + output) / 8 + 64 * hidden;
        self.rows().saturating_mul(steps).saturating_mul(each)
    }

    /// The position in the sequence of a step, and of the step before it.
    fn position(&self, step: usize) -> (usize, Option<usize>) {
        let at = |step| if self.reverse { self.sizes[0] - 1 - step } else { step };
        (at(step), step.checked_sub(1).map(at))
    }
}

/// A weight as it is used in each step.
enum Weight<'a, T> {
    Packed(Packed<T>),
    Plain(Matrix<'a, T>),
}

impl<'a, T: Float> Weight<'a, T> {
    fn new(weight: Matrix<'a, T>, packs: bool) -> Self {
        if packs { Weight::Packed(Packed::new(weight)) } else { Weight::Plain(weight) }
    }

    /// `C ← C + A weight`
    fn add_product(&self, a: &[T], c: &mut [T]) {
        match self {
            Weight::Packed(packed) => packed.add_product(a, c),
            Weight::Plain(weight) => {
                gemm(Matrix::row_major(a, a.len() / weight.rows, weight.rows), *weight, T::ONE, c);
            }
        }
    }
}

/// Pieces of `rows` elements each; empty ones for an empty slice.
fn cut<'a, T>(x: &'a [T], rows: usize, width: usize) -> impl Fn(usize) -> &'a [T] {
    move |piece| x.chunks((rows * width).max(1)).nth(piece).unwrap_or(&[])
}

/// Runs all steps. Writes the values of the gates to `gates` `[N, L, G]`, what else the cell saves to
/// `more` (`[N, L, H]`, or empty), and the outputs to `out` `[N, L, P]`. The biases are those of the
/// inputs' and of the hidden contribution.
///
/// # Panics
/// If the lengths do not match.
///
/// ```
/// use adamant_kernels::{Matrix, Recurrence, RecurrentCell, recurrence};
/// let one = Matrix::row_major(&[1.0f32], 1, 1);
/// let (cell, sizes, x) = (RecurrentCell::Relu, [2, 1, 1], &[1.0, 2.0]);
/// let (reverse, projection, h, c) = (false, None, &[0.5], &[]);
/// let net = Recurrence { cell, sizes, reverse, x, input: one, hidden: one, projection, h, c };
/// let (mut gates, mut out) = ([0.0; 2], [0.0; 2]);
/// recurrence(&mut gates, &mut [], &mut out, &net, [&[0.25], &[0.25]]);
/// assert_eq!(out, [2.0, 4.5]);
/// ```
pub fn recurrence<T: Float>(
    gates: &mut [T],
    more: &mut [T],
    out: &mut [T],
    net: &Recurrence<'_, T>,
    biases: [&[T]; 2],
) {
    let ([steps, hidden, output], width, rows) = (net.sizes, net.width(), net.rows());
    let inputs = net.input.cols;
    assert_eq!((gates.len(), out.len()), (rows * steps * width, rows * steps * output));
    assert_eq!(more.len(), if net.cell.saves_more() { rows * steps * hidden } else { 0 });
    assert_eq!(net.x.len(), rows * steps * inputs);
    assert!(biases.iter().all(|bias| bias.len() == width), "a bias for each gate");
    if rows == 0 {
        return;
    }
    let input = net.fits().then(|| Packed::new(net.input.t()));
    if input.is_none() {
        gemm(net.all_x(), net.input.t(), T::ZERO, gates);
    }
    let weight = Weight::new(net.hidden.t(), net.packs());
    let projection = net.projection.map(|projection| Weight::new(projection.t(), net.packs()));
    let piece = net.piece();
    let mut mores: Vec<&mut [T]> = more.chunks_mut(piece * steps * hidden).collect();
    mores.resize_with(rows.div_ceil(piece), Default::default);
    let (h0, c0) = (cut(net.h, piece, output), cut(net.c, piece, hidden));
    let x = cut(net.x, piece, steps * inputs);
    let pieces: Vec<_> = gates
        .chunks_mut(piece * steps * width)
        .zip(mores)
        .zip(out.chunks_mut(piece * steps * output))
        .enumerate()
        .map(|(i, buffers)| (buffers, [x(i), h0(i), c0(i)]))
        .collect();
    drain(pieces.into_iter(), net.cost(), |(((gates, more), out), [x, h0, c0])| {
        let mut h = h0.to_vec(); // the outputs of the step before
        let rows = h.len() / output;
        let mut sums = vec![T::ZERO; rows * width]; // the hidden contributions
        let mut values = sums.clone(); // the inputs' contributions, then the gates
        let mut x_now = vec![T::ZERO; rows * inputs];
        let mut units = vec![T::ZERO; rows * hidden]; // the outputs before the projection
        for step in 0..steps {
            let (t, before) = net.position(step);
            if let Some(input) = &input {
                for r in 0..rows {
                    x_now[r * inputs..][..inputs]
                        .copy_from_slice(&x[(r * steps + t) * inputs..][..inputs]);
                }
                values.fill(T::ZERO);
                input.add_product(&x_now, &mut values);
            } else {
                for (values, gates) in
                    values.chunks_exact_mut(width).zip(gates.chunks_exact(steps * width))
                {
                    values.copy_from_slice(&gates[t * width..][..width]);
                }
            }
            sums.chunks_exact_mut(width).for_each(|sums| sums.copy_from_slice(biases[1]));
            weight.add_product(&h, &mut sums);
            if projection.is_none() {
                units.copy_from_slice(&h); // a GRU's step reads them
            }
            let bias = biases[0];
            simd!(|| {
                for r in 0..rows {
                    let all = &mut gates[(r * steps + t) * width..][..width];
                    let gates = &mut values[r * width..][..width];
                    let sums = &sums[r * width..][..width];
                    let units = &mut units[r * hidden..][..hidden];
                    let more = match net.cell.saves_more() {
                        true => &mut more[r * steps * hidden..][..steps * hidden],
                        false => &mut [],
                    };
                    match net.cell {
                        RecurrentCell::Tanh => plain(units, gates, sums, bias, T::tanh),
                        RecurrentCell::Relu => plain(units, gates, sums, bias, relu),
                        RecurrentCell::Lstm => {
                            let initial = &c0[r * hidden..][..hidden];
                            let (c, before) = pair(more, t, before, initial);
                            lstm(units, [gates, c], before, sums, bias);
                        }
                        RecurrentCell::Gru => {
                            gru(units, [gates, &mut more[t * hidden..][..hidden]], sums, bias);
                        }
                    }
                    all.copy_from_slice(gates);
                }
            });
            match &projection {
                None => h.copy_from_slice(&units),
                Some(projection) => {
                    h.fill(T::ZERO);
                    projection.add_product(&units, &mut h);
                }
            }
            for (h, out) in h.chunks_exact(output).zip(out.chunks_exact_mut(steps * output)) {
                out[t * output..][..output].copy_from_slice(h);
            }
        }
    });
}

/// The gradients of [`recurrence`], from what it wrote and the gradient `g` of its outputs.
///
/// # Panics
/// If the lengths do not match.
pub fn recurrence_backward<T: Float>(
    gradients: RecurrenceGradients<'_, T>,
    g: &[T],
    [gates, more, out]: [&[T]; 3],
    net: &Recurrence<'_, T>,
) {
    let ([steps, hidden, output], width, rows) = (net.sizes, net.width(), net.rows());
    let RecurrenceGradients { x: dx, gates: dgates, more: dmore, h: dh, c: dc } = gradients;
    let inputs = net.input.cols;
    assert!(dx.is_empty() || dx.len() == net.x.len(), "a gradient for each input");
    assert_eq!((dgates.len(), gates.len()), (rows * steps * width, rows * steps * width));
    assert_eq!((g.len(), out.len()), (rows * steps * output, rows * steps * output));
    assert_eq!((dh.len(), dc.len()), (net.h.len(), net.c.len()));
    if rows == 0 {
        return;
    }
    let is_gru = net.cell == RecurrentCell::Gru;
    let more_width = match (is_gru, net.projection) {
        (true, _) => hidden,
        (_, Some(_)) => output,
        _ => 0,
    };
    assert_eq!(dmore.len(), rows * steps * more_width);
    let input = (net.fits() && !dx.is_empty()).then(|| Packed::new(net.input));
    let weight = Weight::new(net.hidden, net.packs());
    let projection = net.projection.map(|projection| Weight::new(projection, net.packs()));
    let (count, piece) = (rows.div_ceil(net.piece()), net.piece());
    let mut dmores: Vec<&mut [T]> = dmore.chunks_mut((piece * steps * more_width).max(1)).collect();
    dmores.resize_with(count, Default::default);
    let mut dcs: Vec<&mut [T]> = dc.chunks_mut(piece * hidden).collect();
    dcs.resize_with(count, Default::default);
    let none: &mut [T] = &mut [];
    let (dx_now, dx_later) = if input.is_some() { (dx, none) } else { (none, dx) };
    let mut dxs: Vec<&mut [T]> = dx_now.chunks_mut((piece * steps * inputs).max(1)).collect();
    dxs.resize_with(count, Default::default);
    let sequences = |x, width| cut(x, piece, steps * width);
    let (g, gates, more) = (sequences(g, output), sequences(gates, width), sequences(more, hidden));
    let (out, h0, c0) =
        (sequences(out, output), cut(net.h, piece, output), cut(net.c, piece, hidden));
    let all_dgates = dgates;
    let pieces: Vec<_> = all_dgates
        .chunks_mut(piece * steps * width)
        .zip(dmores)
        .zip(dh.chunks_mut(piece * output).zip(dcs))
        .zip(dxs)
        .enumerate()
        .map(|(i, buffers)| (buffers, [g(i), gates(i), more(i), out(i), h0(i), c0(i)]))
        .collect();
    drain(pieces.into_iter(), net.cost(), |((((dgates, dmore), (dh, dc)), dx), values)| {
        let [g, gates, more, out, h0, c0] = values;
        let rows = dh.len() / output;
        let mut sums = vec![T::ZERO; rows * width]; // gradients of the hidden contributions
        let mut units = vec![T::ZERO; rows * hidden]; // of the outputs before the projection
        let mut dx_now = vec![T::ZERO; if input.is_some() { rows * inputs } else { 0 }];
        dh.fill(T::ZERO);
        for step in (0..steps).rev() {
            let (t, before) = net.position(step);
            for (dh, g) in dh.chunks_exact_mut(output).zip(g.chunks_exact(steps * output)) {
                dh.iter_mut().zip(&g[t * output..]).for_each(|(dh, &g)| *dh += g);
            }
            match &projection {
                None => units.copy_from_slice(dh),
                Some(projection) => {
                    for (dh, all) in
                        dh.chunks_exact(output).zip(dmore.chunks_exact_mut(steps * output))
                    {
                        all[t * output..][..output].copy_from_slice(dh);
                    }
                    units.fill(T::ZERO);
                    projection.add_product(dh, &mut units);
                }
            }
            simd!(|| {
                for r in 0..rows {
                    let at = (r * steps + t) * width;
                    let (gates, units) = (&gates[at..][..width], &units[r * hidden..][..hidden]);
                    let sums = &mut sums[r * width..][..width];
                    match net.cell {
                        RecurrentCell::Tanh => tanh_backward(sums, gates, units),
                        RecurrentCell::Relu => relu_backward(sums, gates, units),
                        RecurrentCell::Lstm => {
                            let c = &more[r * steps * hidden..][..steps * hidden];
                            let before = match before {
                                Some(before) => &c[before * hidden..][..hidden],
                                None => &c0[r * hidden..][..hidden],
                            };
                            let dc = &mut dc[r * hidden..][..hidden];
                            let c = &c[t * hidden..][..hidden];
                            lstm_backward(sums, dc, gates, units, [c, before]);
                        }
                        RecurrentCell::Gru => {
                            let before = match before {
                                Some(before) => &out[(r * steps + before) * hidden..][..hidden],
                                None => &h0[r * hidden..][..hidden],
                            };
                            let sum = &more[(r * steps + t) * hidden..][..hidden];
                            gru_backward(sums, gates, units, sum, before);
                        }
                    }
                    dgates[at..][..width].copy_from_slice(sums);
                }
            });
            if let Some(input) = &input {
                dx_now.fill(T::ZERO);
                input.add_product(&sums, &mut dx_now);
                for r in 0..rows {
                    dx[(r * steps + t) * inputs..][..inputs]
                        .copy_from_slice(&dx_now[r * inputs..][..inputs]);
                }
            }
            if is_gru {
                for r in 0..rows {
                    // The hidden contribution to n is multiplied by r.
                    let (reset, keep) = gates[(r * steps + t) * width..].split_at(hidden);
                    let dn = &mut sums[r * width + 2 * hidden..][..hidden];
                    multiply(dn, reset);
                    dmore[(r * steps + t) * hidden..][..hidden].copy_from_slice(dn);
                    multiply(&mut dh[r * hidden..][..hidden], keep);
                }
            } else {
                dh.fill(T::ZERO);
            }
            weight.add_product(&sums, dh);
        }
    });
    if !dx_later.is_empty() {
        gemm(Matrix::row_major(all_dgates, rows * steps, width), net.input, T::ZERO, dx_later);
    }
}

/// The position `t` of a row of `more`, and the position `before` or else `initial`.
#[inline(always)]
fn pair<'a, T>(
    more: &'a mut [T],
    t: usize,
    before: Option<usize>,
    initial: &'a [T],
) -> (&'a mut [T], &'a [T]) {
    let hidden = initial.len();
    match before {
        None => (&mut more[t * hidden..][..hidden], initial),
        Some(before) if before < t => {
            let (head, tail) = more.split_at_mut(t * hidden);
            (&mut tail[..hidden], &head[before * hidden..][..hidden])
        }
        Some(before) => {
            let (head, tail) = more.split_at_mut(before * hidden);
            (&mut head[t * hidden..][..hidden], &tail[..hidden])
        }
    }
}

/// `x ← x ∘ by`
fn multiply<T: Float>(x: &mut [T], by: &[T]) {
    x.iter_mut().zip(by).for_each(|(x, &by)| *x *= by);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 3] = [4, 19, 19]; // L, H, P

    fn values(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 1009.0 - 0.5).collect()
    }

    /// The outputs and the gradients of the gates, the initial outputs and the inputs.
    fn run(cell: RecurrentCell, rows: usize, inputs: usize) -> [Vec<f32>; 4] {
        let [steps, hidden, _] = SIZES;
        let width = cell.gates() * hidden;
        let (weight, h) = (values(width * hidden, 1), values(rows * hidden, 2));
        let (x, input) = (values(rows * steps * inputs, 7), values(width * inputs, 8));
        let (is_gru, is_lstm) = (cell == RecurrentCell::Gru, cell == RecurrentCell::Lstm);
        let c = if is_lstm { values(rows * hidden, 3) } else { Vec::new() };
        let net = Recurrence {
            cell,
            sizes: SIZES,
            reverse: true,
            x: &x,
            input: Matrix::row_major(&input, width, inputs),
            hidden: Matrix::row_major(&weight, width, hidden),
            projection: None,
            h: &h,
            c: &c,
        };
        let zeros = |len: usize| vec![0.0; len];
        let mut gates = zeros(rows * steps * width);
        let mut more = zeros(if cell.saves_more() { rows * steps * hidden } else { 0 });
        let mut out = zeros(rows * steps * hidden);
        let bias = values(width, 5);
        recurrence(&mut gates, &mut more, &mut out, &net, [&bias, &bias]);

        let (mut dgates, mut dh, mut dc) = (zeros(gates.len()), zeros(h.len()), zeros(c.len()));
        let mut dmore = zeros(if is_gru { more.len() } else { 0 });
        let mut dx = zeros(x.len());
        let gradients = RecurrenceGradients {
            x: &mut dx,
            gates: &mut dgates,
            more: &mut dmore,
            h: &mut dh,
            c: &mut dc,
        };
        let g = values(out.len(), 6);
        recurrence_backward(gradients, &g, [&gates, &more, &out], &net);
        [out, dgates, dh, dx]
    }

    #[test]
    fn bits_do_not_depend_on_the_threads_or_on_other_rows() {
        use RecurrentCell::{Gru, Lstm, Relu, Tanh};
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        // The weights of 9,000 inputs do not fit in the cache.
        for (cell, inputs) in [(Tanh, 5), (Relu, 5), (Lstm, 5), (Gru, 5), (Gru, 9_000)] {
            let run = |rows| run(cell, rows, inputs).map(|x| bits(&x));
            let expected = run(21);
            for threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| run(21)) == expected, "{cell:?}, {threads} threads");
            }
            // The first sequences alone; 1 to 7 rows are summed in tiles of every height.
            for rows in 1..8 {
                for (found, expected) in run(rows).iter().zip(&expected) {
                    assert!(found[..] == expected[..found.len()], "{cell:?}, {rows} rows");
                }
            }
        }
    }
}
