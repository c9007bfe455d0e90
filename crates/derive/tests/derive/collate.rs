//! Batches of structs, with the names of the `data` crate in miniature.

use adamant_derive::Collate;

mod data {
    #[derive(Debug, PartialEq)]
    pub(crate) struct DataError(pub(crate) String);

    impl DataError {
        pub(crate) fn in_field(self, name: &'static str) -> DataError {
            DataError(format!("{name}: {}", self.0))
        }
    }

    pub(crate) trait Collate: Sized {
        type Batch: Send + 'static;
        fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError>;
    }

    impl Collate for usize {
        type Batch = Vec<usize>;
        fn collate(samples: Vec<Self>) -> Result<Vec<usize>, DataError> {
            Ok(samples)
        }
    }

    /// A row; rows of a batch have equal lengths.
    impl Collate for Vec<f32> {
        type Batch = Vec<Vec<f32>>;
        fn collate(samples: Vec<Self>) -> Result<Self::Batch, DataError> {
            match samples.iter().find(|row| row.len() != samples[0].len()) {
                Some(row) => Err(DataError(format!("a row of {}", row.len()))),
                None => Ok(samples),
            }
        }
    }
}

#[derive(Collate)]
#[collate(crate = data)]
pub(crate) struct Sample {
    row: Vec<f32>,
    pub(crate) r#type: usize,
}

/// A sample within a sample.
#[derive(Collate)]
#[collate(crate = data)]
struct Pair {
    left: Sample,
    samples: usize, // a name that the expansion uses too
}

fn sample(row: &[f32], r#type: usize) -> Sample {
    Sample { row: row.to_vec(), r#type }
}

#[test]
fn a_batch_has_the_batches_of_the_fields() {
    use data::Collate;
    let batch = Sample::collate(vec![sample(&[1.0, 2.0], 3), sample(&[4.0, 5.0], 6)]).unwrap();
    assert_eq!(batch.row, [[1.0, 2.0], [4.0, 5.0]]);
    assert_eq!(batch.clone().r#type, [3, 6]);
    let batch: PairBatch =
        Pair::collate(vec![Pair { left: sample(&[1.0], 2), samples: 3 }]).unwrap();
    assert_eq!(format!("{batch:?}"), {
        "PairBatch { left: SampleBatch { row: [[1.0]], type: [2] }, samples: [3] }"
    });
}

#[test]
fn an_error_names_the_field() {
    use data::Collate;
    let pair = |row: &[f32]| Pair { left: sample(row, 0), samples: 0 };
    let error = Pair::collate(vec![pair(&[1.0]), pair(&[1.0, 2.0])]).unwrap_err();
    assert_eq!(error, data::DataError("left: row: a row of 2".into()));
}
