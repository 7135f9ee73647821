"""Attention over texts laid end to end in one row, without padding.

Registered with transformers' AttentionInterface (its page "Attention backends"); the model is called with the runs of
equal length as a keyword that its layers hand on. No mask function is registered beside it, so that transformers
builds no mask: which tokens see which is decided here.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.backends.linear import widens

NAME = "bench_packed"

# Up to this many tokens two matrix products and a softmax beat the flash kernel of PyTorch's processor build, whose
# products are small: by two to three up to 256 tokens.
PRODUCTS_UP_TO = {torch.bfloat16: 768, torch.float32: 512}
# Scores held at once by these products, so that they stay in the cache.
SCORES = 1 << 20
# Sums of powers of two that neither overflowed nor lost what counts; beyond them each row's maximum is taken off first.
SUMS = (2.0**-64, 2.0**120)


class Run(NamedTuple):
    """`texts` neighbouring texts of `length` tokens each."""

    texts: int
    length: int


def runs(lengths: Sequence[int]) -> list[Run]:
    """Neighbouring texts of equal length together."""
    return [Run(sum(1 for _ in group), length) for length, group in groupby(lengths)]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    runs: Sequence[Run],
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **_unused: Any,
) -> tuple[Tensor, None]:
    """Attention of each text to itself: query [1, h, T, d], key and value [1, g, T, d] → [1, T, h, d].

    h is a multiple of g (grouped queries). `scaling` defaults to 1/√d.
    """
    assert attention_mask is None
    _, heads, tokens, size = query.shape
    scale = size**-0.5 if scaling is None else scaling
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    result = query.new_empty(tokens, heads, size)
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and widens():
        query, key, value = query.float(), key.float(), value.float()
    start = 0
    for texts, length in runs:
        stop = start + texts * length
        # [heads, T, d] → [texts, heads, length, d]
        q, k, v = (
            states[0, :, start:stop].unflatten(1, (texts, length)).transpose(0, 1) for states in (query, key, value)
        )
        mask = _mask(length, causal, sliding_window, query)
        attend = _by_products if length <= PRODUCTS_UP_TO.get(query.dtype, 0) else _by_kernel
        attend(q, k, v, mask, scale, result[start:stop].unflatten(0, (texts, length)).transpose(1, 2))
        start = stop
    return result[None], None


def _mask(length: int, causal: bool, window: int | None, like: Tensor) -> Tensor | None:
    """[length, length], -inf where a token may not look; None where it may look anywhere."""
    narrow = window is not None and length > window
    if not (causal or narrow) or length == 1:
        return None
    mask = torch.zeros(length, length, dtype=like.dtype, device=like.device)
    minus = float("-inf")
    if causal:
        mask += torch.full_like(mask, minus).triu(1)
    if window is not None and narrow:
        # A window of w sees distances below w: backwards, and where attention is bidirectional forwards too.
        mask += torch.full_like(mask, minus).tril(-window)
        if not causal:
            mask += torch.full_like(mask, minus).triu(window)
    return mask


def _by_kernel(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, result: Tensor) -> None:
    grouped = query.shape[1] != key.shape[1]
    result.copy_(
        functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=grouped)
    )


def _by_products(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, result: Tensor) -> None:
    """The same by batched products; queries that share a key are stacked along its length instead of repeating it.

    The softmax is 2^s / Σ 2^s of scores in powers of two, and the division comes after the product with the values,
    which are fewer: PyTorch's own softmax, which takes off each row's maximum first, takes three to ten times as long.
    """
    texts, heads, length, size = query.shape
    share = heads // key.shape[1]
    bias = None if mask is None else mask.repeat(share, 1)
    step = max(1, SCORES // (heads * length * length))
    for start in range(0, texts, step):
        part = slice(start, start + step)
        keys, values = key[part].reshape(-1, length, size), value[part].reshape(-1, length, size)
        queries = (query[part] * (scale * math.log2(math.e))).reshape(-1, share * length, size)
        weights = _scores(queries, keys, bias).exp2_()
        sums = weights.sum(dim=-1, keepdim=True, dtype=torch.float32)
        least, most = torch.aminmax(sums)
        if not SUMS[0] < float(least) <= float(most) < SUMS[1]:
            weights = (_scores(queries, keys, bias).float() * math.log(2)).softmax(dim=-1).to(weights.dtype)
            sums = torch.ones_like(sums)
        attended = torch.bmm(weights, values).view(-1, heads, length, size)
        torch.div(attended, sums.view(-1, heads, length, 1), out=result[part])


def _scores(queries: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
    turned = keys.transpose(1, 2)
    return torch.bmm(queries, turned) if bias is None else torch.baddbmm(bias, queries, turned)
