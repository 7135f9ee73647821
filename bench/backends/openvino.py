"""Hidden states by OpenVINO on a processor: the body converted to a graph that returns every layer's pooled states.

The graph is transformers' own forward pass, traced once with its masks and with bench's poolings in it, over batches
of any shape; OpenVINO fuses and compiles it for the processor (https://docs.openvino.ai, "Convert a PyTorch Model").
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.backends.base import Encoded, LayerTimes, Pooled, check_finite
from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from bench.backends.batches import Batch
    from bench.backends.body import Body
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings

# Each is compared with transformers' own states in the tests. Others often convert too, and are shown at every start
# to compute what the body they were made from computes; `auto` takes this backend for these only.
ARCHITECTURES = frozenset(
    {
        "BertModel",
        "BidirectionalMistralModel",
        "Gemma3TextModel",
        "LlamaModel",
        "MistralModel",
        "Phi3Model",
        "Qwen2Model",
        "Qwen3Model",
        "RobertaModel",
        "XLMRobertaModel",
    }
)
# transformers' own attention and masks under another name, the masks built in a way that can be traced.
TRACED = "bench_traced"
PRECISION = {"float32": "f32", "bfloat16": "bf16"}
TOKEN_BUDGET = 2048
# To be raised when what is traced, or how it is compiled, changes a value.
KERNELS = 1


def unavailable() -> str | None:
    """Why the backend cannot be used here; None where it can."""
    return None if find_spec("openvino") else "OpenVINO is not installed: python -m pip install 'bench[openvino]'."


def supports(architecture: str) -> bool:
    """The classes that the tests compare with transformers."""
    return architecture in ARCHITECTURES


def resolve_settings(settings: ExtractionSettings) -> ExtractionSettings:
    """`settings` with the processor as their device.

    Raises:
        BenchError: OpenVINO is not installed, the processor lacks the dtype, or what is asked for is another's.
    """
    if reason := unavailable():
        raise BenchError(reason)
    if settings.device not in {"auto", "cpu"}:
        raise BenchError(
            f"The openvino backend runs on the processor, not on '{settings.device}': use --device cpu, or "
            "--backend transformers."
        )
    if settings.quantization != "none":
        raise BenchError("The openvino backend does not quantise: leave --quantization out.")
    if settings.attention is not None:
        raise BenchError("The openvino backend has one attention kernel: leave --attention out.")
    if settings.tensor_parallel > 1:
        raise BenchError("The openvino backend runs on one processor: leave --tensor-parallel out.")
    if settings.dtype not in PRECISION:
        raise BenchError(
            f"The openvino backend cannot compute in {settings.dtype}: use --dtype float32, or bfloat16 where the "
            "processor has it."
        )
    if settings.dtype == "bfloat16" and "BF16" not in _library().Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise BenchError("This processor has no bfloat16 arithmetic that OpenVINO can use: use --dtype float32.")
    return settings.model_copy(update={"device": "cpu"})


def identity(model: ResolvedModel, settings: ExtractionSettings) -> dict[str, Any]:
    """Everything besides the model's own identity that changes a value; loads no weights."""
    from bench.backends.tokenizer import token_identity

    settings = resolve_settings(settings)
    return {
        "backend": "openvino",
        "openvino": version("openvino"),
        # They make the graph.
        "torch": version("torch"),
        "transformers": version("transformers"),
        "device": settings.device,
        "dtype": settings.dtype,
        **token_identity(model, settings),
        "norm": "final norm on the last layer",
        "kernels": KERNELS,
    }


def open(  # noqa: A001 - as the protocol
    model: ResolvedModel, settings: ExtractionSettings, deepest: int | None = None
) -> OpenVINOBackend:
    """Load `model` up to its layer `deepest` and convert it, which takes seconds.

    Raises:
        BenchError: see `resolve_settings`; or the body cannot be converted, or its graph computes something else.
    """
    return OpenVINOBackend(model, resolve_settings(settings), deepest)


