//! Numbers as people read them.

/// A float with four significant digits, but all those of an integer below 10⁶, and without trailing
/// zeros: `0.1235`, `1.5e-7`, `92754`.
#[must_use]
pub fn short(x: f64) -> String {
    if !x.is_finite() || x == 0.0 {
        return x.to_string();
    }
    let scientific = format!("{x:.3e}");
    let (digits, exponent) = scientific.split_once('e').expect("`e` format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is an integer");
    match exponent {
        -4..=5 => trimmed(&format!("{x:.*}", usize::try_from(3 - exponent).unwrap_or(0))),
        _ => format!("{}e{exponent}", trimmed(digits)),
    }
}

/// A decimal fraction without trailing zeros.
fn trimmed(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_few_digits() {
        for (x, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.123_456, "0.1235"),
            (-12.5, "-12.5"),
            (99.996, "100"),
            (92_754.3, "92754"),
            (123_456.7, "123457"),
            (999.96, "1000"),
            (1e6, "1e6"),
            (0.000_123_456, "0.0001235"),
            (-1.5e-7, "-1.5e-7"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(short(x), expected);
        }
    }
}
