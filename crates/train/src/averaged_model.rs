//! Averages of a model's weights over the steps of a training.

use crate::metrics::elements;
use adamant_nn::{Buffer, Counter, Forward, Leaf, Module, Path};
use adamant_tensor::{Float, Parameter, Tensor, take_values};

/// A copy of a model whose weights are the average of the model's over its updates.
///
/// The average of equal weights (stochastic weight averaging, SWA) after `n` updates, and the
/// exponential moving average (EMA):
///
/// ```text
/// averaged ← averaged + (weight − averaged) / (n + 1)
/// averaged ← decay · averaged + (1 − decay) · weight
/// ```
///
/// The first update copies the weights. Buffers, such as the running statistics of a batch
/// normalization, are copied at each update; [`use_buffers`](AveragedModel::use_buffers) averages
/// them too, and [`update_bn`](crate::update_bn) recomputes them. The copy is a module with
/// PyTorch's names, `n_averaged` and `module.…`; as in PyTorch, neither the kind of average nor the
/// decay is part of its state.
///
/// PyTorch: `torch.optim.swa_utils.AveragedModel`, for an EMA with `avg_fn=get_ema_avg_fn(decay)`.
///
/// ```
/// use adamant_nn::{Forward, Linear, Module};
/// use adamant_tensor::{Generator, Tensor};
/// use adamant_train::AveragedModel;
/// let model = Linear::new(2, 1, &mut Generator::seed(0));
/// let mut averaged = AveragedModel::ema(&model, 0.75);
/// for weight in [4.0, 8.0] {
///     model.weight.value_mut().fill(weight); // a step of an optimizer
///     averaged.update_parameters(&model);
/// }
/// assert_eq!(averaged.module.weight.tensor().to_vec(), [5.0, 5.0]);
///
/// averaged.eval();
/// let y = averaged.forward(&Tensor::ones([1, 2]));
/// ```
#[derive(Clone, Debug, Module)]
#[module(crate = adamant_nn, float = T)]
pub struct AveragedModel<M, T: Float = f32>
where
    M: Module<T>,
{
    /// The number of updates.
    n_averaged: Counter,
    /// The averaged model.
    pub module: M,
    #[module(skip)]
    average: Average,
    #[module(skip)]
    use_buffers: bool,
    #[module(skip)]
    float: std::marker::PhantomData<T>,
}

#[derive(Clone, Copy, Debug)]
enum Average {
    Equal,
    Exponential { decay: f64 },
}

impl<T: Float, M: Module<T> + Clone> AveragedModel<M, T> {
    /// The average with equal weights.
    ///
    /// PyTorch: `AveragedModel(model)`.
    #[must_use]
    pub fn new(model: &M) -> Self {
        Self::of(model, Average::Equal)
    }

    /// The exponential moving average.
    ///
    /// PyTorch: `AveragedModel(model, avg_fn=get_ema_avg_fn(decay))`, where the decay is 0.999 by
    /// default.
    ///
    /// # Panics
    /// If `decay` is not within `[0, 1]`.
    #[must_use]
    #[track_caller]
    pub fn ema(model: &M, decay: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&decay),
            "AveragedModel: decay is {decay:?}; expected a number from 0 to 1"
        );
        Self::of(model, Average::Exponential { decay })
    }

    fn of(model: &M, average: Average) -> Self {
        AveragedModel {
            n_averaged: Counter::default(),
            module: model.clone(),
            average,
            use_buffers: false,
            float: std::marker::PhantomData,
        }
    }
}

impl<T: Float, M: Module<T>> AveragedModel<M, T> {
    /// Whether buffers and counts are averaged too, not copied; default false.
    #[must_use]
    pub fn use_buffers(mut self, on: bool) -> Self {
        self.use_buffers = on;
        self
    }

    /// The number of updates.
    #[must_use]
    pub fn n_averaged(&self) -> i64 {
        self.n_averaged.get()
    }

