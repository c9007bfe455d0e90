//! Sorting rows, and selecting the first elements of their order.
//!
//! An element becomes an *entry*: an integer whose high bits, its key, order the elements and whose
//! low bits are the element's index. Entries compare in one instruction, and no two are equal, so
//! any algorithm sorts them stably.

use crate::float::Float;
use crate::parallel::{CHUNK, share};
use crate::simd::simd;

/// The keys and entries of a type's elements.
///
/// Not exported: a bound of [`Float`], which nothing outside this crate can name or implement.
pub trait Sortable: Copy {
    /// An integer of the element's size.
    type Key: Ord + Copy;
    /// A key and an index.
    type Entry: Ord + Copy;
    /// The number of elements that the indices in entries can count.
    const INDICES: u128;

    /// Orders elements as the integers do. Zeros are equal, and NaNs are equal and largest. In
    /// descending order the keys are complements.
    fn key<const DESCENDING: bool>(self) -> Self::Key;

    /// The entry of a key and an index.
    fn entry(key: Self::Key, index: usize) -> Self::Entry;

    /// The key and the index in an entry.
    fn parts(entry: Self::Entry) -> (Self::Key, usize);
}

macro_rules! sortable {
    ($t:ident, $key:ident, $signed:ident, $entry:ident) => {
        impl Sortable for $t {
            type Key = $key;
            type Entry = $entry;
            const INDICES: u128 = 1 << $key::BITS;

            #[inline(always)]
            fn key<const DESCENDING: bool>(self) -> $key {
                let bits = (if self == 0.0 { 0.0 } else { self }).to_bits();
                // The order of negative numbers is that of the complements of their bits.
                let negative = (bits as $signed >> ($key::BITS - 1)) as $key;
                let ascending = bits ^ (negative | 1 << ($key::BITS - 1));
                let key = if self.is_nan() { $key::MAX } else { ascending };
                if DESCENDING { !key } else { key }
            }

            #[inline(always)]
            fn entry(key: $key, index: usize) -> $entry {
                $entry::from(key) << $key::BITS | index as $entry
            }

            #[inline(always)]
            fn parts(entry: $entry) -> ($key, usize) {
                ((entry >> $key::BITS) as $key, entry as $key as usize)
            }
        }
    };
}

sortable!(f32, u32, i32, u64);
sortable!(f64, u64, i64, u128);

/// The first `k` elements of each row of `row` elements in sorted order, and their indices. Equal
/// elements keep their order; NaN counts as the largest value.
///
/// # Panics
/// If the lengths do not match, or `k` exceeds `row`, or `row` exceeds 2³² for `f32`.
///
/// ```
/// let (mut values, mut indices) = ([0.0f32; 2], [0; 2]);
/// adamant_kernels::sort_rows(&mut values, &mut indices, &[2.0, 3.0, 1.0], 3, 2, true);
/// assert_eq!((values, indices), ([3.0, 2.0], [1, 0]));
/// ```
pub fn sort_rows<T: Float>(
    values: &mut [T],
    indices: &mut [usize],
    x: &[T],
    row: usize,
    k: usize,
    descending: bool,
) {
    assert_eq!(values.len(), indices.len(), "an index for each value");
    if values.is_empty() {
        return;
    }
    assert!(k <= row && row as u128 <= T::INDICES, "k is {k} for rows of {row} elements");
    assert!(
        x.len().is_multiple_of(row) && x.len() / row * k == values.len(),
        "a result for each row"
    );
    let rows = CHUNK.div_ceil(row); // per piece of work
    let results = values.chunks_mut(rows * k).zip(indices.chunks_mut(rows * k));
    let cost = x.len().saturating_mul(8);
    share(results.zip(x.chunks(rows * row)), cost, |((values, indices), x)| {
        let mut entries = Vec::new();
        let results = values.chunks_exact_mut(k).zip(indices.chunks_exact_mut(k));
        for ((values, indices), x) in results.zip(x.chunks_exact(row)) {
            if descending {
                simd!(|| first::<true, T>(&mut entries, x, k));
            } else {
                simd!(|| first::<false, T>(&mut entries, x, k));
            }
            entries.sort_unstable();
            for ((value, index), &entry) in values.iter_mut().zip(indices).zip(&entries) {
                *index = T::parts(entry).1;
                *value = x[*index];
            }
        }
    });
}

