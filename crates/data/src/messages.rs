//! Values in messages, which stay short however large the data is.

/// The names that [`one_of`] lists.
const NAMES: usize = 10;

/// The characters of a text that [`quoted`] shows.
const CHARS: usize = 80;

/// The names as an expectation: `one of ["a", "b"]`, or the first ten and the number of the others.
pub(crate) fn one_of(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES).map(|name| quoted(name.as_ref())).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => format!("one of [{shown}]"),
        others => format!("one of [{shown}, and {others} others]"),
    }
}

/// The text in quotes, or its beginning.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… of {} bytes", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_do_not_grow_with_the_data() {
        assert_eq!(one_of(&[""; 0]), "one of []");
        let names: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        assert_eq!(one_of(&names[..2]), "one of [\"0\", \"1\"]");
        assert!(one_of(&names[..10]).ends_with("\"8\", \"9\"]"));
        assert!(one_of(&names).ends_with("\"8\", \"9\", and 990 others]"));
        assert_eq!(quoted("\u{e9}\"\n"), "\"\u{e9}\\\"\\n\"");
        assert_eq!(quoted(&"\u{e9}".repeat(80)).chars().count(), 82);
        let start = format!("\"{}\"… of 200 bytes", "\u{e9}".repeat(80));
        assert_eq!(quoted(&"\u{e9}".repeat(100)), start);
    }
}
