//! Loading a module from a source of a state: under other names, from other types, or in part.

use crate::tree::load_report::LoadReport;
use crate::tree::module::Module;
use crate::tree::new_values::NewValues;
use adamant_tensor::{Float, SourceError, StateError, StateSource, shown};
use std::fmt;

/// How [`load_with`] loads.
///
/// PyTorch: the arguments of `load_state_dict`, and the loops over its names that programs write
/// before they call it.
pub struct LoadOptions {
    pub(super) strict: bool,
    renames: Vec<Rename>,
    /// Whether floats of another type are converted.
    pub(super) convert: bool,
}

type Rename = Box<dyn Fn(&str) -> Option<String>>;

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions { strict: true, renames: Vec::new(), convert: true }
    }
}

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadOptions { strict, renames, .. } = self;
        f.debug_struct("LoadOptions")
            .field("strict", strict)
            .field("renames", &renames.len())
            .finish_non_exhaustive()
    }
}

impl LoadOptions {
    /// Whether everything must fit. Otherwise what fits is loaded, and the [`LoadReport`] lists what
    /// does not: for a body that was trained with another head; default `true`.
    ///
    /// PyTorch: `strict`. There, an array of another shape is an error even with `strict=False`.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// The name in the module of each name in the source, from a loop of replacements or a regular
    /// expression; `None` leaves the entry out. Of several renamings, each takes the names that the
    /// one before it returned; default: no renaming.
    ///
    /// ```
    /// use adamant_nn::{Linear, LoadOptions, load_with};
    /// use adamant_tensor::{Generator, StateDict, Tensor};
    /// let old = StateDict::from_iter([
    ///     ("kernel", Tensor::<f32>::ones([2, 3])),
    ///     ("kernel_bias", Tensor::zeros([2])),
    ///     ("ema.kernel", Tensor::zeros([2, 3])),
    /// ]);
    /// let options = LoadOptions::default()
    ///     .rename(|name| (!name.starts_with("ema.")).then(|| name.to_string()))
    ///     .rename(|name| name.replace("kernel_", "").replace("kernel", "weight"));
    /// let layer = Linear::new(3, 2, &mut Generator::seed(0));
    /// let report = load_with(&layer, &old, options).unwrap();
    /// assert_eq!(report.loaded, ["weight", "bias"]);
    /// assert_eq!(report.skipped, ["ema.kernel"]);
    /// ```
    #[must_use]
    pub fn rename<N: Into<Option<String>>>(mut self, name: impl Fn(&str) -> N + 'static) -> Self {
        self.renames.push(Box::new(move |stored| name(stored).into()));
        self
    }

    /// [`rename`](Self::rename) of the names that begin with `from`: they begin with `to` instead, as
    /// without `"model."`, which Hugging Face writes, or `"module."`, which `DataParallel` does. An empty
    /// `from` adds a prefix to all names; default: no renaming.
    ///
    /// PyTorch: `torch.nn.modules.utils.consume_prefix_in_state_dict_if_present(state, from)` for an
    /// empty `to`.
    #[must_use]
    pub fn rename_prefix(self, from: impl Into<String>, to: impl Into<String>) -> Self {
        let (from, to) = (from.into(), to.into());
        self.rename(move |name| match name.strip_prefix(from.as_str()) {
            Some(rest) => format!("{to}{rest}"),
            None => name.to_string(),
        })
    }

    /// Everything must fit, and no type is converted.
    pub(super) fn exact() -> Self {
        LoadOptions { convert: false, ..LoadOptions::default() }
    }

    /// The name in the module of an entry; `None` if it is left out.
    pub(super) fn name_of(&self, stored_name: &str) -> Option<String> {
        let mut renames = self.renames.iter();
        renames.try_fold(stored_name.to_string(), |name, rename| rename(&name))
    }
}

/// Why [`load_with`] did not load.
pub enum LoadError {
    /// The source does not fit the module: all mismatches.
    State(StateError),
    /// A value could not be read from the source.
    Read {
        /// Its name in the source.
        name: String,
        /// The error of the source.
        error: SourceError,
    },
}

adamant_tensor::debug_as_display!(LoadError);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::State(error) => error.fmt(f),
            LoadError::Read { name, error } => {
                let name = shown(name);
                write!(f, "`{name}` cannot be read; nothing was changed: {error}")
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::State(_) => None,
            LoadError::Read { error, .. } => Some(&**error),
        }
    }
}

impl From<StateError> for LoadError {
    fn from(error: StateError) -> Self {
        LoadError::State(error)
    }
}

/// Loads a module from a [`StateDict`](adamant_tensor::StateDict) or a file of weights: all of it, or
/// nothing. [`LoadOptions`] can rename entries, and load only those that fit.
///
/// Floats of another type, and integers, are converted to the module's type, rounded to nearest, and
/// reported. Several names of a shared parameter, generators and counts of batches
/// are treated as in [`load_module_state`](crate::load_module_state).
///
/// All names, shapes and types are checked before the first array is read. Arrays are read one at a
/// time, and the module's values are replaced at the end. So loading takes the memory of the old and
/// the new weights, and that of one array in the source's type. A module that was built within
/// [`skip_init`](crate::init::skip_init) has no old weights.
///
/// PyTorch: `model.load_state_dict(state, strict)`.
///
/// # Errors
/// * If the source does not fit, all mismatches at once; with `strict(false)` only what keeps even
///   the rest from being loaded: several entries that are renamed to one name, or a parameter that
///   is being written to.
/// * If a value cannot be read.
///
/// ```
/// use adamant_nn::{Linear, LoadOptions, Sequential, Stateful, load_with};
/// use adamant_tensor::{Generator, StateDict};
/// let rng = &mut Generator::seed(0);
/// let ten = Sequential::new().add(Linear::new(4, 3, rng)).add(Linear::new(3, 10, rng));
/// let two = Sequential::new().add(Linear::new(4, 3, rng)).add(Linear::new(3, 2, rng));
/// let mut stored = StateDict::new();
/// stored.insert_part("module", ten.state_dict().cast::<f64>());
///
/// let options = LoadOptions::default().rename_prefix("module.", "").strict(false);
/// let report = load_with(&two, &stored, options).unwrap();
/// assert_eq!(report.loaded, ["0.weight", "0.bias"]);
/// assert_eq!(report.converted[0], ("0.weight".into(), "f64".into()));
/// assert_eq!(report.misshapen, ["1.weight", "1.bias"]);
/// ```
#[track_caller]
pub fn load_with<T: Float>(
    module: &(impl Module<T> + ?Sized),
    source: &dyn StateSource,
    options: LoadOptions,
) -> Result<LoadReport, LoadError> {
    let (values, report) = NewValues::read(module, source, &options)?;
    values.replace("load_with");
    Ok(report)
}
