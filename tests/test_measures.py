"""Measures against scikit-learn, and objectives by name: values, directions, words, bounds."""

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric_name
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve
from test_search import SPACE, cost, request

from bench.cli.search import _print_study
from bench.errors import BenchError
from bench.measures import MEASURES, Measure, Predictions, add, check_classes, objective, objective_names, prices
from bench.metrics import Counts, Reliability
from bench.progress import SILENT
from bench.report import write
from bench.space.objectives import Objectives
from bench.store import Store
from bench.study.columns import search_columns
from bench.study.journal import read
from bench.study.prepared import prepare
from bench.study.record import TrialRecord
from bench.study.reopen import reopen
from bench.study.run import search
from bench.tracking import MlflowTracker

LABELS = ("grain", "money-fx", "C++", "never")


@st.composite
def answers(draw: st.DrawFn, classes: int = len(LABELS)) -> Predictions:
    """Rows of some classes, with probabilities in float32 from sure to undecided."""
    rows = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(scale=draw(st.sampled_from([0.1, 1.0, 8.0, 60.0])), size=(rows, classes))
    logs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
    truth = rng.integers(draw(st.integers(1, classes)), size=rows)
    return Predictions(truth, logs.argmax(1), LABELS[:classes], logs)


@given(answers())
def test_scores_are_scikit_learns(each: Predictions) -> None:
    y, p = each.truth, each.predicted
    every = list(range(len(LABELS)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted and not there
        expected = {
            "f1": oracle.f1_score(y, p, average="macro", zero_division=0),
            "accuracy": oracle.accuracy_score(y, p),
            "weighted_f1": oracle.f1_score(y, p, labels=every, average="weighted", zero_division=0),
            "balanced_accuracy": oracle.balanced_accuracy_score(y, p),
            "mcc": oracle.matthews_corrcoef(y, p),
            "log_loss": oracle.log_loss(y, np.exp(each.log_probabilities), labels=every),
            "brier": oracle.brier_score_loss(y, np.exp(each.log_probabilities), labels=every, scale_by_half=False),
        }
    assert {name: each.value(MEASURES[name]) for name in expected} == pytest.approx(expected, abs=2e-6)
    per_class = oracle.f1_score(y, p, labels=every, average=None, zero_division=0)
    for label, value in zip(("grain", "money-fx", "C__", "never"), per_class, strict=True):
        assert objective(f"f1.{label}_mean").value([each]) == pytest.approx(value)


@given(answers())
def test_calibration_error_weighs_scikit_learns_curve(each: Predictions) -> None:
    assert each.log_probabilities is not None
    right, confidence = each.predicted == each.truth, np.exp(each.log_probabilities.astype(np.float64)).max(1)
    confidence = np.minimum(confidence, 1.0)
    accuracy, mean = calibration_curve(right, confidence, n_bins=15)
    rows = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidence), minlength=15)
    expected = (rows[rows > 0] / len(right) * np.abs(accuracy - mean)).sum()
    assert each.value(MEASURES["calibration_error"]) == pytest.approx(expected, abs=1e-6)
    shown = Reliability.of(each.truth, each.predicted, each.log_probabilities)
    filled = shown.rows > 0
    assert shown.accuracy[filled] == pytest.approx(accuracy)
    assert shown.confidence[filled] == pytest.approx(mean, abs=1e-6)
    assert shown.rows.sum() == len(each.truth)
    assert np.isnan(shown.accuracy[~filled]).all()


def test_without_probabilities_what_needs_them_is_unknown_and_an_unseen_class_is_as_unlikely_as_can_be() -> None:
    truth = np.array([0, 1])
    bare = Predictions(truth, truth, LABELS[:2])
    for name in ("log_loss", "brier", "calibration_error"):
        assert np.isnan(objective(f"{name}_mean").value([bare]))
        assert np.isnan(objective(f"{name}_worst").value([bare]))
    unseen = Predictions(truth, np.array([0, 0]), LABELS[:2], np.zeros((2, 1), dtype=np.float32))
    assert unseen.value(MEASURES["log_loss"]) == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2)
    assert unseen.value(MEASURES["brier"]) == pytest.approx(1)


OF_CLASSES = [name for name in objective_names() if objective(name).measure.task not in {"multilabel", "retrieval"}]
"""What is said of a row there is no class."""


@given(st.lists(answers(3), min_size=1, max_size=4), st.integers(1, 4), st.sampled_from(OF_CLASSES))
def test_a_bound_is_never_worse_than_what_becomes_of_it(outcomes: list[Predictions], seen: int, name: str) -> None:
    asked = objective(name)
    if asked.is_cost or (asked.is_spread and len(outcomes) < 2):
        return
    bound = asked.bound(outcomes[: min(seen, len(outcomes))], len(outcomes))
    assert asked.sign * bound >= asked.sign * asked.value(outcomes) - 1e-12


