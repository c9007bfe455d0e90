//! Which elements of a parameter belong to which rank.

use std::ops::Range;

/// The elements in a block, of which each belongs to one rank as a whole: sums over blocks do not
/// depend on the number of ranks.
pub const BLOCK: usize = 1 << 12;

/// The elements that ranks exchange at once: a few megabytes.
pub const CHUNK: usize = 1 << 20;

/// How the elements of a parameter are shared between ranks: each element belongs to one of them.
///
/// A parameter is cut into blocks of `grain` elements, and each rank owns a run of blocks. The runs
/// differ by at most one block. Which run a rank owns rotates with the parameter's index, so that
/// many small parameters are shared evenly too.
///
/// ```
/// use adamant_transport::Partition;
/// let partition = Partition { index: 1, elements: 10, grain: 4, ranks: 2 };
/// assert_eq!(partition.range(0), 4..10);
/// assert_eq!(partition.range(1), 0..4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The parameter's index among all.
    pub index: usize,
    /// The number of its elements.
    pub elements: usize,
    /// The number of elements in a block.
    pub grain: usize,
    /// The number of ranks.
    pub ranks: usize,
}

impl Partition {
    /// The elements that belong to a rank.
    #[must_use]
    pub fn range(&self, rank: usize) -> Range<usize> {
        if self.ranks == 1 {
            return 0..self.elements;
        }
        let blocks = self.elements.div_ceil(self.grain);
        let run = (rank + self.index) % self.ranks;
        let bound = |run: usize| (blocks * run / self.ranks * self.grain).min(self.elements);
        bound(run)..bound(run + 1)
    }

    /// The ranks in the order of their elements.
    pub fn ranks_in_order(&self) -> impl Iterator<Item = usize> {
        let Partition { index, ranks, .. } = *self;
        (0..ranks).map(move |run| (run + ranks - index % ranks) % ranks)
    }
}

/// A part of a parameter: some elements of each rank's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The position of the parameter in the list that was cut.
    pub position: usize,
    /// For each rank, a part of its elements.
    pub ranges: Vec<Range<usize>>,
}

/// Segments that are exchanged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// In the order of the list that was cut.
    pub segments: Vec<Segment>,
}

impl Chunk {
    /// The number of elements that belong to a rank.
    #[must_use]
    pub fn elements(&self, rank: usize) -> usize {
        self.segments.iter().map(|segment| segment.ranges[rank].len()).sum()
    }

    /// Copies the elements that belong to a rank into `part`, one after another. `elements` returns
    /// those of the parameter at a position, or `None` for zeros.
    ///
    /// # Panics
    /// If `part` is too short.
    pub fn pack<'e, E: Copy + Default + 'e>(
        &self,
        rank: usize,
        elements: impl Fn(usize) -> Option<&'e [E]>,
        part: &mut [E],
    ) {
        let mut rest = part;
        for segment in &self.segments {
            let range = segment.ranges[rank].clone();
            let (part, others) = rest.split_at_mut(range.len());
            match elements(segment.position) {
                Some(elements) => part.copy_from_slice(&elements[range]),
                None => part.fill(E::default()),
            }
            rest = others;
        }
    }

    /// Calls `put` for each piece of a `part` that [`pack`](Chunk::pack) has filled, with the position
    /// of its parameter and its elements there.
    ///
    /// # Panics
    /// If `part` is too short.
    pub fn unpack<E>(
        &self,
        rank: usize,
        part: &[E],
        mut put: impl FnMut(usize, Range<usize>, &[E]),
    ) {
        let mut rest = part;
        for segment in &self.segments {
            let range = segment.ranges[rank].clone();
            let (part, others) = rest.split_at(range.len());
            put(segment.position, range, part);
            rest = others;
        }
    }
}

/// Cuts parameters into chunks of about `elements` elements: large parameters take several chunks,
/// and several small ones share a chunk.
#[must_use]
pub fn chunks(partitions: &[Partition], elements: usize) -> Vec<Chunk> {
    let (mut chunks, mut segments, mut size) = (Vec::new(), Vec::new(), 0);
    for (position, partition) in partitions.iter().enumerate() {
        let parts = partition.elements.div_ceil(elements);
        for part in 0..parts {
            let part_of = |rank| {
                let Range { start, end } = partition.range(rank);
                let bound = |part| start + (end - start) * part / parts;
                bound(part)..bound(part + 1)
            };
            let ranges: Vec<_> = (0..partition.ranks).map(part_of).collect();
            size += ranges.iter().map(Range::len).sum::<usize>();
            segments.push(Segment { position, ranges });
            if size >= elements {
                chunks.push(Chunk { segments: std::mem::take(&mut segments) });
                size = 0;
            }
        }
    }
    if !segments.is_empty() {
        chunks.push(Chunk { segments });
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_element_belongs_to_one_rank() {
        for (index, elements, grain, ranks) in
            [(0, 10, 4, 3), (1, 1, 4096, 4), (5, 100, 1, 7), (2, 0, 8, 2), (7, 64, 64, 1)]
        {
            let partition = Partition { index, elements, grain, ranks };
            let mut end = 0;
            for rank in partition.ranks_in_order() {
                let range = partition.range(rank);
                assert_eq!(range.start, end, "{partition:?}");
                assert!(range.end == elements || range.end.is_multiple_of(grain));
                end = range.end;
            }
            assert_eq!(end, elements, "{partition:?}");
        }
    }

    #[test]
    fn small_parameters_are_shared_evenly() {
        let owned = |rank| {
            let elements = |index| Partition { index, elements: 5, grain: 4096, ranks: 3 };
            (0..9).map(|index| elements(index).range(rank).len()).sum::<usize>()
        };
        assert_eq!([0, 1, 2].map(owned), [15; 3]);
    }

    #[test]
    fn chunks_contain_each_element_once() {
        let lengths = [3, 1000, 0, 40, 250, 7, 7];
        let partition = |(index, &elements)| Partition { index, elements, grain: 16, ranks: 3 };
        let partitions: Vec<_> = lengths.iter().enumerate().map(partition).collect();
        let chunks = chunks(&partitions, 100);
        assert!(chunks.len() > 5);
        let mut seen: Vec<Vec<u32>> = lengths.iter().map(|&len| vec![0; len]).collect();
        for chunk in &chunks {
            assert!((0..3).map(|rank| chunk.elements(rank)).sum::<usize>() < 100 + 100 + 16 * 3);
            for segment in &chunk.segments {
                for (rank, range) in segment.ranges.iter().enumerate() {
                    let owned = partitions[segment.position].range(rank);
                    assert!(
                        range.is_empty() || owned.start <= range.start && range.end <= owned.end
                    );
                    seen[segment.position][range.clone()].iter_mut().for_each(|n| *n += 1);
                }
            }
        }
        assert!(seen.iter().flatten().all(|&n| n == 1));
    }
}
