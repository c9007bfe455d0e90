"""The works of the comparison: names, sizes, and targets.

A kind of work is a function of the same name in works.rs, torch_worker.py and jax_worker.py; the
sizes are sent to all of them. The operations are listed by operations.rs.
"""

from dataclasses import dataclass, field

# PyTorch 2 as it is, with fused optimizers, and compiled; JAX with a jitted step, and with the
# loop itself in one `scan`.
SYSTEMS = ["eager", "fused", "compile", "jax", "scan"]
# XLA runs convolutions within a loop on one thread: minutes for a step of ResNet-18.
WITHOUT_SCAN = SYSTEMS[:-1]


@dataclass
class Work:
    name: str
    kind: str
    sizes: dict
    systems: list = field(default_factory=lambda: SYSTEMS)
    # The largest ratio, ours to a system's; `best` is the fastest of all but `scan`.
    targets: dict = field(default_factory=dict)

    @property
    def request(self):
        return [self.kind, *(f"{name}={value}" for name, value in self.sizes.items())]


def convolutions():
    shapes = [  # name, batch, size, in, out, kernel, stride, groups, targets of forward and both
        ("3×3, 32 channels, 32×32", 64, 32, 32, 32, 3, 1, 1, 0.75, 0.85),
        ("3×3, 64 channels, 32×32", 64, 32, 64, 64, 3, 1, 1, 0.75, 0.85),
        ("3×3, 128 channels, 16×16", 64, 16, 128, 128, 3, 1, 1, 0.75, 0.85),
        ("3×3, 256 channels, 8×8", 64, 8, 256, 256, 3, 1, 1, 0.75, 0.85),
        ("1×1, 64 → 256 channels, 16×16", 64, 16, 64, 256, 1, 1, 1, None, 0.90),
        ("1×1, 256 → 64 channels, 16×16", 64, 16, 256, 64, 1, 1, 1, None, 0.90),
        ("3×3 with stride 2, 64 → 128 channels, 32×32", 64, 32, 64, 128, 3, 2, 1, None, 0.90),
        ("1×1 with stride 2, 64 → 128 channels, 32×32", 64, 32, 64, 128, 1, 2, 1, None, 0.90),
        ("3×3, first layer, 3 → 64 channels, 32×32", 64, 32, 3, 64, 3, 1, 1, None, 0.90),
        ("depthwise 3×3, 32 channels, 112×112", 8, 112, 32, 32, 3, 1, 32, None, 0.90),
        ("depthwise 3×3, 144 channels, 56×56", 8, 56, 144, 144, 3, 1, 144, None, 0.90),
        ("depthwise 3×3 with stride 2, 144 channels, 56×56", 8, 56, 144, 144, 3, 2, 144, None, 0.90),
        ("depthwise 3×3, 512 channels, 14×14", 8, 14, 512, 512, 3, 1, 512, None, 0.90),
    ]
    for name, batch, size, before, out, kernel, stride, groups, forward, both in shapes:
        for title, passes, target in [("forward", "forward", forward), ("forward + backward", "both", both)]:
            sizes = {"batch": batch, "size": size, "in": before, "out": out}
            sizes |= {"kernel": kernel, "stride": stride, "groups": groups, "pass": passes}
            targets = {"eager": target} if target else {}
            yield Work(f"convolution {name}, batch {batch}, {title}", "conv", sizes, ["eager"], targets)


def optimizers():
    for name, tensors, elements, target in [
        ("1 × 10 M", 1, 10_000_000, 0.90),
        ("200 × 50 k", 200, 50_000, 0.60),
        ("1,000 × 1 k", 1000, 1000, 0.10),
    ]:
        for amsgrad in ["false", "true"]:
            sizes = {"tensors": tensors, "elements": elements, "amsgrad": amsgrad}
            title = f"Adam{' with amsgrad' if amsgrad == 'true' else ''}, {name} elements"
            yield Work(title, "adam", sizes, ["eager", "fused", "jax"], {"fused": target})


GPT_SMALL = {"layers": 4, "heads": 4, "width": 128, "words": 65, "context": 64, "batch": 12}
GPT_10M = {"layers": 6, "heads": 6, "width": 384, "words": 65, "context": 128, "batch": 8}
LSTM = {"length": 100, "batch": 32, "inputs": 64, "hidden": 128}
LANGUAGE_MODEL = {"layers": 2, "width": 200, "words": 10_000, "length": 35, "batch": 20}

