//! Views of some of a tensor's elements, recorded as a layout, not as a function.
//!
//! Views of all elements, such as `reshape` and `permute`, record a function, since their gradients
//! are views themselves.

use crate::arrays::array::Array;
use crate::arrays::layout::Layout;
use crate::arrays::shape::Shape;
use crate::tape::node::Recorded;
use crate::tape::record::{record, record_if_tracked};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// A view of `x`, where `view` maps the layout of an array to the layout of its view.
///
/// The value uses the layout of `x`'s array; the backward pass uses a contiguous layout of the same
/// shape, since it adds to a contiguous gradient. So which elements `view` selects may depend on
/// the shape only.
#[track_caller]
pub(crate) fn record_view<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    view: impl Fn(&Layout) -> Layout,
) -> Tensor<T> {
    let value = x.array.with_layout(view(x.array.layout()));
    let among_row_major = || view(&Layout::contiguous(x.array.shape().clone()));
    debug_assert_eq!(*value.shape(), among_row_major().shape, "{op}: depends on the strides");
    record_layout(op, x, value, among_row_major)
}

/// The view of `x` whose elements are at the positions of `layout` among the row-major elements of
/// `x`.
#[track_caller]
fn as_strided<T: Float>(x: &Tensor<T>, layout: &Layout) -> Tensor<T> {
    let value = x.array.contiguous("as_strided").with_layout(layout.clone());
    record_layout("as_strided", x, value, || layout.clone())
}

/// The view `value` of `x`. `layout` returns the positions of its elements among the row-major
/// elements of `x`.
#[track_caller]
fn record_layout<T: Float>(
    op: &'static str,
    x: &Tensor<T>,
    value: Array<T>,
    layout: impl FnOnce() -> Layout,
) -> Tensor<T> {
    record_if_tracked(op, &[x], value, || {
        let parent = x.node.clone().expect("only operations on tracked inputs are recorded");
        Recorded::View { parent, layout: Box::new(layout()) }
    })
}

/// The gradient of a view's input: zeros of the input's `shape`, with `grad`, the gradient of the
/// view, added at the positions of `layout`.
#[track_caller]
pub(crate) fn view_gradient<T: Float>(
    grad: &Tensor<T>,
    shape: &Shape,
    layout: &Layout,
) -> Tensor<T> {
    let (value, layout) = (grad.array.scatter(shape, layout), layout.clone());
    record("view_gradient", [grad], value, move |ctx| [Some(as_strided(ctx.grad(), &layout))])
}
