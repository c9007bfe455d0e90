//! The state of a loader: its position.

use super::DataLoader;
use super::cursor::Cursor;
use adamant_tensor::{Generator, Mismatch, StateDict, StateError, Stateful};

/// The position within the epoch, so that an interrupted run resumes with the next batch, to the
/// bit, with any number of workers.
///
/// `samples`, `batch_size`, `drop_last` and `sampler` must equal those of the loader that loads the
/// state; the parameters of a sampler, such as weights, are not compared. `returned` is the number of
/// samples of the epoch that have been returned: all of them between epochs. `epoch` is the number
/// of the epoch to resume or to start next, from 0, and `rng` the sampler's generator before it drew
/// the order of that epoch. `seed` is that of random transforms, and `skipped` the number of samples
/// that were left out; both replace those of the loader.
impl<B: Send + 'static> Stateful for DataLoader<B> {
    fn state_dict(&self) -> StateDict {
        let cursor = self.cursor();
        let between = cursor.batches_left() == 0;
        let mut state = StateDict::new();
        state.insert("samples", self.source.samples() as i64);
        state.insert("batch_size", saved_size(self.batch_size));
        state.insert("drop_last", self.drop_last);
        state.insert("sampler", self.sampler.name().to_string());
        state.insert("returned", cursor.returned.unwrap_or(self.samples_per_epoch()) as i64);
        state.insert("seed", self.transform_seed().cast_signed());
        let epoch = if between { cursor.epochs } else { cursor.epochs - 1 };
        state.insert("epoch", epoch.cast_signed());
        state.insert("skipped", cursor.skipped.cast_signed());
        let rng = if between { &cursor.rng } else { &cursor.before };
        state.insert_part("rng", rng.state_dict());
        state
    }

    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        self.read(state).map(drop)
    }

    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        let Position { returned, seed, epoch, skipped, rng } = self.read(state)?;
        let mut cursor = Cursor::new(rng);
        (cursor.epochs, cursor.skipped, cursor.threads) = (epoch, skipped, self.cursor().threads);
        if returned < self.samples_per_epoch() {
            self.start_epoch(&mut cursor, seed);
            (cursor.returned, cursor.resumes) = (Some(returned), true);
        }
        self.seed = Some(seed);
        *self.cursor() = cursor;
        Ok(())
    }
}

/// What changes in a loader's state.
struct Position {
    returned: usize,
    seed: u64,
    epoch: u64,
    skipped: u64,
    rng: Generator,
}

/// A batch size can be as large as `usize::MAX`: all samples in one batch.
fn saved_size(batch_size: usize) -> i64 {
    i64::try_from(batch_size).unwrap_or(i64::MAX)
}

impl<B: Send + 'static> DataLoader<B> {
    /// The position in a state. Changes nothing.
    fn read(&self, state: &StateDict) -> Result<Position, StateError> {
        let mut errors = StateError::new();
        let names = [
            "samples",
            "batch_size",
            "drop_last",
            "sampler",
            "returned",
            "seed",
            "epoch",
            "skipped",
        ];
        let rng = |name: &&str| name.starts_with("rng.");
        let others = state.keys().filter(rng);
        errors.check_names(state, names.into_iter().chain(others));
        fn same<V: PartialEq + ToString>(
            errors: &mut StateError,
            name: &str,
            found: Result<V, Mismatch>,
            expected: V,
        ) {
            if let Some(found) = errors.take(found)
                && found != expected
            {
                errors.push(Mismatch::wrong(name, found.to_string(), expected.to_string()));
            }
        }
        same(&mut errors, "samples", state.int("samples"), self.source.samples() as i64);
        same(&mut errors, "batch_size", state.int("batch_size"), saved_size(self.batch_size));
        same(&mut errors, "drop_last", state.bool("drop_last"), self.drop_last);
        same(&mut errors, "sampler", state.text("sampler"), self.sampler.name());
        let all = self.samples_per_epoch();
        let returned = errors.take(state.int("returned")).unwrap_or(0);
        let position = usize::try_from(returned).ok();
        let position =
            position.filter(|&n| n == all || n < all && n.is_multiple_of(self.batch_size));
        if position.is_none() {
            let expected = format!("a multiple of {} below {all}, or {all}", self.batch_size);
            errors.push(Mismatch::wrong("returned", returned.to_string(), expected));
        }
        let seed = errors.take(state.int("seed")).unwrap_or(0).cast_unsigned();
        let mut count = |name: &str| {
            let found = errors.take(state.int(name)).unwrap_or(0);
            if found < 0 {
                errors.push(Mismatch::wrong(name, found.to_string(), "a count"));
            }
            found.cast_unsigned()
        };
        let (epoch, skipped) = (count("epoch"), count("skipped"));
        let mut rng = self.initial.clone();
        errors.extend("rng", rng.load_state_dict(&state.part("rng")));
        errors.into_result()?;
        Ok(Position { returned: position.unwrap_or(all), seed, epoch, skipped, rng })
    }
}
