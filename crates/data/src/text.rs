//! Plain text as indices of characters.

use crate::input::Input;
use crate::value_error::ValueError;
use adamant_files::{FileError, START, other_kind};
use adamant_tensor::{Mismatch, StateDict, StateError, Stateful};
use std::path::Path;

/// The longest text that is read from a compressed file, in bytes.
const MOST_COMPRESSED: usize = 1 << 30;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a text file in UTF-8, plain or compressed by gzip.
///
/// Line breaks stay as they are; a byte order mark at the beginning is removed.
///
/// # Errors
/// If the file cannot be read, is empty, or is not UTF-8: the message names the line. If it is
/// compressed and holds more than 1 GiB: a file of 1 MiB may.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("play.txt");
/// std::fs::write(&path, "Enter HAMLET.\n").unwrap();
/// assert_eq!(adamant_data::read_text(&path).unwrap(), "Enter HAMLET.\n");
/// ```
pub fn read_text(path: impl AsRef<Path>) -> Result<String, FileError> {
    read(path.as_ref(), MOST_COMPRESSED)
}

/// Reads a text file, of at most `most` bytes if it is compressed.
fn read(path: &Path, most: usize) -> Result<String, FileError> {
    let mut input = Input::open(path)?;
    let bytes = input.up_to(if input.gzip { most + 1 } else { usize::MAX })?;
    if input.gzip && bytes.len() > most {
        let expected = format!("at most {most}; decompress it with gunzip");
        return Err(input.mismatch(format!("more than {most} bytes in gzip"), expected));
    }
    if bytes.is_empty() || bytes[..bytes.len().min(START)].contains(&0) {
        return Err(other_kind(&bytes, "a text file").at(path));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let (before, byte) = (&error.as_bytes()[..at], error.as_bytes()[at]);
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        FileError::format(path, format!("the byte {byte:#04x} in line {line}"), "UTF-8")
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    Ok(text)
}

/// The different characters of a text, each with an index.
///
/// The indices are what an `Embedding` takes and `cross_entropy` expects. A model of bytes needs
/// no vocabulary: `text.bytes().map(usize::from)` are indices below 256.
///
/// A fresh `CharVocabulary` takes the characters from a state, in a program that only writes.
///
/// ```
/// use adamant_data::CharVocabulary;
/// use adamant_tensor::Stateful;
/// let vocabulary = CharVocabulary::fit("hello");
/// assert_eq!(vocabulary.chars(), ['e', 'h', 'l', 'o']);
/// let indices = vocabulary.encode("hole").unwrap();
/// assert_eq!(indices, [1, 3, 2, 0]);
/// assert_eq!(vocabulary.decode(&indices), "hole");
///
/// let mut loaded = CharVocabulary::default();
/// loaded.load_state_dict(&vocabulary.state_dict()).unwrap();
/// assert_eq!(loaded.decode(&indices), "hole");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharVocabulary {
    /// In ascending order; a character's index is its position.
    chars: Vec<char>,
}

impl CharVocabulary {
    /// The characters of `text`, in ascending order.
    #[must_use]
    pub fn fit(text: &str) -> Self {
        let mut chars: Vec<char> =
            std::collections::HashSet::<char>::from_iter(text.chars()).into_iter().collect();
        chars.sort_unstable();
        CharVocabulary { chars }
    }

    /// The number of characters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chars.len()
    }

    /// Whether there are no characters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    /// The characters in the order of their indices.
    #[must_use]
    pub fn chars(&self) -> &[char] {
        &self.chars
    }

    /// The indices of the characters of `text`.
    ///
    /// # Errors
    /// If a character is unknown: the message names its line and position.
    ///
    /// ```
    /// let vocabulary = adamant_data::CharVocabulary::fit("ab\n");
    /// let error = vocabulary.encode("ab\na?").unwrap_err().to_string();
    /// let expected = "line 2, character 2: found '?', expected one of the 3 known characters";
    /// assert_eq!(error, expected);
    /// ```
    pub fn encode(&self, text: &str) -> Result<Vec<usize>, ValueError> {
        let index = |(byte, char): (usize, char)| {
            self.chars.binary_search(&char).map_err(|_| {
                let before = &text[..byte];
                let line = 1 + before.matches('\n').count();
                let start = before.rfind('\n').map_or(0, |end| end + 1);
                let at = format!("line {line}, character {}", 1 + before[start..].chars().count());
                let expected = format!("one of the {} known characters", self.len());
                ValueError::new(at, format!("{char:?}"), expected)
            })
        };
        text.char_indices().map(index).collect()
    }

    /// The text of these indices.
    ///
    /// # Panics
    /// If an index is not below [`len`](CharVocabulary::len).
    #[must_use]
    #[track_caller]
    pub fn decode(&self, indices: &[usize]) -> String {
        let len = self.len();
        if let Some(index) = indices.iter().find(|&&index| index >= len) {
            panic!("decode: index {index} is out of range; expected an index below {len}");
        }
        indices.iter().map(|&index| self.chars[index]).collect()
    }

    fn read(state: &StateDict) -> Result<Self, StateError> {
        let mut errors = StateError::new();
        errors.check_names(state, ["chars"]);
        let chars: Option<Vec<char>> =
            errors.take(state.text("chars")).map(|chars| chars.chars().collect());
        let chars = chars.unwrap_or_default();
        if let Some(pair) = chars.windows(2).find(|pair| pair[0] >= pair[1]) {
            let found = format!("{:?} after {:?}", pair[1], pair[0]);
            errors.push(Mismatch::wrong("chars", found, "characters in ascending order"));
        }
        errors.into_result()?;
        Ok(CharVocabulary { chars })
    }
}

