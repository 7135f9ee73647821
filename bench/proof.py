"""The door through which models are opened: a body that no test knows tests itself there, once.

What it found is kept under the store, by all that could change it: the identity of the states, the poolings, the device
and how batches are bounded.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.backends.architectures import tested
from bench.backends.base import backend as backend_module
from bench.backends.forms import reading
from bench.backends.selftest import SelfTest, check, self_test
from bench.files import read_checked, write_checked
from bench.models import checkpoint
from bench.pooling import POOLINGS
from bench.progress import SILENT, Progress
from bench.specs import fingerprint
from bench.store.leftovers import SELFTESTS

if TYPE_CHECKING:
    from bench.backends.base import Backend
    from bench.backends.settings import ResolvedSettings
    from bench.backends.transformers.backend import TransformersBackend
    from bench.models.resolve import ResolvedModel

FORMAT = 1
# To be raised when the test itself changes, so that it is run again.
VERSION = 1
FLOAT32_BYTES = 4
# Of the memory that is free, so much may go to a copy that is there for the test alone.
SHARE = 0.6
CHEAP = 150_000_000
"""Parameters up to which a dry run tests a model too: seconds."""


def open_model(
    model: ResolvedModel,
    settings: ResolvedSettings,
    store: Path,
    progress: Progress = SILENT,
    deepest: int | None = None,
) -> Backend:
    """Load `model` up to layer `deepest`, shown once to give the states that it should; `store` remembers that.

    Raises:
        BenchError: it cannot be opened, or its states are not what they should be.
    """
    plain = model.at_once
    if tested(model):
        opened = backend_module(settings.backend).open(plain, settings, deepest)
    else:
        opened, _ = _proven(plain, settings, store, progress, model.layers if deepest is None else deepest)
    return reading(opened, model)


def prove(
    models: Iterable[ResolvedModel], settings: ResolvedSettings, store: Path, progress: Progress = SILENT
) -> None:
    """Test each model that no test knows and that has not been tested yet, before anything is made of any of them.

    Raises:
        BenchError: see `open_model`.
    """
    for model in (each.at_once for each in models):
        if not tested(model):
            found = _read(_place(model, settings, store), model.layers)
            if found is None:
                open_model(model, settings, store, progress).close()
            else:
                check(found, model, settings)


def prove_cheap(
    model: ResolvedModel, settings: ResolvedSettings, store: Path, scratch: Path, progress: Progress = SILENT
) -> None:
    """The same of one model, as far as `store` tells or it takes seconds; what is found goes to `scratch`.

    Raises:
        BenchError: see `open_model`.
    """
    model = model.at_once
    if tested(model):
        return
    if found := _read(_place(model, settings, store), model.layers):
        check(found, model, settings)
    elif checkpoint.parameters(model.folder) <= CHEAP:
        prove([model], settings, scratch, progress)


def _proven(
    model: ResolvedModel, settings: ResolvedSettings, store: Path, progress: Progress, deepest: int
) -> tuple[Backend, SelfTest]:
    """The open model, and what was found of it."""
    place = _place(model, settings, store)
    found = _read(place, deepest)
    if found is not None:
        check(found, model, settings)
    padded = _padded_in_float32(model, settings, store, progress, deepest) if found is None else found.padded
    opened = backend_module(settings.backend).open(model, settings, deepest)
    try:
        if not padded:
            _transformers(opened).never_pad()
        if found is None:
            progress.say(f"{model.name}: {model.architecture} is compared with transformers' own hidden states, once")
            found = _compared(opened, deepest)
            found = replace(found, padded=found.padded and padded)
            _write(place, found)
            check(found, model, settings)
        if not found.padded:
            progress.say(f"{model.name}: padding would reach a text, so only texts of one length run together")
    except BaseException:
        opened.close()
        raise
    return opened, found


def _compared(opened: Backend, layers: int) -> SelfTest:
    """The test, beside transformers: the backend itself, or a second copy where memory holds one."""
    model, settings = opened.model, opened.settings
    if settings.backend == "transformers":
        return self_test(opened, layers, _transformers(opened))
    if not fits(model, "cpu"):
        return self_test(opened, layers, None)
    plain = settings.model_copy(
        update={"backend": "transformers", "device": "cpu", "attention": None, "tensor_parallel": 1}
    )
    reference = backend_module("transformers").open(model, plain, layers)
    try:
        return self_test(opened, layers, _transformers(reference))
    finally:
        reference.close()


def _padded_in_float32(
    model: ResolvedModel, settings: ResolvedSettings, store: Path, progress: Progress, deepest: int
) -> bool:
    """Test in float32 what is to run in half precision, whose rounding would hide small errors, if memory holds it.

    Whether texts may be padded.
    """
    if settings.dtype == "float32" or settings.quantization != "none" or not fits(model, settings.device):
        return True
    exact = settings.model_copy(update={"dtype": "float32"})
    opened, found = _proven(model, exact, store, progress, deepest)
    opened.close()
    return found.padded


def fits(model: ResolvedModel, device: str) -> bool:
    """Whether a copy of the model in float32 fits beside what is there."""
    import psutil
    import torch

    if device.partition(":")[0] == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif device in ("cpu", "mps"):
        free = psutil.virtual_memory().available
    else:
        return False
    return checkpoint.parameters(model.folder) * FLOAT32_BYTES < SHARE * free


def _transformers(opened: Backend) -> TransformersBackend:
    from bench.backends.transformers.backend import TransformersBackend

    assert isinstance(opened, TransformersBackend)
    return opened


def _place(model: ResolvedModel, settings: ResolvedSettings, store: Path) -> Path:
    """Where the result is kept."""
    key = {
        "version": VERSION,
        "identity": {
            **(model.identity or _files(model.folder)),
            **backend_module(settings.backend).identity(model, settings),
        },
        "device": device_name(settings.device),
        "token_budget": settings.token_budget,
        "poolings": {name: POOLINGS.source(name) for name in model.poolings},
    }
    return store / SELFTESTS / f"{fingerprint(key)}.safetensors"


def _files(folder: Path) -> dict[str, list[int]]:
    """What tells a packed model, whose files a package's checksums know, from another."""
    stats = {path: path.stat() for path in sorted(folder.resolve().iterdir())}
    return {str(path): [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}


def device_name(device: str) -> str:
    """What `device` is on this machine: kernels differ from one make to the next."""
    import torch

    if device.partition(":")[0] == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _read(place: Path, layers: int) -> SelfTest | None:
    """What was found, of all `layers`; None where nothing was, or what is kept of it was altered."""
    if (kept := read_checked(place, FORMAT)) is None:
        return None
    arrays, facts = kept
    found = SelfTest(arrays["alone"], arrays["among"], json.loads(facts["padded"]))
    return found if found.deepest >= layers else None


def _write(place: Path, found: SelfTest) -> None:
    facts = {"format": str(FORMAT), "padded": json.dumps(found.padded)}
    # Where nothing can be written, as where a model is only served, the next opening tests again.
    with suppress(OSError):
        write_checked(place, {"alone": found.alone, "among": found.among}, facts)
