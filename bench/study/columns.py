"""What tables of a front show of the search: the study's score and every objective, the latency in any case."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.measures import ACCURACY, AGGREGATIONS, LATENCY, Objective
from bench.space.objectives import Objectives
from bench.study.entry import Entry


@dataclass(frozen=True)
class SearchColumn:
    """A heading, and what stands below it for an entry; `number` where that is a number alone.

    A narrow screen may go without one that is `spare`.
    """

    heading: str
    cell: Callable[[Entry], str]
    number: bool = True
    spare: bool = False


def search_columns(objectives: Objectives) -> list[SearchColumn]:
    """What is searched for, the score's mean with its spread, its worst, other measures in the mean, and the cost."""
    score = objectives.score.measure
    worst, mean, std = (Objective(score, AGGREGATIONS[name]) for name in ("floor", "mean", "std"))

    def spread(entry: Entry) -> str:
        return score.plus_minus(entry.value(mean), entry.value(std)) or "–"

    beside = [Objective(each, AGGREGATIONS["mean"]) for each in objectives.beside]
    lead = worst if objectives.score.is_spread else objectives.score
    shown = {lead, worst, mean, std, *beside, Objective(LATENCY)}
    others = [each for each in objectives.each if each not in shown]
    return [
        _column(lead),
        SearchColumn(f"{score.short} mean ± std", spread, number=False, spare=True),
        *([] if lead == worst else [_column(worst, spare=True)]),
        *(_column(each, spare=each.measure != ACCURACY) for each in beside),
        *map(_column, (each for each in others if not each.is_cost)),
        _column(Objective(LATENCY)),
        *map(_column, (each for each in others if each.is_cost)),
    ]


def _column(objective: Objective, *, spare: bool = False) -> SearchColumn:
    def cell(entry: Entry) -> str:
        estimated = entry.latency_estimated and objective.measure == LATENCY
        return "~" * estimated + objective.measure.shown(entry.value(objective))

    return SearchColumn(objective.short, cell, spare=spare)
