"""The dtype in which a model computes where none is asked for: the one that fits model and machine.

On a graphics processor it is the model's own half precision. Elsewhere, and for a model that was saved in float32, it
is found out by running it: bfloat16 where the states stay what they are and it is worth the rounding, else float32.
What was measured is kept in the store, by the model, the machine and the versions of libraries.
"""

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.backends.base import Backend
from bench.backends.base import backend as backend_module
from bench.backends.batches import in_order
from bench.backends.parity import TEXTS, agreements
from bench.backends.resolution import resolve
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.files import read_checked, write_checked
from bench.models import checkpoint, hub
from bench.models.availability import machine_gb, memory_gb
from bench.models.resolve import ResolvedModel
from bench.pooling import POOLINGS
from bench.progress import Progress
from bench.proof import SHARE, device_name, open_model
from bench.specs import fingerprint
from bench.store import slot
from bench.store.leftovers import DTYPES

FORMAT = 1
VERSION = 1
"""To be raised when what is measured changes."""
COSINE = 0.999
"""The least of a text's states in bfloat16 with those in float32, standardised over texts as heads see them."""
FASTER = 1.2
"""How many times as fast bfloat16 must be to be worth its rounding."""
PROBE = (
    *TEXTS,
    *map(" ".join, zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True)),
    *(" ".join(TEXTS[:n]) for n in range(3, 11)),
)
"""32 texts of four to some three hundred tokens."""
PASSES = 5
ENOUGH = 20.0
"""Seconds of passes after which no further one is begun."""
HALF = ("bfloat16", "float16")


@dataclass(frozen=True, eq=False)
class Measured:
    """bfloat16 beside float32: how many times as `fast`, and the worst text's `cosine` [layers, poolings].

    The cosine is NaN where all texts have the same state.
    """

    fast: float
    cosine: NDArray[np.float64]

    def worst(self, model: ResolvedModel, poolings: Collection[str] | None) -> tuple[float, str]:
        """The smallest cosine under those poolings (all where they are None), and the slot that has it."""
        return min(
            (float(value), slot(layer, name))
            for name, column in zip(model.poolings, self.cosine.T, strict=True)
            for layer, value in enumerate(np.nan_to_num(column, nan=1.0))
            if poolings is None or name in poolings
        )


def fitting(
    model: ResolvedModel,
    settings: ResolvedSettings,
    store: Path,
    progress: Progress,
    *,
    poolings: Collection[str] | None = None,
    dry: bool = False,
) -> ResolvedSettings:
    """`settings` in the dtype that fits; said in a line.

    Args:
        model: Whose.
        settings: With backend and device; its dtype is taken where nothing else is found out.
        store: The folder of the store, which has what was measured, and keeps it.
        progress: Is told what was chosen, and why.
        poolings: Those whose states are to be right; None takes all of the model.
        dry: Run nothing and write nothing: what is known, else float32.

    Raises:
        BenchError: the model cannot be opened or run.
    """

    def chosen(dtype: str, why: str) -> ResolvedSettings:
        progress.say(f"{model.name}: computes in {dtype}, {why}")
        return settings.model_copy(update={"dtype": dtype})

    own = _own(model)
    if settings.device.partition(":")[0] not in ("cpu", "mps") and own in HALF and _can(settings, own):
        return chosen(own, "which is its own dtype")
    if settings.quantization != "none" or settings.device == "mps" or not _can(settings, "bfloat16"):
        return chosen("float32", "since nothing else can be had here")
    if memory_gb(checkpoint.parameters(model.folder), "float32") > machine_gb(settings.device):
        return chosen("bfloat16", "since float32 does not fit into memory")
    if settings.backend == "vllm":
        return chosen("float32", "since two engines of vLLM are not held beside each other to compare")
    place = _place(model, settings, store)
    found = _read(place, model)
    both = sum(memory_gb(checkpoint.parameters(model.folder), dtype) for dtype in ("float32", "bfloat16"))
    if found is None and dry:
        return chosen("float32", "as far as is known: whether bfloat16 fits is found out by running it")
    # Of all memory, not of what is free now: the same command is to find the same dtype tomorrow.
    if found is None and both > SHARE * machine_gb(settings.device):
        return chosen("float32", "since a copy in bfloat16 does not fit beside it to be compared")
    if found is None:
        progress.say(f"{model.name}: bfloat16 is compared with float32, once")
        found = _measured(model, settings, store, progress)
        with suppress(OSError):  # measured again, where nothing can be written
            write_checked(place, {"cosine": found.cosine}, {"format": str(FORMAT), "fast": repr(found.fast)})
    worst, where = found.worst(model, poolings)
    seen = f"bfloat16 being {found.fast:.2f} × as fast here, its worst cosine with float32 {worst:.4f}, at {where}"
    return chosen("bfloat16" if worst >= COSINE and found.fast >= FASTER else "float32", seen)


