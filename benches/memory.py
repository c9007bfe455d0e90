"""The memory of training, side by side with PyTorch's: benches/memory.rs lists the cases.

    pip install torch
    python benches/memory.py
"""

import subprocess
import sys

STEPS = {"training": 20, "varying": 10000, "after-large": 10000, "kept-losses": 10000}


def resident(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) / 1024


def perceptron(torch, sizes):
    layers = []
    for before, after in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    return model, torch.optim.Adam(model.parameters())


def step(torch, model, adam, inputs, targets):
    adam.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    adam.step()
    return loss


def pytorch(case):
    import torch

    torch.manual_seed(0)
    steps = STEPS[case]
    name = f"PyTorch {torch.__version__}, {case}"
    # A small step first, so that one-time allocations of the libraries are not counted.
    model, adam = perceptron(torch, [64, 128, 10])
    small = lambda batch: step(torch, model, adam, torch.randn(batch, 64), torch.arange(batch) % 10)
    small(4)
    before = resident("VmRSS")
    if case == "training":
        model, adam = perceptron(torch, [512] * 13)
        inputs, targets = torch.randn(256, 512), torch.arange(256)
        before = resident("VmRSS")
        for _ in range(steps):
            step(torch, model, adam, inputs, targets)
        print(f"{name}: growth of the peak over {steps} steps: {resident('VmHWM') - before:.1f} MiB")
        return
    kept = []
    if case == "after-large":
        small(65536)
    for i in range(steps):
        loss = small(1 + i * 7919 % 512 if case == "varying" else 32)
        if case == "kept-losses":
            kept.append(loss)
    print(f"{name}: resident after {steps} steps: {resident('VmRSS') - before:+.1f} MiB")


if len(sys.argv) > 1:
    pytorch(sys.argv[1])
else:
    for case, steps in STEPS.items():
        for _ in range(3):
            bench = ["cargo", "bench", "--quiet", "--bench", "memory", "--", "--case", case, "--steps", str(steps)]
            subprocess.run(bench, check=True)
            subprocess.run([sys.executable, __file__, case], check=True)
