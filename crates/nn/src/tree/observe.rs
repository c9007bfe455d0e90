//! The outputs of layers, reported while a summary is made.
//!
//! Rust cannot intercept the call `self.fc1.forward(x)`, as PyTorch's forward hooks do, so each
//! layer reports its own output.

use adamant_tensor::{Float, Shape, Tensor, no_grad};
use std::cell::RefCell;

/// A layer in use: its address and type name. Layers without fields may share an address.
pub(crate) type Layer = (usize, &'static str);

/// A call of a layer, and the shape of its output.
pub(crate) struct Call {
    pub(crate) layer: Layer,
    pub(crate) shape: Shape,
}

thread_local! {
    /// The calls so far, while a summary is made.
    static CALLS: RefCell<Option<Vec<Call>>> = const { RefCell::new(None) };
}

/// Whether a summary is being made on this thread: layers then behave as in evaluation.
pub(crate) fn is_observing() -> bool {
    CALLS.with_borrow(Option::is_some)
}

/// Reports the output `y` of `layer` to the [`summary`](crate::summary()) being made, if there is
/// one, and returns it.
///
/// This library's layers end their `forward` with it. So can a layer of your own, if it is a field
/// of another model; a model given to `summary` and the layers of a
/// [`Sequential`](crate::Sequential) are reported without it.
///
/// PyTorch: the forward hooks that `torchinfo` registers.
///
/// ```
/// use adamant_nn::{Forward, Linear, Module, observe, summary};
/// use adamant_tensor::{Generator, Tensor};
///
/// #[derive(Module)]
/// #[module(crate = adamant_nn)]
/// struct Residual {
///     fc: Linear,
/// }
///
/// impl Forward for Residual {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         observe(self, x + self.fc.forward(x).relu())
///     }
/// }
///
/// #[derive(Module)]
/// #[module(crate = adamant_nn)]
/// struct Net {
///     block: Residual,
/// }
///
/// impl Forward for Net {
///     fn forward(&self, x: &Tensor) -> Tensor {
///         self.block.forward(x)
///     }
/// }
///
/// let net = Net { block: Residual { fc: Linear::new(4, 4, &mut Generator::seed(0)) } };
/// let outputs = summary(&net, [2, 4]).rows;
/// assert!(outputs.iter().all(|row| row.output.as_deref() == Some(&[2, 4][..])));
/// ```
pub fn observe<T: Float, M: ?Sized>(layer: &M, y: Tensor<T>) -> Tensor<T> {
    report((address(layer), std::any::type_name::<M>()), &y);
    y
}

pub(crate) fn address<M: ?Sized>(layer: &M) -> usize {
    (&raw const *layer).cast::<()>().addr()
}

fn report<T: Float>(layer: Layer, y: &Tensor<T>) {
    CALLS.with_borrow_mut(|calls| {
        if let Some(calls) = calls {
            calls.push(Call { layer, shape: y.shape().into() });
        }
    });
}

/// Runs `forward`, the call of `layer`, and reports its output unless it has done so itself.
#[track_caller]
pub(crate) fn observed<T: Float>(layer: Layer, forward: impl FnOnce() -> Tensor<T>) -> Tensor<T> {
    let count = || CALLS.with_borrow(|calls| calls.as_ref().map_or(0, Vec::len));
    let before = count();
    let y = forward();
    let has_reported = CALLS.with_borrow(|calls| {
        let last = calls.as_ref().and_then(|calls| calls[before..].last());
        last.is_some_and(|call| call.layer == layer)
    });
    if !has_reported {
        report(layer, &y);
    }
    y
}

/// Ends the observation, after a panic too.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        CALLS.set(None);
    }
}

/// The calls of layers during `run`, for which nothing is recorded.
pub(crate) fn calls_of(run: impl FnOnce()) -> Vec<Call> {
    let _end = End;
    CALLS.set(Some(Vec::new()));
    no_grad(run);
    CALLS.take().unwrap_or_default()
}
