"""What tables of a front show of the search: the study's score and every objective, the latency in any case."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.measures import AGGREGATIONS, LATENCY, Objective
from bench.space.objectives import Objectives
from bench.study.confirm import Entry


@dataclass(frozen=True)
class SearchColumn:
    """A heading, and what stands below it for an entry; `number` where that is a number alone."""

    heading: str
    cell: Callable[[Entry], str]
    number: bool = True


def search_columns(objectives: Objectives) -> list[SearchColumn]:
    """The worst repetition of the study's score, its mean with its spread, other measures in the mean, and the cost."""
    score = objectives.score.measure
    worst, mean, std = (Objective(score, AGGREGATIONS[name]) for name in ("floor", "mean", "std"))

    def spread(entry: Entry) -> str:
        return score.plus_minus(entry.value(mean), entry.value(std)) or "–"

    beside = [Objective(each, AGGREGATIONS["mean"]) for each in objectives.beside]
    shown = {worst, mean, std, *beside, Objective(LATENCY)}
    others = [each for each in objectives.each if each not in shown]
    return [
        _column(worst),
        SearchColumn(f"{score.short} mean ± std", spread, number=False),
        *map(_column, beside),
        *map(_column, (each for each in others if not each.is_cost)),
        _column(Objective(LATENCY)),
        *map(_column, (each for each in others if each.is_cost)),
    ]


def _column(objective: Objective) -> SearchColumn:
    def cell(entry: Entry) -> str:
        estimated = entry.latency_estimated and objective.measure == LATENCY
        return "~" * estimated + objective.measure.shown(entry.value(objective))

    return SearchColumn(objective.short, cell)
