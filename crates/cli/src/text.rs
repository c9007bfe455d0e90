//! Numbers and strings as people read them.

/// `n` things, as in `1 array` and `235,146 elements`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    format!("{} {thing}{}", grouped(n as u64), if n == 1 { "" } else { "s" })
}

/// An integer with its digits in groups of three: `235,146`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes, KiB, MiB, …
pub(crate) fn bytes(n: u64) -> String {
    if n < 1024 {
        return format!("{n} B");
    }
    let mut size = n as f64 / 1024.0;
    let mut units = ["KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next();
    // 1023.95 would be written as 1024.0.
    while size >= 1023.95 {
        size /= 1024.0;
        unit = units.next();
    }
    format!("{size:.1} {}", unit.unwrap_or("TiB"))
}

/// A time span in its two largest units: `3 h 25 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// The string with its control characters escaped: it stays on one line, and a terminal does not
/// obey it.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::new();
    for char in text.chars() {
        match char.is_control() {
            true => printable.extend(char.escape_default()),
            false => printable.push(char),
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_sizes_have_units() {
        assert_eq!(count(1, "array"), "1 array");
        assert_eq!(count(1_234_567, "element"), "1,234,567 elements");
        assert_eq!([bytes(1023), bytes(1536)], ["1023 B", "1.5 KiB"]);
        assert_eq!([bytes((1 << 20) - 1), bytes(3 << 40)], ["1.0 MiB", "3.0 TiB"]);
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in [
            (-1.0, "0.0 s"),
            (1.25, "1.2 s"),
            (9.96, "10 s"),
            (61.0, "1 min 1 s"),
            (12_345.0, "3 h 25 min"),
            (200_000.0, "2 d 7 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("π\n\u{1b}[2J"), "π\\n\\u{1b}[2J");
    }
}
