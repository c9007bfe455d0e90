//! The values that a load has read, before they replace those of the module.

use crate::tree::buffer::{Buffer, Counter, SharedGenerator};
use crate::tree::entries::{Entries, Entry};
use crate::tree::fit::{ArrayLeaf, Fit, FittingArray};
use crate::tree::load::{LoadError, LoadOptions};
use crate::tree::load_report::LoadReport;
use crate::tree::module::Module;
use adamant_tensor::{
    Array, Float, Mismatch, NewValue, Parameter, StateDict, StateSource, Stateful, Tensor, Value,
    ValueKind, take_values,
};

/// Leaves with their new values.
pub(super) struct NewValues<T: Float> {
    parameters: Vec<(Parameter<T>, NewValue<T>)>,
    buffers: Vec<(Buffer<T>, Array<T>)>,
    counters: Vec<(Counter, i64)>,
    generators: Vec<(SharedGenerator, StateDict)>,
}

impl<T: Float> NewValues<T> {
    /// Reads everything that is to be loaded, and changes nothing.
    pub(super) fn read(
        module: &(impl Module<T> + ?Sized),
        source: &dyn StateSource,
        options: &LoadOptions,
    ) -> Result<(Self, LoadReport), LoadError> {
        let Fit { entries, arrays, counters, generators, mut report, mut obstacles } =
            Fit::of(module, source, options)?;
        if options.strict {
            report.errors.mismatches().iter().for_each(|misfit| obstacles.push(misfit.clone()));
        }
        obstacles.into_result()?;

        let mut values = NewValues {
            parameters: Vec::new(),
            buffers: Vec::new(),
            counters: Vec::new(),
            generators: Vec::new(),
        };
        for array in arrays {
            values.read_array(array, &entries, &mut report)?;
        }
        for (path, counter) in counters {
            values.counters.push((counter, read_count(&entries, &path)?));
            report.loaded.push(path);
        }
        for (path, generator, state) in generators {
            values.generators.push((generator, state));
            report.loaded.push(path);
        }
        if options.strict {
            report.errors.clone().into_result()?; // tied names with different values
        }
        Ok((values, report))
    }

    fn read_array(
        &mut self,
        array: FittingArray<T>,
        entries: &Entries<'_>,
        report: &mut LoadReport,
    ) -> Result<(), LoadError> {
        let FittingArray { leaf, path, names } = array;
        let mut names = names.iter().map(|name| entries.listed(name));
        let first = names.next().expect("an array that fits has an entry");
        let value = read_floats::<T>(entries, first)?;
        for entry in names {
            if Value::from(read_floats::<T>(entries, entry)?) != Value::from(value.clone()) {
                report.add_untied(entry, first);
            }
        }
        match &first.kind {
            ValueKind::Floats { stored, .. } | ValueKind::Integers { stored, .. }
                if !stored.eq_ignore_ascii_case(T::DTYPE) =>
            {
                report.converted.push((path.clone(), stored.to_string()));
            }
            _ => {}
        }
        report.loaded.push(path);
        match leaf {
            ArrayLeaf::Parameter(parameter) => {
                let value = parameter.new_value(value);
                self.parameters.push((parameter, value));
            }
            ArrayLeaf::Buffer(buffer) => self.buffers.push((buffer, value)),
        }
        Ok(())
    }

    /// Replaces the module's values. Panics, and changes nothing, if one of the parameters is being
    /// written to.
    #[track_caller]
    pub(super) fn replace(self, op: &str) {
        // Only this can panic, before the first value has changed.
        let mut taken = take_values(op, self.parameters.iter().map(|(parameter, _)| parameter));
        for (old, (_, new)) in taken.iter_mut().zip(self.parameters) {
            old.replace(new);
        }
        drop(taken);
        for (buffer, value) in self.buffers {
            buffer.set(&value.into());
        }
        for (counter, count) in self.counters {
            counter.set(count);
        }
        for (generator, state) in self.generators {
            generator.lock().load_state_dict(&state).expect("the state was checked");
        }
    }
}

fn read_floats<T: Float>(entries: &Entries<'_>, entry: &Entry<'_>) -> Result<Array<T>, LoadError> {
    let value = entries.read(entry)?;
    let floats = match &value {
        Value::I64(integers) => {
            let floats = integers.to_vec().into_iter().map(|i| T::from_f64(i as f64));
            Tensor::<T>::from_vec(floats.collect(), integers.shape().clone())
                .expect("its shape")
                .into()
        }
        value => value.cast::<T>(),
    };
    match (floats.array::<T>(), &entry.kind) {
        (Some(array), ValueKind::Floats { shape, .. } | ValueKind::Integers { shape, .. })
            if array.shape() == shape =>
        {
            Ok(array.clone())
        }
        _ => Err(other_than_described(entry, &value)),
    }
}

fn read_count(entries: &Entries<'_>, name: &str) -> Result<i64, LoadError> {
    let entry = entries.listed(name);
    let value = entries.read(entry)?;
    match &value {
        Value::I64(array) if array.shape().is_empty() => Ok(array.to_vec()[0]),
        _ => Err(other_than_described(entry, &value)),
    }
}

/// A source that returns another value than it has described, such as a file that has changed.
fn other_than_described(entry: &Entry<'_>, value: &Value) -> LoadError {
    let expected = format!("{}, as the source described it", entry.kind);
    let error = Mismatch::wrong("", value.kind(), expected);
    LoadError::Read { name: entry.stored_name.into(), error: error.into() }
}
