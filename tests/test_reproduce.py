"""The paper's studies on real rows of R8 and small models: what is printed, computed, written and resumed."""

import csv
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import altair as alt
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from scipy.stats import ttest_1samp

import bench.reproduce.studies
from bench.cli import main
from bench.cli import reproduce as command
from bench.datasets.dataset import Split
from bench.datasets.load import DatasetRequest, load
from bench.datasets.rows import DATASETS
from bench.errors import BenchError
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.protocol import Protocol
from bench.figures import Figure
from bench.figures import data as charted
from bench.heads import Job, fit_predict, predict_subsets
from bench.material import Material
from bench.models.resolve import ResolvedModel
from bench.models.rows import MODELS
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.folders import own_names, with_names
from bench.reproduce.layout import laid_out_files
from bench.reproduce.noise import NOISES, apply
from bench.reproduce.published import NAMES, caption, errata, models, printed
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.statistics import choice_spreads, partition, t_interval
from bench.reproduce.studies.low_resource import nested, sizes
from bench.reproduce.studies.robustness import stack
from bench.reproduce.studies.sensitivity import CHOICES, Arm, _notes, _rows
from bench.reproduce.study import STUDIES, Findings, Steps, named, study
from bench.specs import MLP, Candidate, Source
from bench.tracking import MlflowTracker

pytestmark = pytest.mark.pictures

assert bench.reproduce.studies
PAPER = [
    "layers",
    "pooling",
    "pairs",
    "optimal-layers",
    "combinations",
    "trade-off",
    "low-resource",
    "overhead",
    "materials",
]
BEYOND = ["sensitivity", "capacity", "robustness", "learned"]
FIELDS = {"study", "dataset", "rows", "published", "files", "tracking_uri", "parent_run_id"}


# What the paper printed


def test_the_command_line_knows_the_studies() -> None:
    choices = command.reproduce.params[0].type.choices
    assert [*STUDIES] == [*choices[: len(STUDIES)]] == PAPER + BEYOND
    assert choices[len(STUDIES) :] == (
        "table2",
        "figure2",
        "figure4",
        "figure3",
        "table3",
        "table4",
        "figure5",
        "table1",
        "all",
    )
    files = {path.stem for path in Path(bench.reproduce.studies.__file__).parent.glob("[!_]*.py")}
    assert {entry.body.__module__.rpartition(".")[2] for entry in STUDIES.values()} == files


def test_studies_go_by_what_the_paper_calls_them() -> None:
    assert [each.name for each in named(["figure4", "table2", "layers"])] == ["layers", "pooling"]
    assert named(["all", "table1"]) == tuple(STUDIES.values())
    with pytest.raises(BenchError, match="layers"):
        named(["layer"])


@pytest.mark.parametrize("place", [*(f"table{number}" for number in range(1, 5)), *(f"figure{n}" for n in range(2, 6))])
def test_every_table_and_figure_of_the_paper_is_a_study(place: str) -> None:
    (found,) = named([place])
    assert place[-1] in found.paper


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("figure1", "is a drawing of its experiments and holds no number"),
        ("table5", "has no table5: what it has is figure2, figure3, figure4, figure5, table1, table2, table3, table4"),
        ("tabel2", "did you mean 'table2'"),
        ("Figure4", "did you mean 'figure4'"),
        ("sensitivty", "did you mean 'sensitivity'"),
    ],
)
def test_what_names_no_study_is_told_why(called: Callable[..., str], word: str, answer: str) -> None:
    said = called("layers", word, "--dataset", "r8", status=2)
    assert answer in " ".join(said.split())


def test_a_study_is_one_decorated_function(
    called: Callable[..., str], tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STUDIES, "_entries", dict(STUDIES))

    @study("toy", order=0, paper="beyond it: nothing", columns=[Column("model", "model"), Column("of", "of")])
    def toy(setup: Setup) -> Steps:
        """The logistic head alone."""
        asks = {model: setup.test(setup.candidate([setup.last(model)], "logistic")) for model in setup.models}
        answers = yield asks.values()
        return Findings([{"kind": "single", "model": model, "of": answers[ask].f1.n} for model, ask in asks.items()])

    assert next(iter(STUDIES)) == "toy"
    monkeypatch.setattr(command.reproduce.params[0].type, "choices", [*STUDIES])
    models = f"{tiny('LlamaConfig', num_hidden_layers=1)},llama-3.2-3b"
    found = json.loads(called("toy", "--dataset", "r8", "--models", models, *ROWS, "--json"))
    assert [row["kind"] for row in found["rows"]] == ["single", "missing", "baseline", "baseline"]
    assert found["rows"][0]["of"] == 1


