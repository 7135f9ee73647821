"""What is wrong with the files of a model's folder, found before anything is loaded from it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.models.digests import INDEX, TOKENIZER, WEIGHTS, missing, weight_files
from bench.models.headers import tensor_headers
from bench.models.jsons import read_object

POINTER = b"version https://git-lfs.github.com/spec/"
"""How a pointer of Git LFS begins, which a clone without it leaves in the place of a large file."""
ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
QUANTIZED = ("quantization_config", "compression_config")
"""Where a config.json says how its weights are quantised."""


def flaw(folder: Path) -> str | None:
    """What keeps `folder` from being a sound model, as a clause that says what to do; None when nothing does."""
    return missing(folder) or next(_flaws(folder), None)


def _flaws(folder: Path) -> Iterator[str]:
    weights = weight_files(folder)
    for path in [folder / "config.json", folder / INDEX, *(folder / name for name in TOKENIZER), *weights]:
        if path.is_file() and (found := _not_the_file(path)):
            yield found
    if adapter := next((name for name in ADAPTER if (folder / name).exists()), None):
        yield (
            f"an adapter lies beside its weights ({adapter}), which would be left out: merge it into them "
            "(merge_and_unload of peft), or take its files out of the folder"
        )
    try:
        config = read_object(folder / "config.json") or {}
        read_object(folder / "tokenizer_config.json")
    except BenchError as error:
        yield f"its {error}: fetch it again"
        return
    named = config.get("transformers_weights")
    if named not in (None, WEIGHTS, INDEX):
        yield f"its config.json takes the weights from {named} (transformers_weights): rename that file to {WEIGHTS}"
    for path in weights:
        yield from _wrong_with_weights(path, config)


def _not_the_file(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror}): ask its owner for the right to read it"
    if start == POINTER:
        return f"{path.name} is a Git LFS pointer, and not the file itself: run git lfs pull in the folder"
    return None if start else f"{path.name} is empty: fetch it again"


def _wrong_with_weights(path: Path, config: Mapping[str, Any]) -> Iterator[str]:
    try:
        header = tensor_headers(path)
    except BenchError as error:
        yield str(error)
        return
    text = config.get("text_config")
    said = [*config, *(text if isinstance(text, Mapping) else ())]
    if any(name in said for name in QUANTIZED):
        return
    for name, tensor in header.items():
        # other tensors may be masks or positions
        if name.endswith("weight") and tensor.dtype not in FLOATS:
            yield (
                f"{name} in {path.name} is of {tensor.dtype}, and its config.json does not say how it was quantised: "
                "take the weights that it was made of"
            )
            return
