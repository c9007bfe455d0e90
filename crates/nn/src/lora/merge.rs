//! Adapters merged into the weights of their layers, and removed.

use super::find::joined;
use super::{Adapted, Lora, LoraError, MergeError};
use crate::tree::adapter::Installed;
use adamant_tensor::{Float, Tensor, no_grad};

impl<T: Float> Lora<T> {
    /// Adds each adapter to the weight of its layer, `W + scale · B A`, so that a forward pass
    /// costs the same as without adapters, and the model's state is that of an ordinary model. Does
    /// nothing if they are merged.
    ///
    /// Outputs stay the same up to rounding, without dropout. (A weight that is stored with 16 bits
    /// is rounded to these again.) While merged, the adapters have no gradients, and a change of
    /// their values shows only after [`unmerge`](Lora::unmerge). Merge while no other thread runs
    /// the model.
    ///
    /// Python: `peft_model.merge_adapter()`.
    ///
    /// # Errors
    /// If a weight is tied to another parameter, which would change too; nothing is merged then.
    ///
    /// # Panics
    /// If a [`ValueMut`](adamant_tensor::ValueMut) of a weight exists; nothing is merged then.
    ///
    /// ```
    /// use adamant_nn::{Linear, Lora, LoraOptions};
    /// use adamant_tensor::Generator;
    /// let rng = &mut Generator::seed(0);
    /// let model = vec![Linear::new(3, 2, rng)];
    /// let lora = Lora::new(&model, LoraOptions::default().all_linear(), rng)?;
    /// lora.merge()?;
    /// assert!(lora.is_merged());
    /// // Evaluate, or save the model, and continue to train:
    /// lora.unmerge();
    /// # Ok::<(), adamant_nn::LoraError>(())
    /// ```
    #[track_caller]
    pub fn merge(&self) -> Result<(), LoraError> {
        if self.is_merged() {
            return Ok(());
        }
        self.check_before_merge("merge")?;
        for adapted in &self.layers {
            let unmerged = Some(adapted.merge());
            let adapter = adapted.adapter.clone();
            adapted.layer.slot.change(|slot| *slot = Some(Installed { adapter, unmerged }));
        }
        Ok(())
    }

    /// Restores the weights from before [`merge`](Lora::merge), bit by bit; what has changed them
    /// since then is lost. Does nothing if the adapters are not merged.
    ///
    /// Python: `peft_model.unmerge_adapter()`, which subtracts, and so restores them up to
    /// rounding.
    ///
    /// # Panics
    /// If the adapters are merged and a [`ValueMut`](adamant_tensor::ValueMut) of a weight exists;
    /// nothing is restored then.
    #[track_caller]
    pub fn unmerge(&self) {
        if !self.is_merged() {
            return;
        }
        self.assert_no_guard("unmerge");
        for layer in self.layers.iter().map(|adapted| &adapted.layer) {
            let old = layer.slot.change(|slot| slot.as_mut()?.unmerged.take());
            if let Some(old) = old {
                layer.weight.set_value(&old);
            }
        }
    }

    /// Whether the adapters are merged into the weights.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.layers.iter().any(|adapted| adapted.layer.slot.is_merged())
    }

    /// Removes the adapters: the model's values are those from before [`Lora::new`]. Its parameters
    /// stay frozen.
    ///
    /// Python: `peft_model.unload()`.
    ///
    /// # Panics
    /// As [`unmerge`](Lora::unmerge).
    #[track_caller]
    pub fn unload(self) {
        self.unmerge();
        self.layers.iter().for_each(Adapted::remove);
    }

    /// Merges the adapters for good: the model computes the same without them. Its parameters stay
    /// frozen.
    ///
    /// Python: `peft_model.merge_and_unload()`.
    ///
    /// # Errors
    /// As [`merge`](Lora::merge). The adapters then stay in the model, and the error contains this `Lora`,
    /// which can still save or [`unload`](Lora::unload) them.
    ///
    /// # Panics
    /// As [`merge`](Lora::merge).
    #[track_caller]
    pub fn merge_and_unload(self) -> Result<(), MergeError<T>> {
        let is_merged = self.is_merged();
        if !is_merged && let Err(error) = self.check_before_merge("merge_and_unload") {
            return Err(MergeError { lora: Box::new(self), error });
        }
        for adapted in &self.layers {
            if !is_merged {
                // Not kept: the old weights of all layers would be the model again.
                drop(adapted.merge());
            }
            adapted.remove();
        }
        Ok(())
    }

    /// Checks before the first change that none will fail.
    #[track_caller]
    fn check_before_merge(&self, op: &str) -> Result<(), LoraError> {
        for layer in self.layers.iter().map(|adapted| &adapted.layer) {
            if let Some(other) = &layer.tied_to {
                let (weight, other) = (joined(&layer.path, "weight"), other.clone());
                return Err(LoraError::Tied { weight, other });
            }
        }
        self.assert_no_guard(op);
        Ok(())
    }

    #[track_caller]
    fn assert_no_guard(&self, op: &str) {
        for layer in self.layers.iter().map(|adapted| &adapted.layer) {
            assert!(
                !layer.weight.is_being_written(),
                "Lora: {op}: `{}` is being written to; drop its `ValueMut` first",
                joined(&layer.path, "weight")
            );
        }
    }
}

impl<T: Float> Adapted<T> {
    /// Adds the adapter to the weight, and returns the old weight.
    #[track_caller]
    fn merge(&self) -> Tensor<T> {
        no_grad(|| {
            let old = self.layer.weight.tensor();
            self.layer.weight.set_value(&(&old + self.adapter.delta()));
            old
        })
    }

    /// Empties the slot.
    fn remove(&self) {
        self.layer.slot.change(|slot| *slot = None);
    }
}

