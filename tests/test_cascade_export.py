"""A cascade as a package: it answers as the study's stages do under its thresholds, and runs what it must."""

# ruff: noqa: F811 - fixtures of another file

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from test_cascades import CASCADING
from test_export import MINILM, home, study, tracker  # noqa: F401
from test_going_on import counted
from test_search import Run, run, store  # noqa: F401

from bench.api.study import Searched
from bench.cascade import Cascade, margins
from bench.cli.main import cli
from bench.cost import costs_of_cascade
from bench.errors import BenchError
from bench.home import Home, store_home
from bench.packaging import timing
from bench.packaging.classifier import Classifier
from bench.packaging.export import Exported, export
from bench.packaging.home import pipeline_folder
from bench.packaging.pipeline import FORMAT, read
from bench.specs import Candidate, Ridge, Source
from bench.store import Store
from bench.study.cascades import CascadeRecord
from bench.study.study import Study
from bench.tracking import MlflowTracker


def stage(*layers: int) -> Candidate:
    sources = tuple(Source(model=MINILM, layer=layer, pooling="mean") for layer in layers)
    return Candidate(sources=sources, fusion="none" if len(layers) == 1 else "concat", head=Ridge())


STAGES = {"two": (stage(1), stage(5)), "three": (stage(1), stage(1, 3), stage(0, 5))}


def probabilities(study: Study, candidate: Candidate) -> np.ndarray:
    """What a stage says of all test rows under the seed that packages are trained with."""
    found = study.scorer.scored(candidate, "confirm").repetitions[0].predictions.log_probabilities
    assert found is not None
    return np.exp(found.astype(np.float64))


def by_the_rule(study: Study, cascade: Cascade) -> tuple[list[str], list[int], np.ndarray]:
    """Labels, answering stages and margins of the test rows, from all probabilities of all stages."""
    said = [probabilities(study, each) for each in cascade.stages]
    rows, stages = len(said[0]), np.zeros(len(said[0]), dtype=np.int64)
    for number, threshold in enumerate(cascade.thresholds):
        stages[(stages == number) & (margins(said[number]) < threshold)] = number + 1
    chosen = np.array([said[stage][row] for row, stage in enumerate(stages)])
    assert len(chosen) == rows
    labels = [study.material.dataset.labels[place] for place in chosen.argmax(axis=1)]
    return labels, (stages + 1).tolist(), margins(chosen)


