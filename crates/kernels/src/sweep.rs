//! One pass over many buffers of many sizes, as an optimizer's step makes it.

use crate::parallel::drain;

/// Elements in a piece: half a megabyte of f32 in each buffer, a long stretch for memory to
/// deliver.
pub const PIECE: usize = 1 << 17;

/// Buffers of equal length that are traversed together, and can be cut in two.
///
/// Implemented for slices, for [`Shared`] values, which have no elements, for `Option`s, and for
/// tuples of two to eight of these.
///
/// ```
/// use adamant_kernels::{Cut, Shared};
/// let (mut p, g) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
/// let ((first, _, lr), (_, rest, _)) = (p.as_mut_slice(), g.as_slice(), Shared(0.1)).cut(1);
/// assert_eq!((&*first, rest, lr.0), ([1.0].as_slice(), [5.0, 6.0].as_slice(), 0.1));
/// ```
pub trait Cut: Sized {
    /// Calls `visit` with the length of each slice.
    fn lengths(&self, visit: &mut impl FnMut(usize));

    /// The number of elements: the length of the longest slice.
    fn elements(&self) -> usize {
        let mut elements = 0;
        self.lengths(&mut |len| elements = elements.max(len));
        elements
    }

    /// The first `at` elements, and the rest.
    fn cut(self, at: usize) -> (Self, Self);
}

