"""A body as an OpenVINO graph that returns every layer's pooled states.

The graph is transformers' own forward pass, traced once with its masks and with bench's poolings in it, over batches
of any shape; OpenVINO fuses and compiles it for the processor (https://docs.openvino.ai, "Convert a PyTorch Model").
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from bench.backends.architectures import SDPA, fastest_attention, tested
from bench.backends.batches import Batch, Padded
from bench.backends.body import Body
from bench.backends.loading import load_body
from bench.backends.openvino.runtime import PRECISION, library
from bench.backends.probe import PROBE, disagreement
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer
from bench.errors import BenchError
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel
from bench.pooling import Tokens, pool

# transformers' own attention and masks under another name, the masks built in a way that can be traced.
TRACED = "bench_traced"


@dataclass(frozen=True)
class Graph:
    """A compiled body up to layer `depth` with its one inference request; `block` finds a block's number in a name."""

    request: Any
    depth: int
    form: Padded
    weights_gb: float
    block: re.Pattern[str]

    def run(self, batch: Batch) -> torch.Tensor:
        """[texts, depth + 1, poolings, width] float32.

        Raises:
            MemoryError: there is not enough.
        """
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
        seconds, layer = np.zeros(self.depth + 1), 0
        for operation in self.request.profiling_info:
            if found := self.block.search(operation.node_name):
                layer = min(int(found[1]) + 1, self.depth)
            seconds[layer] += operation.real_time.total_seconds()
        return seconds


def build(model: ResolvedModel, settings: ResolvedSettings, depth: int, tokenizer: Tokenizer) -> Graph:
    """The model up to layer `depth`, compiled, and shown to compute what the body it is made from computes.

    Raises:
        BenchError: the body cannot be converted, or its graph computes something else.
    """
    dtype = getattr(torch, settings.dtype)
    attention = fastest_attention(model)
    module, layers = load_body(model, dtype, depth, attn_implementation=attention)
    path = next(name for name, part in module.named_modules() if part is layers)
    weights_gb = sum(value.nbytes for value in (*module.parameters(), *module.buffers())) / 2**30
    body = Body(module, layers, model)
    if not tested(model):
        body.learn_layout()
    form, probe = Padded(module.config.pad_token_id or 0, model.causal), tokenizer.encode(PROBE)
    alone = [form.collate(probe, _rows(row)) for row in range(len(probe))]
    expected = torch.cat([_pooled(body, batch, depth, model.poolings) for batch in alone])
    try:
        # The trace must hold for every shape, so it is made with another than the probe's.
        converted = _converted(body, depth, model.poolings, form.collate(probe, _rows(0, 2)), attention)
        # Its weights are in the graph now, and will be in the compiled one: never more than two copies.
        del body, module, layers
        compiled = _compiled(converted, settings.dtype)
    except RuntimeError as failed:
        raise BenchError(
            f"OpenVINO cannot convert model '{model.name}' ({model.architecture}): use "
            f"`backend='transformers'`. It says: {str(failed).strip().splitlines()[-1][:200]}"
        ) from failed
    del converted
    block = re.compile(rf"{re.escape(path)}\.(\d+)")
    graph = Graph(compiled.create_infer_request(), depth, form, weights_gb, block)
    error = disagreement(graph.run(form.collate(probe, _rows(*range(len(probe))))), expected, dtype)
    if error is not None:
        raise BenchError(
            f"OpenVINO's graph of model '{model.name}' computes something else than the model does "
            f"(relative error {error:.1e}): use `backend='transformers'`."
        )
    return graph


def _inputs(batch: Batch) -> tuple[torch.Tensor, ...]:
    """What the graph is fed with, in its order."""
    tokens = batch.pooled
    return tokens.index, tokens.offsets, tokens.lengths, *batch.inputs.values()


def _pooled(body: Body, batch: Batch, depth: int, poolings: Sequence[str]) -> torch.Tensor:
    """The pass that is converted: [texts, depth + 1, poolings, width] of `batch`."""
    states: list[torch.Tensor] = []

    def watch(_layer: int, hidden: torch.Tensor) -> None:
        states.append(pool(hidden, batch.pooled, poolings))

    body.forward(batch, depth, watch)
    return torch.stack(states, dim=1)


def _converted(body: Body, depth: int, poolings: Sequence[str], example: Batch, attention: str) -> Any:
    """The pass as an OpenVINO model, whatever the number of texts and their lengths."""

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
            tokens = Tokens(index, offsets, lengths)
            return _pooled(body, Batch(inputs, tokens, tokens), depth, poolings)

    transformers.AttentionInterface.register(TRACED, sdpa_attention_forward)
    transformers.AttentionMaskInterface.register(TRACED, _traced_mask)
    module: Any = body.module
    if attention == SDPA:
        module.set_attn_implementation(TRACED)
    with quiet_transformers(), warnings.catch_warnings():
        # Python's branches are frozen by a trace: the probe shows that none of them mattered.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(PooledStates().eval(), _inputs(example), check_trace=False, strict=False)
        # A graph that shared the body's memory would read it after the body is gone.
        return library().convert_model(traced, example_input=_inputs(example), share_weights=False)


def _traced_mask(**options: Any) -> torch.Tensor | None:
    """The mask of transformers' sdpa attention, built by broadcasting: `torch.vmap` cannot be traced."""
    mask: torch.Tensor | None = sdpa_mask(**options | {"use_vmap": False})
    # Padding far from every token would see nothing and become NaN, which even a weight of zero passes on.
    return None if mask is None else mask | ~mask.any(dim=-1, keepdim=True)


def _compiled(model: Any, dtype: str) -> Any:
    """`model` compiled for the processor, with as many threads as PyTorch has."""
    compiled = library().compile_model(
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
        raise BenchError(f"OpenVINO would compute in {used} where {dtype} was asked for: use `dtype='float32'`.")
    return compiled


def _rows(*rows: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64)
