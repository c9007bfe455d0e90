//! LoRA: low-rank adapters of a frozen model.

mod error;
mod find;
mod merge;
mod options;
mod peft;

pub use error::{LoraError, MergeError};
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
/// is `[out_features, rank]`. The model itself is frozen, and only these small matrices are
/// trained.
///
/// A `Lora` is a module of its adapters alone: its [`parameters`](Module::parameters) are those
/// that an optimizer trains, and its state is small. The model's own parameters and state are the
/// same as without it. Dropout follows the model's training mode.
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
/// let (body, head) = (Linear::new(64, 64, rng), Linear::new(64, 2, rng));
/// let net = Sequential::new().add(body).add(Relu).add(head);
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
    /// If a layer with an [`AdapterSlot`](crate::AdapterSlot) does not have a matrix named
    /// `weight`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Embedding, Forward, Linear, LinearOptions, Module, Relu, RmsNorm, Sequential, summary,
    };
    use adamant_tensor::Indices;

    #[derive(Module)]
    #[module(crate = crate, clone)]
    pub(super) struct Block {
        norm: RmsNorm,
        pub(super) q_proj: Linear,
        pub(super) v_proj: Linear,
    }

    #[derive(Module)]
    #[module(crate = crate, clone)]
    pub(super) struct Llama {
        embed_tokens: Embedding,
        pub(super) layers: Vec<Block>,
        lm_head: Linear,
    }

    impl Llama {
        fn new() -> Self {
            let rng = &mut Generator::seed(0);
            let options = LinearOptions::default().bias(false);
            let mut linear = |outputs| Linear::with_options(4, outputs, options, rng);
            let mut block =
                || Block { norm: RmsNorm::new([4]), q_proj: linear(4), v_proj: linear(4) };
            let (layers, mut lm_head) = (vec![block(), block()], linear(7));
            let embed_tokens = Embedding::new(7, 4, &mut Generator::seed(1));
            lm_head.weight = embed_tokens.weight.clone();
            Llama { embed_tokens, layers, lm_head }
        }
    }

    impl Forward for Llama {
        fn forward(&self, x: &Tensor) -> Tensor {
            let x = x + self.embed_tokens.forward(&Indices::from([1, 2, 3]));
            let x = self.layers.iter().fold(x, |x, block| {
                let y = block.norm.forward(&x);
                x + block.q_proj.forward(&y).sigmoid() * block.v_proj.forward(&y)
            });
            self.lm_head.forward(&x)
        }
    }

    /// A model and its adapters, whose `B` is not zero.
    pub(super) fn adapted(dropout: f64) -> (Llama, Lora) {
        let (model, rng) = (Llama::new(), &mut Generator::seed(2));
        let options = LoraOptions::default().rank(2).lora_dropout(dropout);
        let lora = Lora::new(&model, options.target_modules(["q_proj", "v_proj"]), rng).unwrap();
        for parameter in lora.parameters() {
            parameter.set_value(&Tensor::randn(parameter.shape(), rng));
        }
        (model, lora)
    }

    #[track_caller]
    pub(super) fn close(found: &Tensor, expected: &Tensor) {
        let error = (found - expected).abs().max().item();
        assert!(error <= 1e-5 * expected.abs().max().item(), "{error}");
    }

    fn x() -> Tensor {
        Tensor::randn([3, 4], &mut Generator::seed(9))
    }

    fn names<T: Float>(module: &impl Module<T>) -> Vec<String> {
        module.named_parameters().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn gradients_reach_the_adapters_only() {
        let (model, lora) = adapted(0.0);
        model.forward(&x()).sum().backward();
        assert!(lora.parameters().iter().all(|parameter| parameter.grad().is_some()));
        assert!(model.parameters().iter().all(|parameter| parameter.grad().is_none()));

        let rng = &mut Generator::seed(0);
        let net =
            Sequential::new().add(Linear::new(4, 5, rng)).add(Relu).add(Linear::new(5, 2, rng));
        let lora = Lora::new(&net, LoraOptions::default().target_modules(["0"]), rng).unwrap();
        // A head that is trained with the adapters.
        net.get(2).unwrap().set_requires_grad(true);
        net.forward(&x()).sum().backward();
        let trained = net.named_parameters().into_iter().filter(|(_, p)| p.grad().is_some());
        assert_eq!(trained.map(|(name, _)| name).collect::<Vec<_>>(), ["2.weight", "2.bias"]);
        assert!(lora.parameters().iter().all(|parameter| parameter.grad().is_some()));
    }

    #[test]
    fn the_output_is_that_of_the_formula() {
        let rng = &mut Generator::seed(0);
        let layers = [Linear::new(4, 3, rng)];
        let options = LoraOptions::default().rank(2).lora_alpha(3.0).all_linear();
        let lora = Lora::new(&layers, options, rng).unwrap();
        let before = layers[0].forward(&x());
        let base = x().linear(
            &layers[0].weight.tensor(),
            layers[0].bias.as_ref().map(|b| b.tensor()).as_ref(),
        );
        assert_eq!(before.to_vec(), base.to_vec()); // B is zero
        let [a, b] = &lora.parameters()[..] else { panic!() };
        assert_eq!((a.shape(), b.shape()), (&[2, 4][..], &[3, 2][..]));
        b.set_value(&Tensor::randn([3, 2], rng));
        let delta = x().matmul(&a.tensor().t()).matmul(&b.tensor().t()) * 1.5;
        close(&layers[0].forward(&x()), &(base + delta));
    }

    #[test]
    fn states_are_separate() {
        let (model, lora) = adapted(0.25);
        let expected = names(&Llama::new());
        assert_eq!(names(&model), expected);
        assert_eq!(model.state_dict().keys().collect::<Vec<_>>(), expected);
        let layers = ["0.q_proj", "0.v_proj", "1.q_proj", "1.v_proj"];
        assert!(lora.layers().eq(layers.map(|layer| format!("layers.{layer}"))));
        let entries = ["lora_A.weight", "lora_B.weight"];
        let expected: Vec<String> = layers
            .iter()
            .flat_map(|layer| entries.map(|entry| format!("layers.{layer}.{entry}")))
            .collect();
        assert_eq!(names(&lora), expected);
        assert!(lora.state_dict().contains("layers.0.q_proj.lora_dropout.rng.seed"));
        let peft: Vec<String> =
            expected.iter().map(|name| format!("base_model.model.{name}")).collect();
        assert_eq!(lora.peft_state().keys().collect::<Vec<_>>(), peft);

        // A state of the base loads into a model with adapters, and leaves these alone.
        let mut other = model.clone();
        other.parameters().iter().for_each(|parameter| parameter.value_mut().fill(0.0));
        other.load_state_dict(&model.state_dict()).unwrap();
        assert_eq!(lora.of_clone(&other).state_dict(), lora.state_dict());
        assert_eq!(other.forward(&x()).to_vec(), model.forward(&x()).to_vec());
    }

    #[test]
    fn a_clone_has_adapters_of_its_own() {
        let (model, lora) = adapted(0.0);
        let copy = model.clone();
        let copied = lora.of_clone(&copy);
        let y = model.forward(&x()).to_vec();
        assert_eq!(copy.forward(&x()).to_vec(), y);
        lora.parameters().iter().for_each(|parameter| parameter.value_mut().fill(1.0));
        assert_ne!(model.forward(&x()).to_vec(), y);
        assert_eq!(copy.forward(&x()).to_vec(), y);
        copy.forward(&x()).sum().backward();
        assert!(copied.parameters().iter().all(|parameter| parameter.grad().is_some()));
        assert!(lora.parameters().iter().all(|parameter| parameter.grad().is_none()));
        lora.unload();
        assert_eq!(copy.forward(&x()).to_vec(), y);
    }

    #[test]
    #[should_panic(
        expected = "Lora: a clone with adapters in []; expected those of the model, [\"lay"
    )]
    fn a_model_without_adapters_is_not_a_clone() {
        let (_, lora) = adapted(0.0);
        let _ = lora.of_clone(&Llama::new());
    }

    #[test]
    fn dropout_follows_the_mode_of_the_model_and_draws_from_the_state() {
        let (mut model, mut lora) = adapted(0.5);
        let state = lora.state_dict();
        let drawn = [0; 2].map(|_| model.forward(&x()).to_vec());
        assert_ne!(drawn[0], drawn[1]);
        lora.load_state_dict(&state).unwrap();
        assert_eq!([0; 2].map(|_| model.forward(&x()).to_vec()), drawn);

        lora.load_state_dict(&state).unwrap();
        let table = summary(&model, [3, 4]);
        assert_eq!(table.parameters, model.num_parameters());
        assert_eq!(table.trainable, 0);
        assert_eq!(lora.state_dict(), state); // a summary draws nothing
        model.eval();
        let (y, again) = (model.forward(&x()), model.forward(&x()));
        assert_eq!(y.to_vec(), again.to_vec());
        assert_eq!(lora.state_dict(), state);
        lora.merge().unwrap();
        close(&model.forward(&x()), &y);
    }
}
