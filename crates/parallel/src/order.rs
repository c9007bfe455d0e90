//! The order in which gradients are exchanged.

use adamant_transport::{Frame, Transport, TransportError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The positions of the parameters whose gradients are exchanged during the backward pass, in this
/// order: the one in which a pass of rank 0 has completed them. The others are exchanged after the
/// pass; at first, all are.
pub(crate) type Order = Arc<[usize]>;

/// The order for each number of parameters. All ranks have the same.
#[derive(Default)]
pub(crate) struct Orders(Mutex<BTreeMap<usize, Order>>);

impl Orders {
    /// The order for this number of parameters.
    pub(crate) fn of(&self, parameters: usize) -> Order {
        let orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        orders.get(&parameters).cloned().unwrap_or_default()
    }

    /// Replaces the order for this number of parameters by that of rank 0, `own` there. All ranks
    /// call it together.
    pub(crate) fn renew(
        &self,
        transport: &dyn Transport,
        parameters: usize,
        own: &[usize],
    ) -> Result<(), TransportError> {
        let mut frame = Frame::zeros((1 + parameters) * size_of::<u64>());
        if transport.rank() == 0 {
            let numbers = [own.len()].into_iter().chain(own.iter().copied());
            frame
                .as_mut_slice::<u64>()
                .iter_mut()
                .zip(numbers)
                .for_each(|(out, n)| *out = n as u64);
        }
        let frame = transport.broadcast(0, frame).wait()?;
        let [len, positions @ ..] = frame.as_slice::<u64>() else { return Ok(()) };
        let order = positions[..*len as usize].iter().map(|&position| position as usize).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(parameters, order);
        Ok(())
    }
}
