"""Evaluations on disk: a repetition once computed is never computed again, in this study or another."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.files import write_tensors
from bench.specs import fingerprint

FORMAT = 1


@dataclass(frozen=True)
class EvaluationCache:
    """Predictions by the fingerprint of everything that determines them. `home` None keeps nothing."""

    home: Path | None

    def _path(self, key: Mapping[str, Any]) -> Path | None:
        if self.home is None:
            return None
        name = fingerprint(dict(key), length=32)
        return self.home / "evaluations" / name[:2] / f"{name}.safetensors"

    def get(self, key: Mapping[str, Any]) -> np.ndarray | None:
        """The predicted classes, int64 [n], or None. A torn or altered file counts as absent."""
        import xxhash
        from safetensors import SafetensorError, safe_open

        path = self._path(key)
        if path is None or not path.exists():
            return None
        with contextlib.suppress(SafetensorError, OSError, KeyError, ValueError), safe_open(path, "np") as file:
            predicted = np.asarray(file.get_tensor("predicted"))
            metadata = file.metadata()
            if metadata["key"] == _text(key) and metadata["xxh3"] == xxhash.xxh3_128_hexdigest(predicted.tobytes()):
                return predicted.astype(np.int64)
        return None

    def put(self, key: Mapping[str, Any], predicted: np.ndarray) -> None:
        """Keep the predicted classes, int [n]."""
        import torch
        import xxhash

        if (path := self._path(key)) is None:
            return
        stored = predicted.astype(np.uint8 if predicted.max(initial=0) < 256 else np.int32)
        metadata = {"format": str(FORMAT), "key": _text(key), "xxh3": xxhash.xxh3_128_hexdigest(stored.tobytes())}
        # A full disk must not end a search: what is not kept is only computed again when it is next asked for.
        with contextlib.suppress(OSError):
            write_tensors(path, {"predicted": torch.from_numpy(stored)}, metadata)


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(dict(key), sort_keys=True)
