"""Baselines that are candidates as any other: scored out of fold as trials are, at their cost, and remembered.

They count for no trial, and no sampler hears of them. What a cheaper one of them beats is not on the front, and each
can be chosen by its name. The majority class is none of them: it is but the floor under all scores.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from bench.cost import Costs, ModelCost, TextCost, costs_of, measure_text, text_key
from bench.evaluation.baselines import STUDENT, revision_of
from bench.evaluation.scoring import Scorer
from bench.measures import values
from bench.metrics import finite
from bench.progress import SILENT, Progress
from bench.space.candidates import Shapes, canonical
from bench.space.objectives import Objectives
from bench.specs import AnyCandidate, Candidate, Source, Spec, TextCandidate
from bench.study.journal import Journal
from bench.study.outside import Outside
from bench.study.race import searched
from bench.study.record import NamedRecord, TrialRecord
from bench.study.roles import ALIASES, CHOICES
from bench.study.settings import Constraints
from bench.tasks import TASKS, Task

NOTE = "baselines"
BEST_SINGLE, EARLIER = "best-single", ("tfidf-logistic",)
"""The best searched candidate of one model, and text baselines that studies had before TF-IDF was a candidate."""
LATE_FUSION, SINGLE = "late-fusion", "single:"
"""Names; of a model's last layer its beginning."""


class BaselineRecord(NamedRecord):
    """What is remembered of a baseline.

    Attributes:
        candidate: What it is.
        within: Whether it may stand on a front: it keeps the study's limits, and has scores as the search has them.
        revision: Of the text classifier that was scored; another one's scores are not its own.
    """

    candidate: AnyCandidate
    within: bool = True
    revision: int = 0

    @property
    def key(self) -> str:
        """By which its run is found in the tracking store."""
        return run_key(self.name, self.candidate, self.revision)

    @property
    def outdated(self) -> bool:
        """Whether what was scored is fitted otherwise now."""
        return self.revision != _revision(self.candidate)

    @property
    def subject(self) -> AnyCandidate:
        """What was scored."""
        return self.candidate


def run_key(name: str, subject: AnyCandidate | None, revision: int = 0) -> str:
    """By which the run of such a baseline is found in the tracking store; scores of another revision have their own."""
    key = f"baseline:{name}:{'' if subject is None else subject.fingerprint()}"
    return f"{key}:{revision}" if revision else key


ScoredRecord = TrialRecord | BaselineRecord
"""What has scores of the search: it may stand on a front, and be a stage of a cascade."""


class Baselines(Spec):
    """The baselines of a study: their records, what text classifiers cost, and their runs in the tracking store by key.

    The runs are all that ever were: those of baselines that are others now leave the front.
    """

    records: tuple[BaselineRecord, ...] = ()
    costs: Mapping[str, TextCost] = Field(default_factory=dict)
    runs: Mapping[str, str] = Field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, BaselineRecord]:
        """The records by name."""
        return {record.name: record for record in self.records}

    @property
    def outdated(self) -> frozenset[str]:
        """Names of what is fitted otherwise now: scores and margins are of another classifier than would be shipped."""
        return frozenset(record.name for record in self.records if record.outdated)


def remembered(journal: Journal) -> Baselines | None:
    """The baselines of a study as they were kept, outdated ones among them; None of one that an earlier bench made."""
    kept = journal.note(NOTE)
    if kept is None:
        return None
    found = Baselines.model_validate(kept)
    records = (record.model_copy(update={"run_id": found.runs.get(record.key)}) for record in found.records)
    return found.model_copy(update={"records": tuple(records)})


def outdated(journal: Journal) -> frozenset[str]:
    """Names of baselines that stand in no table, nor does a cascade of them, until the search is run again."""
    found = remembered(journal)
    return frozenset() if found is None else found.outdated


def baselines(journal: Journal) -> Baselines | None:
    """The baselines of a study whose scores hold; None of one that an earlier bench has searched."""
    found = remembered(journal)
    if found is None or not found.outdated:
        return found
    return found.model_copy(update={"records": tuple(each for each in found.records if not each.outdated)})


def keep(journal: Journal, found: Baselines) -> None:
    """Remember the baselines of a study."""
    journal.keep(NOTE, found.model_dump(mode="json"))


def scored_records(journal: Journal) -> list[ScoredRecord]:
    """All that may stand on a front or be a stage: the scored trials, and the baselines within the study's limits.

    A baseline that was tried as well is there once, as the trial.
    """
    trials: list[ScoredRecord] = [*journal.of("complete")]
    found = baselines(journal)
    tried = {record.candidate for record in trials}
    beside = () if found is None else found.records
    return [*trials, *(record for record in beside if record.within and record.candidate not in tried)]


def all_costs(journal: Journal, costs: Mapping[str, ModelCost]) -> Costs:
    """What models cost, and what a study's text classifiers do."""
    found = baselines(journal)
    return {**costs, **({} if found is None else found.costs)}


def best_single(journal: Journal, scorer: Scorer, objectives: Objectives) -> Candidate | None:
    """The best searched candidate of one model, by `Objectives.single`.

    A single that was pruned, because a fusion dominates it, may still be the best of the singles: it is scored to the
    end here, so that nothing is compared with too weak a reference. One that lost a race against another single is not
    the best of them.
    """
    by = objectives.single
    best, reached = None, -math.inf
    for record in [*journal.of("complete"), *journal.of("pruned")]:
        if len(record.candidate.models) > 1:
            continue
        if record.state == "complete":
            value = by.sign * record.metrics[by.name]
        else:
            if record.given_up is not None and record.given_up.by == "race":
                rival = journal.records[record.given_up.against or 0]
                if len(rival.candidate.models) == 1:
                    continue
            if by.sign * scorer.bound(searched(scorer, record), by) <= reached:
                continue
            value = by.sign * by.value(scorer.scored(record.candidate, "search").predictions)
        if value > reached:
            best, reached = record.candidate, value
    return best


