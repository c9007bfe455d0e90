//! Draws from distributions, by arithmetic that has the same bits on every processor.

use super::generator::unit;
use adamant_kernels::Float;
use rand::Rng;
use std::sync::LazyLock;

/// Layers of equal area under the normal density.
const LAYERS: usize = 256;
/// Where the tail begins, for this number of layers.
const TAIL: f64 = 3.654_152_885_361_009;
/// The area of a layer; that of the lowest includes the tail.
const AREA: f64 = 0.004_928_673_233_99;

/// The right ends of the layers, from the lowest to the peak, and the densities there.
struct Layers {
    ends: [f64; LAYERS + 1],
    densities: [f64; LAYERS + 1],
}

static NORMAL: LazyLock<Layers> = LazyLock::new(|| {
    let mut ends = [0.0; LAYERS + 1];
    (ends[0], ends[1]) = (AREA / density(TAIL), TAIL);
    for i in 2..LAYERS {
        let before = ends[i - 1];
        ends[i] = (-2.0 * Float::ln(AREA / before + density(before))).sqrt();
    }
    Layers { ends, densities: ends.map(density) }
});

/// The normal density, but for its factor.
fn density(x: f64) -> f64 {
    Float::exp(-0.5 * x * x)
}

/// A number from `(0, 1)`.
fn open_unit(rng: &mut impl Rng) -> f64 {
    unit(rng.next_u64() & !(1 << 11)) + 0.5f64.powi(53)
}

/// A draw from the normal distribution with mean 0 and variance 1.
///
/// J. A. Doornik, "An Improved Ziggurat Method to Generate Normal Random Samples" (2005).
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    let Layers { ends, densities } = &*NORMAL;
    loop {
        // The lowest bits choose a layer, the upper 52 a position in it.
        let bits = rng.next_u64();
        let layer = bits as usize % LAYERS;
        let x = (2.0 * unit(bits & !0xfff) - 1.0) * ends[layer];
        if x.abs() < ends[layer + 1] {
            return x;
        }
        if layer == 0 {
            return tail(rng).copysign(x);
        }
        let [low, high] = [densities[layer], densities[layer + 1]];
        if high + (low - high) * unit(rng.next_u64()) < density(x) {
            return x;
        }
    }
}

/// A draw from the tail: G. Marsaglia, "Generating a variable from the tail of the normal
/// distribution" (1964).
fn tail(rng: &mut impl Rng) -> f64 {
    loop {
        let beyond = -Float::ln(open_unit(rng)) / TAIL;
        if -2.0 * Float::ln(open_unit(rng)) >= beyond * beyond {
            return TAIL + beyond;
        }
    }
}

/// A draw from the beta distribution: the share of the first of two gamma variables in their sum.
pub(super) fn beta(a: f64, b: f64, rng: &mut impl Rng) -> f64 {
    let ratio = ln_gamma(b, rng) - ln_gamma(a, rng);
    1.0 / (1.0 + Float::exp(ratio))
}

/// The logarithm of a draw from the gamma distribution, since a draw itself may underflow.
///
/// G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables" (2000).
fn ln_gamma(shape: f64, rng: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        let power = Float::ln(open_unit(rng)) / shape;
        return ln_gamma(shape + 1.0, rng) + power.max(f64::MIN);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let (v, ln_v) = (root * root * root, 3.0 * Float::ln(root));
        if Float::ln(open_unit(rng)) < 0.5 * x * x + d * (1.0 - v + ln_v) {
            return Float::ln(d) + ln_v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    #[test]
    fn layers_have_equal_areas() {
        let Layers { ends, densities } = &*NORMAL;
        for i in 1..LAYERS {
            let area = ends[i] * (densities[i + 1] - densities[i]);
            assert!((area - AREA).abs() < 1e-11, "{i}: {area}");
        }
    }

    #[test]
    fn normal_draws_have_the_normal_distribution() {
        let mut rng = Generator::seed(1);
        let n = 1_000_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let share = |limit: f64| draws.iter().filter(|&&x| x > limit).count() as f64 / f64::from(n);
        for (limit, expected) in [
            (0.0, 0.5),
            (0.5, 0.308_538),
            (1.0, 0.158_655),
            (2.0, 0.022_750),
            (3.0, 0.001_350),
            (TAIL, 0.000_129),
            (4.0, 0.000_031_7),
        ] {
            for found in [share(limit), 1.0 - share(-limit)] {
                let deviation = (expected * (1.0 - expected) / f64::from(n)).sqrt();
                assert!((found - expected).abs() < 5.0 * deviation, "{limit}: {found}");
            }
        }
    }

    #[test]
    fn beta_draws_of_tiny_and_large_parameters_are_numbers() {
        let mut rng = Generator::seed(2);
        for (a, b) in [(1e-3, 1e-3), (5e-324, 5e-324), (1e-300, 1.0), (1e6, 1e6), (1e300, 1.0)] {
            assert!(
                (0..1000).map(|_| rng.beta(a, b)).all(|x| (0.0..=1.0).contains(&x)),
                "{a}, {b}"
            );
        }
    }
}
