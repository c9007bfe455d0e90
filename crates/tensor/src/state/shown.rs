//! Names and texts from files, in messages.

/// The most characters of a text in a message.
const LONGEST: usize = 100;

/// The start of an untrusted text, with control characters escaped.
#[must_use]
pub fn shown(text: &str) -> String {
    let shown: String = text.chars().take(LONGEST).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_control_characters_are_escaped() {
        assert_eq!(shown("π.weight"), "π.weight");
        assert_eq!(shown("a\u{1b}[2J\n"), "a\\u{1b}[2J\\n");
        assert_eq!(shown(&"π".repeat(101)), "π".repeat(100) + "…");
    }
}
