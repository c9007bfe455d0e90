//! Creating tensors: filled with a constant, counted up, or written by the caller.

use crate::arrays::array::Array;
use crate::arrays::error::ShapeError;
use crate::arrays::indices::Indices;
use crate::arrays::shape::Shape;
use crate::tape::tensor::Tensor;
use adamant_kernels::{Float, simd};

impl<T: Float> Tensor<T> {
    /// A tensor of these elements, in row-major order.
    ///
    /// For literals in a program there is [`Tensor::from`]. PyTorch:
    /// `torch.tensor(values).reshape(shape)`.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert!(Tensor::from_vec(vec![1.0f32], [2, 2]).is_err());
    /// ```
    #[track_caller]
    pub fn from_vec(values: Vec<T>, shape: impl Into<Shape>) -> Result<Self, ShapeError> {
        let shape = ShapeError::check(values.len(), shape.into())?;
        Ok(Array::from_slice_for("from_vec", shape, &values).into())
    }

    /// A tensor of shape `[]`: a single element.
    ///
    /// PyTorch: `torch.tensor(value)`.
    #[must_use]
    pub fn scalar(value: T) -> Self {
        Tensor::full([], value)
    }

    /// A tensor filled with `value`.
    ///
    /// PyTorch: `torch.full(shape, value)`.
    #[must_use]
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        Array::full_for("full", shape.into(), value).into()
    }

    /// A tensor filled with 0.
    ///
    /// PyTorch: `torch.zeros(shape)`.
    #[must_use]
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Array::full_for("zeros", shape.into(), T::ZERO).into()
    }

    /// A tensor filled with 1.
    ///
    /// PyTorch: `torch.ones(shape)`.
    #[must_use]
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Self {
        Array::full_for("ones", shape.into(), T::ONE).into()
    }

    /// A tensor whose elements `fill` writes in row-major order, for example a batch of samples,
    /// without a copy. The slice holds arbitrary values before, and `fill` must write each of them.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::build([2, 2], |out: &mut [f32]| out.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]));
    /// assert_eq!(x.to_vec(), [1.0, 2.0, 3.0, 4.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn build(shape: impl Into<Shape>, fill: impl FnOnce(&mut [T])) -> Self {
        Array::build("build", shape.into(), fill).into()
    }

    /// The `[n, n]` matrix with 1 on the diagonal and 0 elsewhere.
    ///
    /// PyTorch: `torch.eye(n)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::eye(2).to_vec(), [1.0, 0.0, 0.0, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn eye(n: usize) -> Self {
        eye("eye", n, n)
    }

    /// The `[rows, columns]` matrix with 1 on the diagonal and 0 elsewhere.
    ///
    /// PyTorch: `torch.eye(rows, columns)`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// let x = Tensor::<f32>::eye_rectangular(2, 3);
    /// assert_eq!(x.to_vec(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn eye_rectangular(rows: usize, columns: usize) -> Self {
        eye("eye_rectangular", rows, columns)
    }

    /// The values `start + i step` before `end`, for i = 0, 1, …: ⌈(end − start) / step⌉ elements,
    /// computed in `f64` and rounded once.
    ///
    /// PyTorch: `torch.arange(start, end, step)`.
    ///
    /// # Panics
    /// If `step` is 0 or leads away from `end`, an argument is not finite, or there are too many
    /// elements.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::arange(0.0, 3.0, 1.0).to_vec(), [0.0, 1.0, 2.0]);
    /// assert_eq!(Tensor::<f32>::arange(1.0, 0.0, -0.25).to_vec(), [1.0, 0.75, 0.5, 0.25]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn arange(start: f64, end: f64, step: f64) -> Self {
        let range = format_args!("arange: from {start} to {end} in steps of {step}").to_string();
        assert!(
            [start, end, step].iter().all(|x| x.is_finite()),
            "{range}: expected finite numbers"
        );
        assert!(step != 0.0, "{range}: expected a step that is not 0");
        assert!(
            start == end || (start < end) == (step > 0.0),
            "{range}: the steps lead away from the end"
        );
        let len = ((end - start) / step).ceil();
        let fits = len < isize::MAX as f64 && Shape::from([len as usize]).checked_numel().is_some();
        assert!(fits, "{range}: these are too many elements, {len}");
        let value = Array::build("arange", [len as usize].into(), |out| {
            count_up(out, |i| T::from_f64(step.mul_add(i, start)));
        });
        value.into()
    }

    /// `steps` equally spaced values from `start` to `end`, both included.
    ///
    /// The upper half is counted down from `end`, which is therefore exact. Where `end − start`
    /// overflows `T`, the values are infinite and NaN, as in PyTorch.
    ///
    /// PyTorch: `torch.linspace(start, end, steps)`.
    ///
    /// # Panics
    /// If `start` or `end` is finite, but not when rounded to `T`.
    ///
    /// ```
    /// use adamant_tensor::Tensor;
    /// assert_eq!(Tensor::<f32>::linspace(0.0, 1.0, 5).to_vec(), [0.0, 0.25, 0.5, 0.75, 1.0]);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn linspace(start: f64, end: f64, steps: usize) -> Self {
        for (name, x) in [("start", start), ("end", end)] {
            assert!(
                T::from_f64(x).is_finite() || !x.is_finite(),
                "linspace: {name} is {x}; expected a number that {} can hold",
                T::DTYPE
            );
        }
        let (start, end) = (T::from_f64(start), T::from_f64(end));
        if steps < 2 {
            return Tensor::full([steps], start);
        }
        let value = Array::build("linspace", [steps].into(), |out| {
            let last = (steps - 1) as f64;
            let step = (end - start) / T::from_f64(last);
            let (lower, upper) = out.split_at_mut(steps / 2);
            let first = lower.len() as f64;
            count_up(lower, |i| step.mul_add(T::from_f64(i), start));
            count_up(upper, |i| (-step).mul_add(T::from_f64(last - (first + i)), end));
        });
        value.into()
    }

    /// A tensor of this shape, filled with 0.
    ///
    /// PyTorch: `torch.zeros_like(x)`.
    #[must_use]
    #[track_caller]
    pub fn zeros_like(&self) -> Self {
        Array::full_for("zeros_like", self.array.shape().clone(), T::ZERO).into()
    }

    /// A tensor of this shape, filled with 1.
    ///
    /// PyTorch: `torch.ones_like(x)`.
    #[must_use]
    #[track_caller]
    pub fn ones_like(&self) -> Self {
        Array::full_for("ones_like", self.array.shape().clone(), T::ONE).into()
    }

    /// A tensor of this shape, filled with `value`.
    ///
    /// PyTorch: `torch.full_like(x, value)`.
    #[must_use]
    #[track_caller]
    pub fn full_like(&self, value: T) -> Self {
        Array::full_for("full_like", self.array.shape().clone(), value).into()
    }
}

