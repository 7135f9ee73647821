"""What a baseline's candidates are and score now, computed anew: nothing is read from a store that was there before."""

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.datasets.dataset import Dataset, Split
from bench.datasets.sides import Sides
from bench.errors import BenchError
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator, Texts
from bench.evaluation.features import Features
from bench.evaluation.inputs import stored
from bench.evaluation.protocol import folds
from bench.evaluation.rows import sides
from bench.evaluation.scoring import Scored, Scorer
from bench.extraction import check_disk, extract, survey
from bench.files import sweep, temporary_folder
from bench.gate.baseline import (
    MOST_ROWS,
    Baseline,
    CandidateScores,
    Data,
    ModelFacts,
    Pinned,
    RowsDigest,
    describe,
    slots_by_model,
)
from bench.gate.latency import relative_latency
from bench.gate.rows import PinnedRows, score_by, written
from bench.heads import DivergedError
from bench.identity import PINNED, KeyGroup, only
from bench.material import Material, gather
from bench.measures import Predictions
from bench.models.package import CONVERTED
from bench.progress import SILENT, Progress
from bench.proof import open_model
from bench.specs import AnyCandidate, TextCandidate
from bench.store import Shelf, Store, slot
from bench.store.leftovers import CHECKS
from bench.tasks import TASKS
from bench.wanted import Wanted

DIGITS = 6
SKETCH = 4
"""Rows, and dimensions of each, whose values are kept of every source."""
PACKAGES = ("bench", "numpy", "scikit-learn", "torch", "transformers")


@contextmanager
def fresh_store(usual: Path) -> Iterator[Store]:
    """A store in a folder of the `usual` one that is deleted afterwards.

    A check that read yesterday's hidden states, evaluations or digests would find nothing changed. Only models that
    were converted to safetensors are shared: they are found by the digest of what they were made from. What a kill
    leaves behind is deleted by the next check.
    """
    checks, converted = usual / CHECKS, usual / CONVERTED
    for folder in (checks, converted):
        folder.mkdir(parents=True, exist_ok=True)
    sweep(checks)
    with temporary_folder(checks / "check") as folder:
        (folder / CONVERTED).symlink_to(converted.resolve(), target_is_directory=True)
        yield Store(folder)


def look(
    pinned: Pinned,
    recorded: Mapping[str, Mapping[str, Any]],
    store: Store,
    progress: Progress = SILENT,
    *,
    trust_remote_code: bool = False,
    placed: Sides | None = None,
) -> Material:
    """Load the data and resolve the models; code of theirs must be trusted, and what was `recorded` (by name).

    Raises:
        BenchError: data or models cannot be had, or there are more rows than a check should train on.
    """
    models = sorted(slots_by_model(pinned))
    # whatever a study has adopted, a gate that took rows for equal could not say what changed
    extraction = pinned.extraction.trusting(trust_remote_code).model_copy(update={"no_adopt": True})
    wanted = Wanted(
        pinned.dataset,
        models,
        extraction,
        recorded=recorded,
        placed=placed,
        forms=pinned.inputs,
        extracted=pinned.poolings,
    )
    material = gather(wanted, pinned.protocol.folds, store, progress)
    if (rows := len(material.dataset.train)) > MOST_ROWS:
        raise BenchError(
            f"{rows:,} training rows are more than a check trains on ({MOST_ROWS:,}): take a subset (`max_train`)."
        )
    return material


def data_of(dataset: Dataset) -> Data:
    """Sizes and fingerprints of the rows, without those that came since."""

    def rows(split: Split) -> RowsDigest:
        return RowsDigest(rows=len(split), contents=split.fingerprint)

    test, grown = rows(dataset.test), dataset.grown
    if grown is not None:
        test = RowsDigest(rows=test.rows - grown.rows["test"], contents=grown.test)
    return Data(train=rows(dataset.train), test=test, labels=len(dataset.labels))


def measure(pinned: Pinned, material: Material, progress: Progress = SILENT, *, kept: Path | None = None) -> Baseline:
    """Extract the training texts, take a sketch of the values, time the models, and score the candidates.

    References are scored where the store that has `kept` their predictions is given.

    Raises:
        BenchError: a model cannot be opened or run, or predictions of a reference are not there.
    """
    dataset = material.dataset
    models, shelves = {}, {}
    for name, slots in slots_by_model(pinned).items():
        models[name], shelves[name] = _model(material, name, slots, progress)
    train, test = sides(dataset, material.read)
    features = Features(
        train.by_view, test.by_view, {shelf.fingerprint: shelf for shelf in shelves.values()}.__getitem__
    )
    texts = Texts(dataset.train.texts, dataset.test.texts)
    evaluator = Evaluator(train, test, features, EvaluationCache(None), texts, material.teaching(progress))
    locate = stored({name: shelf.fingerprint for name, shelf in shelves.items()}, material.views)
    scorer = Scorer(dataset, pinned.protocol.protocol, evaluator, locate)
    with progress.task("train", len(pinned.candidates), "candidates") as task:
        scores = []
        for candidate in pinned.candidates:
            scores.append(_scores(scorer, candidate, pinned))
            task.advance()
    references = () if kept is None else tuple(_reference(scorer, each, pinned, kept) for each in pinned.references)
    return Baseline(
        pinned=pinned,
        software=software(),
        data=data_of(dataset),
        models=dict(models),
        scores=tuple(scores),
        rows=PinnedRows.of(dataset, pinned.protocol.protocol),
        references=references,
    )


