"""A searched study with all that it stands on: what a search gives, and what `reopen` builds from the journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.cost import ModelCost
from bench.datasets.dataset import Dataset
from bench.evaluation.ask import Phase
from bench.evaluation.limits import Limits, in_words, limits
from bench.evaluation.scoring import Scored, Scorer
from bench.evaluation.sureness import Sureness
from bench.material import Material
from bench.progress import Progress
from bench.screening.table import SeenTable
from bench.study.baselines import baselines
from bench.study.cascades import CascadeRecord, Chosen, Selected, chosen, confirmed, searched
from bench.study.columns import SearchColumn, search_columns
from bench.study.deciding import Deciding
from bench.study.decision import Decision
from bench.study.drops import Lazy, lazy
from bench.study.entry import Entry
from bench.study.journal import Journal
from bench.study.named import choose
from bench.study.result import cascades_json, entry_json
from bench.study.roles import RECOMMENDED, role
from bench.study.screen import screened
from bench.study.selection import Recommendation, selection
from bench.study.settings import SearchRequest
from bench.study.sureness import sureness_of
from bench.study.writing import tracked
from bench.tasks import TASKS
from bench.tracking import TrackedStudy


@dataclass(frozen=True)
class Session:
    """The search that gave a study: where its time went, in seconds by phase, and why it stopped before its end.

    `exhausted`: the space has no further candidate. `untracked`: why the tracking store lacks something of the study.
    """

    seconds: Mapping[str, float]
    stopped: str | None = None
    exhausted: bool = False
    tracking_uri: str | None = None
    parent_run_id: str | None = None
    untracked: str | None = None


COMPUTED = ("decision", "limits", "selection", "sureness")
"""What a study computes when it is first asked for, which takes its time."""


@dataclass(frozen=True, repr=False)
class Study:
    """A study whose `front`, `baselines` and `cascades` are confirmed.

    The front is that of the trials and the baselines; the cascades stand on the front of all. `session` is None where
    the study was opened again. `home` is where its journal lies, for commands that name it.
    """

    name: str
    request: SearchRequest
    journal: Journal
    material: Material
    costs: Mapping[str, ModelCost]
    scorer: Scorer
    front: Sequence[Entry]
    baselines: Sequence[Entry]
    cascades: Sequence[Entry] = ()
    session: Session | None = None
    home: Path | None = None

    def __repr__(self) -> str:
        """Its name and how far it is: what it stands on holds all texts."""
        return f"<Study '{self.name}' of {self.material.dataset.name}: {self.journal.tried} candidates tried>"

    @property
    def trials(self) -> dict[str, int]:
        """How many candidates were asked for, how many were tried (which the next three add up to), and what was not.

        A trial that a kill broke off is no failed one: it was tried again.
        """
        return {
            "requested": self.request.trials,
            "tried": self.journal.tried,
            "complete": len(self.journal.of("complete")),
            "pruned": len(self.journal.of("pruned")),
            "failed": len(self.journal.of("failed")),
            "infeasible": len(self.journal.of("infeasible")),
            "repeats": len(self.journal.of("repeat")),
        } | ({} if self.session is None else {"exhausted": self.session.exhausted})

    @property
    def screening(self) -> SeenTable | None:
        """What was seen of representations before any candidate was tried; None where the study does not screen."""
        return screened(self.journal)

    @property
    def lazy(self) -> Lazy | None:
        """What was dropped before all rows were extracted; None where nothing was to be."""
        return lazy(self.journal)

    @property
    def considered(self) -> Chosen | None:
        """What cascades were looked for, and which were chosen; None where none were looked for."""
        return chosen(self.journal)

    @cached_property
    def selection(self) -> Recommendation:
        """Which candidate is the best, what that is worth, what cannot be told apart from it, and which to take."""
        return selection(self.journal, self.scorer, self.request.space.objectives)

    @cached_property
    def sureness(self) -> Sureness | None:
        """How sure the recommended candidate may be; None where it has no probabilities of rows out of fold."""
        return sureness_of(self, self.choose(RECOMMENDED))

    @cached_property
    def decision(self) -> Decision:
        """What to ship and why, in words; the recommended candidate is trained on half of its rows for it."""
        return Deciding(
            study=self.name,
            choice=self.selection,
            entries=[*self.front, *self.cascades, *self.baselines],
            scorer=self.scorer,
            objectives=self.request.space.objectives,
            find=self.choose,
            home=self.home,
            device=self.material.settings.device,
            sureness=self.sureness,
        ).run()

    @property
    def found(self) -> list[Entry]:
        """What the search found, the front and the cascades, the cheapest first."""
        cost = self.request.space.objectives.cost
        return sorted([*self.front, *self.cascades], key=lambda entry: cost.sign * -entry.value(cost))

    def closed(self, session: Session | None) -> "Study":
        """The same at its end: each entry has the run that was written of it after its confirmation.

        What was computed of the study stays, since no score depends on this.
        """
        made, cascades = baselines(self.journal), chosen(self.journal)
        runs = {} if made is None else {name: record.run_id for name, record in made.by_name.items()}
        runs |= {} if cascades is None else cascades.runs

        def known(entries: Sequence[Entry]) -> list[Entry]:
            return [
                replace(entry, run_id=runs[entry.name]) if entry.trial is None and entry.name in runs else entry
                for entry in entries
            ]

        front, others, below = map(known, (self.front, self.baselines, self.cascades))
        end = replace(self, session=session, front=front, baselines=others, cascades=below)
        end.__dict__.update({name: self.__dict__[name] for name in COMPUTED if name in self.__dict__})
        return end

    def whole(self, progress: Progress) -> "Study":
        """The same with all training rows that there are by now, to be trained on and not to be searched."""
        material = self.material.whole
        if material.dataset is self.material.dataset:
            return self
        return replace(self, material=material, scorer=material.scorer(self.request.protocol, progress))

    def scored(self, which: Selected, phase: Phase) -> Scored:
        """The scores of what was selected; of a cascade out of fold under thresholds without the scored rows."""
        if not isinstance(which, CascadeRecord):
            return self.scorer.scored(which.candidate, phase)
        if phase == "search":
            return searched(self.scorer, which)
        return confirmed(self.scorer, which.cascade).scored

    @property
    def protocol(self) -> str:
        """How candidates were scored, in a sentence."""
        return described(self.request, self.material.dataset)

    @cached_property
    def limits(self) -> Mapping[str, Limits]:
        """What bounds the scores of the search and of the test set."""
        return limits(self.material.dataset, self.request.protocol)

    @property
    def limits_in_words(self) -> tuple[str, ...]:
        """What of that a reader of the scores should know."""
        return in_words(self.limits)

    @property
    def columns(self) -> tuple[SearchColumn, ...]:
        """What of a candidate's search is shown in tables."""
        return tuple(search_columns(self.request.space.objectives))

    @property
    def tracked(self) -> TrackedStudy:
        """The study as a tracking store knows it."""
        return tracked(self.name, self.journal, self.request, self.material)

    @property
    def optimistic(self) -> bool:
        """Whether candidates were selected on the test set."""
        return self.request.protocol.name == "paper"

    def choose(self, which: str) -> Selected:
        """A scored trial by number, one of the front by a name of `CHOICES`, or a cascade or a baseline by its name.

        Test scores play no part.

        Raises:
            BenchError: there is no such scored trial, cascade or baseline.
        """
        found = self.selection if role(which) == RECOMMENDED else None
        return choose(self.name, self.journal, self.request, which, found)

    def to_json(self) -> dict[str, Any]:
        """The study as JSON values; what is unknown (a spread over one seed, a cost not measured) is null."""
        material, objectives, session = self.material, self.request.space.objectives, self.session or Session({})
        return {
            "study": self.name,
            "dataset": self.dataset_json(),
            "backend": material.settings.backend,
            "device": material.settings.device,
            "dtypes": {need.model.name: need.settings.dtype for need in material.needs},
            "protocol": self.protocol,
            "optimistic": self.optimistic,
            "trials": self.trials,
            "limits": {side: each.to_json() for side, each in self.limits.items()},
            "objectives": {"maximize": list(objectives.maximize), "minimize": list(objectives.minimize)},
            "front": [{"name": entry.name, **entry_json(entry)} for entry in self.front],
            "baselines": {entry.name: entry_json(entry) for entry in self.baselines},
            "selection": self.selection.to_json(),
            "sureness": None if self.sureness is None else self.sureness.model_dump(),
            "decision": self.decision.to_json(),
            **({} if (made := self.considered) is None else {"cascades": cascades_json(made, self.cascades)}),
            **({} if (seen := self.screening) is None else {"screening": seen.to_json()}),
            **({} if (lazily := self.lazy) is None else {"lazy": lazily.to_json()}),
            "seconds": {key: round(value, 3) for key, value in session.seconds.items()},
            "tracking_uri": session.tracking_uri,
            "parent_run_id": session.parent_run_id,
            "untracked": session.untracked,
            "models_absent": {model.name: model.reason for model in material.absent},
            "adopted": material.adopted,
            "truncated_texts": material.truncated,
            "warnings": list(material.warnings),
            "stopped": session.stopped,
        }

    def dataset_json(self) -> dict[str, Any]:
        """The data set that was searched."""
        dataset = self.material.dataset
        stats = dataset.stats
        return {
            "name": dataset.name,
            "rows": {"train": stats.train, "test": stats.test},
            "classes": stats.classes,
            **({} if dataset.rare is None else {"rare_classes": dataset.rare.to_json()}),
            "fingerprint": dataset.fingerprint,
            "source": dataset.source.model_dump(mode="json"),
        }


def described(request: SearchRequest, dataset: Dataset) -> str:
    """How candidates are scored, and what was done to classes before, in a sentence: it stands on every screen."""
    rules = request.protocol.describe(len(dataset.train))
    if TASKS[dataset.task].ranks:
        rules = (
            f"{request.protocol.repetitions} seeds over the {len(dataset.train)} training rows, held against each "
            "other; nothing is trained, and the test set is untouched by the search"
        )
    return rules if dataset.rare is None else f"{rules}; {dataset.rare.short}"
