"""Fine-tunes EfficientNet-Lite0 here and in PyTorch (timm), side by side: a new head and all other weights, with the
statistics of the batch normalizations frozen. Needs `fetch.py`'s models, and torch, timm and safetensors. Prints the
losses of PyTorch in f64 too. At learning rates of 1e-4 and above, PyTorch's own f32 and f64 soon differ by more than 1e-3:
Adam's first steps are as large for a gradient of rounding errors as for any other.

    cargo build --release -p adamant-models --example image_steps
    python examples/pretrained/train_image.py [--threads 2] [--steps 20] [--batch 4] [--side 64]
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import timm
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--weights", type=pathlib.Path, default=ROOT / "pretrained/efficientnet-lite0.pth")
parser.add_argument("--program", default=ROOT / "target/release/examples/image_steps")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--batch", type=int, default=4, help="images in a step")
parser.add_argument("--side", type=int, default=64, help="of an image, in pixels")
parser.add_argument("--lr", type=float, default=1e-5)
args = parser.parse_args()


def timm_names(state):
    """The state of the package's net with timm's names: both have the same layers in the same order."""
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert [x.shape for x in state.values()] == [x.shape for x in names.values()]
    return dict(zip(names, state.values(), strict=True))


def digits():
    """Batches of MNIST's digits in color, as `fine_tune_image` has them, and their classes."""
    folder = ROOT / "examples/data/mnist"
    read = lambda name, skip: torch.frombuffer(bytearray(gzip.open(next(folder.glob(name))).read()[skip:]), dtype=torch.uint8)
    count = args.steps * args.batch
    images = read("train-images*", 16).reshape(-1, 1, 28, 28)[:count].float() / 255
    classes = read("train-labels*", 8)[:count].long()
    images = torch.nn.functional.interpolate(images, (args.side, args.side), mode="bilinear", antialias=True)
    images = ((images - 0.5) / 0.5).expand(-1, 3, -1, -1)
    return images.reshape(args.steps, args.batch, 3, args.side, args.side).contiguous(), classes.reshape(args.steps, -1)


def pytorch(state, head, images, classes, dtype):
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(state)
    model.classifier = torch.nn.Linear(1280, 10)
    model.classifier.load_state_dict(head)
    model.to(dtype).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    adam = torch.optim.Adam(model.parameters(), lr=args.lr)
    losses, seconds = [], []
    for batch, targets in zip(images.to(dtype), classes):
        start = time.perf_counter()
        adam.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch), targets)
        loss.backward()
        adam.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return losses, seconds[1:]


torch.manual_seed(0)
torch.set_num_threads(args.threads)
state = timm_names(torch.load(args.weights, weights_only=True))
head = torch.nn.Linear(1280, 10).state_dict()
images, classes = digits()
with tempfile.TemporaryDirectory() as folder:
    batches = pathlib.Path(folder) / "batches.safetensors"
    save_file({"images": images, "classes": classes, **head}, batches)
    env = os.environ | {"RAYON_NUM_THREADS": str(args.threads)}
    command = [str(x) for x in (args.program, args.weights, batches, args.lr)]
    ours = json.loads(subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True).stdout)
theirs, seconds = pytorch(state, head, images, classes, torch.float32)
exact, _ = pytorch(state, head, images, classes, torch.float64)

print(f"{args.batch} images of {args.side} pixels a step, Adam, learning rate {args.lr}, {args.threads} threads")
print("step       loss    PyTorch   PyTorch f64   relative difference, of f32, of f64")
worst = 0
for step, (a, b, c) in enumerate(zip(ours["losses"], theirs, exact, strict=True), 1):
    worst = max(worst, abs(a - b) / b)
    print(f"{step:4} {a:10.6f} {b:10.6f}    {c:10.6f}   {abs(a - b) / b:.1e}  {abs(b - c) / c:.1e}")
times = [statistics.median(ours["seconds"]), statistics.median(seconds)]
print(f"seconds a step: {times[0]:.3f}, PyTorch {times[1]:.3f}, ratio {times[0] / times[1]:.2f}")
assert worst < 1e-3, f"the losses differ by {worst:.1e}"
