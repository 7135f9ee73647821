"""What was chosen of a study as a pipeline: fitted on all rows, packed, opened again, timed and compared."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bench.cascade import Cascade
from bench.cost import single_ms
from bench.datasets.load import strips
from bench.errors import BenchError
from bench.evaluation.rule import LIKELIEST, Rule
from bench.evaluation.sureness import Sureness, at_temperature
from bench.foreign import foreign_parts_of
from bench.heads import FittedHead
from bench.measures import LATENCY, Predictions, cost_names
from bench.metrics import finite
from bench.models.resolve import ResolvedModel
from bench.packaging import pipeline as files
from bench.packaging import timing, weights
from bench.packaging.classifier import Classifier, require_classes
from bench.packaging.graphs.manifest import AskedGraphs
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
from bench.packaging.sure import Ruled, under_rule
from bench.progress import Progress
from bench.specs import AnyCandidate, Source
from bench.study.baselines import BaselineRecord, all_costs
from bench.study.cascades import CascadeRecord, Selected
from bench.study.record import TrialRecord
from bench.study.study import Study
from bench.study.sureness import sureness_of
from bench.tasks import TASKS
from bench.version import __version__

CHECKED_ROWS = 200
# More labels that differ than ties and rounding explain.
TOLERATED = 0.02
ROUNDING = 1e-3
"""Of a label that is a measure, the share by which another batch may change it."""
REMEMBERED_ROWS = 5000
"""Training rows of which the package remembers how far they lie from the middle: they are read from the store."""


def build(
    study: Study,
    which: Selected,
    folder: Path,
    chosen: str,
    with_weights: bool,
    progress: Progress,
    rule: Rule = LIKELIEST,
    graphs: AskedGraphs | None = None,
) -> PackagedPipeline:
    """Fit what was selected and write its pipeline to a new `folder`; then open it again, time it and compare it.

    Where `graphs` are asked for, they are made of it, into its folder (see `bench.packaging.graphs`).

    Raises:
        BenchError: the weights cannot be packed, the rule is none for its labels, the pipeline does not predict as
            the search, or no graph can be made of it.
    """
    if getattr(which.subject, "outside", None) is not None:
        raise BenchError(f"Of '{which.title}' there are but predictions, from outside: nothing can be exported.")
    require_classes(rule, study.material.dataset.task)
    if graphs is not None:
        # the exporters are imported where they are used
        from bench.packaging.graphs.build import add_graphs, refuse_unsuited

        refuse_unsuited(study.material.dataset, graphs)
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
            models[-1] = _packed(study, models, folder, progress)
    sure = sureness_of(study, which)
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
        remembered=_remembered_of(study, which, heads, sure),
        sureness=sure,
        reject_below=rule.reject_below,
        costs=None if rule.costs is None else rule.costs.values,
        answered=None if rule.plain else _answered(study, which, sure, rule),
        fields=dataset.fields,
    )
    files.write(folder, made, heads)
    progress.say(f"open the package: {', '.join(f'{model.name} to layer {model.deepest}' for model in models)}")
    trusted = study.material.settings.trust_remote_code
    classifier = Classifier.open(folder, study.material.store.home, trust_remote_code=trusted)
    try:
        latency = _latency(study, which, classifier)
        agreement = _agreement(study, classifier, scored.repetitions[0].predicted)
        if graphs is not None:
            add_graphs(
                folder, made, heads, study.material, classifier.answers, _tested(study, which, sure), graphs, progress
            )
    finally:
        classifier.close()
    made = made.model_copy(update={"latency": latency, "agreement": agreement})
    files.write(folder, made, heads)
    return made


def _model(study: Study, sources: Iterable[Source], name: str) -> PackagedModel:
    resolved = study.material.models[name]
    identity = study.material.identities[name]
    same = {other for other in study.material.models if study.material.models[other].base == resolved.base}
    return PackagedModel(
        name=name,
        reference=_reference(resolved),
        layers=resolved.layers,
        # under all forms of its input: its weights are packed and opened once
        deepest=max(source.layer for source in sources if source.model in same),
        settings=study.material.settings_of(name).model_copy(update={"backend": identity["backend"]}),
        identity=identity,
        view=resolved.view,
        pooled=resolved.pooled,
        framing=resolved.framing,
    )


def _packed(study: Study, models: Sequence[PackagedModel], folder: Path, progress: Progress) -> PackagedModel:
    """The last of `models` with its weights in the package, which are there already where another form has them."""
    last, resolved = models[-1], study.material.models[models[-1].name]
    known = [each.packed for each in models[:-1] if (each.reference, each.settings) == (last.reference, last.settings)]
    if known and known[0] is not None:
        return last.model_copy(update={"packed": known[0].model_copy(update={"prompt": resolved.prompt})})
    progress.say(f"pack the weights of {resolved.base}")
    place = f"models/{len(models) - 1}"
    return last.model_copy(update={"packed": weights.pack(resolved, last.settings, last.deepest, folder, place)})


def _reference(model: ResolvedModel) -> str:
    """The name by which the model is found from any folder, at the commit that was searched."""
    if model.revision is not None:
        return f"{model.base.partition('@')[0]}@{model.revision}"
    return str(model.folder.resolve()) if Path(model.base).expanduser().is_dir() else model.base


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
    known, now = expected[rows], TASKS[dataset.task].numbers(found, dataset.labels)
    # numbers that are measures round, as the scores do from which classes follow
    alike = np.isclose(now, known, rtol=ROUNDING) if np.issubdtype(now.dtype, np.floating) else now == known
    same = int(alike.reshape(count, -1).all(1).sum())
    if count - same > TOLERATED * count:
        raise BenchError(
            f"The package gives {count - same} of {count} test rows another label than the search's evaluation did, "
            "more than rounding explains, so it is not written. Has the machine or a library changed since? "
            "Run the search again."
        )
    return Agreement(rows=count, same=same)


def _remembered_of(study: Study, which: Selected, heads: Sequence[Fitted], sure: Sureness | None) -> Remembered:
    """What is remembered for what was selected, whose `heads` were trained under the first seed of the confirmation."""
    dataset, seed = study.material.dataset, study.scorer.protocol.seed
    found = _tested(study, which, sure)
    task, train = TASKS[dataset.task], dataset.train
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:REMEMBERED_ROWS])
    first = which.subject.stages[0] if isinstance(which.subject, Cascade) else which.subject
    logs = found.log_probabilities
    return Remembered(
        rows=len(found.truth),
        scores=scores_of(found, study.request.space.objectives.measures, seed),
        by_class=f1_by_class(found, len(dataset.labels), seed) if task.by_class or task.by_label else (),
        confusion=tuple(map(tuple, found.scores.confusion.tolist())) if task.by_class else (),
        classes=tuple(task.names_rows(train.labels, len(dataset.labels))),
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


def _answered(study: Study, which: Selected, sure: Sureness | None, rule: Rule) -> Ruled:
    """What the rule answers of the test rows, under the first seed of the confirmation, whose heads are packaged.

    Raises:
        BenchError: its answers have no probabilities.
    """
    found = _tested(study, which, sure)
    if found.log_probabilities is None:
        raise BenchError(f"{which.title.capitalize()} says no probabilities: leave out `reject_below` and `costs`.")
    return under_rule(found, rule, found.labels, study.request.space.objectives.kept)


def _tested(study: Study, which: Selected, sure: Sureness | None) -> Predictions:
    """What the packaged heads say of the test rows, at the temperature at which the package says it."""
    found = study.scored(which, "confirm").repetitions[0].predictions
    return found if sure is None else at_temperature(found, sure.temperature)


def _distances(study: Study, stage: AnyCandidate, head: Fitted, rows: np.ndarray) -> np.ndarray:
    """Of some training rows, from their states in the store; of test texts, where training texts have no distance."""
    if not isinstance(head, FittedHead):
        return head.distances(study.material.dataset.test.texts)
    features, locate = study.material.features(rows.tolist()), study.material.locate
    return head.distances([features.train(locate(source)) for source in stage.sources])
