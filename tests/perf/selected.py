"""By which number should a search choose? Selectors compared on training rows drawn again; writes the tables of
docs/design/selectors.md and, beside it, selectors.json.

    python tests/perf/selected.py                         # what is kept, the rest computed: hours on one core
    python tests/perf/selected.py --minutes 30            # stops then; the same command goes on
    python tests/perf/selected.py --table                 # the tables of what is kept, and nothing computed
    python tests/perf/selected.py --sets R8 --draws 2     # prints, and writes nothing

Each draw (see `redrawn.py`) gives every candidate's out-of-fold predictions and its true score, macro-F1 and accuracy
on about a thousand unseen rows or more. A selector takes the candidate that it says most of. Its *regret* is how far
the true score of that one lies below the best candidate's, in points. Draws are kept as they are done, in the store.
"""

import argparse
import json
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import numpy as np
import redrawn
import torch
from redrawn import FOLDS, HEADS, REPETITIONS, TRAIN_ROWS, Draw, Pool, Said, candidates
from scipy.stats import spearmanr, t

from bench.home import store_home
from bench.measures import ACCURACY, F1, MEASURES, Measure, Predictions
from bench.metrics import Resamples, score

PAGE = Path(__file__).parents[2] / "docs" / "design" / "selectors.md"
DRAWS = 20
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


# -- draws


def looked_at(cell: Cell) -> list[redrawn.Candidate]:
    return candidates(HEADS[cell.head])[:: PLANS[cell.head][cell.rows]]


@cache
def pool(title: str) -> Pool:
    return Pool.of(title)


def done(cell: Cell, seed: int) -> dict[str, object]:
    """What selectors say of every candidate in one draw, and what is true of it."""
    start = time.process_time()
    draw = Draw(pool(cell.title), cell.rows, seed)
    drawn = Resamples.of(np.arange(cell.rows), seed=0, draws=RESAMPLES)
    values: dict[str, list[float]] = {name: [] for name in SELECTORS}
    truths: dict[str, list[float]] = {name: [] for name in TRUTHS}
    for candidate in looked_at(cell):
        said = draw.said(candidate)
        seen = outcomes(draw, said)
        for name, (repetitions, value) in SELECTORS.items():
            values[name].append(round(value(seen[:repetitions], drawn), 6))
        unseen = draw.pool.labels[draw.test]
        scores = [score(unseen, each, len(draw.pool.classes)) for each in said.unseen]
        truths["f1"].append(round(fmean(each.macro_f1 for each in scores), 6))
        truths["accuracy"].append(round(fmean(each.accuracy for each in scores), 6))
    seconds = round(time.process_time() - start, 2)
    return {**vars(cell), "draw": seed, "test": len(draw.test), "seconds": seconds, "values": values, "truths": truths}


def outcomes(draw: Draw, said: Said) -> list[Predictions]:
    labels = tuple(draw.pool.classes[each] for each in draw.present)
    return [Predictions(draw.labels, logs.argmax(1), labels, logs) for logs in said.out_of_fold]


