"""The tables of a study's run: what was found, what it costs, and what was seen before, each as a csv file."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.aliases import in_words
from bench.cost import ModelCost, costs_of
from bench.escaping import csv_file
from bench.measures import AGGREGATIONS, LATENCY, Objective, aggregated, cost_names
from bench.metrics import Interval
from bench.screening.table import SeenTable
from bench.space.objectives import Objectives
from bench.specs import Logistic
from bench.study.entry import Entry
from bench.study.result import entry_json

if TYPE_CHECKING:
    import pandas as pd

COMPARED = (
    *("against", "difference", "difference_low", "difference_high", "p", "resolvable"),
    *("retrained_low", "retrained_high"),
)
"""What is said of a candidate beside single models, by each measure."""


def entries_csv(entries: Sequence[Entry]) -> bytes:
    """The front or the baselines as a table: search scores, then the test set's."""
    return csv_file(*entries_table(entries))


def entries_table(entries: Sequence[Entry]) -> tuple[list[str], list[list[Any]]]:
    """The same as columns and rows."""
    columns = _columns(entries[0].objectives if entries else Objectives())
    flats = map(_flat, entries)
    return columns, [[flat.get(column) for column in columns] for flat in flats]


def entries_frame(entries: Sequence[Entry]) -> "pd.DataFrame":
    """The same by name, with each candidate in a line."""
    import pandas as pd

    columns, rows = entries_table(entries)
    frame = pd.DataFrame(rows, columns=columns).set_index("name")
    frame.insert(0, "candidate", [_described(entry) for entry in entries])
    return frame


def _described(entry: Entry) -> str:
    if entry.cascade is not None:
        return entry.cascade.record.in_words
    return "" if entry.candidate is None else in_words(entry.candidate)


def _flat(entry: Entry) -> dict[str, Any]:
    """All that is known of an entry, by column."""
    values = entry_json(entry)
    test = {f"test_{key}": value for key, value in values["confirm"].items()}
    flat: dict[str, Any] = values["confirm"] | values | test
    flat |= {"name": entry.name, "sources": str(entry.candidate or "")}
    if entry.comparison is not None:
        flat["verdict"] = entry.comparison.verdict
        for each in entry.comparison.by_measure:
            beyond = (None, None) if each.retrained is None else (each.retrained.low, each.retrained.high)
            resolvable = None if math.isnan(each.resolvable) else each.resolvable
            found = (each.against, each.value, each.low, each.high, each.p, resolvable, *beyond)
            flat |= {f"{each.measure}_{part}": value for part, value in zip(COMPARED, found, strict=True)}
    return flat | dict(zip(_ends(entry.objectives), entry.interval, strict=True))


def cascades_csv(entries: Sequence[Entry]) -> bytes:
    """The cascades as a table: what decides, what is reached, search scores, then the test set's and the control's."""
    objectives, rows = entries[0].objectives, []
    kept = [measure.name for measure in objectives.measures]
    columns = _columns(objectives)[4:]
    for entry in entries:
        assert entry.cascade is not None
        tested, flat = entry.cascade, _flat(entry)
        cascade, beside = tested.record.cascade, tested.beside
        rows.append(
            [
                *(entry.name, " → ".join(map(str, tested.record.trials)), str(cascade)),
                *(
                    " ".join(f"{value:g}" for value in values)
                    for values in (cascade.thresholds, tested.record.reached, tested.reached)
                ),
                *(flat.get(column) for column in columns),
                tested.costs[LATENCY.name],
                *(tested.control.get(name) for name in kept),
                *((None,) * 4 if beside is None else (beside.trial, *_ends_of(beside.difference), beside.share)),
            ]
        )
    return csv_file(
        [
            *("name", "trials", "stages", "thresholds", "reached", "test_reached"),
            *columns,
            f"test_{LATENCY.name}",
            *(f"test_{name}_random_deferral" for name in kept),
            *("beside_trial", "beside_low", "beside_high", "beside_cost"),
        ],
        rows,
    )


def _ends_of(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def _columns(objectives: Objectives) -> list[str]:
    """The columns of such a table: what every study has, then what this one searches for beyond that."""
    first, *others = objectives.kept
    shared = [*aggregated(first), *(Objective(each, AGGREGATIONS["mean"]) for each in others)]
    searched = [measure for measure in objectives.measures if measure not in objectives.kept]
    own = [each for measure in searched for each in aggregated(measure)]
    scores = list(dict.fromkeys([*shared, *own, *objectives.scores]))
    latency, *costs = cost_names()
    return [
        *("name", "trial", "sources", "fusion"),
        *(each.name for each in scores),
        *(latency, "latency_estimated", *costs),
        *(f"test_{each.name}" for each in scores if not each.redrawn),
        *_ends(objectives),
        *("difference", "p_vs_best_single", "resolvable_difference", "verdict"),
        *(f"{each.name}_{part}" for each in objectives.kept for part in COMPARED),
    ]


def _ends(objectives: Objectives) -> tuple[str, str]:
    """The columns of the interval."""
    name = objectives.kept[0].name
    return f"test_{name}_low", f"test_{name}_high"


def costs_csv(costs: Mapping[str, ModelCost]) -> bytes:
    """Milliseconds a text up to and including each layer, by model, and whether they are a share not measured."""
    return csv_file(
        ["model", "layer", "ms_per_text", "estimated"],
        (
            [name, layer, ms, cost.layers_estimated and layer < len(cost.layer_ms) - 1]
            for name, cost in costs.items()
            for layer, ms in enumerate(cost.layer_ms)
        ),
    )


def screening_csv(seen: SeenTable, costs: Mapping[str, ModelCost]) -> bytes:
    """Every representation that the screening saw, the best first."""
    scores = [Objective(seen.by.measure, AGGREGATIONS[name]).name for name in ("mean", "floor")]
    beside = [Objective(each, AGGREGATIONS["mean"]).name for each in seen.beside]
    header = ["sources", "fusion", "width", *scores, *beside, "squared_error", "penalty"]
    return csv_file(
        [*header, *cost_names(), "seconds"],
        (
            [
                " + ".join(map(str, row.sources)),
                *(row.fusion, row.width, seen.mean(row), seen.floor(row)),
                *(row.beside.get(each.name) for each in seen.beside),
                *(row.error, row.penalty),
                *costs_of(costs, row.candidate(Logistic())).values(),
                row.seconds,
            ]
            for row in seen.ranked
        ),
    )
