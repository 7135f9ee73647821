"""A trial of a study as an MLflow model: fitted on all training rows, packed, opened again, timed and compared."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.cost import latency_ms, measure
from bench.datasets.load import strips
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.packaging import pipeline as files
from bench.packaging import weights
from bench.packaging.classifier import Classifier
from bench.packaging.mlmodel import save
from bench.packaging.pipeline import Agreement, Latency, PackagedModel, Pipeline
from bench.progress import SILENT, Progress
from bench.study.journal import TrialRecord
from bench.study.reopen import Study
from bench.study.trials import finite
from bench.tasks import TASKS
from bench.tracking.mlflow import MlflowTracker
from bench.tracking.record import ModelRecord, Tracker
from bench.version import __version__

CHECKED_ROWS = 200
# More labels that differ than ties and rounding explain.
TOLERATED = 0.02


@dataclass(frozen=True)
class Exported:
    """A package and where it is: a `folder`, or `uri` in a tracking store (and `version` of a registered model)."""

    pipeline: Pipeline
    uri: str
    folder: Path | None = None
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The export as JSON values."""
        latency, agreement = self.pipeline.latency, self.pipeline.agreement
        assert latency is not None
        assert agreement is not None
        return {
            "uri": self.uri,
            "folder": None if self.folder is None else str(self.folder),
            "registered_version": self.version,
            "study": self.pipeline.study,
            "trial": self.pipeline.trial,
            "chosen": self.pipeline.chosen,
            "candidate": self.pipeline.candidate.model_dump(mode="json"),
            "labels": list(self.pipeline.labels),
            "seed": self.pipeline.seed,
            "remote_code": self.pipeline.remote_code,
            "models": [
                {
                    "name": model.name,
                    "layers_loaded": model.deepest,
                    "layers": model.layers,
                    "weights": "packed" if model.packed else "by name",
                    "identity": dict(model.identity),
                }
                for model in self.pipeline.models
            ],
            "latency": latency.model_dump() | {"ratio": latency.ratio},
            "agreement": agreement.model_dump(),
            "search": dict(self.pipeline.search),
            "test": dict(self.pipeline.test),
        }


def export(
    study: Study,
    trial: TrialRecord,
    folder: Path,
    *,
    chosen: str,
    with_weights: bool = False,
    progress: Progress = SILENT,
) -> Exported:
    """Package a scored trial as an MLflow model in a new `folder`.

    Args:
        study: The study, opened again.
        trial: One of its scored trials (`Study.choose`).
        folder: Must not exist, or be empty.
        chosen: How the trial was chosen, which the package says.
        with_weights: Put the weights of the layers that are used into the package, which then needs no model beside
            it; else models are found by name and revision when the package is opened, and verified.
        progress: Who is told.

    Raises:
        BenchError: the folder is taken, the weights cannot be packed, or the package does not predict as the search.
    """
    refuse_taken(folder)
    with _scratch_beside(folder) as scratch:
        made = build(study, trial, scratch / "pipeline", chosen, with_weights, progress)
        save(scratch / "model", scratch / "pipeline", made)
        if folder.exists():
            folder.rmdir()
        (scratch / "model").rename(folder)
    return Exported(made, str(folder), folder)


