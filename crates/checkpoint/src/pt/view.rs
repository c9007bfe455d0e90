//! A tensor as a strided view of a storage's bytes.

use super::element::Dtype;
use super::fault::damaged;
use adamant_files::FormatError;
use adamant_tensor::Shape;

/// A view that has been checked: each of its elements lies within the storage.
pub(super) struct View {
    pub(super) dtype: Dtype,
    /// In elements, as the strides are.
    pub(super) offset: usize,
    pub(super) shape: Shape,
    pub(super) strides: Vec<usize>,
}

impl View {
    /// Checks a view of a storage of `len` bytes.
    pub(super) fn new(
        dtype: Dtype,
        offset: u64,
        sizes: &[u64],
        strides: &[u64],
        len: u64,
    ) -> Result<Self, FormatError> {
        let view = || {
            let sizes: Option<Shape> =
                sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
            let shape = sizes.filter(|shape| shape.checked_numel().is_some())?;
            if shape.numel() == 0 {
                return Some(View { dtype, offset: 0, strides: vec![0; shape.len()], shape });
            }
            let mut last = offset;
            for (&size, &stride) in shape.iter().zip(strides) {
                last = last.checked_add((size as u64 - 1).checked_mul(stride)?)?;
            }
            let end = last.checked_add(1)?.checked_mul(dtype.size() as u64)?;
            // The strides of dimensions of size 1 are never used, and may not fit.
            let used =
                |(&size, &stride): (&usize, &u64)| if size == 1 { 0 } else { stride as usize };
            let strides = shape.iter().zip(strides).map(used).collect();
            (end <= len).then_some(View { dtype, offset: offset as usize, strides, shape })
        };
        match view() {
            Some(view) if sizes.len() == strides.len() => Ok(view),
            _ => {
                let text = format!(
                    "a tensor of sizes {sizes:?}, strides {strides:?} and offset {offset} in a \
                     storage of {len} bytes of type torch.{}",
                    dtype.name()
                );
                Err(damaged(text))
            }
        }
    }

    /// The number of bytes of the elements in the file, if each were there once.
    pub(super) fn bytes(&self) -> u64 {
        (self.shape.numel() as u64).saturating_mul(self.dtype.size() as u64)
    }

    /// Writes the elements in row-major order.
    pub(super) fn gather<E, const N: usize>(
        &self,
        bytes: &[u8],
        out: &mut [E],
        convert: impl Fn([u8; N]) -> E,
    ) {
        debug_assert_eq!(N, self.dtype.size());
        let (run, outer) = self.run();
        if run == 0 {
            return;
        }
        let (sizes, strides) = (&self.shape[..outer], &self.strides[..outer]);
        let mut index = vec![0; outer];
        let mut at = self.offset;
        for out in out.chunks_exact_mut(run) {
            let (elements, _) = bytes[at * N..(at + run) * N].as_chunks();
            out.iter_mut().zip(elements).for_each(|(out, &element)| *out = convert(element));
            for dim in (0..outer).rev() {
                index[dim] += 1;
                at += strides[dim];
                if index[dim] < sizes[dim] {
                    break;
                }
                at -= strides[dim] * sizes[dim];
                index[dim] = 0;
            }
        }
    }

    /// The number of elements in a row that are adjacent in the storage, and the number of
    /// dimensions outside of such a run.
    fn run(&self) -> (usize, usize) {
        let mut run = 1;
        for (dim, (&size, &stride)) in self.shape.iter().zip(&self.strides).enumerate().rev() {
            if size != 1 && stride != run && size != 0 {
                return (run, dim + 1);
            }
            run *= size;
        }
        (run, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(offset: u64, sizes: &[u64], strides: &[u64]) -> Result<Vec<u8>, String> {
        let view = View::new(Dtype::U8, offset, sizes, strides, 12).map_err(|error| error.found)?;
        let bytes: Vec<u8> = (0..12).collect();
        let mut out = vec![99; view.shape.numel()];
        view.gather(&bytes, &mut out, |[x]| x);
        Ok(out)
    }

    #[test]
    fn elements_come_in_row_major_order() {
        let all: Vec<u8> = (0..12).collect();
        for (offset, sizes, strides, expected) in [
            (0, &[3, 4][..], &[4, 1][..], all.clone()),
            (0, &[2, 1, 6], &[6, 999, 1], all),
            (0, &[4, 3], &[1, 4], vec![0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]),
            (1, &[2, 2], &[4, 1], vec![1, 2, 5, 6]),
            (5, &[3, 2], &[0, 0], vec![5; 6]),
            (0, &[2, 3], &[0, 1], vec![0, 1, 2, 0, 1, 2]),
            (0, &[2, 2, 2], &[1, 2, 4], vec![0, 4, 2, 6, 1, 5, 3, 7]),
            (11, &[], &[], vec![11]),
            (11, &[1], &[u64::MAX], vec![11]),
            (0, &[3], &[5], vec![0, 5, 10]),
            (500, &[2, 0], &[0, u64::MAX], vec![]),
            (0, &[0, 3], &[3, 1], vec![]),
        ] {
            assert_eq!(
                elements(offset, sizes, strides).unwrap(),
                expected,
                "{sizes:?} {strides:?}"
            );
        }
    }

    #[test]
    fn a_view_outside_its_storage_is_damage() {
        for (offset, sizes, strides) in [
            (12, &[][..], &[][..]),
            (u64::MAX, &[], &[]),
            (1, &[3, 4], &[4, 1]),
            (0, &[3], &[6]),
            (0, &[2], &[u64::MAX]),
            (1, &[2], &[u64::MAX]),
            (0, &[3], &[1 << 63]),
            (0, &[u64::MAX], &[0]),
            (0, &[1 << 62, 1 << 62], &[0, 0]),
            (0, &[1 << 62, 0], &[0, 0]),
            (0, &[2, 2], &[1]),
            (0, &[2], &[1, 1]),
            (0, &[0], &[]),
        ] {
            let error = elements(offset, sizes, strides).unwrap_err();
            assert!(error.starts_with("damage (a tensor of sizes ["), "{error}");
        }
    }
}
