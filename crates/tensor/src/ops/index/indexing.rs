//! Elements by several indices and masks: PyTorch's `x[rows, columns]` and `x[mask]`.
//!
//! The indexed dimensions are merged into one, and the indices are combined into positions along
//! it. The rest is [`index_select`](Tensor::index_select) and its inverses.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::mask::Mask;
use crate::arrays::shape::Shape;
use crate::ops::elementwise::operand::Operand;
use crate::ops::elementwise::where_::choice;
use crate::ops::index::gather::check_bounds;
use crate::tape::positions::Positions;
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, View, take_slices};
use smallvec::{SmallVec, smallvec};
use std::ops::RangeFull;

mod sealed {
    pub trait Sealed {}
}

/// The contents of the brackets in PyTorch's `x[…]`, one item or a tuple of them:
///
/// * `&Indices`: indices of one dimension;
/// * `[0, -1]` or `&[isize]`: a list of indices of one dimension, where a negative index counts
///   from the end;
/// * `&Mask`: for as many dimensions as the mask has, the elements where it is true;
/// * `..`: one whole dimension, PyTorch's `:`.
///
/// Trailing dimensions without an item are whole.
///
/// ```
/// use adamant_tensor::{Indices, Tensor};
/// let logits = Tensor::from([[0.1f32, 0.9], [0.8, 0.2]]);
/// let (rows, classes) = (Indices::from(0..2), Indices::from([1, 0]));
/// assert_eq!(logits.index((&rows, &classes)).to_vec(), [0.9, 0.8]);
/// assert_eq!(logits.index((.., [-1])).to_vec(), [0.9, 0.2]);
/// let confident = logits.amax(1).gt(0.85);
/// assert_eq!(logits.index(&confident).to_vec(), [0.1, 0.9]);
/// ```
pub trait Indexing: sealed::Sealed {
    #[doc(hidden)]
    fn items(&self) -> SmallVec<[Item<'_>; 4]>;
}

/// One item between the brackets.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    All,
    Signed(&'a [isize]),
    Indices(&'a Indices),
    Mask(&'a Mask),
}

/// Implements `Indexing` for a type that is one item.
macro_rules! one {
    ($X:ty $(, $N:ident)?, |$x:ident| $item:expr) => {
        impl$(<const $N: usize>)? sealed::Sealed for $X {}
        impl$(<const $N: usize>)? Indexing for $X {
            fn items(&self) -> SmallVec<[Item<'_>; 4]> {
                let $x = self;
                smallvec![$item]
            }
        }
    };
}

one!(RangeFull, |_all| Item::All);
one!([isize; N], N, |list| Item::Signed(list));
one!(&[isize], |list| Item::Signed(list));
one!(&Indices, |indices| Item::Indices(indices));
one!(&Mask, |mask| Item::Mask(mask));

macro_rules! several {
    ($($I:ident $i:ident),*) => {
        impl<$($I: Indexing),*> sealed::Sealed for ($($I,)*) {}
        impl<$($I: Indexing),*> Indexing for ($($I,)*) {
            fn items(&self) -> SmallVec<[Item<'_>; 4]> {
                let ($($i,)*) = self;
                [$($i.items()),*].into_iter().flatten().collect()
            }
        }
    };
}

several!(A a);
several!(A a, B b);
several!(A a, B b, C c);
several!(A a, B b, C c, D d);
several!(A a, B b, C c, D d, E e);
several!(A a, B b, C c, D d, E e, F f);

impl<T: Float> Tensor<T> {
    /// The elements at these indices: `out[p, ..] = x[i[p], j[p], ..]` for indices `i`, `j`, …,
    /// which broadcast to one shape.
    ///
    /// That shape replaces the indexed dimensions, or comes first if a whole dimension lies between
    /// them, as in PyTorch. A mask of `k` dimensions stands for `k` dimensions and selects its true
    /// elements in row-major order; a mask without dimensions inserts a dimension of size 1 or 0.
    ///
    /// Gradient: `g`, summed at the indices.
    ///
    /// PyTorch: `x[i, j]`, `x[:, i]`, `x[mask]`.
    ///
    /// # Panics
    /// If there are too many items, an index is out of range, the sizes of a mask differ from those
    /// of its dimensions, or the indices do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::{Indices, Tensor};
    /// let x = Tensor::from([[1.0f32, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    /// assert_eq!(x.index(([0, -1], [1, 0])).to_vec(), [2.0, 5.0]);
    /// let rows = Indices::from([[2], [0]]);
    /// assert_eq!(x.index((&rows, [0, 1])).to_vec(), [5.0, 6.0, 1.0, 2.0]);
    /// assert_eq!(x.index(&x.gt(3.0)).to_vec(), [4.0, 5.0, 6.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn index(&self, indexing: impl Indexing) -> Tensor<T> {
        let items = indexing.items();
        if let Some(mask) = whole_mask(&items, self.array.shape()) {
            return self.masked_select_for("index", mask);
        }
        let at = Resolved::new("index", self.array.shape(), &items);
        if at.in_order() {
            return at.merged(self).slices_at(1, at.index.clone()).reshape(at.result());
        }
        let value = at.slices(&self.array);
        record("index", [self], value, move |ctx| {
            let [before, indexed, after] = at.sizes();
            let slices = ctx.grad().reshape([before, at.index.numel(), after]);
            let positions = Positions::Slices { dim: 1, index: at.index.clone() };
            [Some(at.apart(&positions.gradient(&slices, &[before, indexed, after].into())))]
        })
    }

    /// This tensor with the elements at these [indices](Tensor::index) replaced by `values`, which
    /// broadcast to the shape of `x.index(indexing)`. Where an element is indexed more than once,
    /// the last value wins, in row-major order of the indices.
    ///
    /// Gradients: `g`, with 0 at the indices; for `values`, `g` at the indices, with 0 for a value
    /// that a later one replaced.
    ///
    /// PyTorch: `x.index_put((i, j), values)`, where the winner is undefined; in place,
    /// `x[i, j] = values`.
    ///
    /// # Panics
    /// As for [`index`](Tensor::index), or if the values do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from([[1.0f32, -2.0], [-3.0, 4.0]]);
    /// assert_eq!(x.index_put(&x.lt(0.0), 0.0).to_vec(), [1.0, 0.0, 0.0, 4.0]);
    /// let values = Tensor::from([8.0, 9.0]);
    /// assert_eq!(x.index_put(([0, 1], [1, -1]), &values).to_vec(), [1.0, 8.0, -3.0, 9.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn index_put(&self, indexing: impl Indexing, values: impl Operand<T>) -> Tensor<T> {
        let (items, values) = (indexing.items(), values.operand());
        if let Some(mask) = whole_mask(&items, self.array.shape()) {
            if values.numel() == 1 && values.shape().len() <= 1 {
                return choice("index_put", mask, &values.reshape([]), self);
            }
            let selected = Shape::from([mask.count()]);
            values.array.shape().check_broadcast_to("index_put", &selected);
            return self.masked_scatter_for("index_put", mask, &values.broadcast_to(selected));
        }
        let at = Resolved::new("index_put", self.array.shape(), &items);
        let values = at.aligned(&values);
        at.apart(&at.merged(self).copy_at(1, at.index.clone(), &values))
    }

    /// This tensor with `values` added to the elements at these [indices](Tensor::index); the
    /// values broadcast to the shape of `x.index(indexing)`. An element may be indexed more than
    /// once; values are added in row-major order of the indices, whatever the number of threads.
    ///
    /// Gradients: `g`, and `g` at the indices for `values`.
    ///
    /// PyTorch: `x.index_put((i, j), values, accumulate=True)`.
    ///
    /// # Panics
    /// As for [`index`](Tensor::index), or if the values do not broadcast.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let counts = Tensor::<f32>::zeros([2, 2]).index_put_accumulate(([0, 1, 0], [1, 0, 1]), 1.0);
    /// assert_eq!(counts.to_vec(), [0.0, 2.0, 1.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn index_put_accumulate(
        &self,
        indexing: impl Indexing,
        values: impl Operand<T>,
    ) -> Tensor<T> {
        let at = Resolved::new("index_put_accumulate", self.array.shape(), &indexing.items());
        let values = at.aligned(&values.operand());
        at.apart(&at.merged(self).add_at(1, at.index.clone(), &values))
    }
}

