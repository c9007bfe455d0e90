//! Standardization of tensors.

use super::statistics::Statistics;
use crate::value_error::ValueError;
use adamant_tensor::{
    Array, Dim, Float, Mismatch, Shape, StateDict, StateError, Stateful, Tensor, Value,
};

/// Standardizes each feature: `y = (x − mean) / std`, with the mean and the standard deviation of
/// the training data. A constant feature is not scaled.
///
/// The features are the indices of one dimension, the last unless [`dim`](Standardize::dim) is
/// another. A tensor `[N]` is one feature, such as the targets of a regression. A fresh
/// `Standardize` takes the statistics from a state, in a program that only predicts.
///
/// scikit-learn: `StandardScaler`.
///
/// ```
/// use adamant_data::Standardize;
/// use adamant_tensor::{Stateful, Tensor};
/// let x = Tensor::from([[1.0f32, 10.0], [3.0, 10.0]]);
/// let mut standardize = Standardize::new();
/// standardize.fit(&x).unwrap();
/// let y = standardize.transform(&x);
/// assert_eq!(y.to_vec(), [-1.0, 0.0, 1.0, 0.0]);
/// assert_eq!(standardize.inverse(&y).to_vec(), x.to_vec());
///
/// let mut loaded = Standardize::new();
/// loaded.load_state_dict(&standardize.state_dict()).unwrap();
/// assert_eq!(loaded.transform(&x).to_vec(), y.to_vec());
/// ```
#[derive(Clone, Debug)]
pub struct Standardize {
    /// As given: negative from the back.
    dim: isize,
    /// Of each feature.
    statistics: Option<Vec<Statistics>>,
}

impl Default for Standardize {
    fn default() -> Self {
        Self::new()
    }
}

impl Standardize {
    /// One that is to be fitted, or to load a state.
    #[must_use]
    pub fn new() -> Self {
        Standardize { dim: -1, statistics: None }
    }

    /// The dimension of the features, such as 1 for the channels of images `[N, C, H, W]`; default:
    /// the last.
    #[must_use]
    pub fn dim(mut self, dim: impl Dim) -> Self {
        self.dim = dim.signed();
        self
    }

