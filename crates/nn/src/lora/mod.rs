//! LoRA: low-rank adapters of a frozen model.

mod error;
mod find;
mod merge;
mod options;
mod peft;

pub use error::LoraError;
pub use options::{LoraInit, LoraOptions, TargetModules};

use crate::init;
use crate::tree::adapter::{Adapter, Installed};
use crate::tree::buffer::SharedGenerator;
use crate::tree::module::{Leaf, LeafMut, Module, Path};
use crate::tree::state;
use adamant_tensor::{Float, Generator, Parameter, StateDict, StateError, Stateful, Tensor};
use find::Found;
use std::fmt;

/// Adapters of a model's linear layers: to the output of each chosen layer they add
/// `scale · (dropout(x) Aᵀ) Bᵀ`, where `A` is `[rank, in_features]` and `B`, which starts as zero,
/// is `[out_features, rank]`. The model itself is frozen, and only these small matrices are trained.
///
/// A `Lora` is a module of its adapters alone: its [`parameters`](Module::parameters) are those that
/// an optimizer trains, and its state is small. The model's own parameters and state are the same as
/// without it. Dropout follows the model's training mode.
///
/// The adapters are in the layers, so the model computes with them wherever it is used, and keeps
/// them when the `Lora` is dropped; [`unload`](Lora::unload) removes them. The `Lora` holds handles
/// to the layers' weights: do not replace layers or weights of the model while it exists. Code that
/// uses the weight of a [`Linear`](crate::Linear) without its `forward` does not see the adapter.
///
/// Paper: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021. Python:
/// `peft.get_peft_model(model, LoraConfig(…))`.
///
/// ```
/// use adamant_nn::{Forward, Linear, Lora, LoraOptions, Module, Relu, Sequential};
/// use adamant_tensor::{Generator, Tensor};
/// let rng = &mut Generator::seed(0);
/// let net = Sequential::new().add(Linear::new(64, 64, rng)).add(Relu).add(Linear::new(64, 2, rng));
/// let options = LoraOptions::default().rank(4).lora_alpha(8.0).target_modules(["0"]);
/// let lora = Lora::new(&net, options, rng)?;
/// assert_eq!((lora.num_parameters(), net.num_parameters()), (512, 4290));
///
/// net.forward(&Tensor::ones([1, 64])).sum().backward();
/// assert!(lora.parameters().iter().all(|parameter| parameter.grad().is_some()));
/// assert!(net.parameters().iter().all(|parameter| parameter.grad().is_none()));
/// # Ok::<(), adamant_nn::LoraError>(())
/// ```
pub struct Lora<T: Float = f32> {
    /// At least one.
    layers: Vec<Adapted<T>>,
    options: LoraOptions,
}

/// A layer and its adapter.
struct Adapted<T: Float> {
    layer: Found<T>,
    /// Handles to the leaves of the one in the layer's slot.
    adapter: Adapter<T>,
}

impl<T: Float> Lora<T> {
    /// Adds adapters to the layers that the options choose, and freezes all parameters of `model`.
    /// To train some of these too, such as a new head, thaw them afterwards by
    /// [`set_requires_grad`](Module::set_requires_grad).
    ///
    /// # Errors
    /// If an option is out of its range, a name in
    /// [`target_modules`](LoraOptions::target_modules) is not that of a linear layer, or a chosen
    /// layer already has an adapter. The model is then unchanged.
    ///
    /// # Panics
    /// If a layer with an [`AdapterSlot`](crate::AdapterSlot) does not have a matrix named `weight`.
    #[track_caller]
    pub fn new(
        model: &(impl Module<T> + ?Sized),
        options: LoraOptions,
        rng: &mut Generator,
    ) -> Result<Self, LoraError> {
        let lora = Lora::prepare(model, options, rng)?;
        lora.install(model);
        Ok(lora)
    }

    /// Adapters that are not yet in the layers.
    #[track_caller]
    fn prepare(
        model: &(impl Module<T> + ?Sized),
        options: LoraOptions,
        rng: &mut Generator,
    ) -> Result<Self, LoraError> {
        options.check()?;
        let layers = find::chosen(model, &options)?;
        let adapted = |layer: Found<T>| {
            let adapter = adapter(layer.weight.shape(), &options, rng);
            Adapted { layer, adapter }
        };
        Ok(Lora { layers: layers.into_iter().map(adapted).collect(), options })
    }

