"""A study written down: each trial as it ends, the front and what it stands on when all is done."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

from bench.datasets.dataset import Dataset, Split
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Scored, Scorer
from bench.figures import drawn
from bench.metrics import finite
from bench.progress import Progress, attempted
from bench.specs import AnyCandidate, TextCandidate
from bench.study.baselines import baselines
from bench.study.baselines import keep as keep_baselines
from bench.study.baselines import run_key as baseline_key
from bench.study.cascades import chosen, keep, run_key
from bench.study.entry import Entry
from bench.study.figure import front_figure
from bench.study.journal import Journal
from bench.study.race import searched
from bench.study.record import TrialRecord
from bench.study.study import Study
from bench.study.tables import cascades_csv, costs_csv, entries_csv, screening_csv
from bench.study.writing import (
    as_json,
    candidate_params,
    cascade_record,
    score_tables,
    scores_first,
    steps_of,
    trial_record,
)
from bench.tracking import DESCRIPTION, Record, Tolerant
from bench.version import __version__

T = TypeVar("T")
LIBRARIES = ("torch", "transformers", "optuna", "mlflow", "scikit-learn", "numpy", "datasets", "safetensors")

JOURNAL = "bench.journal"
"""A tag of the parent run: how many trials the journal held, and the digest of the last."""
CLOSED = "bench.optimistic"
"""Another, that only a study's end writes: whether it selected on the test set."""
DROPS = "bench.lazy.drops"
"""Another: what a lazy search left out, in words."""


