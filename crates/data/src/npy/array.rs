//! Arrays in NumPy's format.

use super::elements::{NpyElements, ReadError, wrong_len};
use super::header::{Header, lengths};
use crate::value_error::ValueError;
use adamant_files::{FileError, FormatError, START, open, write_atomically};
use adamant_tensor::{Array, Float, Indices, Shape, ShapeError, Tensor};
use std::io::{BufReader, Read};
use std::path::Path;

/// An array as NumPy saves it in a `.npy` file: a shape, and elements of one of six types.
///
/// NumPy: `numpy.load`, `numpy.save`.
///
/// ```
/// use adamant_data::Npy;
/// use adamant_tensor::Tensor;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("x.npy");
/// let x = Tensor::from([[1.0f32, 2.0], [3.0, 4.0]]);
/// Npy::from(&x).write(&path).unwrap();
///
/// let read: Tensor = Npy::read(&path).unwrap().tensor();
/// assert_eq!((read.shape(), read.to_vec()), (x.shape(), x.to_vec()));
/// ```
#[derive(Clone, Debug)]
pub struct Npy {
    shape: Vec<usize>,
    elements: NpyElements,
    /// Where it was read from, for messages.
    source: String,
}

/// The source of an array that is not from a file.
const MEMORY: &str = "array";

