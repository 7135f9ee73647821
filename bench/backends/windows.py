"""The windows of long texts: pooled states of each become those of their text, before anything is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.backends.base import Encoded, Pooled, TokenStates, Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

TOP = "top-"


def windows_of(windows: Windows, rows: Sequence[int]) -> list[int]:
    """The windows of these texts, text by text."""
    return [window for row in rows for window in range(windows.firsts[row], windows.firsts[row + 1])]


def groups(windows: Windows, rows: Sequence[int], most: int) -> Iterator[list[int]]:
    """Runs of texts that have at most so many windows together, or are one text."""
    counts = np.diff(windows.firsts)
    group: list[int] = []
    held = 0
    for row in rows:
        if group and held + counts[row] > most:
            yield group
            group, held = [], 0
        group.append(row)
        held += int(counts[row])
    if group:
        yield group


def combined(batches: Iterable[Pooled], windows: Windows, rows: Sequence[int], how: str) -> Pooled:
    """The states of texts, of batches that hold all of their windows; kept token states are those of the windows."""
    places = {window: place for place, window in enumerate(windows_of(windows, rows))}
    whole: Tensor | None = None
    kept: list[TokenStates] = []
    for batch in batches:
        if whole is None:
            whole = torch.empty(len(places), *batch.states.shape[1:])
        whole[[places[window] for window in batch.rows.tolist()]] = batch.states
        kept += [] if batch.kept is None else [batch.kept]
    assert whole is not None
    weights = torch.from_numpy(pooled_tokens(windows.each)).float()
    texts = [range(windows.firsts[row], windows.firsts[row + 1]) for row in rows]
    parts = whole.split([len(text) for text in texts])
    states = [combine(part, weights[text.start : text.stop], how) for part, text in zip(parts, texts, strict=True)]
    tokens = (
        TokenStates(kept[0].layer, {row: each for one in kept for row, each in one.texts.items()}) if kept else None
    )
    return Pooled(np.asarray(rows, dtype=np.int64), torch.stack(states), tokens)


def pooled_tokens(encoded: Encoded) -> NDArray[np.int64]:
    """How many tokens of each text are pooled, [b]."""
    return encoded.lengths if encoded.spans is None else encoded.spans[:, 1] - encoded.spans[:, 0]


def combine(states: Tensor, tokens: Tensor, how: str) -> Tensor:
    """A text's states [layers, poolings, width], of those of its w windows, [w, layers, poolings, width].

    Args:
        states: Of the windows in their order, float32.
        tokens: How many are pooled in each, [w].
        how: See `bench.views.Framing`.
    """
    if len(states) == 1:
        return states[0]
    if how == "max":
        return states.amax(0)
    if how == "mean":
        mean: Tensor = torch.tensordot(tokens / tokens.sum(), states, 1)
        return mean
    assert how.startswith(TOP)
    count = int(how.removeprefix(TOP))
    if len(states) <= count:
        return states.mean(0)
    likeness = torch.cosine_similarity(states, states.mean(0, keepdim=True), dim=-1)
    # stable, so that of two that are as close the earlier one is taken
    chosen = likeness.argsort(dim=0, descending=True, stable=True)[:count]
    return states.gather(0, chosen[..., None].expand(-1, -1, -1, states.shape[-1])).mean(0)
