"""What a search could choose by, and what is lost by it: see `selected.py`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from redrawn import REPETITIONS, TRAIN_ROWS
from scipy.stats import spearmanr, t

from bench.measures import ACCURACY, F1, MEASURES, Measure, Predictions
from bench.metrics import Resamples

LOWER, RESAMPLES = 0.05, 400
TRUTHS = ("f1", "accuracy")


PLANS: Mapping[str, Mapping[int, int]] = {
    "ridge": {100: 1, 200: 1, 600: 2, 2000: 4},
    "logistic": {200: 3, 600: 4},
    "mlp": {200: 4},
}
"""Numbers of training rows under each head, and every how manieth candidate is looked at there."""
CONTROL = "F1 floor"
Values = Callable[[Sequence[Predictions], Resamples], float]


def mean_of(measure: Measure) -> Values:
    return lambda said, _: measure.sign * fmean(each.value(measure) for each in said)


def floor(said: Sequence[Predictions], _: Resamples) -> float:
    return min(each.value(F1) for each in said)


def less_std(said: Sequence[Predictions], _: Resamples) -> float:
    values = [each.value(F1) for each in said]
    return float(np.mean(values) - np.std(values, ddof=1))


def lower(said: Sequence[Predictions], drawn: Resamples) -> float:
    """What is kept in 95 of 100 draws of rows and of a repetition."""
    return float(np.quantile(F1.resampled(said, drawn)[1:], LOWER))


SELECTORS: Mapping[str, tuple[int, Values]] = {
    CONTROL: (3, floor),
    "F1 mean": (3, mean_of(F1)),
    "F1 mean − std": (3, less_std),
    "F1 lower end": (3, lower),
    "accuracy mean": (3, mean_of(ACCURACY)),
    "log-loss": (3, mean_of(MEASURES["log_loss"])),
    "Brier": (3, mean_of(MEASURES["brier"])),
    "F1, once": (1, mean_of(F1)),
    "log-loss, once": (1, mean_of(MEASURES["log_loss"])),
    "Brier, once": (1, mean_of(MEASURES["brier"])),
}
"""From how many repetitions, and what: more is better."""


@dataclass(frozen=True)
class Cell:
    """Draws of so many training rows of a data set, under a head."""

    title: str
    head: str
    rows: int


def regrets(row: Mapping[str, dict[str, list[float]]], truth: str) -> dict[str, float]:
    """In points, of each selector."""
    true = np.array(row["truths"][truth])
    return {name: 100 * float(true.max() - true[int(np.argmax(row["values"][name]))]) for name in SELECTORS}


def at_equal_cost(row: Mapping[str, dict[str, list[float]]], truth: str, parts: int = 60) -> dict[str, float]:
    """The same where as many heads are trained: with three repetitions a third of the candidates, drawn, is seen."""
    true, rng = np.array(row["truths"][truth]), np.random.default_rng(0)
    some = [rng.choice(len(true), len(true) // REPETITIONS, replace=False) for _ in range(parts)]
    whole = regrets(row, truth)
    found = {}
    for name, (repetitions, _) in SELECTORS.items():
        values = np.array(row["values"][name])
        chosen = [true[part[int(np.argmax(values[part]))]] for part in some]
        found[name] = whole[name] if repetitions == 1 else 100 * float(true.max() - np.mean(chosen))
    return found


def agreements(row: Mapping[str, dict[str, list[float]]], truth: str) -> dict[str, tuple[float, float]]:
    """Spearman's correlation with what is true, and the share of the better half that is found."""
    true = np.array(row["truths"][truth])
    half = len(true) // 2
    better = set(np.argsort(-true, kind="stable")[:half].tolist())
    found = {}
    for name in SELECTORS:
        values = np.array(row["values"][name])
        chosen = np.argsort(-values, kind="stable")[:half].tolist()
        # of what says the same of all, nothing is known of the order
        order = spearmanr(values, true).statistic if np.ptp(values) > 0 and np.ptp(true) > 0 else 0.0
        found[name] = float(order), len(better.intersection(chosen)) / half
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95 % interval by Student's t; the half is NaN for a single value."""
    array = np.asarray(values)
    if len(array) < 2:
        return float(array.mean()), float("nan")
    return float(array.mean()), float(t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / len(array) ** 0.5)


Rows = Mapping[tuple[Cell, int], Mapping[str, object]]


@dataclass(frozen=True, eq=False)
class Summed:
    """What is known under one head, by selector: `regret`, `equal` cost, `spearman` and `half`, [sets, draws].

    Each is the mean over numbers of training rows. A draw is one order of a data set's rows, of which the first n
    train; taken are those that were done for all of these numbers.
    """

    sets: tuple[str, ...]
    values: Mapping[str, Mapping[str, list[np.ndarray]]]

    @classmethod
    def of(cls, rows: Rows, head: str, truth: str, counts: Sequence[int] | None = None) -> "Summed":
        of_head = [cell for cell, _ in rows if cell.head == head]
        sets = tuple(title for title in TRAIN_ROWS if any(cell.title == title for cell in of_head))
        values: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in SELECTORS}
        taken = []
        for title in sets:
            there = counts or sorted({cell.rows for cell in of_head if cell.title == title})
            seeds = [{seed for cell, seed in rows if cell == Cell(title, head, n)} for n in there]
            if not (both := sorted(set.intersection(*seeds))):
                continue
            taken.append(title)
            parts: dict[str, list[list[dict[str, float]]]] = {}
            for seed in both:
                each = [rows[Cell(title, head, n), seed] for n in there]
                for what, measured in MEASURED.items():
                    parts.setdefault(what, []).append([measured(row, truth) for row in each])
            for name in SELECTORS:
                for what, found in parts.items():
                    means = np.array([fmean(one[name] for one in of_draw) for of_draw in found])
                    values[name].setdefault(what, []).append(means)
        return cls(tuple(taken), values)

    @property
    def draws(self) -> str:
        """How many there are of each data set: one number, or the least and the most."""
        counts = {len(each) for each in self.values[CONTROL]["regret"]}
        return "–".join(map(str, sorted({min(counts), max(counts)})))

    def mean(self, name: str, what: str) -> tuple[float, float]:
        """Over data sets."""
        return interval([float(each.mean()) for each in self.values[name][what]])

    def apart(self, name: str, what: str = "regret") -> list[tuple[float, float]]:
        """By how much it differs from the control, by data set: over draws, which are paired."""
        pairs = zip(self.values[name][what], self.values[CONTROL][what], strict=True)
        return [interval(one - control) for one, control in pairs]

    def overall(self, name: str, what: str = "regret") -> tuple[float, float]:
        """The same over data sets, whose means are what varies."""
        return interval([mean for mean, _ in self.apart(name, what)])


MEASURED: Mapping[str, Callable[..., dict[str, float]]] = {
    "regret": regrets,
    "equal": at_equal_cost,
    "spearman": lambda row, truth: {name: each for name, (each, _) in agreements(row, truth).items()},
    "half": lambda row, truth: {name: each for name, (_, each) in agreements(row, truth).items()},
}