/// Elements that are compared with the last of the best so far at once.
const BLOCK: usize = 32;

/// Replaces `entries` by those of the first `k` elements of the row's order, in any order.
#[inline(always)]
fn first<const DESCENDING: bool, T: Float>(entries: &mut Vec<T::Entry>, row: &[T], k: usize) {
    let entry = |(index, x): (usize, &T)| T::entry(x.key::<DESCENDING>(), index);
    let room = (2 * k).next_multiple_of(BLOCK) + 4 * BLOCK;
    entries.clear();
    entries.extend(row.iter().take(room).enumerate().map(entry));
    let mut last = keep::<T>(entries, k);
    for (block, x) in row.chunks(BLOCK).enumerate().skip(room / BLOCK) {
        // Of equal elements the earlier ones are first, so only a smaller key matters.
        let is_before = |x: &T| x.key::<DESCENDING>() < last;
        if x.iter().fold(false, |any, x| any | is_before(x)) {
            entries.extend((block * BLOCK..).zip(x).filter(|(_, x)| is_before(x)).map(entry));
            if entries.len() + BLOCK > room {
                last = keep::<T>(entries, k);
            }
        }
    }
    keep::<T>(entries, k);
}

/// Keeps the first `k` entries of their order and returns the key of the last of them, if there are
/// more than `k`; else all entries are kept and the key is that of any of them.
fn keep<T: Float>(entries: &mut Vec<T::Entry>, k: usize) -> T::Key {
    if k < entries.len() {
        entries.select_nth_unstable(k - 1);
        entries.truncate(k);
    }
    T::parts(entries[k - 1]).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    /// NaN last, zeros equal.
    fn order(a: f32, b: f32) -> Ordering {
        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    }

    #[test]
    fn rows_are_in_the_order_of_a_stable_sort() {
        let special =
            [f32::NAN, -f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40];
        for (rows, row) in [(3, 1), (5, 40), (4, 1000), (1, 40_000)] {
            let x: Vec<f32> = (0..rows * row)
                .map(|i| i * 7919 % 1009)
                .map(|i| special.get(i).copied().unwrap_or(i as f32 / 8.0 - 60.0))
                .collect();
            for (k, descending) in [1, 2, 10, row / 2, row - 1, row]
                .into_iter()
                .filter(|&k| 0 < k && k <= row)
                .flat_map(|k| [(k, false), (k, true)])
            {
                let mut values = vec![0.0; rows * k];
                let mut indices = vec![usize::MAX; rows * k];
                sort_rows(&mut values, &mut indices, &x, row, k, descending);
                for (r, x) in x.chunks(row).enumerate() {
                    let mut expected: Vec<usize> = (0..row).collect();
                    expected.sort_by(|&a, &b| {
                        let order = order(x[a], x[b]);
                        if descending { order.reverse() } else { order }
                    });
                    let own = r * k..(r + 1) * k;
                    assert_eq!(indices[own.clone()], expected[..k], "{row} {k} {descending}");
                    let bits = |x: &f32| x.to_bits();
                    let found = values[own].iter().map(bits);
                    assert!(found.eq(expected[..k].iter().map(|&i| bits(&x[i]))));
                }
            }
        }
    }

    #[test]
    fn a_row_in_reverse_order_is_selected_from() {
        let x: Vec<f64> = (0..10_000).map(f64::from).collect();
        let (mut values, mut indices) = ([0.0; 3], [0; 3]);
        sort_rows(&mut values, &mut indices, &x, x.len(), 3, true);
        assert_eq!((values, indices), ([9999.0, 9998.0, 9997.0], [9999, 9998, 9997]));
    }
}
