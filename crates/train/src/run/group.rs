//! The processes of a run, and how they stay together.

use super::error::RunError;
use super::folder::Saved;
use adamant_tensor::{Array, Element, Shape, StateDict, Value};
use adamant_transport::{Frame, Transport, TransportError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The processes of a run. Rank 0 owns its folder; the others follow.
#[derive(Clone)]
pub(super) struct Group(Arc<dyn Transport>);

/// What all processes do after a step. Rank 0 decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Decision {
    Continue,
    Save,
    /// Save, and return [`Interrupted`](super::Interrupted).
    Stop,
}

/// A state without the elements of its arrays, which follow one after another.
type Header = Vec<(String, Entry)>;

#[derive(Serialize, Deserialize)]
enum Entry {
    F32(Vec<usize>),
    F64(Vec<usize>),
    I64(Vec<usize>),
    Bool(bool),
    Int(i64),
    /// The bits.
    Float(u64),
    Text(String),
}

/// The most bytes of an array that are sent at once.
const PIECE: usize = 16 << 20;

impl Group {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Group(transport)
    }

    pub(super) fn rank(&self) -> usize {
        self.0.rank()
    }

    fn is_alone(&self) -> bool {
        self.0.ranks() == 1
    }

    /// The decision of rank 0. Those of the others are dropped.
    pub(super) fn follow(&self, decision: Decision) -> Result<Decision, TransportError> {
        if self.is_alone() {
            return Ok(decision);
        }
        let decided = self.0.broadcast(0, Frame::from_slice(&[decision as u8])).wait()?;
        let known = [Decision::Continue, Decision::Save, Decision::Stop];
        let decided = known.into_iter().find(|known| *known as u8 == decided.as_slice::<u8>()[0]);
        Ok(decided.expect("rank 0 sent one of them"))
    }

    /// The result of this process if no process has an error; otherwise an error in all processes.
    /// No process returns before all have called it.
    pub(super) fn agree<R>(&self, result: Result<R, RunError>) -> Result<R, RunError> {
        if self.is_alone() {
            return result;
        }
        match self.first_error(result.as_ref().err()) {
            Ok(Some((rank, message))) if rank != self.rank() => {
                Err(RunError::OtherRank { rank, message })
            }
            Ok(_) => result,
            Err(error) => result.and(Err(error.into())),
        }
    }

    /// The lowest rank that has an error, and its message.
    fn first_error(
        &self,
        own: Option<&RunError>,
    ) -> Result<Option<(usize, String)>, TransportError> {
        let failed = Frame::from_slice(&[u8::from(own.is_some())]);
        let failed = self.0.all_gather(failed, &vec![1; self.0.ranks()]).wait()?;
        let Some(rank) = failed.as_slice::<u8>().iter().position(|&failed| failed == 1) else {
            return Ok(None);
        };
        let own = own.map_or_else(String::new, ToString::to_string);
        let message = self.bytes(rank, own.as_bytes())?;
        Ok(Some((rank, String::from_utf8_lossy(message.as_slice()).into_owned())))
    }

    /// What rank 0 has found to resume from.
    pub(super) fn share_saved(
        &self,
        saved: Option<Saved>,
    ) -> Result<Option<Saved>, TransportError> {
        if self.is_alone() {
            return Ok(saved);
        }
        let header = saved.as_ref().map(|saved| (saved.step, saved.rows, header(&saved.state)));
        let header = serde_json::to_vec(&header).expect("strings and numbers");
        let header = self.bytes(0, &header)?;
        if self.rank() == 0 {
            if let Some(saved) = &saved {
                saved.state.iter().try_for_each(|(_, value)| self.send(value))?;
            }
            return Ok(saved);
        }
        let header: Option<(u64, u64, Header)> =
            serde_json::from_slice(header.as_slice()).expect("rank 0 sent it");
        let Some((step, rows, header)) = header else { return Ok(None) };
        let mut state = StateDict::new();
        for (name, entry) in header {
            state.insert(name, self.receive(entry)?);
        }
        Ok(Some(Saved { step, rows, state }))
    }

    /// Sends the elements of an array.
    fn send(&self, value: &Value) -> Result<(), TransportError> {
        match value {
            Value::F32(array) => self.send_array(array),
            Value::F64(array) => self.send_array(array),
            Value::I64(array) => self.send_array(array),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => Ok(()),
        }
    }

    fn send_array<E: Element>(&self, array: &Array<E>) -> Result<(), TransportError> {
        let copy; // of a view
        let elements = match array.as_slice() {
            Some(elements) => elements,
            None => {
                copy = array.to_vec();
                &copy
            }
        };
        for piece in elements.chunks(PIECE / size_of::<E>()) {
            let _sent = self.0.broadcast(0, Frame::from_slice(piece)).wait()?;
        }
        Ok(())
    }

    fn receive(&self, entry: Entry) -> Result<Value, TransportError> {
        Ok(match entry {
            Entry::F32(shape) => Value::F32(self.receive_array(&shape)?),
            Entry::F64(shape) => Value::F64(self.receive_array(&shape)?),
            Entry::I64(shape) => Value::I64(self.receive_array(&shape)?),
            Entry::Bool(value) => Value::Bool(value),
            Entry::Int(value) => Value::Int(value),
            Entry::Float(bits) => Value::Float(f64::from_bits(bits)),
            Entry::Text(value) => Value::Text(value),
        })
    }

    fn receive_array<E: Element>(&self, shape: &[usize]) -> Result<Array<E>, TransportError> {
        let mut received = Ok(());
        let array = Array::build("resume", Shape::from(shape), |elements| {
            received = elements.chunks_mut(PIECE / size_of::<E>()).try_for_each(|piece| {
                let frame = Frame::zeros(size_of_val(piece));
                piece.copy_from_slice(self.0.broadcast(0, frame).wait()?.as_slice());
                Ok(())
            });
        });
        received.map(|()| array)
    }

    /// The bytes of rank `root`, of any number.
    fn bytes(&self, root: usize, own: &[u8]) -> Result<Frame, TransportError> {
        let len = self.0.broadcast(root, Frame::from_slice(&[own.len() as u64])).wait()?;
        let len = len.as_slice::<u64>()[0] as usize;
        let frame = match self.rank() == root {
            true => Frame::from_slice(own),
            false => Frame::zeros(len),
        };
        self.0.broadcast(root, frame).wait()
    }
}

