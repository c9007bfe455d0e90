//! The values of states: their sizes, statistics, differences and descriptions.

use crate::text::{count, grouped};
use adamant_tensor::{Array, Value};
use adamant_train::short;
use std::borrow::Cow;

/// The number of elements of an array and of bytes of each.
pub(crate) fn size(value: &Value) -> Option<(usize, usize)> {
    match value {
        Value::F32(array) => Some((array.shape().numel(), 4)),
        Value::F64(array) => Some((array.shape().numel(), 8)),
        Value::I64(array) => Some((array.shape().numel(), 8)),
        _ => None,
    }
}

/// The elements of an array as `f64`; integers above 2⁵³ are rounded.
fn floats(value: &Value) -> Option<Box<dyn Iterator<Item = f64> + '_>> {
    match value {
        Value::F32(array) => Some(Box::new(iter(array).map(f64::from))),
        Value::F64(array) => Some(Box::new(iter(array))),
        Value::I64(array) => Some(Box::new(iter(array).map(|x| x as f64))),
        _ => None,
    }
}

fn iter<E: adamant_tensor::Element>(array: &Array<E>) -> impl Iterator<Item = E> + '_ {
    let elements = array.as_slice().map_or_else(|| Cow::Owned(array.to_vec()), Cow::Borrowed);
    (0..elements.len()).map(move |index| elements[index])
}

/// The type of a value: `f32`, `int`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::F32(_) => "f32",
        Value::F64(_) => "f64",
        Value::I64(_) => "i64",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Text(_) => "text",
    }
}

/// The shape of an array, with the element if there is just one; or the value.
pub(crate) fn shape_or_value(value: &Value) -> String {
    match value {
        Value::F32(array) => with_element(array),
        Value::F64(array) => with_element(array),
        Value::I64(array) => with_element(array),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(value) => format!("{value:?}"),
    }
}

fn with_element<E: adamant_tensor::Element>(array: &Array<E>) -> String {
    match array.shape().numel() {
        1 => format!("{} = {:?}", array.shape(), array.to_vec()[0]),
        _ => array.shape().to_string(),
    }
}

/// A description for a line of its own: `f32 [2, 3]`, `int 7`.
pub(crate) fn describe(value: &Value) -> String {
    format!("{} {}", type_name(value), shape_or_value(value))
}

/// Statistics of the elements of an array.
pub(crate) struct Statistics {
    elements: usize,
    /// Of the finite elements.
    min: f64,
    max: f64,
    mean: f64,
    nans: usize,
    infinities: usize,
}

impl Statistics {
    /// `None` if the value is not an array.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut all = Statistics { elements: 0, min, max, mean: 0.0, nans: 0, infinities: 0 };
        let mut finite = 0.0;
        for x in floats(value)? {
            all.elements += 1;
            if x.is_finite() {
                finite += 1.0;
                all.min = all.min.min(x);
                all.max = all.max.max(x);
                all.mean += (x - all.mean) / finite; // a sum might overflow
            } else if x.is_nan() {
                all.nans += 1;
            } else {
                all.infinities += 1;
            }
        }
        Some(all)
    }

    /// The range and the mean of the finite elements; empty if there are none.
    pub(crate) fn range(&self) -> String {
        match self.min <= self.max {
            true => {
                let [min, max, mean] = [self.min, self.max, self.mean].map(short);
                format!("{min} to {max}, mean {mean}")
            }
            false => String::new(),
        }
    }

    /// The numbers of elements that are not finite; `None` if all are.
    pub(crate) fn not_finite(&self) -> Option<String> {
        let kinds = [(self.nans, "NaN"), (self.infinities, "infinite")];
        let found = kinds.iter().filter(|(n, _)| *n > 0);
        let found: Vec<String> =
            found.map(|(n, kind)| format!("{} {kind}", grouped(*n as u64))).collect();
        let of = count(self.elements, "element");
        (!found.is_empty()).then(|| format!("{} of {of}", found.join(" and ")))
    }
}

