"""The text body of a loaded model: its layers, watched one by one within a single forward pass."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.backends.batches import Batch
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel

Watch = Callable[[int, Tensor], None]


class _Deep(Exception):  # noqa: N818 - ends a pass that has gone deep enough; nothing is wrong
    pass


def text_body(model: nn.Module, resolved: ResolvedModel) -> tuple[PreTrainedModel, nn.ModuleList]:
    """The innermost transformers model around the one list of `layers` blocks, and that list.

    A language-model head, a vision tower or an embedding model's pooler lies outside it.

    Raises:
        BenchError: there is not exactly one such list.
    """
    towers = ("vision", "visual", "audio")
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == resolved.layers
        and not any(tower in name for tower in towers)
    }
    if len(lists) != 1:
        raise BenchError(
            f"Model '{resolved.name}' has {len(lists)} lists of {resolved.layers} layers, where one is expected: "
            "its layers cannot be told apart."
        )
    ((path, layers),) = lists.items()
    parts = path.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        around = model.get_submodule(".".join(parts[:depth]))
        if isinstance(around, PreTrainedModel):
            return around, layers
    raise BenchError(f"Model '{resolved.name}' is not built of transformers' own classes.")


class Body:
    """A text body whose forward pass shows every layer's token states to a watcher.

    State 0 is the input of the first block, state i the output of block i, and state L, the last, is
    `last_hidden_state`, after the final norm where there is one: transformers' own `hidden_states`.
    """

    def __init__(self, module: nn.Module, layers: nn.ModuleList) -> None:
        self.module = module
        self._count = len(layers)
        self._watch: Watch | None = None
        self._deepest = 0
        layers[0].register_forward_pre_hook(self._before_first, with_kwargs=True)
        for number, layer in enumerate(layers[:-1], start=1):
            layer.register_forward_hook(self._after(number))

    @torch.inference_mode()
    def forward(self, batch: Batch, deepest: int, watch: Watch) -> None:
        """One pass over `batch`, which ends after layer `deepest`; `watch(layer, states)` sees each layer up to it.

        `states` is [..., width] in the model's dtype and must not be kept: that is what bounds the memory.
        """
        self._watch, self._deepest = watch, deepest
        try:
            output = self.module(**batch.inputs, use_cache=False, return_dict=True)
        except _Deep:
            return
        finally:
            self._watch = None
        watch(self._count, output.last_hidden_state)

    def _see(self, number: int, states: Tensor) -> None:
        if self._watch is None:
            return
        self._watch(number, states)
        if number == self._deepest:
            raise _Deep

    def _before_first(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._see(0, args[0] if args else kwargs["hidden_states"])

    def _after(self, number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self._see(number, output[0] if isinstance(output, tuple) else output)

        return hook