def test_a_table_is_laid_out_as_the_paper_prints_it() -> None:
    rows = [
        {
            "kind": "model",
            "model": "a_model",
            "head": "mlp",
            "last_layer": 6,
            "last_accuracy_mean": 0.9504,
            "last_f1_mean": 0.9,
            "best_accuracy": 0.96,
            "best_accuracy_layer": 3,
            "best_f1": 0.91,
            "best_f1_layer": 2,
            "cv_layer": 4,
            "cv_accuracy_mean": 0.955,
            "cv_f1_mean": 0.905,
        },
        {"kind": "baseline", "model": "majority", "head": None, "accuracy_mean": 0.5, "f1_mean": 0.3},
    ]
    found = laid_out_files("layers", {"sst2": rows, "my & set": rows[1:]})
    lines = list(csv.DictReader(found["table2.csv"].decode("utf-8-sig").splitlines()))
    assert lines[0] == {
        "head": "mlp",
        "layer": "last",
        "model": "a_model",
        "sst2 accuracy": "0.950 (6)",
        "sst2 F1": "0.900 (6)",
        "my & set accuracy": "–",
        "my & set F1": "–",
    }
    assert (lines[1]["layer"], lines[1]["sst2 F1"]) == ("best on test", "0.910 (2)")
    assert (lines[-1]["model"], lines[-1]["my & set F1"]) == ("majority", "0.300")
    tex = found["table2.tex"].decode()
    assert r"\multicolumn{2}{c}{my \& set}" in tex
    assert r"a\_model & 0.950$_{6}$" in tex
    assert all(rule in tex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert found["table2.md"].decode().count("\n") == 2 + len(lines)
    assert laid_out_files("layers", {"sst2": []}) == laid_out_files("materials", {"sst2": []}) == {}


def test_a_table_of_differences_has_lines_for_each_data_set() -> None:
    row = {
        "kind": "fusion",
        "head": "mlp",
        "selection": "cv",
        "model": "a[1] + b[2]",
        "fusion": "sum",
        "accuracy_mean": 0.9,
        "f1_mean": 0.8,
        "last_single": "a",
        "last_delta_accuracy": 1.5,
        "last_delta_f1": -2.0,
    }
    found = laid_out_files("optimal-layers", {"r8": [row], "sst2": [row]})
    lines = list(csv.reader(found["table3.csv"].decode("utf-8-sig").splitlines()))
    assert lines[1:3] == [
        ["r8", "mlp", "by CV", "a[last]", "–", "0.885", "0.820", "", ""],
        ["r8", "mlp", "by CV", "a[1] + b[2]", "sum", "0.900", "0.800", "+1.5", "-2.0"],
    ]
    assert [line[0] for line in lines[1:]] == ["r8", "r8", "sst2", "sst2"]
    assert "& +1.5 & $-$2.0" in found["table3.tex"].decode()


def test_a_column_is_written_by_its_kind_whatever_its_name() -> None:
    row = {"kind": "missing", "a": 0.91666, "b": 0.91666, "c": 3, "d": True, "e": False, "f": float("nan"), "g": None}
    kinds = {"a": Kind.SCORE, "b": Kind.POINTS, "c": Kind.COUNT, "d": Kind.FLAG, "e": Kind.FLAG, "f": Kind.NUMBER}
    assert [Column(name, "", kind).write(row) for name, kind in kinds.items()] == [
        "0.9167",
        "0.92",
        "3",
        "yes",
        "",
        "–",
    ]
    absent = [Column("g", "", Kind.SCORE, required=True), Column("h", "", Kind.SCORE), Column("h", "", required=True)]
    assert [column.write(row) for column in absent] == ["", "", "missing"]
    assert absent[-1].write({"kind": "model"}) == ""
    assert [kind for kind in Kind if not kind.right] == [Kind.TEXT]


def test_published_tables_are_whole_and_speak_our_names() -> None:
    assert {name: len(printed(name)) for name in NAMES[:-1]} == {
        "table1": 13,
        "table2": 84,
        "table3": 6,
        "table4": 36,
        "figure4": 84,
    }
    for name in NAMES:
        assert caption(name)
        for row in printed(name):
            assert row["place"]
            assert {row.get("model"), *row.get("models", ())} - {None} <= set(MODELS)
            assert row.get("dataset") in {None, *DATASETS}
            scores = [value for key, value in row.items() if key.split("_")[0] in {"accuracy", "f1"}]
            assert all(0 <= value <= 1 for value in scores if isinstance(value, float))
    assert len(list(models())) == 7


@pytest.mark.parametrize(
    ("name", "where", "cell"),
    [
        ("table2", {"model": "phi-4", "dataset": "r52", "layer": "best"}, {"accuracy": 0.933, "f1_layer": 30}),
        (
            "table2",
            {"model": "llama-3.2-3b", "dataset": "legalbench", "layer": "best"},
            {"accuracy_layer": 0, "f1": 0.833},
        ),
        ("figure4", {"model": "qwen3-8b", "dataset": "r8", "pooling": "last"}, {"accuracy": 0.938, "f1": 0.703}),
        ("figure4", {"model": "nv-embed-v2", "dataset": "r52", "pooling": "mean"}, {"f1": 0.679}),
        ("table3", {"dataset": "r52"}, {"f1": 0.7702, "layers": [31, 36], "fusion": "hadamard+residual"}),
        ("table4", {"dataset": "r52", "size": 3}, {"subsets": 35, "f1_min": 0.461, "f1_max": 0.721}),
        ("table4", {"dataset": "sst2", "size": 7}, {"f1_min": 0.958, "f1_max": 0.958}),
        ("table1", {"model": "phi-4"}, {"width": 3584}),
    ],
)
def test_cells_read_off_the_paper(name: str, where: dict[str, Any], cell: dict[str, Any]) -> None:
    (row,) = printed(name, **where)
    assert {key: row[key] for key in cell} == cell


def test_the_errata_follow_from_the_published_numbers() -> None:
    last = printed("table2", layer="last")
    (single,) = printed("table4", dataset="r8", size=1)
    assert single["f1_min"] == 0.916
    assert min(row["f1"] for row in last if row["dataset"] == "r8") == 0.867
    means = printed("figure4", pooling="mean", dataset="rotten_tomatoes")
    assert min(row["f1"] for row in means) == 0.877 < printed("table4", dataset="rotten_tomatoes", size=1)[0]["f1_min"]
    (legal,) = printed("table3", dataset="legalbench")
    (nv,) = (row for row in last if row["model"] == "nv-embed-v2" and row["dataset"] == "legalbench")
    assert legal["baseline_model"] == "qwen3-embedding-8b"
    assert (legal["baseline_accuracy"], legal["baseline_f1"]) == (nv["accuracy"], nv["f1"])
    assert nv["accuracy_layer"] == 31 == MODELS["nv-embed-v2"].layers - 1
    wrong = [row["model"] for row in printed("table1") if "model" in row and row["width"] != MODELS[row["model"]].width]
    assert wrong == ["llama-3.2-3b", "gemma-3-12b-it", "phi-4"]
    (r52,) = printed("table3", dataset="r52")
    assert round(100 * (r52["accuracy"] - r52["baseline_accuracy"]), 2) == 0.89 != r52["delta_accuracy_points"]
    best = {(row["model"], row["dataset"]): row["f1"] for row in printed("table2", layer="best")}
    gains = [100 * (best[row["model"], row["dataset"]] - row["f1"]) for row in last]
    assert max(gains) == pytest.approx(32.0)
    assert {study for study in STUDIES if errata(study)} == {
        "layers",
        "pooling",
        "optimal-layers",
        "combinations",
        "materials",
    }


# Statistics


def test_the_partition_finds_whose_variance_it_is() -> None:
    rng = np.random.default_rng(0)
    names = [(f"d{row}", f"m{column}") for row in range(6) for column in range(7)]
    by_dataset = partition({(d, m): int(d[1]) + 0.1 * rng.normal() for d, m in names})
    by_model = partition({(d, m): int(m[1]) + 0.1 * rng.normal() for d, m in names})
    nobody = partition({pair: rng.normal() for pair in names})
    assert by_dataset is not None
    assert by_model is not None
    assert nobody is not None
    assert by_dataset.dataset_share > 0.95 > 0.05 > by_dataset.model_share
    assert (by_dataset.dataset_p, by_model.model_p) == (1 / 2001, 1 / 2001)
    assert by_model.model_share > 0.95
    assert min(nobody.dataset_p, nobody.model_p) > 0.01
    for each in (by_dataset, by_model, nobody):
        assert each.dataset_share + each.model_share + each.rest == pytest.approx(1)
    # about degrees of freedom over all where nothing has an effect; next to nothing is left beside a strong one
    assert nobody.dataset_chance == pytest.approx(5 / 41, rel=0.25)
    assert nobody.model_chance == pytest.approx(6 / 41, rel=0.25)
    assert by_model.dataset_chance < 0.01
    assert partition({("d", "m"): 1.0, ("d", "n"): 2.0}) is None


def test_run_noise_is_not_counted_as_sensitivity() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 3, (2000, 5))
    spreads = choice_spreads({1: [rng.normal(0, 2, (2000, 1)) + noise], 2: [rng.normal(0, 1, (2000, 1)) + noise]})
    assert spreads[1].variance == pytest.approx(4, rel=0.15)
    assert spreads[2].variance == pytest.approx(1, rel=0.4)
    assert spreads[1].runs == pytest.approx(9, rel=0.1)
    assert spreads[2].ratio_low is not None
    assert spreads[2].ratio_high is not None
    assert spreads[2].ratio_low < 0.25 < spreads[2].ratio_high < 0.5


