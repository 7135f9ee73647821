"""Clustering and retrieval: representations ranked without a trained head, on tiny models and against scikit-learn."""

import csv
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TEXTS
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.metrics import adjusted_rand_score, ndcg_score, v_measure_score
from sklearn.preprocessing import StandardScaler

import bench
from bench import api
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.inputs import stored
from bench.gate.check import from_study
from bench.heads.untrained import compared
from bench.home import store_home
from bench.material import gather
from bench.measures import MEASURES, Predictions
from bench.metrics import Resamples, judged
from bench.models.resolve import ResolvedModel
from bench.space.files import load as load_space
from bench.space.serving import serving
from bench.specs import Candidate, Cosine, ExtractionSettings, KMeans, Source
from bench.store import Store
from bench.tasks import TASKS
from bench.wanted import Wanted

TASK_NAMES = ("clustering", "retrieval")
SPACE = """
version = 1
[sources]
models = ["unused"]
at_most = 2
pooling = ["mean"]
[fusion]
operators = ["concat", "sum", "late"]
[head]
kinds = ["ridge"]
"""


def made(rows: int = 120, classes: int = 4) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(classes, size=rows)
    x = rng.normal(size=(classes, 16))[truth] + rng.normal(size=(rows, 16))
    return torch.from_numpy((x * rng.uniform(0.1, 9, 16) + 5).astype(np.float32)), truth


def candidate(head: KMeans | Cosine) -> Candidate:
    return Candidate(sources=(Source(model="m", layer=0, pooling="mean"),), head=head)


def predictions(truth: np.ndarray, predicted: np.ndarray) -> Predictions:
    return Predictions(truth, predicted, tuple("abcdefgh"))


def test_v_measure_is_scikit_learns_whatever_the_groups() -> None:
    rng = np.random.default_rng(1)
    for classes, groups in ((1, 1), (1, 3), (3, 1), (2, 5), (7, 4)):
        truth, found = rng.integers(classes, size=60), rng.integers(groups, size=60)
        said = predictions(truth, found)
        assert said.value(MEASURES["v_measure"]) == pytest.approx(v_measure_score(truth, found), abs=1e-12)
        assert said.value(MEASURES["adjusted_rand"]) == pytest.approx(adjusted_rand_score(truth, found), abs=1e-12)
        # the number of a group means nothing
        assert predictions(truth, groups - 1 - found).value(MEASURES["v_measure"]) == pytest.approx(
            said.value(MEASURES["v_measure"])
        )


def test_kmeans_is_scikit_learns_on_standardised_rows_under_each_seed() -> None:
    x, truth = made()
    train, rows = x[:60], x[60:]
    found = compared(candidate(KMeans()), [train], [rows], np.arange(60), 4, range(5), "clustering")
    scaled = StandardScaler().fit(train.numpy()).transform(rows.numpy())
    for seed, (groups, _) in enumerate(found):
        expected = SklearnKMeans(4, n_init=1, random_state=seed).fit_predict(scaled)
        assert v_measure_score(groups, expected) == pytest.approx(1, abs=0.02)
    assert v_measure_score(truth[60:], found[0][0]) > 0.3


def test_ndcg_is_scikit_learns_with_each_text_left_out_of_its_own_ranking() -> None:
    x, truth = made()
    ((places, _),) = compared(candidate(Cosine()), [x], [x], np.arange(len(x)), 4, (0,), "retrieval")
    said = predictions(truth, judged(places, truth, np.arange(len(x))))
    expected = theirs("retrieval", StandardScaler().fit_transform(x.numpy()), truth)
    assert said.value(MEASURES["ndcg_10"]) == pytest.approx(expected, abs=1e-6)
    assert not (places == np.arange(len(x))[:, None]).any()


def test_texts_of_ones_own_group_are_neither_found_nor_relevant() -> None:
    x, truth = made(40)
    groups = np.arange(40) // 2
    ((places, _),) = compared(candidate(Cosine()), [x], [x], groups, 4, (0,), "retrieval")
    assert not (groups[places] == groups[:, None]).any()
    found = judged(places, truth, groups)
    expected = [
        sum(truth[other] == truth[row] and groups[other] != groups[row] for other in range(40)) for row in range(40)
    ]
    assert found[:, -1].tolist() == expected
    # fewer others than places, and a class that nothing else has
    ((few, _),) = compared(candidate(Cosine()), [x[:4]], [x[:4]], np.arange(4), 4, (0,), "retrieval")
    alone = judged(few, np.array([0, 0, 0, 1]), np.arange(4))
    assert (few[:, 3:] == -1).all()
    said = predictions(np.array([0, 0, 0, 1]), alone)
    assert MEASURES["ndcg_10"].of_rows is not None
    assert MEASURES["ndcg_10"].of_rows(said)[3] == 0


def test_intervals_of_groups_lie_around_the_score_and_nothing_is_swapped_between_systems() -> None:
    x, truth = made(80)
    measure = MEASURES["v_measure"]
    each = [
        predictions(truth, groups)
        for groups, _ in compared(candidate(KMeans()), [x], [x], np.arange(80), 4, range(3), "clustering")
    ]
    whole = np.mean([said.value(measure) for said in each])
    drawn = measure.resampled(each, Resamples.of(np.arange(80), seed=0)).mean(axis=1)
    # rows that are drawn twice agree with themselves: unmoved, the draws would lie above
    assert drawn[1:].mean() == pytest.approx(drawn[0])
    interval = measure.interval(each)
    assert interval.value == pytest.approx(whole)
    assert interval.low < whole < interval.high
    # the same groups under other numbers are the same system
    renamed = [predictions(truth, 3 - said.predicted) for said in each]
    assert measure.paired(each, renamed).difference == pytest.approx(0)
    chance = [predictions(truth, np.random.default_rng(9).integers(4, size=80))] * 3
    assert measure.paired(each, chance).p < 0.01


