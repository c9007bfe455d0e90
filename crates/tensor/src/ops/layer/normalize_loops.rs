//! The loops of normalizations, over lines of adjacent elements.
//!
//! There are three kinds of line: channel and group are constant, both change with each element, or
//! only the channel does. Each loop is written once for all three.

use crate::arrays::array::{Array, with_room};
use crate::arrays::shape::Shape;
use crate::tape::context::Context;
use crate::tape::tensor::Tensor;
use adamant_kernels::{
    Float, by_segment, column_sums, column_sums_with, drain, moments, weighted_sums, with_moments,
};

/// How an input is divided into samples, channels and groups.
#[derive(Clone, Copy)]
pub(crate) struct NormLayout {
    pub(crate) op: &'static str,
    /// Samples.
    pub(crate) n: usize,
    /// Channels.
    pub(crate) c: usize,
    /// Positions.
    pub(crate) s: usize,
    /// The number of groups of channels.
    pub(crate) groups: usize,
    /// Whether a group extends over all samples; it then has one channel.
    pub(crate) across: bool,
    /// Whether the mean is subtracted.
    pub(crate) center: bool,
    /// Whether mean and variance are constants.
    pub(crate) fixed: bool,
    pub(crate) eps: f64,
}

impl NormLayout {
    #[track_caller]
    pub(crate) fn channels<T: Float>(
        op: &'static str,
        x: &Array<T>,
        others: [Option<&Tensor<T>>; 2],
        eps: f64,
    ) -> NormLayout {
        let shape = x.shape();
        let &[n, c, ref positions @ ..] = &**shape else {
            panic!("{op}: an input of shape {shape}; expected [batch, channels, …]")
        };
        assert!(!eps.is_nan(), "{op}: eps is NaN; expected a number");
        for other in others.into_iter().flatten() {
            let found = other.array.shape();
            assert!(
                **found == [c],
                "{op}: an input of shape {shape} has {c} channels, which a parameter or \
                 statistic of shape {found} does not fit; expected [{c}]"
            );
        }
        let s = positions.iter().product();
        NormLayout { op, n, c, s, groups: c, across: true, center: true, fixed: false, eps }
    }

    #[track_caller]
    pub(crate) fn trailing<T: Float>(
        op: &'static str,
        x: &Array<T>,
        shape: &[usize],
        others: [Option<&Tensor<T>>; 2],
        center: bool,
        eps: f64,
    ) -> NormLayout {
        let (found, expected) = (x.shape(), Shape::from(shape));
        assert!(!shape.is_empty(), "{op}: the shape to normalize over is []; it needs a dimension");
        assert!(
            found.ends_with(shape),
            "{op}: an input of shape {found}; expected {expected} as its last dimensions"
        );
        assert!(!eps.is_nan(), "{op}: eps is NaN; expected a number");
        for other in others.into_iter().flatten() {
            let other = other.array.shape();
            assert!(
                *other == expected,
                "{op}: a parameter of shape {other}; expected {expected}, which is normalized over"
            );
        }
        let n = found[..found.len() - shape.len()].iter().product();
        let c = expected.numel();
        NormLayout { op, n, c, s: 1, groups: 1, across: false, center, fixed: false, eps }
    }

    /// The number of elements in a group.
    pub(crate) fn count(&self) -> usize {
        if self.across { self.n * self.s } else { self.c / self.groups * self.s }
    }

    /// Mean and variance of each channel, for groups across samples.
    #[track_caller]
    pub(crate) fn stats<T: Float>(&self, x: &Array<T>) -> Vec<(f64, f64)> {
        let x = x.contiguous(self.op);
        let mut stats = with_room(self.op, self.c);
        stats.resize(self.c, (0.0, 0.0));
        moments(&mut stats, x.contiguous_slice(), self.s, self.center);
        stats
    }

    /// The shift and scale of a group with this mean and variance.
    pub(crate) fn group<T: Float>(&self, &(mean, var): &(f64, f64)) -> Group<T> {
        Group { mean: T::from_f64(mean), scale: T::from_f64(1.0 / (var + self.eps).sqrt()) }
    }

