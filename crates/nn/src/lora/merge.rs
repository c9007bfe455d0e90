//! Adapters merged into the weights of their layers, and removed.

use super::find::joined;
use super::{Lora, LoraError};
use adamant_tensor::{Float, no_grad};

impl<T: Float> Lora<T> {
    /// Adds each adapter to the weight of its layer, `W + scale · B A`, so that a forward pass costs
    /// the same as without adapters, and the model's state is that of an ordinary model. Does nothing
    /// if they are merged.
    ///
    /// Outputs stay the same up to rounding, without dropout. While merged, the adapters have no
    /// gradients; they are not trained, and a change of their values shows only after
    /// [`unmerge`](Lora::unmerge). Merge while no other thread runs the model.
    ///
    /// Python: `peft_model.merge_adapter()`.
    ///
    /// # Errors
    /// If a weight is tied to another parameter, which would change too; nothing is merged then.
    ///
    /// # Panics
    /// If a [`ValueMut`](adamant_tensor::ValueMut) of a weight exists; nothing is merged then.
    #[track_caller]
    pub fn merge(&self) -> Result<(), LoraError> {
        if self.is_merged() {
            return Ok(());
        }
        for layer in self.layers.iter().map(|adapted| &adapted.layer) {
            if let Some(other) = &layer.tied_to {
                let (weight, other) = (joined(&layer.path, "weight"), other.clone());
                return Err(LoraError::Tied { weight, other });
            }
        }
        self.assert_no_guard("merge");
        for adapted in &self.layers {
            let layer = &adapted.layer;
            let (old, merged) = no_grad(|| {
                let old = layer.weight.tensor();
                let merged = &old + adapted.adapter.delta();
                (old, merged)
            });
            layer.weight.set_value(&merged);
            layer.slot.change(|slot| {
                if let Some(installed) = slot {
                    installed.unmerged = Some(old);
                }
            });
        }
        Ok(())
    }

    /// Restores the weights from before [`merge`](Lora::merge), bit by bit; what has changed them
    /// since then is lost. Does nothing if the adapters are not merged.
    ///
    /// Python: `peft_model.unmerge_adapter()`, which subtracts, and so restores them up to rounding.
    ///
    /// # Panics
    /// If a [`ValueMut`](adamant_tensor::ValueMut) of a weight exists; nothing is restored then.
    #[track_caller]
    pub fn unmerge(&self) {
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
    /// If the adapters are merged and a [`ValueMut`](adamant_tensor::ValueMut) of a weight exists.
    #[track_caller]
    pub fn unload(self) {
        if self.is_merged() {
            self.unmerge();
        }
        self.clear();
    }

    /// Merges the adapters for good: the model computes the same without them. Its parameters stay
    /// frozen.
    ///
    /// Python: `peft_model.merge_and_unload()`.
    ///
    /// # Errors
    /// Those of [`merge`](Lora::merge); the adapters then stay in the model.
    ///
    /// # Panics
    /// As [`merge`](Lora::merge).
    #[track_caller]
    pub fn merge_and_unload(self) -> Result<(), LoraError> {
        self.merge()?;
        self.clear();
        Ok(())
    }

    /// Empties the slots.
    fn clear(&self) {
        self.layers.iter().for_each(|adapted| adapted.layer.slot.change(|slot| *slot = None));
    }

    /// Checks before the first change that none will panic.
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
