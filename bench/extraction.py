"""Data set × model → store: what is missing is computed, once, by however many processes share the work."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.backends.base import Backend, Encoded
from bench.backends.base import backend as backend_module
from bench.backends.batches import in_order
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.files import existing_parent
from bench.models.resolve import ResolvedModel
from bench.progress import SILENT, Progress, Work
from bench.proof import open_model
from bench.specs import fingerprint
from bench.store import Shelf, Store, slot, text_key
from bench.views import parted

UNIT_BYTES = 64 << 20
"""States gathered before they are written: one segment, what a kill can cost, and what is held in memory."""
UNIT_ROWS = 512

Key = bytes

STORAGE = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Need:
    """What one model still has to compute for a list of texts, under `settings` that are its own.

    `bytes` is what that takes on disk, below `home`.
    """

    model: ResolvedModel
    settings: ResolvedSettings
    shelf: Shelf
    layers: tuple[int, ...]
    texts: int
    missing: tuple[int, ...]
    bytes: int
    home: Path

    def __post_init__(self) -> None:
        """Raise BenchError where a layer is none of the model's, whose states would be made of nothing."""
        if not set(self.layers) <= set(range(self.model.layers + 1)):
            held = f"{self.model.name} has layers 0 (the embeddings) to {self.model.layers}"
            raise BenchError(f"{held}; asked for {list(self.layers)}.")

    @property
    def slots(self) -> list[str]:
        """Names of the tensors a row needs."""
        return [slot(layer, pooling) for layer in self.layers for pooling in self.model.poolings]

    @property
    def row_bytes(self) -> int:
        """What a text takes on disk."""
        return len(self.slots) * self.model.width * STORAGE[self.settings.storage_dtype].itemsize

    def keys(self, texts: Iterable[str]) -> list[Key]:
        """What the store knows rows by: what the model reads of each."""
        return [text_key(self.model.reads(text)) for text in texts]

    def of(self, texts: Sequence[str], shelf: Shelf | None = None) -> "Need":
        """What the same extraction lacks of other texts, or what it lacks of these on another `shelf`."""
        keys = self.keys(texts)
        on = shelf or self.shelf
        missing = tuple(on.missing(keys, self.slots))
        return replace(self, shelf=on, texts=len(set(keys)), missing=missing, bytes=self.row_bytes * len(missing))


def survey(
    model: ResolvedModel,
    settings: ResolvedSettings,
    texts: Sequence[str],
    store: Store,
    layers: Sequence[int] | None = None,
) -> Need:
    """Look up what is stored of `texts` (all layers by default) without loading any weights."""
    shelf = store.shelf(identity(model, settings))
    chosen = tuple(range(model.layers + 1)) if layers is None else tuple(sorted(set(layers)))
    return Need(model, settings, shelf, chosen, 0, (), 0, store.home).of(texts)


def identity(model: ResolvedModel, settings: ResolvedSettings) -> dict[str, Any]:
    """Everything that changes a value of the model's hidden states, as JSON values; loads no weights.

    The name under "model" changes none: it is a label, the same under all views of rows (see `bench.views`), which the
    store leaves out of the fingerprint.
    """
    name = parted(model.name)[0]
    return {
        "model": Path(name).name if Path(name).is_dir() else name,
        **model.identity,
        **backend_module(settings.backend).identity(model, settings),
        "storage_dtype": settings.storage_dtype,
    }


def check_disk(needs: Sequence[Need], store: Store) -> None:
    """Refuse before the work, not after it, when the disk cannot hold what is missing.

    Raises:
        BenchError: too little space.
    """
    if store.remote is not None:
        return  # nobody says how much there is
    wanted = sum(need.bytes for need in needs)
    free = shutil.disk_usage(existing_parent(store.home)).free
    if wanted * 1.02 > free:
        raise BenchError(
            f"The embeddings take {wanted / 1e9:.1f} GB and {store.home} has {free / 1e9:.1f} GB free. Free some, set "
            "BENCH_STORE to a larger disk, take fewer rows (`max_train`, `max_test`) or `storage_dtype='bfloat16'`."
        )


def all_devices(settings: ResolvedSettings) -> list[str]:
    """The devices that share a model's rows: every GPU where the device is plainly ``cuda``, else the one named.

    A model that is cut over several GPUs has them all to itself.
    """
    if settings.device == "cuda" and settings.tensor_parallel == 1 and torch.cuda.device_count() > 1:
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [settings.device]


def first_of(settings: ResolvedSettings) -> ResolvedSettings:
    """The same on the first of the devices that share the work."""
    return settings.model_copy(update={"device": all_devices(settings)[0]})


def extract(
    need: Need,
    texts: Sequence[str],
    progress: Progress = SILENT,
    backend: Backend | None = None,
) -> None:
    """Compute and store the rows that `need` misses. Interrupted, it goes on where it stopped when called again.

    `backend`, where given, is an open one for this model.
    """
    if not need.missing:
        return
    with progress.task(f"extract {need.model.name}", len(need.missing), "texts") as task:
        opened = backend or open_model(need.model, need.settings, need.home, progress)
        try:
            _Extraction(need, texts, opened, task).run()
        finally:
            if backend is None:
                opened.close()


@dataclass(frozen=True)
class Portion:
    """Texts of which a model's rows are missing: an ask that any process can answer that reaches the store.

    `settings` and `identity` are those that all devices share: which of them computes a row has no part in it.
    """

    model: ResolvedModel
    settings: ResolvedSettings
    identity: Mapping[str, Any]
    layers: tuple[int, ...]
    texts: tuple[str, ...]


