//! Views: recorded as a layout, not as a function.

use crate::arrays::layout::Layout;
use crate::arrays::shape::Shape;
use crate::tape::node::Backward;
use crate::tape::record::{record, record_if_tracked};
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

/// A view of `x`, where `view` maps the layout of an array to the layout of its view.
///
/// The value uses the layout of `x`'s array; the backward pass uses a contiguous layout of the same
/// shape, since it adds to a contiguous gradient. So which elements `view` selects may depend only
/// on the shape.
#[track_caller]
pub(crate) fn record_view<T: Float>(
    name: &'static str,
    x: &Tensor<T>,
    view: impl Fn(&Layout) -> Layout,
) -> Tensor<T> {
    let value = x.array.with_layout(view(x.array.layout()));
    record_if_tracked(name, &[x], value, || {
        Backward::View(Box::new(view(&Layout::contiguous(x.array.shape().clone()))))
    })
}

/// The view of `x` whose elements are at the positions of `layout` among the row-major elements of
/// `x`.
#[track_caller]
fn as_strided<T: Float>(x: &Tensor<T>, layout: &Layout) -> Tensor<T> {
    let value = x.array.contiguous("as_strided").with_layout(layout.clone());
    record_if_tracked("as_strided", &[x], value, || Backward::View(Box::new(layout.clone())))
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