class OpenVINOBackend:
    """A model compiled by OpenVINO (see `bench.backends.base.Backend`)."""

    def __init__(self, model: ResolvedModel, settings: ExtractionSettings, deepest: int | None = None) -> None:
        from bench.backends.tokenizer import Tokenizer

        started = time.perf_counter()
        self.model = model
        self.settings = settings
        self.poolings = model.poolings
        self._tokenizer = Tokenizer(model, settings)
        self._budget = settings.token_budget or TOKEN_BUDGET
        self._graph = self._compile(model.layers if deepest is None else deepest)
        self.weights_gb = self._graph.weights_gb
        self.load_seconds = time.perf_counter() - started

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`; see the protocol."""
        return self._tokenizer.encode(texts)

    def hidden_states(self, encoded: Encoded, rows: Sequence[int], layers: Sequence[int]) -> Iterator[Pooled]:
        """Pooled states, batch by batch; see the protocol.

        A graph has one depth: asking for less than the backend was opened for converts the model again, once.
        """
        from bench.backends.batches import run_batches

        if max(layers) != self._graph.depth:
            del self._graph
            self._graph = self._compile(max(layers))
        graph, chosen = self._graph, list(layers)

        def pooled(batch: NDArray[np.int64]) -> torch.Tensor:
            return graph.run(graph.form.collate(encoded, batch))[:, chosen]

        for batch, states in run_batches(encoded, rows, graph.form, self._budget, pooled):
            check_finite(states, self.model, self.settings, batch, layers)
            yield Pooled(batch, states)

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        """Cumulative seconds by layer; see the protocol.

        OpenVINO times every operation of the pass; what a layer's operations took is its share of the wall time.
        """
        import numpy as np

        from bench.backends.batches import run_batches

        graph = self._graph

        def timed(batch: NDArray[np.int64]) -> NDArray[np.float64]:
            started = time.perf_counter()
            graph.run(graph.form.collate(encoded, batch))
            seconds = time.perf_counter() - started
            each = graph.profile()
            upto: NDArray[np.float64] = seconds * each.cumsum() / each.sum()
            return upto

        total = np.zeros(graph.depth + 1)
        for _, seconds in run_batches(encoded, rows, graph.form, self._budget, timed):
            total += seconds
        return LayerTimes(tuple(map(float, total)))

    def close(self) -> None:
        """Free the weights."""
        del self._graph

    def _compile(self, depth: int) -> _Graph:
        """The model up to layer `depth`, compiled, and shown to compute what the body it is made from computes."""
        import torch

        from bench.backends.batches import Padded
        from bench.backends.body import Body, load_body
        from bench.backends.passes import PROBE, PROBE_TOLERANCE, probe_error
        from bench.backends.tokenizer import limit

        dtype = getattr(torch, self.settings.dtype)
        module, layers = load_body(self.model, dtype, depth, attn_implementation="sdpa")
        _check_positions(module.config, limit(self.model, self.settings), self.model)
        path = next(name for name, part in module.named_modules() if part is layers)
        weights_gb = sum(value.nbytes for value in (*module.parameters(), *module.buffers())) / 2**30
        body = Body(module, layers, self.model.layers)
        form, probe = Padded(module.config.pad_token_id or 0, self.model.causal), self.encode(PROBE)
        alone = [form.collate(probe, _rows(row)) for row in range(len(probe))]
        expected = torch.cat([_pooled(body, batch, depth, self.poolings) for batch in alone])
        try:
            # The trace must hold for every shape, so it is made with another than the probe's.
            converted = _converted(body, depth, self.poolings, form.collate(probe, _rows(0, 2)))
            # Its weights are in the graph now, and will be in the compiled one: never more than two copies.
            del body, module, layers
            compiled = _compiled(converted, self.settings.dtype)
        except RuntimeError as failed:
            raise BenchError(
                f"OpenVINO cannot convert model '{self.model.name}' ({self.model.architecture}): use "
                f"--backend transformers. It says: {str(failed).strip().splitlines()[-1][:200]}"
            ) from failed
        del converted
        block = re.compile(rf"{re.escape(path)}\.(\d+)")
        graph = _Graph(compiled.create_infer_request(), depth, form, weights_gb, block)
        error = probe_error(graph.run(form.collate(probe, _rows(*range(len(probe))))), expected)
        if not error <= PROBE_TOLERANCE[dtype]:
            raise BenchError(
                f"OpenVINO's graph of model '{self.model.name}' computes something else than the model does "
                f"(relative error {error:.1e}): use --backend transformers."
            )
        return graph


@dataclass(frozen=True)
class _Graph:
    """A compiled body up to layer `depth` with its one inference request; `block` finds a block's number in a name."""

    request: Any
    depth: int
    form: Any
    weights_gb: float
    block: re.Pattern[str]

    def run(self, batch: Batch) -> torch.Tensor:
        """[texts, depth + 1, poolings, width] float32.

        Raises:
            MemoryError: there is not enough.
        """
        import torch

        try:
            (states,) = self.request.infer([value.numpy() for value in _inputs(batch)], share_inputs=True).values()
        except RuntimeError as error:
            if "bad_alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise
        return torch.from_numpy(states)

    def profile(self) -> NDArray[np.float64]:
        """Seconds that the operations of each layer took in the last run, [depth + 1].

        Operations come in the order of their execution; one that fusion left without a block's name belongs to the
        block before it.
        """
        import numpy as np

        seconds, layer = np.zeros(self.depth + 1), 0
        for operation in self.request.profiling_info:
            if found := self.block.search(operation.node_name):
                layer = min(int(found[1]) + 1, self.depth)
            seconds[layer] += operation.real_time.total_seconds()
        return seconds


def _inputs(batch: Batch) -> tuple[torch.Tensor, ...]:
    """What the graph is fed with, in its order."""
    tokens = batch.tokens
    return tokens.index, tokens.offsets, tokens.lengths, *batch.inputs.values()


def _pooled(body: Body, batch: Batch, depth: int, poolings: Sequence[str]) -> torch.Tensor:
    """The pass that is converted: [texts, depth + 1, poolings, width] of `batch`."""
    import torch

    from bench.pooling import pool

    states: list[torch.Tensor] = []

    def watch(_layer: int, hidden: torch.Tensor) -> None:
        states.append(pool(hidden, batch.tokens, poolings))

    body.forward(batch, depth, watch)
    return torch.stack(states, dim=1)


def _converted(body: Body, depth: int, poolings: Sequence[str], example: Batch) -> Any:
    """The pass as an OpenVINO model, whatever the number of texts and their lengths."""
    import torch
    import transformers
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    from bench.backends.batches import Batch
    from bench.models.quiet import quiet_transformers
    from bench.pooling import Tokens

    class PooledStates(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(
            self,
            index: torch.Tensor,
            offsets: torch.Tensor,
            lengths: torch.Tensor,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor | None = None,
        ) -> torch.Tensor:
            # Without a mask transformers would look for texts packed in a row. No real token of a causal model sees
            # the padding behind it.
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            inputs = {"input_ids": input_ids, "attention_mask": mask}
            return _pooled(body, Batch(inputs, Tokens(index, offsets, lengths)), depth, poolings)

    transformers.AttentionInterface.register(TRACED, sdpa_attention_forward)
    transformers.AttentionMaskInterface.register(TRACED, _traced_mask)
    module: Any = body.module
    module.set_attn_implementation(TRACED)
    with quiet_transformers(), warnings.catch_warnings():
        # Python's branches are frozen by a trace: the probe shows that none of them mattered.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(PooledStates().eval(), _inputs(example), check_trace=False, strict=False)
        # A graph that shared the body's memory would read it after the body is gone.
        return _library().convert_model(traced, example_input=_inputs(example), share_weights=False)


def _traced_mask(**options: Any) -> torch.Tensor | None:
    """The mask of transformers' sdpa attention, built by broadcasting: `torch.vmap` cannot be traced."""
    from transformers.masking_utils import sdpa_mask

    mask: torch.Tensor | None = sdpa_mask(**options | {"use_vmap": False})
    # Padding far from every token would see nothing and become NaN, which even a weight of zero passes on.
    return None if mask is None else mask | ~mask.any(dim=-1, keepdim=True)


def _compiled(model: Any, dtype: str) -> Any:
    """`model` compiled for the processor, with as many threads as PyTorch has."""
    import torch

    compiled = _library().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": PRECISION[dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # Several processes on one machine would be pinned to the same cores.
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": True,
        },
    )
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used != PRECISION[dtype]:
        raise BenchError(f"OpenVINO would compute in {used} where {dtype} was asked for: use --dtype float32.")
    return compiled


def _check_positions(config: Any, limit: int, model: ResolvedModel) -> None:
    """Raise where rotary frequencies depend on a text's length within `limit`, which a trace cannot follow."""
    rope = getattr(config, "rope_parameters", None) or {}
    for each in (rope, *(value for value in rope.values() if isinstance(value, dict))):
        if each.get("rope_type") in {"dynamic", "longrope"}:
            first = each.get("original_max_position_embeddings") or config.max_position_embeddings
            if limit > first:
                raise BenchError(
                    f"Model '{model.name}' computes positions differently for texts of more than {first} tokens, "
                    f"which OpenVINO's graph cannot: use --max-length {first}, or --backend transformers."
                )


def _rows(*rows: int) -> NDArray[np.int64]:
    import numpy as np

    return np.array(rows, dtype=np.int64)


def _library() -> Any:
    """The library, without its telemetry, which would report every import and conversion over the network."""
    # None makes the import fail, and the library falls back to a stub of its own.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