impl<T> Cut for &[T] {
    fn lengths(&self, visit: &mut impl FnMut(usize)) {
        visit(self.len());
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl<T> Cut for &mut [T] {
    fn lengths(&self, visit: &mut impl FnMut(usize)) {
        visit(self.len());
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

impl<B: Cut> Cut for Option<B> {
    fn lengths(&self, visit: &mut impl FnMut(usize)) {
        if let Some(buffers) = self {
            buffers.lengths(visit);
        }
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.map(|buffers| buffers.cut(at)).unzip()
    }
}

/// A value beside buffers, of which each piece has a copy: the scalars of a step.
#[derive(Clone, Copy, Debug)]
pub struct Shared<V>(pub V);

impl<V: Copy> Cut for Shared<V> {
    fn lengths(&self, _visit: &mut impl FnMut(usize)) {}

    fn cut(self, _at: usize) -> (Self, Self) {
        (self, self)
    }
}

macro_rules! cut_tuple {
    ($($B:ident $b:ident $rest:ident),+) => {
        impl<$($B: Cut),+> Cut for ($($B,)+) {
            fn lengths(&self, visit: &mut impl FnMut(usize)) {
                let ($($b,)+) = self;
                $($b.lengths(visit);)+
            }

            fn cut(self, at: usize) -> (Self, Self) {
                let ($($b,)+) = self;
                $(let ($b, $rest) = $b.cut(at);)+
                (($($b,)+), ($($rest,)+))
            }
        }
    };
}

cut_tuple!(A a a_rest, B b b_rest);
cut_tuple!(A a a_rest, B b b_rest, C c c_rest);
cut_tuple!(A a a_rest, B b b_rest, C c c_rest, D d d_rest);
cut_tuple!(A a a_rest, B b b_rest, C c c_rest, D d d_rest, E e e_rest);
cut_tuple!(A a a_rest, B b b_rest, C c c_rest, D d d_rest, E e e_rest, F f f_rest);
cut_tuple!(A a a_rest, B b b_rest, C c c_rest, D d d_rest, E e e_rest, F f f_rest, G g g_rest);
cut_tuple!(
    A a a_rest, B b b_rest, C c c_rest, D d d_rest, E e e_rest, F f f_rest, G g g_rest, H h h_rest
);

/// The number of pieces that a [`sweep`] cuts buffers of this length into: it depends on nothing
/// else.
#[must_use]
pub fn pieces(elements: usize) -> usize {
    elements.div_ceil(PIECE)
}

/// How much a [`sweep`] has to do: known before it begins, so that it can hand out pieces
/// without a list of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepSize {
    pieces: usize,
    elements: usize,
}

impl SweepSize {
    /// Adds a set of buffers of this length.
    pub fn add(&mut self, elements: usize) {
        self.pieces += pieces(elements);
        self.elements += elements;
    }

    /// The number of pieces.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.pieces
    }

    /// An estimate of the work, for [`drain`].
    fn cost(&self) -> usize {
        self.elements.saturating_mul(2)
    }
}

/// Runs `job` on all of `buffers`, whose size is `size`, in [pieces], on several threads if that
/// is worthwhile. Allocates nothing.
pub fn sweep<B: Cut + Send>(
    buffers: impl Iterator<Item = B> + Send,
    size: SweepSize,
    job: impl Fn(B) + Sync,
) {
    drain(Pieces::new(buffers, size), size.cost(), job);
}

/// [`sweep`], with the result of each piece in `results`, in the order of the pieces: added up
/// in this order, they do not depend on the number of threads.
///
/// # Panics
/// If there is not one element in `results` for each piece.
pub fn sweep_into<B: Cut + Send, R: Send>(
    buffers: impl Iterator<Item = B> + Send,
    size: SweepSize,
    results: &mut [R],
    job: impl Fn(B) -> R + Sync,
) {
    assert_eq!(results.len(), size.pieces, "one result for each piece");
    let work = Pieces::new(buffers, size).zip(results);
    drain(work, size.cost(), |(piece, result)| *result = job(piece));
}

struct Pieces<I: Iterator> {
    buffers: I,
    /// What is left of the buffers that were started last.
    rest: Option<I::Item>,
    left: usize,
}

impl<I: Iterator> Pieces<I> {
    fn new(buffers: I, size: SweepSize) -> Self {
        Pieces { buffers, rest: None, left: size.pieces }
    }
}

impl<B: Cut, I: Iterator<Item = B>> Iterator for Pieces<I> {
    type Item = B;

    fn next(&mut self) -> Option<B> {
        let buffers = match self.rest.take() {
            Some(rest) => rest,
            None => self.buffers.find(|buffers| buffers.elements() > 0)?,
        };
        self.left = self.left.saturating_sub(1);
        if buffers.elements() <= PIECE {
            return Some(buffers);
        }
        let (piece, rest) = buffers.cut(PIECE);
        self.rest = Some(rest);
        Some(piece)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<B: Cut, I: Iterator<Item = B>> ExactSizeIterator for Pieces<I> {}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 7] = [3, 0, PIECE, PIECE + 1, 5 * PIECE - 1, 0, 1];

    fn size() -> SweepSize {
        let mut size = SweepSize::default();
        LENGTHS.iter().for_each(|&len| size.add(len));
        size
    }

    #[test]
    fn every_element_is_swept_once() {
        let mut buffers = LENGTHS.map(|len| vec![0; len]);
        let slices = buffers.iter_mut().map(Vec::as_mut_slice);
        sweep(slices, size(), |piece| piece.iter_mut().for_each(|x| *x += 1));
        assert!(buffers.iter().flatten().all(|&x| x == 1));
    }

    #[test]
    fn results_are_in_the_order_of_the_pieces() {
        let mut next = 0;
        let buffers = LENGTHS.map(|len| {
            next += len;
            (next - len..next).collect::<Vec<usize>>()
        });
        let mut firsts = vec![0; size().pieces()];
        sweep_into(buffers.iter().map(Vec::as_slice), size(), &mut firsts, |piece| piece[0]);
        let expected = buffers.iter().flat_map(|x| x.chunks(PIECE).map(|piece| piece[0]));
        assert_eq!(firsts, expected.collect::<Vec<_>>());
    }

    #[test]
    fn elements_are_those_of_any_slice() {
        let x = [1, 2, 3].as_slice();
        let none: Option<&[i32]> = None;
        assert_eq!((Shared(1), none, Some(x)).elements(), 3);
        assert_eq!((none, Shared(1)).elements(), 0);
        let mut lengths = Vec::new();
        (Shared(1), x, (&x[1..], none)).lengths(&mut |len| lengths.push(len));
        assert_eq!(lengths, [3, 2]);
    }

    #[test]
    fn buffers_are_cut_at_the_same_element() {
        let x: Vec<usize> = (0..2 * PIECE + 3).collect();
        let mut copy = vec![0; x.len()];
        let mut size = SweepSize::default();
        size.add(x.len());
        let buffers = (copy.as_mut_slice(), x.as_slice(), Some(x.as_slice()), Shared(2));
        sweep(std::iter::once(buffers), size, |(copy, a, b, factor)| {
            for (copy, (a, b)) in copy.iter_mut().zip(a.iter().zip(b.unwrap())) {
                *copy = (a + b) / factor.0;
            }
        });
        assert_eq!(copy, x);
    }
}
