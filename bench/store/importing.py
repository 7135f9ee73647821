"""What `bench.store.export` wrote elsewhere, taken into a store: to the bit, and only as what it was computed as."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import read_header
from bench.specs import fingerprint
from bench.store.export import FORMAT, KEYS, SIDES, TOKENS, TRUNCATED
from bench.store.segment import checksum_of
from bench.store.shelf import Shelf, identity_fingerprint
from bench.store.shelf import slot as slot_of
from bench.store.store import Store

if TYPE_CHECKING:
    import torch

UNIT_BYTES = 64 << 20
"""What is written at once: one segment."""


@dataclass(frozen=True)
class Imported:
    """What came of an import: the shelf, how many distinct texts the file has, and how many of them were new to it."""

    shelf: Shelf
    rows: int
    new: int


def import_states(file: Path, store: Store) -> Imported:
    """Store the rows of a file of `bench store export` that the store lacks, under the identity that they have there.

    Whoever computes the same (the same weights, tokenizer, dtype, versions …) finds them as if extracted here.

    Raises:
        BenchError: the file is no such export, is of another format, or was altered; its identity is not the one that
            its states were computed under; or the store cannot be written. Nothing is stored then, or nothing more.
    """
    from safetensors import SafetensorError, safe_open

    about = _metadata(file)
    shelf, slots = store.shelf(about["identity"]), [name for layer in about["slots"] for name in layer]
    try:
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{file} is torn: copy it again.") from error
    for name in sorted(about["checksums"].keys() | tensors.keys()):
        if name not in tensors or checksum_of(tensors[name]) != about["checksums"].get(name):
            raise BenchError(f"{file} was altered: '{name}' does not match its checksum. Copy or export it again.")
    seen: set[bytes] = set()
    new = 0
    for side in SIDES:
        keys = [row.tobytes() for row in tensors[f"{side}_{KEYS}"].numpy()]
        missing = shelf.missing(keys, slots)
        new += len(missing)
        seen.update(keys)
        _store(file, shelf, slots, side, keys, missing, tensors)
    shelf.refresh()
    return Imported(shelf, len(seen), new)


def _store(
    file: Path,
    shelf: Shelf,
    slots: list[str],
    side: str,
    keys: list[bytes],
    rows: list[int],
    tensors: "Mapping[str, torch.Tensor]",
) -> None:
    import torch

    dtype: torch.dtype = getattr(torch, str(shelf.identity.get("storage_dtype", "float32")))
    states = tensors[side].flatten(1, 2)
    size = max(1, UNIT_BYTES // (states.shape[1] * states.shape[2] * dtype.itemsize))
    for start in range(0, len(rows), size):
        part = torch.tensor(rows[start : start + size])
        found = states[part]
        stored = found.to(dtype)
        if not torch.equal(stored.float(), found):
            raise BenchError(
                f"{file} holds states that are no {str(dtype).removeprefix('torch.')}, which its identity says."
            )
        shelf.append(
            [keys[row] for row in part.tolist()],
            tensors[f"{side}_{TOKENS}"][part].tolist(),
            tensors[f"{side}_{TRUNCATED}"][part].bool().tolist(),
            {name: stored[:, place] for place, name in enumerate(slots)},
        )


def _metadata(file: Path) -> dict[str, Any]:
    """What the file says of itself, found to be as it was written. Raises BenchError."""
    foreign = f"{file} is no file of `bench store export`"
    try:
        about = {name: json.loads(value) for name, value in read_header(file).items()}
        form = int(about["format"])
    except OSError as error:
        raise BenchError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BenchError(f"{foreign}, or it is torn: copy or export it again.") from error
    if form > FORMAT:
        raise BenchError(f"{file} is of format {form}, and this bench reads {FORMAT}: install the newer bench.")
    if form < FORMAT:
        raise BenchError(
            f"{file} is of format {form}, which does not hold what a store knows texts by: export it again, with this "
            "bench, where it was made. Other tools read it as before."
        )
    try:
        said, found = str(about["fingerprint"]), identity_fingerprint(about["identity"])
        if said != found:
            raise BenchError(
                f"{file} says that its states are of the extraction {said}, and its identity is that of {found}: it "
                "was altered. States must not be taken for those of another computation; export them again."
            )
        if about.pop("digest") != fingerprint(about, length=32):
            raise BenchError(f"{file} was altered: what it says of itself does not match its digest. Export it again.")
        own = [[slot_of(layer, pooling) for pooling in about["poolings"]] for layer in about["layers"]]
        if own != about["slots"]:
            raise BenchError(
                f"{file} has states of a pooling that is another one here ({', '.join(about['poolings'])}): install "
                "the version of its package that wrote them."
            )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BenchError(f"{foreign}: it lacks or garbles {error}.") from error
    return about
