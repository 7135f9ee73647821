"""A text's tokens laid out for a model: within its prompt, cut, doubled or in windows (see `bench.views.Framing`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.backends.base import Encoded, Windows

if TYPE_CHECKING:
    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel
    from bench.specs import Long

EIGHTH = 8


def limit(model: ResolvedModel, settings: ResolvedSettings) -> int:
    """The most tokens that are read of a text at once, prompt and special tokens included."""
    return min(settings.max_length, model.max_positions, model.framing.window or model.max_positions)


def overlap(model: ResolvedModel, settings: ResolvedSettings) -> int:
    """Tokens that a window shares with the one before."""
    given = model.framing.overlap
    return limit(model, settings) // EIGHTH // (2 if model.framing.echo else 1) if given is None else given


def computed(model: ResolvedModel, settings: ResolvedSettings, own: float) -> float:
    """About how many tokens are computed of a text that has so many `own`, special ones included."""
    most = limit(model, settings)
    tokens = own * (2 if model.framing.echo else 1)
    if model.framing.long != "chunks" or tokens <= most:
        return min(tokens, most)
    return tokens * most / max(1, most - overlap(model, settings) * (2 if model.framing.echo else 1))


@dataclass(frozen=True)
class Laid:
    """What is read of a text: the token ids of each window, from where to where each is pooled, whether it is cut."""

    windows: Sequence[Sequence[int]]
    spans: Sequence[tuple[int, int]]
    cut: bool


@dataclass(frozen=True)
class Frame:
    """What stands around a text's tokens in every window, and how much of them it takes.

    `before` and `behind` are token ids; `room` is how many of the text's own a window has. With `echo` these come
    twice, and the second ones are pooled; else all tokens are, or with `own` the text's alone. What is behind a text is
    the text's where it is the tokenizer's, and not where its prompt goes on there: `goes_on`.
    """

    before: Sequence[int]
    behind: Sequence[int]
    room: int
    long: Long
    overlap: int
    echo: bool
    own: bool
    goes_on: bool

    def lay_out(self, ids: Sequence[int]) -> Laid:
        """The windows of a text with these tokens; a short one has a single one, under every way with long ones."""
        taken = pieces(ids, self.room, self.long, self.overlap)
        windows, spans = [], []
        for piece in taken:
            begin = len(self.before)
            if self.echo:
                begin += len(piece)
            window = [*self.before, *piece, *(piece if self.echo else ()), *self.behind]
            end = begin + len(piece) if self.goes_on else len(window)
            windows.append(window)
            # where nothing is left of the text, the last token is pooled
            whole = not self.echo and not self.own
            spans.append((0, len(window)) if whole else (begin, end) if begin < end else (len(window) - 1, len(window)))
        return Laid(windows, spans, len(ids) > self.room and self.long != "chunks")


def pieces(ids: Sequence[int], room: int, long: Long, overlap: int) -> list[Sequence[int]]:
    """What each window has of a text's tokens: at most `room`.

    In windows each begins `overlap` tokens before the end of the last, and the last one ends with the text, so that no
    window has less than is new in it and `overlap`.
    """
    if len(ids) <= room:
        return [ids]
    if long == "truncate":
        return [ids[:room]]
    if long == "head+tail":
        tail = room // 2
        return [[*ids[: room - tail], *ids[len(ids) - tail :]]]
    step = room - overlap
    return [ids[start : start + room] for start in range(0, len(ids) - overlap, step)]


def encoded(laid: Sequence[Laid], *, windows: bool, spans: bool) -> Encoded:
    """Texts as backends take them: with their `windows`, or of one each; with `spans` only where not all is pooled."""
    every = [window for text in laid for window in text.windows]
    ids = np.concatenate([np.array(window, dtype=np.int32) for window in every] or [np.empty(0, dtype=np.int32)])
    offsets = np.concatenate([[0], np.cumsum([len(window) for window in every], dtype=np.int64)])
    pooled = np.array([span for text in laid for span in text.spans], dtype=np.int64).reshape(-1, 2) if spans else None
    cut = np.array([text.cut for text in laid], dtype=np.bool_)
    if not windows:
        return Encoded(ids, offsets, cut, pooled)
    firsts = np.concatenate([[0], np.cumsum([len(text.windows) for text in laid], dtype=np.int64)])
    each = Encoded(ids, offsets, np.zeros(len(every), dtype=np.bool_), pooled)
    return Encoded(ids, offsets[firsts], cut, windows=Windows(each, firsts))