/// The characters, which replace those of the vocabulary that loads them.
impl Stateful for CharVocabulary {
    fn state_dict(&self) -> StateDict {
        StateDict::from_iter([("chars", self.chars.iter().collect::<String>())])
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        Self::read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        *self = Self::read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        read_limited(bytes, usize::MAX - 1)
    }

    fn read_limited(bytes: &[u8], most: usize) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        std::fs::write(&path, bytes).unwrap();
        super::read(&path, most).map_err(|error| error.to_string())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use flate2::{Compression, read::GzEncoder};
        use std::io::Read;
        let mut compressed = Vec::new();
        GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut compressed).unwrap();
        compressed
    }

    #[test]
    fn text_is_read_as_it_is() {
        let text = "Weiß\r\n – \u{1f600}\n";
        assert_eq!(read(text.as_bytes()).unwrap(), text);
        assert_eq!(read(&gzip(text.as_bytes())).unwrap(), text);
        assert_eq!(read(format!("\u{feff}{text}").as_bytes()).unwrap(), text);
    }

    #[test]
    fn other_files_are_rejected() {
        let error = |bytes: &[u8]| read(bytes).unwrap_err();
        assert!(error(b"").ends_with("found an empty file, expected a text file"));
        let expected = "found the byte 0xe9 in line 3, expected UTF-8";
        assert!(error(b"a\n\ncaf\xe9\n").ends_with(expected));
        assert!(error(b"\x89PNG\r\n\x1a\n\0\0").contains("found a PNG image"));
        let whole = gzip("a text\n".repeat(99).as_bytes());
        for len in 2..whole.len() {
            let text = error(&whole[..len]);
            assert!(text.contains("expected an intact gzip stream"), "cut at {len}: {text}");
        }
    }

    #[test]
    fn a_compressed_text_is_limited() {
        assert_eq!(read_limited(&gzip(b"four"), 4).unwrap(), "four");
        assert_eq!(read_limited(b"four", 3).unwrap(), "four");
        let error = read_limited(&gzip(b"four"), 3).unwrap_err();
        let expected = "found more than 3 bytes in gzip, expected at most 3; decompress it";
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_vocabulary_round_trips_any_text() {
        let text = "a\u{301}ß\u{1f600}\0\n a";
        let vocabulary = CharVocabulary::fit(text);
        assert_eq!(vocabulary.len(), 7);
        assert_eq!(vocabulary.decode(&vocabulary.encode(text).unwrap()), text);
        assert_eq!(CharVocabulary::fit("").encode("").unwrap(), [0; 0]);
    }

    #[test]
    fn an_unknown_character_is_named_with_its_line() {
        let vocabulary = CharVocabulary::fit("\u{e9}a\n");
        let error = |text: &str| vocabulary.encode(text).unwrap_err().at;
        assert_eq!(error("x"), "line 1, character 1");
        assert_eq!(error("a\n\u{e9}\u{e9}x"), "line 2, character 3");
    }

    #[test]
    fn a_state_that_does_not_fit_changes_nothing() {
        let mut vocabulary = CharVocabulary::fit("ab");
        for (state, expected) in [
            (StateDict::new(), "`chars`: missing, expected a string"),
            (StateDict::from_iter([("chars", "ba")]), "found 'a' after 'b', expected characters"),
            (StateDict::from_iter([("chars", "aa")]), "found 'a' after 'a'"),
            (StateDict::from_iter([("chars", 1.0)]), "`chars`: found the float 1"),
            (StateDict::from_iter([("chars", "a"), ("more", "b")]), "`more`: found the string"),
        ] {
            let error = vocabulary.load_state_dict(&state).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(vocabulary, CharVocabulary::fit("ab"));
        }
    }

    #[test]
    #[should_panic(expected = "decode: index 2 is out of range; expected an index below 2")]
    fn indices_are_below_the_length() {
        let _ = CharVocabulary::fit("ab").decode(&[0, 2]);
    }
}