    /// Updates the average with the model's weights: after an optimizer's step, or at the end of an
    /// epoch. After the first update, the values change in place.
    ///
    /// PyTorch: `averaged.update_parameters(model)`.
    ///
    /// # Panics
    /// If the model does not have the parameters and buffers of the averaged one, with their
    /// shapes. Nothing is changed then.
    #[track_caller]
    pub fn update_parameters(&mut self, model: &M) {
        let (own, other) = (Leaves::of(&self.module), Leaves::of(model));
        assert!(
            own.shapes() == other.shapes(),
            "update_parameters: a model with leaves {:?}; expected those of the averaged one, {:?}",
            other.shapes(),
            own.shapes()
        );
        let n = self.n_averaged();
        let next = |averaged, current| self.average.next(n, averaged, current);
        // Read before the values are taken: until they return, nothing may read a parameter.
        let current: Vec<Tensor<T>> = other.parameters.iter().map(Parameter::tensor).collect();
        let values = take_values("update_parameters", own.parameters.iter());
        for (mut value, current) in values.into_iter().zip(&current) {
            match n {
                0 => value.replace(current.array().clone()), // shared until one of them changes
                _ => update(value.make_mut(), &elements(current), next),
            }
        }
        for (averaged, current) in own.buffers.iter().zip(&other.buffers) {
            let mut value = current.tensor();
            if self.use_buffers {
                let mut averages = averaged.tensor().to_vec();
                update(&mut averages, &elements(&value), next);
                value = Tensor::from_vec(averages, averaged.shape()).expect("as many elements");
            }
            averaged.set(&value);
        }
        for (averaged, current) in own.counters.iter().zip(&other.counters) {
            averaged.set(match self.use_buffers {
                true => self.average.next_count(n, averaged.get(), current.get()),
                false => current.get(),
            });
        }
        self.n_averaged.set(n.saturating_add(1));
    }
}

fn update<T: Float>(averaged: &mut [T], current: &[T], next: impl Fn(T, T) -> T) {
    for (averaged, &current) in averaged.iter_mut().zip(current) {
        *averaged = next(*averaged, current);
    }
}

impl Average {
    /// The average after another update, the first one if `n` is 0.
    fn next<T: Float>(self, n: i64, averaged: T, current: T) -> T {
        match self {
            _ if n == 0 => current,
            Average::Equal => averaged + (current - averaged) / T::from_f64((n + 1) as f64),
            Average::Exponential { decay } => {
                averaged * T::from_f64(decay) + current * T::from_f64(1.0 - decay)
            }
        }
    }

    /// As PyTorch averages a buffer of integers: in `f32`, rounded toward 0.
    fn next_count(self, n: i64, averaged: i64, current: i64) -> i64 {
        self.next(n, averaged as f32, current as f32) as i64
    }
}

impl<T: Float, M: Module<T> + Forward<T>> Forward<T> for AveragedModel<M, T> {
    #[track_caller]
    fn forward(&self, x: &Tensor<T>) -> Tensor<T> {
        self.module.forward(x)
    }
}

/// The leaves that are averaged, a shared one once.
struct Leaves<T: Float> {
    parameters: Vec<Parameter<T>>,
    buffers: Vec<Buffer<T>>,
    counters: Vec<Counter>,
}

impl<T: Float> Leaves<T> {
    fn of(module: &impl Module<T>) -> Self {
        let mut counters = Vec::new();
        module.visit(&mut Path::default(), &mut |_, leaf| {
            if let Leaf::Counter(counter) = leaf {
                counters.push(counter.clone());
            }
        });
        let buffers = module.named_buffers().into_iter().map(|(_, buffer)| buffer).collect();
        Leaves { parameters: module.parameters(), buffers, counters }
    }

    /// The shapes of parameters and buffers, and the number of counters.
    fn shapes(&self) -> (Vec<&[usize]>, Vec<&[usize]>, usize) {
        let parameters = self.parameters.iter().map(Parameter::shape).collect();
        (parameters, self.buffers.iter().map(Buffer::shape).collect(), self.counters.len())
    }
}
