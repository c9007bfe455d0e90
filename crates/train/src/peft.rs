//! Folders of adapters, as Python's `peft` reads and writes them.

use adamant_checkpoint::{load_safetensors, save_safetensors};
use adamant_files::{FileError, FormatError, create_folder, open, write_atomically};
use adamant_nn::{Lora, LoraError, LoraInit, LoraOptions, Module, TargetModules};
use adamant_tensor::{Float, Generator, StateDict};
use serde_json::{Map, Value as Json, json};
use std::io::Read;
use std::path::Path;
use thiserror::Error;

const CONFIG: &str = "adapter_config.json";
const MATRICES: &str = "adapter_model.safetensors";

/// The end of the name of a matrix `A`.
const MATRIX: &str = ".lora_A.weight";

/// Why [`load_peft`] has not loaded adapters.
#[derive(Error)]
#[non_exhaustive]
pub enum PeftError {
    /// A file cannot be read, or asks for what is not supported.
    #[error(transparent)]
    File(#[from] FileError),
    /// The adapters do not fit the model.
    #[error(transparent)]
    Lora(#[from] LoraError),
}
adamant_tensor::debug_as_display!(PeftError);

/// Writes the adapters into a folder that Python's `peft` loads: `adapter_model.safetensors` and
/// `adapter_config.json`. The paths of the layers must be the same in Python.
///
/// Generators of dropout are not written: to resume a run, save the [`Lora`] itself, which is
/// [`Stateful`](adamant_tensor::Stateful).
///
/// Python: `peft_model.save_pretrained(folder)`.
///
/// # Errors
/// If the folder or a file cannot be written.
///
/// ```
/// use adamant_nn::{Linear, Lora, LoraOptions};
/// use adamant_tensor::Generator;
/// use adamant_train::{load_peft, save_peft};
/// # let folder = tempfile::tempdir().unwrap();
/// let rng = &mut Generator::seed(0);
/// let model = vec![Linear::new(3, 2, rng)];
/// let lora = Lora::new(&model, LoraOptions::default().rank(4).target_modules(["0"]), rng)?;
/// save_peft(&folder, &lora)?;
///
/// let other = vec![Linear::new(3, 2, rng)];
/// let loaded = load_peft(&folder, &other, rng)?;
/// assert_eq!(loaded.peft_state(), lora.peft_state());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_peft<T: Float>(folder: impl AsRef<Path>, lora: &Lora<T>) -> Result<(), FileError> {
    let folder = folder.as_ref();
    create_folder(folder)?;
    save_safetensors(&lora.peft_state(), folder.join(MATRICES))?;
    let mut text = serde_json::to_string_pretty(&config(lora)).expect("no fallible part");
    text.push('\n');
    write_atomically(&folder.join(CONFIG), |out| out.write_all(text.as_bytes()))
}

/// Adds the adapters in a folder written by Python's `peft` or [`save_peft`] to `model`, and
/// freezes all of its parameters, as [`Lora::new`] does. `rng` is for dropout.
///
/// A file of another float type is converted to the model's.
///
/// Python: `peft.PeftModel.from_pretrained(model, folder, is_trainable=True)`.
///
/// # Errors
/// If a file cannot be read, the configuration asks for what [`Lora`] does not have, or the
/// adapters do not fit the model, which is then unchanged.
///
/// # Panics
/// As [`Lora::new`].
#[track_caller]
pub fn load_peft<T: Float>(
    folder: impl AsRef<Path>,
    model: &(impl Module<T> + ?Sized),
    rng: &mut Generator,
) -> Result<Lora<T>, PeftError> {
    let folder = folder.as_ref();
    let config = read(&folder.join(CONFIG))?;
    let state = load_safetensors(folder.join(MATRICES))?;
    let options = options(&config, &state).map_err(|error| error.at(&folder.join(CONFIG)))?;
    Ok(Lora::from_peft(model, options, &state, rng)?)
}

fn config<T: Float>(lora: &Lora<T>) -> Json {
    let options = lora.options();
    let targets = match &options.target_modules {
        TargetModules::Names(names) => names.clone(),
        TargetModules::AllLinear => lora.layers().map(String::from).collect(),
    };
    let alpha = options.lora_alpha;
    json!({
        "peft_type": "LORA",
        "task_type": null,
        "base_model_name_or_path": null,
        "inference_mode": true,
        "r": options.rank,
        // An integer, if it is one, as `peft` writes it.
        "lora_alpha": if alpha == f64::from(alpha as i32) { json!(alpha as i32) } else { json!(alpha) },
        "lora_dropout": options.lora_dropout,
        "use_rslora": options.use_rslora,
        "target_modules": targets,
        "exclude_modules": match &options.exclude_modules[..] { [] => Json::Null, names => json!(names) },
        "init_lora_weights": match options.init_lora_weights {
            LoraInit::Kaiming => json!(true),
            LoraInit::Gaussian => json!("gaussian"),
        },
        "bias": "none",
    })
}

fn read(path: &Path) -> Result<Map<String, Json>, FileError> {
    /// Far more than any has; a limit on memory.
    const LONGEST: u64 = 1 << 20;
    let (file, _) = open(path)?;
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(|error| FileError::io(path, error))?;
    serde_json::from_slice(&text).map_err(|error| {
        FileError::format(path, error.to_string(), "the configuration of an adapter")
    })
}

/// The options that a configuration of `peft` describes, for adapters with these matrices.
fn options(config: &Map<String, Json>, state: &StateDict) -> Result<LoraOptions, FormatError> {
    let get = |key: &str| config.get(key).unwrap_or(&Json::Null);
    let wrong = |key: &str, expected: &str| {
        FormatError::new(format!("`{key}`: {}", get(key)), format!("`{key}`: {expected}"))
    };
    let mut options = LoraOptions::default();
    if get("peft_type") != "LORA" {
        return Err(wrong("peft_type", "\"LORA\""));
    }
    // Whether the names of the matrices must tell which layers are chosen.
    let mut is_pattern = false;
    for (key, value) in config {
        match &key[..] {
            "r" => {
                let rank = value.as_u64().and_then(|rank| rank.try_into().ok());
                options.rank = rank.ok_or_else(|| wrong(key, "an integer of at least 1"))?;
            }
            "lora_alpha" => {
                options.lora_alpha = value.as_f64().ok_or_else(|| wrong(key, "a number"))?;
            }
            "lora_dropout" => {
                options.lora_dropout = value.as_f64().ok_or_else(|| wrong(key, "a number"))?;
            }
            "use_rslora" => {
                options.use_rslora = value.as_bool().ok_or_else(|| wrong(key, "true or false"))?;
            }
            "target_modules" | "exclude_modules" => match value {
                Json::String(text) if text == "all-linear" => options = options.all_linear(),
                Json::String(_) => is_pattern = true,
                _ => {
                    let names = names(value).ok_or_else(|| wrong(key, "names or a pattern"))?;
                    options = match &key[..] {
                        "target_modules" => options.target_modules(names),
                        _ => options.exclude_modules(names),
                    };
                }
            },
            "layers_to_transform" => is_pattern |= !is_off(value),
            "init_lora_weights" => match value {
                // Others, such as PiSSA, also change the weights of the model.
                Json::Bool(_) => {}
                Json::String(text) if text == "gaussian" => {
                    options = options.init_lora_weights(LoraInit::Gaussian);
                }
                _ => return Err(wrong(key, "true, false or \"gaussian\"")),
            },
            _ if WITHOUT_EFFECT.contains(&&key[..]) || is_off(value) => {}
            _ => return Err(wrong(key, "its default: adamant does not have this option")),
        }
    }
    // Before adapters of this rank are made: a damaged one may not fit in memory.
    let Some((name, value)) = state.iter().find(|(name, _)| name.ends_with(MATRIX)) else {
        let found = format!("no `{MATRIX}` in `{MATRICES}`");
        return Err(FormatError::new(found, "one for each layer"));
    };
    let a = value.cast::<f32>().tensor::<f32>();
    let rank = a.and_then(|a| a.shape().first().copied()).unwrap_or_default();
    if options.rank != rank {
        return Err(wrong("r", &format!("{rank}, as `{name}` has rows")));
    }
    if is_pattern {
        let layers = state
            .keys()
            .filter_map(|name| name.strip_prefix("base_model.model.")?.strip_suffix(MATRIX));
        options = options.target_modules(layers).exclude_modules([""; 0]);
    }
    Ok(options)
}

/// What does not change the adapters of a model that exists already.
const WITHOUT_EFFECT: [&str; 11] = [
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "layers_pattern",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Whether an option of `peft` with this value does nothing.
fn is_off(value: &Json) -> bool {
    match value {
        Json::Null | Json::Bool(false) => true,
        Json::Bool(true) | Json::Number(_) => false,
        Json::String(text) => text == "none",
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
    }
}

/// A list of names; none for `null`.
fn names(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::Null => Some(Vec::new()),
        Json::Array(names) => names.iter().map(|name| Some(name.as_str()?.into())).collect(),
        _ => None,
    }
}
