//! The interface of an optimizer's algorithm: all that distinguishes it from others.

use crate::fields::Fields;
use adamant_kernels::Cut;
use adamant_tensor::{Array, Float, Shape};
use std::fmt::Debug;

/// The hyperparameters of an optimizer, of which each group of parameters has its own.
pub trait Hyperparameters: Clone + Debug + Send + Sync + 'static {
    /// The optimizer's name, in its state and in errors.
    const OPTIMIZER: &'static str;

    /// Visits every hyperparameter. See [`Fields`].
    ///
    /// One of them is the learning rate, declared by [`Fields::lr`]; one may be the momentum,
    /// declared by [`Fields::momentum`]. Their names differ, and none is `name`, `base_lr` or
    /// `params`, which are in the same part of the state: an optimizer's constructor checks this.
    fn fields(&mut self, fields: &mut Fields<'_>);
}

/// The state that an optimizer keeps for each parameter, beside the count of its steps.
///
/// If several processes [share](crate::Optimizer::share) the optimizer, each keeps the part of its
/// elements: its arrays have the shape that `new` was called with, whatever it is.
///
/// PyTorch: `optimizer.state[parameter]`.
pub trait ParameterState<T: Float>: Clone + Send {
    /// The state of a parameter of this shape before its first step.
    fn new(shape: &[usize]) -> Self;

    /// Visits every part of the state. See [`Fields`].
    ///
    /// Their names differ, and none is `name` or `step`, the parameter's name and the count of its
    /// steps, which are in the same part of a [`StateDict`](adamant_tensor::StateDict): an
    /// optimizer's constructor checks this.
    fn fields(&mut self, fields: &mut Fields<'_>);
}

/// The state of an algorithm that has none.
impl<T: Float> ParameterState<T> for () {
    fn new(_shape: &[usize]) -> Self {}
    fn fields(&mut self, _fields: &mut Fields<'_>) {}
}

/// The algorithm of an optimizer: how a step changes a parameter. It is implemented by the options,
/// whose values it uses.
///
/// [`GroupOptimizer`](crate::GroupOptimizer) makes an optimizer of it: parameter groups, hooks,
/// checks, state, threads and schedules are the same for all.
///
/// A step has two phases. First [`prepare`](Algorithm::prepare) allocates whatever the step needs:
/// if that fails, nothing has changed. Then every parameter is cut into pieces, by its size alone,
/// and [`update`](Algorithm::update) changes them, on several threads. Readers of the parameters
/// wait meanwhile, so [`buffers`](Algorithm::buffers), [`measure`](Algorithm::measure) and `update`
/// are arithmetic on slices: they use no parameter and no thread pool, and do not panic.
///
/// Lion (Chen et al., 2023), as an example:
///
/// ```
/// use adamant_optim::{
///     Algorithm, Fields, GroupOptimizer, Hyperparameters, Optimizer, ParameterState, Shared,
///     ValidRange, zeros,
/// };
/// use adamant_tensor::{Array, Parameter, Tensor};
///
/// #[derive(Clone, Debug)]
/// struct LionOptions {
///     lr: f64,
///     beta1: f64,
///     beta2: f64,
/// }
///
/// impl Hyperparameters for LionOptions {
///     const OPTIMIZER: &'static str = "Lion";
///
///     fn fields(&mut self, fields: &mut Fields<'_>) {
///         fields.lr(&mut self.lr, ValidRange::AT_LEAST_0);
///         fields.momentum("beta1", &mut self.beta1, ValidRange::BELOW_1);
///         fields.float("beta2", &mut self.beta2, ValidRange::BELOW_1);
///     }
/// }
///
/// #[derive(Clone)]
/// struct LionState {
///     exp_avg: Array<f32>,
/// }
///
/// impl ParameterState<f32> for LionState {
///     fn new(shape: &[usize]) -> Self {
///         LionState { exp_avg: zeros(shape) }
///     }
///
///     fn fields(&mut self, fields: &mut Fields<'_>) {
///         fields.array("exp_avg", &mut self.exp_avg);
///     }
/// }
///
/// impl Algorithm<f32> for LionOptions {
///     type State = LionState;
///     type Buffers<'a> = (&'a mut [f32], &'a [f32], &'a mut [f32], Shared<[f32; 3]>);
///     type Sums = ();
///
///     fn buffers<'a>(
///         &self,
///         _step: u64,
///         state: &'a mut LionState,
///         param: &'a mut [f32],
///         grad: &'a [f32],
///     ) -> Self::Buffers<'a> {
///         let scalars = [self.lr, self.beta1, self.beta2].map(|x| x as f32);
///         (param, grad, state.exp_avg.make_mut(), Shared(scalars))
///     }
///
///     fn update((param, grad, exp_avg, Shared([lr, beta1, beta2])): Self::Buffers<'_>, _: ()) {
///         for ((p, g), m) in param.iter_mut().zip(grad).zip(exp_avg) {
///             let direction = beta1 * *m + (1.0 - beta1) * g;
///             // `signum` of 0 is 1.
///             *p -= lr * if direction == 0.0 { 0.0 } else { direction.signum() };
///             *m = beta2 * *m + (1.0 - beta2) * g;
///         }
///     }
/// }
///
/// type Lion = GroupOptimizer<f32, LionOptions>;
///
/// let p = Parameter::new(Tensor::from([3.0f32]));
/// let mut lion = Lion::new([p.clone()], LionOptions { lr: 0.1, beta1: 0.9, beta2: 0.99 }).unwrap();
/// for _ in 0..29 {
///     lion.zero_grad();
///     p.tensor().powf(2.0).sum().backward();
///     lion.step();
/// }
/// assert!(p.tensor().item().abs() < 0.11);
/// assert_eq!(lion.state(&p).unwrap().step(), 29);
/// ```
pub trait Algorithm<T: Float>: Hyperparameters {
    /// The state of a parameter.
    type State: ParameterState<T>;