/// The mask, if the only item is one of all elements.
fn whole_mask<'a>(items: &[Item<'a>], shape: &Shape) -> Option<&'a Mask> {
    match items {
        [Item::Mask(mask)] if mask.array.shape() == shape => Some(mask),
        _ => None,
    }
}

/// An indexing, resolved for the shape of a tensor.
struct Resolved {
    op: &'static str,
    /// The shape with the indexed dimensions side by side: dimension `d` was `order[d]`.
    shape: Shape,
    order: SmallVec<[usize; 4]>,
    /// The number of dimensions before the indexed ones, and of the indexed ones.
    before: usize,
    indexed: usize,
    /// Positions along the indexed dimensions, merged into one.
    index: Indices,
}

impl Resolved {
    #[track_caller]
    fn new(op: &'static str, shape: &Shape, items: &[Item<'_>]) -> Resolved {
        let mut next = 0; // the first dimension without an item
        let mut kept: SmallVec<[usize; 4]> = SmallVec::new();
        let mut indexed: SmallVec<[usize; 4]> = SmallVec::new();
        let mut index = Array::full_for(op, [].into(), 0);
        for item in items {
            let dims = next..next + item.dims();
            assert!(
                dims.end <= shape.len(),
                "{op}: indices of {} dimensions for a tensor of shape {shape}",
                items.iter().map(Item::dims).sum::<usize>()
            );
            next = dims.end;
            let found = match item {
                Item::All => {
                    kept.extend(dims);
                    continue;
                }
                Item::Signed(list) => from_end(op, shape, dims.start, list),
                Item::Indices(indices) => {
                    check_bounds(op, shape, dims.start, indices);
                    indices.array.clone()
                }
                Item::Mask(mask) => {
                    assert!(
                        mask.shape() == &shape[dims.clone()],
                        "{op}: a mask of shape {} for dimensions {dims:?} of a tensor of shape \
                         {shape}; expected the same sizes",
                        mask.array.shape()
                    );
                    mask.positions(op)
                }
            };
            let both = index.shape().broadcast_with(op, found.shape());
            let size = shape[dims.clone()].iter().product::<usize>();
            index = index.zip(op, &found, both, move |outer, inner| outer * size + inner);
            indexed.extend(dims);
        }
        let whole = |item: &&Item<'_>| matches!(item, Item::All);
        let before = items.iter().take_while(whole).count();
        let after = items.iter().rev().take_while(whole).count();
        // With a whole dimension between indices, the dimensions of the indices come first.
        let before = if kept.len() > before + after { 0 } else { before };
        kept.extend(next..shape.len());
        let order: SmallVec<[usize; 4]> =
            [&kept[..before], &indexed, &kept[before..]].into_iter().flatten().copied().collect();
        let shape = order.iter().map(|&d| shape[d]).collect();
        let index = Indices { array: index.contiguous(op) };
        Resolved { op, shape, order, before, indexed: indexed.len(), index }
    }

    /// The sizes before, of, and after the indexed dimensions.
    fn split(&self) -> [&[usize]; 3] {
        let (before, rest) = self.shape.split_at(self.before);
        let (indexed, after) = rest.split_at(self.indexed);
        [before, indexed, after]
    }

    /// The numbers of elements of the three parts.
    fn sizes(&self) -> [usize; 3] {
        self.split().map(|sizes| sizes.iter().product())
    }

    /// The shape of the selection.
    fn result(&self) -> Shape {
        let [before, _, after] = self.split();
        [before, self.index.shape(), after].into_iter().flatten().copied().collect()
    }

    /// The selection where the indices come first: slices of `x`, without a copy of `x` in the order
    /// of the dimensions.
    #[track_caller]
    fn slices<T: Float>(&self, x: &Array<T>) -> Array<T> {
        let x = x.permute(&self.order);
        let (View { data, strides }, [_, indexed, after]) = (x.strided_slice(), self.split());
        let (outer, inner) = strides.split_at(self.indexed);
        let start = |&position: &usize| {
            let (mut start, mut rest) = (0, position);
            for (size, stride) in indexed.iter().zip(outer).rev() {
                start += rest % size * stride;
                rest /= size;
            }
            start
        };
        let starts: Vec<usize> = self.index.array.contiguous_slice().iter().map(start).collect();
        Array::build(self.op, self.result(), |out| {
            take_slices(out, after, View { data, strides: inner }, &starts);
        })
    }

    /// `x` with three dimensions, the middle one being the indexed one.
    #[track_caller]
    fn merged<T: Float>(&self, x: &Tensor<T>) -> Tensor<T> {
        let sizes = self.sizes();
        if self.in_order() { x.reshape(sizes) } else { x.permute(&self.order[..]).reshape(sizes) }
    }

    /// The inverse of [`merged`](Resolved::merged).
    #[track_caller]
    fn apart<T: Float>(&self, merged: &Tensor<T>) -> Tensor<T> {
        let x = merged.reshape(&self.shape);
        if self.in_order() {
            return x;
        }
        let mut back: SmallVec<[usize; 4]> = smallvec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(d, &from)| back[from] = d);
        x.permute(&back[..])
    }

    fn in_order(&self) -> bool {
        self.order.is_sorted()
    }

    /// Values for the selection, as a source for the merged tensor.
    #[track_caller]
    fn aligned<T: Float>(&self, values: &Tensor<T>) -> Tensor<T> {
        let result = self.result();
        values.array.shape().check_broadcast_to(self.op, &result);
        let [before, _, after] = self.sizes();
        values.broadcast_to(result).reshape([before, self.index.numel(), after])
    }
}