#[cfg(test)]
mod tests {
    use crate::lora::tests::{Llama, adapted, close};
    use crate::{Forward, Linear, Lora, LoraOptions, Module, Stateful};
    use adamant_tensor::{Generator, Parameter, Tensor};

    fn x() -> Tensor {
        Tensor::randn([3, 4], &mut Generator::seed(9))
    }

    #[test]
    fn merging_keeps_outputs_and_unmerging_restores_the_bits() {
        let (model, lora) = adapted(0.0);
        let (state, y) = (model.state_dict(), model.forward(&x()));
        let adapters = lora.state_dict();
        lora.merge().unwrap();
        assert!(lora.is_merged());
        let merged = model.state_dict();
        assert_ne!(merged, state);
        close(&model.forward(&x()), &y);
        lora.merge().unwrap(); // does nothing
        assert_eq!(model.state_dict(), merged);

        lora.unmerge();
        assert!(!lora.is_merged());
        assert_eq!(model.state_dict(), state);
        assert_eq!(model.forward(&x()).to_vec(), y.to_vec());
        lora.unmerge(); // does nothing
        assert_eq!((model.state_dict(), lora.state_dict()), (state, adapters));
    }

    #[test]
    fn merged_adapters_have_no_gradients() {
        let (model, lora) = adapted(0.0);
        lora.merge().unwrap();
        assert!(!model.forward(&x()).is_tracked());
        lora.unmerge();
        assert!(model.forward(&x()).is_tracked());
    }

    #[test]
    fn unloading_leaves_the_old_weights_or_the_merged_ones() {
        let (model, lora) = adapted(0.5);
        let state = model.state_dict();
        lora.merge().unwrap();
        lora.unload();
        assert_eq!(model.state_dict(), state);
        assert!(model.parameters().iter().all(|parameter| !parameter.is_tracked()));

        for merged_before in [false, true] {
            let (model, lora) = adapted(0.0);
            let y = model.forward(&x());
            if merged_before {
                lora.merge().unwrap();
            }
            lora.merge_and_unload().unwrap();
            close(&model.forward(&x()), &y);
            // The slots are free again.
            let options = LoraOptions::default().all_linear();
            let again = Lora::new(&model, options, &mut Generator::seed(0)).unwrap();
            close(&model.forward(&x()), &y);
            drop(again);
        }
    }

    #[test]
    fn a_clone_of_a_merged_model_can_be_unmerged() {
        let (model, lora) = adapted(0.0);
        let state = model.state_dict();
        lora.merge().unwrap();
        let copy = model.clone();
        assert_eq!(copy.forward(&x()).to_vec(), model.forward(&x()).to_vec());
        let copied = lora.of_clone(&copy);
        assert!(copied.is_merged());
        copied.unmerge();
        assert!(lora.is_merged() && !copied.is_merged());
        assert_eq!(copy.state_dict(), state);
        assert_ne!(model.state_dict(), state);
    }

    #[test]
    fn a_tied_weight_is_not_merged() {
        let rng = &mut Generator::seed(0);
        let mut model =
            vec![Linear::new(3, 3, rng), Linear::new(3, 3, rng), Linear::new(3, 3, rng)];
        model[2].weight = model[0].weight.clone();
        let options = LoraOptions::default().target_modules(["1", "2"]);
        let lora = Lora::new(&model, options, rng).unwrap();
        lora.parameters().iter().for_each(|parameter| parameter.value_mut().fill(1.0));
        let state = crate::module_state(&model);
        let expected = "Lora: merging into `2.weight` would change `0.weight`, which is tied to it";
        assert_eq!(lora.merge().unwrap_err().to_string(), expected);
        assert!(!lora.is_merged());
        assert_eq!(crate::module_state(&model), state);
        let error = lora.merge_and_unload().unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), format!("{error:?}").as_str()),
            (expected, expected)
        );
        assert_eq!(crate::module_state(&model), state);
        let adapters = || model.iter().filter(|layer| layer.adapter.adapter().is_some()).count();
        assert_eq!(adapters(), 2);
        error.lora.unload();
        assert_eq!(adapters(), 0);
    }

    #[test]
    fn a_weight_in_16_bits_is_merged_and_restored() {
        use adamant_tensor::Storage;
        let (model, lora) = adapted(0.0);
        model.parameters().iter().for_each(|parameter| parameter.store_as(Storage::Bf16));
        let (state, y) = (model.state_dict(), model.forward(&x()));
        y.sum().backward();
        assert!(lora.parameters().iter().all(|parameter| parameter.grad().is_some()));
        lora.merge().unwrap();
        assert!((model.forward(&x()) - &y).abs().max().item() < 0.05 * y.abs().max().item());
        lora.unmerge();
        assert_eq!(model.state_dict(), state);
        assert_eq!(model.forward(&x()).to_vec(), y.to_vec());
        assert!(model.parameters().iter().all(|p| p.storage() == Storage::Bf16));
    }

    fn last_weight(model: &Llama) -> &Parameter {
        &model.layers.last().unwrap().v_proj.weight
    }

    #[test]
    fn a_weight_that_is_being_written_is_reported_before_the_first_change() {
        let (model, lora) = adapted(0.0);
        let state = model.state_dict();
        let guard = last_weight(&model).value_mut();
        let merge = std::panic::AssertUnwindSafe(|| lora.merge());
        let message = std::panic::catch_unwind(merge).unwrap_err();
        let expected = "Lora: merge: `layers.1.v_proj.weight` is being written to; drop its `ValueMut` \
                        first";
        assert_eq!(*message.downcast::<String>().unwrap(), expected);
        drop(guard);
        assert_eq!(model.state_dict(), state);
        assert!(!lora.is_merged());
    }
}
