//! ResNet with basic blocks: ResNet-18 and ResNet-34.
//!
//! [Deep Residual Learning for Image Recognition](https://arxiv.org/abs/1512.03385)

use crate::conv::{classes_in, conv};
use crate::model_error::ModelError;
use adamant_checkpoint::Weights;
use adamant_nn::{
    BatchNorm2d, Conv2d, Conv2dOptions, Forward, Linear, LoadOptions, Module, init, load_with,
};
use adamant_tensor::{Generator, MaxPool2dOptions, Tensor};
use std::path::Path;

/// The options of a [`ResNet`]; the defaults are those of ResNet-18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNetOptions {
    layers: [usize; 4],
    width: usize,
}

impl Default for ResNetOptions {
    fn default() -> Self {
        ResNetOptions { layers: [2, 2, 2, 2], width: 64 }
    }
}

impl ResNetOptions {
    /// The number of blocks in each of the four stages; default `[2, 2, 2, 2]`. Those of ResNet-34
    /// are `[3, 4, 6, 3]`.
    #[must_use]
    pub fn layers(self, layers: [usize; 4]) -> Self {
        ResNetOptions { layers, ..self }
    }

    /// The channels of the first stage, which each of the others doubles; default 64.
    #[must_use]
    pub fn width(self, width: usize) -> Self {
        ResNetOptions { width, ..self }
    }
}

/// A residual net: images `[N, 3, H, W]` to a score for each class, `[N, classes]`.
///
/// Its names are those of torchvision and timm (`layer2.0.downsample.0.weight`), so their states
/// load as they are. Both expect pixels from 0 to 1, normalized with the means 0.485, 0.456, 0.406
/// and the standard deviations 0.229, 0.224, 0.225.
///
/// PyTorch: `torchvision.models.resnet18()`, `resnet34()`.
///
/// ```
/// use adamant_models::{ResNet, ResNetOptions};
/// use adamant_nn::{Forward, Linear, Module};
/// use adamant_tensor::{Generator, Tensor};
///
/// let mut rng = Generator::seed(0);
/// let options = ResNetOptions::default().width(8);
/// let mut net = ResNet::with_options(1000, options, &mut rng); // or ResNet::open("resnet18.pth", …)?
/// net.fc = Linear::new(64, 3, &mut rng); // a new head
/// net.freeze_batch_norms();
/// assert_eq!(net.forward(&Tensor::zeros([2, 3, 64, 64])).shape(), [2, 3]);
/// ```
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct ResNet {
    /// `7 × 7`, with a stride of 2.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm2d,
    /// The blocks of the first stage, of an image of H / 4 × W / 4.
    pub layer1: Vec<BasicBlock>,
    /// The second stage: twice the channels, H / 8 × W / 8.
    pub layer2: Vec<BasicBlock>,
    /// The third stage: four times the channels, H / 16 × W / 16.
    pub layer3: Vec<BasicBlock>,
    /// The fourth stage: eight times the channels, H / 32 × W / 32.
    pub layer4: Vec<BasicBlock>,
    /// The head: from the mean of each channel to the classes.
    pub fc: Linear,
}

impl ResNet {
    /// ResNet-18, with random weights.
    #[must_use]
    pub fn new(classes: usize, rng: &mut Generator) -> Self {
        Self::with_options(classes, ResNetOptions::default(), rng)
    }

    /// A net with random weights.
    ///
    /// # Panics
    /// If a stage has no blocks, or the parameters do not fit in memory.
    #[must_use]
    #[track_caller]
    pub fn with_options(classes: usize, options: ResNetOptions, rng: &mut Generator) -> Self {
        let ResNetOptions { layers, width } = options;
        assert!(
            !layers.contains(&0),
            "ResNet: layers is {layers:?}; expected at least 1 block in each stage"
        );
        let stem = Conv2dOptions::default().stride(2).padding(3);
        ResNet {
            conv1: conv([3, width], 7, stem, 1, rng),
            bn1: BatchNorm2d::new(width),
            layer1: stage([width, width], layers[0], 1, rng),
            layer2: stage([width, 2 * width], layers[1], 2, rng),
            layer3: stage([2 * width, 4 * width], layers[2], 2, rng),
            layer4: stage([4 * width, 8 * width], layers[3], 2, rng),
            fc: Linear::new(8 * width, classes, rng),
        }
    }

