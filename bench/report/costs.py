"""What the mistakes of the front and the baselines cost on the test set."""

from dataclasses import dataclass

import numpy as np

from bench.evaluation.mistakes import REJECTED, MistakeCosts
from bench.evaluation.sureness import TEST
from bench.metrics import Interval
from bench.report.scores import title
from bench.study.baselines import scored_records
from bench.study.entry import Entry
from bench.study.named import by_name
from bench.study.study import Study
from bench.study.sureness import calibrated


@dataclass(frozen=True)
class Costly:
    """An entry's mean cost of a test row, over seeds.

    Attributes:
        name: How it is called.
        entry: What it is.
        likeliest: Where every text is answered with its likeliest label.
        cheapest: With the answers of least expected cost, and its 95% interval over test rows, or their groups.
        rejected: The share of rows that these leave without a label.
    """

    name: str
    entry: Entry
    likeliest: float
    cheapest: Interval
    rejected: float


def costly(study: Study, costs: MistakeCosts) -> list[Costly]:
    """All entries that have probabilities, the cheapest mistakes first."""
    found: dict[str, Costly] = {}
    known = {str(record.id) for record in scored_records(study.journal)} | by_name(study.journal).keys()
    for entry in (*study.found, *study.baselines):
        name = entry.name if entry.trial is None else str(entry.trial)
        both = calibrated(study, study.choose(name)) if name in known else None
        if both is None:
            continue
        said = both.after[TEST]
        decided = [costs.decide(np.exp(each.log_probabilities)) for each in said if each.log_probabilities is not None]
        found[title(entry)] = Costly(
            name=title(entry),
            entry=entry,
            likeliest=float(np.nanmean([costs.of(each.truth, each.predicted) for each in said])),
            cheapest=costs.measure.interval(said),
            rejected=float(np.mean([each == REJECTED for each in decided])),
        )
    return sorted(found.values(), key=lambda each: each.cheapest.value)