def test_the_lower_end_is_over_rows_where_repetitions_agree() -> None:
    truth = np.arange(2).repeat(30)
    predicted = np.where(np.arange(60) % 5 == 0, 1 - truth, truth)
    few, many = ([Predictions(np.tile(truth, times), np.tile(predicted, times), LABELS[:2])] * 3 for times in (1, 20))
    found = [[objective(f"accuracy_{name}").value(each) for name in ("low", "floor", "mean")] for each in (few, many)]
    for (low, worst, mean), rows in zip(found, (60, 1200), strict=True):
        assert worst == pytest.approx(mean)
        # a normal distribution's fifth percentile
        assert low == pytest.approx(mean - 1.645 * np.sqrt(mean * (1 - mean) / rows), abs=0.12 / rows**0.5)
    grouped = [replace(each, groups=np.arange(1200) % 20) for each in many]
    assert objective("accuracy_low").value(grouped) < found[1][0] - 0.02, "the same rows in twenty groups say less"
    assert objective("accuracy_low").of([0.9, 0.9, 0.9]) == pytest.approx(0.9), "a screening knows of no rows"


def test_names_are_understood_and_say_what_is_meant() -> None:
    old = [
        "f1_floor",
        "f1_mean",
        "f1_std",
        "accuracy_floor",
        "accuracy_mean",
        "accuracy_std",
        "latency_ms",
        "memory_gb",
    ]
    assert set(old) <= set(objective_names())
    for name in objective_names():
        assert objective(name).name == name
        _validate_metric_name(f"confirm_{name}")
    found = {
        name: (objective(name).direction, objective(name).label)
        for name in [*old, "log_loss_worst", "f1_low", "log_loss_high"]
    }
    assert found == {
        "f1_floor": ("maximize", "macro-F1, worst repetition"),
        "f1_mean": ("maximize", "macro-F1, mean over repetitions"),
        "f1_std": ("minimize", "macro-F1, standard deviation over repetitions"),
        "accuracy_floor": ("maximize", "accuracy, worst repetition"),
        "accuracy_mean": ("maximize", "accuracy, mean over repetitions"),
        "accuracy_std": ("minimize", "accuracy, standard deviation over repetitions"),
        "latency_ms": ("minimize", "extraction latency (ms per text)"),
        "memory_gb": ("minimize", "peak memory (GiB)"),
        "log_loss_worst": ("minimize", "log-loss (nats), worst repetition"),
        "f1_low": ("maximize", "macro-F1, what is kept in 95 of 100 draws of rows and repetition"),
        "log_loss_high": ("minimize", "log-loss (nats), what is kept in 95 of 100 draws of rows and repetition"),
    }
    assert objective("f1_worst").name == "f1_floor"
    assert objective("f1.C++_worst").name == "f1.C___floor"
    _validate_metric_name(objective("f1.a|b/../c[d]_mean").name)
    for wrong in ("f1", "f1_men", "mean", "latency_ms_mean", "mcc.grain_mean", "f1._mean", ""):
        with pytest.raises(BenchError, match=r"no objective .*(did you mean|known:)"):
            objective(wrong)


def test_a_class_that_is_not_there_is_refused_with_the_nearest() -> None:
    check_classes([objective("f1.grain_mean"), objective("accuracy_mean")], LABELS)
    with pytest.raises(BenchError, match=r"no class 'grian'.*did you mean 'grain'"):
        check_classes([objective("f1.grian_mean")], LABELS)
    with pytest.raises(BenchError, match="More than one class is spelled 'C__'"):
        check_classes([objective("f1.C++_mean")], [*LABELS, "C__"])


@pytest.mark.parametrize("name", ["mcc", "log_loss", "f1.grain"])
def test_an_interval_over_rows_holds_the_mean(name: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=200)
    logs = [np.log(rng.dirichlet([1, 1, 1], size=200)) + 2 * np.eye(3)[truth] for _ in range(2)]
    outcomes = [Predictions(truth, each.argmax(1), LABELS[:3], each) for each in logs]
    measure = objective(f"{name}_mean").measure
    found = measure.interval(outcomes)
    assert found.value == pytest.approx(objective(f"{name}_mean").value(outcomes))
    assert found.low < found.value < found.high


def test_a_cost_is_the_sum_over_models() -> None:
    class Cost:
        layer_ms = (1.0, 2.0)
        peak_memory_gb = 0.5

    assert prices([(Cost(), 1), (Cost(), 0)]) == {"latency_ms": 3.0, "memory_gb": 1.0}