@dataclass(frozen=True)
class Logbook:
    """Writes a study to a tracker. A table that cannot be made is a warning, and its run lacks it."""

    tracker: Tolerant
    journal: Journal
    dataset: Dataset
    protocol: Protocol
    progress: Progress

    @property
    def _searched(self) -> Split:
        return self.dataset.train if self.protocol.name == "cv" else self.dataset.test

    def trial(self, record: TrialRecord, scored: Scored) -> str | None:
        """Write a finished trial and return its run's id; None where nothing is tracked, or the store fails."""
        if self.tracker.uri is None:
            return None
        self.tracker.set_tag(JOURNAL, self.journal.end)
        return self.tracker.log(trial_record(record, self._tables(f"trial {record.number}", scored, self._searched)))

    def check_end(self) -> None:
        """Tell of an end of the journal that the tracker has seen, and that is no longer there."""
        seen = self.tracker.tag(JOURNAL)
        if seen is not None and not self.journal.reaches(seen):
            self.progress.warn(
                f"The study's journal lacks its end: {self.tracker.uri} has seen it with {seen.partition(' ')[0]} "
                f"trials, and it holds {len(self.journal.records)}. What is missing is tried again."
            )

    def closed_at(self) -> str | None:
        """The end of the journal with which the tracker saw the study close; None where it has seen none."""
        return None if self.tracker.tag(CLOSED) is None else self.tracker.tag(JOURNAL)

    def catch_up(self, scorer: Scorer) -> None:
        """Write the trials that the tracker lacks: it is another than before, or there was none, or it failed."""
        if self.tracker.uri is None:
            return
        self.tracker.retry()
        runs, journal = {}, self.journal
        for record in [*journal.of("complete"), *journal.of("pruned")]:
            run_id = self.tracker.find(record.candidate.fingerprint())
            if run_id is None:
                run_id = self.trial(record, searched(scorer, record))
            if self.tracker.missing is not None:
                break
            if run_id is not None and run_id != record.run_id:
                runs[record.number] = run_id
        journal.move_runs(runs)

    def study(self, study: Study, closed: str | None = None) -> str | None:
        """Mark and confirm the front, write the baselines, and close the parent run with what the study stands on.

        Where it was `closed` before with the same trials (see `closed_at`), the seconds that they took stay: those of a
        run that tried nothing say nothing.

        Returns:
            Why the tracking store lacks something of the study; None where it lacks nothing, or nothing is tracked.
        """
        if self.tracker.uri is None:
            return None
        self._front(study.front, study.journal)
        self._cascades(study.cascades)
        self._baselines(study)
        files: dict[str, Callable[[], bytes]] = {
            "front.csv": lambda: entries_csv(study.front),
            "baselines.csv": lambda: entries_csv(study.baselines),
            "result.json": lambda: as_json(study.to_json()),
            "costs.csv": lambda: costs_csv(study.costs),
            "dataset.json": lambda: as_json({**study.dataset_json(), "warnings": list(study.material.warnings)}),
            "models.json": lambda: as_json(list(study.material.identities.values())),
            "space.json": lambda: as_json(study.request.space.model_dump(mode="json", exclude_none=True)),
            "environment.json": lambda: as_json(environment()),
        }
        if study.cascades:
            files["cascades.csv"] = lambda: cascades_csv(study.cascades)
        if (seen := study.screening) is not None:
            files["screening.csv"] = lambda: screening_csv(seen, study.costs)
        made = {name: self._made(name, make) for name, make in files.items()}
        self.tracker.attach({name: content for name, content in made.items() if content is not None})
        if images := drawn(lambda: _front_images(study), "the figure of the front", self.progress.warn):
            self.tracker.attach(images)
        counts = {f"trials_{key}": float(value) for key, value in study.trials.items()}
        spent = {} if study.session is None or closed == self.journal.end else study.session.seconds
        seconds = {f"seconds_{key}": value for key, value in spent.items()}
        tags = {CLOSED: str(study.optimistic).lower(), JOURNAL: self.journal.end}
        if (lazily := study.lazy) is not None:
            tags[DROPS] = "; ".join(map(str, lazily.drops)) or "none"
        if decision := self._made("the decision in words", study.decision.markdown):
            tags[DESCRIPTION] = decision
        scores, marks = _recommended(study)
        self.tracker.close(scores | counts | seconds, tags | marks)
        return self.tracker.missing

    def _made(self, name: str, make: Callable[[], T]) -> T | None:
        return attempted(make, f"{name} cannot be made, and the tracking store lacks it", self.progress.warn)

    def _tables(self, name: str, scored: Scored, split: Split) -> dict[str, bytes]:
        return self._made(f"the tables of {name}", lambda: score_tables(scored, self.dataset, split)) or {}

    def _front(self, entries: Sequence[Entry], journal: Journal) -> None:
        """Tag the front's runs and add their confirmation; runs that have left the front lose the tag."""
        now = {entry.trial for entry in entries if entry.trial is not None}
        before = set(journal.note("front") or ())
        journal.keep("front", sorted(before | now))  # a kill in between must not leave a tag that nobody knows of
        for trial in (before - now) & journal.records.keys():
            self.tracker.update(journal.records[trial].run_id, {}, {"bench.front": "false"})
        for entry in entries:
            if entry.trial is not None:
                self.tracker.update(entry.run_id, confirmed_metrics(entry), _front_tags(entry))
        if self.tracker.missing is None:
            journal.keep("front", sorted(now))

    def _cascades(self, entries: Sequence[Entry]) -> None:
        """Each cascade as a run of its own; one that has left the front loses the tag, where this store has it."""
        if (made := chosen(self.journal)) is None:
            return
        runs: dict[str, str] = dict(made.runs)
        for entry in entries:
            assert entry.cascade is not None
            tables = self._tables(entry.name, entry.confirmed, self.dataset.test)
            run = self.tracker.log(cascade_record(entry.cascade, confirmed_metrics(entry), tables))
            if run is not None:
                runs[entry.name] = run
                # those of a run that was there already may be of another front, over which p is corrected
                self.tracker.update(run, confirmed_metrics(entry), _front_tags(entry))
        standing = {entry.name for entry in entries}
        for fingerprint, name in made.names.items():
            if name in standing:
                continue
            # a run of another store, or one that was deleted, is none of this store's
            if (known := self.tracker.find(run_key(fingerprint))) is None:
                runs.pop(name, None)
            else:
                runs[name] = known
                self.tracker.update(known, {}, {"bench.front": "false"})
        if runs != made.runs:
            keep(self.journal, made.model_copy(update={"runs": runs}))

    def _baselines(self, study: Study) -> None:
        """Each baseline as a run of its own; one that is on the front is tagged, and loses the tag when it leaves it.

        The best searched single, and the head of others, may change: what a baseline is stands in its run's key.
        """
        made, on_front = baselines(self.journal), {entry.name: entry for entry in study.front if entry.trial is None}
        runs = {} if made is None else dict(made.runs)
        standing = set()
        for entry in study.baselines:
            subject, there = entry.candidate, on_front.get(entry.name)
            known = None if made is None else made.by_name.get(entry.name)
            key = baseline_key(entry.name, subject) if known is None else known.key
            tables = self._tables(entry.name, entry.confirmed, self.dataset.test)
            if subject is not None:
                tables["candidate.json"] = as_json(subject.model_dump(mode="json"))
            run = self.tracker.log(
                Record(
                    key=key,
                    name=entry.name,
                    params=candidate_params(subject),
                    metrics=finite(entry.search) | dict(entry.costs) | confirmed_metrics(entry),
                    steps=() if known is None else steps_of(known.values),
                    tags={"bench.state": "baseline", "bench.front": str(bool(there)).lower()} | _kind(subject),
                    artifacts=tables,
                )
            )
            if run is None:
                continue
            standing.add(key)
            runs[key] = run
            if there is not None:
                # p is corrected over a front that may be another now
                self.tracker.update(run, confirmed_metrics(there), {})
        for key in runs.keys() - standing:
            self.tracker.update(self.tracker.find(key), {}, {"bench.front": "false"})
        if made is not None and runs != made.runs:
            keep_baselines(self.journal, made.model_copy(update={"runs": runs}))


