//! A place in the heap for the buffer into which `matrixmultiply` packs its operands.
//!
//! It allocates that buffer for each product and frees it afterwards. Small allocations that
//! live longer, such as a loss kept for logging, are then cut out of the free block; the next
//! product does not fit in the rest, and the heap grows by a block for each of them. So each
//! thread holds a block as large as its products have needed, and frees it while one runs.

use std::cell::Cell;

thread_local! {
    static HELD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Below this a product takes less time than it takes to free a block and allocate it again.
const SMALL: usize = 4 << 10;
/// The allocator aligns the buffer to at most a cache line, and needs a header for what it cuts off.
const MARGIN: usize = 256;

// The most rows of A, columns of B and terms of the sum that are packed at once, and the multiple
// to which rows and columns are rounded up. If these change, blocks are too small or too large to
// serve their purpose, and nothing else.
const ROWS: usize = 64;
const COLUMNS: usize = 1024;
const TERMS: usize = 256;
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
    fn the_largest_block_is_held_between_products_and_free_during_one() {
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
