"""The memory of a training step beside PyTorch's: benches/memory.rs says of what.

    pip install torch
    python benches/memory.py
"""

import subprocess
import sys

STEPS = 20


def resident(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) / 1024


def pytorch():
    import torch

    torch.manual_seed(0)
    layers = []
    for _ in range(11):
        layers += [torch.nn.Linear(512, 512), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(512, 512))
    adam = torch.optim.Adam(model.parameters())
    inputs, targets = torch.randn(256, 512), torch.arange(256)
    # What the libraries allocate once is not the step's: a small step first.
    small = torch.nn.Linear(8, 8)
    torch.nn.functional.cross_entropy(small(torch.randn(4, 8)), torch.arange(4)).backward()
    torch.optim.Adam(small.parameters()).step()
    before = resident("VmRSS")
    for _ in range(STEPS):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        adam.step()
    print(f"PyTorch {torch.__version__}: growth of the peak over {STEPS} steps: {resident('VmHWM') - before:.1f} MiB")


if len(sys.argv) > 1:
    pytorch()
else:
    for _ in range(3):
        subprocess.run(["cargo", "bench", "--quiet", "--bench", "memory"], check=True)
        subprocess.run([sys.executable, __file__, "pytorch"], check=True)