MODELS = [
    Work("ResNet-18, 32×32, batch 64, step", "resnet18", {"batch": 64, "size": 32},
         WITHOUT_SCAN, {"eager": 0.80, "best": 0.90}),
    Work("MNIST CNN, batch 64, step", "mnist_cnn", {"batch": 64}, WITHOUT_SCAN, {"eager": 0.70}),
    Work("LeNet-5, batch 64, epoch", "lenet_epoch", {"batch": 64}, WITHOUT_SCAN, {"eager": 0.50}),
    Work("MLP 784-256-128-10, batch 64, epoch", "perceptron_epoch",
         {"widths": "784,256,128,10", "batch": 64}, targets={"eager": 0.38, "best": 0.80, "scan": 1.00}),
    Work("MLP 784-1024-1024-10, batch 512, epoch", "perceptron_epoch",
         {"widths": "784,1024,1024,10", "batch": 512}, targets={"eager": 0.90}),
    Work("GPT 0.8 M, AdamW, step", "gpt", GPT_SMALL, targets={"fused": 0.80}),
    Work("GPT 10 M, AdamW, step", "gpt", GPT_10M, targets={"fused": 0.80, "best": 0.90}),
    Work("LSTM 100 × 32 × 64 → 128, forward + backward", "lstm", LSTM,
         ["eager", "compile", "jax"], {"eager": 0.80}),
    Work("LSTM language model, 2 × 200, 10,000 words, step", "language_model", LANGUAGE_MODEL,
         targets={"eager": 0.80, "best": 0.90}),
    Work("tiny step, 2-16-2, batch 4", "tiny_step", {"batch": 4}, targets={"best": 0.80, "scan": 0.80}),
    Work("100 × (a * b + c).tanh().sum(), 4 elements, forward + backward", "overhead", {},
         ["eager", "compile", "jax"]),
    Work("100 × one sample, 784-256-128-10, no_grad", "one_sample", {"widths": "784,256,128,10"},
         ["eager", "compile", "jax"], {"eager": 0.50}),
]  # fmt: skip

WORKS = [*MODELS, *optimizers(), *convolutions()]


def operation(expression, shapes, setup, span, passes):
    """An operation that operations.rs lists."""
    sizes = {"expression": expression, "shapes": shapes, "setup": setup, "range": span, "pass": passes}
    return Work(expression, "operation", sizes, ["eager"])


# Limits. The work and its limit do equal amounts: multiply-adds, or bytes moved.


def limits():
    """(title, our work, the limit, the least share of the limit that it should reach)"""
    for n in [1024, 2048, 4096]:
        yield (
            f"product {n} × {n} × {n}; multiply-adds in registers",
            Work("", "product", {"n": n}),
            Work("", "multiply_adds", {"count": n**3}),
            0.85,
        )
    for kind, bytes_moved in [("add", 16), ("relu", 12)]:
        yield (
            f"{kind} of 20 M elements; triad over the same bytes",
            Work("", kind, {"elements": 20_000_000}),
            Work("", "triad", {"bytes": 20_000_000 * bytes_moved}),
            0.85,
        )
    yield (
        "Adam on 10 M elements; triad over the same bytes",
        Work("", "adam", {"tensors": 1, "elements": 10_000_000, "amsgrad": "false"}),
        Work("", "triad", {"bytes": 280_000_000}),
        0.85,
    )
    yield ("save a checkpoint of 120 MB; dd with fsync", Work("", "save", {}), Work("", "dd", {}), 1 / 1.15)
    yield (
        "load a checkpoint of 120 MB; read and checksum",
        Work("", "load", {}),
        Work("", "read_and_checksum", {}),
        1 / 0.60,
    )


STEP_MLP = Work("MLP 784-256-128-10, batch 64, step", "perceptron", {"widths": "784,256,128,10", "batch": 64})
STEP_WIDE = Work("MLP 784-1024-1024-10, batch 512, step", "perceptron", {"widths": "784,1024,1024,10", "batch": 512})

STEP_DEEP = Work("MLP 12 × 512, batch 256, step", "perceptron", {"widths": ",".join(["512"] * 13), "batch": 256})

# What a second thread gains.
THREADED = [
    *(work for work in MODELS if work.kind in ("resnet18", "mnist_cnn", "gpt", "lstm", "language_model")),
    STEP_MLP,
    STEP_WIDE,
    next(optimizers()),
    *(work for work in convolutions() if work.sizes["pass"] == "both"),
    *(
        operation(expression, "2048,2048", "", "-2,2", passes)
        for expression in ["x.softmax(1)", "x.exp()", "F.gelu(x)", "x.sum(0)", "x.sort(dim=1, stable=True)"]
        for passes in ["forward", "both"]
    ),
]

# Peak memory of a step.
MEMORY = [
    *(work for work in MODELS if work.kind in ("resnet18", "mnist_cnn", "gpt", "lstm", "language_model")),
    STEP_MLP,
    STEP_WIDE,
    STEP_DEEP,
]
