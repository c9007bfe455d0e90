"""Compares SmolLM2-135M here with `transformers`: tokens, scores, perplexity and greedy text. Needs `fetch.py`'s
models, and torch, transformers, gguf and safetensors.

    cargo build --release -p adamant-models --example llama_logits
    python examples/pretrained/llm.py [--model pretrained/SmolLM2-135M-Instruct.Q4_1.gguf]
"""

import argparse
import pathlib
import subprocess
import tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", type=pathlib.Path, default=ROOT / "pretrained/SmolLM2-135M-Instruct.Q4_1.gguf")
parser.add_argument("--program", default=ROOT / "target/release/examples/llama_logits")
args = parser.parse_args()

# The beginning of a play, and a line in other scripts.
play = (ROOT / "examples/data/shakespeare/plays.txt").read_text()
play = play[play.index("Enter FLAVIUS, MARULLUS") :][:2000]
text = play + "\nZürich, 1234 Einwohner: Привет, мир! 你好 👩‍👩‍👧 \t fn main() { x[0] += 12.5; }\n"
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder)
    (path / "text").write_text(text)
    subprocess.run([args.program, args.model, path / "text", path / "out.safetensors"], check=True)
    ours = load_file(path / "out.safetensors")

if args.model.is_dir():
    source = {"pretrained_model_name_or_path": args.model}
else:
    source = {"pretrained_model_name_or_path": args.model.parent, "gguf_file": args.model.name}
model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(**source)
tokens = tokenizer.encode(text, add_special_tokens=False)
assert ours["tokens"].long().tolist() == tokens, "other tokens"
with torch.no_grad():
    logits = model(torch.tensor([tokens[:-1]])).logits[0]
    greedy = model.generate(torch.tensor([tokens[:20]]), max_new_tokens=50, do_sample=False, eos_token_id=None)
nll = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")
difference = (ours["logits"] - logits).abs().max() / logits.abs().max()
perplexities = [losses.double().mean().exp().item() for losses in (ours["nll"], nll)]
print(f"{len(tokens)} tokens are equal; scores differ by {difference:.1e} of the largest")
print("perplexity: {:.4f} here, {:.4f} in transformers".format(*perplexities))
assert difference < 1e-4 and abs(perplexities[0] - perplexities[1]) < 1e-3 * perplexities[1]
assert ours["greedy"].long().tolist() == greedy[0, 20:].tolist(), "another greedy text"
print("the 50 tokens that greedy search generates are equal")
