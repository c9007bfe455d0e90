"""The time of a training step of PyTorch's DistributedDataParallel over gloo.

OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 benches/distributed.py gpt 8 20

Arguments: the model, samples in a batch of all processes, steps.
"""

import pathlib
import resource
import statistics
import sys
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

model, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.argv[1:] = ["eager", "1"]
sys.path.insert(0, str(pathlib.Path(__file__).parent / "compare"))
from torch_worker import Gpt, classes, perceptron  # noqa: E402

torch.set_num_threads(1)
dist.init_process_group("gloo")
samples = batch // dist.get_world_size()
torch.manual_seed(0)
if model == "gpt":
    net = Gpt(6, 6, 384, 65, 128)
    inputs, targets = classes(samples * 128, 65).view(samples, 128), classes(samples * 128, 65)
else:
    net = perceptron([784, 256, 128, 10])
    inputs, targets = torch.ones(samples, 784), classes(samples, 10)
ddp = DistributedDataParallel(net)
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
times = []
for _ in range(steps + 3):
    dist.barrier()
    start = time.perf_counter()
    optimizer.zero_grad()
    F.cross_entropy(ddp(inputs), targets).backward()
    optimizer.step()
    times.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"rank {dist.get_rank()}: {statistics.median(times[3:]) * 1e3:.2f} ms a step, peak {peak} MB")
dist.destroy_process_group()