def kept(file: Path) -> dict[tuple[Cell, int], dict[str, object]]:
    """The draws that were done; a line that was cut off is not."""
    found: dict[tuple[Cell, int], dict[str, object]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        found[Cell(row["title"], row["head"], row["rows"]), row["draw"]] = row
    return found


def wanted(sets: Sequence[str], heads: Sequence[str], draws: int) -> Iterator[tuple[Cell, int]]:
    """The first draws of every cell, then more of them: whenever it ends there is something of all."""
    step = 5
    for first in range(0, draws, step):
        for head in heads:
            for rows in PLANS[head]:
                for title in sets:
                    yield from ((Cell(title, head, rows), seed) for seed in range(first, min(first + step, draws)))


# -- the table


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
        found[name] = float(spearmanr(values, true).statistic), len(better.intersection(chosen)) / half
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


def overview(summed: Summed) -> str:
    """A row a selector, the least regret first."""
    rows = []
    for name, (repetitions, _) in SELECTORS.items():
        apart = summed.apart(name)
        lower, higher = (sum(sign * mean > half for mean, half in apart) for sign in (-1, 1))
        cells = [
            name,
            str(repetitions * FOLDS),
            f"{summed.mean(name, 'regret')[0]:.2f}",
            "" if name == CONTROL else shown(summed.overall(name), sign=True),
            "" if name == CONTROL else f"{lower} / {higher}",
            f"{summed.mean(name, 'equal')[0]:.2f}",
            f"{summed.mean(name, 'spearman')[0]:.3f}",
            f"{summed.mean(name, 'half')[0]:.3f}",
        ]
        rows.append((summed.mean(name, "regret")[0], cells))
    header = [
        "chosen by",
        "fits",
        "regret",
        "to the floor's",
        "sets below / above",
        "at equal cost",
        "Spearman",
        "half",
    ]
    return markdown(header, [cells for _, cells in sorted(rows, key=lambda row: row[0])])


def by_set(summed: Summed) -> str:
    """What differs from the control on each data set."""
    rows = [[name, *(shown(each, sign=True) for each in summed.apart(name))] for name in SELECTORS if name != CONTROL]
    control = [f"{each.mean():.2f}" for each in summed.values[CONTROL]["regret"]]
    return markdown(["chosen by", *summed.sets], [[f"{CONTROL}: regret", *control], *rows])


def by_rows(rows: Rows, head: str) -> str:
    """Mean regret by the number of training rows, over the data sets that have it."""
    counts = [each for each in PLANS[head] if any(cell.head == head and cell.rows == each for cell, _ in rows)]
    parts = [Summed.of(rows, head, "f1", [count]) for count in counts]
    lines = [[name, *(f"{part.mean(name, 'regret')[0]:.2f}" for part in parts)] for name in SELECTORS]
    return markdown(["chosen by", *(f"{count:,} rows" for count in counts)], lines)


def ran(rows: Rows) -> str:
    """How many draws there are, by data set."""
    lines = []
    cells = [(head, count) for head, plan in PLANS.items() for count in plan]
    for title in TRAIN_ROWS:
        counts = [sum(cell == Cell(title, head, count) for cell, _ in rows) for head, count in cells]
        lines.append([title, *map(str, counts)])
    return markdown(["draws", *(f"{head} {count:,}" for head, count in cells)], lines)


def tables(rows: Rows) -> list[str]:
    heads = [head for head in PLANS if any(cell.head == head for cell, _ in rows)]
    summed = {(head, truth): Summed.of(rows, head, truth) for head in heads for truth in TRUTHS}
    return [
        ran(rows),
        *(overview(summed[head, "f1"]) for head in heads),
        *(by_set(summed[head, "f1"]) for head in heads),
        *(by_rows(rows, head) for head in heads[:1]),
        *(overview(summed[head, "accuracy"]) for head in heads),
    ]


def as_json(rows: Rows) -> dict[str, object]:
    """Every cell in numbers: means over its draws, and halves of their 95 % intervals."""
    cells = []
    for cell in dict.fromkeys(cell for cell, _ in rows):
        mine = [row for (other, _), row in rows.items() if other == cell]
        found: dict[str, object] = {}
        for truth in TRUTHS:
            by_what = {what: [measured(row, truth) for row in mine] for what, measured in MEASURED.items()}
            found[truth] = {
                name: {what: numbers([each[name] for each in values]) for what, values in by_what.items()}
                | {"to_floor": numbers([each[name] - each[CONTROL] for each in by_what["regret"]])}
                for name in SELECTORS
            }
        tested = min(int(str(row["test"])) for row in mine)
        cells.append(
            {**vars(cell), "draws": len(mine), "test_rows": tested, "candidates": len(looked_at(cell)), **found}
        )
    return {"control": CONTROL, "repetitions": REPETITIONS, "folds": FOLDS, "cells": cells}


def numbers(values: Sequence[float]) -> list[float | None]:
    return [None if np.isnan(each) else round(each, 4) for each in interval(values)]


def shown(each: tuple[float, float], *, sign: bool = False) -> str:
    mean, half = each
    return f"{mean:+.2f} ± {half:.2f}" if sign else f"{mean:.2f} ± {half:.2f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [header, ["---"] * len(header), *rows])


def rewrite(parts: Sequence[str]) -> None:
    """Put tables where the page has them."""
    left = iter(parts)
    page = re.sub(r"(?:^\|.*\n)+", lambda _: next(left), PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    PAGE.write_text(page, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=TRAIN_ROWS, default=list(TRAIN_ROWS))
    parser.add_argument("--heads", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--table", action="store_true", help="compute nothing")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=UserWarning)  # classes with fewer rows than folds
    file = store_home() / "selectors.jsonl"
    rows, until = kept(file), time.monotonic() + 60 * asked.minutes
    for cell, seed in () if asked.table else wanted(asked.sets, asked.heads, asked.draws):
        if time.monotonic() > until:
            break
        if (cell, seed) not in rows:
            rows[cell, seed] = done(cell, seed)
            with file.open("a", encoding="utf-8") as written:
                written.write(json.dumps(rows[cell, seed]) + "\n")
    parts = tables(rows)
    print("\n".join(parts))
    if (asked.sets, asked.heads, asked.draws) == (list(TRAIN_ROWS), list(PLANS), DRAWS) and PAGE.exists():
        rewrite(parts)
        PAGE.with_suffix(".json").write_text(json.dumps(as_json(rows), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
