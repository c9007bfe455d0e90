//! The value of a parameter as it is stored: in full, or rounded to fewer bits.

use crate::arrays::array::Array;
use crate::arrays::layout::Layout;
use crate::arrays::shape::Shape;
use adamant_kernels::{self as kernels, Bf16, Float, Matrix, gemm, gemm_bf16};
use std::collections::TryReserveError;
use std::ops::Range;

/// How a [`Parameter`](crate::Parameter) stores its value: see
/// [`store_as`](crate::Parameter::store_as).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// The elements as they are; the default.
    #[default]
    Full,
    /// BF16: each element rounded to 8 bits of precision, in two bytes. Exact for weights from a BF16
    /// file.
    Bf16,
}

/// A value for a parameter, from [`Parameter::new_value`](crate::Parameter::new_value) or an array.
pub struct NewValue<T: Float>(pub(crate) Stored<T>);

impl<T: Float> From<Array<T>> for NewValue<T> {
    fn from(array: Array<T>) -> Self {
        NewValue(Stored::Full(array))
    }
}

/// A value under one of the [`Storage`]s.
pub(crate) enum Stored<T: Float> {
    Full(Array<T>),
    Bf16(Array<Bf16>),
}

impl<T: Float> Stored<T> {
    pub(crate) fn storage(&self) -> Storage {
        match self {
            Stored::Full(_) => Storage::Full,
            Stored::Bf16(_) => Storage::Bf16,
        }
    }

    pub(crate) fn shape(&self) -> &Shape {
        match self {
            Stored::Full(array) => array.shape(),
            Stored::Bf16(array) => array.shape(),
        }
    }

    /// `rows` of this matrix: a view.
    pub(crate) fn rows(&self, rows: &Range<usize>) -> Self {
        let layout = |layout: &Layout| layout.slice(0, rows.start, rows.len(), 1);
        match self {
            Stored::Full(array) => Stored::Full(array.with_layout(layout(array.layout()))),
            Stored::Bf16(array) => Stored::Bf16(array.with_layout(layout(array.layout()))),
        }
    }

    /// The transpose of this matrix: a view.
    pub(crate) fn transpose(&self) -> Self {
        match self {
            Stored::Full(array) => Stored::Full(array.permute(&[1, 0])),
            Stored::Bf16(array) => Stored::Bf16(array.permute(&[1, 0])),
        }
    }

    /// `C ← A B + β C`, where B is this matrix.
    pub(crate) fn product(&self, a: Matrix<'_, T>, beta: T, c: &mut [T]) {
        match self {
            Stored::Full(b) => gemm(a, b.matrix(), beta, c),
            Stored::Bf16(b) => gemm_bf16(a, b.matrix(), beta, c),
        }
    }

    /// The elements of a value in full, under `storage`. If there is no memory to round them, they
    /// stay as they are, so that this can be used in destructors.
    pub(crate) fn new(array: Array<T>, storage: Storage) -> Self {
        match storage {
            Storage::Full => Stored::Full(array),
            Storage::Bf16 => round(&array).map_or(Stored::Full(array), Stored::Bf16),
        }
    }

    /// The same value under another storage.
    #[track_caller]
    pub(crate) fn stored_as(self, storage: Storage) -> Self {
        if self.storage() == storage { self } else { Stored::new(self.widen("store_as"), storage) }
    }

    /// The elements in full, for operation `op`.
    #[track_caller]
    pub(crate) fn widen(self, op: &str) -> Array<T> {
        match self {
            Stored::Full(array) => array,
            Stored::Bf16(array) => widen(&array, op),
        }
    }

    /// Replaces the value by the elements of `array`, stored in the same way. Leaves in `array` what is
    /// not needed any more.
    pub(crate) fn replace(&mut self, array: &mut Array<T>) {
        match self {
            Stored::Full(value) => std::mem::swap(value, array),
            Stored::Bf16(_) => *self = Stored::new(array.clone(), Storage::Bf16),
        }
    }

