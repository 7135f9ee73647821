"""What an engine is started with, and that its memory suffices, worked out before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.backends.architectures import ARCHITECTURES
from bench.errors import BenchError
from bench.models import checkpoint, hub

if TYPE_CHECKING:
    from pathlib import Path

    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel

# Tokens a step of the engine: on a processor what stays in its cache, on a GPU what keeps it busy.
TOKENS = {"cpu": 2048, "cuda": 8192}
FEWEST_TOKENS = 256
# Texts in one step; their pooled states are held until the step ends.
TEXTS = 256
# Each text takes whole blocks of the key-value cache: on processors of 128 tokens, so many times its own.
CACHE_SLACK = {"cpu": 4, "cuda": 1}
CACHE_BLOCK = {"cpu": 128, "cuda": 16}
# Blocks beside those of the longest text: one that vLLM keeps back, one where a sliding window begins within a block.
SPARE_BLOCKS = 2
# Activations of a step and what CUDA itself takes, beside weights, states and cache.
OVERHEAD = 1.2
GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# vLLM's own 8-bit floats, made while it loads; bitsandbytes left it with 0.32, and with it 4 bits.
QUANTIZATION = {"8bit": "fp8_per_channel"}
EIGHT_BIT = 1.1  # bytes a weight, with the embeddings, which stay as they are


def check_model(model: ResolvedModel) -> None:
    """Raise BenchError where vLLM does not run `model` in a way that the tests cover."""
    elsewhere = "Use `backend='transformers'`."
    if model.remote_code:
        raise BenchError(f"Model '{model.name}' runs its own code, which vLLM's classes do not. {elsewhere}")
    if model.architecture not in ARCHITECTURES:
        raise BenchError(
            f"Model '{model.name}' is a {model.architecture}, and the vLLM backend runs "
            f"{', '.join(sorted(ARCHITECTURES))}. {elsewhere}"
        )
    if model.causal == ARCHITECTURES[model.architecture].bidirectional:
        attends = "causal" if model.causal else "bidirectional"
        raise BenchError(f"vLLM has no {attends} {model.architecture}, which '{model.name}' is. {elsewhere}")


@dataclass(frozen=True)
class EnginePlan:
    """How large an engine may be. `tokens` and `texts` bound a step; the rest is in bytes on each device.

    `states` is what the hooks hold at the most: (layers + 1) × (tokens of a step and of an unfinished text) × width,
    and the step's pooled results. `cache` is the least that the keys and values need.
    """

    tokens: int
    texts: int
    weights: int
    states: int
    cache: int

    @property
    def needed(self) -> int:
        """All together."""
        return int(self.weights * OVERHEAD) + self.states + self.cache

    @classmethod
    def of_size(
        cls, model: ResolvedModel, settings: ResolvedSettings, config: Any, parameters: int, tokens: int
    ) -> EnginePlan:
        """The needs of an engine with `tokens` a step, for a body of that `config` (transformers') and size."""
        from bench.backends.layout import limit

        size, cut = BYTES[settings.dtype], settings.tensor_parallel
        longest = limit(model, settings)
        texts = min(TEXTS, tokens)
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        a_token = 2 * model.layers * -(-heads // cut) * head * size
        held = tokens + (longest if model.causal else 0)
        block, slack = CACHE_BLOCK[_kind(settings)], CACHE_SLACK[_kind(settings)]
        cached = max(slack * (tokens + longest), (math.ceil(longest / block) + SPARE_BLOCKS) * block)
        layers = model.layers + 1
        return cls(
            tokens,
            texts,
            weights=weight_bytes(settings, parameters) // cut,
            # Stacking them takes as much again for a moment.
            states=2 * layers * held * model.width * size + texts * layers * len(model.poolings) * model.width * 4,
            cache=cached * a_token,
        )


def weight_bytes(settings: ResolvedSettings, parameters: int) -> int:
    """What the weights take over all devices. vLLM repacks them, so that a loaded model cannot be asked."""
    return int(parameters * (EIGHT_BIT if settings.quantization == "8bit" else BYTES[settings.dtype]))


def plan(model: ResolvedModel, settings: ResolvedSettings, config: Any, parameters: int, memory: int) -> EnginePlan:
    """The largest engine up to the default size, or that of `token_budget`, that fits into `memory` bytes a device.

    Raises:
        BenchError: none does; says how much is needed and what to lower.
    """
    from bench.backends.layout import limit

    # A step holds whole texts where attention looks both ways: such texts cannot be cut into chunks.
    fewest = FEWEST_TOKENS if model.causal else limit(model, settings)
    tokens = max(settings.token_budget or TOKENS[_kind(settings)], 1 if model.causal else fewest)
    allowed = int(memory * settings.gpu_memory_share)
    while True:
        found = EnginePlan.of_size(model, settings, config, parameters, tokens)
        if found.needed <= allowed:
            return found
        if settings.token_budget or tokens <= fewest:
            raise BenchError(_too_small(model, settings, found, allowed))
        tokens = max(fewest, tokens // 2)


def _kind(settings: ResolvedSettings) -> str:
    return settings.device.partition(":")[0]


def _too_small(model: ResolvedModel, settings: ResolvedSettings, needs: EnginePlan, allowed: int) -> str:
    lower = [
        *(["`token_budget`"] if settings.token_budget else []),
        "`max_length`",
        *(["`dtype` to bfloat16"] if settings.dtype == "float32" else []),
    ]
    return (
        f"Model '{model.name}' in {settings.dtype} needs about {needs.needed / GIB:.1f} GiB a device under vLLM "
        f"(weights {needs.weights / GIB:.1f}, hidden states of {needs.tokens:,} tokens {needs.states / GIB:.1f}, "
        f"cache {needs.cache / GIB:.1f}), and may take {allowed / GIB:.1f}: lower {', '.join(lower[:-1]) or lower[-1]}"
        f"{' or ' + lower[-1] if len(lower) > 1 else ''}, or raise `gpu_memory_share` or `tensor_parallel`."
    )


def device_memory(device: str) -> int:
    """Bytes of memory: of the GPU that would be used, else of the machine."""
    kind, _, index = device.partition(":")
    if kind == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(int(index or 0)).total_memory)
    import psutil

    return int(psutil.virtual_memory().total)


def engine_arguments(model: ResolvedModel, settings: ResolvedSettings, folder: Path) -> dict[str, Any]:
    """Keyword arguments of vLLM's `EngineArgs`, as JSON values; writes the body's configuration into `folder`.

    Raises:
        BenchError: the engine would not fit (see `plan`).
    """
    from bench.backends.layout import limit

    body = checkpoint.text_body(model.folder, hub.read_config(model.folder))
    memory = device_memory(settings.device)
    size = plan(model, settings, body.config, checkpoint.parameters(model.folder), memory)
    body.config.architectures = [ARCHITECTURES[model.architecture].vllm]
    # Old checkpoints do not name it, vLLM asks for it, and it is the only kind that transformers still computes.
    if not model.causal:
        body.config.position_embedding_type = "absolute"
        body.config.pooling = "avg"
    body.config.save_pretrained(folder)
    arguments: dict[str, Any] = {
        "model": str(model.folder),
        "hf_config_path": str(folder),
        "runner": "pooling",
        # Of a generative model's poolings only this one may be computed in chunks; bench's pooler takes its place.
        "pooler_config": {"pooling_type": "LAST" if model.causal else "CLS"},
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "load_format": "safetensors",
        "dtype": settings.dtype,
        "max_model_len": limit(model, settings),
        "max_num_batched_tokens": size.tokens,
        "max_num_seqs": size.texts,
        "enable_chunked_prefill": model.causal,
        # A prefix that is found in the cache is not computed, and its states would be missing.
        "enable_prefix_caching": False,
        # Hooks run in Python, which compiled or captured graphs leave out.
        "enforce_eager": True,
        "tensor_parallel_size": settings.tensor_parallel,
        "disable_log_stats": True,
        "seed": 0,
        "worker_extension_cls": "bench.backends.vllm.layers.LayerStates",
    }
    if body.prefix:
        arguments |= {"load_format": "bench_part", "model_loader_extra_config": {"prefix": body.prefix}}
    if settings.quantization != "none":
        arguments["quantization"] = QUANTIZATION[settings.quantization]
    if settings.device == "cpu":
        arguments["kv_cache_memory_bytes"] = size.cache
    else:
        # vLLM fills its share with cache, and knows nothing of the hooks.
        arguments["gpu_memory_utilization"] = round(settings.gpu_memory_share - size.states / memory, 4)
    if settings.attention:
        arguments["attention_config"] = {"backend": settings.attention}
    return arguments
