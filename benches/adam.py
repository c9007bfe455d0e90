"""Milliseconds for a step of Adam, side by side with PyTorch's fused and foreach paths.

    pip install torch numpy
    python benches/adam.py [--rounds 5] [--threads 2]

The two alternate; the medians of the rounds' medians are compared.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent
CASES = [("1 x 10 M", 1, 10_000_000), ("200 x 50 k", 200, 50_000), ("1,000 x 1 k", 1_000, 1_000)]


def pytorch_ms(tensors, elements, amsgrad, **path):
    params = [torch.nn.Parameter(torch.rand(elements)) for _ in range(tensors)]
    for param in params:
        param.grad = torch.rand(elements) - 0.5
    adam = torch.optim.Adam(params, amsgrad=amsgrad, **path)
    times = []
    for step in range(16):
        start = time.perf_counter()
        adam.step()
        if step >= 3:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    command = ["cargo", "bench", "--quiet", "--bench", "adam", "--", "--json"]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}

    def adamant():
        out = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
        return json.loads(out.stdout)

    adamant()  # builds
    ours, triads, reads, fused, foreach = [], [], [], [], []
    every = [(t, e, a) for _, t, e in CASES for a in (False, True)]
    for _ in range(args.rounds):
        result = adamant()
        ours.append(result["adam"])
        triads.append(result["triad"])
        reads.append(result["read"])
        fused.append([pytorch_ms(*case, fused=True) for case in every])
        foreach.append([pytorch_ms(*case, foreach=True) for case in every])

    median = lambda rounds: [statistics.median(column) for column in zip(*rounds)]
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"PyTorch {torch.__version__}, {capability}, {args.threads} threads; milliseconds a step")
    print(f"{'':24}{'adamant':>9}{'fused':>9}{'ratio':>7}{'foreach':>9}{'ratio':>7}")
    names = [f"{name}{', amsgrad' if a else ''}" for name, _, _ in CASES for a in (False, True)]
    for name, a, b, c in zip(names, median(ours), median(fused), median(foreach)):
        print(f"{name:24}{a:9.3f}{b:9.3f}{a / b:7.2f}{c:9.3f}{a / c:7.2f}")
    ratio = statistics.median(triad / adam[0] for triad, adam in zip(triads, ours))
    print(f"bandwidth at 10 M: {ratio:.2f} of a triad's over as many bytes")
    ratio = statistics.median(read / step[0] for read, step in zip(reads, fused))
    print(f"reading the four buffers of 10 M, and no more: {ratio:.2f} of fused's time")


if __name__ == "__main__":
    main()
