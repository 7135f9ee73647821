"""What a folder of model files is, independent of where it lies."""

import json
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from bench import files
from bench.errors import BenchError, in_words, unreadable
from bench.specs import fingerprint

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
# A tokenizer is whichever of these are there; chat templates do not touch plain text.
TOKENIZER = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
)


MEMORY = "digests.json"
"""The file of a store that remembers digests."""


def digest(path: Path, store: Path) -> str:
    """The SHA-256 of a file, remembered in `store` for as long as its size and times of change stay the same.

    Both times: that of the content can be set back, by a copy that keeps it say.
    """
    real = path.resolve()
    state = real.stat()
    memory = store / MEMORY
    key, stamp = str(real), [state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    known = _read(memory).get(key)
    if isinstance(known, list) and known[:-1] == stamp and re.fullmatch("[0-9a-f]{64}", str(known[-1])):
        return str(known[-1])
    value = files.sha256(real)
    # what is not remembered is only computed again: a store that may only be read, say, can be used
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{memory}.lock"):
            files.write_json(memory, _read(memory) | {key: [*stamp, value]})
    return value


def _read(memory: Path) -> dict[str, Any]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        # It only saves hashing a file again, so that one which a crash of the system has torn is an empty one.
        return {}
    except OSError as error:
        raise unreadable(memory, error) from error
    return found if isinstance(found, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that `folder` needs, in order, whether or not all are there; empty when it names none.

    One whole file comes before an index of shards, as in transformers, which loads them.

    Raises:
        BenchError: the index is damaged, or names files elsewhere; a clause.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        return []
    try:
        shards = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        within = [PurePosixPath(name).parts for name in shards]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BenchError(f"{INDEX} is no index of safetensors files ({in_words(error)}): fetch it again") from error
    if not shards or any(not parts or parts[0] == "/" or ".." in parts for parts in within):
        raise BenchError(f"{INDEX} names no files of its folder: fetch it again")
    return [folder / name for name in shards]


def missing(folder: Path) -> str | None:
    """What keeps `folder` from being a complete model, as a clause; None when nothing does."""
    if not (folder / "config.json").is_file():
        return "it has no config.json"
    try:
        weights = weight_files(folder)
    except BenchError as error:
        return str(error)
    if not weights:
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        return (
            f"its weights are pickles only ({pickles[0]}), which can run code" if pickles else "it has no safetensors"
        )
    if absent := [path.name for path in weights if not path.is_file()]:
        return f"{absent[0]} is missing"
    if not any((folder / name).is_file() for name in TOKENIZER):
        return "it has no tokenizer"
    return None


def weights_digest(folder: Path, store: Path) -> str:
    """One SHA-256 for the weights: the file's own, or that of the shards' names and digests."""
    weights = weight_files(folder)
    if len(weights) == 1:
        return digest(weights[0], store)
    return fingerprint({path.name: digest(path, store) for path in weights}, length=64)


def model_identity(folder: Path, store: Path, *, code: bool) -> dict[str, str]:
    """Everything in `folder` that changes a value: weights, tokenizer, config, and the code when it is to run."""
    tokenizer = {name: files.sha256(folder / name) for name in TOKENIZER if (folder / name).is_file()}
    identity = {
        "weights": weights_digest(folder, store),
        "tokenizer": fingerprint(tokenizer, length=64),
        "config": files.sha256(folder / "config.json"),
    }
    if code:
        sources = {path.relative_to(folder).as_posix(): files.sha256(path) for path in sorted(folder.rglob("*.py"))}
        identity["code"] = fingerprint(sources, length=64)
    return identity
