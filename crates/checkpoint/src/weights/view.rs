//! A tensor as a strided view of a range of bytes in a file.

use super::place::Place;
use adamant_tensor::Shape;
use std::io::{self, Read};

/// The order of an element's bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

/// How the elements of a tensor lie in a storage, a range of the file that other tensors may share.
/// It has been checked: each element lies within the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    storage: Place,
    order: ByteOrder,
    /// In elements, one for each dimension.
    strides: Box<[usize]>,
    /// The number of bytes of an element.
    size: usize,
    /// The number of elements in a row that are adjacent in the storage.
    run: usize,
    /// The number of dimensions outside of such a run.
    outer: usize,
}

impl View {
    /// The view of a storage with its shape and the position of its first element in the file;
    /// `None` if not all of its elements lie within `len` bytes from the start of the storage. The
    /// offset and the strides are in elements of `size` bytes.
    pub(super) fn new(
        storage: Place,
        order: ByteOrder,
        size: usize,
        offset: u64,
        sizes: &[u64],
        strides: &[u64],
        len: u64,
    ) -> Option<(Self, Shape, u64)> {
        if sizes.len() != strides.len() {
            return None;
        }
        let shape: Option<Shape> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        let shape = shape.filter(|shape| shape.checked_numel().is_some())?;
        let empty = shape.numel() == 0;
        if !empty {
            let mut last = offset;
            for (&size, &stride) in shape.iter().zip(strides) {
                last = last.checked_add((size as u64 - 1).checked_mul(stride)?)?;
            }
            let end = last.checked_add(1)?.checked_mul(size as u64)?;
            if end > len.min(storage.len) {
                return None;
            }
        }
        // The strides of dimensions of size 1 are never used, and may not fit.
        let used = |(&size, &stride): (&usize, &u64)| match empty || size == 1 {
            true => 0,
            false => stride as usize,
        };
        let strides: Box<[usize]> = shape.iter().zip(strides).map(used).collect();
        let (run, outer) = if empty { (0, 0) } else { run(&shape, &strides) };
        let start = storage.start + if empty { 0 } else { offset * size as u64 };
        Some((View { storage, order, strides, size, run, outer }, shape, start))
    }

    pub(super) fn storage(&self) -> Place {
        self.storage
    }

    pub(super) fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Whether the elements are adjacent, in order and little-endian.
    pub(super) fn is_adjacent(&self) -> bool {
        self.outer == 0 && (self.order == ByteOrder::Little || self.size == 1)
    }

    /// The elements in row-major order, little-endian: of a tensor of this shape that starts at this
    /// position in the file, from the bytes of its storage.
    pub(super) fn gather<'v>(
        &'v self,
        shape: &'v Shape,
        start: u64,
        storage: &'v [u8],
    ) -> impl Read + use<'v> {
        let at = (start - self.storage.start) as usize;
        let rest = shape.numel();
        Gather { view: self, shape, storage, index: vec![0; self.outer], at, run: self.run, rest }
    }
}

/// The number of elements in a row that are adjacent, and the number of dimensions outside of such
/// a run.
fn run(shape: &Shape, strides: &[usize]) -> (usize, usize) {
    let mut run = 1;
    for (dim, (&size, &stride)) in shape.iter().zip(strides).enumerate().rev() {
        if size != 1 && stride != run {
            return (run, dim + 1);
        }
        run *= size;
    }
    (run, 0)
}

struct Gather<'v> {
    view: &'v View,
    shape: &'v Shape,
    storage: &'v [u8],
    /// Of the run, in the dimensions outside of it.
    index: Vec<usize>,
    /// The position of the next element in the storage, in bytes.
    at: usize,
    /// The number of elements left of the run, and of all.
    run: usize,
    rest: usize,
}

impl Gather<'_> {
    /// Moves from the end of a run to the start of the next one.
    fn next_run(&mut self) {
        let View { strides, size, run, outer, .. } = self.view;
        self.at -= run * size;
        self.run = *run;
        for dim in (0..*outer).rev() {
            self.index[dim] += 1;
            self.at += strides[dim] * size;
            if self.index[dim] < self.shape[dim] {
                return;
            }
            self.at -= strides[dim] * self.shape[dim] * size;
            self.index[dim] = 0;
        }
    }
}

impl Read for Gather<'_> {
    /// Reads whole elements only, so `out` must have room for one.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.view.size;
        let count = (out.len() / size).min(self.rest);
        let mut left = &mut out[..count * size];
        while !left.is_empty() {
            let now = self.run.min(left.len() / size);
            let (elements, rest) = left.split_at_mut(now * size);
            elements.copy_from_slice(&self.storage[self.at..][..now * size]);
            if self.view.order == ByteOrder::Big {
                elements.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            left = rest;
            self.at += now * size;
            self.run -= now;
            self.rest -= now;
            if self.run == 0 {
                self.next_run();
            }
        }
        Ok(count * size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a view of a storage with the bytes 0 to 11, at position 100 of its file, when as
    /// many bytes at a time are read.
    fn read(
        (order, size): (ByteOrder, usize),
        offset: u64,
        sizes: &[u64],
        strides: &[u64],
        piece: usize,
    ) -> Option<Vec<u8>> {
        let storage = Place { start: 100, len: 12, checksum: None };
        let (view, shape, start) = View::new(storage, order, size, offset, sizes, strides, 12)?;
        let bytes: Vec<u8> = (0..12).collect();
        let mut gathered = view.gather(&shape, start, &bytes);
        let mut out = vec![99; shape.numel() * size];
        out.chunks_mut(piece).for_each(|piece| gathered.read_exact(piece).unwrap());
        assert_eq!(gathered.read(&mut [0; 8]).unwrap(), 0);
        let adjacent = out.is_empty() || out.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(!view.is_adjacent() || adjacent, "{sizes:?} {strides:?}");
        assert!(out.is_empty() || !adjacent || view.is_adjacent(), "{sizes:?} {strides:?}");
        Some(out)
    }

    const BYTES: (ByteOrder, usize) = (ByteOrder::Little, 1);

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
            for piece in [1, 3, 12] {
                let found = read(BYTES, offset, sizes, strides, piece).unwrap();
                assert_eq!(found, expected, "{sizes:?} {strides:?} {piece}");
            }
        }
    }

    #[test]
    fn large_elements_are_whole_and_little_endian() {
        for piece in [2, 6, 8] {
            let found = read((ByteOrder::Little, 2), 1, &[2, 2], &[1, 2], piece).unwrap();
            assert_eq!(found, [2, 3, 6, 7, 4, 5, 8, 9]);
            let found = read((ByteOrder::Big, 2), 1, &[2, 2], &[1, 2], piece).unwrap();
            assert_eq!(found, [3, 2, 7, 6, 5, 4, 9, 8]);
        }
        assert_eq!(read((ByteOrder::Big, 4), 0, &[2], &[1], 8).unwrap(), [3, 2, 1, 0, 7, 6, 5, 4]);
        assert_eq!(read((ByteOrder::Big, 1), 0, &[2], &[1], 8).unwrap(), [0, 1]);
    }

    #[test]
    fn a_view_outside_its_storage_is_rejected() {
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
            assert_eq!(read(BYTES, offset, sizes, strides, 1), None, "{sizes:?} {strides:?}");
        }
        assert_eq!(read((ByteOrder::Little, 4), 1, &[3], &[1], 4), None);
    }
}
