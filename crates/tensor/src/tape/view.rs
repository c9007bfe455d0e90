//! Views of some of a tensor's elements, recorded as a layout, not as a function.
//!
//! Views of all elements, such as `reshape` and `permute`, record a function, since their gradients
//! are views themselves.

use crate::arrays::layout::Layout;
use crate::tape::positions::{Positions, record_selection};
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
    record_selection(op, x, value, || Positions::Layout(among_row_major()))
}
