"""Trains SmolLM2-135M here and in PyTorch, side by side: all weights, and adapters (LoRA, in PyTorch by peft). Needs
`fetch.py`'s models, and torch, transformers, peft and gguf. Each training is a process of its own; here and PyTorch take
turns.

    cargo build --release -p adamant-models --example llama_steps
    python examples/pretrained/train_llm.py [--threads 2] [--steps 20] [--tokens 512]
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", type=pathlib.Path, default=ROOT / "pretrained/SmolLM2-135M-Instruct.Q4_1.gguf")
parser.add_argument("--program", default=ROOT / "target/release/examples/llama_steps")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--tokens", type=int, default=512, help="in a step")
parser.add_argument("--lr", type=float, help="default: 1e-5, of adapters 1e-4")
parser.add_argument(
    "--checkpoint-layers", type=int, default=5, help="layers that run again in the backward pass here, with adapters"
)
parser.add_argument("--rounds", type=int, default=1, help="how often each training is run")
parser.add_argument("--pytorch", nargs=2, help=argparse.SUPPRESS)  # the text and the adapters of a child process
args = parser.parse_args()


def pytorch(text, adapters, lr):
    """The same training in PyTorch, in this process."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(args.threads)
    source = {"pretrained_model_name_or_path": args.model.parent, "gguf_file": args.model.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokens = AutoTokenizer.from_pretrained(**source).encode(pathlib.Path(text).read_text(), add_special_tokens=False)
    if adapters != "none":
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapters, is_trainable=True)
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses, seconds = [], []
    for i in range(args.steps):
        passage = torch.tensor(tokens[i * args.tokens : (i + 1) * args.tokens + 1])
        start = time.perf_counter()
        adam.zero_grad()
        logits = model(passage[None, :-1]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits, passage[1:])
        loss.backward()
        adam.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"losses": losses, "seconds": seconds[1:], "megabytes": megabytes}))


def run(command):
    env = os.environ | {"RAYON_NUM_THREADS": str(args.threads), "OMP_NUM_THREADS": str(args.threads)}
    out = subprocess.run(list(map(str, command)), check=True, env=env, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def compare(kind, text, adapters, lr):
    ours, theirs = [], []
    for _ in range(args.rounds):
        extra = [] if adapters is None else [adapters, args.checkpoint_layers]
        ours.append(run([args.program, args.model, text, args.steps, args.tokens, lr, *extra]))
        child = [sys.executable, __file__, "--pytorch", text, adapters or "none", "--lr", lr, "--model", args.model]
        theirs.append(run([*child, "--threads", args.threads, "--steps", args.steps, "--tokens", args.tokens]))
    print(f"\n{kind}, {args.tokens} tokens a step, learning rate {lr}, {args.threads} threads")
    print("step       loss    PyTorch   relative difference")
    worst = 0
    for step, (a, b) in enumerate(zip(ours[0]["losses"], theirs[0]["losses"]), 1):
        worst = max(worst, abs(a - b) / b)
        print(f"{step:4} {a:10.5f} {b:10.5f}   {abs(a - b) / b:.1e}")
    times = [statistics.median(t for r in runs for t in r["seconds"]) for runs in (ours, theirs)]
    peaks = [min(r["megabytes"] for r in runs) for runs in (ours, theirs)]
    print(f"seconds a step: {times[0]:.3f}, PyTorch {times[1]:.3f}, ratio {times[0] / times[1]:.2f}")
    print(f"largest memory: {peaks[0]:.0f} MB, PyTorch {peaks[1]:.0f} MB, ratio {peaks[0] / peaks[1]:.2f}")
    assert worst < 1e-3, f"the losses differ by {worst:.1e}"


if args.pytorch:
    pytorch(*args.pytorch, args.lr)
else:
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text"
        play = (ROOT / "examples/data/shakespeare/plays.txt").read_text()
        text.write_text(play[: 8 * (args.steps + 1) * args.tokens])
        compare("all weights", text, None, args.lr or 1e-5)
        compare("adapters of q_proj and v_proj, rank 8", text, pathlib.Path(folder) / "adapters", args.lr or 1e-4)