def _own(model: ResolvedModel) -> str:
    """The dtype in which the model's authors saved it, as its configuration has it."""
    config = hub.read_config(model.folder)
    inner = config.get("text_config") or {}
    found = next(
        (each[key] for each in (config, inner) for key in ("dtype", "torch_dtype") if each.get(key)), "float32"
    )
    return str(found).removeprefix("torch.")


def _can(settings: ResolvedSettings, dtype: str) -> bool:
    try:
        resolve(_in(settings, dtype))
    except BenchError:
        return False
    return True


def _in(settings: ResolvedSettings, dtype: str) -> ResolvedSettings:
    return settings.model_copy(update={"dtype": dtype})


def _measured(model: ResolvedModel, settings: ResolvedSettings, store: Path, progress: Progress) -> Measured:
    """Both dtypes on the same texts, in turn; the first passes, which warm up, are compared."""
    layers, rows = range(model.layers + 1), range(len(PROBE))
    with ExitStack() as stack:
        runs: list[Callable[[], object]] = []
        states = []
        for dtype in ("float32", "bfloat16"):
            opened = open_model(model, _in(settings, dtype), store, progress)
            stack.callback(opened.close)
            states.append(in_order(opened.hidden_states(opened.encode(PROBE), rows, layers), rows))
            runs.append(_run(opened, layers))
        seconds: list[list[float]] = [[], []]
        began = time.perf_counter()
        while len(seconds[1]) < PASSES and (not seconds[1] or time.perf_counter() - began < ENOUGH):
            for run, taken in zip(runs, seconds, strict=True):
                started = time.perf_counter()
                run()
                taken.append(time.perf_counter() - started)
    full, half = map(statistics.median, seconds)
    cosine = np.full((len(layers), len(model.poolings)), np.nan)
    for each in agreements(states[0], states[1], model.poolings):
        if each.cosine is not None:
            cosine[each.layer, model.poolings.index(each.pooling)] = each.cosine
    return Measured(full / half, cosine)


def _run(opened: Backend, layers: Sequence[int]) -> Callable[[], object]:
    encoded, rows = opened.encode(PROBE), range(len(PROBE))
    return lambda: list(opened.hidden_states(encoded, rows, layers))


def _place(model: ResolvedModel, settings: ResolvedSettings, store: Path) -> Path:
    """Where it is kept what was measured."""
    key = {
        "version": VERSION,
        "identity": {**model.identity, **backend_module(settings.backend).identity(model, _in(settings, "bfloat16"))},
        "device": device_name(settings.device),
        "poolings": {name: POOLINGS.source(name) for name in model.poolings},
    }
    return store / DTYPES / f"{fingerprint(key)}.safetensors"


def _read(place: Path, model: ResolvedModel) -> Measured | None:
    """What was measured; None where nothing was, or what is kept of it was altered."""
    if (kept := read_checked(place, FORMAT)) is None:
        return None
    arrays, facts = kept
    assert arrays["cosine"].shape == (model.layers + 1, len(model.poolings))
    return Measured(float(facts["fast"]), arrays["cosine"])