def test_intervals_of_the_spread_cover_what_they_say() -> None:
    """At the number of choices that the study draws; within three standard errors of 95%."""
    rng, trials = np.random.default_rng(2), 400
    hits = {"variance": 0, "ratio": 0}
    for _ in range(trials):
        groups = {size: [rng.normal(0, 1, (CHOICES, 1)) for _ in range(2)] for size in (1, 2)}
        found = choice_spreads(groups)[2]
        assert found.ratio_low is not None
        assert found.ratio_high is not None
        hits["variance"] += found.low <= 1 <= found.high
        hits["ratio"] += found.ratio_low <= 1 <= found.ratio_high
    assert min(hits.values()) / trials > 0.95 - 3 * (0.95 * 0.05 / trials) ** 0.5


def test_a_size_without_variance_has_no_ratio() -> None:
    spreads = choice_spreads({1: [np.arange(5.0)[:, None]], 2: [np.ones((5, 1))]})
    assert (spreads[2].variance, spreads[2].low, spreads[2].high) == (0, 0, 0)
    assert spreads[2].ratio is None


def test_what_a_model_does_alone_is_not_owed_to_other_models() -> None:
    """Two draws vary half as much as one, of two models or of one."""
    rng = np.random.default_rng(4)
    spread = {Arm(1): 2**0.5, Arm(2): 1.0, Arm(2, own=True): 1.0}
    groups = {arm: [rng.normal(0, each, (400, 1)) for _ in range(2)] for arm, each in spread.items()}
    rows = {row["arm"]: row for row in _rows("logistic", groups)}
    fused = rows["2 models"]
    assert fused["ratio_high"] < 1
    assert fused["own_ratio_low"] < 1 < fused["own_ratio_high"]
    assert "own_ratio" not in rows["2 of one model"]
    assert any("sources of one model: not told apart" in note for note in _notes(list(rows.values())))


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=9, unique=True))
def test_t_interval_is_scipys(values: list[float]) -> None:
    expected = ttest_1samp(values, 0).confidence_interval()
    assert t_interval(values) == pytest.approx((expected.low, expected.high))
    assert t_interval(values[:1]) == (None, None)


