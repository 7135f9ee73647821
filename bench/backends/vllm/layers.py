"""Runs inside vLLM's workers: every layer's hidden states of a batch, pooled by bench's own poolings.

vLLM keeps the states of no layer but the last. Forward hooks keep the others for one step of the engine, and a pooler
of bench's own, in the place of the model's, splits them by text (vLLM's `Pooler` and `PoolingMetadata`).
"""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from vllm.model_executor.layers.pooler import Pooler
from vllm.model_executor.model_loader import register_model_loader
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.v1.pool.metadata import PoolingMetadata

from bench.backends.host import to_host
from bench.errors import BenchError
from bench.pooling import Tokens, pool

PART = "bench_part"
TOWERS = ("vision", "visual", "audio")


@register_model_loader(PART)
class PartLoader(DefaultModelLoader):  # type: ignore[misc, unused-ignore]
    """Loads the tensors below one prefix of a checkpoint, which also holds other models, and no others."""

    def __init__(self, load_config: Any) -> None:
        self._prefix: str = load_config.model_loader_extra_config["prefix"]
        super().__init__(replace(load_config, load_format="safetensors", model_loader_extra_config={}))

    def get_all_weights(self, model_config: Any, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors, as if the checkpoint held the one model alone."""
        for name, tensor in super().get_all_weights(model_config, model):
            if name.startswith(self._prefix):
                yield name.removeprefix(self._prefix), tensor


@dataclass(eq=False)
class Unfinished:
    """What is kept of a text whose tokens come in several steps: its states so far, [wanted layers, t, width] each."""

    parts: list[Tensor] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """The tokens seen so far."""
        return sum(part.shape[1] for part in self.parts)


class Watch:
    """Hooks that keep the states of the wanted layers during one step, or the time at which each layer was done.

    State 0 is the input of the first block and state i the output of block i. State L, after the final norm, is what
    vLLM hands to the pooler, so the last block has no hook.
    """

    def __init__(self, blocks: nn.ModuleList) -> None:
        self.count = len(blocks)
        self.wanted: tuple[int, ...] = ()
        self.timing = False
        self.seconds = [0.0] * (self.count + 1)
        self._states: dict[int, Tensor] = {}
        self._started = 0.0
        self._signature = inspect.signature(blocks[0].forward)
        blocks[0].register_forward_pre_hook(self._before, with_kwargs=True)
        for number, block in enumerate(blocks[:-1], start=1):
            block.register_forward_hook(self._after(number))

    def start(self, _module: nn.Module, _args: Any) -> None:
        """The whole model is about to run."""
        self._started = self._now()

    def take(self, last: Tensor) -> Tensor:
        """[wanted layers, t, width]: the states of this step, whose last layer is `last` [t, width]."""
        if self.timing:
            self.seconds[-1] += self._now() - self._started
        states = {**self._states, self.count: last}
        self._states = {}
        return torch.stack([states[layer].reshape(-1, last.shape[1])[: len(last)] for layer in self.wanted])

    def _see(self, number: int, hidden: Tensor, residual: Tensor | None) -> None:
        if self.timing:
            self.seconds[number] += self._now() - self._started
        elif number in self.wanted:
            # A new tensor in any case: the next block's fused norm writes into both of these.
            self._states[number] = hidden.clone() if residual is None else hidden + residual

    def _before(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = self._signature.bind(*args, **kwargs).arguments
        self._see(0, given["hidden_states"], given.get("residual"))

    def _after(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            hidden, residual = output if isinstance(output, tuple) else (output, None)
            self._see(number, hidden, residual)

        return hook

    def _now(self) -> float:
        if self.timing and torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


class LayerPooler(Pooler):  # type: ignore[misc, unused-ignore]
    """Pools every wanted layer of every text that a step finishes: [wanted layers, poolings, width] float32 a text.

    A text that is cut into several steps keeps its states until the last of them, so that it is pooled as a whole.
    """

    def __init__(self, watch: Watch, poolings: Sequence[str], width: int, tasks: Set[Any]) -> None:
        super().__init__()
        self._watch = watch
        self._poolings = tuple(poolings)
        self._width = width
        self._tasks = tasks

    def get_supported_tasks(self) -> Set[Any]:
        """Those of the pooler that this one replaces."""
        return self._tasks

    def forward(self, hidden_states: Tensor, pooling_metadata: PoolingMetadata) -> list[Tensor | None]:
        """`hidden_states` [t, width] of the texts of one step, end to end.

        Raises:
            BenchError: a text's tokens did not all come by, or the width is not the model's.
        """
        if hidden_states.shape[1] != self._width:
            raise BenchError(f"vLLM's states have width {hidden_states.shape[1]}, where the model has {self._width}.")
        cursor = pooling_metadata.get_pooling_cursor()
        lengths = [int(length) for length in cursor.num_scheduled_tokens_cpu]
        totals = [int(total) for total in cursor.prompt_lens_cpu]
        states = self._watch.take(hidden_states[: sum(lengths)])
        pooled: list[Tensor | None] = [None] * len(lengths)
        # Nearly all texts come whole, and are pooled together: one by one, a GPU would wait for Python.
        whole = [place for place, length in enumerate(lengths) if length == totals[place]]
        if whole:
            for place, text in zip(whole, self._together(states, Tokens.packed(lengths).select(whole)), strict=True):
                pooled[place] = text
        for place, part in enumerate(states.split(lengths, dim=1)):
            if lengths[place] != totals[place]:
                kept, seen = pooling_metadata.pooling_states[place], int(cursor.seq_lens_cpu[place])
                pooled[place] = self._in_parts(part, kept, seen, totals[place])
        return pooled

    def _together(self, states: Tensor, tokens: Tokens) -> Tensor:
        """Pooled states [b, wanted layers, poolings, width] of the texts of `tokens`, on the CPU."""
        here = tokens.to(states.device)
        shape = (len(tokens.lengths), len(states), len(self._poolings), self._width)
        pooled = torch.empty(shape, dtype=torch.float32, device=states.device)
        for place, layer in enumerate(states):
            pooled[:, place] = pool(layer, here, self._poolings)
        return to_host(pooled)

    def _in_parts(self, part: Tensor, kept: Any, seen: int, total: int) -> Tensor | None:
        """The text's pooled states if this part [wanted layers, t, width] is its last."""
        if seen == part.shape[1]:
            # The text's beginning, which comes twice where the engine ran out of cache and started it again.
            kept.bench = Unfinished()
        if not hasattr(kept, "bench"):
            raise BenchError(f"vLLM left out the first {seen - part.shape[1]} of a text's {total} tokens.")
        kept.bench.parts.append(part)
        if seen < total:
            # Parts of a text outlive the step, the rest of the step's states must not.
            kept.bench.parts[-1] = part.clone()
            return None
        if (tokens := kept.bench.tokens) != total:
            raise BenchError(f"vLLM computed {tokens} of a text's {total} tokens.")
        whole = torch.cat(kept.bench.parts, dim=1)
        del kept.bench
        return self._together(whole, Tokens.packed([total]))[0]


class LayerStates:
    """vLLM's `worker_extension_cls`: methods that a worker gains, called by `collective_rpc`."""

    model_runner: Any

    def bench_install(self, layers: int, width: int, poolings: Sequence[str]) -> None:
        """Put the hooks and the pooler in.

        Raises:
            BenchError: there is not exactly one list of `layers` blocks.
        """
        model = self.model_runner.get_model()
        self._bench_watch = Watch(find_blocks(model, layers))
        model.register_forward_pre_hook(self._bench_watch.start)
        model.pooler = LayerPooler(self._bench_watch, poolings, width, set(model.pooler.get_supported_tasks()))

    def bench_watch(self, wanted: Sequence[int], timing: bool) -> None:
        """From now on keep the states of the layers `wanted`, or take times."""
        watch = self._bench_watch
        watch.wanted, watch.timing, watch.seconds = tuple(wanted), timing, [0.0] * (watch.count + 1)

    def bench_seconds(self) -> list[float]:
        """Seconds within the model up to and including each layer, over all steps since times are taken."""
        return self._bench_watch.seconds


def find_blocks(model: nn.Module, layers: int) -> nn.ModuleList:
    """The one list of `layers` blocks in a model as vLLM builds it.

    Raises:
        BenchError: there is none, or more than one.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers and not any(tower in name for tower in TOWERS)
    }
    if len(found) != 1:
        raise BenchError(
            f"vLLM's {type(model).__name__} has {len(found)} lists of {layers} layers, where one is expected: its "
            "layers cannot be told apart. Use `backend='transformers'`."
        )
    return next(iter(found.values()))
