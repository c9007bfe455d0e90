//! Keeps room in the heap for the buffer into which `matrixmultiply` packs its operands.
//!
//! `matrixmultiply` allocates that buffer for each product and frees it afterwards. A small
//! allocation that lives longer, such as a loss kept for logging, may then take the start of the
//! free block, the next product does not fit in the rest, and the heap grows by a block each time.
//! So each thread holds a block as large as its largest product needed, and frees it while a
//! product runs.

use std::cell::Cell;

thread_local! {
    static HELD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Below this many bytes, a product takes less time than freeing and reallocating a block.
const SMALL: usize = 4 << 10;
/// For the alignment of the buffer and the allocator's header.
const MARGIN: usize = 256;

// The largest numbers of rows of A, columns of B and terms of the sum that `matrixmultiply` packs
// at once, and the multiple to which it rounds rows and columns up. If they change, held blocks
// have the wrong size. TERMS also determines the order of sums in `gemv` and in products with panels:
// hence the exact version of `matrixmultiply` in Cargo.toml.
const ROWS: usize = 64;
const COLUMNS: usize = 1024;
pub(crate) const TERMS: usize = 256;
const TILE: usize = 16;

/// Runs a product `[m, k] × [k, n]` with room in the heap for its packed operands.
pub(crate) fn with_room<T, R>([m, k, n]: [usize; 3], product: impl FnOnce() -> R) -> R {
    let packed = m.min(ROWS).next_multiple_of(TILE) + n.min(COLUMNS).next_multiple_of(TILE);
    let bytes = k.min(TERMS) * packed * size_of::<T>() + MARGIN;
    if bytes < SMALL {
        return product();
    }
    let held = HELD.take().capacity(); // freed here
    let result = product();
    HELD.set(Vec::with_capacity(held.max(bytes)));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_held_between_products_only() {
        let held = || {
            let block = HELD.take();
            let capacity = block.capacity();
            HELD.set(block);
            capacity
        };
        with_room::<f32, _>([2, 2, 2], || ());
        assert_eq!(held(), 0);
        with_room::<f32, _>([64, 256, 1 << 20], || assert_eq!(held(), 0));
        let most = held();
        assert!((1 << 20..2 << 20).contains(&most));
        with_room::<f32, _>([64, 64, 64], || assert_eq!(held(), 0));
        assert_eq!(held(), most);
    }
}
