//! The header of a `.npy` file.
//!
//! `\x93NUMPY`, the version as two bytes, the length of the rest as a little-endian u16 (version 1)
//! or u32 (2 and 3), then a dictionary as Python prints it, padded with spaces:
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.

use adamant_files::{FormatError, other_kind};
use adamant_tensor::Shape;

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read. NumPy's own default limit is 10,000 bytes.
const LONGEST: usize = 1 << 16;

/// What a file claims about its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) big_endian: bool,
    /// Whether the first index varies fastest.
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// The number of elements.
    pub(super) len: usize,
}

/// The type of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F64,
    I32,
    I64,
    U8,
    Bool,
}

impl Kind {
    const NAMES: [(&'static str, Kind); 6] = [
        ("f4", Kind::F32),
        ("f8", Kind::F64),
        ("i4", Kind::I32),
        ("i8", Kind::I64),
        ("u1", Kind::U8),
        ("b1", Kind::Bool),
    ];

    pub(super) fn size(self) -> usize {
        match self {
            Kind::F64 | Kind::I64 => 8,
            Kind::F32 | Kind::I32 => 4,
            Kind::U8 | Kind::Bool => 1,
        }
    }

    fn name(self) -> &'static str {
        Self::NAMES[self as usize].0
    }
}

/// The lengths of what comes before the dictionary and of the dictionary, from the first bytes.
pub(super) fn lengths(start: &[u8]) -> Result<(usize, usize), FormatError> {
    let expected = "a NumPy array (.npy)";
    let (before, len) = match start.strip_prefix(MAGIC) {
        Some([1, _, a, b, ..]) => (10, u32::from(u16::from_le_bytes([*a, *b]))),
        Some([2 | 3, _, a, b, c, d, ..]) => (12, u32::from_le_bytes([*a, *b, *c, *d])),
        Some([version @ (0 | 4..), ..]) => {
            let found = format!("version {version} of the format");
            return Err(FormatError::new(found, "version 1, 2 or 3"));
        }
        Some(_) => {
            return Err(FormatError::new(format!("only {} bytes", start.len()), expected));
        }
        None => return Err(other_kind(start, expected)),
    };
    if len as usize > LONGEST {
        let found = format!("a header of {len} bytes");
        return Err(FormatError::new(found, format!("at most {LONGEST}")));
    }
    Ok((before, len as usize))
}

impl Header {
    /// Parses the dictionary.
    pub(super) fn parse(dictionary: &[u8]) -> Result<Self, FormatError> {
        let text = str::from_utf8(dictionary)
            .map_err(|_| FormatError::new("a header that is not text", "a dictionary"))?;
        let mut parser = Parser { rest: text };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        parser.expect('{')?;
        while !parser.take('}') {
            let key = parser.string()?;
            parser.expect(':')?;
            let twice = match key {
                "descr" => descr.replace(parser.string()?).is_some(),
                "fortran_order" => fortran_order.replace(parser.boolean()?).is_some(),
                "shape" => shape.replace(parser.shape()?).is_some(),
                _ => true,
            };
            if twice {
                let found = format!("`{key}` in the header");
                return Err(FormatError::new(found, "descr, fortran_order and shape, once"));
            }
            if !parser.take(',') {
                parser.expect('}')?;
                break;
            }
        }
        if !parser.rest.trim().is_empty() {
            return Err(parser.error("the end of the header"));
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            let expected = "one with descr, fortran_order and shape";
            return Err(FormatError::new(format!("the header {:?}", text.trim()), expected));
        };
        let (kind, big_endian) = element_type(descr)?;
        let len = Shape::from(shape.as_slice()).checked_numel().ok_or_else(|| {
            FormatError::new(format!("a header with shape {shape:?}"), "a size that fits in memory")
        })?;
        Ok(Header { kind, big_endian, fortran_order, shape, len })
    }

    /// The bytes before the elements, for row-major little-endian elements.
    pub(super) fn write(kind: Kind, shape: &[usize]) -> Vec<u8> {
        let order = if kind.size() == 1 { '|' } else { '<' };
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let mut text = format!(
            "{{'descr': '{order}{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            kind.name(),
            sizes.join(", "),
        );
        // The elements start at a multiple of 64 bytes.
        let before = 10 + text.len() + 1;
        text.extend(std::iter::repeat_n(' ', before.next_multiple_of(64) - before));
        text.push('\n');
        let len = u16::try_from(text.len()).expect("thousands of dimensions at most");
        [MAGIC, &[1, 0], &len.to_le_bytes(), text.as_bytes()].concat()
    }
}

/// The type of the elements, and whether they are big-endian, from a text such as `<f4`.
fn element_type(descr: &str) -> Result<(Kind, bool), FormatError> {
    let (order, name) = descr.split_at_checked(1).unwrap_or_default();
    let kind = Kind::NAMES.iter().find(|(other, _)| *other == name).map(|&(_, kind)| kind);
    match (order, kind) {
        ("<", Some(kind)) => Ok((kind, false)),
        (">", Some(kind)) => Ok((kind, true)),
        ("|", Some(kind)) if kind.size() == 1 => Ok((kind, false)),
        _ => {
            let names = Kind::NAMES.map(|(name, _)| name).join(", ");
            Err(FormatError::new(format!("elements of type {descr:?}"), format!("one of {names}")))
        }
    }
}

