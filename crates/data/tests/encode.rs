//! Tables and tensors encoded as scikit-learn encodes them (`fixtures/encode.py`).

use adamant_data::{Csv, Npy, Standardize, Table, TableEncoder};
use adamant_tensor::{Stateful, Tensor};

const TRAIN: usize = 40;

fn path(name: &str) -> String {
    format!("{}/tests/fixtures/encode/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn people() -> Table {
    Csv::new().missing(["?"]).read(path("people.csv")).unwrap()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(found) - expected).abs();
        assert!(difference <= 1e-6 * (1.0 + expected.abs()), "{i}: {found}, not {expected}");
    }
}

#[test]
fn a_table_is_encoded_as_by_scikit_learn() {
    let table = people();
    let expected = Npy::read(path("features.npy")).unwrap().tensor::<f64>();
    let mut encoder = TableEncoder::new()
        .standardize(["age", "income", "year", "constant"])
        .one_hot(["city", "stars"])
        .ignore_unknown(true);
    encoder.fit(&table.rows(&(0..TRAIN).collect::<Vec<_>>())).unwrap();
    let x = encoder.transform(&table).unwrap();
    assert_eq!(x.shape(), expected.shape());
    assert_close(&x.to_vec(), &expected.to_vec());
    assert_eq!(encoder.feature_names()[..5], ["age", "income", "year", "constant", "city=Köln"]);
    assert_eq!(encoder.feature_names().last().unwrap(), "stars=11"); // by value, not by text
}

#[test]
fn an_error_names_the_line_of_the_file() {
    let table = people();
    let mut encoder = TableEncoder::new().one_hot(["city"]);
    encoder.fit(&table.rows(&[0])).unwrap();
    let error = encoder.transform(&table.rows(&[0, 0, 49])).unwrap_err().to_string();
    assert!(error.contains("people.csv, line 51, column `city`: found \""), "{error}");
}

/// `income` and `year`, as a tensor.
#[test]
fn a_tensor_is_standardized_as_by_scikit_learn() {
    let table = people();
    let column = |name: &str| -> Vec<f64> {
        table.numbers(name).unwrap().iter().map(|value| value.unwrap()).collect()
    };
    let (income, year) = (column("income"), column("year"));
    let values = income.iter().zip(&year).flat_map(|(&income, &year)| [income, year]);
    let x = Tensor::from_vec(values.collect(), [income.len(), 2]).unwrap();
    let mut standardize = Standardize::new();
    standardize.fit(&x.narrow(0, 0, TRAIN)).unwrap();

    let expected = Npy::read(path("features.npy")).unwrap().tensor::<f64>();
    let y = standardize.transform(&x);
    let expected = expected.narrow(1, 1, 2).to_vec();
    assert_close(&y.to_vec().iter().map(|&y| y as f32).collect::<Vec<_>>(), &expected);

    let mut loaded = Standardize::new();
    loaded.load_state_dict(&standardize.state_dict()).unwrap();
    let back = loaded.inverse(&y).to_vec();
    let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * b.abs();
    assert!(back.iter().zip(&x.to_vec()).all(same));
}
