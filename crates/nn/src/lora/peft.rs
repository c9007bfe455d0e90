//! Adapters under the names of Python's `peft`.

use super::{Lora, LoraError, LoraOptions};
use crate::tree::module::Module;
use adamant_tensor::{Float, Generator, Parameter, StateDict, StateError, Stateful};

/// What comes before the path of a layer in the names of `peft`.
const PREFIX: &str = "base_model.model";

impl<T: Float> Lora<T> {
    /// The matrices under the names in `adapter_model.safetensors`:
    /// `base_model.model.q_proj.lora_A.weight`.
    ///
    /// The path of a layer must be the same in Python.
    ///
    /// Python: `peft.get_peft_model_state_dict(peft_model)`.
    #[must_use]
    pub fn peft_state(&self) -> StateDict {
        let named = self.named_parameters();
        let tensor = |(name, parameter): (String, Parameter<T>)| (name, parameter.tensor());
        let mut state = StateDict::new();
        state.insert_part(PREFIX, named.into_iter().map(tensor).collect());
        state
    }

    /// Adapters with the matrices of a [`peft_state`](Lora::peft_state), of any float type; as
    /// [`Lora::new`] otherwise. `rng` is for dropout.
    ///
    /// Python: `peft.PeftModel.from_pretrained(model, folder)`.
    ///
    /// # Errors
    /// Those of [`Lora::new`], and if the state does not fit. The model is then unchanged.
    ///
    /// # Panics
    /// As [`Lora::new`].
    #[track_caller]
    pub fn from_peft(
        model: &(impl Module<T> + ?Sized),
        options: LoraOptions,
        state: &StateDict,
        rng: &mut Generator,
    ) -> Result<Self, LoraError> {
        let mut lora = Lora::prepare(model, options, rng)?;
        let mut state = state.cast::<T>();
        state.remove_prefix(&format!("{PREFIX}.")).map_err(StateError::from)?;
        lora.load_state_dict(&state)?;
        lora.install(model);
        Ok(lora)
    }
}
