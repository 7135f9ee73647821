"""The text body of a loaded model: its layers, watched one by one within a single forward pass."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import permutations
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from bench.backends.architectures import tested
from bench.backends.batches import Batch, out_of_memory
from bench.errors import BenchError, in_words
from bench.models import checkpoint, hub
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel

LONGEST = 500
"""Characters of what transformers says: it may list every tensor."""
Watch = Callable[[int, Tensor], None]


class _Deep(Exception):  # noqa: N818 - ends a pass that has gone deep enough; nothing is wrong
    pass


def load_body(
    model: ResolvedModel, dtype: torch.dtype, deepest: int, **options: Any
) -> tuple[PreTrainedModel, nn.ModuleList]:
    """The text body of `model` for inference, and its list of layers; nothing beside the body is read into memory.

    Of its layers, those up to `deepest` are loaded, at least one; all, where the body cannot be cut. Of a body that no
    test knows it is one more, since what a layer hands on may pass through something on its way to the next.
    `options` are those of transformers' `from_pretrained`: `attn_implementation`, `device_map`, `quantization_config`.

    Raises:
        BenchError: it does not fit into memory, a weight is missing or of another shape, or see `find_layers`.
    """
    if tested(model):
        return _load(model, dtype, max(1, deepest), options)
    if deepest + 1 < model.layers:
        # What such a body is made of may depend on how many layers it has.
        with suppress(BenchError):
            return _load(model, dtype, max(1, deepest + 1), options)
    return _load(model, dtype, model.layers, options)


def _load(
    model: ResolvedModel, dtype: torch.dtype, blocks: int, options: Mapping[str, Any]
) -> tuple[PreTrainedModel, nn.ModuleList]:
    count, method, given = model.layers, None, dict(options)
    if not model.remote_code:
        # The body's own class and configuration: a tower beside it is then neither built nor read.
        part = checkpoint.text_body(model.folder, hub.read_config(model.folder))
        count = _cut(part.config, blocks)
        given |= {"config": part.config, "key_mapping": part.key_mapping}
        method = checkpoint.quantization(part.config)
    try:
        with quiet_transformers():
            loaded, report = transformers.AutoModel.from_pretrained(
                model.folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=model.remote_code,
                output_loading_info=True,
                **given,
            )
    except Exception as error:  # what is wrong with a model's files shows in as many ways as there are models
        if out_of_memory(error):
            raise BenchError(
                f"Model '{model.name}' does not fit into memory: use a smaller dtype or quantisation."
            ) from error
        why = in_words(error)[:LONGEST]
        if method is not None:
            why = (
                f"its weights are quantised by {method}: {why}. If this machine cannot run that, {checkpoint.ORIGINAL}."
            )
        raise BenchError(f"Model '{model.name}' cannot be loaded: {why}") from error
    body, layers = find_layers(loaded.eval(), model, count)
    _check_complete(body, loaded, report["missing_keys"], model)
    return body, layers


def check_body(model: ResolvedModel, dtype: torch.dtype) -> None:
    """Raise BenchError where `load_body` would, but for memory: without reading a weight, within a second."""
    # on this device tensors have a shape and no values
    load_body(model, dtype, model.layers, device_map="meta")


def _cut(config: PreTrainedConfig, layers: int) -> int:
    """Let `config` describe the model's first `layers` blocks and no more; returns how many it then has."""
    whole: int = config.num_hidden_layers
    # Where the last blocks share the first ones' keys and values, they are counted from the end; which block of several
    # a layer shares depends on how many layers there are; and what an encoder is made with has no one name.
    if (
        layers >= whole
        or getattr(config, "num_kv_shared_layers", None)
        or getattr(config, "num_hidden_groups", 1) > 1
        or config.is_encoder_decoder
    ):
        return whole
    for name, value in config.to_dict().items():
        if isinstance(value, list | tuple) and len(value) == whole:
            # One entry a block: its kind of attention, say.
            setattr(config, name, value[:layers])
    try:
        config.num_hidden_layers = layers
    except NotImplementedError:  # where it follows from something else
        return whole
    return layers


