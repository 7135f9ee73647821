"""Peers in environments of their own, driven as processes: the rows and weights are bench's, the search is theirs."""

import json
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.models.package import package_files
from bench.models.rows import MODELS

HERE = Path(__file__).parent
REQUIREMENTS = HERE.parent / "peers.txt"
DRIVER = HERE / "autointent_light.py"
OURS = ("PIP_CONSTRAINT", "PYTHONPATH", "VIRTUAL_ENV")
"""Variables that belong to the environment of bench."""


def environment(folder: Path, requirements: Path = REQUIREMENTS) -> Path:
    """The interpreter of an environment that holds what a file pins; made anew where it holds something else."""
    python, stamp = folder / "bin" / "python", folder / requirements.name
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        venv.create(folder, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--quiet", "-r", requirements]
        subprocess.run(command, env=_variables(), check=True)
        shutil.copy(requirements, stamp)  # the last thing: what broke off is made again
    return python


def request(dataset: DatasetRequest, model: str, max_length: int, preset: str) -> dict[str, Any]:
    """What `autointent_light.py` is asked: the rows of a data set, and the folder of an installed model."""
    data = load(dataset)
    sides = {
        name: [[text, int(label)] for text, label in zip(split.texts, split.labels, strict=True)]
        for name, split in (("train", data.train), ("test", data.test))
    }
    (weights,) = package_files(MODELS[model])
    return {
        **sides,
        "classes": len(data.labels),
        "model": str(weights.parent),
        "max_length": max_length,
        "preset": preset,
        "seed": 42,  # its own; it takes no 0
    }


def searched(python: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the peer found, with nothing remembered from before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps({**asked, "folder": folder}), encoding="utf-8")
        variables = _variables() | {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "XDG_CACHE_HOME": folder}
        ran = subprocess.run([python, DRIVER, path], env=variables, stdout=subprocess.PIPE, check=True, cwd=folder)
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in OURS}
