//! Random tensors and indices. Every function takes the generator as an argument.

use crate::arrays::array::Array;
use crate::arrays::indices::Indices;
use crate::arrays::shape::Shape;
use crate::state::generator::{Generator, unit};
use crate::tape::record::record;
use crate::tape::tensor::Tensor;
use adamant_kernels::Float;

impl<T: Float> Tensor<T> {
    /// Elements drawn uniformly from `[0, 1)`: multiples of 2⁻²⁴ for `f32`, of 2⁻⁵³ for `f64`.
    ///
    /// PyTorch: `torch.rand(shape, generator=rng)`.
    ///
    /// ```
    /// use adamant_tensor::{Generator, Tensor};
    /// let x = Tensor::<f32>::rand([2, 3], &mut Generator::seed(0));
    /// assert!(x.to_vec().iter().all(|x| (0.0..1.0).contains(x)));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>, rng: &mut Generator) -> Self {
        standard_uniform("rand", shape.into(), rng)
    }

    /// Elements drawn from the normal distribution with mean 0 and variance 1.
    ///
    /// PyTorch: `torch.randn(shape, generator=rng)`.
    ///
    /// ```
    /// use adamant_tensor::{Generator, Tensor};
    /// let x = Tensor::<f32>::randn([2, 3], &mut Generator::seed(0));
    /// assert_eq!(x.to_vec(), Tensor::<f32>::randn([2, 3], &mut Generator::seed(0)).to_vec());
    /// ```
    #[must_use]
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>, rng: &mut Generator) -> Self {
        standard_normal("randn", shape.into(), rng)
    }

    /// Elements drawn uniformly from `[low, high)`; rounding may yield `high`.
    ///
    /// PyTorch: `torch.empty(shape).uniform_(low, high, generator=rng)`.
    ///
    /// # Panics
    /// If `low` is above `high`, or one of them or their difference is not finite in `T`.
    ///
    /// ```
    /// use adamant_tensor::{Generator, Tensor};
    /// let x = Tensor::<f32>::uniform([100], -0.5, 2.0, &mut Generator::seed(0));
    /// assert!(x.to_vec().iter().all(|x| (-0.5..=2.0).contains(x)));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64, rng: &mut Generator) -> Self {
        let finite = |x: f64| T::from_f64(x).is_finite();
        assert!(
            low <= high && finite(low) && finite(high) && finite(high - low),
            "uniform: low is {low} and high is {high}; expected finite numbers of {} at a finite \
             distance, low not above high",
            T::DTYPE
        );
        let scaled = |bits| T::from_f64(low + (high - low) * unit(bits));
        Array::build("uniform", shape.into(), |out| rng.fill(out, scaled)).into()
    }

    /// For each element `p` of this tensor: 1 with probability `p`, otherwise 0.
    ///
    /// Gradient: 0. PyTorch: `torch.bernoulli(x, generator=rng)`.
    ///
    /// # Panics
    /// If an element is not a probability from 0 to 1.
    ///
    /// ```
    /// use adamant_tensor::{Generator, Tensor};
    /// let p = Tensor::<f32>::from([0.0, 1.0]);
    /// assert_eq!(p.bernoulli(&mut Generator::seed(0)).to_vec(), [0.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn bernoulli(&self, rng: &mut Generator) -> Tensor<T> {
        let (shape, p) = (self.array.shape(), self.array.contiguous("bernoulli"));
        let is_probability = |p: T| (T::ZERO..=T::ONE).contains(&p); // so NaN is not one
        if let Some(position) = p.contiguous_slice().iter().position(|&p| !is_probability(p)) {
            panic!(
                "bernoulli: element {position} of a tensor of shape {shape} is {}; expected \
                 probabilities, from 0 to 1",
                p.contiguous_slice()[position]
            );
        }
        let value = Array::build("bernoulli", shape.clone(), |out| {
            for (out, &p) in out.iter_mut().zip(p.contiguous_slice()) {
                // Draws are in [0, 1), so the outcomes for p = 0 and p = 1 are certain.
                *out = if rng.uniform() < p.to_f64() { T::ONE } else { T::ZERO };
            }
        });
        record("bernoulli", [self], value, |ctx| [Some(ctx.grad().zeros_like())])
    }

    /// [`rand`](Tensor::rand) with the shape of this tensor.
    ///
    /// PyTorch: `torch.rand_like(x)`.
    #[must_use]
    #[track_caller]
    pub fn rand_like(&self, rng: &mut Generator) -> Self {
        standard_uniform("rand_like", self.array.shape().clone(), rng)
    }

    /// [`randn`](Tensor::randn) with the shape of this tensor.
    ///
    /// PyTorch: `torch.randn_like(x)`.
    #[must_use]
    #[track_caller]
    pub fn randn_like(&self, rng: &mut Generator) -> Self {
        standard_normal("randn_like", self.array.shape().clone(), rng)
    }
}