    /// Opens a file of weights, for as many classes as its head has.
    ///
    /// PyTorch: `resnet18()` and `load_state_dict(torch.load(path))`.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or does not have the weights of a net with these options.
    ///
    /// # Panics
    /// As [`with_options`](ResNet::with_options).
    ///
    /// ```no_run
    /// use adamant_models::{ResNet, ResNetOptions};
    /// let net = ResNet::open("resnet34.pth", ResNetOptions::default().layers([3, 4, 6, 3]))?;
    /// # Ok::<(), adamant_models::ModelError>(())
    /// ```
    #[track_caller]
    pub fn open(path: impl AsRef<Path>, options: ResNetOptions) -> Result<Self, ModelError> {
        let (path, rng) = (path.as_ref(), &mut Generator::seed(0)); // nothing is drawn
        let weights = Weights::open(path)?;
        let classes = classes_in(&weights, &["fc.weight"]);
        let net = init::skip_init(|| ResNet::with_options(classes, options, rng));
        match load_with(&net, &weights, LoadOptions::default()) {
            Ok(_) => Ok(net),
            Err(error) => Err(ModelError::weights(path, error)),
        }
    }

    /// The output of the last stage: `[N, 3, H, W] → [N, 8 width, ⌈H / 32⌉, ⌈W / 32⌉]`.
    ///
    /// timm: `model.forward_features(x)`.
    #[must_use]
    pub fn features(&self, x: &Tensor) -> Tensor {
        let x = self.bn1.forward(&self.conv1.forward(x)).relu();
        let x = x.max_pool2d(3, MaxPool2dOptions::default().stride(2).padding(1));
        let blocks = self.layer1.iter().chain(&self.layer2).chain(&self.layer3).chain(&self.layer4);
        blocks.fold(x, |x, block| block.forward(&x))
    }
}

impl Forward for ResNet {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.fc.forward(&self.features(x).mean_dim([2, 3]))
    }
}

fn stage(
    [inputs, outputs]: [usize; 2],
    blocks: usize,
    stride: usize,
    rng: &mut Generator,
) -> Vec<BasicBlock> {
    let block = |i| match i {
        0 => BasicBlock::new([inputs, outputs], stride, rng),
        _ => BasicBlock::new([outputs, outputs], 1, rng),
    };
    (0..blocks).map(block).collect()
}

/// Two `3 × 3` convolutions, whose result is added to the input.
///
/// torchvision: `BasicBlock`.
#[derive(Debug, Module)]
#[module(crate = adamant_nn, clone)]
pub struct BasicBlock {
    /// With the stride of the block.
    pub conv1: Conv2d,
    /// After `conv1`.
    pub bn1: BatchNorm2d,
    /// Without a stride.
    pub conv2: Conv2d,
    /// After `conv2`.
    pub bn2: BatchNorm2d,
    /// Changes the shape of the input to that of the result; `None` if they are equal.
    pub downsample: Option<(Conv2d, BatchNorm2d)>,
}

impl BasicBlock {
    fn new([inputs, outputs]: [usize; 2], stride: usize, rng: &mut Generator) -> Self {
        let padded = Conv2dOptions::default().padding(1);
        let strided = Conv2dOptions::default().stride(stride);
        BasicBlock {
            conv1: conv([inputs, outputs], 3, padded.stride(stride), 1, rng),
            bn1: BatchNorm2d::new(outputs),
            conv2: conv([outputs, outputs], 3, padded, 1, rng),
            bn2: BatchNorm2d::new(outputs),
            downsample: (stride != 1 || inputs != outputs)
                .then(|| (conv([inputs, outputs], 1, strided, 1, rng), BatchNorm2d::new(outputs))),
        }
    }
}

impl Forward for BasicBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.bn1.forward(&self.conv1.forward(x)).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y));
        match &self.downsample {
            Some((conv, bn)) => (y + bn.forward(&conv.forward(x))).relu(),
            None => (y + x).relu(),
        }
    }
}
