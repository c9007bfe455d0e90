//! **adamant** trains and fine-tunes models on CPUs: PyTorch's semantics, no
//! Python, one `cargo build`.
//!
//! Begin with `use adamant::prelude::*;`. Each crate of the workspace is a
//! module here:
//!
//! * [`tensor`] — tensors and the tape;
//! * [`nn`] — modules, layers, losses;
//! * [`optim`] — Adam, SGD, schedules, clipping;
//! * [`data`] — data sets, readers, loaders;
//! * [`checkpoint`] — state in files: a run resumes where it was, to the bit;
//! * [`train`] — runs, metrics, training helpers;
//! * [`parallel`] — training by several processes: the same bits on any number of them.
//!
//! ```
//! use adamant::prelude::*;
//!
//! let mut rng = Generator::seed(0);
//! let model = Sequential::new()
//!     .add(Linear::new(2, 16, &mut rng))
//!     .add(Tanh)
//!     .add(Linear::new(16, 2, &mut rng));
//! let mut adam = Adam::new(model.parameters(), AdamOptions::default().lr(0.05)).unwrap();
//! let inputs = Tensor::from_vec(vec![0., 0., 0., 1., 1., 0., 1., 1.], [4, 2]).unwrap();
//! for _ in 0..100 {
//!     adam.zero_grad();
//!     cross_entropy(&model.forward(&inputs), &[0, 1, 1, 0]).backward();
//!     adam.step();
//! }
//! assert_eq!(model.forward(&inputs).argmax(1), [0, 1, 1, 0]); // exclusive or
//! ```

#![forbid(unsafe_code)]

pub use adamant_checkpoint as checkpoint;
pub use adamant_data as data;
#[cfg(feature = "mpi")]
pub use adamant_mpi as mpi;
pub use adamant_nn as nn;
pub use adamant_optim as optim;
pub use adamant_parallel as parallel;
pub use adamant_tensor as tensor;
pub use adamant_train as train;

pub use adamant_tensor::{
    empty_cache, memory_stats, num_threads, reset_peak_memory_stats, set_num_threads,
};

/// The names that a program needs to train models: `use adamant::prelude::*;`.
pub mod prelude {
    pub use adamant_checkpoint::{
        Checkpoint, CheckpointManager, SavedType, Weights, load_pt, load_safetensors, save_pt,
        save_safetensors, save_safetensors_as,
    };
    #[cfg(feature = "image")]
    pub use adamant_data::ImageFolder;
    pub use adamant_data::{
        Batch, ByteRows, CharVocabulary, Cifar10, Collate, Csv, DataError, DataLoader, Image,
        LabeledImages, Mnist, ShardBatch, Standardize, Subset, Table, TableEncoder, TensorDataset,
        TokenWindows, k_fold, random_split, stratified_split,
    };
    pub use adamant_derive::{Collate, Stateful};
    pub use adamant_nn::{
        AdapterSlot, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
        AttentionMasks, AvgPool2d, BatchNorm1d, BatchNorm2d, BatchNormOptions, BceLoss,
        BceWithLogitsLoss, Bilinear, BilinearOptions, Buffer, Celu, Conv1d, Conv1dOptions, Conv2d,
        Conv2dOptions, ConvTranspose2d, ConvTranspose2dOptions, CosineEmbeddingLoss,
        CrossEntropyLoss, Dropout, Dropout2d, Elu, Embedding, EmbeddingOptions, Flatten, Forward,
        Gelu, GeluTanh, GroupNorm, GroupNormOptions, Gru, GruOptions, Hardsigmoid, Hardswish,
        Hardtanh, HuberLoss, Identity, KlDivLoss, KvCache, L1Loss, Lambda, Layer, LayerNorm,
        LayerNormOptions, LeakyRelu, Linear, LinearOptions, LoadError, LoadOptions, LoadReport,
        LogSigmoid, LogSoftmax, Lora, LoraInit, LoraOptions, Lstm, LstmOptions, MaxPool2d, Mish,
        Module, ModuleDict, MseLoss, MultiheadAttention, MultiheadAttentionOptions, NllLoss,
        Nonlinearity, Reduction, Relu, Relu6, RmsNorm, RmsNormOptions, Rnn, RnnOptions,
        RotaryEmbedding, RotaryEmbeddingOptions, RotaryScaling, Selu, Sequential, SharedGenerator,
        Sigmoid, Silu, SmoothL1Loss, Softmax, Softplus, Softsign, SqueezeExcitation,
        SqueezeExcitationOptions, SyncBatchNorm, Tanh, Threshold, Training, TransformerActivation,
        TransformerEncoderLayer, TransformerEncoderLayerOptions, TripletMarginLoss, bce_loss,
        bce_with_logits, cosine_embedding_loss, cross_entropy, huber_loss, init, kl_div, l1_loss,
        linear_cross_entropy, load_with, mse_loss, nll_loss, observe, smooth_l1_loss, summary,
        triplet_margin_loss,
    };
    pub use adamant_optim::{
        Adam, AdamOptions, AnnealStrategy, CosineAnnealingLr, CosineAnnealingLrOptions,
        ExponentialLr, LambdaLr, LearningRates, LinearLr, MultiStepLr, OneCycleLr,
        OneCycleLrOptions, Optimizer, ParamGroup, PlateauMode, ReduceLrOnPlateau,
        ReduceLrOnPlateauOptions, Scheduler, SequentialLr, Sgd, SgdOptions, StepLr, SwaLr,
        ThresholdMode, clip_grad_norm, clip_grad_norm_if_finite, clip_grad_value,
    };
    pub use adamant_parallel::DataParallel;
    pub use adamant_tensor::{
        Array, AttentionOptions, AvgPool2dOptions, Conv1dParams, Conv2dParams, Float, Generator,
        GradOptions, Indices, Mask, MaxPool2dOptions, PadMode, Parameter, REST, StateDict,
        StateError, StateSource, Stateful, Storage, Tensor, Value, Weight, checkpoint,
        detect_anomaly, enable_grad, grad, gradcheck, gradgradcheck, keepdim, no_grad,
        scaled_dot_product_attention, swiglu,
    };
    pub use adamant_train::{
        Accuracy, Auroc, Average, AveragedModel, ConfusionMatrix, EarlyStopping, History, LrFinder,
        Mean, Perplexity, RegressionErrors, Run, RunFolder, Seeds, accumulate, load_peft,
        save_peft, try_accumulate, update_bn,
    };
}

/// The README's program is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The layer of this page is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-layer.md")]
struct AddingALayer;

/// The programs of this page are compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/data.md")]
struct Data;

/// The program of this page is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/runs.md")]
struct Runs;

/// The program of this page is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/weights.md")]
struct Weights;

/// The program of this page is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/distributed.md")]
struct Distributed;
