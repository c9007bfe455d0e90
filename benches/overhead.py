"""The overhead of small operations on one thread, alternating with PyTorch's.

    pip install torch
    python benches/overhead.py
"""

import re
import statistics
import subprocess
import time

import torch

torch.set_num_threads(1)


def pytorch(rounds=5000):
    leaves = [torch.tensor([0.1, 0.2, 0.3, 0.4], requires_grad=True) for _ in range(3)]
    a, b, c = leaves
    start = time.perf_counter()
    for _ in range(rounds):
        (a * b + c).tanh().sum().backward()
        for leaf in leaves:
            leaf.grad = None
    return (time.perf_counter() - start) / rounds * 1e6


def adamant():
    command = ["cargo", "bench", "--quiet", "--bench", "overhead"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"a round: ([\d.]+)", out)[1])


pytorch()
adamant()
ours, theirs = [], []
for _ in range(5):
    ours.append(adamant())
    theirs.append(pytorch())
ours, theirs = statistics.median(ours), statistics.median(theirs)
print(f"(a * b + c).tanh().sum(), forward and backward, 4 elements, one thread, torch {torch.__version__}")
print(f"adamant {ours:.2f} µs, PyTorch {theirs:.1f} µs: ratio {ours / theirs:.3f}")
