"""A study's scores by another measure than it was searched for: from the kept predictions, nothing is searched again.

The front, the choice and the decision stay those of the search; a report shows them by that measure.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.evaluation.scoring import Scored
from bench.measures import Measure, Objective, check_classes, score, values
from bench.metrics import finite
from bench.study.cascades import CascadeRecord, Selected, control
from bench.study.entry import Entry
from bench.study.journal import Journal
from bench.study.race import searched
from bench.study.record import TrialRecord
from bench.study.study import COMPUTED, Study


def by_measure(study: Study, name: str) -> Study:
    """The study with a measure's scores in place of those that it was searched for.

    Raises:
        BenchError: there is no such measure, or no such class.
    """
    request = study.request
    objectives = request.space.objectives
    asked = Objective(score(name), objectives.score.aggregation)
    check_classes([asked], study.material.dataset.labels)
    if asked.measure == objectives.score.measure:
        return study
    shown = objectives.scored_by(asked)
    space = request.space.model_copy(update={"objectives": shown})

    def of(entries: Sequence[Entry]) -> list[Entry]:
        return [_entry(study, replace(entry, objectives=shown), asked.measure) for entry in entries]

    old = study.journal
    scored = [record for record in old.records.values() if record.values]
    records = {
        each.number: each.model_copy(update=_scores(each, searched(study.scorer, each), asked.measure))
        for each in scored
    }
    seen = replace(
        study,
        request=request.model_copy(update={"space": space}),
        journal=Journal(old.study, old.records | records, old.chain),
        front=of(study.front),
        baselines=of(study.baselines),
        cascades=of(study.cascades),
    )
    # what was computed by the objectives of the search is what holds
    seen.__dict__.update({name: getattr(study, name) for name in COMPUTED})
    return seen


def selected(study: Study, chosen: Selected) -> Selected:
    """What was chosen, with the scores that the study is shown by."""
    measure = study.request.space.objectives.score.measure
    return chosen.model_copy(update=_scores(chosen, study.scored(chosen, "search"), measure))


def _scores(record: Selected, scored: Scored, measure: Measure) -> dict[str, Any]:
    """The fields of a record with one more measure, as far as it was evaluated."""
    found = {**record.values, measure.name: tuple(values(measure, [each.predictions for each in scored.whole]))}
    whole = not isinstance(record, TrialRecord) or record.state == "complete"
    return {"values": found, "metrics": {**record.metrics, **(finite(scored.metrics([measure])) if whole else {})}}


def _entry(study: Study, entry: Entry, measure: Measure) -> Entry:
    subject = entry.name if entry.candidate is None else entry.candidate
    if entry.cascade is not None:
        record: CascadeRecord = entry.cascade.record
        found = study.scored(record, "search")
        beside = control(study.scorer, record.cascade, entry.cascade.reached, [measure])
        entry = replace(entry, cascade=replace(entry.cascade, control={**entry.cascade.control, **beside}))
    elif entry.search:
        found = study.scorer.scored(subject, "search")
    else:
        return entry  # from outside, and of the test rows alone
    return replace(entry, search={**entry.search, **finite(found.metrics([measure]))})