    /// Computes mean and standard deviation of each feature.
    ///
    /// # Errors
    /// If there are no values, or one is infinite or NaN. Nothing is changed then.
    ///
    /// # Panics
    /// If `x` does not have the dimension.
    #[track_caller]
    pub fn fit<T: Float>(&mut self, x: &Tensor<T>) -> Result<(), ValueError> {
        let [outer, features, inner] = self.split("fit", x.shape());
        let copy;
        let values = match x.array().as_slice() {
            Some(values) => values,
            None => {
                copy = x.to_vec();
                &copy
            }
        };
        let finite = |x: &T| x.to_f64().is_finite();
        if let Some(index) = values.iter().position(|x| !finite(x)) {
            let found = format!("{}", values[index].to_f64());
            return Err(ValueError::new(format!("element {index}"), found, "a finite number"));
        }
        let statistics = (0..features).map(|feature| {
            let rows = (0..outer).map(|row| (row * features + feature) * inner);
            let values = rows.flat_map(|start| &values[start..start + inner]);
            Statistics::of(values.map(|x| x.to_f64())).ok_or_else(|| {
                let found = if outer * inner == 0 { "no values" } else { "values too large" };
                ValueError::new(format!("feature {feature}"), found, "values with a mean")
            })
        });
        self.statistics = Some(statistics.collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Standardizes `x`: of any shape whose features are those of the fit.
    ///
    /// # Panics
    /// If neither [`fit`](Standardize::fit) nor a state came before, or `x` has another number of
    /// features.
    #[must_use]
    #[track_caller]
    pub fn transform<T: Float>(&self, x: &Tensor<T>) -> Tensor<T> {
        let [mean, scale] = self.broadcastable("transform", x.shape());
        (x - mean) / scale
    }

    /// The inverse of [`transform`](Standardize::transform), for the predictions of a model:
    /// `x = y · std + mean`.
    ///
    /// # Panics
    /// As for [`transform`](Standardize::transform).
    #[must_use]
    #[track_caller]
    pub fn inverse<T: Float>(&self, y: &Tensor<T>) -> Tensor<T> {
        let [mean, scale] = self.broadcastable("inverse", y.shape());
        y * scale + mean
    }

    /// Means and scales, in a shape that broadcasts to `shape`.
    #[track_caller]
    fn broadcastable<T: Float>(&self, function: &str, shape: &[usize]) -> [Tensor<T>; 2] {
        let Some(statistics) = &self.statistics else {
            panic!("{function}: no statistics; expected fit or load_state_dict before")
        };
        let [_, found, _] = self.split(function, shape);
        let expected = statistics.len();
        assert!(
            found == expected,
            "{function}: x has shape {}, {found} features; expected {expected}",
            Shape::from(shape)
        );
        let mut broadcast = vec![1; shape.len()];
        if shape.len() > 1 {
            broadcast[self.index(function, shape)] = expected;
        }
        let tensor = |values: Vec<f64>| {
            let values: Vec<T> = values.into_iter().map(T::from_f64).collect();
            Tensor::from(values).reshape(broadcast.as_slice())
        };
        [
            tensor(statistics.iter().map(|of| of.mean).collect()),
            tensor(statistics.iter().map(|of| of.scale).collect()),
        ]
    }

    /// A shape as `[outer, features, inner]`.
    #[track_caller]
    fn split(&self, function: &str, shape: &[usize]) -> [usize; 3] {
        if shape.len() <= 1 {
            return [shape.iter().product(), 1, 1];
        }
        let dim = self.index(function, shape);
        [shape[..dim].iter().product(), shape[dim], shape[dim + 1..].iter().product()]
    }

    #[track_caller]
    fn index(&self, function: &str, shape: &[usize]) -> usize {
        let dims = shape.len();
        let dim = if self.dim < 0 { self.dim + dims as isize } else { self.dim };
        match usize::try_from(dim) {
            Ok(dim) if dim < dims => dim,
            _ => panic!(
                "{function}: x has shape {}; expected one with a dimension {}",
                Shape::from(shape),
                self.dim
            ),
        }
    }

    fn read(&self, state: &StateDict) -> Result<Option<Vec<Statistics>>, StateError> {
        let mut errors = StateError::new();
        errors.check_names(state, ["dim", "mean", "scale"]);
        if let Some(dim) = errors.take(state.int("dim"))
            && dim != self.dim as i64
        {
            errors.push(Mismatch::wrong("dim", dim.to_string(), self.dim.to_string()));
        }
        if state.get("mean").is_none() && state.get("scale").is_none() {
            errors.into_result()?;
            return Ok(None); // of one that was not fitted
        }
        let features = state.get("mean").and_then(Value::array::<f64>);
        let features = features.map_or(0, |mean| mean.shape().iter().product());
        let mean = errors.take(state.array::<f64>("mean", &[features])).map(Array::to_vec);
        let scale = errors.take(state.array::<f64>("scale", &[features])).map(Array::to_vec);
        let mean = mean.into_iter().flatten();
        let statistics: Vec<Statistics> = mean
            .zip(scale.into_iter().flatten())
            .map(|(mean, scale)| Statistics { mean, scale })
            .collect();
        if let Some(feature) = statistics.iter().position(|of| !of.is_valid()) {
            let Statistics { mean, scale } = statistics[feature];
            let found = format!("{scale} with mean {mean} for feature {feature}");
            errors.push(Mismatch::wrong("scale", found, "finite numbers, the scale above 0"));
        }
        errors.into_result()?;
        Ok(Some(statistics))
    }
}

/// `dim` must equal that of the one that loads the state.
impl Stateful for Standardize {
    fn state_dict(&self) -> StateDict {
        let mut state = StateDict::new();
        state.insert("dim", self.dim as i64);
        if let Some(statistics) = &self.statistics {
            let mut insert = |name: &str, value: fn(&Statistics) -> f64| {
                let values: Vec<f64> = statistics.iter().map(value).collect();
                state.insert(name, Array::from_slice([values.len()].into(), &values));
            };
            insert("mean", |of| of.mean);
            insert("scale", |of| of.scale);
        }
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        self.statistics = self.read(state)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(x: &Tensor, dim: i32) -> Standardize {
        let mut standardize = Standardize::new().dim(dim);
        standardize.fit(x).unwrap();
        standardize
    }

    #[test]
    fn features_are_those_of_the_dimension() {
        let x = Tensor::from_vec((0..24).map(|i| i as f32).collect(), [2, 3, 4]).unwrap();
        for dim in [0, 1, 2, -1, -2, -3] {
            let standardize = fitted(&x, dim);
            let y = standardize.transform(&x);
            let others: Vec<i32> = (0..3).filter(|other| *other != dim.rem_euclid(3)).collect();
            for mean in y.mean_dim(others.as_slice()).to_vec() {
                assert!(mean.abs() < 1e-6, "{mean}");
            }
            for square in (&y * &y).mean_dim(others.as_slice()).to_vec() {
                assert!((square - 1.0).abs() < 1e-5, "{square}");
            }
            let back = standardize.inverse(&y).to_vec();
            assert!(back.iter().zip(x.to_vec()).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        let targets = Tensor::from([1.0f32, 3.0]);
        assert_eq!(fitted(&targets, -1).transform(&targets).to_vec(), [-1.0, 1.0]);
        let scalar = fitted(&targets, -1).inverse(&Tensor::scalar(1.0f32));
        assert_eq!((scalar.shape(), scalar.item()), (&[][..], 3.0));
        // More dimensions in front.
        let standardize = fitted(&x, -1);
        assert_eq!(standardize.transform(&x.select(0, 0)).shape(), [3, 4]);
    }

    #[test]
    fn values_without_a_mean_are_rejected() {
        let error = |x: &Tensor| Standardize::new().fit(x).unwrap_err().to_string();
        let x = Tensor::from([[1.0f32, 2.0], [f32::NAN, 4.0]]);
        assert_eq!(error(&x), "element 2: found NaN, expected a finite number");
        let expected = "feature 0: found no values, expected values with a mean";
        assert_eq!(error(&Tensor::ones([0, 2])), expected);
        assert_eq!(error(&Tensor::ones([0])), expected);
    }

    #[test]
    fn a_state_that_does_not_fit_changes_nothing() {
        let mut standardize = fitted(&Tensor::from([[1.0f32, 2.0], [3.0, 5.0]]), -1);
        let state = standardize.state_dict();
        let array = |values: &[f64]| Array::from_slice([values.len()].into(), values);
        for (name, value, expected) in [
            ("scale", Value::from(array(&[1.0])), "`scale`: found f64 [1], expected f64 [2]"),
            ("scale", array(&[1.0, 0.0]).into(), "`scale`: found 0 with mean 3.5 for feature 1"),
            ("mean", array(&[f64::NAN, 0.0]).into(), "with mean NaN for feature 0"),
            ("mean", Value::from("x"), "`mean`: found the string \"x\""),
            ("dim", Value::from(0i64), "`dim`: found 0, expected -1"),
            ("more", Value::from(0i64), "`more`: found the integer 0, expected nothing"),
        ] {
            let mut changed = state.clone();
            changed.insert(name, value);
            let error = standardize.load_state_dict(&changed).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(standardize.state_dict(), state);
        }
        standardize.load_state_dict(&Standardize::new().state_dict()).unwrap();
        assert_eq!(standardize.state_dict(), Standardize::new().state_dict());
    }

    #[test]
    #[should_panic(expected = "transform: no statistics; expected fit or load_state_dict before")]
    fn a_fit_comes_first() {
        let _ = Standardize::new().transform(&Tensor::<f32>::ones([2]));
    }

    #[test]
    #[should_panic(expected = "transform: x has shape [1, 3], 3 features; expected 2")]
    fn the_number_of_features_is_that_of_the_fit() {
        let _ = fitted(&Tensor::ones([2, 2]), -1).transform(&Tensor::<f32>::ones([1, 3]));
    }
}
