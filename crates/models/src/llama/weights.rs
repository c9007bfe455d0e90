//! Models of Llama's shape in files.

use super::{Llama, LlamaConfig};
use adamant_checkpoint::{Gguf, SafeTensors, save_safetensors};
use adamant_files::{FileError, write_atomically};
use adamant_nn::{StateDict, StateError, Stateful};
use adamant_tensor::{Tensor, Value};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The parts of a layer: their names in a GGUF file, and here.
const PARTS: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];