    /// The elements to write to, in row-major order. Copies them first if they are shared; widens
    /// them for good.
    #[track_caller]
    pub(crate) fn make_mut(&mut self) -> &mut [T] {
        if let Stored::Bf16(array) = self {
            *self = Stored::Full(widen(array, "Parameter"));
        }
        let Stored::Full(array) = self else { unreachable!("widened above") };
        array.make_mut()
    }
}

impl<T: Float> Clone for Stored<T> {
    fn clone(&self) -> Self {
        match self {
            Stored::Full(array) => Stored::Full(array.clone()),
            Stored::Bf16(array) => Stored::Bf16(array.clone()),
        }
    }
}

/// The elements of `array` in full, for operation `op`.
#[track_caller]
pub(crate) fn widen<T: Float>(array: &Array<Bf16>, op: &str) -> Array<T> {
    array.map(op, |x| x.widen())
}

/// Rounds each element. A value that repeats one element, as before it is loaded, still does.
fn round<T: Float>(array: &Array<T>) -> Result<Array<Bf16>, TryReserveError> {
    let (shape, view) = (array.shape(), array.strided_slice());
    if let Some(&first) = view.data.first()
        && view.strides.iter().all(|&stride| stride == 0)
    {
        return Ok(Array::full([].into(), Bf16::round(first)).broadcast_to(shape));
    }
    Array::try_build(shape.clone(), |out| kernels::map(out, shape, view, Bf16::round))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parameter, Tensor, memory_stats, take_values};
    use std::thread;

    /// The values are not BF16s.
    fn parameter() -> Parameter {
        let parameter = Parameter::new(Tensor::from([1.001f32, -3.003, 0.1]));
        parameter.set_requires_grad(false);
        parameter
    }

    const ROUNDED: [f32; 3] = [1.0, -3.0, 0.100_097_656];

    fn bf16() -> Parameter {
        let parameter = parameter();
        parameter.store_as(Storage::Bf16);
        parameter
    }

    #[test]
    fn a_value_is_rounded_once() {
        let w = bf16();
        assert_eq!((w.storage(), w.tensor().to_vec()), (Storage::Bf16, ROUNDED.to_vec()));
        w.store_as(Storage::Bf16);
        w.store_as(Storage::Full);
        assert_eq!((w.storage(), w.tensor().to_vec()), (Storage::Full, ROUNDED.to_vec()));
    }

    #[test]
    fn thawing_widens() {
        let w = bf16();
        w.set_requires_grad(true);
        assert_eq!(w.storage(), Storage::Full);
        (w.tensor() * 2.0).sum().backward();
        assert_eq!(w.grad().unwrap().to_vec(), [2.0; 3]);
        w.set_requires_grad(false);
        assert_eq!(w.storage(), Storage::Full);
    }

    #[test]
    fn thawing_during_a_write_widens() {
        let w = bf16();
        let mut guard = w.value_mut();
        guard[0] = 1.001;
        w.set_requires_grad(true);
        assert_eq!((w.storage(), w.tensor().to_vec()), (Storage::Full, ROUNDED.to_vec()));
        drop(guard);
        assert_eq!(w.tensor().to_vec(), [1.001, ROUNDED[1], ROUNDED[2]]);
    }

    #[test]
    fn every_write_rounds() {
        let w = bf16();
        let check = |first: f32| {
            assert_eq!((w.storage(), w.tensor().to_vec()[0]), (Storage::Bf16, first));
        };
        w.value_mut()[0] = 2.003;
        check(2.0);
        w.set_value(&Tensor::from([3.003f32, 0.0, 0.0]));
        check(3.0);
        take_values("step", [&w].into_iter())[0].make_mut()[0] = 4.003;
        check(4.0);
        take_values("load", [&w].into_iter())[0].replace(Array::full([3].into(), 5.003));
        check(5.0);
        let value = w.new_value(Array::full([3].into(), 6.003));
        assert_eq!(value.0.storage(), Storage::Bf16);
        take_values("load", [&w].into_iter())[0].replace(value);
        check(6.0);
        drop(take_values("load", [&w].into_iter()));
        check(6.0);
    }

    #[test]
    fn a_value_for_another_storage_is_converted() {
        let w = bf16();
        let value = w.new_value(Array::full([3].into(), 6.003));
        w.set_requires_grad(true);
        take_values("load", [&w].into_iter())[0].replace(value);
        assert_eq!((w.storage(), w.tensor().to_vec()), (Storage::Full, vec![6.0; 3]));
    }

    #[test]
    fn a_copy_keeps_the_storage() {
        let (w, copy) = (bf16(), bf16().copy());
        assert_eq!((copy.storage(), copy.is_tracked()), (Storage::Bf16, false));
        assert_eq!(copy.tensor().to_vec(), w.tensor().to_vec());
        let tracked = Parameter::new(Tensor::from([1.0f32])).copy();
        assert!(tracked.is_tracked() && tracked.storage() == Storage::Full);
    }

    #[test]
    #[should_panic(
        expected = "store_as: Parameter<f32>([1]) requires a gradient; expected a frozen"
    )]
    fn a_tracked_parameter_is_refused() {
        Parameter::new(Tensor::from([1.0f32])).store_as(Storage::Bf16);
    }

    #[test]
    #[should_panic(expected = "store_as: the parameter is already being written to")]
    fn a_guarded_parameter_is_refused() {
        let w = parameter();
        let _guard = w.value_mut();
        w.store_as(Storage::Bf16);
    }

    #[test]
    fn doubles_are_stored_too() {
        let w = Parameter::new(Tensor::from([1.001f64, 1e30]));
        w.set_requires_grad(false);
        w.store_as(Storage::Bf16);
        assert_eq!(w.tensor().to_vec()[0], 1.0);
        assert!((w.tensor().to_vec()[1] / 1e30 - 1.0).abs() < 4e-3);
    }

    #[test]
    fn half_the_memory_is_held() {
        const LEN: usize = 1 << 24; // much more than other tests hold at the same time
        let live = || memory_stats().live_bytes;
        let held_by = |value: fn() -> Tensor| {
            let before = live();
            let w = Parameter::new(value());
            w.set_requires_grad(false);
            w.store_as(Storage::Bf16);
            live().saturating_sub(before)
        };
        assert!(held_by(|| Tensor::zeros([LEN])).abs_diff(2 * LEN) < LEN / 4);
        assert!(held_by(|| Tensor::zeros([1]).broadcast_to([LEN])) < LEN / 4);
    }

    #[test]
    fn a_repeated_element_can_be_multiplied() {
        let w = Parameter::new(Tensor::full([1], 2.0).broadcast_to([3, 2]));
        w.set_requires_grad(false);
        w.store_as(Storage::Bf16);
        assert_eq!(Tensor::<f32>::ones([1, 2]).linear(&w, None).to_vec(), [4.0; 3]);
    }

    #[test]
    fn readers_never_see_a_mixture() {
        let w = Parameter::new(Tensor::<f32>::zeros([1000]));
        w.set_requires_grad(false);
        w.store_as(Storage::Bf16);
        thread::scope(|scope| {
            scope.spawn(|| {
                for step in 0..200u8 {
                    match step % 4 {
                        0 => w.value_mut().fill(step.into()),
                        1 => w.set_value(&Tensor::full([1000], step.into())),
                        2 => take_values("step", [&w].into_iter())[0].make_mut().fill(step.into()),
                        _ => {
                            w.set_requires_grad(true);
                            w.set_requires_grad(false);
                            w.store_as(Storage::Bf16);
                        }
                    }
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0.0;
                    while last < 198.0 {
                        let x = w.tensor().to_vec();
                        assert!(x.iter().all(|&element| element == x[0]) && x[0] >= last);
                        last = x[0];
                    }
                });
            }
        });
    }
}
