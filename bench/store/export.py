"""Hidden states of a data set as one file: for other tools, and for another store (see `bench.store.importing`)."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.datasets.dataset import Dataset, Split
from bench.errors import BenchError
from bench.files import existing_parent, write_tensors
from bench.specs import fingerprint
from bench.store.index import KEY_BYTES
from bench.store.segment import checksum_of
from bench.store.shelf import Shelf, slot, text_key

FORMAT = 2
"""1 had neither keys of texts nor checksums."""
KEYS, TOKENS, TRUNCATED = "keys", "tokens", "truncated"
SIDES = ("train", "test")


def export_states(
    shelf: Shelf,
    layers: Sequence[int],
    poolings: Sequence[str],
    dataset: Dataset,
    file: Path,
    heal: Callable[[], None],
    reads: Callable[[str], str] = str,
) -> None:
    """Write `train` and `test`, float32 [rows, layers, poolings, width], to a safetensors file.

    Beside them `train_keys` (uint8 [rows, 16], what a store knows a text by), `train_tokens` (int32 [rows]),
    `train_truncated` (uint8 [rows]), and those of `test`. The metadata holds row ids, label names and labels, layers,
    poolings, the norm of the last layer, the identities of model and data set, checksums of the tensors, and a
    fingerprint of all the metadata, each as JSON.

    Args:
        shelf: Where every text of `dataset` is stored.
        layers: In the order of the tensors.
        poolings: In the order of the tensors.
        dataset: Whose rows are written, in its order.
        file: A file of that name is replaced.
        heal: Called when a stored file turns out damaged; it must extract what is then missing.
        reads: What the model reads of a row.

    Raises:
        BenchError: the disk is too small or the folder cannot be written.
    """
    import torch

    def keys_of(split: Split) -> list[bytes]:
        return [text_key(reads(text)) for text in split.texts]

    width = shelf.healed(keys_of(dataset.train)[:1], slot(layers[0], poolings[0]), heal).shape[1]
    wanted = (len(dataset.train) + len(dataset.test)) * len(layers) * len(poolings) * width * 4
    if wanted * 1.02 > shutil.disk_usage(existing_parent(file.absolute().parent)).free:
        raise BenchError(f"{file} would take {wanted / 1e9:.1f} GB, more than is free there.")

    def states(split: Split) -> torch.Tensor:
        keys = keys_of(split)
        out = torch.empty(len(keys), len(layers), len(poolings), width)
        for i, layer in enumerate(layers):
            for j, pooling in enumerate(poolings):
                out[:, i, j] = shelf.healed(keys, slot(layer, pooling), heal)
        return out

    def rows_of(side: str, keys: list[bytes]) -> dict[str, torch.Tensor]:
        tokens, truncated = shelf.counts(keys)
        return {
            f"{side}_{KEYS}": torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(-1, KEY_BYTES),
            f"{side}_{TOKENS}": torch.from_numpy(tokens.astype("int32")),
            f"{side}_{TRUNCATED}": torch.from_numpy(truncated.astype("uint8")),
        }

    names = [*dataset.labels, *dataset.test_only_labels]
    metadata = {
        "format": FORMAT,
        "model": shelf.model,
        "identity": dict(shelf.identity),
        "fingerprint": shelf.fingerprint,
        "slots": [[slot(layer, pooling) for pooling in poolings] for layer in layers],
        "layers": list(layers),
        "poolings": list(poolings),
        "norm": shelf.identity.get("norm"),
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "train_ids": list(dataset.train.ids),
        "test_ids": list(dataset.test.ids),
        "train_labels": [names[label] for label in dataset.train.labels],
        "test_labels": [names[label] for label in dataset.test.labels],
    }
    try:
        tensors = {"train": states(dataset.train), "test": states(dataset.test)}
        for side, split in zip(SIDES, (dataset.train, dataset.test), strict=True):
            tensors |= rows_of(side, keys_of(split))
        metadata["checksums"] = {name: checksum_of(tensor) for name, tensor in tensors.items()}
        metadata["digest"] = fingerprint(metadata, length=32)
        write_tensors(file.absolute(), tensors, {key: json.dumps(value) for key, value in metadata.items()})
    except OSError as error:
        raise BenchError(f"Cannot write {file}: {error.strerror or error}") from error