/// What is left of a text of Python literals.
struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn error(&self, expected: &str) -> FormatError {
        let rest: String = self.rest.trim().chars().take(20).collect();
        FormatError::new(format!("{rest:?} in the header"), expected)
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: char) -> Result<(), FormatError> {
        if self.take(token) { Ok(()) } else { Err(self.error(&format!("{token:?}"))) }
    }

    fn string(&mut self) -> Result<&'t str, FormatError> {
        let quote = ['\'', '"'].into_iter().find(|&quote| self.take(quote));
        let end = quote.and_then(|quote| self.rest.split_once(quote));
        let (text, rest) = end.ok_or_else(|| self.error("a string"))?;
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, FormatError> {
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.trim_start().strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.error("True or False"))
    }

    /// A tuple of sizes: `()`, `(3,)`, `(3, 4)`.
    fn shape(&mut self) -> Result<Vec<usize>, FormatError> {
        self.expect('(')?;
        let mut sizes = Vec::new();
        while !self.take(')') {
            let rest = self.rest.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            sizes.push(rest[..end].parse().map_err(|_| self.error("a size"))?);
            self.rest = &rest[end..];
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, FormatError> {
        Header::parse(text.as_bytes())
    }

    #[test]
    fn headers_are_parsed_as_python_reads_them() {
        let header = Header {
            kind: Kind::F32,
            big_endian: false,
            fortran_order: false,
            shape: vec![3, 4],
            len: 12,
        };
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
            "{\"shape\":(3,4),\"fortran_order\":False,\"descr\":\"<f4\"}",
            " { 'shape' : ( 3 , 4 , ) , 'descr' : '<f4' , 'fortran_order' : False } ",
        ] {
            assert_eq!(parse(text).unwrap(), header, "{text}");
        }
        for (shape, expected) in [("()", vec![]), ("(5,)", vec![5]), ("(0, 7)", vec![0, 7])] {
            let text = format!("{{'descr': '|b1', 'fortran_order': True, 'shape': {shape}}}");
            assert_eq!(parse(&text).unwrap().shape, expected);
        }
    }

    #[test]
    fn written_headers_are_aligned_and_parsed() {
        for shape in [vec![], vec![3], vec![1, 2, 3], vec![usize::MAX >> 8], vec![1; 32]] {
            let bytes = Header::write(Kind::I64, &shape);
            assert_eq!(bytes.len() % 64, 0);
            let (before, len) = lengths(&bytes).unwrap();
            assert_eq!(before + len, bytes.len());
            let header = Header::parse(&bytes[before..]).unwrap();
            assert_eq!((header.kind, header.shape), (Kind::I64, shape));
        }
    }

    #[test]
    fn other_headers_are_rejected() {
        let with = |descr: &str, shape: &str| {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
            let FormatError { found, expected } = parse(&text).unwrap_err();
            format!("found {found}, expected {expected}")
        };
        for (found, expected) in [
            (with("'<f2'", "(1,)"), "elements of type \"<f2\", expected one of f4, f8, i4"),
            (with("'|f4'", "(1,)"), "elements of type \"|f4\""),
            (with("'é4'", "(1,)"), "elements of type \"é4\""),
            (with("''", "(1,)"), "elements of type \"\""),
            (with("[('x', '<f4')]", "(1,)"), "expected a string"),
            (with("'<f4'", "(-1,)"), "\"-1,)}\" in the header, expected a size"),
            (with("'<f4'", "(1"), "expected ')'"),
            (with("'<f4'", "(99999999999999999999,)"), "expected a size"),
            (with("'<f4'", "(4294967296, 4294967296)"), "expected a size that fits in memory"),
            (with("'<f4'", "(1,), 'more': 1"), "`more` in the header"),
            (with("'<f4'", "(1,), 'shape': (1,)"), "`shape` in the header"),
            (with("'<f4'", "(1,)} x"), "\"x}\" in the header, expected the end"),
        ] {
            assert!(found.contains(expected), "{found}");
        }
        assert!(parse("{'descr': '<f4'}").unwrap_err().expected.contains("with descr, fortran"));
        assert!(parse("").unwrap_err().expected.contains('{'));
        assert!(Header::parse(b"\xff").is_err());
        assert_eq!(lengths(b"\x93NUMPY\x07\0v\0").unwrap_err().expected, "version 1, 2 or 3");
        assert_eq!(lengths(b"\x93NUMPY\x02\0v\0").unwrap_err().found, "only 10 bytes");
        let long = lengths(b"\x93NUMPY\x02\0\0\0\0\x01").unwrap_err();
        assert_eq!(long.found, "a header of 16777216 bytes");
    }
}