    /// `[shift, slope]` of the gradient of a group, from Σ ĝ and scale · Σ ĝ x̂:
    /// dx = scale (ĝ − mean ĝ − x̂ mean ĝ x̂) = scale (ĝ − shift − (x − mean) slope).
    ///
    /// The subtraction comes before the scaling: 1/√eps would magnify the rounding errors of terms
    /// that cancel.
    fn slopes<T: Float>(&self, [p, q]: [f64; 2]) -> [T; 2] {
        let count = self.count() as f64;
        [if self.center { p / count } else { 0.0 }, q / count].map(T::from_f64)
    }

    /// The length of a line: the positions of a channel, or without positions the channels of a
    /// sample or of a group.
    fn line(&self) -> usize {
        match (self.s > 1, self.across) {
            (true, _) => self.s,
            (_, true) => self.c,
            _ => self.c / self.groups,
        }
    }

    /// Channel and group of the first element of line `i`.
    fn start(&self, i: usize) -> (usize, usize) {
        match (self.s > 1, self.across) {
            (true, true) => (i % self.c, i % self.c),
            (true, false) => (i % self.c, i / (self.c / self.groups)),
            (false, true) => (0, 0),
            (false, false) => (i % self.groups * self.line(), i),
        }
    }
}

/// Calls a loop over a line, in which each element advances by `C` channels and `G` groups.
macro_rules! along {
    ($layout:expr, $f:ident($($argument:expr),*)) => {
        match ($layout.s > 1, $layout.across) {
            (true, _) => $f::<0, 0, T>($($argument),*),
            (_, true) => $f::<1, 1, T>($($argument),*),
            _ => $f::<1, 0, T>($($argument),*),
        }
    };
}

/// The shift and scale of a group.
#[derive(Clone, Copy)]
pub(crate) struct Group<T> {
    pub(crate) mean: T,
    pub(crate) scale: T,
}

/// The elements, or `len` times a constant.
fn or_full<T: Float>(x: Option<&Tensor<T>>, len: usize, value: T) -> Vec<T> {
    x.map_or_else(|| vec![value; len], Tensor::to_vec)
}

#[track_caller]
pub(crate) fn forward<T: Float>(
    x: &Array<T>,
    weight: Option<&Tensor<T>>,
    bias: Option<&Tensor<T>>,
    layout: NormLayout,
    groups: &[Group<T>],
) -> Array<T> {
    let (w, b) = (or_full(weight, layout.c, T::ONE), or_full(bias, layout.c, T::ZERO));
    let x_ = x.contiguous_slice();
    Array::build(layout.op, x.shape().clone(), |out| {
        by_segment(
            out,
            x_,
            x_,
            layout.line(),
            #[inline(always)]
            |i, out, x, _| {
                let (channel, group) = layout.start(i);
                along!(layout, normal_line(out, x, &w[channel..], &b[channel..], &groups[group..]));
            },
        );
    })
}

/// [`forward`] with the statistics of `x` itself, in which a group lies within a sample, and these
/// statistics.
#[track_caller]
pub(crate) fn forward_in_samples<T: Float>(
    x: &Array<T>,
    weight: Option<&Tensor<T>>,
    bias: Option<&Tensor<T>>,
    layout: NormLayout,
) -> (Array<T>, Vec<Group<T>>) {
    let (w, b) = (or_full(weight, layout.c, T::ONE), or_full(bias, layout.c, T::ZERO));
    let groups = layout.n * layout.groups;
    let mut stats = with_room(layout.op, groups);
    stats.resize(groups, (0.0, 0.0));
    let value = Array::build(layout.op, x.shape().clone(), |out| {
        with_moments(
            out,
            &mut stats,
            x.contiguous_slice(),
            layout.center,
            #[inline(always)]
            |i, stats, out, x| {
                let (line, group) = (layout.line(), [layout.group(&stats)]);
                let first = i * (x.len() / line);
                for (k, (out, x)) in out.chunks_mut(line).zip(x.chunks(line)).enumerate() {
                    let channel = layout.start(first + k).0;
                    along!(layout, normal_line(out, x, &w[channel..], &b[channel..], &group));
                }
            },
        );
    });
    (value, stats.iter().map(|stats| layout.group(stats)).collect())
}

