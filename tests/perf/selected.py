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
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from redrawn import FOLDS, HEADS, REPETITIONS, TRAIN_ROWS, Candidate, Draw, Pool, Said, candidates
from regrets import CONTROL, MEASURED, PLANS, RESAMPLES, SELECTORS, TRUTHS, Cell, Rows, Summed, interval

from bench.home import store_home
from bench.measures import Predictions
from bench.metrics import Resamples, score

PAGE = Path(__file__).parents[2] / "docs" / "design" / "selectors.md"
DRAWS = 20


# -- draws


def looked_at(cell: Cell) -> list[Candidate]:
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


# -- the tables


def overview(summed: Summed) -> str:
    """A row a selector, the least regret first."""
    rows = []
    for name, (repetitions, _) in SELECTORS.items():
        apart = summed.apart(name)
        lower, higher = (sum(sign * mean > half for mean, half in apart) for sign in (-1, 1))
        cells = [
            name,
            str(repetitions * FOLDS),
            summed.draws,
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
        "draws",
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
    """Those of the page, in their order."""
    heads = [head for head in PLANS if any(cell.head == head for cell, _ in rows)]
    parts = [ran(rows)]
    for head in heads:
        summed = Summed.of(rows, head, "f1")
        parts += [overview(summed), by_set(summed), by_rows(rows, head), overview(Summed.of(rows, head, "accuracy"))]
    return parts


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
    heads = [head for head in PLANS if any(cell.head == head for cell, _ in rows)]
    to_floor = {head: _to_floor(Summed.of(rows, head, "f1")) for head in heads}
    return {"control": CONTROL, "repetitions": REPETITIONS, "folds": FOLDS, "to_floor": to_floor, "cells": cells}


def _to_floor(summed: Summed) -> dict[str, dict[str, list[float | None]]]:
    """By how many points a selector's regret differs from the control's on each data set, and half of its interval."""
    return {
        name: {title: rounded(each) for title, each in zip(summed.sets, summed.apart(name), strict=True)}
        for name in SELECTORS
        if name != CONTROL
    }


def numbers(values: Sequence[float]) -> list[float | None]:
    return rounded(interval(values))


def rounded(each: tuple[float, float]) -> list[float | None]:
    """Mean and half of an interval; the half is None where there is no telling."""
    return [None if np.isnan(value) else round(value, 4) for value in each]


def shown(each: tuple[float, float], *, sign: bool = False) -> str:
    mean, half = each
    about = "" if np.isnan(half) else f" ± {half:.2f}"
    return f"{mean:+.2f}{about}" if sign else f"{mean:.2f}{about}"


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