def subjects(
    task: Task, shapes: Shapes, deepest: Mapping[str, int], single: Candidate | None
) -> dict[str, AnyCandidate]:
    """Every model alone at its last layer, late fusion of these where heads are trained, and classifiers of texts.

    The former have the head of the best searched single: a baseline must not lose by a worse learning rate. `deepest`
    is the last layer of models that are not extracted to their end.
    """
    head = task.head if single is None else single.head

    def last_layer(model: str) -> Candidate:
        shape = shapes[model]
        pooling = "mean" if "mean" in shape.poolings else shape.poolings[0]
        layer = deepest.get(model, shape.layers)
        return Candidate(sources=(Source(model=model, layer=layer, pooling=pooling),), head=head)

    found: dict[str, AnyCandidate] = {f"{SINGLE}{model}": last_layer(model) for model in shapes}
    if len(shapes) > 1 and not task.ranks:
        sources = tuple(each.sources[0] for each in found.values())
        found[LATE_FUSION] = canonical(Candidate(sources=sources, fusion="late", head=head), shapes)
    return found | {name: TextCandidate(classifier=name) for name in task.text_classifiers}


def taken(task: Task) -> set[str]:
    """Names that stand for something in every study, and that predictions from outside cannot have."""
    of_texts = (*EARLIER, *task.text_baselines, *task.text_classifiers, STUDENT)
    return {*CHOICES, *ALIASES, BEST_SINGLE, LATE_FUSION, *of_texts}


@dataclass(frozen=True)
class Baselining:
    """Scores the baselines of a study.

    Attributes:
        scorer: Of the study.
        shapes: Of the models.
        costs: Of the models.
        objectives: Of the study.
        limits: What a candidate may cost.
        progress: Is told.
        deepest: The last layer of models that are not extracted to their end.
    """

    scorer: Scorer
    shapes: Shapes
    costs: Costs
    objectives: Objectives
    limits: Constraints
    progress: Progress = SILENT
    deepest: Mapping[str, int] = field(default_factory=dict)

    def run(self, journal: Journal, outside: Sequence[Outside] = (), student: TextCandidate | None = None) -> Baselines:
        """Score what is not scored yet, and remember all; with the best searched single their head may change.

        The `student` replaces the one that a study has, which is else kept as it is: it is taught on demand alone.
        """
        before = remembered(journal) or Baselines()
        task, single = TASKS[self.scorer.dataset.task], best_single(journal, self.scorer, self.objectives)
        wanted = subjects(task, self.shapes, self.deepest, single)
        texts = [each for each in wanted.values() if isinstance(each, TextCandidate)]
        if student is not None:
            wanted[student.classifier] = student
            texts.append(student)
        had = {name: each.candidate for name, each in before.by_name.items()}
        of_texts = {name: each for name, each in had.items() if isinstance(each, TextCandidate)}
        old = {text_key(each) for name, each in of_texts.items() if name in before.outdated}
        timed = {key: cost for key, cost in before.costs.items() if key not in old}
        costs = {text_key(each): timed.get(text_key(each)) or self._measured(each) for each in texts}
        again = {each.candidate.classifier for each in outside}
        kept_as_it_is = set()
        for name, each in of_texts.items():
            if (each.outside and name not in again) or (each.teacher is not None and student is None):
                wanted[name] = each
                costs[text_key(each)] = before.costs[text_key(each)]
                kept_as_it_is.add(name)
        for given in outside:
            given.remember(self.scorer)
            wanted[given.candidate.classifier] = given.candidate
            costs[text_key(given.candidate)] = given.cost
        searched_too = {
            each.candidate for each in outside if each.train is not None or self.scorer.protocol.name != "cv"
        }
        records = []
        with self.progress.task("baselines", len(wanted), "candidates") as work:
            for name, subject in wanted.items():
                known = before.by_name.get(name)
                new = known is None or (known.candidate, known.revision) != (subject, _revision(subject))
                if known is None or (new and name not in kept_as_it_is):
                    blind = isinstance(subject, TextCandidate) and subject.outside and subject not in searched_too
                    known = self._record(name, subject, {**self.costs, **costs}, searched=not blind)
                records.append(known)
                work.advance()
        found = before.model_copy(update={"records": tuple(records), "costs": costs})
        keep(journal, found)
        return found

    def _measured(self, candidate: TextCandidate) -> TextCost:
        fitted = self.scorer.fitted(candidate, self.scorer.protocol.confirm_seeds[0])
        texts, seed = self.scorer.dataset.train.texts, self.scorer.protocol.seed
        return measure_text(candidate.classifier, fitted.logs, fitted.gigabytes, texts, seed)

    def _record(self, name: str, subject: AnyCandidate, costs: Costs, *, searched: bool) -> BaselineRecord:
        priced = costs_of(costs, subject)
        if not searched:
            return BaselineRecord(name=name, candidate=subject, metrics=priced, within=False)
        scored, measures = self.scorer.scored(subject, "search"), self.objectives.measures
        return BaselineRecord(
            name=name,
            candidate=subject,
            metrics=priced | finite(scored.metrics(measures)),
            values={each.name: tuple(values(each, scored.predictions)) for each in measures},
            within=self.limits.violation(priced) == 0,
            revision=_revision(subject),
        )


def _revision(subject: AnyCandidate) -> int:
    return revision_of(subject) if isinstance(subject, TextCandidate) else 0