impl Item<'_> {
    /// The number of dimensions that the item covers.
    fn dims(&self) -> usize {
        match self {
            Item::Mask(mask) => mask.shape().len(),
            Item::All | Item::Signed(_) | Item::Indices(_) => 1,
        }
    }
}

/// The indices of dimension `dim`; negative ones count from its end.
#[track_caller]
fn from_end(op: &str, shape: &Shape, dim: usize, list: &[isize]) -> Array<usize> {
    let size = shape[dim];
    let mut positions = Vec::with_capacity(list.len());
    for (i, &index) in list.iter().enumerate() {
        let position =
            if index < 0 { size.checked_add_signed(index) } else { Some(index as usize) };
        match position.filter(|&position| position < size) {
            Some(position) => positions.push(position),
            None => panic!(
                "{op}: index {index} at position {i}; expected from -{size} to below {size}, the \
                 size of dimension {dim} of a tensor of shape {shape}"
            ),
        }
    }
    Indices::from(positions).array
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::gradcheck::testing::check_op;

    fn counted(shape: &[usize]) -> Tensor<f64> {
        Tensor::arange(0.0, shape.iter().product::<usize>() as f64, 1.0).reshape(shape)
    }

    #[test]
    fn gradients() {
        let pairs = Indices::from([[0, 1], [1, 1]]); // repeated
        let mask = Mask::from([[true, false, true], [false, false, true]]);
        check_op(|x| x[0].index((&pairs, [2, 0])).powf(2.0), &[&[2, 3]], -2.0..2.0);
        check_op(|x| x[0].index((&pairs, .., [0, -1])).powf(2.0), &[&[2, 3, 2]], -2.0..2.0);
        check_op(|x| x[0].index((.., &mask)).powf(2.0), &[&[2, 2, 3]], -2.0..2.0);
        let put = |x: &[Tensor<f64>]| x[0].index_put((.., &pairs), &x[1]).powf(2.0);
        check_op(put, &[&[3, 2], &[3, 2, 2]], -2.0..2.0);
        check_op(put, &[&[3, 2, 2], &[2]], -2.0..2.0);
        let whole = |x: &[Tensor<f64>]| x[0].index_put(&mask, &x[1]).powf(2.0);
        for values in [&[3][..], &[1], &[]] {
            check_op(whole, &[&[2, 3], values], -2.0..2.0);
        }
        let add = |x: &[Tensor<f64>]| x[0].index_put_accumulate((&pairs, .., [1, 0]), &x[1]);
        check_op(|x| add(x).powf(2.0), &[&[2, 3, 2], &[2, 1, 1]], -2.0..2.0);
    }

    #[test]
    fn indexed_dimensions_go_where_pytorch_puts_them() {
        let x = counted(&[2, 3, 4, 5]);
        let pairs = Indices::from([[0, 1]]);
        assert_eq!(x.index((.., &pairs, [0, 1])).shape(), [2, 1, 2, 5]);
        assert_eq!(x.index((&pairs, .., [0, 1])).shape(), [1, 2, 3, 5]);
        assert_eq!(x.index((.., &pairs, .., [0])).shape(), [1, 2, 2, 4]);
        assert_eq!(x.index((.., ..)).to_vec(), x.to_vec());
        let third = x.index((.., [2], ..)).select(1, 0);
        assert_eq!(third.to_vec(), x.select(1, 2).to_vec());
    }

    #[test]
    fn a_whole_dimension_may_lie_between_indices() {
        let x = counted(&[2, 3, 4, 5]);
        for x in [x.permute([1, 0, 2, 3]), x] {
            let selected = x.index(([1, 0, -1], .., [3, 1, 0]));
            let last = x.shape()[0] - 1;
            for (p, (i, j)) in [(1, 3), (0, 1), (last, 0)].into_iter().enumerate() {
                let expected = x.select(0, i).select(1, j);
                assert_eq!(selected.select(0, p).to_vec(), expected.to_vec());
            }
        }
    }

    #[test]
    fn a_mask_covers_its_dimensions() {
        let x = counted(&[2, 3]);
        let mask = Mask::from([[true, false, false], [false, true, true]]);
        assert_eq!(x.index(&mask).to_vec(), [0.0, 4.0, 5.0]);
        assert_eq!(x.index((.., &Mask::from([false, true, true]))).shape(), [2, 2]);
        assert_eq!(x.index(&Mask::from(true)).shape(), [1, 2, 3]);
        assert_eq!(x.index(&Mask::from(false)).shape(), [0, 2, 3]);
        assert_eq!(Tensor::scalar(3.0).index_put(&Mask::from(true), 4.0).item(), 4.0);
    }

    #[test]
    fn a_selection_may_be_empty() {
        let none = Indices::from(0..0);
        assert_eq!(counted(&[2, 3]).index((&none, [1])).shape(), [0]);
        assert_eq!(counted(&[0, 3]).index((.., [1, 1])).shape(), [0, 2]);
        assert_eq!(counted(&[2]).index_put(&none, 7.0).to_vec(), [0.0, 1.0]);
        assert_eq!(counted(&[0]).index(&Mask::from([true; 0])).shape(), [0]);
    }

    #[test]
    #[should_panic(expected = "index_put: a tensor of shape [2] does not broadcast to [1]")]
    fn values_for_a_mask_must_fit() {
        let _ = counted(&[2]).index_put(&Mask::from([true, false]), counted(&[2]));
    }

    #[test]
    fn the_last_of_equal_indices_wins() {
        let x = counted(&[2, 2]);
        let put = x.index_put(([0, 1, 0], [1, 0, -1]), Tensor::from([7.0, 8.0, 9.0]));
        assert_eq!(put.to_vec(), [0.0, 9.0, 8.0, 3.0]);
    }
}
