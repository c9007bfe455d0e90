"""PyTorch's side of the comparison: `torch_worker.py eager|fused|compile THREADS`.

`fused` and `compile` use `fused=True` in optimizers; `compile` also passes every forward pass
through `torch.compile`.
"""

import sys

import torch
import torch.nn.functional as F
from torch import nn

import mnist
import worker

SYSTEM, THREADS = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(THREADS)
torch.manual_seed(0)


def compiled(function):
    return torch.compile(function) if SYSTEM == "compile" else function


def adam(parameters, kind=torch.optim.Adam, **options):
    return kind(parameters, fused=SYSTEM != "eager", **options)


def training(net, inputs, targets, kind=torch.optim.Adam):
    """A training step on one batch."""
    optimizer = adam(net.parameters(), kind)
    loss = compiled(lambda: F.cross_entropy(net(inputs), targets))

    def step():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def classes(n, below):
    return torch.arange(n) * 7 % below


def images(net, *shape):
    return training(net, torch.randn(shape), classes(shape[0], 10))


def epoch(net, batch):
    """An epoch of MNIST in a new order; the last partial batch is dropped."""
    inputs, targets = map(torch.from_numpy, mnist.train())
    optimizer = adam(net.parameters())
    loss_of = compiled(lambda x, y: F.cross_entropy(net(x), y))

    def run():
        order = torch.randperm(len(inputs))
        for i in range(len(inputs) // batch):
            chosen = order[batch * i : batch * (i + 1)]
            optimizer.zero_grad()
            loss_of(inputs[chosen], targets[chosen]).backward()
            optimizer.step()

    return run


# The models; models.rs defines the same.


class BasicBlock(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1 = normed_conv(before, channels, 3, stride)
        self.conv2 = normed_conv(channels, channels, 3, 1)
        same = stride == 1 and before == channels
        self.shortcut = nn.Identity() if same else normed_conv(before, channels, 1, stride)

    def forward(self, x):
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


def normed_conv(before, channels, kernel, stride):
    conv = nn.Conv2d(before, channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def resnet18():
    blocks, before = [], 64
    for channels, first in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        for stride in [first, 1]:
            blocks.append(BasicBlock(before, channels, stride))
            before = channels
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(normed_conv(3, 64, 3, 1), nn.ReLU(), *blocks, *pool)


def mnist_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip


def lenet5():
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), *perceptron([400, 120, 84, 10]),
    )  # fmt: skip


def perceptron(widths):
    layers = []
    for before, after in zip(widths, widths[1:]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class GptBlock(nn.Module):
    def __init__(self, heads, width):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, length, width = x.shape
        heads = self.project(self.norm1(x)).view(n, length, 3, self.heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, layers, heads, width, words, context):
        super().__init__()
        self.characters, self.positions = nn.Embedding(words, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[GptBlock(heads, width) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, x):
        h = self.characters(x) + self.positions(torch.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(h))).flatten(0, 1)


class LanguageModel(nn.Module):
    """Batches are `[L, N]`, PyTorch's own order, which is its fastest."""

    def __init__(self, words, width, layers):
        super().__init__()
        self.words, self.head = nn.Embedding(words, width), nn.Linear(width, words)
        self.lstm, self.dropout = nn.LSTM(width, width, layers, dropout=0.2), nn.Dropout(0.2)

    def forward(self, x):
        h = self.lstm(self.dropout(self.words(x)))[0]
        return self.head(self.dropout(h)).flatten(0, 1)


# The works; works.rs defines the same.


def conv(sizes):
    before, channels, groups = sizes.number("in", "out", "groups")
    kernel, size, stride = sizes.number("kernel", "size", "stride")
    x = torch.randn(sizes.number("batch"), before, size, size)
    weight = torch.randn(channels, before // groups, kernel, kernel)
    run = compiled(lambda x, w: F.conv2d(x, w, None, stride, kernel // 2, 1, groups))
    return passes(run, [x, weight], sizes.backward)


def passes(run, inputs, backward):
    """The forward pass of a function, or forward and backward."""
    if not backward:

        def forward():
            run(*inputs)

        return forward
    inputs = [x.requires_grad_() for x in inputs]

    def tracked():
        outputs = run(*inputs)
        outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        return next(y for y in outputs if isinstance(y, torch.Tensor) and y.requires_grad)

    gradient = torch.ones_like(tracked(), memory_format=torch.contiguous_format)

    def both():
        for x in inputs:
            x.grad = None
        tracked().backward(gradient)

    return both


def operation(sizes):
    low, high = map(float, sizes["range"].split(","))
    shapes = [[int(n) for n in shape.split(",")] for shape in sizes["shapes"].split(";")]
    inputs = [torch.empty(shape).uniform_(low, high) for shape in shapes]
    scope = {"torch": torch, "F": F}
    exec(sizes["setup"], scope)
    run = eval(f"lambda {', '.join('xyz'[: len(inputs)])}: ({sizes['expression']})", scope)
    return passes(run, inputs, sizes.backward)


def gpt(sizes):
    net = Gpt(*sizes.number("layers", "heads", "width", "words", "context"))
    batch, context, words = sizes.number("batch", "context", "words")
    inputs, targets = classes(batch * context, words).view(batch, context), classes(batch * context, words)
    return training(net, inputs, targets, kind=torch.optim.AdamW)


def lstm(sizes):
    """Batches are `[L, N, C]`, PyTorch's own order, which is its fastest."""
    batch, length, inputs, hidden = sizes.number("batch", "length", "inputs", "hidden")
    net = nn.LSTM(inputs, hidden)
    x, gradient = torch.randn(length, batch, inputs, requires_grad=True), torch.ones(length, batch, hidden)
    run = compiled(lambda x: net(x)[0])

    def step():
        x.grad = None
        net.zero_grad()
        run(x).backward(gradient)

    return step


def language_model(sizes):
    batch, length, words = sizes.number("batch", "length", "words")
    inputs, targets = classes(batch * length, words).view(length, batch), classes(batch * length, words)
    return training(LanguageModel(words, *sizes.number("width", "layers")), inputs, targets)


def tiny_step(sizes):
    net, batch = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)), sizes.number("batch")
    return training(net, torch.randn(batch, 2), classes(batch, 2))


def overhead(sizes):
    leaves = [torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True) for _ in range(3)]
    run = compiled(lambda a, b, c: (a * b + c).tanh().sum())

    def rounds():
        for _ in range(100):
            run(*leaves).backward()
            for leaf in leaves:
                leaf.grad = None

    return rounds


def one_sample(sizes):
    widths = sizes.list("widths")
    net, sample = compiled(perceptron(widths)), torch.rand(1, widths[0])

    def rounds():
        with torch.no_grad():
            for _ in range(100):
                net(sample)

    return rounds


def adam_step(sizes):
    tensors, elements = sizes.number("tensors", "elements")
    parameters = [nn.Parameter(torch.rand(elements)) for _ in range(tensors)]
    for parameter in parameters:
        parameter.grad = torch.rand(elements) - 0.5
    optimizer = adam(parameters, amsgrad=sizes["amsgrad"] == "true")

    def step():
        optimizer.step()

    return step


WORKS = {
    "operation": operation,
    "conv": conv,
    "resnet18": lambda s: images(resnet18(), s.number("batch"), 3, s.number("size"), s.number("size")),
    "mnist_cnn": lambda s: images(mnist_cnn(), s.number("batch"), 1, 28, 28),
    "perceptron": lambda s: images(perceptron(s.list("widths")), s.number("batch"), s.list("widths")[0]),
    "lenet_epoch": lambda s: epoch(lenet5(), s.number("batch")),
    "perceptron_epoch": lambda s: epoch(perceptron(s.list("widths")), s.number("batch")),
    "gpt": gpt,
    "lstm": lstm,
    "language_model": language_model,
    "tiny_step": tiny_step,
    "overhead": overhead,
    "one_sample": one_sample,
    "adam": adam_step,
}

if __name__ == "__main__":
    worker.serve(lambda kind, sizes: WORKS[kind](sizes), SYSTEM == "compile")