# Rows


@given(st.text(min_size=1).filter(str.strip), st.integers(0, 9), st.sampled_from(sorted(NOISES)))
def test_noise_is_seeded_and_never_blank(text: str, seed: int, name: str) -> None:
    assert apply(name, text, seed) == apply(name, text, seed)
    assert apply(name, text, seed).strip()


def test_noise_has_its_rate() -> None:
    text = "the quick brown fox jumps over the lazy dog " * 200
    typos = NOISES["typos-5%"](text, random.Random(0))
    assert abs(len(typos) - len(text)) < 0.02 * len(text)
    capitals = sum(word.isupper() for word in apply("case-30%", text, 0).split()) / len(text.split())
    assert capitals == pytest.approx(0.3, abs=0.05)
    assert apply("typos-5%", text, 0) != apply("typos-5%", text, 1)


def test_learning_curves_are_nested_and_stratified_and_end_with_all_rows() -> None:
    dataset = load(DatasetRequest(name="r8", max_train=200, max_test=20))
    chosen = {size: nested(dataset, size, 3) for size in sizes(dataset)}
    counts = np.bincount(dataset.train.labels)
    for size, data in chosen.items():
        assert np.bincount(data.train.labels).tolist() == np.minimum(counts, size).tolist()
    for smaller, larger in itertools.pairwise(chosen.values()):
        assert set(smaller.train.ids) < set(larger.train.ids)
    assert list(chosen.values())[-1] is dataset
    assert nested(dataset, 8, 3).fingerprint == chosen[8].fingerprint != nested(dataset, 8, 4).fingerprint


