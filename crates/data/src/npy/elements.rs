//! The elements of an array, from bytes and to bytes.

use super::header::{Header, Kind};
use adamant_files::FormatError;
use std::io::{self, Read};

/// The elements of an [`Npy`](crate::Npy), row-major.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NpyElements {
    /// `float32`.
    F32(Vec<f32>),
    /// `float64`.
    F64(Vec<f64>),
    /// `int32`.
    I32(Vec<i32>),
    /// `int64`.
    I64(Vec<i64>),
    /// `uint8`.
    U8(Vec<u8>),
    /// `bool`.
    Bool(Vec<bool>),
}

/// The elements that are read at once.
const PIECE: usize = 1 << 13;

/// Why elements could not be read.
pub(super) enum ReadError {
    Io(io::Error),
    Format(FormatError),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl From<FormatError> for ReadError {
    fn from(error: FormatError) -> Self {
        ReadError::Format(error)
    }
}

impl NpyElements {
    pub(super) fn kind(&self) -> Kind {
        match self {
            NpyElements::F32(_) => Kind::F32,
            NpyElements::F64(_) => Kind::F64,
            NpyElements::I32(_) => Kind::I32,
            NpyElements::I64(_) => Kind::I64,
            NpyElements::U8(_) => Kind::U8,
            NpyElements::Bool(_) => Kind::Bool,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            NpyElements::F32(values) => values.len(),
            NpyElements::F64(values) => values.len(),
            NpyElements::I32(values) => values.len(),
            NpyElements::I64(values) => values.len(),
            NpyElements::U8(values) => values.len(),
            NpyElements::Bool(values) => values.len(),
        }
    }

    /// Reads the elements of `header`, which the input is known to hold, and checks that nothing
    /// follows.
    pub(super) fn read(header: &Header, input: &mut impl Read) -> Result<Self, ReadError> {
        let big = header.big_endian;
        let elements = match header.kind {
            Kind::F32 => NpyElements::F32(values(header, input, |bytes| {
                Some(if big { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) })
            })?),
            Kind::F64 => NpyElements::F64(values(header, input, |bytes| {
                Some(if big { f64::from_be_bytes(bytes) } else { f64::from_le_bytes(bytes) })
            })?),
            Kind::I32 => NpyElements::I32(values(header, input, |bytes| {
                Some(if big { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) })
            })?),
            Kind::I64 => NpyElements::I64(values(header, input, |bytes| {
                Some(if big { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) })
            })?),
            Kind::U8 => NpyElements::U8(values(header, input, |[byte]| Some(byte))?),
            Kind::Bool => NpyElements::Bool(values(header, input, |[byte]| match byte {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            })?),
        };
        if input.read(&mut [0])? != 0 {
            return Err(wrong_len("more bytes".into(), header).into());
        }
        Ok(elements)
    }

    /// Writes the elements, little-endian.
    pub(super) fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        fn all<T: Copy, const N: usize>(
            out: &mut dyn io::Write,
            values: &[T],
            bytes: impl Fn(T) -> [u8; N],
        ) -> io::Result<()> {
            values.iter().try_for_each(|&value| out.write_all(&bytes(value)))
        }
        match self {
            NpyElements::F32(values) => all(out, values, f32::to_le_bytes),
            NpyElements::F64(values) => all(out, values, f64::to_le_bytes),
            NpyElements::I32(values) => all(out, values, i32::to_le_bytes),
            NpyElements::I64(values) => all(out, values, i64::to_le_bytes),
            NpyElements::U8(values) => out.write_all(values),
            NpyElements::Bool(values) => all(out, values, |value| [u8::from(value)]),
        }
    }
}

/// The error of an input that does not have the length in its header.
pub(super) fn wrong_len(found: String, header: &Header) -> FormatError {
    let expected = header.len * header.kind.size();
    let expected = format!("the {expected} bytes of shape {:?} after the header", header.shape);
    FormatError::new(found, expected)
}

/// The elements, of `N` bytes each, in row-major order. `value` is `None` for invalid bytes.
fn values<T: Copy, const N: usize>(
    header: &Header,
    input: &mut impl Read,
    value: impl Fn([u8; N]) -> Option<T>,
) -> Result<Vec<T>, ReadError> {
    let mut values = Vec::new();
    values.try_reserve_exact(header.len).map_err(io::Error::from)?;
    let mut bytes = Vec::with_capacity(PIECE * N);
    while values.len() < header.len {
        let piece = PIECE.min(header.len - values.len()) * N;
        bytes.clear();
        input.by_ref().take(piece as u64).read_to_end(&mut bytes)?;
        if bytes.len() < piece {
            let found = format!("only {} bytes", values.len() * N + bytes.len());
            return Err(wrong_len(found, header).into());
        }
        for element in bytes.as_chunks().0 {
            values.push(value(*element).ok_or_else(|| {
                let found = format!("the bytes {element:?} for element {}", values.len());
                FormatError::new(found, "0 or 1 for each bool")
            })?);
        }
    }
    Ok(if header.fortran_order { row_major(&values, &header.shape) } else { values })
}

/// The elements with the last index varying fastest, of an array in which the first one does.
fn row_major<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut index = vec![0; shape.len()];
    let mut position = 0;
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(values[position]);
        // Counts the index up from its last dimension; `stride` is that of dimension `d`.
        let mut stride = values.len();
        for d in (0..shape.len()).rev() {
            stride /= shape[d];
            index[d] += 1;
            position += stride;
            if index[d] < shape[d] {
                break;
            }
            position -= stride * shape[d];
            index[d] = 0;
        }
    }
    ordered
}
