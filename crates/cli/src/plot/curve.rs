//! The points of a curve: smoothing, gaps, and fewer points than there are rows.

/// The number of intervals of the x axis within which a curve is reduced to its extremes.
const INTERVALS: usize = 1000;
/// Larger values are not drawn: the range of an axis must be finite.
const LARGEST: f64 = 1e300;

/// A curve of one run.
pub(super) struct Curve {
    /// The values themselves.
    raw: Vec<(f64, f64)>,
    /// Means of neighbors, if they were requested.
    smooth: Option<Vec<(f64, f64)>>,
}

/// A value of a metric.
pub(super) struct Point {
    pub(super) step: u64,
    /// Where it is drawn: the step or the time.
    pub(super) x: f64,
    pub(super) y: f64,
}

impl Curve {
    /// The curve of these points; with a window, in steps, also that of the means of neighbors.
    pub(super) fn new(points: &[Point], window: Option<u64>) -> Self {
        let y = |y: f64| if y.abs() <= LARGEST { y } else { f64::NAN };
        let raw = points.iter().map(|point| (point.x, y(point.y))).collect();
        Curve { raw, smooth: window.map(|window| means(points, window)) }
    }

    /// The curve of the logarithms; the means are those of the values.
    pub(super) fn log10(self) -> Self {
        let log10 = |y: f64| if y > 0.0 { y.log10() } else { f64::NAN };
        let all = |points: Vec<_>| points.into_iter().map(|(x, y)| (x, log10(y))).collect();
        Curve { raw: all(self.raw), smooth: self.smooth.map(all) }
    }

    /// Whether there are no values.
    pub(super) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The number of values that cannot be drawn.
    pub(super) fn gaps(&self) -> usize {
        self.raw.iter().filter(|(_, y)| !y.is_finite()).count()
    }

    /// The line to look at, as pieces between gaps.
    pub(super) fn line(&self) -> Vec<Vec<(f64, f64)>> {
        pieces(self.smooth.as_ref().unwrap_or(&self.raw))
    }

    /// The faint line behind it, if that one is smooth.
    pub(super) fn faint(&self) -> Vec<Vec<(f64, f64)>> {
        self.smooth.as_ref().map_or_else(Vec::new, |_| pieces(&self.raw))
    }

    /// All points that are drawn.
    pub(super) fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        self.raw.iter().copied().filter(|(_, y)| y.is_finite())
    }
}

/// The mean of the finite values at most half a window away from a point. Near the start, where
/// curves are steep, the window is smaller, so that it stays centered; at the end, it is cut off.
/// A point that is not finite stays one. Of many points, only some are kept.
fn means(points: &[Point], window: u64) -> Vec<(f64, f64)> {
    let mean = |index: usize| {
        let point = &points[index];
        let radius = (window / 2).min(point.step.abs_diff(points[0].step));
        let is_near = |other: &&Point| other.step.abs_diff(point.step) <= radius;
        let before = points[..index].iter().rev().take_while(is_near);
        let near = before.chain(points[index..].iter().take_while(is_near)).map(|near| near.y);
        let (mut sum, mut count) = (0.0, 0.0);
        for y in near.filter(|y| y.abs() <= LARGEST) {
            sum += y;
            count += 1.0;
        }
        (point.x, if point.y.abs() <= LARGEST { sum / count } else { f64::NAN })
    };
    let last = points.len().saturating_sub(1);
    let stride = points.len().div_ceil(2 * INTERVALS).max(1);
    (0..last).step_by(stride).chain(points.last().map(|_| last)).map(mean).collect()
}

/// The runs of finite points, each reduced to what a reader can see.
fn pieces(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let low = points.iter().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
    let interval = |x: f64| ((x - low) / (high - low) * INTERVALS as f64) as usize;
    let pieces = points.split(|(_, y)| !y.is_finite()).filter(|piece| !piece.is_empty());
    pieces.map(|piece| reduce(piece, interval)).collect()
}

/// The first, lowest, highest and last point of each interval, in their order: lines through these
/// cover the same pixels as lines through all points.
fn reduce(points: &[(f64, f64)], interval: impl Fn(f64) -> usize) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for chunk in points.chunk_by(|a, b| interval(a.0) == interval(b.0)) {
        let by_y = |&a: &usize, &b: &usize| chunk[a].1.total_cmp(&chunk[b].1);
        let all = 0..chunk.len();
        let lowest = all.clone().min_by(by_y).unwrap_or(0);
        let highest = all.max_by(by_y).unwrap_or(0);
        let mut indices = [0, lowest, highest, chunk.len() - 1];
        indices.sort_unstable();
        let mut indices = indices.to_vec();
        indices.dedup();
        kept.extend(indices.into_iter().map(|index| chunk[index]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curve with a value every ten steps.
    fn curve(y: &[f64], window: Option<u64>) -> Curve {
        let point = |(i, y): (usize, &f64)| Point { step: i as u64 * 10, x: i as f64, y: *y };
        Curve::new(&y.iter().enumerate().map(point).collect::<Vec<_>>(), window)
    }

    fn heights(pieces: Vec<Vec<(f64, f64)>>) -> Vec<Vec<f64>> {
        pieces.into_iter().map(|piece| piece.into_iter().map(|(_, y)| y).collect()).collect()
    }

    #[test]
    fn means_are_centered_and_skip_gaps() {
        let curve = curve(&[1.0, 3.0, 8.0, f64::NAN, 4.0], Some(20));
        assert_eq!(heights(curve.line()), [vec![1.0, 4.0, 5.5], vec![4.0]]);
        assert_eq!(heights(curve.faint()), [vec![1.0, 3.0, 8.0], vec![4.0]]);
        assert_eq!(curve.gaps(), 1);
    }

    #[test]
    fn without_smoothing_there_is_one_line() {
        let curve = curve(&[1.0, 100.0, 0.0, 10.0], None).log10();
        assert_eq!(heights(curve.line()), [vec![0.0, 2.0], vec![1.0]]);
        assert!(curve.faint().is_empty());
    }

    #[test]
    fn values_beyond_every_axis_are_gaps() {
        let curve = curve(&[1.0, f64::MAX, 3.0, -f64::INFINITY], Some(100));
        assert_eq!(curve.gaps(), 2);
        assert_eq!(heights(curve.line()), [vec![1.0], vec![2.0]]);
        assert_eq!(curve.finite().count(), 2);
    }

    #[test]
    fn long_curves_keep_their_extremes() {
        let mut y: Vec<f64> = (0..100_000).map(|i| f64::from(i % 7)).collect();
        y[33_333] = 50.0;
        y[66_666] = -50.0;
        let line = heights(curve(&y, None).line()).concat();
        assert!(line.len() <= 4 * (INTERVALS + 1), "{}", line.len());
        assert!(line.contains(&50.0) && line.contains(&-50.0));
        assert_eq!((line[0], line.last()), (y[0], y.last()));
    }
}
