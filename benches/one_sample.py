"""One image through a perceptron, 784-256-128-10, alternating with PyTorch's, on one thread and two.

    pip install torch
    python benches/one_sample.py
"""

import os
import re
import statistics
import subprocess
import time

import torch
from torch.nn import Linear, ReLU, Sequential

model = Sequential(Linear(784, 256), ReLU(), Linear(256, 128), ReLU(), Linear(128, 10))
image = torch.rand(1, 784)


def pytorch(runs):
    times = []
    with torch.no_grad():
        for _ in range(runs):
            start = time.perf_counter()
            model(image)
            times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def adamant(threads):
    command = ["cargo", "bench", "--quiet", "--bench", "one_sample"]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return float(re.search(r"one sample: ([\d.]+)", out)[1])


for threads in (1, 2):
    torch.set_num_threads(threads)
    pytorch(1000)
    adamant(threads)
    ours, theirs = [], []
    for _ in range(5):
        ours.append(adamant(threads))
        theirs.append(pytorch(2000))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"{threads} threads: adamant {ours:.1f} µs, PyTorch {torch.__version__} {theirs:.1f} µs: "
          f"ratio {ours / theirs:.2f}")
