//! What is timed, other than limits. `works.py` lists the works with their sizes.

use crate::models::{Gpt, LanguageModel, LeNet5, MnistCnn, ResNet18, perceptron};
use crate::{Sizes, Work, operations, timed};
use adamant::prelude::*;

pub(crate) fn prepare(kind: &str, sizes: &Sizes<'_>) -> Option<Work> {
    let rng = &mut Generator::seed(0);
    Some(match kind {
        "operation" => operations::prepare(sizes, rng),
        "conv" => conv(sizes, rng),
        "resnet18" => {
            let net = ResNet18::new(rng);
            images(net, [sizes.number("batch"), 3, sizes.number("size"), sizes.number("size")], rng)
        }
        "mnist_cnn" => images(MnistCnn::new(rng), [sizes.number("batch"), 1, 28, 28], rng),
        "perceptron" => {
            let widths = sizes.list("widths");
            images(perceptron(&widths, rng), [sizes.number("batch"), widths[0]], rng)
        }
        "lenet_epoch" => epoch(LeNet5::new(rng), sizes.number("batch"), rng),
        "perceptron_epoch" => {
            epoch(perceptron(&sizes.list("widths"), rng), sizes.number("batch"), rng)
        }
        "gpt" => gpt(sizes, rng),
        "lstm" => lstm(sizes, rng),
        "language_model" => language_model(sizes, rng),
        "tiny_step" => tiny_step(sizes, rng),
        "overhead" => overhead(),
        "one_sample" => one_sample(sizes, rng),
        "adam" => adam(sizes, rng),
        _ => return None,
    })
}

/// A training step: `loss` is the forward pass.
fn step(
    parameters: Vec<Parameter>,
    options: AdamOptions,
    loss: impl Fn() -> Tensor + 'static,
) -> Work {
    let mut adam = Adam::new(parameters, options).unwrap();
    timed(move || {
        adam.zero_grad();
        loss().backward();
        adam.step();
    })
}

/// `n` class targets below `classes`.
fn classes(n: usize, classes: usize) -> Vec<usize> {
    (0..n).map(|i| i * 7 % classes).collect()
}

/// A step on a batch of images of ten classes.
fn images<const D: usize>(
    net: impl Forward + Module + 'static,
    shape: [usize; D],
    rng: &mut Generator,
) -> Work {
    let (inputs, targets) = (Tensor::randn(shape, rng), classes(shape[0], 10));
    step(net.parameters(), AdamOptions::default(), move || {
        cross_entropy(&net.forward(&inputs), &targets)
    })
}

/// An epoch of MNIST in a new order; the last partial batch is dropped.
fn epoch(net: impl Forward + Module + 'static, batch: usize, rng: &mut Generator) -> Work {
    let mnist = Mnist::bundled().expect("the bundled files");
    let mut loader = DataLoader::new(&mnist.train, batch).shuffle(rng).drop_last(true);
    let mut adam = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
    timed(move || {
        for batch in loader.epoch() {
            adam.zero_grad();
            cross_entropy(&net.forward(&batch.inputs), &batch.targets).backward();
            adam.step();
        }
    })
}

fn conv(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let [channels, out, groups] = ["in", "out", "groups"].map(|name| sizes.number(name));
    let [kernel, size] = ["kernel", "size"].map(|name| sizes.number(name));
    let params =
        Conv2dParams::default().stride(sizes.number("stride")).padding(kernel / 2).groups(groups);
    let x = Tensor::<f32>::randn([sizes.number("batch"), channels, size, size], rng);
    let weight = Tensor::<f32>::randn([out, channels / groups, kernel, kernel], rng);
    if !sizes.backward() {
        return timed(move || x.conv2d(&weight, None, params));
    }
    let (x, weight) = (x.requires_grad(), weight.requires_grad());
    let gradient = Tensor::ones(x.conv2d(&weight, None, params).shape());
    timed(move || {
        x.zero_grad();
        weight.zero_grad();
        x.conv2d(&weight, None, params).backward_with(&gradient);
    })
}

/// A step of a GPT with AdamW.
fn gpt(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let [batch, context, words] = ["batch", "context", "words"].map(|name| sizes.number(name));
    let shape = ["layers", "heads", "width"].map(|name| sizes.number(name));
    let net = Gpt::new(shape, [words, context], rng);
    let inputs = Indices::from_vec(classes(batch * context, words), [batch, context]).unwrap();
    let targets = classes(batch * context, words);
    step(net.parameters(), AdamOptions::adamw(), move || {
        cross_entropy(&net.forward(&inputs), &targets)
    })
}

/// One layer of an LSTM, forward and backward.
fn lstm(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let [batch, length] = ["batch", "length"].map(|name| sizes.number(name));
    let [inputs, hidden] = ["inputs", "hidden"].map(|name| sizes.number(name));
    let net = Lstm::new(inputs, hidden, rng);
    let x = Tensor::<f32>::randn([batch, length, inputs], rng).requires_grad();
    let gradient = Tensor::ones([batch, length, hidden]);
    timed(move || {
        x.zero_grad();
        net.zero_grad();
        net.forward(&x).backward_with(&gradient);
    })
}

fn language_model(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let [batch, length, words] = ["batch", "length", "words"].map(|name| sizes.number(name));
    let net = LanguageModel::new(words, sizes.number("width"), sizes.number("layers"), rng);
    let inputs = Indices::from_vec(classes(batch * length, words), [batch, length]).unwrap();
    let targets = classes(batch * length, words);
    step(net.parameters(), AdamOptions::default(), move || {
        cross_entropy(&net.forward(&inputs), &targets)
    })
}

/// A step of 2-16-2 with tanh on random inputs: overhead only.
fn tiny_step(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let net = Sequential::new().add(Linear::new(2, 16, rng)).add(Tanh).add(Linear::new(16, 2, rng));
    let batch = sizes.number("batch");
    let (inputs, targets) = (Tensor::randn([batch, 2], rng), classes(batch, 2));
    step(net.parameters(), AdamOptions::default(), move || {
        cross_entropy(&net.forward(&inputs), &targets)
    })
}

/// Forward and backward of four operations on 4 elements, 100 times.
fn overhead() -> Work {
    let leaves = [(); 3].map(|()| Tensor::from([0.1f32, 0.2, 0.3, 0.4]).requires_grad());
    timed(move || {
        for _ in 0..100 {
            let [a, b, c] = &leaves;
            (a * b + c).tanh().sum().backward();
            leaves.iter().for_each(Tensor::zero_grad);
        }
    })
}

/// One sample through a perceptron, without recording, 100 times.
fn one_sample(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let widths = sizes.list("widths");
    let (net, sample) = (perceptron(&widths, rng), Tensor::rand([1, widths[0]], rng));
    timed(move || {
        for _ in 0..100 {
            std::hint::black_box(no_grad(|| net.forward(&sample)));
        }
    })
}

/// The optimizer alone.
fn adam(sizes: &Sizes<'_>, rng: &mut Generator) -> Work {
    let elements = sizes.number("elements");
    let mut parameter = || {
        let parameter = Parameter::new(Tensor::uniform([elements], -1.0, 1.0, rng));
        parameter.set_grad(Some(Tensor::uniform([elements], -1.0, 1.0, rng)));
        parameter
    };
    let parameters: Vec<Parameter> = (0..sizes.number("tensors")).map(|_| parameter()).collect();
    let options = AdamOptions::default().amsgrad(sizes.text("amsgrad") == "true");
    let mut adam = Adam::new(parameters, options).unwrap();
    timed(move || adam.step())
}
