"""What was chosen of a study as a pipeline: fitted on all rows, packed, opened again, timed and compared."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.cascade import Cascade
from bench.cost import single_ms
from bench.datasets.load import strips
from bench.errors import BenchError
from bench.evaluation.inputs import stored
from bench.foreign import foreign_parts_of
from bench.heads import FittedHead
from bench.measures import LATENCY, cost_names
from bench.metrics import finite
from bench.models.resolve import ResolvedModel
from bench.packaging import pipeline as files
from bench.packaging import timing, weights
from bench.packaging.classifier import Classifier
from bench.packaging.pipeline import Agreement, Fitted, Latency, PackagedModel, PackagedPipeline
from bench.packaging.remembered import (
    CHARACTERS,
    DISTANCE,
    Distribution,
    Remembered,
    characters,
    f1_by_class,
    scores_of,
)
from bench.progress import Progress
from bench.specs import AnyCandidate, Source
from bench.study.baselines import BaselineRecord, all_costs
from bench.study.cascades import CascadeRecord, Selected
from bench.study.record import TrialRecord
from bench.study.study import Study
from bench.tasks import TASKS
from bench.version import __version__

CHECKED_ROWS = 200
# More labels that differ than ties and rounding explain.
TOLERATED = 0.02
REMEMBERED_ROWS = 5000
"""Training rows of which the package remembers how far they lie from the middle: they are read from the store."""


def build(
    study: Study, which: Selected, folder: Path, chosen: str, with_weights: bool, progress: Progress
) -> PackagedPipeline:
    """Fit what was selected and write its pipeline to a new `folder`; then open it again, time it and compare it.

    Raises:
        BenchError: the weights cannot be packed, or the pipeline does not predict as the search.
    """
    if getattr(which.subject, "outside", None) is not None:
        raise BenchError(f"Of '{which.title}' there are but predictions, from outside: nothing can be exported.")
    folder.mkdir(parents=True)
    study = study.whole(progress)
    protocol, dataset = study.scorer.protocol, study.material.dataset
    seed, subject = protocol.confirm_seeds[0], which.subject
    stages = subject.stages if isinstance(subject, Cascade) else (subject,)
    heads: list[Fitted] = []
    with progress.task(f"fit {which.title} on {len(dataset.train)} rows", len(stages), "heads") as task:
        for stage in stages:
            heads.append(study.scorer.fitted(stage, seed))
            task.advance()
        scored = study.scored(which, "confirm")
    models = []
    for name in subject.models:
        models.append(_model(study, subject.sources, name))
        if with_weights:
            progress.say(f"pack the weights of {name}")
            last = models[-1]
            body = weights.pack(
                study.material.models[name], last.settings, last.deepest, folder, f"models/{len(models) - 1}"
            )
            models[-1] = last.model_copy(update={"packed": body})
    measures = study.request.space.objectives.measures
    search = {key: value for key, value in which.metrics.items() if key not in cost_names()}
    made = PackagedPipeline(
        bench=__version__,
        study=study.name,
        trial=which.number if isinstance(which, TrialRecord) else None,
        cascade=which.name if isinstance(which, CascadeRecord) else None,
        baseline=which.name if isinstance(which, BaselineRecord) else None,
        chosen=chosen,
        candidate=subject,
        task=dataset.task,
        labels=dataset.labels,
        dataset=dataset.title,
        dataset_fingerprint=dataset.fingerprint,
        rows=len(dataset.train),
        seed=seed,
        strip=strips(study.request.dataset.name),
        remote_code=any(study.material.models[name].remote_code for name in subject.models),
        models=tuple(models),
        search=finite(search),
        test=finite(scored.metrics(measures)),
        plugins={name: source for stage in stages for name, source in foreign_parts_of(stage).items()},
        remembered=_remembered_of(study, which, heads),
    )
    files.write(folder, made, heads)
    progress.say(f"open the package: {', '.join(f'{model.name} to layer {model.deepest}' for model in models)}")
    trusted = study.material.settings.trust_remote_code
    classifier = Classifier.open(folder, study.material.store.home, trust_remote_code=trusted)
    try:
        latency = _latency(study, which, classifier)
        agreement = _agreement(study, classifier, scored.repetitions[0].predicted)
    finally:
        classifier.close()
    made = made.model_copy(update={"latency": latency, "agreement": agreement})
    files.write(folder, made, heads)
    return made


def _model(study: Study, sources: Iterable[Source], name: str) -> PackagedModel:
    resolved = study.material.models[name]
    identity = study.material.identities[name]
    return PackagedModel(
        name=name,
        reference=_reference(resolved),
        layers=resolved.layers,
        deepest=max(source.layer for source in sources if source.model == name),
        settings=study.material.settings_of(name).model_copy(update={"backend": identity["backend"]}),
        identity=identity,
    )


def _reference(model: ResolvedModel) -> str:
    """The name by which the model is found from any folder, at the commit that was searched."""
    if model.revision is not None:
        return f"{model.name.partition('@')[0]}@{model.revision}"
    return str(model.folder.resolve()) if Path(model.name).expanduser().is_dir() else model.name


def _latency(study: Study, which: Selected, classifier: Classifier) -> Latency:
    texts = [study.material.dataset.test.texts[row] for row in _checked(study)]
    predicted = which.metrics[LATENCY.name]
    if isinstance(which, CascadeRecord):
        return timing.end_to_end(classifier, texts, predicted, expected=which.reached)
    alone = single_ms(all_costs(study.journal, study.costs), which.candidate)
    return timing.end_to_end(classifier, texts, predicted, alone)


def _checked(study: Study) -> list[int]:
    """A seeded sample of the test rows."""
    count = len(study.material.dataset.test)
    rows: list[int] = np.random.default_rng(study.scorer.protocol.seed).permutation(count)[:CHECKED_ROWS].tolist()
    return rows


def _agreement(study: Study, classifier: Classifier, expected: np.ndarray) -> Agreement:
    """How many of a seeded sample of test rows get the label that the confirmation gave them.

    Raises:
        BenchError: fewer than rounding explains.
    """
    dataset = study.material.dataset
    rows = _checked(study)
    count = len(rows)
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


def _remembered_of(study: Study, which: Selected, heads: Sequence[Fitted]) -> Remembered:
    """What is remembered for what was selected, whose `heads` were trained under the first seed of the confirmation."""
    dataset, seed = study.material.dataset, study.scorer.protocol.seed
    found = study.scored(which, "confirm").repetitions[0].predictions
    task, train = TASKS[dataset.task], dataset.train
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:REMEMBERED_ROWS])
    first = which.subject.stages[0] if isinstance(which.subject, Cascade) else which.subject
    logs = found.log_probabilities
    return Remembered(
        rows=len(found.truth),
        scores=scores_of(found, study.request.space.objectives.measures, seed),
        by_class=f1_by_class(found, len(dataset.labels), seed) if task.by_class else (),
        confusion=tuple(map(tuple, found.scores.confusion.tolist())) if task.by_class else (),
        classes=tuple(np.bincount(train.labels, minlength=len(dataset.labels)).tolist()) if task.by_class else (),
        rare={} if dataset.rare is None else dict.fromkeys(dataset.rare.classes, dataset.rare.merged),
        units={
            side: len(np.unique(split.groups)) / len(split)
            for side, split in (("train", dataset.train), ("test", dataset.test))
        },
        inputs={
            CHARACTERS: Distribution.of(characters(train.texts)),
            DISTANCE: Distribution.of(_distances(study, first, heads[0], rows)),
        },
        confidence=None if logs is None else Distribution.of(np.exp(logs.max(1))),
    )


def _distances(study: Study, stage: AnyCandidate, head: Fitted, rows: np.ndarray) -> np.ndarray:
    """Of some training rows, from their states in the store; of test texts, where training texts have no distance."""
    if not isinstance(head, FittedHead):
        return head.distances(study.material.dataset.test.texts)
    features, locate = study.material.features(rows.tolist()), stored(study.material.shelves)
    return head.distances([features.train(locate(source)) for source in stage.sources])