/// Describes how two unequal values differ.
pub(crate) fn difference(a: &Value, b: &Value) -> String {
    let different = match (a, b) {
        (Value::F32(a), Value::F32(b)) => different(a, b, |x, y| x.to_bits() != y.to_bits()),
        (Value::F64(a), Value::F64(b)) => different(a, b, |x, y| x.to_bits() != y.to_bits()),
        (Value::I64(a), Value::I64(b)) => different(a, b, |x, y| x != y),
        _ => None,
    };
    let (Some(different), Some(x), Some(y)) = (different, floats(a), floats(b)) else {
        return format!("{} and {}", describe(a), describe(b));
    };
    let (mut most, mut nans) = (None, 0);
    for (x, y) in x.zip(y) {
        let difference = (x - y).abs();
        if x.is_nan() != y.is_nan() {
            nans += 1;
        } else if difference >= most.unwrap_or(0.0) {
            most = Some(difference);
        }
    }
    let elements = size(a).map_or(0, |(elements, _)| elements);
    let mut text = format!(
        "{}  {} of {} differ",
        a.kind(),
        grouped(different as u64),
        grouped(elements as u64)
    );
    if nans < different {
        text += &format!(", by up to {}", short(most.unwrap_or(0.0)));
    }
    if nans > 0 {
        text += &format!(", {} between NaN and a number", grouped(nans as u64));
    }
    text
}

/// The number of elements that differ; `None` if the shapes do.
fn different<E: adamant_tensor::Element>(
    a: &Array<E>,
    b: &Array<E>,
    differ: impl Fn(E, E) -> bool,
) -> Option<usize> {
    let pairs = || iter(a).zip(iter(b));
    (a.shape() == b.shape()).then(|| pairs().filter(|(x, y)| differ(*x, *y)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_tensor::Tensor;

    #[test]
    fn statistics_are_those_of_the_finite_elements() {
        let of = |x: Tensor<f64>| Statistics::of(&Value::from(x)).unwrap();
        let found = of(Tensor::from([[1.0, f64::NAN], [f64::INFINITY, -4.0]]));
        assert_eq!(found.range(), "-4 to 1, mean -1.5");
        assert_eq!(found.not_finite().unwrap(), "1 NaN and 1 infinite of 4 elements");
        let found = of(Tensor::from([f64::MAX, f64::MAX]));
        assert_eq!(found.range(), "1.798e308 to 1.798e308, mean 1.798e308");
        assert_eq!(found.not_finite(), None);
        let nothing = of(Tensor::zeros([0]));
        assert_eq!((nothing.range(), nothing.not_finite()), (String::new(), None));
        assert!(Statistics::of(&Value::from(1.0)).is_none());
    }

    #[test]
    fn differences_count_bits_and_name_the_largest() {
        let value = |x: [f32; 4]| Value::from(Tensor::from(x));
        let a = value([1.0, 0.0, 0.0, f32::NAN]);
        let b = value([1.5, -0.0, -0.0, f32::NAN]);
        assert_eq!(difference(&a, &b), "f32 [4]  3 of 4 differ, by up to 0.5");
        let c = value([f32::NAN, 0.0, 0.0, f32::NAN]);
        let expected = "f32 [4]  1 of 4 differ, 1 between NaN and a number";
        assert_eq!(difference(&a, &c), expected);
        let d = value([1.0, f32::NAN, -3.0, f32::INFINITY]);
        let expected = "f32 [4]  3 of 4 differ, by up to 3, 2 between NaN and a number";
        assert_eq!(difference(&a, &d), expected);
        assert_eq!(difference(&a, &Value::from(7)), "f32 [4] and int 7");
        let one = Value::from(Tensor::from([2.5f64]));
        assert_eq!(difference(&a, &one), "f32 [4] and f64 [1] = 2.5");
    }
}