# Heads of many subsets


@pytest.mark.parametrize("batch_size", [100, 32])
def test_subsets_side_by_side_are_the_heads_that_are_trained_alone(batch_size: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    features = [
        torch.from_numpy((rng.normal(size=(3, width))[labels] + rng.normal(size=(90, width))).astype(np.float32))
        for width in (12, 20, 7)
    ]
    subsets = [subset for size in (1, 2, 3) for subset in itertools.combinations(range(3), size)]
    job, head = Job(np.arange(60), np.arange(60, 90), 7), MLP(hidden=16, epochs=40, batch_size=batch_size)
    for subset, together in zip(subsets, predict_subsets(features, subsets, labels, 3, job, head), strict=True):
        sources = tuple(Source(model=f"m{number}", layer=0, pooling="mean") for number in subset)
        candidate = Candidate(sources=sources, fusion="none" if len(subset) == 1 else "concat", head=head)
        (alone,) = fit_predict([features[number] for number in subset], labels, 3, [job], candidate)
        # several batches are drawn in another order: alike, not equal
        np.testing.assert_allclose(together.probabilities, alone, atol=1e-5 if batch_size == 100 else 0.15)


# From the command to files


@pytest.fixture
def called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hub_cache: Path
) -> Callable[..., str]:
    """`bench reproduce` in this process, with a head that trains fast, from an empty folder; returns stdout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(HEADS, "mlp", MLP(hidden=8, epochs=3, learning_rate=1e-2))  # type: ignore[misc]
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("BENCH_DATA_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str, status: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["bench", "reproduce", *words])
        monkeypatch.setenv("BENCH_TRACEBACK", "1")
        capsys.readouterr()
        try:
            main.run()
        except SystemExit as end:
            assert end.code == status  # noqa: PT017 - a status is not an exception's message
        out, err = capsys.readouterr()
        return out if status == 0 else err

    return call


ROWS = ("--max-train", "60", "--max-test", "40", "--max-length", "24", "--repetitions", "1", "--folds", "2")


@pytest.fixture
def two(tiny: Callable[..., Path]) -> str:
    """Two small models, and one that cannot be had."""
    causal, encoder = tiny("LlamaConfig", num_hidden_layers=1), tiny("BertConfig", num_hidden_layers=2)
    return f"{causal},{encoder},llama-3.2-3b"


def without_time(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows but for what is measured anew."""
    return [{key: value for key, value in row.items() if key != "latency_ms"} for row in found["rows"]]


