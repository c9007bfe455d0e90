//! Modules that are run again in the backward pass, to save memory.

use crate::tree::adapter::AdapterSlot;
use crate::tree::buffer::{Buffer, Counter, SharedGenerator};
use crate::tree::module::{Leaf, LeafMut, Module, Path};
use adamant_tensor::{Float, Parameter, Tensor, checkpoint, is_grad_enabled};

/// Runs a part of a model without keeping its saved values; the backward pass runs it again to
/// recompute them. Values and gradients are those of `forward(module)`, bit for bit.
///
/// It is [`checkpoint`] for a module. `forward` runs on handles to the module's own parameters, buffers
/// and generators, and owns everything else that it uses, such as its input. Statistics of a batch
/// normalization are updated in both runs. If recording is off, this is the plain call.
///
/// PyTorch: `torch.utils.checkpoint.checkpoint(module, x)`.
///
/// # Panics
/// As [`checkpoint`].
///
/// ```
/// use adamant_nn::{Forward, Linear, Module, checkpoint_module};
/// use adamant_tensor::{Generator, Tensor};
/// let layers = vec![Linear::new(64, 64, &mut Generator::seed(0)); 10];
/// let mut x = Tensor::ones([8, 64]);
/// for layer in &layers {
///     let input = x.clone(); // a handle
///     x = checkpoint_module(layer, move |layer| layer.forward(&input).tanh());
/// }
/// x.sum().backward();
/// assert!(layers.parameters().iter().all(|parameter| parameter.grad().is_some()));
/// ```
#[must_use]
#[track_caller]
pub fn checkpoint_module<T, M>(
    module: &M,
    forward: impl Fn(&M) -> Tensor<T> + Send + Sync + 'static,
) -> Tensor<T>
where
    T: Float,
    M: Module<T> + Clone + Send + Sync + 'static,
{
    if !is_grad_enabled() {
        return forward(module);
    }
    let module = handles(module);
    checkpoint(move || forward(&module))
}

/// A handle to a leaf.
enum Handle<T: Float> {
    Parameter(Parameter<T>),
    Buffer(Buffer<T>),
    Counter(Counter),
    Generator(SharedGenerator),
    Adapter(AdapterSlot<T>),
}

/// A second owner of the same leaves: a clone, whose own leaves are replaced by handles to the
/// original's.
fn handles<T: Float, M: Module<T> + Clone>(module: &M) -> M {
    let mut leaves = Vec::new();
    module.visit(&mut Path::default(), &mut |_, leaf| {
        leaves.push(match leaf {
            Leaf::Parameter(parameter) => Handle::Parameter(parameter.clone()),
            Leaf::Buffer(buffer) => Handle::Buffer(buffer.clone()),
            Leaf::Counter(counter) => Handle::Counter(counter.clone()),
            Leaf::Generator(generator) => Handle::Generator(generator.clone()),
            Leaf::Adapter(slot) => Handle::Adapter(slot.clone()),
        });
    });
    let (mut copy, mut leaves) = (module.clone(), leaves.into_iter());
    // `clone` has checked that both visits have the same order.
    copy.visit_mut(&mut |leaf| match leaf {
        LeafMut::Training(_) => {} // a value, not a handle
        leaf => match (leaf, leaves.next()) {
            (LeafMut::Parameter(own), Some(Handle::Parameter(shared))) => *own = shared,
            (LeafMut::Buffer(own), Some(Handle::Buffer(shared))) => *own = shared,
            (LeafMut::Counter(own), Some(Handle::Counter(shared))) => *own = shared,
            (LeafMut::Generator(own), Some(Handle::Generator(shared))) => *own = shared,
            (LeafMut::Adapter(own), Some(Handle::Adapter(shared))) => *own = shared,
            _ => panic!(
                "checkpoint_module: visit_mut shows other leaves than visit; expected the same in the \
                 same order"
            ),
        },
    });
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BatchNorm1d, Dropout, Forward, Linear, Lora, LoraOptions, Sequential, Stateful,
        module_state,
    };
    use adamant_tensor::{Generator, graph_to_dot, no_grad};

    fn net() -> Sequential {
        let rng = &mut Generator::seed(0);
        Sequential::new()
            .add(Linear::new(4, 6, rng))
            .add(Dropout::new(0.5, rng))
            .add(Linear::new(6, 2, rng))
    }

    /// The output, and the gradients of `x` and of these parameters.
    fn run(net: &Sequential, trained: &[Parameter], checkpointed: bool) -> Vec<Vec<f32>> {
        let x = Tensor::randn([3, 4], &mut Generator::seed(1)).requires_grad();
        let input = x.clone();
        let y = match checkpointed {
            true => checkpoint_module(net, move |net| net.forward(&input).tanh()),
            false => net.forward(&x).tanh(),
        };
        if checkpointed {
            assert!(!graph_to_dot(&y).contains("linear"));
        }
        y.sum().backward();
        let of_parameters = trained.iter().map(|parameter| parameter.grad().unwrap().to_vec());
        [y.to_vec(), x.grad().unwrap().to_vec()].into_iter().chain(of_parameters).collect()
    }

    #[test]
    fn the_bits_are_those_of_the_plain_call() {
        let (plain, again) = (net(), net());
        let expected = run(&plain, &plain.parameters(), false);
        assert_eq!(run(&again, &again.parameters(), true), expected);
        // The generators have moved alike.
        assert_eq!(again.state_dict(), plain.state_dict());
    }

    #[test]
    fn adapters_are_shared() {
        let trained = |checkpointed| {
            let net = net();
            let options = LoraOptions::default().rank(2).lora_dropout(0.3).all_linear();
            let lora = Lora::new(&net, options, &mut Generator::seed(2)).unwrap();
            lora.parameters().iter().for_each(|parameter| parameter.value_mut().fill(0.5));
            let gradients = run(&net, &lora.parameters(), checkpointed);
            assert!(net.parameters().iter().all(|parameter| parameter.grad().is_none()));
            gradients
        };
        assert_eq!(trained(true), trained(false));
    }

    #[test]
    fn statistics_are_the_modules_own() {
        let norm = BatchNorm1d::new(2);
        let x = Tensor::from([[1.0, 2.0], [3.0, 5.0]]);
        let input = x.clone();
        let _ = checkpoint_module(&norm, move |norm| norm.forward(&input));
        let plain = BatchNorm1d::new(2);
        let _ = plain.forward(&x);
        assert_eq!(module_state(&norm), module_state(&plain));
    }

    #[test]
    fn without_recording_it_is_the_plain_call() {
        let net = Linear::new(2, 3, &mut Generator::seed(0));
        let address = (&raw const net).addr();
        let y = no_grad(|| {
            checkpoint_module(&net, move |net| {
                assert_eq!((&raw const *net).addr(), address);
                net.forward(&Tensor::ones([1, 2]))
            })
        });
        assert!(!y.is_tracked());
    }
}
