"""What is set side by side: scored trials, found by what a user calls them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.aliases import in_words
from bench.cascade import Cascade
from bench.errors import BenchError, nearest
from bench.evaluation.scoring import Scored
from bench.space.objectives import Objectives
from bench.specs import AnyCandidate
from bench.study.baselines import BaselineRecord
from bench.study.cascades import Selected
from bench.study.journal import Journal, nothing_named, read, study_names
from bench.study.named import by_name, choose
from bench.study.record import TrialRecord
from bench.study.reopen import searched
from bench.study.roles import CHOICES
from bench.study.study import Study

Open = Callable[[str], Study]


@dataclass(frozen=True, repr=False)
class Contender:
    """One of the two: a scored trial of a study, a cascade or a baseline. `label` is how the user named it."""

    label: str
    study: Study
    record: Selected

    def __repr__(self) -> str:
        """How it was called, and what it is."""
        return f"<{self.label}: {self.record.title}, {in_words(self.subject)}>"

    @property
    def subject(self) -> AnyCandidate | Cascade:
        """What is compared."""
        return self.record.subject

    @cached_property
    def confirmed(self) -> Scored:
        """Its test scores under the confirmation's seeds; computed now where the search did not confirm it."""
        return self.study.scored(self.record, "confirm")

    @property
    def out_of_fold(self) -> bool:
        """Whether there are predictions of the training rows; from outside there may be none."""
        return not isinstance(self.record, BaselineRecord) or bool(self.record.values)

    @cached_property
    def searched(self) -> Scored:
        """Its scores in the search."""
        return self.study.scored(self.record, "search")

    def to_json(self) -> dict[str, Any]:
        """What it is, as JSON values."""
        return {
            "label": self.label,
            "study": self.study.name,
            "trial": self.record.id,
            "run_id": self.record.run_id,
            "candidate": self.subject.model_dump(mode="json"),
            "latency_ms": self.record.metrics["latency_ms"],
        }


@dataclass(frozen=True)
class Named:
    """What a user named: `trials` of a `study` (or a cascade or baseline of it) by role, found before any data."""

    label: str
    study: str
    trials: Mapping[str, Selected]

    def sides(self, opened: Open) -> dict[str, Contender]:
        """The same with the study opened."""
        study = opened(self.study)
        return {
            role: Contender(f"{self.label}:{role}" if role else self.label, study, record)
            for role, record in self.trials.items()
        }


def find(text: str, home: Path, within: str | None = None) -> Named:
    """What `text` names, looked up in the journals alone.

    `text` is a study (its candidates that play a role), ``STUDY:best``, ``STUDY:12``, ``STUDY:cascade-1`` or
    ``STUDY:tfidf`` (one of its candidates), the id of a run in MLflow, or models joined by commas (the best scored
    candidate of exactly these, `within` a study).

    Raises:
        BenchError: nothing has that name.
    """
    known = study_names(home)
    if text in known:
        journal, request = searched(home, text)
        return Named(text, text, {which: choose(text, journal, request, which) for which in CHOICES})
    name, separator, which = text.partition(":")  # which no study's name has, and the names of baselines may
    if separator and name in known:
        return Named(text, name, {"": choose(name, *searched(home, name), which)})
    for each in known:
        journal = read(home, each)
        runs: list[Selected] = [*journal.of("complete"), *by_name(journal).values()]
        for record in runs:
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
    raise nothing_named(text, home)


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
