//! The derive macros of adamant: a struct is the list of its fields.

#![forbid(unsafe_code)]

mod collate;
mod module;
mod parts;
mod stateful;

use syn::{DeriveInput, Error, parse_macro_input};

/// Implements `Module` and `Stateful` for a struct whose fields are modules, or an enum whose
/// variants' fields are modules.
///
/// Parameters, buffers, layers and other models are modules, and so are `Option`s, `Vec`s, arrays
/// and tuples of them. A parameter's name is its path: `fc1.weight`. An enum has the fields of its
/// active variant. The only field of a variant like `Small(Linear)` has the enum's own path: names
/// do not depend on the variant.
///
/// * `#[module(skip)]` on a field leaves it out: it is not part of the model.
/// * `#[module(rename = "self")]` on a field is its name in paths, where the field's own name cannot
///   be that of another framework's weights. `"attention.self"` is the path of a field two levels
///   below.
/// * `#[module(float = f64)]` on the type makes it a module of `f64` (or of a type parameter)
///   instead of `f32`.
/// * `#[module(clone)]` on the type implements `Clone` as a deep copy: with its own parameters,
///   buffers, counts and generators, tied where the original's are. Skipped fields are cloned by
///   their own `Clone`. Layers of a `Sequential` must be `Clone`.
/// * `#[module(crate = path)]` on the type is the path of the `nn` crate; default
///   `::adamant::nn`.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    module::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Stateful` for a struct whose fields are `Stateful`: a whole run, or any part of one.
///
/// Models, optimizers, schedules, loaders, metrics and generators are `Stateful`, and so are
/// numbers, `bool`s, `String`s, `Option`s, `Vec`s, arrays and tuples. An entry's name is its path:
/// `model.fc1.weight`, `step`. A field of a tuple struct is named by its index.
///
/// Loading is all or nothing: every field is checked before the first is loaded, and all mismatches
/// are reported with their paths, also names that belong to no field.
///
/// * `#[stateful(skip)]` on a field leaves it out: it is not part of the state.
/// * `#[stateful(crate = path)]` on the type is the path of the `tensor` crate; default
///   `::adamant::tensor`.
///
/// A model has `#[derive(Module)]` instead, which implements `Stateful` too.
///
/// ```
/// use adamant_derive::Stateful;
/// use adamant_tensor::{Generator, Stateful as _};
///
/// #[derive(Stateful)]
/// # #[stateful(crate = adamant_tensor)]
/// struct Progress {
///     step: u64,
///     best_loss: Option<f64>,
///     rng: Generator,
///     #[stateful(skip)]
///     log: String,
/// }
///
/// let rng = Generator::seed(0);
/// let mut progress = Progress { step: 3, best_loss: Some(0.5), rng, log: String::new() };
/// let state = progress.state_dict();
/// assert_eq!(state.int("step"), Ok(3));
/// progress.step = 4;
/// progress.load_state_dict(&state).unwrap();
/// assert_eq!(progress.step, 3);
///
/// let mut old = state.clone();
/// old.rename("step", "steps").unwrap();
/// let error = progress.load_state_dict(&old).unwrap_err();
/// let expected = [
///     "`step`: missing, expected a u64",
///     "`steps`: found the integer 3, expected nothing of this name",
/// ];
/// assert_eq!(error.mismatches(), expected);
/// ```
#[proc_macro_derive(Stateful, attributes(stateful))]
pub fn derive_stateful(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    stateful::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// Implements `Collate` for a sample with named fields: a batch is a struct with the same fields,
/// each of them the batch of the samples' fields.
///
/// The batch of `Sample` is named `SampleBatch`. It has the visibility of the struct and of its
/// fields, and is `Clone` and `Debug`. An error names the field.
///
/// * `#[collate(crate = path)]` on the type is the path of the `data` crate; default
///   `::adamant::data`.
///
/// ```
/// use adamant_data::DataLoader;
/// use adamant_derive::Collate;
/// use adamant_tensor::Tensor;
///
/// #[derive(Clone, Collate)]
/// # #[collate(crate = adamant_data)]
/// struct Sample {
///     image: Tensor,
///     label: usize,
/// }
///
/// let sample = |label| Sample { image: Tensor::ones([3, 8, 8]), label };
/// let mut loader = DataLoader::new(vec![sample(0), sample(1), sample(2)], 2);
/// let batch: SampleBatch = loader.next_batch();
/// assert_eq!(batch.image.shape(), [2, 3, 8, 8]);
/// assert_eq!(batch.label, [0, 1]);
/// ```
#[proc_macro_derive(Collate, attributes(collate))]
pub fn derive_collate(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    collate::expand(&input).unwrap_or_else(Error::into_compile_error).into()
}
