//! The memory that a reader may take for what a file describes.

use crate::limits::PICKLE_ROOM;
use adamant_files::FormatError;

/// What is left of [`PICKLE_ROOM`]. Each vector grows through it, so that no sequence of opcodes takes
/// more.
pub(in crate::weights) struct Room(usize);

impl Room {
    pub(in crate::weights) fn new() -> Self {
        Room(PICKLE_ROOM)
    }

    pub(in crate::weights) fn take(&mut self, bytes: usize) -> Result<(), FormatError> {
        match self.0.checked_sub(bytes) {
            Some(rest) => {
                self.0 = rest;
                Ok(())
            }
            None => Err(FormatError::new(
                "a file whose objects take too much memory",
                format!("at most {} MiB in addition to its tensors", PICKLE_ROOM >> 20),
            )),
        }
    }

    /// Makes room for `more` elements; at least doubles the capacity if it grows.
    pub(super) fn reserve<T>(
        &mut self,
        items: &mut Vec<T>,
        more: usize,
    ) -> Result<(), FormatError> {
        let free = items.capacity() - items.len();
        if more > free {
            let grow = more.max(items.len()).max(4);
            self.take((grow - free).saturating_mul(size_of::<T>()))?;
            items.reserve_exact(grow);
        }
        Ok(())
    }

    pub(super) fn push<T>(&mut self, items: &mut Vec<T>, item: T) -> Result<(), FormatError> {
        self.reserve(items, 1)?;
        items.push(item);
        Ok(())
    }

    pub(super) fn extend<T: Copy>(
        &mut self,
        items: &mut Vec<T>,
        more: &[T],
    ) -> Result<(), FormatError> {
        self.reserve(items, more.len())?;
        items.extend_from_slice(more);
        Ok(())
    }

    pub(super) fn push_str(&mut self, text: &mut String, more: &str) -> Result<(), FormatError> {
        let free = text.capacity() - text.len();
        if more.len() > free {
            let grow = more.len().max(text.len());
            self.take(grow - free)?;
            text.reserve_exact(grow);
        }
        text.push_str(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_vector_grows_beyond_the_room() {
        let mut room = Room::new();
        let (mut numbers, mut text) = (vec![0u64; 3], String::new());
        let taken = room.extend(&mut numbers, &[1; 5]);
        assert!(taken.is_ok() && numbers.capacity() == 8 && room.0 == PICKLE_ROOM - 40);
        while room.push(&mut numbers, 1).is_ok() {}
        let found = numbers.capacity() * 8;
        assert!(found > PICKLE_ROOM / 4 && found <= PICKLE_ROOM + 24, "{found}");
        while room.push_str(&mut text, "words").is_ok() {}
        assert!(found + text.capacity() <= PICKLE_ROOM + 24);
        assert!(room.reserve(&mut numbers, usize::MAX / 2).is_err());
    }
}