    /// The data of a step: slices of the parameter's length, and scalars. Usually a tuple of
    /// `&mut [T]`, `&[T]`, `Option`s of these and [`Shared`](crate::Shared) scalars, of at most
    /// eight members. Further scalars go into one `Shared` struct.
    type Buffers<'a>: Cut + Send;

    /// The sums over a whole parameter that an update needs, such as norms: `()` for none, or
    /// `[f64; N]`.
    type Sums: Sums;

    /// A new state for step `step` (1 for the first), or `None` if `state` will do: it is `None`
    /// before the first step. The default is a [new](ParameterState::new) state then, and the
    /// current one later on.
    ///
    /// All allocation belongs here.
    fn prepare(
        &self,
        _step: u64,
        state: Option<&Self::State>,
        shape: &[usize],
    ) -> Option<Self::State> {
        if state.is_some() { None } else { Some(Self::State::new(shape)) }
    }

    /// The buffers of a parameter at step `step`. Nothing else sees the arrays of the state, so
    /// [`Array::make_mut`] copies nothing.
    ///
    /// Called two or three times in a step: to check that every slice has the parameter's length,
    /// before anything changes; to [measure](Algorithm::measure), if there are
    /// [`Sums`](Algorithm::Sums); and to update.
    fn buffers<'a>(
        &self,
        step: u64,
        state: &'a mut Self::State,
        param: &'a mut [T],
        grad: &'a [T],
    ) -> Self::Buffers<'a>;

    /// The sums over a piece. They are added up in the order of the pieces, so the result does
    /// not depend on the number of threads. Every piece is measured before any is updated.
    ///
    /// This may write the state: LAMB updates its moments here, once, and uses them in `update`.
    ///
    /// Not called if `Sums` is `()`.
    fn measure(_piece: Self::Buffers<'_>) -> Self::Sums {
        Self::Sums::ZERO
    }

    /// Updates a piece of a parameter; `sums` are those of the whole parameter.
    fn update(piece: Self::Buffers<'_>, sums: Self::Sums);
}

/// Sums over the elements of a parameter: `()` or `[f64; N]`.
pub trait Sums: Copy + Send + Sync + sealed::Sealed {
    /// The number of sums.
    #[doc(hidden)]
    const LEN: usize;

    /// The sums over no elements.
    const ZERO: Self;

    /// Adds those of another piece.
    #[doc(hidden)]
    fn add(self, piece: Self) -> Self;

    #[doc(hidden)]
    fn as_slice(&self) -> &[f64];

    /// From `LEN` sums.
    #[doc(hidden)]
    fn from_slice(sums: &[f64]) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<const N: usize> Sealed for [f64; N] {}
}

impl Sums for () {
    const LEN: usize = 0;
    const ZERO: Self = ();
    fn add(self, _piece: Self) -> Self {}
    fn as_slice(&self) -> &[f64] {
        &[]
    }
    fn from_slice(_sums: &[f64]) -> Self {}
}

impl<const N: usize> Sums for [f64; N] {
    const LEN: usize = N;
    const ZERO: Self = [0.0; N];
    fn add(self, piece: Self) -> Self {
        std::array::from_fn(|i| self[i] + piece[i])
    }
    fn as_slice(&self) -> &[f64] {
        self
    }
    fn from_slice(sums: &[f64]) -> Self {
        std::array::from_fn(|i| sums[i])
    }
}

/// An array of zeros, for a [`ParameterState`].
#[must_use]
pub fn zeros<T: Float>(shape: &[usize]) -> Array<T> {
    Array::full(Shape::from(shape), T::ZERO)
}
