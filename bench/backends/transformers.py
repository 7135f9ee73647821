"""Hidden states by transformers: every layer under every pooling in one pass, pooled inside it."""

import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from bench.backends import packed
from bench.backends.base import Encoded, LayerTimes, Pooled, check_finite
from bench.backends.batches import Packed, Padded, run_batches
from bench.backends.body import Body, text_body
from bench.backends.linear import pack_linears, packing_works
from bench.backends.tokenizer import Tokenizer, token_identity
from bench.errors import BenchError
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel
from bench.pooling import Tokens, pool
from bench.specs import ExtractionSettings

# Tokens a batch: on a processor what stays in its cache, on a graphics processor what keeps it busy.
TOKEN_BUDGET = {"cpu": 2048}
DEFAULT_TOKEN_BUDGET = 16384
# To be raised when our own attention, packing or pooling code changes a value.
KERNELS = 1
# accelerate's ways to spread one model over several graphics processors, as transformers' `device_map` takes them.
DEVICE_MAPS = frozenset({"balanced", "balanced_low_0", "sequential"})
DEFAULT_ATTENTION = "sdpa"
PROBE = (
    "A probe.",
    "A second, somewhat longer text to compare.",
    "And a third; its length differs from both, of course.",
)
# Seen between the packed and the plain pass: 1e-6 in float32 and 1e-2 in bfloat16; a wrong mask or position gives 0.3.
PROBE_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.1}


def unavailable() -> None:
    """The backend can always be used."""
    return


def supports(architecture: str) -> bool:  # noqa: ARG001 - as the protocol
    """Every class that transformers' AutoModel loads."""
    return True


def resolve_settings(settings: ExtractionSettings) -> ExtractionSettings:
    """`settings` with a concrete device: ``"auto"`` becomes cuda, mps or cpu, in this order.

    Raises:
        BenchError: the device is not there, cannot compute in the dtype, or quantisation cannot be had.
    """
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if settings.quantization != "none":
        if not find_spec("bitsandbytes"):
            raise BenchError(
                f"Quantisation to {settings.quantization} needs bitsandbytes: python -m pip install bitsandbytes"
            )
        if device == "cpu":
            raise BenchError(f"Quantisation to {settings.quantization} needs a graphics processor: leave it out.")
    try:
        probe = torch.ones(2, 2, dtype=_dtype(settings), device=_first_device(device))
        (probe @ probe).sum().item()
    # Builds without CUDA raise an AssertionError.
    except (RuntimeError, NotImplementedError, TypeError, AssertionError) as error:
        raise BenchError(
            f"Device '{device}' cannot compute in {settings.dtype} here ({str(error).splitlines()[0][:120]}): "
            "choose another --device or --dtype, or 'auto'."
        ) from error
    return settings.model_copy(update={"device": device})


def identity(model: ResolvedModel, settings: ExtractionSettings) -> dict[str, Any]:
    """Everything besides the model's own identity that changes a value; loads no weights."""
    settings = resolve_settings(settings)
    special = _uses_packing(model, settings)
    return {
        "backend": "transformers",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.device(_first_device(settings.device)).type,
        "dtype": settings.dtype,
        "quantization": settings.quantization,
        "attention": packed.NAME if special else settings.attention or DEFAULT_ATTENTION,
        "linear": "onednn-packed" if special and _packs_linears(settings) else "torch",
        **token_identity(model, settings),
        "norm": "final norm on the last layer",
        "kernels": KERNELS,
    }


def open(model: ResolvedModel, settings: ExtractionSettings) -> "TransformersBackend":  # noqa: A001 - as the protocol
    """Load `model`.

    Raises:
        BenchError: see `resolve_settings`; or the weights do not fit, or the packed kernels disagree with plain ones.
    """
    return TransformersBackend(model, resolve_settings(settings))


