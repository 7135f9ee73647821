"""Hidden states of a data set as one file for use elsewhere."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.datasets.dataset import Dataset, Split
from bench.errors import BenchError
from bench.extraction import Need
from bench.files import existing_parent, write_tensors
from bench.store import slot, text_key

FORMAT = 1


def export_states(need: Need, dataset: Dataset, file: Path, heal: Callable[[], None]) -> None:
    """Write `train` and `test`, float32 [rows, layers + 1, poolings, width], to a safetensors file.

    The metadata holds row ids, label names and labels, layers, poolings, the norm of the last layer, and the
    identities of model and data set, each as JSON. `heal` is called when a stored file turns out damaged; it must
    extract what is missing.

    Raises:
        BenchError: the disk is too small or the folder cannot be written.
    """
    import torch

    model = need.model
    rows = len(dataset.train) + len(dataset.test)
    wanted = rows * len(need.slots) * model.width * 4
    if wanted * 1.02 > shutil.disk_usage(existing_parent(file.absolute().parent)).free:
        raise BenchError(f"{file} would take {wanted / 1e9:.1f} GB, more than is free there.")

    def states(split: Split) -> torch.Tensor:
        keys = [text_key(text) for text in split.texts]
        out = torch.empty(len(keys), len(need.layers), len(model.poolings), model.width)
        for i, layer in enumerate(need.layers):
            for j, pooling in enumerate(model.poolings):
                out[:, i, j] = need.shelf.healed(keys, slot(layer, pooling), heal)
        return out

    names = [*dataset.labels, *dataset.test_only_labels]
    metadata = {
        "format": FORMAT,
        "model": model.name,
        "identity": dict(need.shelf.identity),
        "layers": list(need.layers),
        "poolings": list(model.poolings),
        "norm": need.shelf.identity.get("norm"),
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