def test_a_study_is_planned_run_written_and_found_again(
    called: Callable[..., str], two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("layers", "--dataset", "r8", "--models", two, *ROWS)
    planned = json.loads(called(*words, "--dry-run", "--json"))
    assert (planned["study"], planned["known"]) == ("layers", 0)
    assert planned["evaluations"] == 2 + 2 * 2 * (2 + 3)
    assert not Path("mlruns").exists()

    found = json.loads(called(*words, "--json"))
    assert set(found) == FIELDS
    folders = [Path(name).name for name in two.split(",")[:2]]
    assert [row["model"] for row in found["rows"] if row["kind"] == "model"] == [folders[0]] * 2 + [folders[1]] * 2
    assert (found["study"], found["dataset"]) == ("layers", "r8")
    kinds = [row["kind"] for row in found["rows"]]
    assert (kinds.count("model"), kinds.count("missing"), kinds.count("baseline")) == (4, 1, 2)
    (missing,) = (row for row in found["rows"] if row["kind"] == "missing")
    assert missing["model"] == "llama-3.2-3b"
    assert (missing["published_last_f1"], missing["published_best_f1_layer"]) == (0.925, 24)
    assert all(key.startswith("published") for key in missing if "f1" in key)
    for row in found["rows"]:
        if row["kind"] == "model":
            assert row["best_f1"] >= row["last_f1_mean"]
            assert row["best_f1"] >= row["cv_f1_mean"]
            assert row["last_f1_low"] <= row["last_f1_mean"] <= row["last_f1_high"]
            assert row["runs"] == (5 if row["head"] == "mlp" else 1)
    assert [row["place"] for row in found["published"]] == ["Table 2"] * 14

    files = {Path(name).name: Path(name) for name in found["files"]}
    assert {"layers.csv", "layers.md", "layers.parquet", "published.csv"} <= set(files)
    assert {"layers-mlp.html", "layers-mlp.png", "layers-logistic.svg"} <= set(files)
    with files["layers.csv"].open(newline="") as file:
        assert [row["kind"] for row in csv.DictReader(file)] == kinds
    assert pq.read_table(files["layers.parquet"]).num_rows == len(kinds)
    page = files["layers.md"].read_text()
    assert "contradicts itself" in page
    assert f"- models: {', '.join(folders)}" in page
    assert "http://" not in files["layers-logistic.svg"].read_text().replace("http://www.w3.org", "")

    client = MlflowClient(found["tracking_uri"])
    parent = client.get_run(found["parent_run_id"])
    assert parent.info.status == "FINISHED"
    assert {each.path for each in client.list_artifacts(parent.info.run_id)} == set(files)
    nested_runs = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", max_results=100
    )
    assert len(nested_runs) == planned["evaluations"]

    # again: nothing is trained, the run is the same, and so are the numbers
    monkeypatch.setattr(Evaluator, "_train", None)
    again = json.loads(called(*words, "--json"))
    assert again["rows"] == found["rows"]
    assert again["parent_run_id"] == found["parent_run_id"]
    assert json.loads(called(*words, "--dry-run", "--json"))["known"] == planned["evaluations"]


