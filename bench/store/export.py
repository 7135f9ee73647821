"""Hidden states of a data set as one file for use elsewhere."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.datasets.dataset import Dataset, Split
from bench.errors import BenchError
from bench.files import existing_parent, write_tensors
from bench.store.shelf import Shelf, slot, text_key

FORMAT = 1


def export_states(
    shelf: Shelf,
    layers: Sequence[int],
    poolings: Sequence[str],
    dataset: Dataset,
    file: Path,
    heal: Callable[[], None],
) -> None:
    """Write `train` and `test`, float32 [rows, layers, poolings, width], to a safetensors file.

    The metadata holds row ids, label names and labels, layers, poolings, the norm of the last layer, and the
    identities of model and data set, each as JSON.

    Args:
        shelf: Where every text of `dataset` is stored.
        layers: In the order of the tensors.
        poolings: In the order of the tensors.
        dataset: Whose rows are written, in its order.
        file: A file of that name is replaced.
        heal: Called when a stored file turns out damaged; it must extract what is then missing.

    Raises:
        BenchError: the disk is too small or the folder cannot be written.
    """
    import torch

    def keys_of(split: Split) -> list[bytes]:
        return [text_key(text) for text in split.texts]

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

    names = [*dataset.labels, *dataset.test_only_labels]
    metadata = {
        "format": FORMAT,
        "model": shelf.model,
        "identity": dict(shelf.identity),
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
        write_tensors(file.absolute(), tensors, {key: json.dumps(value) for key, value in metadata.items()})
    except OSError as error:
        raise BenchError(f"Cannot write {file}: {error.strerror or error}") from error
