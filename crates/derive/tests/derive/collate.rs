//! Batches of structs.

use adamant_data::{Collate, DataLoader};
use adamant_derive::Collate;
use adamant_tensor::Tensor;

#[derive(Collate, Clone)]
#[collate(crate = adamant_data)]
pub(crate) struct Sample {
    row: Tensor,
    pub(crate) r#type: usize,
}

/// A sample within a sample.
#[derive(Collate)]
#[collate(crate = adamant_data)]
struct Pair {
    left: Sample,
    samples: usize, // a name that the expansion uses too
}

fn sample(row: &[f32], r#type: usize) -> Sample {
    Sample { row: Tensor::from_vec(row.to_vec(), [row.len()]).unwrap(), r#type }
}

#[test]
fn a_batch_has_the_batches_of_the_fields() {
    let pair = |row: &[f32], samples| Pair { left: sample(row, samples + 1), samples };
    let batch: PairBatch = Pair::collate(vec![pair(&[1.0, 2.0], 3), pair(&[4.0, 5.0], 6)]).unwrap();
    let left: SampleBatch = batch.clone().left;
    assert_eq!(left.row.shape(), [2, 2]);
    assert_eq!(left.row.to_vec(), [1.0, 2.0, 4.0, 5.0]);
    assert_eq!((left.r#type, batch.samples.as_slice()), (vec![4, 7], [3, 6].as_slice()));
    assert!(format!("{batch:?}").starts_with("PairBatch { left: SampleBatch {"));
}

#[test]
fn a_loader_yields_batches_of_a_struct() {
    let samples: Vec<Sample> = (0..5).map(|i| sample(&[i as f32], i)).collect();
    let mut loader = DataLoader::new(samples, 2);
    let types: Vec<Vec<usize>> = loader.epoch().map(|batch: SampleBatch| batch.r#type).collect();
    assert_eq!(types, [vec![0, 1], vec![2, 3], vec![4]]);
}

#[test]
fn an_error_names_the_field() {
    let pair = |row: &[f32]| Pair { left: sample(row, 0), samples: 0 };
    let error = Pair::collate(vec![pair(&[1.0]), pair(&[1.0, 2.0])]).unwrap_err();
    let expected = "field `left`: field `row`: found shape [2], expected [1], that of the first \
                    sample of its batch";
    assert_eq!(error.to_string(), expected);
}
