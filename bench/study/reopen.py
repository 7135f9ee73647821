"""A study that was searched, opened again to be looked at and used: nothing in its journal is changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.backends.resolution import applying
from bench.cost import ModelCost
from bench.errors import BenchError, nearest
from bench.evaluation.scoring import Scorer
from bench.front import knee
from bench.material import Material
from bench.progress import SILENT, Progress
from bench.store import Store
from bench.study.confirm import Confirmation, Entry, front
from bench.study.journal import Journal, TrialRecord, check_name, read, same_settings
from bench.study.run import kept_costs, prepare
from bench.study.settings import SearchRequest

CHOICES = {
    "knee": "where the front bends most between score and cost",
    "best-f1": "the best first objective of the front",
    "cheapest": "the front's cheapest candidate",
}


@dataclass(frozen=True)
class Study:
    """A finished study with everything that it stands on. `front` and `baselines` are confirmed."""

    name: str
    request: SearchRequest
    journal: Journal
    material: Material
    costs: Mapping[str, ModelCost]
    scorer: Scorer
    front: list[Entry]
    baselines: list[Entry]

    def choose(self, which: str) -> TrialRecord:
        """A scored trial by number, or one of the front by a name of `CHOICES`; test scores play no part.

        Raises:
            BenchError: there is no such scored trial.
        """
        return choose(self.name, self.journal, self.request, which)


def reopen(home: Path, name: str, store: Store, progress: Progress = SILENT, trial: str | None = None) -> Study:
    """Open a searched study: its data is loaded and compared with what was searched, its front is confirmed.

    Everything is read back from the store; what is no longer there is computed again. A `trial` that will be asked for
    (see `Study.choose`) is looked up first, so that a mistyped one costs nothing.

    Raises:
        BenchError: there is no such study or `trial`, it has no scored trial, or data or models are no longer what was
            searched.
    """
    journal, request = searched(home, name)
    if trial is not None:
        choose(name, journal, request, trial)
    prepared = prepare(request, store, progress)
    same_settings(journal.study, name, prepared.settings)
    material, costs = prepared.material, kept_costs(journal)
    material.extract(progress)
    scorer = material.scorer(request.protocol, progress)
    confirmation = Confirmation(scorer, material.models, costs, request.space.objectives, progress)
    entries, baselines = confirmation.run(journal)
    return Study(name, request, journal, material, costs, scorer, entries, baselines)


def searched(home: Path, name: str) -> tuple[Journal, SearchRequest]:
    """The journal of a study with scored trials, and what was asked of its search; no data is loaded.

    Raises:
        BenchError: there is no such study, or it has no scored trial.
    """
    check_name(name)
    journal = read(home, name)
    kept = journal.note("request")
    if kept is None:
        raise BenchError(f"The study '{name}' was made by an earlier bench: run its search again, which adds to it.")
    if not journal.of("complete"):
        raise BenchError(f"The study '{name}' has no scored trial yet: let its search go on.")
    request = SearchRequest.model_validate(kept)
    changes = {"study": name, "models": tuple(journal.settings["models"]), "extraction": applying(request.extraction)}
    return journal, request.model_copy(update=changes)


def trial_names(home: Path, name: str) -> list[str]:
    """What `choose` takes for a study; no number where there is no such study."""
    try:
        return [*CHOICES, *(str(record.number) for record in read(home, name).of("complete"))]
    except BenchError:
        return [*CHOICES]


def choose(name: str, journal: Journal, request: SearchRequest, which: str) -> TrialRecord:
    """A scored trial of the study `name`, by number or by a name of `CHOICES` (see `Study.choose`)."""
    if which in CHOICES:
        return _of_front(journal, request, which)
    scored = {str(record.number): record for record in journal.of("complete")}
    if which not in scored:
        shown = ", ".join(str(record.number) for record in front(journal, request.space.objectives))
        raise BenchError(
            f"'{which}' is no scored trial of the study '{name}'. Give a number (the front has {shown}) or a word: "
            f"{nearest(which, CHOICES)}"
        )
    return scored[which]


def _of_front(journal: Journal, request: SearchRequest, which: str) -> TrialRecord:
    objectives = request.space.objectives
    records = front(journal, objectives)
    ends = (0, len(objectives.names) - 1)
    points = [[record.metrics[objectives.names[place]] for place in ends] for record in records]
    directions = [objectives.directions[place] for place in ends]
    if which == "knee":
        return records[knee(points, directions)]
    place = ("best-f1", "cheapest").index(which)
    sign = 1 if directions[place] == "maximize" else -1
    return max(zip(points, records, strict=True), key=lambda each: sign * each[0][place])[1]