#[track_caller]
fn standard_uniform<T: Float>(op: &str, shape: Shape, rng: &mut Generator) -> Tensor<T> {
    // With the precision of T, a draw is not rounded, so it is never 1.
    let bits = if size_of::<T>() == size_of::<f32>() { 24 } else { 53 };
    let draw = move |word: u64| T::from_f64((word >> (64 - bits)) as f64 * 0.5f64.powi(bits));
    Array::build(op, shape, |out| rng.fill(out, draw)).into()
}

#[track_caller]
fn standard_normal<T: Float>(op: &str, shape: Shape, rng: &mut Generator) -> Tensor<T> {
    Array::build(op, shape, |out| out.fill_with(|| T::from_f64(rng.normal()))).into()
}

impl Indices {
    /// Integers drawn uniformly from `low .. high`.
    ///
    /// PyTorch: `torch.randint(low, high, shape, generator=rng)`.
    ///
    /// # Panics
    /// If `low` is not below `high`.
    ///
    /// ```
    /// use adamant_tensor::{Generator, Indices};
    /// let i = Indices::randint(3, 5, [2, 2], &mut Generator::seed(0));
    /// assert!(i.to_vec().iter().all(|i| (3..5).contains(i)));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn randint(
        low: usize,
        high: usize,
        shape: impl Into<Shape>,
        rng: &mut Generator,
    ) -> Indices {
        assert!(low < high, "randint: low is {low} and high is {high}; expected low below high");
        let draw = || low + rng.below(high - low);
        Indices { array: Array::build("randint", shape.into(), |out| out.fill_with(draw)) }
    }

    /// A random permutation of `0 .. n`, all permutations being equally likely.
    ///
    /// PyTorch: `torch.randperm(n, generator=rng)`.
    ///
    /// ```
    /// use adamant_tensor::{Generator, Indices};
    /// let mut i = Indices::randperm(4, &mut Generator::seed(0)).to_vec();
    /// i.sort();
    /// assert_eq!(i, [0, 1, 2, 3]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn randperm(n: usize, rng: &mut Generator) -> Indices {
        let array = Array::build("randperm", [n].into(), |out| {
            out.iter_mut().enumerate().for_each(|(i, out)| *out = i);
            rng.shuffle(out);
        });
        Indices { array }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
        let values: Vec<f64> = values.into_iter().collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn rand_of_f32_is_a_multiple_of_its_precision_and_never_1() {
        let x = Tensor::<f32>::rand([100_000], &mut Generator::seed(1)).to_vec();
        assert!(x.iter().all(|x| (0.0..1.0).contains(x) && (x * 24f32.exp2()).fract() == 0.0));
        assert!((mean(x.iter().map(|&x| f64::from(x))) - 0.5).abs() < 5e-3);
        let exact = Tensor::<f64>::rand([100_000], &mut Generator::seed(1)).to_vec();
        // Rounding these to f32 would sometimes yield 1; truncating does not.
        let cut = |x: f64| (x * 24f64.exp2()).floor() * (-24f64).exp2();
        assert!(x.iter().zip(exact).all(|(&x, exact)| f64::from(x) == cut(exact)));
    }

    #[test]
    fn bernoulli_has_its_probabilities() {
        let rng = &mut Generator::seed(2);
        let p = Tensor::<f32>::from([0.0, 0.2, 1.0]).broadcast_to([50_000, 3]);
        let drawn = p.bernoulli(rng);
        assert!(drawn.to_vec().iter().all(|&x| x == 0.0 || x == 1.0));
        let means = (drawn.sum_dim(0) / 50_000.0).to_vec();
        assert_eq!((means[0], means[2]), (0.0, 1.0));
        assert!((means[1] - 0.2).abs() < 1e-2, "{means:?}");
        assert_eq!(Tensor::<f32>::zeros([0, 2]).bernoulli(rng).shape(), [0, 2]);
        let p = Tensor::<f32>::from([0.5, 0.5]).requires_grad();
        p.bernoulli(rng).sum().backward();
        assert_eq!(p.grad().unwrap().to_vec(), [0.0, 0.0]); // as in PyTorch
    }

    #[test]
    #[should_panic(expected = "bernoulli: element 2 of a tensor of shape [3] is 1.5; expected")]
    fn a_value_outside_0_to_1_is_refused() {
        let _ = Tensor::<f32>::from([0.0, 1.0, 1.5]).bernoulli(&mut Generator::seed(0));
    }

    #[test]
    #[should_panic(expected = "bernoulli: element 0 of a tensor of shape [] is NaN; expected")]
    fn nan_is_not_a_probability() {
        let _ = Tensor::<f32>::from(f32::NAN).bernoulli(&mut Generator::seed(0));
    }

    #[test]
    fn uniform_checks_its_range_as_pytorch_does() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let f32s = |(low, high): (f64, f64)| Tensor::<f32>::uniform([3], low, high, &mut seed(0));
        let f64s = |(low, high): (f64, f64)| Tensor::<f64>::uniform([3], low, high, &mut seed(0));
        fn seed(seed: u64) -> Generator {
            Generator::seed(seed)
        }
        for range in [(1.0, 0.0), (nan, 1.0), (0.0, nan), (-inf, -inf), (0.0, inf), (0.0, 1e39)] {
            let error = std::panic::catch_unwind(|| f32s(range)).unwrap_err();
            let error = error.downcast::<String>().unwrap();
            let (low, high) = range;
            assert!(error.contains(&format!("low is {low} and high is {high}")), "{error}");
        }
        assert!(std::panic::catch_unwind(|| f32s((-3e38, 3e38))).is_err());
        assert!(std::panic::catch_unwind(|| f64s((-1e308, 1e308))).is_err());
        assert!(f64s((-3e38, 3e38)).to_vec().iter().all(|x| x.abs() <= 3e38));
        assert_eq!(f32s((2.0, 2.0)).to_vec(), [2.0; 3]);
    }

    #[test]
    fn randint_is_uniform() {
        let drawn = Indices::randint(2, 5, [30_000], &mut Generator::seed(3)).to_vec();
        for number in 2..5 {
            let count = drawn.iter().filter(|&&i| i == number).count();
            assert!(count.abs_diff(10_000) < 400, "{number}: {count}");
        }
        assert!(drawn.iter().all(|i| (2..5).contains(i)));
    }

    #[test]
    #[should_panic(expected = "randint: low is 3 and high is 3; expected low below high")]
    fn an_empty_range_is_refused() {
        let _ = Indices::randint(3, 3, [2], &mut Generator::seed(0));
    }

    #[test]
    fn randperm_is_uniform() {
        let rng = &mut Generator::seed(4);
        assert_eq!(Indices::randperm(0, rng).shape(), [0]);
        let mut sums = [0; 4];
        for _ in 0..4_000 {
            let order = Indices::randperm(4, rng).to_vec();
            assert!((0..4).all(|i| order.contains(&i)));
            sums.iter_mut().zip(order).for_each(|(sum, i)| *sum += i);
        }
        assert!(sums.iter().all(|sum| sum.abs_diff(6_000) < 300), "{sums:?}");
    }

    #[test]
    fn like_constructors_keep_the_shape() {
        let rng = &mut Generator::seed(5);
        let x = Tensor::<f64>::zeros([2, 3]);
        assert_eq!((x.rand_like(rng).shape(), x.randn_like(rng).shape()), (x.shape(), x.shape()));
    }
}
