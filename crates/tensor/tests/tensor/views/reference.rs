//! Views by their definition, and how random ones are drawn.

use adamant_tensor::Tensor;
use proptest::collection::vec;
use proptest::prelude::*;

/// A view by its definition: its shape, and for each of its elements, in row-major order, the
/// row-major index of the original element.
#[derive(Clone, Debug)]
pub(crate) struct Elements {
    pub(crate) shape: Vec<usize>,
    pub(crate) of: Vec<usize>,
}

pub(crate) fn numel(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// All indices into a shape, in row-major order.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..numel(shape)).map(move |mut i| {
        let mut index = vec![0; shape.len()];
        for d in (0..shape.len()).rev() {
            index[d] = i % shape[d];
            i /= shape[d];
        }
        index
    })
}

/// The row-major position of an index.
pub(crate) fn row_major(shape: &[usize], index: &[usize]) -> usize {
    assert!(index.len() == shape.len() && index.iter().zip(shape).all(|(i, size)| i < size));
    shape.iter().zip(index).fold(0, |position, (size, i)| position * size + i)
}

/// The index into `shape` of the element at `index` of a shape it broadcasts to.
pub(crate) fn unbroadcast(index: &[usize], shape: &[usize]) -> Vec<usize> {
    let index = &index[index.len() - shape.len()..];
    index.iter().zip(shape).map(|(&i, &size)| if size == 1 { 0 } else { i }).collect()
}

impl Elements {
    fn all(shape: &[usize]) -> Elements {
        Elements { shape: shape.to_vec(), of: (0..numel(shape)).collect() }
    }

    /// The view of `shape` whose element at `index` is the one at `from(index)` of this view.
    fn view(&self, shape: Vec<usize>, from: impl Fn(Vec<usize>) -> Vec<usize>) -> Elements {
        let of =
            indices(&shape).map(|index| self.of[row_major(&self.shape, &from(index))]).collect();
        Elements { shape, of }
    }

    /// The elements of the view, given those of the original.
    pub(crate) fn values<V: Copy>(&self, original: &[V]) -> Vec<V> {
        self.of.iter().map(|&i| original[i]).collect()
    }
}

#[derive(Clone, Debug)]
pub(crate) enum View {
    Reshape(Vec<usize>),
    Permute(Vec<usize>),
    Transpose(usize, usize),
    Narrow { dim: usize, start: usize, len: usize },
    Slice { dim: usize, start: usize, end: usize, step: usize },
    Select { dim: usize, index: usize },
    BroadcastTo(Vec<usize>),
    Diagonal { offset: isize, a: usize, b: usize },
    Unfold { dim: usize, size: usize, step: usize },
}

/// Random numbers that determine the details of a view.
pub(crate) type Draw = [usize; 5];

pub(crate) fn draws() -> impl Strategy<Value = Draw> {
    prop::array::uniform5(0..5040usize)
}

pub(crate) fn shapes() -> impl Strategy<Value = Vec<usize>> {
    // Few are empty.
    vec(prop_oneof![1 => Just(0usize), 15 => 1..6usize], 0..5)
}

impl View {
    /// A view of a tensor of this shape; `None` if it has no view of the drawn kind.
    fn of(shape: &[usize], [kind, a, b, c, d]: Draw) -> Option<View> {
        let dims = shape.len();
        let view = match kind % 9 {
            0 => View::Reshape(reshaped(numel(shape), [a, b, c])),
            1 => View::Permute(order(dims, a)),
            2 => View::BroadcastTo(broadcast(shape, [a, b, c])),
            _ if dims == 0 => return None,
            3 => View::Transpose(a % dims, b % dims),
            4 => {
                let (dim, size) = (a % dims, shape[a % dims]);
                let start = b % (size + 1);
                View::Narrow { dim, start, len: c % (size - start + 1) }
            }
            5 => {
                let (dim, size) = (a % dims, shape[a % dims]);
                let start = b % (size + 1);
                View::Slice { dim, start, end: start + c % (size + 2), step: 1 + d % 3 }
            }
            6 if shape[a % dims] > 0 => View::Select { dim: a % dims, index: b % shape[a % dims] },
            7 if dims > 1 => {
                let (a, b) = (a % dims, (a + 1 + b % (dims - 1)) % dims);
                let extent = shape[a] + shape[b] + 3;
                View::Diagonal { offset: (c % extent) as isize - shape[a] as isize - 1, a, b }
            }
            8 => {
                let (dim, size) = (a % dims, shape[a % dims]);
                View::Unfold { dim, size: b % (size + 1), step: 1 + c % 3 }
            }
            _ => return None,
        };
        Some(view)
    }

