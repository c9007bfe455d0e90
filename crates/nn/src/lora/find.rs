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

#[cfg(test)]
mod tests {
    use crate::{AdapterSlot, Linear, Lora, LoraError, LoraInit, LoraOptions, Module};
    use adamant_tensor::{Generator, Parameter, Tensor};

    #[derive(Module)]
    #[module(crate = crate)]
    struct Net {
        layers: Vec<Linear>,
        lm_head: Linear,
    }

    fn net() -> Net {
        let rng = &mut Generator::seed(0);
        let layers = (0..3).map(|_| Linear::new(3, 3, rng)).collect();
        Net { layers, lm_head: Linear::new(3, 2, rng) }
    }

    fn add(net: &Net, options: LoraOptions) -> Result<Lora, LoraError> {
        Lora::new(net, options, &mut Generator::seed(1))
    }

    fn layers(options: LoraOptions) -> Vec<String> {
        add(&net(), options).unwrap().layers().map(String::from).collect()
    }

    #[test]
    fn layers_are_chosen_by_name() {
        let options = LoraOptions::default();
        assert_eq!(
            layers(options.clone().target_modules(["2", "lm_head"])),
            ["layers.2", "lm_head"]
        );
        let all = options.all_linear();
        assert_eq!(layers(all.clone()), ["layers.0", "layers.1", "layers.2"]);
        assert_eq!(layers(all.exclude_modules(["layers.1"])), ["layers.0", "layers.2"]);
    }

    #[test]
    fn a_name_without_a_layer_is_reported_with_those_that_there_are() {
        let net = net();
        let error = |options| {
            let error = add(&net, options).unwrap_err().to_string();
            // Nothing has changed.
            assert!(net.parameters().iter().all(Parameter::is_tracked));
            assert!(super::all(&net).iter().all(|layer| layer.slot.adapter().is_none()));
            error
        };
        let linears =
            "expected names of linear layers: `layers.0`, `layers.1`, `layers.2`, `lm_head`";
        let options = LoraOptions::default();
        let names = options.clone().target_modules(["0", "q_proj", "layers"]);
        let expected = format!("Lora: target_modules: found `q_proj`, `layers`, {linears}");
        assert_eq!(error(names), expected);
        let expected = format!("Lora: target_modules: found none, {linears}");
        assert_eq!(error(options.clone()), expected);
        assert_eq!(error(options.all_linear().exclude_modules(["0", "1", "2"])), expected);
    }

    #[test]
    fn options_are_checked() {
        let options = LoraOptions::default().all_linear();
        for (options, expected) in [
            (options.clone().rank(0), "rank is 0; expected at least 1"),
            (options.clone().lora_alpha(f64::NAN), "lora_alpha is NaN; expected finite"),
            (
                options.clone().lora_dropout(1.0),
                "lora_dropout is 1.0; expected at least 0 and below 1",
            ),
        ] {
            let text = add(&net(), options).unwrap_err().to_string();
            assert_eq!(text, format!("LoraOptions: {expected}"));
        }
    }

    #[test]
    fn a_second_adapter_is_an_error_even_after_the_first_lora_is_dropped() {
        let net = net();
        let first = add(&net, LoraOptions::default().target_modules(["1"])).unwrap();
        let expected =
            "Lora: `layers.1`: found an adapter, expected none; `Lora::unload` removes it";
        let all = LoraOptions::default().all_linear();
        assert_eq!(add(&net, all.clone()).unwrap_err().to_string(), expected);
        assert!(net.layers[0].adapter.adapter().is_none());
        drop(first);
        assert_eq!(add(&net, all).unwrap_err().to_string(), expected);
        // Another layer may still have one.
        assert!(add(&net, LoraOptions::default().target_modules(["0"])).is_ok());
    }

    #[test]
    fn adapters_start_as_in_peft() {
        let layer = [Linear::new(1000, 3, &mut Generator::seed(0))];
        let a = |init| {
            let options = LoraOptions::default().rank(16).init_lora_weights(init).all_linear();
            let lora = Lora::new(&layer, options, &mut Generator::seed(1)).unwrap();
            let [a, b] = &lora.parameters()[..] else { panic!() };
            assert_eq!(b.tensor().to_vec(), [0.0; 48]);
            let a = a.tensor();
            lora.unload();
            a
        };
        let largest = a(LoraInit::Kaiming).abs().max().item();
        assert!((0.0315..=0.031_623).contains(&largest), "{largest}"); // 1/√1000
        let deviation = a(LoraInit::Gaussian).square().mean().item().sqrt();
        assert!((deviation - 1.0 / 16.0).abs() < 0.001, "{deviation}");
    }

    #[test]
    #[should_panic(expected = "Lora: the slot `slot`: no matrix named `weight`; expected one")]
    fn a_slot_without_a_weight_is_reported() {
        #[derive(Module)]
        #[module(crate = crate)]
        struct Odd {
            weight: Parameter,
            slot: AdapterSlot,
        }
        let odd = Odd { weight: Parameter::new(Tensor::ones([3])), slot: AdapterSlot::default() };
        let _ = Lora::new(&odd, LoraOptions::default().all_linear(), &mut Generator::seed(0));
    }
}
