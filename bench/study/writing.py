"""Trials and studies as MLflow records: flat, stable names, and tables that open anywhere."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.datasets.dataset import Dataset, Split
from bench.escaping import csv_file, shown_json
from bench.evaluation.scoring import Scored
from bench.material import Material
from bench.measures import cost_names
from bench.metrics import Counts, finite
from bench.specs import MLP, AnyCandidate, TextCandidate
from bench.study.cascades import Tested
from bench.study.journal import Journal
from bench.study.record import TrialRecord
from bench.study.settings import SearchRequest
from bench.tasks import TASKS
from bench.tracking import Record, TrackedStudy

NONE = "–"
"""The value of a parameter that a run has none of."""
PARAMS = (
    *("fusion", "models", "n_models", "n_sources", "head", "class_weight", "width", "hidden", "learning_rate"),
    *(f"source_{index}.{what}" for index in (1, 2, 3) for what in ("model", "layer", "pooling")),
)
"""What every run of a candidate has; one of more sources has those too."""


def steps_of(values: Mapping[str, Sequence[float]]) -> list[tuple[str, int, float]]:
    """Measures' values in each repetition as steps of a run; what is not a number is left out."""
    return [
        (name, step, value)
        for name, found in values.items()
        for step, value in enumerate(found)
        if math.isfinite(value)
    ]


def trial_record(record: TrialRecord, tables: Mapping[str, bytes]) -> Record:
    """A finished trial as one run: repetitions as steps, its `score_tables` as files."""
    return Record(
        key=record.key,
        name=f"trial-{record.number:04d}",
        params=candidate_params(record.candidate),
        metrics=scores_first(record.metrics) | {"seconds": record.seconds},
        steps=steps_of(record.values),
        tags={
            "bench.state": record.state,
            "bench.trial": str(record.number),
            "bench.front": "false",
            **({} if record.rung is None else {"bench.rung": record.rung}),
            **({} if record.given_up is None else {"bench.pruned": str(record.given_up)}),
        },
        artifacts={
            "candidate.json": as_json(record.candidate.model_dump(mode="json")),
            **tables,
        },
    )


def cascade_record(tested: Tested, confirmed: Mapping[str, float], tables: Mapping[str, bytes]) -> Record:
    """A cascade as one run, its `score_tables` as files; it counts for no trial."""
    record, cascade = tested.record, tested.record.cascade
    test = {f"confirm_{name}": value for name, value in tested.costs.items()}
    test |= {f"confirm_{name}_random_deferral": value for name, value in finite(tested.control).items()}
    for stage, (before, after) in enumerate(zip(record.reached, tested.reached, strict=True), start=2):
        test |= {f"reached_{stage}": before, f"confirm_reached_{stage}": after}
    return Record(
        key=record.key,
        name=record.name,
        params=candidate_params(None)
        | {
            "fusion": "cascade",
            "models": " + ".join(cascade.models),
            "n_models": len(cascade.models),
            "n_sources": len(cascade.sources),
            "head": " → ".join(head_of(stage) for stage in cascade.stages),
            "stages": " → ".join(record.stages),
            "thresholds": ", ".join(f"{value:g}" for value in cascade.thresholds),
        },
        metrics=scores_first(record.metrics) | dict(confirmed) | test,
        steps=[
            (name, step, value)
            for name, values in record.values.items()
            for step, value in enumerate(values)
            if math.isfinite(value)
        ],
        tags={"bench.state": "cascade", "bench.kind": "cascade", "bench.cascade": record.name, "bench.front": "true"},
        artifacts={"cascade.json": as_json(cascade.model_dump(mode="json")), **tables},
    )


def head_of(candidate: AnyCandidate) -> str:
    """The kind of head; of a text classifier, which is head and all, its name."""
    return candidate.classifier if isinstance(candidate, TextCandidate) else candidate.head.kind


def candidate_params(candidate: AnyCandidate | None) -> dict[str, str | int | float]:
    """A candidate as flat parameters, the same names in every run, so that runs line up in comparison views.

    What a candidate has none of, and all of a baseline that is none (None), is a dash: where one of several runs lacks
    a number, MLflow's parallel coordinates draw it at a value that no run has.
    """
    params: dict[str, str | int | float] = dict.fromkeys(PARAMS, NONE)
    if candidate is None:
        return params
    if isinstance(candidate, TextCandidate):
        return params | {"n_models": 0, "n_sources": 0, "head": head_of(candidate)}
    params |= {
        "fusion": candidate.fusion,
        "models": " + ".join(candidate.models),
        "n_models": len(candidate.models),
        "n_sources": len(candidate.sources),
        "head": candidate.head.kind,
    }
    if candidate.width is not None:
        params["width"] = candidate.width
    if isinstance(candidate.head, MLP):
        params |= {"hidden": candidate.head.hidden, "learning_rate": candidate.head.learning_rate}
    if (class_weight := getattr(candidate.head, "class_weight", None)) is not None:
        params["class_weight"] = class_weight
    for index, source in enumerate(candidate.sources, start=1):
        params |= {
            f"source_{index}.model": source.model,
            f"source_{index}.layer": source.layer,
            f"source_{index}.pooling": source.pooling,
        }
    return params