def _model(material: Material, name: str, slots: set[str], progress: Progress) -> tuple[ModelFacts, Shelf]:
    model, texts = material.models[name], material.dataset.train.texts
    settings = material.settings_of(name)
    layers = sorted({int(each.partition(".")[0]) for each in slots})
    need = survey(model, settings, texts, material.store, layers)
    if unknown := sorted(each for each in slots if each.partition(".")[2] not in model.poolings):
        raise BenchError(f"Model '{name}' has no {unknown[0]}: its poolings are {', '.join(model.poolings)}.")
    check_disk([need], material.store)
    progress.say(f"load {name}")
    opened = open_model(model, settings, material.store.home, progress)
    try:
        extract(need, texts, progress, backend=opened)
        latency = relative_latency(opened, texts, layers)
    finally:
        opened.close()
    keys = need.keys(texts)
    need.shelf.refresh()
    tokens, truncated = need.shelf.counts(keys)
    places = _spread(len(texts)), _spread(model.width)
    return ModelFacts(
        identity=only(need.shelf.identity, *PINNED),
        environment=only(need.shelf.identity, KeyGroup.ENVIRONMENT),
        texts=need.texts,
        tokens=int(tokens.sum()),
        truncated=int(truncated.sum()),
        latency=round(latency, 3),
        places={"rows": places[0], "dimensions": places[1]},
        values={each: _sketch(need.shelf, keys, each, *places) for each in sorted(slots)},
    ), need.shelf


def _spread(size: int) -> tuple[int, ...]:
    """Up to `SKETCH` positions, the middles of equal parts of 0 … size − 1."""
    count = min(SKETCH, size)
    return tuple(int(size * (2 * part + 1) / (2 * count)) for part in range(count))


def _sketch(
    shelf: Shelf, keys: Sequence[bytes], name: str, rows: Sequence[int], dimensions: Sequence[int]
) -> tuple[tuple[float, ...], ...]:
    layer, _, pooling = name.partition(".")
    values = shelf.matrix([keys[row] for row in rows], slot(int(layer), pooling))[:, list(dimensions)].double().tolist()
    return tuple(tuple(float(f"{value:.{DIGITS}g}") for value in row) for row in values)


def _scores(scorer: Scorer, candidate: AnyCandidate, pinned: Pinned) -> CandidateScores:
    try:
        return _scored(scorer, scorer.scored(candidate, "search"), describe(candidate), pinned)
    except DivergedError:
        return CandidateScores(name=describe(candidate), f1=(), folds=())


def _reference(scorer: Scorer, candidate: TextCandidate, pinned: Pinned, store: Path) -> CandidateScores:
    """The scores of predictions from outside, which the store keeps by what was asked in the study."""
    asks, cache = scorer.asks(candidate, "search"), EvaluationCache(store)
    answers = [(ask, outcome) for ask in asks if (outcome := cache.get(ask)) is not None]
    if len(answers) < len(asks):
        raise BenchError(
            f"The predictions of '{candidate.classifier}' that the study kept are not of these training rows: leave it "
            "out, take all rows, or search again with them."
        )
    return _scored(scorer, scorer.marked(answers), candidate.classifier, pinned)


def _scored(scorer: Scorer, found: Scored, name: str, pinned: Pinned) -> CandidateScores:
    repetitions, dataset, protocol = found.repetitions, scorer.dataset, scorer.protocol
    task, train = TASKS[dataset.task], dataset.train
    score = score_by(pinned.score, pinned.protocol.classes)

    def value(said: Predictions) -> float:
        return round(score(said), DIGITS)

    if math.isnan(score(repetitions[0].predictions)):
        raise BenchError(
            f"{name} says classes without probabilities, so that it has no {pinned.score.title}: leave it out, or "
            "compare by another `measure`."
        )
    by_fold = tuple(
        tuple(
            value(repetition.predictions.at(part.predict))
            for part in folds(task.fold_strata(train.labels), train.groups, protocol, repetition.seed)
        )
        for repetition in repetitions
    )
    whole = tuple(value(repetition.predictions) for repetition in repetitions)
    beside = {
        each.name: tuple(round(repetition.predictions.value(each), DIGITS) for repetition in repetitions)
        for each in pinned.beside
    }
    # rows come and go in files of classes (see `PinnedRows.of`)
    told = dataset.sides is not None and task.by_class
    by_row = tuple(written(each.predicted) for each in repetitions) if told else ()
    return CandidateScores(name=name, f1=whole, folds=by_fold, predicted=by_row, beside=beside)


def software() -> dict[str, str]:
    """Versions of what computes, and the kind of machine."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}",
    }
