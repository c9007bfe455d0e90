//! The models of the comparison; `torch_worker.py` and `jax_worker.py` define the same.

use adamant::prelude::*;

/// A convolution without bias, then batch normalization.
#[derive(Module)]
struct NormedConv {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl NormedConv {
    fn new(channels: [usize; 2], kernel: usize, stride: usize, rng: &mut Generator) -> Self {
        let options = Conv2dOptions::default().stride(stride).padding(kernel / 2).bias(false);
        NormedConv {
            conv: Conv2d::with_options(channels[0], channels[1], kernel, options, rng),
            norm: BatchNorm2d::new(channels[1]),
        }
    }
}

impl Forward for NormedConv {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.conv.forward(x))
    }
}

#[derive(Module)]
struct BasicBlock {
    conv1: NormedConv,
    conv2: NormedConv,
    shortcut: Option<NormedConv>,
}

impl Forward for BasicBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.conv2.forward(&self.conv1.forward(x).relu());
        match &self.shortcut {
            Some(shortcut) => h + shortcut.forward(x),
            None => h + x,
        }
        .relu()
    }
}

/// ResNet-18 for images of 32 × 32: a 3 × 3 stem without pooling.
#[derive(Module)]
pub(crate) struct ResNet18 {
    stem: NormedConv,
    blocks: Vec<BasicBlock>,
    head: Linear,
}

impl ResNet18 {
    pub(crate) fn new(rng: &mut Generator) -> Self {
        let mut blocks = Vec::new();
        let mut before = 64;
        for (channels, stride) in [(64, 1), (128, 2), (256, 2), (512, 2)] {
            for stride in [stride, 1] {
                let shortcut = (stride != 1 || before != channels)
                    .then(|| NormedConv::new([before, channels], 1, stride, rng));
                blocks.push(BasicBlock {
                    conv1: NormedConv::new([before, channels], 3, stride, rng),
                    conv2: NormedConv::new([channels, channels], 3, 1, rng),
                    shortcut,
                });
                before = channels;
            }
        }
        ResNet18 {
            stem: NormedConv::new([3, 64], 3, 1, rng),
            blocks,
            head: Linear::new(512, 10, rng),
        }
    }
}

impl Forward for ResNet18 {
    fn forward(&self, x: &Tensor) -> Tensor {
        let stem = self.stem.forward(x).relu();
        let h = self.blocks.iter().fold(stem, |h, block| block.forward(&h));
        self.head.forward(&h.adaptive_avg_pool2d(1).flatten(1, -1))
    }
}

/// The net of PyTorch's MNIST example.
#[derive(Module)]
pub(crate) struct MnistCnn {
    conv1: Conv2d,
    conv2: Conv2d,
    dropout1: Dropout,
    dropout2: Dropout,
    fc1: Linear,
    fc2: Linear,
}

impl MnistCnn {
    pub(crate) fn new(rng: &mut Generator) -> Self {
        MnistCnn {
            conv1: Conv2d::new(1, 32, 3, rng),
            conv2: Conv2d::new(32, 64, 3, rng),
            dropout1: Dropout::new(0.25, rng),
            dropout2: Dropout::new(0.5, rng),
            fc1: Linear::new(9216, 128, rng),
            fc2: Linear::new(128, 10, rng),
        }
    }
}

impl Forward for MnistCnn {
    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.conv2.forward(&self.conv1.forward(x).relu()).relu();
        let h = self.dropout1.forward(&h.max_pool2d(2, MaxPool2dOptions::default())).flatten(1, -1);
        self.fc2.forward(&self.dropout2.forward(&self.fc1.forward(&h).relu()))
    }
}

/// LeNet-5 with ReLU and max pooling, for `[N, 784]` digits.
#[derive(Module)]
pub(crate) struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    head: Sequential,
}