def portions(need: Need, texts: Sequence[str]) -> list[Portion]:
    """What `need` misses, in pieces that are written at once, the longest texts first."""
    missing = sorted((texts[row] for row in need.missing), key=len, reverse=True)
    size = unit_rows(need)
    return [
        Portion(need.model, need.settings, need.shelf.identity, need.layers, tuple(missing[start : start + size]))
        for start in range(0, len(missing), size)
    ]


@dataclass(frozen=True)
class Filled:
    """Rows of a shelf that are there now, by its fingerprint and their keys: all that is told of states."""

    shelf: str
    keys: tuple[bytes, ...]


def fill(portion: Portion, store: Store, backend: Backend) -> Filled:
    """Compute and store a portion with an open backend for its model."""
    need = Need(portion.model, portion.settings, store.shelf(portion.identity), portion.layers, 0, (), 0, store.home)
    extract(need.of(portion.texts), portion.texts, backend=backend)
    return Filled(need.shelf.fingerprint, tuple(need.keys(portion.texts)))


def unit_rows(need: Need) -> int:
    """Rows that are gathered before they are written."""
    return max(1, min(UNIT_ROWS, UNIT_BYTES // need.row_bytes))


@dataclass
class _Extraction:
    """Works through units of rows; a unit that another process has claimed is left to it, and checked at the end."""

    need: Need
    texts: Sequence[str]
    backend: Backend
    task: Work

    def run(self) -> None:
        shelf, slots = self.need.shelf, self.need.slots
        encoded = self.backend.encode([self.texts[row] for row in self.need.missing])
        # longest first: what does not fit in memory shows at once, and texts of like length are batched together
        order = np.argsort(-encoded.lengths, kind="stable").tolist()
        size = unit_rows(self.need)
        units = [order[start : start + size] for start in range(0, len(order), size)]
        waiting = self._pass(units, encoded, wait=False)
        self._pass(waiting, encoded, wait=True)
        keys = self.need.keys(self.texts[row] for row in self.need.missing)
        if left := shelf.missing(keys, slots):
            where = shelf.files.where("")
            raise BenchError(f"{len(left)} texts of {self.need.model.name} could not be stored in {where}.")
        # A claim that another process still holds is lost with this; the worst is that its rows are computed twice.
        # The folder stays: another process may be about to make its claim in it.
        for claim in (shelf.folder / "claims").glob("*.lock"):
            claim.unlink(missing_ok=True)

    def _pass(self, units: Sequence[Sequence[int]], encoded: Encoded, *, wait: bool) -> list[Sequence[int]]:
        """Work on every unit that is free; return those that another process holds."""
        from filelock import FileLock, Timeout

        held = []
        for unit in units:
            keys = self.need.keys(self.texts[self.need.missing[index]] for index in unit)
            claim = self.need.shelf.folder / "claims" / f"{fingerprint([key.hex() for key in keys])}.lock"
            claim.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(claim, timeout=-1 if wait else 0)
            try:
                lock.acquire()
            except Timeout:
                held.append(unit)
                continue
            except (OSError, NotImplementedError):
                pass  # a network's disk that knows no locks: the worst is that rows are computed twice
            try:
                left = set(self.need.shelf.missing(keys, self.need.slots))
                todo = [index for position, index in enumerate(unit) if position in left]
                self.task.advance(len(unit) - len(todo))
                self._compute(todo, encoded)
            finally:
                lock.release()
        return held

    def _compute(self, rows: Sequence[int], encoded: Encoded) -> None:
        if not rows:
            return
        model, dtype = self.need.model, STORAGE[self.need.settings.storage_dtype]

        def stored(states: torch.Tensor) -> torch.Tensor:
            result = self._stored(states, dtype)
            self.task.advance(len(states))
            return result

        states = in_order(self.backend.hidden_states(encoded, rows, self.need.layers), rows, stored)
        self.need.shelf.append(
            self.need.keys(self.texts[self.need.missing[row]] for row in rows),
            encoded.lengths[list(rows)].tolist(),
            encoded.truncated[list(rows)].tolist(),
            {
                slot(layer, pooling): states[:, i, j]
                for i, layer in enumerate(self.need.layers)
                for j, pooling in enumerate(model.poolings)
            },
        )

    def _stored(self, states: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """The states in the storage dtype; a value beyond its range is an error, never an infinity."""
        stored = states.to(dtype)
        if not torch.isfinite(stored).all():
            raise BenchError(
                f"{self.need.model.name} has hidden states up to {states.abs().max():.3g}, beyond the range of "
                f"{self.need.settings.storage_dtype}; store them as float32 or bfloat16 (`storage_dtype`)."
            )
        return stored


def heal(need: Need, texts: Sequence[str], progress: Progress = SILENT) -> None:
    """Extract again what damaged files held, after one has shown. `need` and `texts` are those of the extraction."""
    progress.warn(f"a stored file of {need.model.name} was damaged and set aside; extracting its rows again")
    # one damaged file is seldom alone, and the model should be loaded once
    need.shelf.verify()
    extract(need.of(texts), texts, progress)


def truncated(need: Need, texts: Sequence[str]) -> int:
    """How many of the texts were longer than the maximum length."""
    return int(need.shelf.counts(need.keys(texts))[1].sum())
