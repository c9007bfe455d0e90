//! The statistics of batch normalizations, of the shards of all ranks.

use adamant_nn::{BatchStatistics, Module, RunningStatistics};
use adamant_tensor::{Float, Tensor};
use adamant_transport::{Frame, Transport, TransportError};

/// Applies the statistics of all ranks to the model's running statistics, in the order of shards.
/// `recorded` are those of this rank's shards.
///
/// # Panics
/// If some are of a layer that is not in the model.
#[track_caller]
pub(crate) fn exchange<T: Float>(
    transport: &dyn Transport,
    model: &(impl Module<T> + ?Sized),
    recorded: &[(usize, BatchStatistics<T>)],
) -> Result<(), TransportError> {
    if transport.ranks() == 1 && recorded.is_empty() {
        return Ok(());
    }
    let layers = RunningStatistics::of(model);
    let mut own = Vec::new();
    for (id, batch) in recorded {
        let Some(layer) = layers.iter().position(|layer| layer.id() == *id) else {
            panic!(
                "backward: the loss uses a batch normalization that is not in the model; expected \
                 only those of the model"
            )
        };
        write(layer, batch, &mut own);
    }
    if layers.is_empty() {
        return Ok(());
    }
    let ranks = transport.ranks();
    let length = Frame::from_slice(&[own.len() as u64]);
    let lengths = transport.all_gather(length, &vec![size_of::<u64>(); ranks]).wait()?;
    let lengths = lengths.as_slice::<u64>().iter();
    let lengths: Vec<usize> = lengths.map(|&n| n as usize * size_of::<f64>()).collect();
    let all = transport.all_gather(Frame::from_slice(&own), &lengths).wait()?;
    let mut rest = all.as_slice::<f64>();
    while let [layer, channels, values, momentum, numbers @ ..] = rest {
        let (numbers, others) = numbers.split_at(2 * *channels as usize);
        let (mean, var) = numbers.split_at(*channels as usize);
        let tensor = |numbers: &[f64]| {
            let elements: Vec<T> = numbers.iter().map(|&x| T::from_f64(x)).collect();
            Tensor::from(elements)
        };
        layers[*layer as usize].apply(&BatchStatistics {
            mean: tensor(mean),
            var: tensor(var),
            values: *values as usize,
            momentum: Some(*momentum).filter(|momentum| !momentum.is_nan()),
        });
        rest = others;
    }
    Ok(())
}

/// As floats of 64 bits, which hold every value exactly.
fn write<T: Float>(layer: usize, batch: &BatchStatistics<T>, out: &mut Vec<f64>) {
    let mean = batch.mean.to_vec();
    let momentum = batch.momentum.unwrap_or(f64::NAN);
    out.extend([layer as f64, mean.len() as f64, batch.values as f64, momentum]);
    out.extend(mean.iter().chain(&batch.var.to_vec()).map(|x| x.to_f64()));
}
