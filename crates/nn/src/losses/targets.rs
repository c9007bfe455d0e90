//! The targets of classifiers, and the rows of an input that they belong to.

use adamant_tensor::{Float, Indices, Tensor, Weight};
use std::borrow::Cow;

/// The class of each row: a row-major list (`&[2, 0]`, a `&Vec<usize>`), or [`Indices`] of the
/// rows' shape.
#[derive(Clone, Debug)]
pub struct Classes<'t> {
    pub(super) list: Cow<'t, [usize]>,
    pub(super) shape: Option<Vec<usize>>,
}

impl<'t> From<&'t [usize]> for Classes<'t> {
    fn from(list: &'t [usize]) -> Self {
        Classes { list: list.into(), shape: None }
    }
}

impl<'t, const N: usize> From<&'t [usize; N]> for Classes<'t> {
    fn from(list: &'t [usize; N]) -> Self {
        list.as_slice().into()
    }
}

impl<'t> From<&'t Vec<usize>> for Classes<'t> {
    fn from(list: &'t Vec<usize>) -> Self {
        list.as_slice().into()
    }
}

impl From<&Indices> for Classes<'_> {
    fn from(indices: &Indices) -> Self {
        Classes { list: indices.to_vec().into(), shape: Some(indices.shape().to_vec()) }
    }
}

/// The targets: a class for each row, or a tensor of probabilities of the logits' shape.
#[derive(Clone, Debug)]
pub enum Targets<'t, T: Float> {
    /// The class of each row.
    Classes(Classes<'t>),
    /// The probability of each class in each row.
    Probabilities(&'t Tensor<T>),
}

impl<'t, T: Float, C: Into<Classes<'t>>> From<C> for Targets<'t, T> {
    fn from(classes: C) -> Self {
        Targets::Classes(classes.into())
    }
}

impl<'t, T: Float> From<&'t Tensor<T>> for Targets<'t, T> {
    fn from(probabilities: &'t Tensor<T>) -> Self {
        Targets::Probabilities(probabilities)
    }
}

/// An input as a matrix, with a row for each target.
pub(super) struct Rows<T: Float> {
    /// `[rows, classes]`, or `[rows, features]` before a linear layer, without the ignored rows.
    pub(super) x: Tensor<T>,
    /// The shape of the input.
    pub(super) input: Vec<usize>,
    pub(super) classes: usize,
    /// The shape of the losses.
    pub(super) shape: Vec<usize>,
    /// The rows in `x` and the number of all rows, if some are ignored.
    pub(super) kept: Option<(Vec<usize>, usize)>,
}

impl<T: Float> Rows<T> {
    #[track_caller]
    pub(super) fn new(op: &str, x: &Tensor<T>) -> Self {
        let input = x.shape().to_vec();
        let (classes, x, shape) = match *x.shape() {
            [classes] => (classes, x.reshape([1, classes]), Vec::new()),
            [batch, classes] => (classes, x.clone(), vec![batch]),
            [batch, classes, ref positions @ ..] => {
                let each = positions.iter().product();
                let x = x.reshape([batch, classes, each]).transpose(1, 2);
                let shape = [batch].iter().chain(positions).copied().collect();
                (classes, x.reshape([batch * each, classes]), shape)
            }
            [] => panic!("{op}: an input of shape []; expected [N, C], [C] or [N, C, d1, …]"),
        };
        assert!(
            classes > 0,
            "{op}: an input of shape {:?} has no classes; expected at least one",
            x.shape()
        );
        Rows { x, input, classes, shape, kept: None }
    }

    /// The input of a linear layer with this weight.
    #[track_caller]
    pub(super) fn of_linear(op: &str, x: &Tensor<T>, weight: &Weight<T>) -> Self {
        let ([shape @ .., features], &[classes, inner]) = (x.shape(), weight.shape()) else {
            panic!(
                "{op}: an input of shape {:?} and a weight of shape {:?}; expected [..., K] and [C, K]",
                x.shape(),
                weight.shape()
            )
        };
        assert!(
            *features == inner,
            "{op}: an input of shape {:?} and a weight of shape {:?}; expected equal last dimensions",
            x.shape(),
            weight.shape()
        );
        let rows = x.reshape([shape.iter().product(), inner]);
        Rows { x: rows, input: x.shape().to_vec(), classes, shape: shape.to_vec(), kept: None }
    }

    /// The losses of all rows, with 0 for the ignored ones.
    #[track_caller]
    pub(super) fn put_back(&self, losses: Tensor<T>) -> Tensor<T> {
        let all = match &self.kept {
            None => losses,
            Some((kept, len)) => Tensor::zeros([*len]).index_add(0, kept, &losses),
        };
        all.reshape(&self.shape[..])
    }
}