def test_a_row_has_a_plain_name_and_one_way_to_its_value() -> None:
    for wrong in ({"name": "a.b c"}, {"name": "a", "priced": len}, {"name": "a", "computed": None}):
        with pytest.raises(ValueError, match="one way"):
            Measure(**{"title": "a", "computed": lambda each: 0.0} | wrong)  # type: ignore[arg-type]


@pytest.fixture
def toy() -> Iterator[Measure]:
    """A measure of a test's own: the least recall of a class that has rows."""

    def least_recall(counts: Counts) -> Any:
        recall = np.divide(counts.hits, counts.support, out=np.ones_like(counts.hits), where=counts.support > 0)
        return recall.min(-1)

    yield add(Measure("least_recall", "least recall", heading="recall", best=1, counted=least_recall))
    MEASURES._entries.pop("least_recall")


@pytest.mark.slow
def test_a_new_row_is_searched_for_drawn_reported_and_written_everywhere(
    toy: Measure,
    tmp_path: Path,
    in_model_store: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bench.preparation.measure", cost)
    wanted = Objectives(maximize=("least_recall_mean",), minimize=("log_loss_worst", "memory_gb"))
    space = SPACE.model_copy(update={"objectives": wanted})
    store, tracker = Store(tmp_path / "store"), MlflowTracker(tmp_path)
    asked = request(space=space, trials=4)
    result = search(prepare(asked, store, SILENT), tmp_path, tracker, SILENT)
    found = result.to_json()
    json.dumps(found, allow_nan=False)
    own = ("least_recall_mean", "least_recall_std", "least_recall_floor", "log_loss_worst")
    assert all(isinstance(entry[name], float) for entry in found["front"] for name in own)
    assert all(name in entry["confirm"] for entry in found["front"] for name in own)
    record = read(tmp_path, "s").of("complete")[0]
    assert record.metrics["least_recall_mean"] == pytest.approx(np.mean(record.values["least_recall"]))

    client = MlflowClient(tracker.store.address)
    assert result.session is not None
    table = (
        Path(client.download_artifacts(result.session.parent_run_id, "front.csv", str(tmp_path)))
        .read_text()
        .splitlines()
    )
    assert {"least_recall_floor", "test_log_loss_worst", "memory_gb"} <= set(table[0].split(","))
    run = client.get_run(result.front[0].run_id)
    assert {"least_recall", "least_recall_mean", "confirm_log_loss_worst"} <= set(run.data.metrics)
    _print_study(result)
    printed = capsys.readouterr().out
    above, below = printed.partition("Front: ")[2].splitlines()[1:3]
    assert {"recall", "log-loss"} <= set(above.split())
    assert {"floor", "worst"} <= set(below.split())

    study = reopen(tmp_path, "s", store)
    page = write(study, tmp_path / "report").page.read_text()
    assert "search: recall floor" in page
    assert "least recall, mean over repetitions" in page
    reached = {each.candidate: each.search["least_recall_mean"] for each in study.front}
    assert reached[study.choose("best").subject] == max(reached.values())
    assert study.choose("best-f1") == study.choose("best")


def test_a_space_takes_any_measure_in_its_direction() -> None:
    assert Objectives(maximize=("f1_worst", "mcc_mean"), minimize=("log_loss_mean",)).maximize == (
        "f1_floor",
        "mcc_mean",
    )
    with pytest.raises(ValueError, match="log_loss_mean is to be minimized"):
        Objectives(maximize=("log_loss_mean",))
    with pytest.raises(ValueError, match="there is no 'mmc_mean': did you mean 'mcc_mean'"):
        Objectives(maximize=("mmc_mean",))


def test_a_journal_of_two_measures_reads_on() -> None:
    candidate = {"sources": [{"model": "m", "layer": 1, "pooling": "mean"}]}
    old = {"number": 0, "state": "complete", "candidate": candidate, "f1": [0.5, 0.6], "accuracy": [0.7, 0.8]}
    record = TrialRecord.model_validate(old)
    assert record.values == {"f1": (0.5, 0.6), "accuracy": (0.7, 0.8)}
    assert record.repetitions == 2
    assert TrialRecord.model_validate(record.model_dump(mode="json")) == record
    assert TrialRecord.model_validate(old | {"f1": [], "accuracy": []}).values == {}


def test_what_is_searched_for_leads_the_columns_and_may_not_be_left_out() -> None:
    for wanted, lead in (
        ("f1_mean", "F1 mean"),
        ("f1_low", "F1 low"),
        ("f1_floor", "F1 floor"),
        ("mcc_mean", "MCC mean"),
    ):
        columns = search_columns(Objectives(maximize=(wanted,)))
        assert (columns[0].heading, columns[0].spare) == (lead, False)
        assert "acc. mean" in [each.heading for each in columns if not each.spare]
        assert len({each.heading for each in columns}) == len(columns)