def test_a_space_of_trained_heads_serves_with_the_tasks_own_head(tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    space = load_space(str(tmp_path / "space.toml"))
    for name in TASK_NAMES:
        served = serving(space, name)
        assert served.head.kinds == (TASKS[name].head.kind,)
        assert served.fusion.operators == ("concat", "sum")
        assert (served.protocol.repetitions, served.protocol.confirm) == (5, 5)
    assert serving(space, "classification") == space
    assert serving(load_space("quickstart"), "retrieval").screen.enabled is False


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Texts of words that the tiny models know, of two classes."""
    words, chance = sorted({word for text in TEXTS for word in text.split()}), random.Random(0)
    half = len(words) // 2
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["text", "label"])
        for number in range(120):
            own = words[:half] if number % 2 else words[half:]
            table.writerow([" ".join(chance.choice(own) for _ in range(5)), "odd" if number % 2 else "even"])
    return file


@pytest.mark.parametrize("task", TASK_NAMES)
def test_representations_are_searched_confirmed_and_reported_and_nothing_trained_is_offered(
    task: str, rows: Path, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    models, home = [str(tiny("BertConfig")), str(tiny("RobertaConfig"))], tmp_path / "mlruns"
    asked = {"task": task, "models": models, "space": str(tmp_path / "space.toml"), "max_length": 16, "home": home}
    searched = bench.search(str(rows), trials=6, **asked)
    measure = TASKS[task].measure
    entry = searched.front[0]
    assert len(entry.confirmed.repetitions) == 5
    chance = searched.baselines["random"]
    best = searched.choose("best")
    assert best.metrics[f"{measure.name}_mean"] > chance.search[f"{measure.name}_mean"]
    assert "late-fusion" not in searched.baselines
    assert searched.closing_report() is not None
    assert measure.title in str(searched.study.decision)
    assert "bench export" not in str(searched.study.decision)
    with pytest.raises(BenchError, match=rf"export needs a trained head, and {task} trains none"):
        searched.export(tmp_path / "package")
    with pytest.raises(BenchError, match=r"check needs a trained head"):
        from_study(home, searched.study.name)
    for wrong in ({"class_weight": "balanced"}, {"lazy": True}, {"protocol": "paper"}):
        with pytest.raises(BenchError, match="trains nothing"):
            bench.search(str(rows), **asked, **wrong)


@pytest.mark.slow
def test_does_the_best_layer_for_classification_serve_other_tasks_is_one_command(
    minilm: ResolvedModel, rows: Path, tmp_path: Path
) -> None:
    """On R8, and what it prints of a layer is what scikit-learn says of that layer's rows."""
    cut = {"max_train": 300, "max_test": 300}
    asked = {"models": [minilm.name], "max_length": 32, "home": tmp_path / "mlruns", "tracking": False}
    wanted = Wanted(DatasetRequest(name="r8", **cut), (minilm.name,), ExtractionSettings(max_length=32))
    material = gather(wanted, None, Store(store_home()))
    material.extract()
    truth = material.dataset.test.labels
    for task in TASK_NAMES:
        (done,) = api.reproduce("layers", ["r8"], task=task, **cut, **asked)
        (row,) = [each for each in done.findings.rows if each["kind"] == "model"]
        assert row["same"] == (row["own_layer"] == row["class_layer"])
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
        assert row["gain"] == pytest.approx(100 * (row["own_mean"] - row["class_mean"]), abs=1e-6)
        assert TASKS[task].measure.title in done.findings.notes[0]
        assert any(path.name == f"layers-{task}.html" for path in done.files)
        assert not done.findings.errata, "the paper says nothing of such tasks"
        for which in ("own", "class"):
            source = Source(model=minilm.name, layer=row[f"{which}_layer"], pooling="mean")
            where = stored(material.shelves)(source)
            features = material.evaluator().features
            scaler = StandardScaler().fit(features.train(where).float().numpy())
            scaled = scaler.transform(features.test(where).float().numpy())
            assert row[f"{which}_mean"] == pytest.approx(theirs(task, scaled, truth), abs=0.01)
    with pytest.raises(BenchError, match="The study 'pairs' is of trained heads"):
        api.reproduce("pairs", [str(rows)], task="clustering", **asked)


def theirs(task: str, x: np.ndarray, truth: np.ndarray) -> float:
    if task == "clustering":
        classes = len(set(truth.tolist()))
        found = [SklearnKMeans(classes, n_init=1, random_state=seed).fit_predict(x) for seed in range(5)]
        return float(np.mean([v_measure_score(truth, groups) for groups in found]))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    others = ~np.eye(len(x), dtype=bool)
    relevant = (truth[:, None] == truth)[others].reshape(len(x), -1)
    return float(ndcg_score(relevant, (unit @ unit.T)[others].reshape(len(x), -1), k=10))
