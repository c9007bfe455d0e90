//! The ticks of an axis.

use adamant_train::short;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// An axis: its range, and its ticks in ascending order.
#[derive(Clone)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Each tick's position and label.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The axis of values in this range, with about `count` ticks. `margin` is a fraction of the
    /// range, added on both sides.
    pub(super) fn linear(low: f64, high: f64, margin: f64, count: usize) -> Self {
        let (low, high) = widened(low, high, margin);
        let step = nice_step((high - low) / count as f64);
        let largest = low.abs().max(high.abs());
        let ticks = multiples(step, low, high);
        let ticks = ticks.map(|tick| (tick, label(tick, step, largest))).collect();
        Axis { low, high, ticks }
    }

    /// The axis of the decimal logarithms of values in this range, with about `count` ticks at
    /// round values.
    pub(super) fn log10(low: f64, high: f64, margin: f64, count: usize) -> Self {
        let (low, high) = widened(low, high, margin);
        let decades = || low.floor() as i32..=high.ceil() as i32;
        let in_range = |factors: &[f64], every: i32| -> Vec<f64> {
            let decades = decades().filter(|decade| decade.rem_euclid(every) == 0);
            let all = decades.flat_map(|decade| {
                factors.iter().map(move |factor| f64::from(decade) + factor.log10())
            });
            all.filter(|tick| (low..=high).contains(tick)).collect()
        };
        let every = ((high - low) / count as f64).ceil().max(1.0) as i32;
        let choices = [
            in_range(&[1.0], every),
            in_range(&[1.0, 3.0], 1),
            in_range(&[1.0, 2.0, 5.0], 1),
            in_range(&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0], 1),
        ];
        // The coarsest one that has three ticks.
        let Some(ticks) = choices.into_iter().find(|ticks| ticks.len() >= 3) else {
            // Within a small part of a decade, the scale is nearly linear.
            let Axis { ticks, .. } = Axis::linear(exp10(low), exp10(high), 0.0, count);
            let ticks = ticks.into_iter().map(|(tick, label)| (tick.log10(), label)).collect();
            return Axis { low, high, ticks };
        };
        let is_plain = ticks.iter().all(|tick| (-3.0..=4.0).contains(tick));
        let label = |tick: f64| match is_plain {
            true => short(exp10(tick)),
            false => typeset(&format!("{:.1e}", exp10(tick)).replace(".0e", "e")),
        };
        let ticks = ticks.into_iter().map(|tick| (tick, label(tick))).collect();
        Axis { low, high, ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let fraction = (value - self.low) / (self.high - self.low);
        from + (fraction * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(), // there are no ticks between those with a label
            false => self.ticks.iter().map(|(tick, _)| *tick).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, tick: &f64) -> String {
        let found = self.ticks.iter().find(|(position, _)| position == tick);
        found.map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// A tick's label, with as many digits as all ticks of its axis: `0.05`, `0.10`.
fn label(tick: f64, step: f64, largest: f64) -> String {
    if largest < 1e4 && step >= 1e-4 {
        let digits = usize::try_from(-step.log10().floor() as i64).unwrap_or(0);
        return format!("{tick:.digits$}");
    }
    match step {
        _ if tick == 0.0 => "0".into(),
        1e3..1e6 => format!("{}k", tick / 1e3),
        1e6..1e9 => format!("{}M", tick / 1e6),
        _ => typeset(&short(tick)),
    }
}

fn exp10(x: f64) -> f64 {
    10f64.powf(x)
}

/// `2×10⁻⁵` for `2e-5`; a number without an exponent stays as it is.
fn typeset(number: &str) -> String {
    let Some((factor, exponent)) = number.split_once('e') else { return number.into() };
    let superscript = |char: char| match char.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    let power: String = exponent.chars().map(superscript).collect();
    match factor {
        "1" => format!("10{power}"),
        "-1" => format!("-10{power}"),
        _ => format!("{factor}×10{power}"),
    }
}

/// The range with margins; a range of one value becomes one around it.
fn widened(low: f64, high: f64, margin: f64) -> (f64, f64) {
    if low < high {
        let margin = margin * (high - low);
        return (low - margin, high + margin);
    }
    let around = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
    (low - around, high + around)
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `step`.
fn nice_step(step: f64) -> f64 {
    let power = exp10(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.map(|factor| factor * power).into_iter().find(|nice| *nice >= step).unwrap_or(step)
}

/// The multiples of `step` in a range.
fn multiples(step: f64, low: f64, high: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step).ceil(), (high / step).floor());
    (0..=(last - first) as usize).map(move |index| {
        let tick = (first + index as f64) * step;
        if tick == 0.0 { 0.0 } else { tick } // not -0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        assert!(axis.ticks.iter().all(|(tick, _)| (axis.low..=axis.high).contains(tick)));
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        let linear = |low, high| Axis::linear(low, high, 0.0, 5);
        assert_eq!(labels(&linear(0.0, 0.26)), ["0.0", "0.1", "0.2"]);
        assert_eq!(labels(&linear(0.01, 0.22)), ["0.05", "0.10", "0.15", "0.20"]);
        assert_eq!(labels(&linear(-1.0, 1.0)), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(&linear(0.0, 3000.0)), ["0", "1000", "2000", "3000"]);
        assert_eq!(labels(&linear(0.0, 52_000.0)), ["0", "20k", "40k"]);
        assert_eq!(labels(&linear(7.0, 7.0)), ["6.5", "7.0", "7.5"]);
        assert_eq!(labels(&linear(1e-7, 5e-7)), ["10⁻⁷", "2×10⁻⁷", "3×10⁻⁷", "4×10⁻⁷", "5×10⁻⁷"]);
        assert_eq!(labels(&linear(-1e300, 1e300)), ["-10³⁰⁰", "-5×10²⁹⁹", "0", "5×10²⁹⁹", "10³⁰⁰"]);
    }

    #[test]
    fn logarithmic_ticks_are_round() {
        let log = |low: f64, high: f64| Axis::log10(low.log10(), high.log10(), 0.0, 5);
        assert_eq!(labels(&log(0.01, 12.0)), ["0.01", "0.1", "1", "10"]);
        assert_eq!(labels(&log(0.02, 2.0)), ["0.03", "0.1", "0.3", "1"]);
        assert_eq!(labels(&log(0.2, 2.1)), ["0.2", "0.5", "1", "2"]);
        assert_eq!(labels(&log(1.1, 4.1)), ["1.5", "2", "3", "4"]);
        assert_eq!(labels(&log(2.1, 2.32)), ["2.10", "2.15", "2.20", "2.25", "2.30"]);
        assert_eq!(labels(&log(2e-9, 2e-5)), ["10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵"]);
        assert_eq!(labels(&log(1e-20, 1.0)).len(), 6);
    }
}
