"""How deep each model is needed: a space is cut back as far as what is lost by that cannot matter.

What is lost is a share of the *hypervolume*: the area under the best that a cost can buy, over the logarithm of the
cost, above what knowing nothing is worth. It is a mean over rows, and so is the difference that a cut makes to it,
paired by row. A row is judged by representations that were chosen without it (in `PARTS` parts), so that the luck of
the best of many is no gain.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.specs import Source

PARTS = 5
"""Into which rows are cut: a part is judged by what the others choose."""
BEYOND = 0.1
"""Of the range of costs, by which the hypervolume reaches beyond the dearest: that one counts, too."""
MARGIN = 0.005
"""Share of the hypervolume that a rung may lose, all its cuts together."""
CONFIDENCE = 1.645
"""Standard errors of the upper bound: one-sided 95 %."""

Reach = Mapping[str, int]
"""The deepest layer of each model that is needed; a model that is not there is not."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A representation on the rows of a rung.

    Attributes:
        sources: What it is made of.
        cost: Of a text, above 0.
        values: Of each row, above what knowing nothing gives: float64 [rows]. More is better.
    """

    sources: Sequence[Source]
    cost: float
    values: np.ndarray


@dataclass(frozen=True)
class Loss:
    """What a cut loses: shares of the hypervolume, the mean over rows and its upper bound."""

    mean: float
    upper: float


@dataclass(frozen=True)
class Cut:
    """A model that goes no deeper than `after` any more, None where it is left out; `loss` with all cuts before it.

    `saved` is the milliseconds a text that its extraction then takes less.
    """

    model: str
    before: int
    after: int | None
    saved: float
    loss: Loss


class Judgement:
    """What cuts lose, by the representations of a rung.

    Args:
        rows: All representations.
        groups: Rows of one number are no independent evidence, and are in one part: int64 [rows].
    """

    def __init__(self, rows: Sequence[Judged], groups: np.ndarray) -> None:
        ordered = sorted(rows, key=lambda row: row.cost)
        self._models = {source.model: None for row in ordered for source in row.sources}
        self._depths = {
            model: np.array([max((s.layer for s in row.sources if s.model == model), default=-1) for row in ordered])
            for model in self._models
        }
        self._values = np.array([row.values for row in ordered])
        logs = np.log([max(row.cost, 1e-9) for row in ordered])
        # the best score up to a cost counts until the next cost, and the last until a little beyond
        span = (logs[-1] - logs[0]) or 1.0
        self._widths = np.diff(logs, append=logs[-1] + BEYOND * span) / ((1 + BEYOND) * span)
        _, self._groups = np.unique(groups, return_inverse=True)
        self._parts = self._groups % PARTS
        chosen = [self._values[:, self._parts != part].mean(1) for part in range(PARTS)]
        self._choosing = np.array([np.nan_to_num(means, nan=-np.inf) for means in chosen])
        self._whole = self._areas(np.ones(len(ordered), bool))

    @property
    def hypervolume(self) -> float:
        """Of all representations."""
        return float(self._whole.mean())

    def loss(self, reach: Reach) -> Loss:
        """What is lost where models go no deeper than this."""
        whole = self.hypervolume
        if whole <= 0:
            return Loss(0.0, np.inf)  # nothing is known to be better than knowing nothing
        apart = self._whole - self._areas(self._allowed(reach))
        sums = np.bincount(self._groups, apart - apart.mean())
        error = np.sqrt((sums**2).sum() * len(sums) / max(1, len(sums) - 1)) / len(apart)
        return Loss(float(apart.mean() / whole), float((apart.mean() + CONFIDENCE * error) / whole))

    def cheapest(self, reach: Reach) -> str | None:
        """The model at the cheap end of the front: of the cheapest representation that is better than knowing nothing.

        None where none is.
        """
        means = np.where(self._allowed(reach), self._values.mean(1), -np.inf)
        for place in np.flatnonzero(means > 0):
            return next(model for model, depths in self._depths.items() if depths[place] >= 0)
        return None

    def _allowed(self, reach: Reach) -> np.ndarray:
        allowed = [depths <= reach.get(model, -1) for model, depths in self._depths.items()]
        return np.asarray(np.all(allowed, axis=0))

    def _areas(self, allowed: np.ndarray) -> np.ndarray:
        """Each row's part of the hypervolume, [rows]."""
        found = np.zeros(self._values.shape[1])
        for part, means in enumerate(self._choosing):
            worth = np.where(allowed, np.maximum(means, 0.0), 0.0)
            # each the best up to its cost
            leads = np.flatnonzero((worth > 0) & (worth >= np.maximum.accumulate(worth)))
            holders = np.searchsorted(leads, np.arange(len(means)), side="right") - 1
            known = holders >= 0
            weights = np.bincount(leads[holders[known]], self._widths[known], minlength=len(means))
            used = np.flatnonzero(weights)
            rows = self._parts == part
            found[rows] = weights[used] @ self._values[np.ix_(used, np.flatnonzero(rows))]
        return found


def cuts(
    judgement: Judgement,
    reach: Reach,
    layer_ms: Mapping[str, Sequence[float]],
    *,
    keep: Collection[str] = (),
    shallowest: Mapping[str, int] | None = None,
    least: int = 1,
) -> Iterator[Cut]:
    """Cut by cut, the one that saves most of the extraction first, as long as the upper bound is within `MARGIN`.

    Args:
        judgement: Of a rung.
        reach: What is needed so far.
        layer_ms: Milliseconds a text of each model up to each layer.
        keep: Models that are not cut.
        shallowest: The layer that a model is not cut below, 0 where it does not say.
        least: How many models are left at the least.
    """
    now, low = dict(reach), shallowest or {}
    while True:
        spared = judgement.cheapest(now)
        found = []
        for model, deepest in now.items():
            if model in keep:
                continue
            afters: list[int | None] = list(range(low.get(model, 0), deepest))
            if len(now) > least and model != spared:
                afters.append(None)
            for after in afters:
                saved = layer_ms[model][deepest] - (0.0 if after is None else layer_ms[model][after])
                found.append(Cut(model, deepest, after, saved, Loss(0, 0)))
        for cut in sorted(found, key=lambda cut: -cut.saved):
            trial = {model: deepest for model, deepest in now.items() if model != cut.model}
            if cut.after is not None:
                trial = {model: cut.after if model == cut.model else deepest for model, deepest in now.items()}
            loss = judgement.loss(trial)
            if loss.upper <= MARGIN:
                yield Cut(cut.model, cut.before, cut.after, cut.saved, loss)
                now = trial
                break
        else:
            return
