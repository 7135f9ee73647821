"""One model held by transformers, and its passes."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.backends import packed
from bench.backends.architectures import fastest_attention, tested
from bench.backends.base import Encoded, LayerTimes, Pooled, TokenStates, check_finite
from bench.backends.batches import Batch, Level, Packed, Padded, run_batches
from bench.backends.body import Body, Resumption
from bench.backends.host import to_host
from bench.backends.linear import pack_linears, widen_linears
from bench.backends.loading import load_body
from bench.backends.memory import keep_freed_memory
from bench.backends.probe import PROBE, disagreement
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer
from bench.backends.transformers.choices import (
    DEVICE_MAPS,
    changes_itself,
    first_device,
    uses_packing,
)
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.pooling import Tokens, pool
from bench.products import CPU, fast_exact_products
from bench.threads import side_by_side

# Tokens a batch: on a processor what stays in its cache, on a graphics processor what keeps it busy.
TOKEN_BUDGET = {"cpu": 2048}
DEFAULT_TOKEN_BUDGET = 16384
# Batches at a time on a processor: small products gain less by a second thread than by a second batch, and each batch
# holds the activations of its tokens.
TOGETHER = 8
# transformers' own hidden states begin behind the first block there, and end with the last block's before and after the
# final norm.
WITHOUT_EMBEDDINGS = frozenset({"FalconMambaModel", "Mamba2Model", "MambaModel", "RwkvModel"})


class TransformersBackend:
    """A model held by transformers (see `bench.backends.base.ResumableBackend`)."""

    def __init__(self, model: ResolvedModel, settings: ResolvedSettings, deepest: int | None = None) -> None:
        started = time.perf_counter()
        self.model = model
        self.settings = settings
        self.poolings = model.poolings
        self._device = first_device(settings.device)
        self._tokenizer = Tokenizer(model, settings)
        self._deepest = model.layers if deepest is None else deepest
        body, layers = _load(model, settings, self._deepest)
        self.weights_gb = sum(value.nbytes for value in (*body.parameters(), *body.buffers())) / 2**30
        self._body = Body(body, layers, model)
        if not tested(model):
            self._body.learn_layout()
        self._in_threads = False
        self._form: Packed | Padded = Padded(body.config.pad_token_id or 0, model.causal)
        self._budget = settings.token_budget or TOKEN_BUDGET.get(self._device, DEFAULT_TOKEN_BUDGET)
        if self._device == "cpu":
            # Only now: the weights' memory is to go back to the system with the model.
            keep_freed_memory()
            widen_linears(body)
        if uses_packing(model, settings):
            self._pack(body)
        self.load_seconds = time.perf_counter() - started

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`; see the protocol."""
        return self._tokenizer.encode(texts)

    def hidden_states(
        self,
        encoded: Encoded,
        rows: Sequence[int],
        layers: Sequence[int],
        start: TokenStates | None = None,
        *,
        keep: bool = False,
    ) -> Iterator[Pooled]:
        """Pooled states, batch by batch; see the protocol.

        Going on, a batch's states are bit for bit those of one pass over the same batch. On a processor batches run
        side by side where there are several.
        """
        ended = threading.Event()

        def run(batch: NDArray[np.int64]) -> Pooled:
            pooled = self._pooled(encoded, batch, layers, start, keep, ended)
            # before they leave the device, where it takes no time
            check_finite(pooled.states, self.model, self.settings, batch, layers)
            return replace(pooled, states=to_host(pooled.states))

        batches = int(encoded.lengths[np.asarray(rows)].sum()) // self._budget
        most = max(1, min(TOGETHER, batches)) if self._in_threads and start is None else 1
        with self._products(), side_by_side(most) as (threads, together):
            try:
                for _, pooled in run_batches(encoded, rows, self._form, self._budget, run, threads, together):
                    yield pooled
            finally:
                ended.set()

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        """Cumulative seconds by layer; see the protocol."""
        total = np.zeros(self._deepest + 1)
        with self._products():
            for _, seconds in run_batches(
                encoded, rows, self._form, self._budget, lambda batch: self._timed(encoded, batch)
            ):
                total += seconds
        return LayerTimes(tuple(map(float, total)))

    @torch.inference_mode()
    def plain_states(self, encoded: Encoded, row: int, layers: Sequence[int]) -> Tensor:
        """One text's states as transformers' `output_hidden_states` has them: [1, len(layers), poolings, width].

        Nothing of bench's own has a part in them but the poolings, so this holds for a body without packed kernels.

        Raises:
            BenchError: transformers has no hidden states of this body, or not one a layer and token.
        """
        assert not isinstance(self._form, Packed)
        ids = torch.from_numpy(encoded.text(row).astype(np.int64))[None].to(self._device)
        output = self._body.plain(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        hidden = tuple(getattr(output, "hidden_states", None) or ())
        if self.model.architecture in WITHOUT_EMBEDDINGS:
            hidden = (self._body.module.get_input_embeddings()(ids), *hidden[:-2], *hidden[-1:])
        expected = (*ids.shape, self.model.width)
        shapes = [tuple(getattr(each, "shape", ())) for each in hidden]
        if len(hidden) <= max(layers) or any(shapes[layer] != expected for layer in layers):
            raise BenchError(
                f"transformers has {len(hidden)} hidden states of model '{self.model.name}' "
                f"({self.model.architecture}) for a text, of shapes {sorted(set(shapes))}, where "
                f"{self.model.layers + 1} of {expected} are expected: there is nothing that its layers could be "
                "compared with. Use another model."
            )
        tokens = Tokens.packed([ids.shape[1]])
        return torch.stack(
            [pool(each, tokens.to(each.device), self.poolings).cpu() for each in map(hidden.__getitem__, layers)], dim=1
        )

    def never_pad(self) -> None:
        """From now on only texts of one length run together."""
        self._form = Level(0, self.model.causal)

    def close(self) -> None:
        """Free the weights."""
        del self._body
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _pooled(
        self,
        encoded: Encoded,
        rows: NDArray[np.int64],
        layers: Sequence[int],
        start: TokenStates | None = None,
        keep: bool = False,
        ended: threading.Event | None = None,
    ) -> Pooled:
        """A batch's states, on the device still; a pass that nobody waits for any more stops at its next layer."""
        places, deepest = {layer: place for place, layer in enumerate(layers)}, max(layers)
        batch = self._form.collate(encoded, rows).to(self._device)
        shape = (len(rows), len(layers), len(self.poolings), self.model.width)
        states = torch.empty(shape, dtype=torch.float32, device=self._device)
        tokens: dict[torch.device, Tokens] = {}
        kept: list[TokenStates] = []

        def watch(layer: int, hidden: Tensor) -> None:
            if ended is not None and ended.is_set():
                raise CancelledError
            if layer in places:
                here = tokens.setdefault(hidden.device, batch.pooled.to(hidden.device))
                states[:, places[layer]] = pool(hidden, here, self.poolings)
            if keep and layer == deepest:
                kept.append(_kept(layer, hidden, batch.tokens, rows))

        self._body.forward(batch, deepest, watch, None if start is None else _laid_out(start, batch, rows))
        return Pooled(rows, states, kept[0] if kept else None)

    def _timed(self, encoded: Encoded, rows: NDArray[np.int64]) -> np.ndarray[Any, Any]:
        stamps: list[float] = []

        def watch(_layer: int, hidden: Tensor) -> None:
            if hidden.is_cuda:
                torch.cuda.synchronize(hidden.device)
            stamps.append(time.perf_counter())

        started = time.perf_counter()
        self._body.forward(self._form.collate(encoded, rows).to(self._device), self._deepest, watch)
        return np.array(stamps) - started

    def _products(self) -> AbstractContextManager[None]:
        # the process's, and not to be changed under those who work in it
        return fast_exact_products(CPU) if self._device == "cpu" else nullcontext()

    def _pack(self, body: transformers.PreTrainedModel) -> None:
        """Switch to the packed kernels, and show on three texts that they compute what the plain ones do."""
        probe = self.encode(PROBE)
        layers = range(self._deepest + 1)
        plain = torch.cat([self._pooled(probe, np.array([row]), layers).states for row in range(len(probe))])
        embeddings: Any = getattr(body, "embeddings", None)
        # RoBERTa's family numbers positions from behind its padding id.
        offset = embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_input_ids") else 0
        transformers.AttentionInterface.register(packed.NAME, packed.packed_attention)
        body.set_attn_implementation(packed.NAME)
        pack_linears(body)
        self._form = Packed(offset)
        self._in_threads = not changes_itself(body)
        with self._products():
            found = self._pooled(probe, np.arange(len(probe)), layers).states
        error = disagreement(found, plain, _dtype(self.settings))
        if error is not None:
            raise BenchError(
                f"The packed kernels disagree with plain ones on model '{self.model.name}' "
                f"(relative error {error:.1e}), so they are not used: pass `attention='sdpa'`."
            )


def _kept(layer: int, hidden: Tensor, tokens: Tokens, rows: NDArray[np.int64]) -> TokenStates:
    """The states [b, t, width] of a batch's texts, without what fills it up."""
    own = hidden.reshape(-1, hidden.shape[-1])[tokens.index].split(tokens.lengths.tolist())
    return TokenStates(layer, dict(zip(rows.tolist(), own, strict=True)))


def _laid_out(start: TokenStates, batch: Batch, rows: NDArray[np.int64]) -> Resumption:
    """Kept states of `rows` as their batch has them; what fills it up, which no text sees, is zero."""
    own = torch.cat([start.texts[row] for row in rows.tolist()])
    shape = batch.inputs["input_ids"].shape
    states = own.new_zeros(shape.numel(), own.shape[-1])
    states[batch.tokens.index] = own
    return Resumption(start.layer, states.view(*shape, -1))


def _dtype(settings: ResolvedSettings) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, settings.dtype)
    return dtype


def _load(
    model: ResolvedModel, settings: ResolvedSettings, deepest: int
) -> tuple[transformers.PreTrainedModel, nn.ModuleList]:
    options: dict[str, Any] = {}
    if settings.quantization == "8bit":
        options["quantization_config"] = transformers.BitsAndBytesConfig(load_in_8bit=True)
    elif settings.quantization == "4bit":
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=_dtype(settings)
        )
    if settings.device != "cpu":
        options["device_map"] = settings.device if settings.device in DEVICE_MAPS else {"": settings.device}
    options["attn_implementation"] = settings.attention or fastest_attention(model)
    return load_body(model, _dtype(settings), deepest, **options)