#[track_caller]
fn eye<T: Float>(op: &str, rows: usize, columns: usize) -> Tensor<T> {
    let value = Array::build(op, [rows, columns].into(), |out| {
        out.fill(T::ZERO);
        // At most one element per column: the step after the last would wrap to the next row.
        let diagonal = out.iter_mut().step_by(columns + 1).take(columns);
        diagonal.for_each(|out| *out = T::ONE);
    });
    value.into()
}

/// Writes `f(i)` at each index `i`.
#[track_caller]
fn count_up<T: Float>(out: &mut [T], f: impl Fn(f64) -> T) {
    simd!(|| out.iter_mut().enumerate().for_each(|(i, out)| *out = f(i as f64)));
}

impl Indices {
    /// For each index a row of `classes` elements: 1 at the index, 0 elsewhere.
    /// `[…] → […, classes]`.
    ///
    /// PyTorch: `torch.nn.functional.one_hot(x, classes).to(dtype)`.
    ///
    /// # Panics
    /// If an index is not below `classes`.
    ///
    /// ```
    /// use adamant_tensor::{Indices, Tensor};
    /// let x: Tensor = Indices::from([2, 0]).one_hot(3);
    /// assert_eq!((x.shape(), x.to_vec()), (&[2, 3][..], vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0]));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn one_hot<T: Float>(&self, classes: usize) -> Tensor<T> {
        if let Some((position, index)) = self.find_outside("one_hot", classes) {
            panic!(
                "one_hot: index {index} at position {position} of indices of shape {}; expected \
                 less than {classes}, the number of classes",
                self.array.shape()
            );
        }
        let shape: Shape = self.shape().iter().copied().chain([classes]).collect();
        let indices = self.array.contiguous("one_hot");
        let value = Array::build("one_hot", shape, |out| {
            out.fill(T::ZERO);
            for (row, &index) in indices.contiguous_slice().iter().enumerate() {
                out[row * classes + index] = T::ONE;
            }
        });
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "zeros: out of memory: a tensor of shape [1099511627776, 64] takes")]
    fn a_tensor_larger_than_memory_is_refused() {
        let _ = Tensor::<f32>::zeros([1 << 40, 64]);
    }

    #[test]
    fn a_wrong_length_reports_both_sizes() {
        let error = Tensor::from_vec(vec![1.0f32; 5], [2, 3]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of shape [2, 3] has 6 elements, but 5 were given");
    }

    #[test]
    fn eye_has_a_diagonal_in_every_shape() {
        for (rows, columns) in [(0, 0), (0, 3), (3, 0), (1, 1), (2, 5), (5, 2), (4, 4)] {
            let x = Tensor::<f64>::eye_rectangular(rows, columns);
            let positions = (0..rows).flat_map(|i| (0..columns).map(move |j| i == j));
            assert_eq!(x.shape(), [rows, columns]);
            assert_eq!(x.to_vec(), positions.map(|on| f64::from(u8::from(on))).collect::<Vec<_>>());
        }
        assert_eq!(Tensor::<f32>::eye(3).sum().item(), 3.0);
    }

    #[test]
    fn arange_stops_before_the_end() {
        let arange = |start, end, step| Tensor::<f64>::arange(start, end, step).to_vec();
        assert_eq!(arange(1.0, 2.5, 0.5), [1.0, 1.5, 2.0]);
        assert_eq!(arange(1.0, 2.6, 0.5), [1.0, 1.5, 2.0, 2.5]);
        assert_eq!(arange(2.0, -1.0, -2.0), [2.0, 0.0]);
        assert_eq!(arange(3.0, 3.0, -1.0), []);
        // Each value is computed from the start, so errors of the steps do not accumulate. These
        // are PyTorch's values.
        let tenths = Tensor::<f32>::arange(0.0, 1.0, 0.1).to_vec();
        assert_eq!(tenths, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        assert_eq!(Tensor::<f32>::arange(0.0, 1e5, 1.0).to_vec()[99_999], 99_999.0);
    }

    #[test]
    fn an_endless_arange_is_refused() {
        let inf = f64::INFINITY;
        for (range, message) in [
            ([0.0, 5.0, 0.0], "from 0 to 5 in steps of 0: expected a step that is not 0"),
            ([0.0, 5.0, -1.0], "from 0 to 5 in steps of -1: the steps lead away from the end"),
            ([5.0, 0.0, 1.0], "from 5 to 0 in steps of 1: the steps lead away from the end"),
            ([0.0, inf, 1.0], "from 0 to inf in steps of 1: expected finite numbers"),
            ([0.0, f64::NAN, 1.0], "from 0 to NaN in steps of 1: expected finite numbers"),
            ([0.0, 1e300, 1e-300], "these are too many elements, inf"),
            ([0.0, 9e18, 1.0], "these are too many elements, 9000000000000000000"),
        ] {
            let [start, end, step] = range;
            let error = std::panic::catch_unwind(|| Tensor::<f32>::arange(start, end, step));
            let error = error.unwrap_err().downcast::<String>().unwrap();
            assert!(error.starts_with("arange: ") && error.contains(message), "{error}");
        }
    }

    // torch.linspace(-1.7, 0.9, 9).view(torch.int32), and the same for doubles
    const LINSPACE_F32: [i32; 9] = [
        -1076258406,
        -1078984704,
        -1081711001,
        -1086744165,
        -1093874484,
        -1114007144,
        1048576000,
        1058222899,
        1063675494,
    ];
    const LINSPACE_F64: [i64; 9] = [
        -4613037098315599053,
        -4614500768194494464,
        -4615964438073389876,
        -4618666597849812174,
        -4622494657533077094,
        -4633303296638766284,
        4598175219545276416,
        4603354359116752486,
        4606281698874543309,
    ];

    #[test]
    fn linspace_matches_pytorch_to_the_bit() {
        let bits = |x: &f32| x.to_bits().cast_signed();
        let x = Tensor::<f32>::linspace(-1.7, 0.9, 9).to_vec();
        assert_eq!(x.iter().map(bits).collect::<Vec<_>>(), LINSPACE_F32);
        let x = Tensor::<f64>::linspace(-1.7, 0.9, 9).to_vec();
        let bits = |x: &f64| x.to_bits().cast_signed();
        assert_eq!(x.iter().map(bits).collect::<Vec<_>>(), LINSPACE_F64);
    }

    #[test]
    fn an_overflowing_linspace_follows_pytorch() {
        // torch.linspace(-3e38, 3e38, 5) is [nan, inf, -inf, -inf, nan]: the step is infinite.
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for (ends, steps, expected) in [
            ((-3e38, 3e38), 5, vec![nan, inf, -inf, -inf, nan]),
            ((-3e38, 3e38), 2, vec![nan, nan]),
            ((-3e38, 3e38), 1, vec![-3e38]),
            ((-f64::INFINITY, 0.0), 1, vec![-inf]),
            ((0.0, f64::INFINITY), 5, vec![nan, inf, nan, nan, nan]),
            ((f64::INFINITY, 0.0), 5, vec![nan, nan, inf, inf, nan]),
            ((f64::NAN, 1.0), 3, vec![nan; 3]),
        ] {
            let found = Tensor::<f32>::linspace(ends.0, ends.1, steps).to_vec();
            let same = |(x, y): (&f32, &f32)| x == y || x.is_nan() && y.is_nan();
            assert!(found.iter().zip(&expected).all(same), "{ends:?}: {found:?} {expected:?}");
        }
        let x = Tensor::<f64>::linspace(-3e38, 3e38, 3).to_vec();
        assert_eq!(x, [-3e38, 0.0, 3e38]);
    }

    #[test]
    #[should_panic(expected = "linspace: end is 1000000000000000000000")]
    fn linspace_bounds_must_fit_the_type() {
        let _ = Tensor::<f32>::linspace(0.0, 1e39, 5);
    }

    #[test]
    fn linspace_is_increasing_and_ends_exactly() {
        for steps in [2, 3, 7, 1000] {
            let x = Tensor::<f32>::linspace(0.1, 0.7, steps).to_vec();
            assert_eq!((x.len(), x[0], x[steps - 1]), (steps, 0.1, 0.7));
            assert!(x.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_eq!(Tensor::<f32>::linspace(0.1, 0.7, 1).to_vec(), [0.1]);
        assert_eq!(Tensor::<f32>::linspace(0.1, 0.7, 0).shape(), [0]);
    }

    #[test]
    fn one_hot_of_any_shape() {
        assert_eq!(Indices::from(1).one_hot::<f64>(2).to_vec(), [0.0, 1.0]);
        let x = Indices::from([[0, 1], [1, 1]]).one_hot::<f32>(2);
        assert_eq!(x.shape(), [2, 2, 2]);
        assert_eq!(x.to_vec(), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(Indices::from([0; 0]).one_hot::<f32>(3).shape(), [0, 3]);
    }

    #[test]
    #[should_panic(expected = "one_hot: index 3 at position 1 of indices of shape [2]; \
                               expected less than 3")]
    fn an_index_past_the_classes_is_refused() {
        let _ = Indices::from([0, 3]).one_hot::<f32>(3);
    }

    #[test]
    fn like_constructors_keep_only_the_shape() {
        let x = Tensor::<f32>::ones([2, 3]).t();
        assert_eq!(x.zeros_like().shape(), [3, 2]);
        assert_eq!(x.ones_like().to_vec(), [1.0; 6]);
        assert_eq!(x.full_like(7.0).to_vec(), [7.0; 6]);
        assert!(!x.requires_grad().zeros_like().is_tracked());
    }
}