def record(study: Study, stages: Sequence[Candidate]) -> CascadeRecord:
    """A cascade in which about half of the test rows go on, and half of these once more."""
    thresholds, here = [], np.ones(len(study.material.dataset.test), dtype=bool)
    for each in stages[:-1]:
        sure = margins(probabilities(study, each))
        # between two rows, where rounding turns none
        ranked = np.sort(sure[here])
        thresholds.append(float(ranked[len(ranked) // 2 - 1 : len(ranked) // 2 + 1].mean()))
        here &= sure < thresholds[-1]
    reached = tuple(0.5 ** (number + 1) for number in range(len(thresholds)))
    return CascadeRecord(
        name="cascade-7",
        cascade=Cascade(stages=tuple(stages), thresholds=tuple(thresholds)),
        trials=tuple(range(len(stages))),
        shares=(0.5,) * len(thresholds),
        reached=reached,
        metrics=costs_of_cascade(study.costs, stages, reached, study.material.resumable) | {"f1_mean": 0.5},
    )


@pytest.fixture(scope="module", params=STAGES)
def exported(request: Any, study: Study, home: Path) -> tuple[CascadeRecord, Exported]:
    which = record(study, STAGES[request.param])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "SECONDS", 0.2)
        return which, export(study, which, home / request.param, chosen="cascade-7")


def test_it_answers_as_the_rule_does_on_all_probabilities_and_runs_what_is_left(
    study: Study,
    exported: tuple[CascadeRecord, Exported],
) -> None:
    which, done = exported
    texts = list(study.material.dataset.test.texts)
    labels, stages, sure = by_the_rule(study, which.cascade)
    assert done.folder is not None
    opened = Classifier.open(done.folder / "artifacts" / "pipeline", store_home())
    assert list(opened.backends) == [MINILM], "stages that share a model share its weights"
    ran = counted(opened.backends[MINILM])
    answers = opened.answers([texts[0], " ", *texts[1:], None])
    assert [answers.pop(1), answers.pop()] == [dict.fromkeys(("label", "probabilities", "stage", "margin"))] * 2
    assert [answer["label"] for answer in answers] == labels
    assert [answer["stage"] for answer in answers] == stages
    assert [answer["margin"] for answer in answers] == pytest.approx(sure, abs=1e-4)

    reached = [sum(number >= stage for number in stages) for stage in range(1, len(which.cascade.stages) + 1)]
    assert len(texts) == reached[0] > reached[-1] > 0
    depths = [max(source.layer for source in each.sources) for each in which.cascade.stages]
    expected = {}
    for before, depth, count in zip([0, *depths], depths, reached, strict=False):
        expected |= dict.fromkeys(range(before, depth), count)
    assert ran == expected, "a block runs once, and for the texts alone that come to it"


def test_it_says_what_it_is_and_what_it_takes(study: Study, exported: tuple[CascadeRecord, Exported]) -> None:
    from mlflow.models import Model

    which, done = exported
    assert done.folder is not None
    pipeline, heads = read(done.folder / "artifacts" / "pipeline")
    assert pipeline.candidate == which.cascade
    assert (pipeline.trial, pipeline.cascade, pipeline.title, pipeline.format) == (
        None,
        "cascade-7",
        "cascade-7",
        FORMAT,
    )
    assert len(heads) == len(which.cascade.stages)
    latency, further = pipeline.latency, len(which.cascade.stages) - 1
    assert latency is not None
    assert latency.predicted_ms == which.metrics["latency_ms"]
    assert latency.expected == which.reached
    assert len(latency.reached) == further
    assert all(0 < share < 1 for share in latency.reached)
    assert 0 < latency.measured_ms < 1000
    assert latency.single_ms is not None
    assert pipeline.agreement is not None
    assert pipeline.agreement.rows == pipeline.agreement.same

    described = Model.load(done.folder)
    assert described.signature is not None
    assert described.signature.outputs.input_names() == ["label", "probabilities", "stage", "margin"]
    kept = described.metadata
    assert kept["bench_cascade"] == "cascade-7"
    assert (kept["bench_latency_predicted_ms"], kept["bench_latency_measured_ms"]) == (
        latency.predicted_ms,
        latency.measured_ms,
    )
    assert kept["bench_thresholds"] == list(which.cascade.thresholds)
    assert done.to_json()["cascade"] == "cascade-7"


def test_every_way_of_calling_keeps_the_order_of_rows(
    study: Study,
    exported: tuple[CascadeRecord, Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    which, done = exported
    texts = list(study.material.dataset.test.texts)
    labels, stages, _ = by_the_rule(study, which.cascade)
    monkeypatch.setattr(sys, "path", list(sys.path))
    frame = mlflow.pyfunc.load_model(str(done.folder)).predict(pd.DataFrame({"text": texts}))
    assert frame["label"].tolist() == labels
    assert frame["stage"].tolist() == stages
    # a name of the stages' columns beside the answers would be ambiguous
    table = pd.DataFrame({"id": range(len(texts)), "text": texts, "stage": "x"})
    table.loc[3, "text"] = None
    table.to_csv(tmp_path / "rows.csv", index=False)
    for ending, get in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        out = tmp_path / f"out{ending}"
        ran = CliRunner().invoke(
            cli, ["predict", "--model", str(done.folder), str(tmp_path / "rows.csv"), "--out", str(out)]
        )
        assert ran.exit_code == 0, ran.output
        rows = get(out)
        assert rows["id"].astype(int).tolist() == list(range(len(texts)))
        assert rows["stage"].isna().tolist() == [row == 3 for row in range(len(texts))]
        assert rows["stage"].drop(3).astype(int).tolist() == [*stages[:3], *stages[4:]]
    ran = CliRunner().invoke(
        cli, ["predict", "--model", str(done.folder), str(tmp_path / "rows.csv"), "--keep", "stage"]
    )
    assert "column 'stage' of its own" in str(ran.exception)


def test_weights_are_packed_once_and_an_altered_head_is_not_used(
    study: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timing, "SECONDS", 0.2)
    which = record(study, STAGES["two"])
    done = export(study, which, tmp_path / "packed", chosen="cascade-7", with_weights=True)
    pipeline = tmp_path / "packed" / "artifacts" / "pipeline"
    assert [path.name for path in (pipeline / "models").iterdir()] == ["0"]
    assert done.to_json()["models"][0]["layers_loaded"] == 5
    assert json.loads((pipeline / "pipeline.json").read_text())["candidate"].keys() == {"stages", "thresholds"}
    head = pipeline / "head-2.safetensors"
    head.write_bytes(head.read_bytes()[:-1] + b"x")
    with pytest.raises(BenchError, match=r"head-2\.safetensors"):
        Classifier.open(pipeline, store_home())


def test_a_cascade_of_a_search_is_logged_with_its_run_which_is_written_once(
    run: Run, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "SECONDS", 0.2)
    tracker = MlflowTracker(tmp_path)
    found = run(tracker, space=CASCADING, trials=14)
    client = MlflowClient(tracker.store.address)

    def runs() -> list[str]:
        ids = [each.experiment_id for each in client.search_experiments()]
        return sorted(each.data.tags["bench.key"] for each in client.search_runs(ids) if "bench.key" in each.data.tags)

    before = runs()
    which = found.cascades[0]
    done = Searched(found, tracker, Home(runs=tmp_path, store=store.home)).export(trial=which.name)
    logged = client.get_logged_model(done.uri.removeprefix("models:/"))
    assert logged.tags["bench.cascade"] == which.name
    assert client.get_run(logged.source_run_id).data.tags["bench.cascade"] == which.name
    opened = Classifier.open(pipeline_folder(done.uri, tracker.models), store_home())
    assert opened.predict(found.material.dataset.test.texts).stages.max() == len(opened.pipeline.stages) - 1
    run(tracker, space=CASCADING, trials=14)
    assert runs() == before, "neither a cascade nor a baseline is written again"
