"""Two pipelines side by side: paired by seed, by fold and by example, with what the rows can and cannot tell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, nearest
from bench.evaluation.evaluator import Scored
from bench.evaluation.protocol import folds
from bench.metrics import holm, paired_interval, paired_permutation, score
from bench.space.schema import Objectives
from bench.specs import Candidate
from bench.study.journal import Journal, TrialRecord, read, study_names
from bench.study.reopen import CHOICES, Study, choose, searched

SIGNIFICANT = 0.05
Open = Callable[[str], Study]


@dataclass(frozen=True)
class Side:
    """One of the two: a scored trial of a study. `label` is how the user named it."""

    label: str
    study: Study
    record: TrialRecord

    @property
    def candidate(self) -> Candidate:
        """What is compared."""
        return self.record.candidate

    @cached_property
    def confirmed(self) -> Scored:
        """Its test scores under the confirmation's seeds; computed now where the search did not confirm it."""
        return self.study.evaluator.confirm(self.candidate)

    @cached_property
    def searched(self) -> Scored:
        """Its scores in the search."""
        return self.study.evaluator.search(self.candidate)


@dataclass(frozen=True)
class Paired:
    """One score of two sides over the same `rows` and `seeds`; `difference` is A − B, `p` is corrected by Holm."""

    statistic: str
    rows: int
    seeds: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    resolvable: float


@dataclass(frozen=True)
class SeedDifference:
    """One repetition of the search: macro-F1 of A minus that of B, over all rows and fold by fold."""

    seed: int
    difference: float
    folds: tuple[float, ...]


@dataclass(frozen=True)
class Examples:
    """Test rows by which side is right under more seeds; `ids` name up to ten of each that tell them apart most."""

    a_better: int
    b_better: int
    equal: int
    a_ids: tuple[str, ...]
    b_ids: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """A pair of candidates compared. `by_seed` is empty where the two were not searched on the same rows and folds."""

    a: Side
    b: Side
    test: tuple[Paired, ...]
    by_seed: tuple[SeedDifference, ...]
    examples: Examples
    notes: tuple[str, ...]

    def words(self) -> str:
        """The verdict in words."""
        f1 = self.test[0]
        better, worse = ("A", "B") if f1.difference >= 0 else ("B", "A")
        interval = f"{f1.difference:+.4f} macro-F1 (95 % {f1.low:+.4f} to {f1.high:+.4f}, p = {f1.p:.3g})"
        where = f"on {f1.rows} test rows, {f1.seeds} seeds"
        if self.a.candidate == self.b.candidate:
            verdict = "A and B are the same candidate."
        elif f1.p < SIGNIFICANT:
            verdict = f"{better} is better than {worse}: A − B = {interval} {where}."
        else:
            limit = (
                "" if np.isnan(f1.resolvable) else f"; these rows resolve differences from about {f1.resolvable:.3f}"
            )
            verdict = f"No difference that chance would not explain: A − B = {interval} {where}{limit}."
        ms = [side.record.metrics["latency_ms"] for side in (self.a, self.b)]
        cost = f" A costs {ms[0] / ms[1]:.2f} × the extraction time of B." if ms[1] > 0 else ""
        return verdict + cost

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "a": _side_json(self.a),
            "b": _side_json(self.b),
            "test": [
                asdict(each) | {"resolvable": None if np.isnan(each.resolvable) else each.resolvable}
                for each in self.test
            ],
            "by_seed": [asdict(each) for each in self.by_seed],
            "examples": asdict(self.examples),
            "notes": list(self.notes),
            "words": self.words(),
        }


@dataclass(frozen=True)
class Named:
    """What a user named: scored `trials` of a `study` by the role they play, found before any data is loaded."""

    label: str
    study: str
    trials: Mapping[str, TrialRecord]

    def sides(self, opened: Open) -> dict[str, Side]:
        """The same with the study opened."""
        study = opened(self.study)
        return {
            role: Side(f"{self.label}:{role}" if role else self.label, study, record)
            for role, record in self.trials.items()
        }


def find(text: str, home: Path, within: str | None = None) -> Named:
    """What `text` names, looked up in the journals alone.

    `text` is a study (its knee, its best and its cheapest candidate), ``STUDY:knee`` or ``STUDY:12`` (one of its
    candidates), the id of a trial's MLflow run, or models joined by commas (the best scored candidate of exactly
    these, `within` a study).

    Raises:
        BenchError: nothing has that name.
    """
    known = study_names(home)
    if text in known:
        journal, request = searched(home, text)
        return Named(text, text, {which: choose(text, journal, request, which) for which in CHOICES})
    name, separator, which = text.rpartition(":")
    if separator and name in known:
        return Named(text, name, {"": choose(name, *searched(home, name), which)})
    for each in known:
        for record in read(home, each).of("complete"):
            if record.run_id == text:
                return Named(text, each, {"": record})
    if within is not None:
        journal, request = searched(home, within)
        models = frozenset(part.strip() for part in text.split(","))
        taken = set(journal.settings["models"])
        if models <= taken:
            return Named(text, within, {"": _best_of(within, journal, request.space.objectives, models)})
        raise BenchError(
            f"'{text}' is neither a study, nor a run, nor models of the study '{within}': "
            f"{nearest(min(models - taken), taken)}"
        )
    hint = nearest(name if separator else text, known) if known else "there is no study yet."
    raise BenchError(f"There is no study and no trial's run '{text}' (models are compared within a --study): {hint}")