    fn apply(&self, x: &Tensor<f64>, from_the_back: bool) -> Tensor<f64> {
        let dims = x.shape().len() as isize;
        let dim = |dim: usize| dim as isize - if from_the_back { dims } else { 0 };
        match self {
            View::Reshape(shape) => x.reshape(&shape[..]),
            View::Permute(order) => x.permute(&order[..]),
            &View::Transpose(a, b) => x.transpose(dim(a), b),
            &View::Narrow { dim: d, start, len } => x.narrow(dim(d), start, len),
            &View::Slice { dim: d, start, end, step } => x.slice(dim(d), start..end, step),
            &View::Select { dim: d, index } => x.select(dim(d), index),
            View::BroadcastTo(shape) => x.broadcast_to(&shape[..]),
            &View::Diagonal { offset, a, b } => x.diagonal(offset, a, dim(b)),
            &View::Unfold { dim: d, size, step } => x.unfold(dim(d), size, step),
        }
    }

    /// The view by its definition.
    fn elements(&self, x: &Elements) -> Elements {
        let with = |dim: usize, size: usize| {
            let mut shape = x.shape.clone();
            shape[dim] = size;
            shape
        };
        let moved = |dim: usize, to: &dyn Fn(usize) -> usize, mut index: Vec<usize>| {
            index[dim] = to(index[dim]);
            index
        };
        match self.clone() {
            View::Reshape(shape) => Elements { shape, of: x.of.clone() },
            View::Permute(order) => x.view(order.iter().map(|&d| x.shape[d]).collect(), |index| {
                let mut from = index.clone();
                order.iter().zip(index).for_each(|(&d, i)| from[d] = i);
                from
            }),
            View::Transpose(a, b) => {
                let swapped = |mut list: Vec<usize>| {
                    list.swap(a, b);
                    list
                };
                x.view(swapped(x.shape.clone()), swapped)
            }
            View::Narrow { dim, start, len } => {
                x.view(with(dim, len), |index| moved(dim, &|i| start + i, index))
            }
            View::Slice { dim, start, end, step } => {
                let len = (start..end.min(x.shape[dim])).step_by(step).count();
                x.view(with(dim, len), |index| moved(dim, &|i| start + step * i, index))
            }
            View::Select { dim, index: at } => {
                let mut shape = x.shape.clone();
                shape.remove(dim);
                x.view(shape, |mut index| {
                    index.insert(dim, at);
                    index
                })
            }
            View::BroadcastTo(shape) => x.view(shape, |index| unbroadcast(&index, &x.shape)),
            View::Diagonal { offset, a, b } => {
                let down = |i: usize| (i + (-offset).max(0) as usize, i + offset.max(0) as usize);
                let inside = |&i: &usize| down(i).0 < x.shape[a] && down(i).1 < x.shape[b];
                let len = (0..).take_while(inside).count();
                let kept = (0..x.shape.len()).filter(|&d| d != a && d != b);
                let shape = kept.map(|d| x.shape[d]).chain([len]).collect();
                x.view(shape, |mut index| {
                    let (at_a, at_b) = down(index.pop().unwrap());
                    let pairs = if a < b { [(a, at_a), (b, at_b)] } else { [(b, at_b), (a, at_a)] };
                    pairs.into_iter().for_each(|(dim, i)| index.insert(dim, i));
                    index
                })
            }
            View::Unfold { dim, size, step } => {
                let starts = (0..).step_by(step).take_while(|start| start + size <= x.shape[dim]);
                let mut shape = with(dim, starts.count());
                shape.push(size);
                x.view(shape, |mut index| {
                    let within = index.pop().unwrap();
                    moved(dim, &|i| i * step + within, index)
                })
            }
        }
    }
}

