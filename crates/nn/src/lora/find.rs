//! The layers of a model that can have an adapter.

use super::options::matches;
use super::{LoraError, LoraOptions, TargetModules};
use crate::tree::adapter::AdapterSlot;
use crate::tree::module::{Leaf, Module, Path};
use adamant_tensor::{Float, Parameter};
use std::collections::HashSet;

/// A layer with a slot.
pub(super) struct Found<T: Float> {
    pub(super) path: String,
    pub(super) slot: AdapterSlot<T>,
    pub(super) weight: Parameter<T>,
    /// Another name of the weight.
    pub(super) tied_to: Option<String>,
}

/// All layers with a slot, a shared one once.
#[track_caller]
pub(super) fn all<T: Float>(model: &(impl Module<T> + ?Sized)) -> Vec<Found<T>> {
    let mut parameters: Vec<(String, Parameter<T>)> = Vec::new();
    let mut slots: Vec<(String, AdapterSlot<T>)> = Vec::new();
    let mut seen = HashSet::new();
    model.visit(&mut Path::default(), &mut |path, leaf| match leaf {
        Leaf::Parameter(parameter) => parameters.push((path.into(), parameter.clone())),
        Leaf::Adapter(slot) if seen.insert(slot.id()) => slots.push((path.into(), slot.clone())),
        _ => {}
    });
    let mut layers = Vec::new();
    for (name, slot) in slots {
        // The field's name is the last component.
        let path = name.rsplit_once('.').map_or("", |(path, _)| path);
        let weight_name = joined(path, "weight");
        let weight = parameters.iter().find(|(name, _)| *name == weight_name);
        let weight = weight.map(|(_, weight)| weight).filter(|weight| weight.shape().len() == 2);
        let Some(weight) = weight else {
            panic!("Lora: the slot `{name}`: no matrix named `{weight_name}`; expected one")
        };
        let tied_to =
            parameters.iter().find(|(n, other)| *n != weight_name && other.is_same(weight));
        layers.push(Found {
            path: path.into(),
            slot,
            weight: weight.clone(),
            tied_to: tied_to.map(|(name, _)| name.clone()),
        });
    }
    layers
}

/// The layers that the options choose, in the order of the model.
#[track_caller]
pub(super) fn chosen<T: Float>(
    model: &(impl Module<T> + ?Sized),
    options: &LoraOptions,
) -> Result<Vec<Found<T>>, LoraError> {
    let mut layers = all(model);
    let linears: Vec<String> = layers.iter().map(|layer| layer.path.clone()).collect();
    let mut unknown = Vec::new();
    if let TargetModules::Names(names) = &options.target_modules {
        let is_unknown = |name: &&String| !linears.iter().any(|path| matches(name, path));
        unknown.extend(names.iter().filter(is_unknown).cloned());
    }
    layers.retain(|layer| options.chooses(&layer.path));
    if layers.is_empty() || !unknown.is_empty() {
        return Err(LoraError::Target { found: unknown, linears });
    }
    match layers.iter().find(|layer| layer.slot.adapter().is_some()) {
        Some(layer) => Err(LoraError::Occupied { layer: layer.path.clone() }),
        None => Ok(layers),
    }
}

/// The name of a leaf of the layer at `path`.
pub(super) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}