def compare(a: Mapping[str, Side], b: Mapping[str, Side]) -> list[Compared]:
    """Compare the sides role by role, p values corrected over all of them.

    Two whole studies are compared by their knees, their best and their cheapest candidates; where one of the two is a
    single candidate, a study's knee stands for it.

    Raises:
        BenchError: the two were tested on different rows or other labels, so that nothing can be paired.
    """
    if len(a) > 1 and len(b) > 1:
        pairs = [(a[role], b[role]) for role in a]
    else:
        pairs = [(a.get("") or a["knee"], b.get("") or b["knee"])]
    distinct = {(first.record.number, second.record.number): (first, second) for first, second in pairs}
    found = [_compared(first, second) for first, second in distinct.values()]
    corrected = iter(holm([paired.p for each in found for paired in each.test]))
    return [replace(each, test=tuple(replace(paired, p=next(corrected)) for paired in each.test)) for each in found]


def _best_of(name: str, journal: Journal, objectives: Objectives, models: frozenset[str]) -> TrialRecord:
    sign = 1 if objectives.directions[0] == "maximize" else -1
    scored = journal.of("complete")
    among = [record for record in scored if set(record.candidate.models) == models]
    if not among:
        shown = sorted({", ".join(sorted(set(record.candidate.models))) for record in scored})
        raise BenchError(
            f"No scored candidate of the study '{name}' is of exactly {', '.join(sorted(models))}. "
            f"There are candidates of: {'; '.join(shown)}."
        )
    return max(among, key=lambda record: sign * record.metrics[objectives.names[0]])


def _compared(a: Side, b: Side) -> Compared:
    left, right = a.study.material.dataset, b.study.material.dataset
    names = [(*each.labels, *each.test_only_labels) for each in (left, right)]
    if left.test.fingerprint != right.test.fingerprint or names[0] != names[1]:
        raise BenchError(
            f"'{a.label}' was tested on {len(left.test)} rows of {left.name} and '{b.label}' on {len(right.test)} of "
            f"{right.name}, which are not the same rows and labels: nothing can be paired."
        )
    notes = []
    seeds = min(len(side.confirmed.repetitions) for side in (a, b))
    if left.train.fingerprint != right.train.fingerprint:
        notes.append("The two were trained on different rows, so only the test set pairs them.")
    notes += [
        f"{side.label} was selected on the test set: its test scores are optimistic."
        for side in (a, b)
        if side.study.request.protocol.name == "paper"
    ]
    backends = {str(identity.get("backend")) for side in (a, b) for identity in side.study.material.identities.values()}
    if len(backends) > 1:
        notes.append(f"The hidden states come from different backends: {', '.join(sorted(backends))}.")
    predicted = [side.confirmed.predicted[:seeds] for side in (a, b)]
    test = tuple(_paired(statistic, left.test.labels, predicted, len(names[0])) for statistic in ("f1", "accuracy"))
    by_seed = () if notes and "different rows" in notes[0] else _by_seed(a, b)
    return Compared(a, b, test, by_seed, _examples(left.test.labels, predicted, left.test.ids), tuple(notes))


def _paired(statistic: Any, truth: np.ndarray, predicted: Sequence[np.ndarray], classes: int) -> Paired:
    first, second = predicted
    test = paired_permutation(truth, first, second, classes, statistic, seed=0)
    interval = paired_interval(truth, first, second, classes, statistic, seed=0)
    means = [
        float(np.mean([getattr(score(truth, each, classes), _FIELDS[statistic]) for each in side]))
        for side in predicted
    ]
    return Paired(
        statistic=_FIELDS[statistic],
        rows=len(truth),
        seeds=len(first),
        a=means[0],
        b=means[1],
        difference=test.difference,
        low=interval.low,
        high=interval.high,
        p=test.p,
        resolvable=test.resolvable,
    )


_FIELDS = {"f1": "macro_f1", "accuracy": "accuracy"}


def _by_seed(a: Side, b: Side) -> tuple[SeedDifference, ...]:
    """Differences over the training rows, out of fold, where both studies cut the same folds."""
    protocols = [side.study.request.protocol for side in (a, b)]
    if protocols[0] != protocols[1] or protocols[0].name == "paper":
        return ()
    train, protocol = a.study.material.dataset.train, protocols[0]
    classes = len(a.study.material.dataset.labels)
    found = []
    for first, second in zip(a.searched.repetitions, b.searched.repetitions, strict=True):
        place = {row: index for index, row in enumerate(first.rows.tolist())}
        parts = []
        for fold in folds(train.labels, train.groups, protocol, first.seed):
            where = [place[row] for row in fold.predict.tolist()]
            scores = [score(train.labels[fold.predict], each.predicted[where], classes) for each in (first, second)]
            parts.append(scores[0].macro_f1 - scores[1].macro_f1)
        found.append(SeedDifference(first.seed, first.scores.macro_f1 - second.scores.macro_f1, tuple(parts)))
    return tuple(found)


def _examples(truth: np.ndarray, predicted: Sequence[np.ndarray], ids: Sequence[str]) -> Examples:
    right = [(each == truth).sum(axis=0) for each in predicted]
    lead = right[0] - right[1]
    order = np.argsort(-lead, kind="stable")

    def named(rows: np.ndarray) -> tuple[str, ...]:
        return tuple(str(ids[row]) for row in rows[:10])

    return Examples(
        a_better=int((lead > 0).sum()),
        b_better=int((lead < 0).sum()),
        equal=int((lead == 0).sum()),
        a_ids=named(order[lead[order] > 0]),
        b_ids=named(order[::-1][lead[order[::-1]] < 0]),
    )


def _side_json(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "study": side.study.name,
        "trial": side.record.number,
        "run_id": side.record.run_id,
        "candidate": side.candidate.model_dump(mode="json"),
        "latency_ms": side.record.metrics["latency_ms"],
    }