impl LeNet5 {
    pub(crate) fn new(rng: &mut Generator) -> Self {
        LeNet5 {
            conv1: Conv2d::with_options(1, 6, 5, Conv2dOptions::default().padding(2), rng),
            conv2: Conv2d::new(6, 16, 5, rng),
            head: perceptron(&[400, 120, 84, 10], rng),
        }
    }
}

impl Forward for LeNet5 {
    fn forward(&self, x: &Tensor) -> Tensor {
        let pool = |h: Tensor| h.relu().max_pool2d(2, MaxPool2dOptions::default());
        let h = pool(self.conv1.forward(&x.reshape([REST, 1, 28, 28])));
        self.head.forward(&pool(self.conv2.forward(&h)).flatten(1, -1))
    }
}

/// Linear layers of these widths, with ReLUs between them.
pub(crate) fn perceptron(widths: &[usize], rng: &mut Generator) -> Sequential {
    let mut net = Sequential::new();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            net = net.add(Relu);
        }
        net = net.add(Linear::new(pair[0], pair[1], rng));
    }
    net
}

#[derive(Module)]
struct GptBlock {
    norm1: LayerNorm,
    attention: MultiheadAttention,
    norm2: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl Forward for GptBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        let seen = self.norm1.forward(x);
        let masks = AttentionMasks::default().causal(true);
        let x = x + self.attention.attend(&seen, &seen, &seen, masks);
        let h = self.widen.forward(&self.norm2.forward(&x)).gelu();
        x + self.narrow.forward(&h)
    }
}

/// A GPT of characters.
#[derive(Module)]
pub(crate) struct Gpt {
    characters: Embedding,
    positions: Embedding,
    blocks: Vec<GptBlock>,
    norm: LayerNorm,
    head: Linear,
}

impl Gpt {
    pub(crate) fn new(
        [layers, heads, width]: [usize; 3],
        [alphabet, context]: [usize; 2],
        rng: &mut Generator,
    ) -> Self {
        let mut block = || GptBlock {
            norm1: LayerNorm::new([width]),
            attention: MultiheadAttention::new(width, heads, rng),
            norm2: LayerNorm::new([width]),
            widen: Linear::new(width, 4 * width, rng),
            narrow: Linear::new(4 * width, width, rng),
        };
        Gpt {
            blocks: (0..layers).map(|_| block()).collect(),
            characters: Embedding::new(alphabet, width, rng),
            positions: Embedding::new(context, width, rng),
            norm: LayerNorm::new([width]),
            head: Linear::new(width, alphabet, rng),
        }
    }

    /// `[N, L]` characters to `[N · L, alphabet]` scores.
    pub(crate) fn forward(&self, x: &Indices) -> Tensor {
        let positions = Indices::from((0..x.shape()[1]).collect::<Vec<_>>());
        let h = self.characters.forward(x) + self.positions.forward(&positions);
        let h = self.blocks.iter().fold(h, |h, block| block.forward(&h));
        self.head.forward(&self.norm.forward(&h)).flatten(0, 1)
    }
}

/// The LSTM of PyTorch's `word_language_model` example.
#[derive(Module)]
pub(crate) struct LanguageModel {
    words: Embedding,
    lstm: Lstm,
    dropout: Dropout,
    head: Linear,
}

impl LanguageModel {
    pub(crate) fn new(words: usize, width: usize, layers: usize, rng: &mut Generator) -> Self {
        let options = LstmOptions::default().num_layers(layers).dropout(0.2);
        LanguageModel {
            words: Embedding::new(words, width, rng),
            lstm: Lstm::with_options(width, width, options, rng),
            dropout: Dropout::new(0.2, rng),
            head: Linear::new(width, words, rng),
        }
    }

    /// `[N, L]` words to `[N · L, words]` scores.
    pub(crate) fn forward(&self, x: &Indices) -> Tensor {
        let h = self.lstm.forward(&self.dropout.forward(&self.words.forward(x)));
        self.head.forward(&self.dropout.forward(&h)).flatten(0, 1)
    }
}