    /// Puts the adapters of [`prepare`](Lora::prepare) into the layers.
    fn install(&self, model: &(impl Module<T> + ?Sized)) {
        model.set_requires_grad(false);
        for Adapted { layer, adapter } in &self.layers {
            let adapter = adapter.clone();
            layer.slot.change(|slot| *slot = Some(Installed { adapter, unmerged: None }));
        }
    }

    /// The adapters of `copy`, a clone of the model: independent of these, with the same options.
    ///
    /// # Panics
    /// If `copy` does not have adapters in the same layers.
    ///
    /// ```
    /// use adamant_nn::{Linear, Lora, LoraOptions, Module, Stateful};
    /// use adamant_tensor::Generator;
    /// let rng = &mut Generator::seed(0);
    /// let model = vec![Linear::new(3, 2, rng)];
    /// let lora = Lora::new(&model, LoraOptions::default().target_modules(["0"]), rng)?;
    /// let copy = model[0].clone();
    /// let copied = lora.of_clone(&[copy]);
    /// assert_eq!(copied.state_dict(), lora.state_dict());
    /// # Ok::<(), adamant_nn::LoraError>(())
    /// ```
    #[must_use]
    #[track_caller]
    pub fn of_clone(&self, copy: &(impl Module<T> + ?Sized)) -> Self {
        let mut layers = Vec::new();
        for layer in find::all(copy) {
            if let Some(adapter) = layer.slot.adapter() {
                layers.push(Adapted { layer, adapter });
            }
        }
        let paths = |layers: &[Adapted<T>]| -> Vec<String> {
            layers.iter().map(|adapted| adapted.layer.path.clone()).collect()
        };
        let (found, expected) = (paths(&layers), paths(&self.layers));
        assert!(
            found == expected,
            "Lora: a clone with adapters in {found:?}; expected those of the model, {expected:?}"
        );
        Lora { layers, options: self.options.clone() }
    }

    /// The options that the adapters were made with.
    #[must_use]
    pub fn options(&self) -> &LoraOptions {
        &self.options
    }

    /// The paths of the layers with an adapter, in the order of the model.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = &str> {
        self.layers.iter().map(|adapted| &adapted.layer.path[..])
    }
}

/// A new adapter of a layer with a weight of this shape.
fn adapter<T: Float>(weight: &[usize], options: &LoraOptions, rng: &mut Generator) -> Adapter<T> {
    let (out_features, in_features, rank) = (weight[0], weight[1], options.rank);
    let a = match options.init_lora_weights {
        LoraInit::Kaiming => init::kaiming_uniform([rank, in_features], 5f64.sqrt(), rng),
        LoraInit::Gaussian => init::normal([rank, in_features], 0.0, 1.0 / rank as f64, rng),
    };
    let p = options.lora_dropout;
    Adapter {
        a: Parameter::new(a),
        b: Parameter::new(Tensor::zeros([out_features, rank])),
        scale: options.scale(),
        dropout: (p > 0.0).then(|| (p, SharedGenerator::new(rng.fork()))),
    }
}

/// The adapters, under the paths of their layers: `q_proj.lora_A.weight`.
impl<T: Float> Module<T> for Lora<T> {
    fn visit(&self, path: &mut Path, visit: &mut dyn FnMut(&str, Leaf<'_, T>)) {
        for Adapted { layer, adapter } in &self.layers {
            path.child(&layer.path, |path| adapter.visit(path, visit));
        }
    }
    fn visit_mut(&mut self, visit: &mut dyn FnMut(LeafMut<'_, T>)) {
        self.layers.iter_mut().for_each(|adapted| adapted.adapter.visit_mut(visit));
    }
}

/// The matrices and, if there is dropout, its generators.
impl<T: Float> Stateful for Lora<T> {
    fn state_dict(&self) -> StateDict {
        state::module_state(self)
    }
    fn check_state_dict(&self, state: &StateDict) -> Result<(), StateError> {
        state::check_module_state(self, state)
    }
    fn load_state_dict(&mut self, state: &StateDict) -> Result<(), StateError> {
        state::load_module_state(self, state)
    }
}

impl<T: Float> fmt::Debug for Lora<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<&str> = self.layers().collect();
        f.debug_struct("Lora").field("layers", &layers).field("options", &self.options).finish()
    }
}
