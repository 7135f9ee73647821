"""The text body of a loaded model: its layers, watched one by one within a single forward pass."""

import inspect
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bench.backends.batches import Batch, out_of_memory
from bench.errors import BenchError, in_words
from bench.models.resolve import ResolvedModel

Watch = Callable[[int, Tensor], None]


class _Deep(Exception):  # noqa: N818 - ends a pass that has gone deep enough; nothing is wrong
    pass


class _Pass(threading.local):
    """The pass that runs in a thread: who watches it, how deep it goes, and how many blocks have begun."""

    watch: Watch | None = None
    deepest = begun = 0


class Resumption(NamedTuple):
    """Where a pass goes on: the token states behind block `layer`, laid out as the batch is, [b, t, width]."""

    layer: int
    states: Tensor


class Body:
    """A text body whose forward pass shows every layer's token states to a watcher.

    State 0 is the input of the first block, state i that of block i + 1, and state L, the last, is
    `last_hidden_state`, after the final norm where there is one: transformers' own `hidden_states`. `layers` are the
    model's blocks, or the first of them; what comes behind these can then not be seen.
    """

    def __init__(self, module: PreTrainedModel, layers: nn.ModuleList, model: ResolvedModel) -> None:
        self.module = module
        self._model = model
        self._layers = layers
        self._depth, self._width = model.layers, model.width
        self._blocks = min(model.layers, module.config.get_text_config().num_hidden_layers)
        self._options = {"use_cache": False} if _takes(module, "use_cache") else {}
        self._orders: dict[int, tuple[int, ...]] = {}
        self._pass = _Pass()
        # Blocks are counted as they run: in some bodies all layers are one block.
        for layer in layers:
            layer.register_forward_pre_hook(self._before, with_kwargs=True)
        if self._blocks < model.layers:
            layers[-1].register_forward_hook(self._after)

    def forward(self, batch: Batch, deepest: int, watch: Watch, start: Resumption | None = None) -> None:
        """One pass over `batch`, which ends after layer `deepest`; `watch(layer, states)` sees each layer up to it.

        Passes from the text on may run in several threads at a time, those with a `start` not.

        `states` is [b, t, width] in the model's dtype, as `batch` is laid out, and must not be kept: that is what
        bounds the memory. With `start`, no block up to its layer runs, and no layer before it is seen. All that the
        body makes beside its states (masks, positions) it makes for this batch, as in a pass from the text on.

        Raises:
            BenchError: a state has another shape.
        """
        texts, tokens = batch.inputs["input_ids"].shape

        def see(layer: int, states: Tensor) -> None:
            watch(layer, self._laid_out(layer, states, texts, tokens))

        with self._going_on(start):
            self._run(batch.inputs, deepest, see, 0 if start is None else start.layer)

    def learn_layout(self) -> None:
        """Find out how the body lays out its states, by a pass over two texts of five tokens.

        Some put tokens before texts, or the width before tokens; that is undone from then on.

        Raises:
            BenchError: it does not run, or a layer's states do not hold one vector of the model's width a token.
        """
        texts, tokens = 2, 5
        ids = torch.ones(texts, tokens, dtype=torch.int64, device=self.module.device)
        shapes: dict[int, torch.Size] = {}
        module: Any = self.module
        # BigBird's bodies give up their sparse attention for good at the first short batch.
        sparse = getattr(module, "attention_type", None)

        def note(layer: int, states: Any) -> None:
            shapes[layer] = getattr(states, "shape", torch.Size())

        try:
            self._run({"input_ids": ids}, self._depth, note)
        except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
            if out_of_memory(error):
                raise
            advice = "Use another model, or `dtype='float32'`."
            raise BenchError(f"{self._named} does not run on two short texts: {in_words(error)}. {advice}") from error
        if sparse is not None and sparse != module.attention_type:
            module.set_attention_type(sparse)
        if self._pass.begun != self._blocks:
            raise BenchError(
                f"{self._named} runs {self._pass.begun} blocks where its configuration has {self._blocks}: its layers "
                "cannot be told apart. Use another model."
            )
        for layer, shape in shapes.items():
            for order in permutations(range(len(shape))):
                if self._fits([shape[axis] for axis in order], texts, tokens):
                    self._orders[layer] = order
                    break
            else:
                raise self._misshapen(layer, shape, texts, tokens)

    def plain(self, **inputs: Any) -> Any:
        """What transformers itself makes of `inputs`; no watcher sees it."""
        return self.module(**inputs, **self._options, return_dict=True)

    def states(self, inputs: dict[str, Any], layers: Collection[int]) -> dict[int, Tensor]:
        """The token states at some layers, [b, t, width] each, for whoever exports the pass as a graph.

        It runs to the end of the blocks and outside of inference mode: an exporter follows neither a pass that is
        broken off nor tensors made within it, and leaves out by itself what no output depends on.
        """
        texts, tokens = inputs["input_ids"].shape
        seen: dict[int, Tensor] = {}

        def note(layer: int, states: Tensor) -> None:
            if layer in layers:
                seen[layer] = self._laid_out(layer, states, texts, tokens)

        self._watched(inputs, self._depth, note)
        return seen

    @torch.inference_mode()
    def _run(self, inputs: dict[str, Any], deepest: int, watch: Watch, begun: int = 0) -> None:
        self._watched(inputs, deepest, watch, begun)

    def _watched(self, inputs: dict[str, Any], deepest: int, watch: Watch, begun: int = 0) -> None:
        here = self._pass
        here.watch, here.deepest, here.begun = watch, deepest, begun
        try:
            output = self.plain(**inputs)
        except _Deep:
            return
        finally:
            here.watch = None
        watch(self._depth, output.last_hidden_state)

    @contextmanager
    def _going_on(self, start: Resumption | None) -> Iterator[None]:
        """Within it, what stands in the place of the blocks up to `start` hands on its states."""
        passed = [] if start is None else [*self._layers[: start.layer]]
        try:
            for place, block in enumerate(passed):
                assert start is not None
                self._layers[place] = _Passed(block, start.states)
            yield
        finally:
            for place, block in enumerate(passed):
                self._layers[place] = block

    def _laid_out(self, layer: int, states: Tensor, texts: int, tokens: int) -> Tensor:
        order = self._orders.get(layer)
        states = states if order is None else states.permute(order)
        if not self._fits(states.shape, texts, tokens):
            raise self._misshapen(layer, states.shape, texts, tokens)
        # What a body puts behind a text to fill its blocks or windows is no token of the text.
        return states if states.shape[1] == tokens else states[:, :tokens]

    def _fits(self, shape: Sequence[int], texts: int, tokens: int) -> bool:
        return len(shape) == 3 and shape[0] == texts and shape[1] >= tokens and shape[2] == self._width

    def _misshapen(self, layer: int, shape: Sequence[int], texts: int, tokens: int) -> BenchError:
        return BenchError(
            f"{self._named} has states of shape {list(shape)} at layer {layer} for {texts} texts of {tokens} tokens, "
            f"where [{texts}, {tokens}, {self._width}] is expected: they cannot be pooled by token. Use another model."
        )

    @property
    def _named(self) -> str:
        return f"Model '{self._model.name}' ({type(self.module).__name__})"

    def _see(self, number: int, states: Tensor) -> None:
        if self._pass.watch is None:
            return
        self._pass.watch(number, states)
        if number == self._pass.deepest:
            raise _Deep

    def _before(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._pass.begun += 1
        self._see(self._pass.begun - 1, args[0] if args else kwargs["hidden_states"])

    def _after(self, _module: nn.Module, _args: Any, output: Any) -> None:
        if self._pass.begun == self._blocks:
            self._see(self._blocks, output[0] if isinstance(output, tuple | list) else output)


class _Passed(nn.Module):
    """In the place of a block that is not to run: gives `states`, whatever the embeddings were."""

    def __init__(self, block: nn.Module, states: Tensor) -> None:
        super().__init__()
        self._block, self._states = block, states

    def forward(self, *_args: Any, **_kwargs: Any) -> Tensor:
        return self._states

    def __getattr__(self, name: str) -> Any:
        # bodies ask blocks what kind of attention is theirs, say
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_block"), name)


def _takes(module: nn.Module, keyword: str) -> bool:
    """Whether the module's forward knows the keyword."""
    parameters = inspect.signature(module.forward).parameters.values()
    return any(each.name == keyword or each.kind is each.VAR_KEYWORD for each in parameters)
