"""Seconds for an epoch of the MNIST perceptron, side by side with PyTorch.

    pip install torch numpy
    python benches/mnist_mlp.py [--rounds 7] [--threads 2]

784-256-128-10, batch 64, Adam with PyTorch's defaults, data in memory, the last
partial batch dropped, a new order for each epoch. The two alternate, with
two epochs each; the first is not counted, and the medians are compared.
"""

import argparse
import gzip
import os
import pathlib
import statistics
import subprocess
import time

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read_idx(name, header):
    data = gzip.decompress((ROOT / "examples/data/mnist" / name).read_bytes())
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=header).copy())


def pytorch_epoch(inputs, targets, fused):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(784, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 10),
    )
    adam = torch.optim.Adam(model.parameters(), fused=fused)
    loss_of = torch.nn.CrossEntropyLoss()
    for _ in range(2):
        start = time.perf_counter()
        order = torch.randperm(len(inputs))
        for i in range(len(inputs) // 64):
            batch = order[64 * i : 64 * (i + 1)]
            adam.zero_grad()
            loss_of(model(inputs[batch]), targets[batch]).backward()
            adam.step()
        seconds = time.perf_counter() - start
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    pixels = read_idx("train-images-idx3-ubyte.gz", 16).view(-1, 784)
    inputs = pixels.float().div(255).sub(0.1307).div(0.3081)
    targets = read_idx("train-labels-idx1-ubyte.gz", 8).long()

    command = ["cargo", "bench", "--quiet", "--bench", "mnist_mlp", "--", "--epochs", "2"]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}

    def adamant_epoch():
        out = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        return float(out.stdout.split()[1])

    adamant_epoch()  # builds
    runs = {
        "adamant": adamant_epoch,
        "PyTorch": lambda: pytorch_epoch(inputs, targets, fused=False),
        "PyTorch, fused Adam": lambda: pytorch_epoch(inputs, targets, fused=True),
    }
    seconds = {name: [] for name in runs}
    for _ in range(args.rounds):
        for name, run in runs.items():
            seconds[name].append(run())

    print(f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {args.threads} threads")
    ours = statistics.median(seconds["adamant"])
    for name, times in seconds.items():
        median = statistics.median(times)
        spread = f"{min(times):.3f} to {max(times):.3f}"
        print(f"{name:20} {median:.3f} s an epoch ({spread}); adamant takes {ours / median:.2f} of it")


if __name__ == "__main__":
    main()