def _kind(subject: AnyCandidate | None) -> dict[str, str]:
    taught = isinstance(subject, TextCandidate) and subject.teacher is not None
    return {"bench.kind": "student" if taught else "baseline"}


def _recommended(study: Study) -> tuple[dict[str, float], dict[str, str]]:
    """What a study's own run shows of the recommended candidate: its scores by their names, and the verdict on it."""
    name = study.selection.recommended
    marks = {"bench.recommended": name}
    entry = next((each for each in study.found if name in (each.name, str(each.trial))), None)
    sure = {} if study.sureness is None else finite(study.sureness.metrics)
    if entry is None:  # another stands on the front that beats it by too little to be told from it
        return scores_first(dict(study.choose(name).metrics) | sure), marks
    scores = finite(entry.search) | confirmed_metrics(entry) | sure | dict(entry.costs)
    return scores, marks | {"bench.verdict": _front_tags(entry)["bench.verdict"]}


def _front_images(study: Study) -> dict[str, bytes]:
    figure = front_figure(
        study.journal.of("complete"),
        study.front,
        study.baselines,
        study.request.space.objectives,
        f"{study.name}: {study.protocol}",
        study.cascades,
        study.selection,
    )
    return {"front.png": figure.png(), "front.svg": figure.svg()}


def _front_tags(entry: Entry) -> dict[str, str]:
    """What a run of the front is marked with; `single`: one of the single models that others are held against."""
    return {"bench.front": "true", "bench.verdict": "single" if entry.comparison is None else entry.comparison.verdict}


def confirmed_metrics(entry: Entry) -> dict[str, float]:
    """Metrics of the confirmation, named `confirm_…`."""
    metrics = {f"confirm_{key}": value for key, value in finite(entry.over_seeds).items()}
    name = entry.objectives.kept[0].name
    metrics |= {f"confirm_{name}_low": entry.interval[0], f"confirm_{name}_high": entry.interval[1]}
    if entry.comparison is not None:
        metrics |= {"confirm_difference": entry.comparison.difference, "confirm_p": entry.comparison.p}
        for each in entry.comparison.by_measure:
            metrics |= {
                f"confirm_{each.measure}_difference": each.value,
                f"confirm_{each.measure}_resolvable": each.resolvable,
            }
    return finite(metrics)


def environment() -> dict[str, Any]:
    """What the numbers were computed with."""
    import torch

    return {
        "bench": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        **{name: version(name) for name in LIBRARIES},
    }
