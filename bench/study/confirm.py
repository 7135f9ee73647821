"""The front under fresh seeds on the test set, beside what any pipeline has to beat."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bench.cost import Costs, costs_of, costs_of_cascade, latency_estimated
from bench.evaluation.by_fold import by_seed, redrawn
from bench.evaluation.scoring import Scored, Scorer
from bench.front import could_still_matter
from bench.measures import LATENCY, Measure
from bench.metrics import Redrawn
from bench.progress import Progress
from bench.space.candidates import Shapes
from bench.space.objectives import Objectives
from bench.specs import AnyCandidate, Candidate
from bench.study.baselines import (
    BEST_SINGLE,
    EARLIER,
    SINGLE,
    BaselineRecord,
    ScoredRecord,
    baselines,
    best_single,
    subjects,
)
from bench.study.cascades import Beside, CascadeRecord, Tested, chosen, control
from bench.study.cascades import confirmed as cascade_confirmed
from bench.study.cascades import searched as cascade_searched
from bench.study.entry import Entry
from bench.study.journal import Journal
from bench.study.named import front
from bench.study.record import TrialRecord
from bench.study.singles import rivals
from bench.study.verdicts import Claim, judged
from bench.tasks import TASKS


class Confirmed(NamedTuple):
    """The confirmed front of trials and baselines, the cascades on it, each the cheapest first, and all baselines.

    A baseline on the front is there twice: it stands among the baselines as well.
    """

    front: list[Entry]
    baselines: list[Entry]
    cascades: list[Entry]


@dataclass(frozen=True)
class Confirmation:
    """Confirms entries of a study; what was confirmed before is read back from the evaluations."""

    scorer: Scorer
    shapes: Shapes
    costs: Costs
    objectives: Objectives
    progress: Progress
    deepest: Mapping[str, int] = field(default_factory=dict)
    """The last layer of models that are not extracted to their end."""

    def run(self, journal: Journal) -> Confirmed:
        """The confirmed front with its cascades, compared with the single models, and the confirmed baselines."""
        records = front(journal, self.objectives)
        found = chosen(journal)
        resumable = () if found is None else found.resumable
        cascades = [] if found is None else self._standing(found.records, records)
        singles = rivals(journal, self.scorer, self.objectives)
        held = [record for record in singles if record not in records]
        others, references = self._baselines(journal)
        total = len(records) + len(cascades) + len(held) + len(others) + len(references)
        with self.progress.task("confirm on the test set", total, "candidates") as task:
            confirmed = []
            for record in records:
                confirmed.append(self._entry(_name(record), "front", record.candidate, record))
                task.advance()
            deferring = []
            for each in cascades:
                deferring.append(self._cascade(each, resumable, confirmed))
                task.advance()
            aside = []
            for record in held:
                aside.append(self._entry(_name(record), "single", record.candidate, record))
                task.advance()
            beside = []
            for name, (candidate, remembered) in others.items():
                beside.append(self._entry(name, "baseline", candidate, remembered))
                task.advance()
            for name in references:
                beside.append(self._reference(name))
                task.advance()
        names = [_name(record) for record in singles]
        # the best single is mostly one of these trials, by whose name it then goes
        known = [each for each in beside if each.name == BEST_SINGLE]
        known += [each for each in (*confirmed, *aside) if each.name in names]
        # what is from outside has a verdict even where it is not on the front
        foreign = [each for each in beside if each.outside and each.name not in {one.name for one in confirmed}]
        compared = {each.name: each for each in self._compared([*confirmed, *deferring, *foreign], known)}
        judged_too = {each.name for each in foreign}
        return Confirmed(
            [compared[each.name] for each in confirmed],
            [compared[each.name] if each.name in judged_too else each for each in beside],
            [compared[each.name] for each in deferring],
        )

    def _baselines(
        self, journal: Journal
    ) -> tuple[dict[str, tuple[AnyCandidate, ScoredRecord | None]], tuple[str, ...]]:
        """Baselines by name with what is known of them, and text baselines that are references alone.

        A study of an earlier bench has none that were remembered, and its TF-IDF as it was.
        """
        single = best_single(journal, self.scorer, self.objectives)
        task = TASKS[self.scorer.dataset.task]
        of_texts = task.text_baselines
        found = baselines(journal)
        known: dict[str, tuple[AnyCandidate, ScoredRecord | None]]
        if found is None:
            known = {
                name: (subject, journal.known(subject))
                for name, subject in subjects(task, self.shapes, self.deepest, single).items()
                if isinstance(subject, Candidate)
            }
            of_texts = (*EARLIER, *of_texts) if task.text_classifiers else of_texts
        else:
            known = {record.name: (record.candidate, record) for record in found.records}
        if single is not None:
            # behind the last layers
            place = sum(name.startswith(SINGLE) for name in known)
            listed = [*known.items()]
            listed.insert(place, (BEST_SINGLE, (single, journal.known(single))))
            known = dict(listed)
        return known, of_texts

    def _standing(self, cascades: Sequence[CascadeRecord], trials: Sequence[ScoredRecord]) -> list[CascadeRecord]:
        """Those that no trial beats: a study that was killed may have scored trials since it chose its cascades."""
        point, directions = self.objectives.point, self.objectives.directions
        points = [point(record.metrics) for record in trials]
        return [each for each in cascades if could_still_matter(point(each.metrics), points, directions)]

    def _entry(self, name: str, kind: Any, candidate: AnyCandidate, record: ScoredRecord | None) -> Entry:
        costs = costs_of(self.costs, candidate)
        if isinstance(record, BaselineRecord) or (record is not None and record.state == "complete"):
            search = {key: value for key, value in record.metrics.items() if key not in costs}
        else:
            search = self.scorer.scored(candidate, "search").metrics(self.objectives.measures)
        confirmed = self.scorer.scored(candidate, "confirm")
        return Entry(
            name=name,
            kind=kind,
            candidate=candidate,
            trial=record.number if isinstance(record, TrialRecord) else None,
            run_id=None if record is None else record.run_id,
            search=search,
            costs=costs,
            confirmed=confirmed,
            interval=self._interval(confirmed),
            objectives=self.objectives,
            latency_estimated=latency_estimated(self.costs, candidate),
        )

    def _cascade(self, record: CascadeRecord, resumable: Collection[str], trials: Sequence[Entry]) -> Entry:
        """A cascade under thresholds that are not touched any more."""
        cascade = record.cascade
        found = cascade_confirmed(self.scorer, cascade)
        costs = costs_of_cascade(self.costs, cascade.stages, found.reached, resumable)
        priced = {name: value for name, value in record.metrics.items() if name in costs}
        return Entry(
            name=record.name,
            kind="cascade",
            candidate=None,
            trial=None,
            run_id=record.run_id,
            search={name: value for name, value in record.metrics.items() if name not in costs},
            costs=priced,
            confirmed=found.scored,
            interval=self._interval(found.scored),
            objectives=self.objectives,
            latency_estimated=any(latency_estimated(self.costs, stage) for stage in cascade.stages),
            cascade=Tested(
                record=record,
                reached=found.reached,
                costs=costs,
                control=control(self.scorer, cascade, found.reached, self.objectives.measures),
                beside=self._beside(found.scored, costs[LATENCY.name], trials),
            ),
        )

    def _beside(self, scored: Scored, latency: float, trials: Sequence[Entry]) -> Beside | None:
        """A cascade against the trial of the front with the best search score."""
        by, measure = self.objectives.single, self.objectives.kept[0]
        best = max(trials, key=lambda entry: by.sign * entry.value(by), default=None)
        if best is None or not best.latency_ms:
            return None
        sides = scored.predictions, best.confirmed.predictions
        interval = measure.difference(*sides, seed=self.scorer.protocol.seed)
        return Beside(best.name if best.trial is None else best.trial, interval, latency / best.latency_ms)

    def _reference(self, name: str) -> Entry:
        confirmed = self.scorer.scored(name, "confirm")
        search = self.scorer.scored(name, "search").metrics(self.objectives.measures)
        interval = self._interval(confirmed)
        return Entry(name, "baseline", None, None, None, search, {}, confirmed, interval, self.objectives)

    def _interval(self, scored: Scored) -> tuple[float, float]:
        found = self.objectives.kept[0].interval(scored.predictions, self.scorer.protocol.seed)
        return found.low, found.high

    def _compared(self, entries: Sequence[Entry], references: Sequence[Entry]) -> list[Entry]:
        """The entries, those that are none of the single models beside each of these."""
        singles = {entry.name: entry for entry in {each.subject: each for each in references}.values()}
        subjects = [entry.subject for entry in singles.values()]
        others = {entry.name: entry for entry in entries if entry.subject not in subjects}
        if not singles or not others:
            return list(entries)

        def retrained(name: str, single: str, measure: Measure, level: float) -> Redrawn | None:
            if not others[name].search:
                return None
            sides = self._searched(others[name]), self._searched(singles[single])
            protocol = self.scorer.protocol
            return redrawn(by_seed(*sides, (measure,), self.scorer.dataset, protocol), protocol, level)

        against = {name: entry.confirmed.predictions for name, entry in singles.items()}
        found = judged(
            {name: Claim(entry.confirmed.predictions, against) for name, entry in others.items()},
            self.objectives.kept,
            seed=self.scorer.protocol.seed,
            retrained=retrained,
        )
        return [replace(entry, comparison=found.get(entry.name)) for entry in entries]

    def _searched(self, entry: Entry) -> Scored:
        """What the search knows of an entry that is no mere reference."""
        if entry.cascade is not None:
            return cascade_searched(self.scorer, entry.cascade.record)
        assert entry.candidate is not None
        return self.scorer.scored(entry.candidate, "search")


def _name(record: ScoredRecord) -> str:
    return f"trial-{record.number}" if isinstance(record, TrialRecord) else record.name
