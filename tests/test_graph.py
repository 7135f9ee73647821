"""A candidate as graphs: they say what the search says, with neither bench nor torch."""

# ruff: noqa: F811 - fixtures of another file

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from test_cascade_export import STAGES, record
from test_export import CANDIDATES, MINILM, home, quick, study, tracker, trial_of  # noqa: F401

from bench.errors import BenchError
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.rule import Rule
from bench.evaluation.tfidf import Tfidf
from bench.home import store_home
from bench.packaging.build import build
from bench.packaging.classifier import Classifier
from bench.packaging.export import asked_graphs, export
from bench.packaging.graphs import measured as measuring
from bench.packaging.graphs.build import _write_words
from bench.packaging.graphs.graph_classifier import GraphClassifier, _Words
from bench.packaging.graphs.manifest import AskedGraphs, Precision, read_manifest
from bench.packaging.graphs.runtimes import RUNTIMES
from bench.progress import SILENT
from bench.space.candidates import canonical
from bench.specs import Candidate
from bench.study.cascades import Selected
from bench.study.study import Study

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "graph.py"
BARE = os.environ.get("BENCH_BARE_PYTHON")
"""A Python with nothing but what graphs need, which `tox -e graph` makes."""
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {"bench", "torch", "transformers", "pandas", "mlflow", "scipy", "sklearn"}:
            raise ImportError(f"{name} is not to be needed")