def refuse_taken(folder: Path) -> None:
    """Raise BenchError where something lies at `folder`, which a package would replace."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BenchError(f"{folder} is there already: give --out a new folder.")


def log(
    study: Study,
    trial: TrialRecord,
    tracker: Tracker,
    *,
    chosen: str,
    register: str | None = None,
    alias: str | None = None,
    with_weights: bool = False,
    progress: Progress = SILENT,
) -> Exported:
    """As `export`, into a tracking store: a logged model of the trial's run, registered where a name is given.

    Raises:
        BenchError: as `export`; or the store lacks the trial's run, or refuses the name.
    """
    if not isinstance(tracker, MlflowTracker):
        raise BenchError("The study is opened without tracking, so that no store can take a model: give a folder.")
    run = tracker.trial_run(study.material.dataset.name, study.name, trial.candidate.fingerprint())
    if run is None:
        raise BenchError(
            f"The tracking store {tracker.uri} has no run of trial {trial.number} of the study '{study.name}': name "
            "the store that it was searched with (--tracking-uri), or export to a folder (--out)."
        )
    with tempfile.TemporaryDirectory(prefix="bench-export-") as name:
        pipeline = Path(name) / "pipeline"
        made = build(study, trial, pipeline, chosen, with_weights, progress)
        uri, version = tracker.models.log(
            run,
            _model_record(made),
            lambda target, place: save(target, pipeline, made, place),
            register=register,
            alias=alias,
        )
    return Exported(made, uri, version=version)


def _model_record(made: Pipeline) -> ModelRecord:
    assert made.latency is not None
    return ModelRecord(
        name=f"{made.study}-trial-{made.trial}",
        tags={"bench.study": made.study, "bench.trial": str(made.trial), "bench.chosen": made.chosen},
        metrics={"export_latency_ms": made.latency.measured_ms, "export_latency_ratio": made.latency.ratio},
    )


def build(
    study: Study, trial: TrialRecord, folder: Path, chosen: str, with_weights: bool, progress: Progress
) -> Pipeline:
    """Fit a trial and write its pipeline to a new `folder`; then open it again, time it and compare it.

    Raises:
        BenchError: the weights cannot be packed, or the pipeline does not predict as the search.
    """
    folder.mkdir(parents=True)
    protocol, dataset = study.evaluator.protocol, study.material.dataset
    seed = protocol.confirm_seeds[0]
    with progress.task(f"fit trial {trial.number} on {len(dataset.train)} rows", 1, "heads") as task:
        head = study.evaluator.fitted(trial.candidate, seed)
        scored = study.evaluator.confirm(trial.candidate)
        task.advance()
    models = []
    for name in trial.candidate.models:
        models.append(_model(study, trial, name))
        if with_weights:
            progress.say(f"pack the weights of {name}")
            last = models[-1]
            body = weights.pack(
                study.material.models[name], last.settings, last.deepest, folder, f"models/{len(models) - 1}"
            )
            models[-1] = last.model_copy(update={"packed": body})
    search = {key: value for key, value in trial.metrics.items() if key not in {"latency_ms", "memory_gb"}}
    made = Pipeline(
        bench=__version__,
        study=study.name,
        trial=trial.number,
        chosen=chosen,
        candidate=trial.candidate,
        task=dataset.task,
        labels=dataset.labels,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        rows=len(dataset.train),
        seed=seed,
        strip=strips(study.request.dataset.name),
        remote_code=any(study.material.models[name].remote_code for name in trial.candidate.models),
        models=tuple(models),
        search=finite(search),
        test=finite(scored.metrics()),
    )
    files.write(folder, made, head)
    progress.say(f"open the package: {', '.join(f'{model.name} to layer {model.deepest}' for model in models)}")
    classifier = Classifier.open(folder, study.material.store.home)
    try:
        latency = _latency(study, trial, classifier)
        agreement = _agreement(study, classifier, scored.repetitions[0].predicted)
    finally:
        classifier.close()
    made = made.model_copy(update={"latency": latency, "agreement": agreement})
    files.write(folder, made, head)
    return made


def _model(study: Study, trial: TrialRecord, name: str) -> PackagedModel:
    resolved = study.material.models[name]
    identity = study.material.identities[name]
    return PackagedModel(
        name=name,
        reference=_reference(resolved),
        layers=resolved.layers,
        deepest=max(source.layer for source in trial.candidate.sources if source.model == name),
        settings=study.material.settings.model_copy(update={"backend": identity["backend"]}),
        identity=identity,
    )


def _reference(model: ResolvedModel) -> str:
    """The name by which the model is found from any folder, at the commit that was searched."""
    if model.revision is not None:
        return f"{model.name.partition('@')[0]}@{model.revision}"
    return str(model.folder.resolve()) if Path(model.name).expanduser().is_dir() else model.name


def _latency(study: Study, trial: TrialRecord, classifier: Classifier) -> Latency:
    """Timed as the search timed its models, on the same texts; each model ends at the deepest layer that is used."""
    texts, seed = study.material.dataset.train.texts, study.evaluator.protocol.seed
    costs = {name: measure(opened, texts, seed=seed) for name, opened in classifier.backends.items()}
    return Latency(
        predicted_ms=latency_ms(study.costs, trial.candidate),
        measured_ms=latency_ms(costs, trial.candidate),
        texts=next(iter(costs.values())).texts,
    )


def _agreement(study: Study, classifier: Classifier, expected: np.ndarray) -> Agreement:
    """How many of a seeded sample of test rows get the label that the confirmation gave them.

    Raises:
        BenchError: fewer than rounding explains.
    """
    dataset = study.material.dataset
    count = min(CHECKED_ROWS, len(dataset.test))
    rows = np.random.default_rng(study.evaluator.protocol.seed).permutation(len(dataset.test))[:count]
    found = classifier.predict([dataset.test.texts[row] for row in rows]).labels
    known = TASKS[dataset.task].written(expected[rows], dataset.labels)
    same = sum(one == other for one, other in zip(known, found, strict=True))
    if count - same > TOLERATED * count:
        raise BenchError(
            f"The package gives {count - same} of {count} test rows another label than the search's evaluation did, "
            "more than rounding explains, so it is not written. Has the machine or a library changed since? "
            "Run the search again."
        )
    return Agreement(rows=count, same=same)


@contextmanager
def _scratch_beside(folder: Path) -> Iterator[Path]:
    """A folder on the same disk, so that what is made in it takes its name at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        yield Path(name)