/// A shape with `numel` elements.
pub(crate) fn reshaped(numel: usize, draw: [usize; 3]) -> Vec<usize> {
    let mut shape = vec![];
    let mut rest = numel;
    for draw in draw {
        let divisors: Vec<usize> = (1..=rest).filter(|&n| rest.is_multiple_of(n)).collect();
        let size = if rest == 0 { draw % 3 } else { divisors[draw % divisors.len()] };
        shape.push(size);
        rest = rest.checked_div(size).unwrap_or(1);
    }
    if rest != 1 {
        shape.insert(draw[0] % 4, rest);
    }
    shape
}

/// A permutation of `0 .. dims`.
pub(crate) fn order(dims: usize, mut draw: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..dims).collect();
    let mut order = vec![];
    for n in (1..=dims).rev() {
        order.push(left.remove(draw % n));
        draw /= n;
    }
    order
}

/// A shape to which this one broadcasts.
pub(crate) fn broadcast(shape: &[usize], [a, b, c]: [usize; 3]) -> Vec<usize> {
    let lead = [1 + a % 3, 1 + b % 2].into_iter().take(c % 3);
    let sizes = [a % 4, b % 4, c % 4].into_iter().cycle();
    let repeated = shape.iter().zip(sizes).map(|(&old, new)| if old == 1 { new } else { old });
    lead.chain(repeated).collect()
}

/// A chain of views, step by step: the view, its result, and its definition.
pub(crate) fn chain(x: &Tensor<f64>, draws: &[Draw]) -> Vec<(View, Tensor<f64>, Elements)> {
    const MOST_ELEMENTS: usize = 3000;
    let mut steps: Vec<(View, Tensor<f64>, Elements)> = vec![];
    let (mut x, mut elements) = (x.clone(), Elements::all(x.shape()));
    for &draw in draws {
        let Some(view) = View::of(&elements.shape, draw) else { continue };
        let shown = view.elements(&elements);
        // Views of empty tensors are empty: most chains avoid them.
        let empties = shown.of.is_empty() && !elements.of.is_empty() && draw[4] % 16 > 1;
        if empties || shown.of.len() > MOST_ELEMENTS || shown.shape.len() > 8 {
            continue;
        }
        (x, elements) = (view.apply(&x, draw[4] % 2 == 1), shown);
        steps.push((view, x.clone(), elements.clone()));
    }
    steps
}

/// The integers −3 … 5, so zeros and both signs occur.
pub(crate) fn small(count: usize, from: usize) -> Vec<f64> {
    (0..count).map(|i| ((i * 7 + from) % 9) as f64 - 3.0).collect()
}

/// A tensor of this shape that is not contiguous, and its elements.
pub(crate) fn scattered(shape: &[usize], [a, b, c, d, e]: Draw) -> (Tensor<f64>, Vec<f64>) {
    let order = order(shape.len(), a);
    let mut larger = vec![0; shape.len()];
    let steps: Vec<usize> = [1 + b % 3, 1 + c % 2].into_iter().cycle().take(shape.len()).collect();
    for (dim, &to) in order.iter().enumerate() {
        larger[to] = d % 2 + shape[dim] * steps[dim];
    }
    let original = small(numel(&larger), e);
    let mut x = Tensor::from_vec(original.clone(), &larger[..]).unwrap();
    let mut elements = Elements::all(&larger);
    let slices = shape.iter().zip(&steps).enumerate().map(|(dim, (&size, &step))| {
        let start = d % 2;
        View::Slice { dim, start, end: start + size * step, step }
    });
    for view in [View::Permute(order)].into_iter().chain(slices) {
        (x, elements) = (view.apply(&x, false), view.elements(&elements));
    }
    assert_eq!(x.shape(), shape);
    (x, elements.values(&original))
}