/// The number of channels or groups that a line of `len` elements spans, advancing by `step`.
const fn passed(step: usize, len: usize) -> usize {
    step * (len - 1) + 1
}

#[inline(always)]
fn normal_line<const C: usize, const G: usize, T: Float>(
    out: &mut [T],
    x: &[T],
    w: &[T],
    b: &[T],
    groups: &[Group<T>],
) {
    let len = out.len();
    let (x, groups) = (&x[..len], &groups[..passed(G, len)]);
    let (w, b) = (&w[..passed(C, len)], &b[..passed(C, len)]);
    let first = groups[0]; // read once: `out` might overwrite the slice, as far as is known
    for j in 0..len {
        let group = if G == 0 { first } else { groups[j] };
        out[j] = (x[j] - group.mean) * (group.scale * w[C * j]) + b[C * j];
    }
}

/// The gradients of input, weight and bias.
#[track_caller]
pub(crate) fn in_loops<T: Float>(
    ctx: &Context<'_, T>,
    x: &Array<T>,
    weight: Option<&Tensor<T>>,
    layout: NormLayout,
    groups: &[Group<T>],
) -> [Tensor<T>; 3] {
    let g = ctx.grad().array.contiguous(layout.op);
    let (x_, g_) = (x.contiguous_slice(), g.contiguous_slice());
    let w = or_full(weight, layout.c, T::ONE);
    let column = |sums: &[f64]| {
        let values: Vec<T> = sums.iter().map(|&sum| T::from_f64(sum)).collect();
        Tensor::from(Array::from_slice_for(layout.op, [layout.c].into(), &values))
    };
    if layout.s == 1 && !layout.across {
        let mut both = vec![];
        let dx = Array::build(layout.op, x.shape().clone(), |out| {
            both = gradient_of_rows(out, x_, g_, &w, layout, groups);
        });
        let (db, dw) = both.split_at(layout.c);
        return [dx.into(), column(dw), column(db)];
    }
    let Sums { db, dw, of_groups } = match layout.s {
        0 => Sums { db: vec![0.0; layout.c], dw: vec![0.0; layout.c], of_groups: vec![] },
        1 => sums_of_columns(x_, g_, &w, layout, groups),
        _ => sums_of_lines(x_, g_, &w, layout, groups),
    };
    if layout.fixed {
        // The input has no influence, not even if it is NaN.
        let still: Vec<Group<T>> =
            groups.iter().map(|group| Group { mean: T::ZERO, ..*group }).collect();
        let dx = forward(&g, weight, None, layout, &still);
        return [dx.into(), column(&dw), column(&db)];
    }
    let slopes: Vec<[T; 2]> = groups
        .iter()
        .zip(&of_groups)
        .map(|(group, &[p, q])| layout.slopes([p, group.scale.to_f64() * q]))
        .collect();
    let dx = Array::build(layout.op, x.shape().clone(), |out| {
        by_segment(
            out,
            x_,
            g_,
            layout.line(),
            #[inline(always)]
            |i, out, x, g| {
                let (channel, group) = layout.start(i);
                let (w, groups, slopes) = (&w[channel..], &groups[group..], &slopes[group..]);
                along!(layout, gradient_line(out, x, g, w, groups, slopes));
            },
        );
    });
    [dx.into(), column(&dw), column(&db)]
}

#[inline(always)]
fn gradient_line<const C: usize, const G: usize, T: Float>(
    out: &mut [T],
    x: &[T],
    g: &[T],
    w: &[T],
    groups: &[Group<T>],
    slopes: &[[T; 2]],
) {
    let len = out.len();
    let (x, g, w) = (&x[..len], &g[..len], &w[..passed(C, len)]);
    let (groups, slopes) = (&groups[..passed(G, len)], &slopes[..passed(G, len)]);
    let first = (groups[0], slopes[0]);
    for j in 0..len {
        let (group, [shift, slope]) = if G == 0 { first } else { (groups[j], slopes[j]) };
        out[j] = (g[j] * w[C * j] - shift - (x[j] - group.mean) * slope) * group.scale;
    }
}