impl Npy {
    /// An array of these elements, in row-major order.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    pub fn new(shape: impl Into<Vec<usize>>, elements: NpyElements) -> Result<Self, ShapeError> {
        let (sizes, found) = (shape.into(), elements.len());
        let shape = Shape::from(sizes.as_slice());
        match shape.checked_numel() == Some(found) {
            true => Ok(Npy { shape: sizes, elements, source: MEMORY.into() }),
            false => Err(ShapeError { shape, found }),
        }
    }

    /// Reads a `.npy` file: elements of type `float32`, `float64`, `int32`, `int64`, `uint8` or
    /// `bool`, little-endian or big-endian, in C or Fortran order.
    ///
    /// # Errors
    /// If the file cannot be read, is not a `.npy` file, has elements of another type, or is
    /// shorter or longer than its header says.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let (file, len) = open(path)?;
        let source = path.display().to_string();
        Self::from_reader(&mut BufReader::new(file), len, source).map_err(|error| match error {
            ReadError::Io(error) => FileError::io(path, error),
            ReadError::Format(error) => error.at(path),
        })
    }

    /// Reads an array up to the end of the input, whose length is `len`: it is compared with the
    /// header's claim before memory is allocated for the elements.
    pub(super) fn from_reader(
        input: &mut impl Read,
        len: u64,
        source: String,
    ) -> Result<Self, ReadError> {
        // As many bytes as it takes to recognize a file of another kind.
        let start = up_to(input, START)?;
        let (before, dictionary_len) = lengths(&start)?;
        let input = &mut start.chain(input);
        let expected = before + dictionary_len;
        let bytes = up_to(input, expected)?;
        if bytes.len() < expected {
            let found = format!("a header of {} bytes", bytes.len());
            return Err(FormatError::new(found, format!("{expected} bytes")).into());
        }
        let dictionary = &bytes[before..];
        let header = Header::parse(dictionary)?;
        let (found, size) = (len.saturating_sub(expected as u64), header.kind.size() as u64);
        let expected = header.len as u64 * size; // `checked_numel` is for eight bytes each
        if found != expected {
            let more = "more bytes".to_string();
            let found = if found > expected { more } else { format!("only {found} bytes") };
            return Err(wrong_len(found, &header).into());
        }
        let elements = NpyElements::read(&header, input)?;
        Ok(Npy { shape: header.shape, elements, source })
    }

    /// Writes a `.npy` file, in C order and little-endian, which replaces one of this name.
    ///
    /// # Errors
    /// If the file cannot be written. An old one is then unchanged.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        write_atomically(path.as_ref(), |out| {
            out.write_all(&Header::write(self.elements.kind(), &self.shape))?;
            self.elements.write(out)
        })
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    #[must_use]
    pub fn elements(&self) -> &NpyElements {
        &self.elements
    }

    /// The elements, row-major, without a copy.
    #[must_use]
    pub fn into_elements(self) -> NpyElements {
        self.elements
    }

    /// A tensor of the elements, rounded to nearest if `T` cannot represent them; `true` is 1.
    #[must_use]
    pub fn tensor<T: Float>(&self) -> Tensor<T> {
        fn write<T: Float, E: Copy>(out: &mut [T], values: &[E], convert: impl Fn(E) -> f64) {
            for (out, &value) in out.iter_mut().zip(values) {
                *out = T::from_f64(convert(value));
            }
        }
        let array =
            Array::build("tensor", self.shape.as_slice().into(), |out| match &self.elements {
                NpyElements::F32(values) => write(out, values, f64::from),
                NpyElements::F64(values) => write(out, values, |value| value),
                NpyElements::I32(values) => write(out, values, f64::from),
                NpyElements::I64(values) => write(out, values, |value| value as f64),
                NpyElements::U8(values) => write(out, values, f64::from),
                NpyElements::Bool(values) => write(out, values, f64::from),
            });
        array.into()
    }

    /// The elements of an array of integers as indices, such as classes or tokens.
    ///
    /// # Errors
    /// If the elements are not integers, or one is negative.
    ///
    /// ```
    /// use adamant_data::{Npy, NpyElements};
    /// let labels = Npy::new([3], NpyElements::I64(vec![2, 0, 1])).unwrap();
    /// assert_eq!(labels.indices().unwrap().to_vec(), [2, 0, 1]);
    /// let wrong = Npy::new([2], NpyElements::I64(vec![2, -1])).unwrap();
    /// let error = wrong.indices().unwrap_err().to_string();
    /// assert_eq!(error, "array, element 1: found -1, expected an index");
    /// ```
    pub fn indices(&self) -> Result<Indices, ValueError> {
        let source = &self.source;
        fn convert<E: Copy + TryInto<usize> + ToString>(
            source: &str,
            values: &[E],
        ) -> Result<Vec<usize>, ValueError> {
            let index = |(i, &value): (usize, &E)| {
                value.try_into().map_err(|_| {
                    let at = format!("{source}, element {i}");
                    ValueError::new(at, value.to_string(), "an index")
                })
            };
            values.iter().enumerate().map(index).collect()
        }
        let values = match &self.elements {
            NpyElements::I32(values) => convert(source, values)?,
            NpyElements::I64(values) => convert(source, values)?,
            NpyElements::U8(values) => convert(source, values)?,
            NpyElements::F32(_) | NpyElements::F64(_) => {
                return Err(ValueError::new(source, "floats", "integers"));
            }
            NpyElements::Bool(_) => return Err(ValueError::new(source, "booleans", "integers")),
        };
        Ok(Indices::from_vec(values, self.shape.as_slice()).expect("the elements of the shape"))
    }
}

/// The next `len` bytes, or fewer at the end of the input.
fn up_to(input: &mut impl Read, len: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    input.take(len as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl From<&Tensor<f32>> for Npy {
    fn from(tensor: &Tensor<f32>) -> Self {
        Npy::of(tensor.shape(), NpyElements::F32(tensor.to_vec()))
    }
}

impl From<&Tensor<f64>> for Npy {
    fn from(tensor: &Tensor<f64>) -> Self {
        Npy::of(tensor.shape(), NpyElements::F64(tensor.to_vec()))
    }
}

/// As `int64`.
impl From<&Indices> for Npy {
    fn from(indices: &Indices) -> Self {
        let values = indices.to_vec().into_iter();
        // An index beyond i64 does not index anything.
        let values = values.map(|index| i64::try_from(index).unwrap_or(i64::MAX)).collect();
        Npy::of(indices.shape(), NpyElements::I64(values))
    }
}

impl Npy {
    fn of(shape: &[usize], elements: NpyElements) -> Self {
        Npy::new(shape, elements).expect("the elements of the shape")
    }
}
