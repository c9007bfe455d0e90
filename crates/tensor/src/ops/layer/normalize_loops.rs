//! The loops of normalizations, over lines of adjacent elements.
//!
//! There are three kinds of line: channel and group are constant, both change with each element, or
//! only the channel does. Each loop is written once for all three.

use crate::arrays::array::{Array, with_room};
use crate::arrays::shape::Shape;
use crate::tape::context::Context;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, by_segment, column_sums, drain, moments, weighted_sums};

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

    /// Mean and variance of each group: by channel, or by sample and group.
    #[track_caller]
    pub(crate) fn stats<T: Float>(&self, x: &Array<T>) -> Vec<(f64, f64)> {
        let (groups, segment) = match self.across {
            true => (self.c, self.s),
            false => (self.n * self.groups, self.count()),
        };
        let x = x.contiguous(self.op);
        let mut stats = with_room(self.op, groups);
        stats.resize(groups, (0.0, 0.0));
        moments(&mut stats, x.contiguous_slice(), segment, self.center);
        stats
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
        by_segment(out, x_, x_, layout.line(), |i, out, x, _| {
            let (channel, group) = layout.start(i);
            along!(layout, normal_line(out, x, &w[channel..], &b[channel..], &groups[group..]));
        });
    })
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
    for j in 0..len {
        let group = groups[G * j];
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
    let Sums { db, dw, of_groups } = match layout.s {
        0 => Sums { db: vec![0.0; layout.c], dw: vec![0.0; layout.c], of_groups: vec![] },
        1 => sums_of_columns(x_, g_, &w, layout, groups),
        _ => sums_of_lines(x_, g_, &w, layout, groups),
    };
    let column = |sums: Vec<f64>| {
        let values: Vec<T> = sums.into_iter().map(T::from_f64).collect();
        Tensor::from(Array::from_slice_for(layout.op, [layout.c].into(), &values))
    };
    if layout.fixed {
        // The input has no influence, not even if it is NaN.
        let still: Vec<Group<T>> =
            groups.iter().map(|group| Group { mean: T::ZERO, ..*group }).collect();
        let dx = forward(&g, weight, None, layout, &still);
        return [dx.into(), column(dw), column(db)];
    }
    // dx = scale (ĝ − mean ĝ − x̂ mean ĝ x̂) = scale (ĝ − shift − (x − mean) slope). The
    // subtraction comes before the scaling: 1/√eps would magnify the rounding errors of terms that
    // cancel.
    let count = layout.count() as f64;
    let slopes: Vec<[T; 2]> = groups
        .iter()
        .zip(&of_groups)
        .map(|(group, [p, q])| {
            let scale = group.scale.to_f64();
            let p = if layout.center { *p } else { 0.0 };
            let both = [p / count, scale * q / count];
            both.map(T::from_f64)
        })
        .collect();
    let dx = Array::build(layout.op, x.shape().clone(), |out| {
        by_segment(out, x_, g_, layout.line(), |i, out, x, g| {
            let (channel, group) = layout.start(i);
            let (w, groups, slopes) = (&w[channel..], &groups[group..], &slopes[group..]);
            along!(layout, gradient_line(out, x, g, w, groups, slopes));
        });
    });
    [dx.into(), column(dw), column(db)]
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
    for j in 0..len {
        let (group, [shift, slope]) = (groups[G * j], slopes[G * j]);
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
    drain(parts.iter_mut().enumerate(), x.len(), |(i, part)| {
        let range = i * s..(i + 1) * s;
        *part = weighted_sums(&x[range.clone()], &g[range], &ones, groups[layout.start(i).1].mean);
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

/// For lines across channels: sums over the samples, and for groups of channels also along lines.
fn sums_of_columns<T: Float>(
    x: &[T],
    g: &[T],
    w: &[T],
    layout: NormLayout,
    groups: &[Group<T>],
) -> Sums {
    let (c, len) = (layout.c, layout.line());
    let mut both = column_sums(x, g, c, |row, x, g, p, q| {
        for (part, (p, q)) in p.chunks_mut(len).zip(q.chunks_mut(len)).enumerate() {
            let (channel, group) = layout.start(row * (c / len) + part);
            along!(layout, add_line(p, q, &x[channel..], &g[channel..], &groups[group..]));
        }
    });
    let (dw, db) = (both.split_off(c), both);
    let of_groups = if layout.across {
        let weighted = |((db, dw), w): ((&f64, &f64), &T)| [db * w.to_f64(), dw * w.to_f64()];
        db.iter().zip(&dw).zip(w).map(weighted).collect()
    } else {
        let mut sums = vec![[0.0; 2]; groups.len()];
        let piece = 1.max((1 << 14) / len.max(1)); // groups in a piece of work
        drain(sums.chunks_mut(piece).enumerate(), x.len(), |(first, sums)| {
            for (i, sums) in (first * piece..).zip(sums) {
                let (own, channel) = (i * len..(i + 1) * len, layout.start(i).0);
                let w = &w[channel..channel + len];
                let [p, q] = weighted_sums(&x[own.clone()], &g[own], w, groups[i].mean);
                *sums = [p, q * groups[i].scale.to_f64()];
            }
        });
        sums
    };
    Sums { db, dw, of_groups }
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
    for j in 0..len {
        let Group { mean, scale } = groups[G * j];
        p[j] += g[j];
        q[j] += g[j] * ((x[j] - mean) * scale);
    }
}