/// For each channel Σ g and Σ g x̂, and for each group Σ ĝ and Σ ĝ x̂.
struct Sums {
    db: Vec<f64>,
    dw: Vec<f64>,
    of_groups: Vec<[f64; 2]>,
}

/// For lines of one channel: sums along lines.
fn sums_of_lines<T: Float>(
    x: &[T],
    g: &[T],
    w: &[T],
    layout: NormLayout,
    groups: &[Group<T>],
) -> Sums {
    let (s, c) = (layout.s, layout.c);
    let (mut db, mut dw) = (vec![0.0; c], vec![0.0; c]);
    let mut of_groups = vec![[0.0; 2]; groups.len()];
    let ones = vec![T::ONE; s];
    let mut parts = vec![[0.0; 2]; layout.n * c];
    let piece = adamant_kernels::CHUNK.div_ceil(s); // lines in a piece of work
    drain(parts.chunks_mut(piece).enumerate(), x.len(), |(first, parts)| {
        for (i, part) in (first * piece..).zip(parts) {
            let (x, g) = (&x[i * s..(i + 1) * s], &g[i * s..(i + 1) * s]);
            *part = weighted_sums(x, g, &ones, groups[layout.start(i).1].mean);
        }
    });
    for (i, [p, q]) in parts.into_iter().enumerate() {
        let (channel, group) = layout.start(i);
        let (q, w) = (q * groups[group].scale.to_f64(), w[channel].to_f64());
        db[channel] += p;
        dw[channel] += q;
        of_groups[group][0] += p * w;
        of_groups[group][1] += q * w;
    }
    Sums { db, dw, of_groups }
}

/// For lines across channels and groups: sums over the samples.
fn sums_of_columns<T: Float>(
    x: &[T],
    g: &[T],
    w: &[T],
    layout: NormLayout,
    groups: &[Group<T>],
) -> Sums {
    let c = layout.c;
    let mut both = column_sums(
        x,
        g,
        c,
        #[inline(always)]
        |_, x, g, p, q| add_line::<1, 1, T>(p, q, x, g, groups),
    );
    let (dw, db) = (both.split_off(c), both);
    let weighted = |((db, dw), w): ((&f64, &f64), &T)| [db * w.to_f64(), dw * w.to_f64()];
    let of_groups = db.iter().zip(&dw).zip(w).map(weighted).collect();
    Sums { db, dw, of_groups }
}

/// The gradient of the input, for groups of channels without positions; returns Σ g for each
/// channel, then Σ g x̂.
fn gradient_of_rows<T: Float>(
    out: &mut [T],
    x: &[T],
    g: &[T],
    w: &[T],
    layout: NormLayout,
    groups: &[Group<T>],
) -> Vec<f64> {
    let len = layout.line();
    column_sums_with(
        out,
        x,
        g,
        layout.c,
        #[inline(always)]
        |row, out, x, g, p, q| {
            for (part, group) in groups[row * layout.groups..][..layout.groups].iter().enumerate() {
                let own = part * len..(part + 1) * len;
                let (x, g, w) = (&x[own.clone()], &g[own.clone()], &w[own.clone()]);
                let [sum, product] = weighted_sums(x, g, w, group.mean);
                let scale = group.scale.to_f64();
                let slopes = [layout.slopes([sum, scale * (scale * product)])];
                let group = std::slice::from_ref(group);
                gradient_line::<1, 0, T>(&mut out[own.clone()], x, g, w, group, &slopes);
                add_line::<1, 0, T>(&mut p[own.clone()], &mut q[own], x, g, group);
            }
        },
    )
}

#[inline(always)]
fn add_line<const C: usize, const G: usize, T: Float>(
    p: &mut [T],
    q: &mut [T],
    x: &[T],
    g: &[T],
    groups: &[Group<T>],
) {
    let len = p.len();
    let (q, x, g, groups) = (&mut q[..len], &x[..len], &g[..len], &groups[..passed(G, len)]);
    let first = groups[0];
    for j in 0..len {
        let Group { mean, scale } = if G == 0 { first } else { groups[j] };
        p[j] += g[j];
        q[j] += g[j] * ((x[j] - mean) * scale);
    }
}