fn header(state: &StateDict) -> Header {
    let entry = |value: &Value| match value {
        Value::F32(array) => Entry::F32(array.shape().to_vec()),
        Value::F64(array) => Entry::F64(array.shape().to_vec()),
        Value::I64(array) => Entry::I64(array.shape().to_vec()),
        Value::Bool(value) => Entry::Bool(*value),
        Value::Int(value) => Entry::Int(*value),
        Value::Float(value) => Entry::Float(value.to_bits()),
        Value::Text(value) => Entry::Text(value.clone()),
    };
    state.iter().map(|(name, value)| (name.to_string(), entry(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use adamant_files::FileError;
    use adamant_tensor::Tensor;
    use adamant_transport::run_threads;
    use std::io;
    use std::path::Path;

    fn everything() -> StateDict {
        let mut state = StateDict::new();
        let large: Vec<f32> = (0..PIECE / 4 * 2 + 3).map(|index| index as f32).collect();
        state.insert("large", Array::from_slice([large.len()].into(), &large));
        let view = Tensor::from([[1.0f64, 2.0], [f64::NAN, -0.0]]).transpose(0, 1);
        state.insert("view", view.array().clone());
        state.insert("count", Value::I64(Array::full([].into(), i64::MIN)));
        state.insert("empty", Array::<f32>::from_slice([0, 3].into(), &[]));
        state.insert("bool", true);
        state.insert("int", -7);
        state.insert("float", f64::from_bits(0x7ff4_0000_0000_0001));
        state.insert("text", "grüße");
        state
    }

    #[test]
    fn every_rank_has_the_state_of_rank_0() {
        for ranks in 1..=3 {
            let shared = run_threads(ranks, |transport| {
                let saved = || Saved { step: 7, rows: 5, state: everything() };
                let saved = (transport.rank() == 0).then(saved);
                let group = Group::new(transport);
                assert!(group.share_saved(None).unwrap().is_none());
                group.share_saved(saved).unwrap().unwrap()
            });
            for Saved { step, rows, state } in shared {
                assert_eq!((step, rows), (7, 5));
                assert!(state == everything(), "{ranks} ranks");
            }
        }
    }

    #[test]
    fn every_rank_follows_rank_0() {
        for decision in [Decision::Continue, Decision::Save, Decision::Stop] {
            let followed = run_threads(3, |transport| {
                let own = if transport.rank() == 0 { decision } else { Decision::Continue };
                Group::new(transport).follow(own).unwrap()
            });
            assert_eq!(followed, [decision; 3]);
        }
    }

    #[test]
    fn an_error_of_one_rank_is_an_error_of_all() {
        let agreed = run_threads(3, |transport| {
            let rank = transport.rank();
            let error = || FileError::io(Path::new("run"), io::Error::other(format!("no {rank}")));
            let result = if rank > 0 { Err(error().into()) } else { Ok(rank) };
            let group = Group::new(transport);
            assert_eq!(group.agree(Ok(rank)).unwrap(), rank);
            group.agree(result).unwrap_err().to_string()
        });
        assert_eq!(agreed, ["rank 1: run: no 1", "run: no 1", "rank 1: run: no 1"]);
    }

    #[test]
    fn the_end_of_a_rank_does_not_hide_an_error() {
        let errors = run_threads(3, |transport| {
            let group = Group::new(transport);
            match group.rank() {
                0 => group.agree(Ok(())).unwrap_err().to_string(),
                1 => group.agree::<()>(Err(io("full"))).unwrap_err().to_string(),
                _ => String::new(),
            }
        });
        assert!(errors[0].ends_with("found rank 2 has ended, expected an answer from every rank"));
        assert_eq!(errors[1], "run: full");
    }

    fn io(text: &str) -> RunError {
        FileError::io(Path::new("run"), io::Error::other(text)).into()
    }
}