def test_a_folder_is_called_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by where it lies on a disk, in any sentence, table or figure that goes into a paper."""
    monkeypatch.chdir(tmp_path)
    first, second = str(tmp_path / "my-model"), "elsewhere/my-model"
    models = []
    for name in (first, second, f"{second}:title", "owner/model", "smollm2-135m"):
        if "my-model" in name:
            Path(name.partition(":")[0]).mkdir(parents=True, exist_ok=True)
        models.append(cast(ResolvedModel, SimpleNamespace(name=name, row=dict(MODELS).get(name))))
    names = own_names(models)
    assert [*names.values()] == ["my-model", "my-model-2", "my-model-2:title", "owner/model", "smollm2-135m"]

    rows: list[Row] = [{"model": f"{first} + {second}", "f1": 0.5, "chosen": [f"{second}:title[3]"]}]
    colour = alt.Color("model:N", scale=alt.Scale(domain=[rows[0]["model"]]))
    chart = alt.Chart(charted(rows)).mark_point().encode(x="f1:Q", color=colour)
    figure = Figure("f", f"of {first}", "n = 3", f"{second} leads", chart)
    shown = with_names(Findings(rows, extras={"x": rows}, figures=[figure], notes=[f"{second}[3]: 1.2."]), names)
    assert shown.rows == [{"model": "my-model + my-model-2", "f1": 0.5, "chosen": ["my-model-2:title[3]"]}]
    assert shown.extras == {"x": shown.rows}
    assert shown.notes == ["my-model-2[3]: 1.2."]
    said = shown.figures[0].html()
    assert "my-model + my-model-2" in said
    assert "elsewhere" not in said
    assert str(tmp_path) not in said


def test_table_1_is_there_at_once(called: Callable[..., str], two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Material, "extract", None)  # no hidden state is needed for it
    words = ("table1", "--dataset", "r8,r52", "--models", two, *ROWS, "--no-tracking", "--out", "out")
    planned = json.loads(called(*words, "--dry-run", "--json"))["studies"]
    assert [(each["evaluations"], each["models"]) for each in planned] == [(0, []), (0, [])]
    found = json.loads(called(*words, "--json"))["studies"]
    assert [row["kind"] for row in found[0]["rows"]] == ["dataset", "model", "model", "missing"]
    set_, causal, _, missing = found[0]["rows"]
    assert (set_["train"], set_["published_train"]) == (60, 5485)
    assert causal["parameters_m"] > 0
    assert (missing["width"], missing["published_width"]) == (3072, 4096)
    files = {Path(name).name: Path(name) for name in found[-1]["files"]}
    datasets, models = (
        list(csv.reader(files[f"table1-{name}.csv"].read_text("utf-8-sig").splitlines()))
        for name in ("datasets", "models")
    )
    assert [line[0] for line in datasets] == ["data set", "r8", "r52"]
    assert datasets[1] == ["r8", "8", "60", "40"]
    assert models[0] == ["type", "model", "dim", "layers", "parameters"]
    assert models[1] == ["generative", "llama-3.2-3b", "3072", "28", "3.21B"]
    assert len(models) == 1 + 3  # once, though there are two data sets
    page = Path(found[0]["files"][0]).parents[2].rglob("index.html")
    assert ".)" not in next(page).read_text()


def test_a_stopped_study_goes_on_where_it_stopped(
    called: Callable[..., str], two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("pooling", "--dataset", "r8", "--models", two, *ROWS)
    train, trained = Evaluator._train, []

    def counted(self: Evaluator, candidate: Candidate, *rest: Any) -> Any:
        if len(trained) == 4:
            raise KeyboardInterrupt
        trained.append(candidate)
        return train(self, candidate, *rest)

    monkeypatch.setattr(Evaluator, "_train", counted)
    assert "go on" in called(*words, status=130)
    (parent,) = MlflowClient("sqlite:///mlruns/mlflow.db").search_runs(["1"], "tags.`bench.kind` = 'study'")
    assert parent.info.status == "KILLED"
    first, trained[:] = trained[:], []
    monkeypatch.setattr(Evaluator, "_train", lambda self, *args: (trained.append(args[0]), train(self, *args))[1])
    found = json.loads(called(*words, "--json"))
    assert found["parent_run_id"] == parent.info.run_id
    assert len(first) == 4
    assert len(trained) == 2 * (2 + 3) - 4
    assert not {each.fingerprint() for each in first} & {each.fingerprint() for each in trained}


@pytest.mark.slow
def test_all_studies_run_share_evaluations_and_speak_across_data_sets(
    called: Callable[..., str], two: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # hundreds of nested runs are MLflow's time, and are looked at above
    monkeypatch.setattr(MlflowTracker, "log", lambda *_: None)
    monkeypatch.setattr("bench.reproduce.studies.sensitivity.CHOICES", 4)
    monkeypatch.setattr("bench.reproduce.studies.low_resource.FEWEST", 16)
    for name in ("pairs", "optimal_layers"):
        monkeypatch.setattr(f"bench.reproduce.studies.{name}.OPERATORS", ("concat", "sum", "multiplication"))
    words = ("--models", two, *ROWS, "--out", "out")
    found = json.loads(called("all", "--dataset", "r8", *words, "--json"))["studies"]
    assert [each["study"] for each in found] == list(STUDIES)
    found += json.loads(called("layers", "--dataset", "r8,r52", *words, "--json"))["studies"]
    by_name = {(each["study"], each["dataset"]): each for each in found}
    assert set(by_name) == {*((name, "r8") for name in STUDIES), ("layers", "r52"), ("layers", "r8, r52")}
    for (name, dataset), each in by_name.items():
        assert set(each) == FIELDS
        assert all(Path(file).is_file() and Path(file).parts[0] == "out" for file in each["files"])
        if dataset == "r8, r52":
            continue
        baselines = {row["model"] for row in each["rows"] if row["kind"] == "baseline"}
        assert baselines == (set() if name == "materials" else {"tfidf", "majority"}), name
        assert any(row["kind"] == "missing" for row in each["rows"]), name
        assert any(file.endswith(".html") for file in each["files"]) == (name != "materials"), name
        if name not in {"overhead", "materials"}:
            assert {"mlp", "logistic"} <= {row["head"] for row in each["rows"]}, name

    for dataset in ("r8", "r8, r52"):
        (page,) = (file for file in by_name["layers", dataset]["files"] if Path(file).name == "layers.md")
        assert "## Where the paper contradicts itself" in Path(page).read_text(encoding="utf-8")
    (theirs,) = (row for row in by_name["layers", "r8, r52"]["rows"] if row["of"] == "paper, table 2")
    assert (theirs["datasets"], theirs["models"]) == (6, 7)
    assert theirs["dataset_share"] + theirs["model_share"] + theirs["rest"] == pytest.approx(1)

    combinations = [row for row in by_name["combinations", "r8"]["rows"] if row["kind"] == "size"]
    assert [(row["size"], row["subsets"]) for row in combinations if row["head"] == "mlp"] == [(1, 2), (2, 1)]
    fused = next(row for row in combinations if row["size"] == 2)
    single = next(row for row in combinations if row["size"] == 1)
    change = 100 * (fused["f1_mean"] - single["f1_mean"])
    assert single["add_f1_mean"] == pytest.approx(change) == pytest.approx(-fused["remove_f1_mean"])
    pairs = [row for row in by_name["pairs", "r8"]["rows"] if row["kind"] == "pair" and row["head"] == "mlp"]
    concatenated = next(row for row in pairs if row["fusion"] == "concat" and not row["itself"])
    assert len(pairs) == 3 * 3
    assert concatenated["f1_mean"] == pytest.approx(fused["f1_mean"], abs=0.02)
    curve = [row for row in by_name["low-resource", "r8"]["rows"] if row["kind"] == "model" and row["head"] == "mlp"]
    assert {row["draws"] for row in curve if row["train_rows"] < 60} == {5}
    whole = [row["f1_mean"] for row in curve if row["draws"] == 1]
    assert whole == pytest.approx(
        [row["last_f1_mean"] for row in by_name["layers", "r8"]["rows"] if row["head"] == "mlp"]
    )

    text = called("overhead", "--dataset", "r8", *words)
    assert "missing" in text
    assert "Files: out" in text


@pytest.mark.slow
def test_a_shifted_domain_is_tested_where_labels_agree(called: Callable[..., str], tiny: Callable[..., Path]) -> None:
    rng = random.Random(0)
    for name in ("first", "second"):
        with Path(f"{name}.csv").open("w", newline="") as file:
            rows = [
                (f"{name} {number} oil prices {(label := rng.choice(['good', 'bad']))}", label) for number in range(60)
            ]
            csv.writer(file).writerows([("text", "label"), *rows])
    words = ("robustness", "--models", str(tiny("LlamaConfig")), "--folds", "2", "--json")
    first, second = json.loads(called(*words, "--dataset", "first.csv,second.csv"))["studies"]
    assert {row["texts"] for row in first["rows"]} == {"clean", *NOISES, "shift to second.csv"}
    assert {row["texts"] for row in second["rows"]} == {"clean", *NOISES, "shift to first.csv"}
    for row in first["rows"]:
        if row["texts"] == "clean":
            assert row["drop_delta_f1"] == 0
        elif row["texts"] in NOISES:
            assert row["drop_delta_f1_low"] <= row["drop_delta_f1"] <= row["drop_delta_f1_high"]

    # without the other set the numbers are others, and so is their place
    alone = json.loads(called(*words, "--dataset", "first.csv"))
    assert alone["parent_run_id"] != first["parent_run_id"]
    assert Path(alone["files"][0]).parent != Path(first["files"][0]).parent


def test_texts_that_were_trained_on_are_no_shift() -> None:
    def rows(texts: Sequence[str], labels: Sequence[int]) -> Split:
        ids = tuple(map(str, range(len(texts))))
        return Split(ids, tuple(texts), np.array(labels), np.arange(len(texts)), "")

    one = replace(
        load(DatasetRequest(name="r8", max_train=20, max_test=10)),
        labels=("bad", "good"),
        test_only_labels=(),
        train=rows(["An  Apple.", "a pear"], [0, 1]),
        test=rows(["a fig"], [0]),
    )
    texts = ["an apple", "a plum", "neither"]
    other = replace(one, name="other", test=rows(texts, [0, 1, 2]), test_only_labels=("mixed",))
    stacked, slices, seen = stack(Setup(one, {}, (), Protocol(), (0,), others=[other]))
    assert seen == {"other": 1}
    assert stacked.test.texts[slices["shift to other"]] == ("a plum", "neither")
    assert stacked.test.labels[slices["shift to other"]].tolist() == [1, 2]
    assert stacked.test_only_labels == ("mixed",)


def test_mistakes_are_told_apart_from_what_cannot_be_had(called: Callable[..., str]) -> None:
    assert "did you mean 'smollm2-135m'" in called("layers", "--dataset", "r8", "--models", "smollm-135m", status=2)
    assert "No model of the space" in called("layers", "--dataset", "r8", "--models", "phi-4", *ROWS, status=2)
    assert "layers" in called("layer", "--dataset", "r8", status=2)