sys.meta_path.insert(0, Blocked())
"""


def with_runtime(runtime: str, precision: Precision = "float32") -> None:
    if missing := [name for name in RUNTIMES[runtime].needs[precision] if find_spec(name) is None]:
        pytest.skip(f"bench[graph] is not installed: {missing} is missing; tox -e graph has it")


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    monkeypatch.setattr(measuring, "SECONDS", 0.1)


def made(
    study: Study, which: Selected, folder: Path, runtime: str = "openvino", precision: Precision = "float32"
) -> Path:
    with_runtime(runtime, precision)
    done = export(study, which, folder, chosen="it", graphs=AskedGraphs(runtime, precision))  # type: ignore[arg-type]
    assert done.graphs is not None
    assert done.to_json()["graphs"]["measured"]["rows"] == 60
    return folder / "artifacts" / "pipeline"


def run_alone(pipeline: Path, code: str) -> str:
    """In a Python that has what graphs need alone, or in this one with the rest blocked."""
    python, before = (BARE, "") if BARE else (sys.executable, BLOCKED)
    # as a user's Python, which leaves its __pycache__ beside what it imports
    unset = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    ran = subprocess.run(
        [str(python), "-c", before + code],
        cwd=pipeline / "graph",
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_graph_says_what_the_search_said_and_needs_neither_bench_nor_torch(
    runtime: str, study: Study, tmp_path: Path
) -> None:
    which = trial_of(study)
    pipeline = made(study, which, tmp_path / "package", runtime)
    manifest = read_manifest(pipeline)
    assert manifest is not None
    assert manifest.measured is not None
    assert manifest.measured.same == manifest.measured.rows == 60
    assert manifest.measured.furthest < 1e-3
    assert manifest.bytes == pytest.approx(
        sum(path.stat().st_size for path in (pipeline / "graph").iterdir()), abs=5000
    )
    texts = list(study.material.dataset.test.texts)
    (tmp_path / "texts.json").write_text(json.dumps([*texts, None, " "]))
    said = json.loads(
        run_alone(
            pipeline,
            "import json, sys; sys.path.insert(0, '.')\n"
            "from graph_classifier import GraphClassifier\n"
            f"texts = json.load(open({str(tmp_path / 'texts.json')!r}))\n"
            "print(json.dumps(GraphClassifier('.').answers(texts)))\n"
            "assert not {'torch', 'bench'} & sys.modules.keys()",
        )
    )
    assert said[-2:] == [{"label": None, "probabilities": None}] * 2
    found = study.scored(which, "confirm").repetitions[0].predicted
    assert [each["label"] for each in said[:-2]] == [study.material.dataset.labels[place] for place in found]
    # bench and MLflow answer by the same graphs
    opened = Classifier.open(pipeline, store_home())
    assert opened.backends == {}
    for one, other in zip(opened.answers(texts), said, strict=False):
        assert one["label"] == other["label"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    frame = served.predict(pd.DataFrame({"text": texts}), params={"reject_below": 0.9})
    ruled = opened.under(Rule(0.9)).answers(texts)
    assert frame["label"].tolist() == [each["label"] for each in ruled]
    assert frame["rejected"].tolist() == [each["rejected"] for each in ruled]
    requirements = (tmp_path / "package" / "requirements.txt").read_text()
    assert "torch" not in requirements
    assert "transformers" not in requirements


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_every_operator_and_head_becomes_a_graph(candidate: Candidate, study: Study, tmp_path: Path) -> None:
    shaped = canonical(candidate, study.material.models)
    which = trial_of(study).model_copy(update={"candidate": shaped, "number": 77})
    with_runtime("openvino")
    build(study, which, tmp_path / "p", "77", False, SILENT, graphs=AskedGraphs("openvino", "float32"))
    manifest = read_manifest(tmp_path / "p")
    assert manifest is not None
    assert manifest.measured is not None
    assert manifest.measured.same == 60
    assert manifest.measured.furthest < 1e-3


@pytest.mark.parametrize("stages", STAGES)
def test_a_cascade_has_a_graph_a_stage(stages: str, study: Study, tmp_path: Path) -> None:
    which = record(study, STAGES[stages])
    pipeline = made(study, which, tmp_path / "package")
    manifest = read_manifest(pipeline)
    assert manifest is not None
    assert [stage.threshold for stage in manifest.stages] == [*which.cascade.thresholds, None]
    texts = list(study.material.dataset.test.texts)
    graphs = GraphClassifier(pipeline / "graph", 1)
    reached = [int((graphs.scored(texts).stages >= stage).sum()) for stage in range(len(manifest.stages))]
    assert reached[:2] == [60, 30]
    assert {"stage", "margin"} < graphs.answers(texts[:1])[0].keys()


def test_words_are_scored_as_scikit_learn_does(study: Study, tmp_path: Path) -> None:
    train, test = study.material.dataset.train, study.material.dataset.test
    head = Tfidf.fit(train.texts, np.asarray(train.labels), np.arange(len(train)), len(study.material.dataset.labels))
    _write_words(head, tmp_path / "stage-1.json")
    texts = [*test.texts, "No word of this was seen, zxqv; ÄÖÜ İstanbul ß …"]
    probabilities, scores, distances = _Words(tmp_path / "stage-1.json", 1.0)(texts)
    np.testing.assert_allclose(scores, np.exp(head.logs(texts)), atol=1e-6)
    np.testing.assert_allclose(probabilities, scores, atol=1e-6)
    np.testing.assert_allclose(distances, head.distances(texts), atol=1e-6)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_int8_is_calibrated_and_smaller(
    runtime: str, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(measuring.TOLERATED, "int8", 0.2)  # tiny models round far
    pipeline = made(study, trial_of(study), tmp_path / "package", runtime, "int8")
    manifest = read_manifest(pipeline)
    assert manifest is not None
    assert manifest.measured is not None
    assert manifest.measured.same >= 50


def test_graphs_that_answer_otherwise_are_not_written(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(measuring.TOLERATED, "float32", -1.0)
    with pytest.raises(BenchError, match="In float32 the graphs give 0 of 60 test rows another label"):
        made(study, trial_of(study), tmp_path / "package", "openvino")


def test_the_example_is_short_and_answers(study: Study, tmp_path: Path) -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 30
    pipeline = made(study, trial_of(study), tmp_path / "package", "onnx")
    text = study.material.dataset.test.texts[0]
    arguments = f"import sys; sys.argv = ['graph.py', {str(tmp_path / 'package')!r}, {text!r}]\n"
    said = run_alone(pipeline, f"{arguments}exec(open({str(EXAMPLE)!r}).read())")
    expected = Classifier.open(pipeline, store_home()).answers([text])[0]["label"]
    assert said.split("\t")[0] == expected


def test_costs_are_ruled_as_bench_rules_them(study: Study, tmp_path: Path) -> None:
    pipeline = made(study, trial_of(study), tmp_path / "package")
    texts, labels = list(study.material.dataset.test.texts), study.material.dataset.labels
    rng = np.random.default_rng(0)
    costs = {
        label: {**{other: float(rng.uniform(0, 9)) for other in labels}, label: 0.0, "reject": 1.0} for label in labels
    }
    opened = Classifier.open(pipeline, store_home())
    expected = opened.under(Rule(costs=MistakeCosts.of_values(costs, labels))).answers(texts)
    said = GraphClassifier(pipeline / "graph", 1).answers(texts, costs=costs)
    assert [each["label"] for each in said] == [each["label"] for each in expected]
    assert {each["rejected"] for each in said} == {each["rejected"] for each in expected}
    with pytest.raises(ValueError, match="Costs are a number"):
        opened.graphs.answers(texts, costs={labels[0]: {labels[0]: 0.0}})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("onnx", "bfloat16", False), "ONNX Runtime has no kernels of bfloat16"),
        (("mlflow", "int8", False), "`precision` is that of a graph"),
        (("openvino", "float32", True), "holds its weights in any case"),
        (("onx", "float32", False), "There is no format 'onx': did you mean 'onnx'"),
    ],
)
def test_what_cannot_be_is_refused_in_words(asked: tuple[str, str, bool], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        asked_graphs(asked[0], asked[1], with_weights=asked[2])