def scores_first(metrics: Mapping[str, float]) -> dict[str, float]:
    """The same with costs behind scores: MLflow's comparison begins with the first metric."""
    costs = {name: metrics[name] for name in cost_names() if name in metrics}
    return {name: value for name, value in metrics.items() if name not in costs} | costs


def score_tables(scored: Scored, dataset: Dataset, split: Split) -> dict[str, bytes]:
    """Each repetition's predictions and, where there are classes, the scores of each and the confusion, as files."""
    task = TASKS[dataset.task]
    found = _class_tables(scored, dataset) if task.by_class else _label_table(scored, dataset) if task.by_label else {}
    return found | {"predictions.parquet": predictions(scored, dataset, split)}


def _class_tables(scored: Scored, dataset: Dataset) -> dict[str, bytes]:
    """Per-class scores, and the confusion summed over repetitions."""
    first = scored.repetitions[0].scores
    names = [*dataset.labels, *dataset.test_only_labels][: len(first.support)]
    f1 = np.stack([repetition.scores.f1 for repetition in scored.repetitions])
    confusion = np.sum([repetition.scores.confusion for repetition in scored.repetitions], axis=0)
    per_class = (
        [name, int(support), *map(float, (values.mean(), values.min(), values.max()))]
        for name, support, values in zip(names, first.support, f1.T, strict=True)
    )
    return {
        "per_class.csv": csv_file(["class", "rows", "f1_mean", "f1_min", "f1_max"], per_class),
        "confusion.csv": csv_file(
            ["true \\ predicted", *names],
            ([name, *map(int, row)] for name, row in zip(names, confusion, strict=True)),
        ),
    }


def _label_table(scored: Scored, dataset: Dataset) -> dict[str, bytes]:
    """Scores of each label, where rows may have several."""
    counts = [Counts.of_sets(each.truth, each.predicted) for each in scored.predictions]
    names = [*dataset.labels, *dataset.test_only_labels][: len(counts[0].support)]
    f1 = np.stack([each.f1 for each in counts])
    rows = (
        [name, int(support), *map(float, (values.mean(), values.min(), values.max()))]
        for name, support, values in zip(names, counts[0].support, f1.T, strict=True)
    )
    return {"per_label.csv": csv_file(["label", "rows", "f1_mean", "f1_min", "f1_max"], rows)}


def predictions(scored: Scored, dataset: Dataset, split: Split) -> bytes:
    """Row id, label, and one column of predicted labels a repetition: out-of-fold, or of the test set."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    task, labels = TASKS[dataset.task], (*dataset.labels, *dataset.test_only_labels)

    def column(numbers: np.ndarray) -> Any:
        if task.by_class:
            return pa.DictionaryArray.from_arrays(numbers.astype(np.int32), pa.array(labels))
        return pa.array(task.written(numbers, labels))

    rows = scored.repetitions[0].rows
    said = column if (written := task.predicted) is None else lambda numbers: pa.array(written(numbers))
    columns = {"id": pa.array([split.ids[row] for row in rows]), "label": column(split.labels[rows])}
    columns |= {f"seed_{each.seed}": said(each.predicted) for each in scored.repetitions}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def as_json(value: Any) -> bytes:
    """A JSON file."""
    return (shown_json(json.dumps(value, indent=2, ensure_ascii=False)) + "\n").encode()


def tracked(name: str, journal: Journal, request: SearchRequest, material: Material) -> TrackedStudy:
    """A study as a tracking store knows it: by the id in its journal, and by what its numbers depend on."""
    params: dict[str, str | int | float] = {
        "dataset": material.dataset.name,
        "dataset_fingerprint": material.dataset.fingerprint,
        "train_rows": len(material.dataset.train),
        "test_rows": len(material.dataset.test),
        "models": ", ".join(material.models),
        "space": request.space_name,
        "sampler": request.space.sampler.name,
        "protocol": request.protocol.name,
        "folds": request.protocol.folds,
        "repetitions": request.protocol.repetitions,
        "seed": request.protocol.seed,
        "backend": material.settings.backend,
        "device": material.settings.device,
        "dtype": material.dtypes,
        "max_length": material.settings.max_length,
    }
    if (long := material.settings.long) != "truncate":
        params["long"] = long
    if journal.settings.get("lazy"):
        params["lazy"] = "true"
    if (rare := material.dataset.rare) is not None:
        params |= {"min_class_rows": rare.least, "rare": rare.how}
    runs = {record.run_id for record in journal.records.values() if record.run_id is not None}
    objectives = request.space.objectives
    score, beside = objectives.score, [f"{each.name}_mean" for each in objectives.beside]
    confirmed = [f"confirm_{each}" for each in (f"{score.measure.name}_mean", *beside)]
    columns = (score.name, *beside, *confirmed, objectives.cost.name)
    return TrackedStudy(
        material.dataset.name, name, params, journal.id, runs, material.tags, columns, descending=score.sign > 0
    )