class TransformersBackend:
    """A model held by transformers (see `bench.backends.base.Backend`)."""

    def __init__(self, model: ResolvedModel, settings: ExtractionSettings) -> None:
        started = time.perf_counter()
        self.model = model
        self.settings = settings
        self.poolings = model.poolings
        self._device = _first_device(settings.device)
        self._tokenizer = Tokenizer(model, settings)
        body, layers = text_body(_load_weights(model, settings), model)
        self.weights_gb = sum(value.nbytes for value in (*body.parameters(), *body.buffers())) / 2**30
        self._body = Body(body, layers)
        self._form: Packed | Padded = Padded(body.config.pad_token_id or 0, model.causal)
        self._budget = settings.token_budget or TOKEN_BUDGET.get(self._device, DEFAULT_TOKEN_BUDGET)
        if _uses_packing(model, settings):
            self._pack(body)
        self.load_seconds = time.perf_counter() - started

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`; see the protocol."""
        return self._tokenizer.encode(texts)

    def hidden_states(self, encoded: Encoded, rows: Sequence[int], layers: Sequence[int]) -> Iterator[Pooled]:
        """Pooled states, batch by batch; see the protocol."""
        for batch, states in run_batches(
            encoded, rows, self._form, self._budget, lambda batch: self._pooled(encoded, batch, layers)
        ):
            check_finite(states, self.model, self.settings, batch, layers)
            yield Pooled(batch, states)

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        """Cumulative seconds by layer; see the protocol."""
        total = np.zeros(self.model.layers + 1)
        for _, seconds in run_batches(
            encoded, rows, self._form, self._budget, lambda batch: self._timed(encoded, batch)
        ):
            total += seconds
        return LayerTimes(tuple(map(float, total)))

    def close(self) -> None:
        """Free the weights."""
        del self._body
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _pooled(self, encoded: Encoded, rows: np.ndarray[Any, np.dtype[np.int64]], layers: Sequence[int]) -> Tensor:
        places = {layer: place for place, layer in enumerate(layers)}
        batch = self._form.collate(encoded, rows).to(self._device)
        shape = (len(rows), len(layers), len(self.poolings), self.model.width)
        states = torch.empty(shape, dtype=torch.float32, device=self._device)
        tokens: dict[torch.device, Tokens] = {}

        def watch(layer: int, hidden: Tensor) -> None:
            if layer in places:
                here = tokens.setdefault(hidden.device, batch.tokens.to(hidden.device))
                states[:, places[layer]] = pool(hidden, here, self.poolings)

        self._body.forward(batch, max(layers), watch)
        return states.cpu()

    def _timed(self, encoded: Encoded, rows: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, Any]:
        stamps: list[float] = []

        def watch(_layer: int, hidden: Tensor) -> None:
            if hidden.is_cuda:
                torch.cuda.synchronize(hidden.device)
            stamps.append(time.perf_counter())

        started = time.perf_counter()
        self._body.forward(self._form.collate(encoded, rows).to(self._device), self.model.layers, watch)
        return np.array(stamps) - started

    def _pack(self, body: transformers.PreTrainedModel) -> None:
        """Switch to the packed kernels, and show on three texts that they compute what the plain ones do."""
        probe = self.encode(PROBE)
        layers = range(self.model.layers + 1)
        plain = torch.cat([self._pooled(probe, np.array([row]), layers) for row in range(len(probe))])
        embeddings: Any = getattr(body, "embeddings", None)
        # RoBERTa's family numbers positions from behind its padding id.
        offset = embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_input_ids") else 0
        transformers.AttentionInterface.register(packed.NAME, packed.packed_attention)
        body.set_attn_implementation(packed.NAME)
        if _packs_linears(self.settings):
            pack_linears(body)
        self._form = Packed(offset)
        found = self._pooled(probe, np.arange(len(probe)), layers)
        errors = (found - plain).norm(dim=-1) / plain.norm(dim=-1)
        # Rounding may grow in single layers of a deep model; a wrong mask or position moves most of a text's states.
        error = float(errors.flatten(1).median(dim=1).values.max())
        if not error <= PROBE_TOLERANCE[_dtype(self.settings)]:
            raise BenchError(
                f"The packed kernels disagree with plain ones on model '{self.model.name}' "
                f"(relative error {error:.1e}), so they are not used: pass --attention sdpa."
            )


def _dtype(settings: ExtractionSettings) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, settings.dtype)
    return dtype


def _first_device(device: str) -> str:
    """Where inputs go: the device itself, or the first of those that a model is spread over."""
    return "cuda:0" if device in DEVICE_MAPS else device


def _uses_packing(model: ResolvedModel, settings: ExtractionSettings) -> bool:
    """Whether texts run unpadded through bench's own kernels: on a processor, for the bodies these are tested with."""
    return settings.device == "cpu" and settings.attention is None and model.architecture in packed.ARCHITECTURES


def _packs_linears(settings: ExtractionSettings) -> bool:
    return settings.dtype == "float32" and packing_works()


def _load_weights(model: ResolvedModel, settings: ExtractionSettings) -> nn.Module:
    options: dict[str, Any] = {}
    if settings.quantization == "8bit":
        options["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)
    elif settings.quantization == "4bit":
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=_dtype(settings)
        )
    if settings.device != "cpu":
        options["device_map"] = settings.device if settings.device in DEVICE_MAPS else {"": settings.device}
    try:
        with quiet_transformers():
            loaded: nn.Module = transformers.AutoModel.from_pretrained(
                model.folder,
                dtype=_dtype(settings),
                attn_implementation=settings.attention or DEFAULT_ATTENTION,
                use_safetensors=True,
                trust_remote_code=model.remote_code,
                **options,
            )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise BenchError(
            f"Model '{model.name}' does not fit into memory: use a smaller dtype or quantisation."
        ) from error
    except (ValueError, ImportError) as error:
        raise BenchError(f"Model '{model.name}' cannot be loaded: {error}") from error
    return loaded.eval()
