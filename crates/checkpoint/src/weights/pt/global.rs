//! The classes and functions that a pickle may name, and why others are refused.

use super::EXPECTED;
use super::types::{Dtype, Type};
use adamant_files::FormatError;
use adamant_tensor::shown;

/// A class or a function that state dicts need. It stands for itself: nothing is looked up in any
/// library, and what it does to its arguments is in `rebuild.rs`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    /// `OrderedDict` or `Counter`.
    Dict,
    Size,
    Device,
    /// `Tensor` or `Parameter`.
    TensorClass,
    /// The class of a storage; `None` for bytes of no type.
    Storage(Option<Dtype>),
    Dtype(Dtype),
    /// `_rebuild_tensor`, `_v2` or `_v3`.
    RebuildTensor {
        version: u8,
    },
    /// `_rebuild_qtensor`, a tensor that cannot be read.
    RebuildQuantized,
    /// `_rebuild_sparse_tensor`, a tensor that cannot be read.
    RebuildSparse,
    /// `_get_layout`, of a sparse tensor.
    Layout,
    /// How a tensor is quantized.
    QuantizationScheme,
    /// `_rebuild_parameter` or `_rebuild_parameter_with_state`.
    RebuildParameter,
    RebuildFromType,
}

impl Global {
    /// The global of this name.
    ///
    /// # Errors
    /// If state dicts do not need it.
    pub(super) fn find(module: &str, name: &str) -> Result<Self, FormatError> {
        let known = match (module, name) {
            ("collections", "OrderedDict" | "Counter") => Some(Global::Dict),
            ("torch", "Size") => Some(Global::Size),
            ("torch", "device") => Some(Global::Device),
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter") => Some(Global::TensorClass),
            ("torch._utils", "_rebuild_tensor") => Some(Global::RebuildTensor { version: 1 }),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Global::RebuildTensor { version: 2 }),
            ("torch._utils", "_rebuild_tensor_v3") => Some(Global::RebuildTensor { version: 3 }),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Global::RebuildParameter)
            }
            ("torch._utils", "_rebuild_qtensor") => Some(Global::RebuildQuantized),
            ("torch._utils", "_rebuild_sparse_tensor") => Some(Global::RebuildSparse),
            ("torch.serialization", "_get_layout") => Some(Global::Layout),
            ("torch", name) if name.starts_with("per_") && name.contains("_affine") => {
                Some(Global::QuantizationScheme)
            }
            ("torch._tensor", "_rebuild_from_type" | "_rebuild_from_type_v2") => {
                Some(Global::RebuildFromType)
            }
            ("torch" | "torch.cuda" | "torch.storage", "UntypedStorage") => {
                Some(Global::Storage(None))
            }
            ("torch" | "torch.cuda", class) if class.ends_with("Storage") => {
                Type::from_storage(class).map(|dtype| Global::Storage(Some(dtype)))
            }
            ("torch", name) => Type::from_name(name).map(Global::Dtype),
            _ => None,
        };
        known.ok_or_else(|| refused(module, name))
    }
}

const PLAIN: &str = "save tensors, numbers and strings only, as in model.state_dict()";

/// The error of a global that state dicts do not need: what it is, and how to save without it.
fn refused(module: &str, name: &str) -> FormatError {
    let global = format!("{}.{}", shown(module), shown(name));
    let (what, advice) = match module {
        _ if module.starts_with("numpy") => {
            ("an object of NumPy", "save tensors, and numbers by float(x) or int(x)")
        }
        _ if module.starts_with("torch.nn.") => {
            ("a whole module", "save model.state_dict() instead of the model")
        }
        _ if module.starts_with("__torch__") => {
            ("a TorchScript module", "save model.state_dict() by torch.save")
        }
        _ => ("", PLAIN),
    };
    let found = match what {
        "" => format!("the global {global}"),
        what => format!("{what} (the global {global})"),
    };
    FormatError::new(found, format!("{EXPECTED}, which has no such object; in Python, {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storages_and_types_are_found_by_name() {
        for (module, name, expected) in [
            ("torch", "FloatStorage", Global::Storage(Type::from_name("float32"))),
            ("torch.cuda", "BFloat16Storage", Global::Storage(Type::from_name("bfloat16"))),
            ("torch.storage", "UntypedStorage", Global::Storage(None)),
            ("torch", "uint16", Global::Dtype(Type::from_name("uint16").unwrap())),
            ("collections", "OrderedDict", Global::Dict),
        ] {
            assert_eq!(Global::find(module, name).unwrap(), expected);
        }
    }

    #[test]
    fn other_globals_are_refused_by_name() {
        for (module, name, found) in [
            ("posix", "system", "the global posix.system"),
            ("builtins", "eval", "the global builtins.eval"),
            ("torch", "load", "the global torch.load"),
            ("torch", "Storage", "the global torch.Storage"),
            ("torch._utils", "_rebuild_nested_tensor", "the global torch._utils._rebuild_nested"),
            ("torch.nn.modules.linear", "Linear", "a whole module (the global torch.nn.modules."),
            ("numpy._core.multiarray", "scalar", "an object of NumPy (the global numpy._core."),
            ("collections", "deque", "the global collections.deque"),
            ("a\u{7}b\n", "c", "the global a\\u{7}b\\n.c"),
        ] {
            let error = Global::find(module, name).unwrap_err();
            assert!(error.found.starts_with(found), "{}", error.found);
            assert!(error.expected.starts_with("a state dict of torch.save"), "{}", error.expected);
        }
        let error = Global::find(&"m".repeat(1000), &"n".repeat(1000)).unwrap_err();
        assert!(error.found.len() < 250, "{}", error.found);
    }
}
