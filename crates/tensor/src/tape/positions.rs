//! Operations whose output consists of elements of their input: views and slices by index.
//!
//! They record the positions of the elements, not a function.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::layout::Layout;
use crate::arrays::shape::Shape;
use crate::tape::node::Recorded;
use crate::tape::record::{record, record_if_tracked};
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, add_rows};

/// The positions of an output's elements among those of the input. They may repeat.
#[derive(Clone)]
pub(crate) enum Positions {
    /// Those of a layout, among the row-major elements.
    Layout(Layout),
    /// The slices at indices of a dimension.
    Slices { dim: usize, index: Indices },
}

/// The output `value`, which has the elements of `x` at these positions.
#[track_caller]
pub(crate) fn record_selection<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    value: Array<T>,
    positions: impl FnOnce() -> Positions,
) -> Tensor<T> {
    record_if_tracked(op, &[x], value, || {
        let parent = x.node.clone().expect("only operations on tracked inputs are recorded");
        Recorded::Selection { parent, positions: Box::new(positions()) }
    })
}

impl Positions {
    /// The gradient of the input: zeros of its `shape`, with `grad` added at these positions.
    #[track_caller]
    pub(crate) fn gradient<T: Float>(&self, grad: &Tensor<T>, shape: &Shape) -> Tensor<T> {
        let positions = self.clone();
        match self {
            Positions::Layout(layout) => {
                let value = grad.array.scatter(shape, layout);
                record("view_gradient", [grad], value, move |ctx| [Some(positions.of(ctx.grad()))])
            }
            Positions::Slices { dim, index } => {
                let op = "index_select_backward";
                let mut value = Array::full_for(op, shape.clone(), T::ZERO);
                let (index, grad_array) =
                    (index.array.contiguous_slice(), grad.array.contiguous(op));
                let (split, out) = (shape.around(*dim), value.make_mut_for(op));
                add_rows(out, grad_array.contiguous_slice(), split, index);
                record(op, [grad], value, move |ctx| [Some(positions.of(ctx.grad()))])
            }
        }
    }

    /// The elements of `x` at these positions.
    #[track_caller]
    fn of<T: Float>(&self, x: &Tensor<T>) -> Tensor<T> {
        match self {
            Positions::Layout(layout) => {
                let value = x.array.contiguous("as_strided").with_layout(layout.clone());
                record_selection("as_strided", x, value, || self.clone())
            }
            Positions::Slices { dim, index } => x.slices_at(*dim, index.clone()),
        }
    }

    /// Whether [`add`](Positions::add) is faster than adding the whole [`gradient`](Positions::gradient)
    /// to the row-major elements of a tensor of this shape.
    pub(crate) fn are_few(&self, shape: &Shape) -> bool {
        match self {
            Positions::Layout(_) => true,
            Positions::Slices { dim, index } => index.numel() <= shape[*dim] / 4,
        }
    }

    /// Adds `grad` at these positions of `sum`, the row-major elements of a tensor of this shape. Slices
    /// of the same index are added up before, as in [`gradient`](Positions::gradient). A negative zero
    /// elsewhere keeps its sign, which adding the whole gradient would change.
    #[track_caller]
    pub(crate) fn add<T: Float>(&self, grad: &Array<T>, sum: &mut [T], shape: &Shape) {
        let (dim, index) = match self {
            Positions::Layout(layout) => return grad.add_to(sum, layout),
            Positions::Slices { dim, index } => (*dim, index.array.contiguous_slice()),
        };
        let [outer, size, inner] = shape.around(dim);
        let mut different = index.to_vec();
        different.sort_unstable();
        different.dedup();
        let at = |index| different.partition_point(|&other| other < index);
        let index: Vec<usize> = index.iter().map(|&index| at(index)).collect();
        let grad = grad.contiguous("backward");
        let slices = Shape::from([outer, different.len(), inner]);
        let mut slices = Array::full_for("backward", slices, T::ZERO);
        let slices = slices.make_mut_for("backward");
        add_rows(slices, grad.contiguous_slice(), [outer, different.len(), inner], &index);
        add_rows(sum, slices, [outer, size, inner], &different);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Indices, Tensor};
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The bits of the gradient of `x`, which has a gradient already when that of the slices arrives;
    /// `retain` adds up whole gradients.
    fn gradient(dim: usize, index: &[usize], retain: bool) -> Vec<u64> {
        let x = Tensor::from_vec((0..60).map(|i| f64::from(i).sin()).collect(), [3, 20]).unwrap();
        let x = x.requires_grad();
        let slices = x.index_select(dim, index);
        let factors: Vec<f64> = (0..slices.numel()).map(|i| (i as f64 + 0.3).cos()).collect();
        let factors = Tensor::from_vec(factors, slices.shape()).unwrap();
        let y = (&slices * factors).sum() + x.exp().sum();
        if retain {
            let options = crate::GradOptions::default().create_graph(true);
            let gradients = crate::grad(&y, &[&x], options);
            return gradients[0].to_vec().into_iter().map(f64::to_bits).collect();
        }
        y.backward();
        x.grad().unwrap().to_vec().into_iter().map(f64::to_bits).collect()
    }

    proptest! {
        #[test]
        fn slices_are_added_in_place_with_the_same_bits(index in vec(0_usize..20, 0..=5)) {
            prop_assert_eq!(gradient(1, &index, false), gradient(1, &index, true));
        }
    }

    #[test]
    fn slices_of_rows_are_added_in_place() {
        let table = Tensor::<f64>::ones([9, 2]).requires_grad();
        let words = Indices::from_vec(vec![4, 7], [2]).unwrap();
        (table.embedding(&words).sum() + (&table * 3.0).sum()).backward();
        let mut expected = [3.0; 18];
        expected[8..10].fill(4.0);
        expected[14..16].fill(4.0);
        assert_eq!(table.grad().unwrap().to_vec(), expected);
    }

    #[test]
    #[should_panic(expected = "detect_anomaly: the backward of `index_select`")]
    fn an_anomaly_names_the_operation() {
        let x = Tensor::<f64>::ones([8]).requires_grad();
        let y = x.index_select(0, &[3, 3]);
        y.register_hook(|_| Some(Tensor::from([f64::INFINITY, f64::NEG_INFINITY])));
        crate::detect_anomaly(|| (y.sum() + x.exp().sum()).backward());
    }

    #[test]
    fn a_shared_gradient_is_not_changed() {
        let x = Tensor::<f64>::ones([8]).requires_grad();
        let other = Tensor::<f64>::ones([8]).requires_grad();
        let sum = &x + &other; // both have one gradient
        let inner = sum.exp();
        (x.index_select(0, &[3]).sum() * 2.0 + inner.sum()).backward();
        let exp = 2.0_f64.exp();
        assert_eq!(other.grad().unwrap().to_vec(), [exp; 8]);
        let mut expected = [exp; 8];
        expected[3] += 2.0;
        assert_eq!(x.grad().unwrap().to_vec(), expected);
    }

    #[test]
    fn slices_without_elements() {
        let x = Tensor::<f64>::ones([8, 0]).requires_grad();
        (x.index_select(0, &[3]).sum() + x.exp().sum()).backward();
        assert_eq!(x.grad().unwrap().shape(), [8, 0]);
    }
}