def find_layers(
    model: nn.Module, resolved: ResolvedModel, count: int | None = None
) -> tuple[PreTrainedModel, nn.ModuleList]:
    """The innermost transformers model of the model's width around the one list of its blocks, and that list.

    `count` is how many blocks were loaded, where not all were. Where layers share blocks, the list holds these; of an
    encoder and a decoder, the encoder is taken.

    Lists within blocks (experts, say) and those of a tower of another width are passed over; a language-model head
    or an embedding model's pooler lies outside the innermost model.

    Raises:
        BenchError: there is not exactly one such list.
    """
    count = resolved.layers if count is None else count
    config = getattr(model, "config", None)
    count = getattr(config, "num_hidden_groups", count)
    encoder = getattr(config, "is_encoder_decoder", False)
    lists: dict[str, tuple[PreTrainedModel, nn.ModuleList]] = {}
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList) or len(module) != count:
            continue
        if encoder and "encoder" not in path.split("."):
            continue
        around = _innermost(model, path)
        inside = any(path.startswith(f"{outer}.") for outer in lists)
        if not inside and around is not None and around.config.get_text_config().hidden_size == resolved.width:
            lists[path] = around, module
    if len(lists) != 1:
        raise BenchError(
            f"Model '{resolved.name}' has {len(lists)} lists of {count} layers of width {resolved.width}, "
            f"where one is expected{': ' * bool(lists)}{', '.join(lists)}. Its layers cannot be told apart."
        )
    return next(iter(lists.values()))


def _innermost(model: nn.Module, path: str) -> PreTrainedModel | None:
    parts = path.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        around = model.get_submodule(".".join(parts[:depth]))
        if isinstance(around, PreTrainedModel):
            return around
    return None


def _check_complete(
    body: PreTrainedModel, loaded: PreTrainedModel, missing: Collection[str], model: ResolvedModel
) -> None:
    """Raise where a weight of the body was not in the checkpoint: transformers would make one up."""
    path = next(name for name, module in loaded.named_modules() if module is body)
    prefix = f"{path}." if path else ""
    # A pooler reads the last hidden state and changes none.
    made_up = sorted(name for name in missing if name.startswith(prefix) and "pooler" not in name)
    if made_up:
        raise BenchError(
            f"The checkpoint of model '{model.name}' lacks {len(made_up)} of the weights of its {model.architecture}, "
            f"such as {made_up[0]}: it is incomplete, or laid out in a way that is not known."
        )


class Body:
    """A text body whose forward pass shows every layer's token states to a watcher.

    State 0 is the input of the first block, state i that of block i + 1, and state L, the last, is
    `last_hidden_state`, after the final norm where there is one: transformers' own `hidden_states`. `layers` are the
    model's blocks, or the first of them; what comes behind these can then not be seen.
    """

    def __init__(self, module: PreTrainedModel, layers: nn.ModuleList, model: ResolvedModel) -> None:
        self.module = module
        self._model = model
        self._depth, self._width = model.layers, model.width
        self._blocks = min(model.layers, module.config.get_text_config().num_hidden_layers)
        self._options = {"use_cache": False} if _takes(module, "use_cache") else {}
        self._orders: dict[int, tuple[int, ...]] = {}
        self._watch: Watch | None = None
        self._deepest = self._begun = 0
        # Blocks are counted as they run: in some bodies all layers are one block.
        for layer in layers:
            layer.register_forward_pre_hook(self._before, with_kwargs=True)
        if self._blocks < model.layers:
            layers[-1].register_forward_hook(self._after)

    def forward(self, batch: Batch, deepest: int, watch: Watch) -> None:
        """One pass over `batch`, which ends after layer `deepest`; `watch(layer, states)` sees each layer up to it.

        `states` is [b, t, width] in the model's dtype, as `batch` is laid out, and must not be kept: that is what
        bounds the memory.

        Raises:
            BenchError: a state has another shape.
        """
        texts, tokens = batch.inputs["input_ids"].shape

        def see(layer: int, states: Tensor) -> None:
            watch(layer, self._laid_out(layer, states, texts, tokens))

        self._run(batch.inputs, deepest, see)

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
        if self._begun != self._blocks:
            raise BenchError(
                f"{self._named} runs {self._begun} blocks where its configuration has {self._blocks}: its layers "
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

    @torch.inference_mode()
    def _run(self, inputs: dict[str, Any], deepest: int, watch: Watch) -> None:
        self._watch, self._deepest, self._begun = watch, deepest, 0
        try:
            output = self.plain(**inputs)
        except _Deep:
            return
        finally:
            self._watch = None
        watch(self._depth, output.last_hidden_state)

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
        if self._watch is None:
            return
        self._watch(number, states)
        if number == self._deepest:
            raise _Deep

    def _before(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._begun += 1
        self._see(self._begun - 1, args[0] if args else kwargs["hidden_states"])

    def _after(self, _module: nn.Module, _args: Any, output: Any) -> None:
        if self._begun == self._blocks:
            self._see(self._blocks, output[0] if isinstance(output, tuple | list) else output)


def _takes(module: nn.Module, keyword: str) -> bool:
    """Whether the module's forward knows the keyword."""
    parameters = inspect.signature(module.forward).parameters.values()
    return any(each.name == keyword or each.kind is each.VAR_KEYWORD for each in parameters)
