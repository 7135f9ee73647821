"""The regression gate: its rule in simulation, its verdicts on sabotaged pipelines, its exit statuses and reports."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file
from test_search import Run, request, run, store  # noqa: F401 - fixtures

from bench.backends import transformers
from bench.backends.resolution import resolve as resolve_settings
from bench.cli import main
from bench.datasets.load import DatasetRequest
from bench.errors import BenchError
from bench.evaluation import evaluator
from bench.gate import baseline as files
from bench.gate import measure
from bench.gate.baseline import Baseline, Pinned, Repeats, read, write
from bench.gate.check import from_study, measured
from bench.gate.judge import distance, judge
from bench.gate.latency import Reference, relative_latency
from bench.gate.measure import fresh_store
from bench.gate.reports import junit, junit_error, markdown, markdown_error
from bench.gate.rule import LEVEL, Change, RepeatedF1, changes
from bench.gate.verdict import Finding, Verdict
from bench.heads import DivergedError, FittedHead, Prediction
from bench.home import store_home
from bench.metrics import summarise
from bench.models.resolve import ResolvedModel
from bench.specs import MLP, Candidate, ExtractionSettings, Source
from bench.store import Store

ROOT = Path(__file__).parents[1]
HOSTILE = "a|b`<img src=x onerror=alert(1)>](http://x) **@all**\x00\nnext"


# The rule, in simulation.


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int, cells: np.ndarray, count: int) -> np.ndarray:
    """Macro-F1 of each of `count` cells of rows, all arrays flat."""
    flat = (cells * classes + labels) * classes + predicted
    confusion = np.bincount(flat, minlength=count * classes**2).reshape(count, classes, classes)
    hits, total = np.einsum("gcc->gc", confusion), confusion.sum(1) + confusion.sum(2)
    return np.divide(2 * hits, total, out=np.zeros(hits.shape), where=total > 0).sum(1) / (total > 0).sum(1)


def simulated(
    checks: int,
    *,
    rows: int = 200,
    classes: int = 2,
    skew: float = 1.0,
    seeds: int = 3,
    folds: int = 5,
    noise: float = 0.3,
    common: float = 0.5,
    fall: float = 0.0,
) -> list[tuple[RepeatedF1, RepeatedF1]]:
    """Pairs of scores of a pipeline that is right on 85 % of the rows, before and after a change.

    A row is right where its ease plus chance of the seed plus chance of the change exceeds a threshold. `noise` is the
    size of the last (0.05, 0.3, 1 flip 1, 7, 17 % of the rows), `common` the share of its variance that all seeds
    share, `fall` the loss of accuracy. A class is `skew` times as frequent as the one before.
    """
    from scipy.stats import norm

    generator = np.random.default_rng(rows + classes + seeds + folds)
    shares = skew ** np.arange(classes, dtype=float)
    counts = np.maximum(2, np.round(rows * shares / shares.sum())).astype(int)
    labels = np.repeat(np.arange(classes), counts)
    rows = len(labels)
    shape = (checks, seeds, rows)
    ease = generator.normal(size=(checks, 1, rows)) + 0.5 * generator.normal(size=shape)

    def right(accuracy: float) -> np.ndarray:
        shared, own = generator.normal(size=(checks, 1, rows)), generator.normal(size=shape)
        chance = noise * (np.sqrt(common) * shared + np.sqrt(1 - common) * own)
        return ease + chance > -norm.ppf(accuracy) * np.sqrt(1.25 + noise**2)

    wrong = (labels + 1 + generator.integers(0, classes - 1, size=(checks, 1, rows))) % classes
    # stratified folds, new for each seed
    order = np.argsort(labels + generator.random(shape), axis=-1)
    fold = np.empty(shape, dtype=np.int64)
    np.put_along_axis(fold, order, np.broadcast_to(np.arange(rows) % folds, shape), -1)
    cells = np.broadcast_to(np.arange(checks * seeds).reshape(checks, seeds, 1), shape)
    truth = np.broadcast_to(labels, shape).ravel()

    def scores(accuracy: float) -> list[RepeatedF1]:
        predicted = np.where(right(accuracy), labels, wrong).ravel()
        count = checks * seeds
        f1 = macro_f1(truth, predicted, classes, cells.ravel(), count).reshape(checks, seeds)
        by_fold = macro_f1(truth, predicted, classes, (cells * folds + fold).ravel(), count * folds)
        return [RepeatedF1(*pair) for pair in zip(f1, by_fold.reshape(checks, seeds, folds), strict=True)]

    return list(zip(scores(0.85), scores(0.85 - fall), strict=True))


def rate(pairs: list[tuple[RepeatedF1, RepeatedF1]], candidates: int = 1, rows: int = 200) -> float:
    """The share of checks of `candidates` candidates each that fail."""
    checks = [pairs[start : start + candidates] for start in range(0, len(pairs), candidates)]
    return float(np.mean([any(change.fell for change in changes(check, rows)) for check in checks]))


@pytest.mark.parametrize("common", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
@pytest.mark.parametrize(
    "shape",
    [
        {"rows": 200, "classes": 2},
        {"rows": 200, "classes": 8, "skew": 0.5},
        {"rows": 60, "seeds": 2, "folds": 3},
    ],
    ids=["even", "rare classes", "few rows"],
)
def test_false_alarms_stay_under_the_level(shape: dict[str, Any], noise: float, common: float) -> None:
    found = rate(simulated(800, **shape, noise=noise, common=common))
    # three standard errors of the simulation
    assert found <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / 800)


def test_more_candidates_give_no_more_false_alarms() -> None:
    assert rate(simulated(2400, noise=1.0, common=1.0), candidates=3) <= LEVEL + 3 * np.sqrt(LEVEL / 800)


@pytest.mark.parametrize(
    ("rows", "noise", "fall", "power"),
    [(200, 0.05, 0.05, 0.75), (200, 0.3, 0.1, 0.95), (600, 0.3, 0.05, 0.9), (600, 0.3, 0.1, 0.99)],
)
def test_power_is_what_the_rule_says(rows: int, noise: float, fall: float, power: float) -> None:
    pairs = simulated(300, rows=rows, noise=noise, fall=fall)
    assert rate(pairs, rows=rows) >= power
    # what it says of itself holds, too: such a fall is found with 80 % probability
    promised = float(np.median([changes([pair], rows)[0].detectable for pair in simulated(50, rows=rows, noise=noise)]))
    assert promised < 2.5 * fall
    assert rate(simulated(200, rows=rows, noise=noise, fall=promised), rows=rows) >= 0.75


def test_equal_scores_never_fail_and_a_plain_fall_always_does() -> None:
    generator = np.random.default_rng(0)
    before = RepeatedF1([0.8, 0.81, 0.79], generator.uniform(0.7, 0.9, (3, 5)).tolist())
    [same] = changes([(before, before)], 200)
    assert (same.difference, same.p, same.fell) == (0.0, 1.0, False) or same.p >= 0.5
    lower = RepeatedF1([f1 - 0.1 for f1 in before.f1], (np.array(before.folds) - 0.1).tolist())
    [fell] = changes([(before, lower)], 200)
    assert fell.fell
    assert fell.difference == pytest.approx(-0.1)
    # certain, but too small to matter
    slightly = RepeatedF1([f1 - 0.005 for f1 in before.f1], (np.array(before.folds) - 0.005).tolist())
    assert not changes([(before, slightly)], 200)[0].fell
    assert not changes([(lower, before)], 200)[0].fell
    assert changes([], 200) == []


# Verdicts on a small pipeline.


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("BENCH_DATA_HOME", "BENCH_TRACEBACK", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return folder


def rows_file() -> str:
    words = (("oil", "prices"), ("shares", "profit"))
    lines = [
        f"{words[row % 2][row % 3 % 2]} rose after the meeting {'late ' * (row % 7)}{row},{('oil', 'pay')[row % 2]}"
        for row in range(90)
    ]
    return "text,label\n" + "\n".join(lines) + "\n"


@pytest.fixture
def pipeline(here: Path, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set, a model and a baseline of two candidates in the working folder; time stands still."""
    monkeypatch.setattr(measure, "relative_latency", lambda *_: 1.0)
    (here / "rows.csv").write_text(rows_file())
    shutil.copytree(tiny("BertConfig"), here / "model")
    if not _baselines:
        head = MLP(hidden=8, learning_rate=2e-2, epochs=15)
        sources = [Source(model="model", layer=layer, pooling="mean") for layer in (0, 2)]
        candidates = (
            Candidate(sources=(sources[1],), head=head),
            Candidate(sources=tuple(sources), fusion="concat", head=head),
        )
        pinned = Pinned(
            origin="tests",
            dataset=DatasetRequest(name="rows.csv"),
            extraction=ExtractionSettings(max_length=12),
            protocol=Repeats(folds=4, repetitions=2),
            candidates=candidates,
        )
        _baselines.append(measured(pinned, store_home()))
    write(here / "baseline.json", _baselines[0])
    return here


# Measured once: the same for every test, as it should be.
_baselines: list[Baseline] = []
CHECK = ("check", "--baseline", "baseline.json")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line without a process of its own: status, stdout, stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        status: Any = 0
        try:
            main.run()
        except SystemExit as end:
            status = end.code
        return int(status or 0), *capsys.readouterr()

    return call


Called = Callable[..., tuple[int, str, str]]


def failed(called: Called, *words: str) -> dict[str, str]:
    """Subject → detail of what fails in a check that must fail."""
    status, out, err = called(*CHECK, "--json", *words)
    assert status == 1, err
    result = json.loads(out)
    assert not result["passed"]
    return {each["subject"]: each["detail"] for each in result["findings"] if each["status"] == "failed"}


def test_an_unchanged_pipeline_passes_with_equal_scores(pipeline: Path, called: Called) -> None:
    status, out, err = called(*CHECK, "--json")
    assert status == 0, err
    result = json.loads(out)
    assert result["passed"]
    quality = [each for each in result["findings"] if each["group"] == "quality"]
    assert [each["change"]["difference"] for each in quality] == [0.0, 0.0]
    assert {each["change"]["after"]["n"] for each in quality} == {2}
    # nothing is left behind, and nothing was written where a later check could read it
    assert sorted(path.name for path in Path(os.environ["BENCH_STORE"]).iterdir()) == ["checks", "converted"]
    assert not list((Path(os.environ["BENCH_STORE"]) / "checks").iterdir())
    status, out, _ = called(*CHECK)
    assert status == 0
    assert "passed: " in out
    assert "concat(model[0].mean + model[2].mean)" in out


@pytest.mark.parametrize(
    ("old", "new"), [("oil rose", "tin rose"), ("late 1,pay", "late 1,oil")], ids=["text", "label"]
)
def test_changed_rows_fail_and_end_the_check_of_a_baseline_that_knows_no_rows(
    pipeline: Path, called: Called, old: str, new: str
) -> None:
    edited(pipeline, lambda content: content.pop("rows"))
    rows = pipeline / "rows.csv"
    rows.write_text(rows.read_text().replace(old, new, 1))
    found = failed(called)
    assert found
    assert all(subject in {"train rows", "test rows"} for subject in found)
    assert "texts, labels, groups or their order changed" in next(iter(found.values()))


def quality(called: Called) -> tuple[int, list[dict[str, Any]], dict[str, str]]:
    """Status, the findings on scores, and subject → detail of the others that are no pass."""
    status, out, _ = called(*CHECK, "--json")
    findings = json.loads(out)["findings"]
    told = {each["subject"]: each["detail"] for each in findings if each["status"] in {"failed", "warning"}}
    return status, [each for each in findings if each["group"] == "quality"], told


def test_rows_that_came_are_named_and_the_others_judged_exactly(pipeline: Path, called: Called) -> None:
    rows = pipeline / "rows.csv"
    head, *lines = rows.read_text().splitlines()
    later = [f"a later text of number {number},{('oil', 'pay')[number % 2]}" for number in range(30)]
    rows.write_text("\n".join([head, *later[:10], *reversed(lines), *later[10:]]) + "\n")
    status, scores, told = quality(called)
    assert status == 0
    assert [each["change"]["difference"] for each in scores] == [0.0, 0.0]
    assert list(told) == ["rows that came"]
    assert told["rows that came"].startswith("30: 'train/")
    # an update takes them in, on the sides that they have
    assert called(*CHECK, "--update", "--yes")[0] == 0
    assert read(pipeline / "baseline.json").data.train.rows > _baselines[0].data.train.rows
    assert quality(called)[::2] == (0, {})


def test_rows_that_went_are_named_and_those_that_stayed_judged(
    pipeline: Path, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pipeline / "rows.csv"
    head, *lines = rows.read_text().splitlines()
    rows.write_text("\n".join([head, *lines[6:]]) + "\n")
    status, scores, told = quality(called)
    assert status == 1
    assert "6: 'train/" in told["rows that went"]
    assert {each["status"] for each in scores} == {"passed"}
    assert all("rows that stayed" in each["detail"] for each in scores)
    assert all("values" not in subject and "counts" not in subject for subject in told)
    generator, prediction = np.random.default_rng(0), FittedHead.prediction

    def worse(*arguments: Any, **options: Any) -> Prediction:
        p = prediction(*arguments, **options)
        turned = generator.random((len(p.logs), 1)) < 0.4
        return Prediction(*(np.where(turned, each[:, ::-1], each) for each in p))

    monkeypatch.setattr(FittedHead, "prediction", worse)
    assert {each["status"] for each in quality(called)[1]} == {"failed"}


def test_a_row_with_another_label_is_named(pipeline: Path, called: Called) -> None:
    rows = pipeline / "rows.csv"
    rows.write_text(rows.read_text().replace("late 1,pay", "late 1,oil", 1))
    status, scores, told = quality(called)
    assert status == 1
    assert told["rows with another label"].startswith("1: 'train/1'")
    assert {each["status"] for each in scores} == {"passed"}


def test_a_class_that_is_called_otherwise_is_said_to_be_and_no_quality_is_lost(pipeline: Path, called: Called) -> None:
    """Its name comes last now, so that numbers of classes are others too."""
    rows = pipeline / "rows.csv"
    rows.write_text(re.sub(r",oil$", ",zinc", rows.read_text(), flags=re.MULTILINE))
    status, scores, told = quality(called)
    assert status == 1, "somebody has to say that it was meant"
    assert "'oil' is now 'zinc'" in told["renamed classes"]
    assert {"rows with another label", "new classes", "classes that went"}.isdisjoint(told)
    for each in scores:
        assert each["status"] == "passed"
        assert each["change"]["before"]["mean"] > 0.5, "what was right is right under the new name"
        assert "fell" not in each["detail"]
    _, out, _ = called(*CHECK)
    assert "is now 'zinc'" in out


def test_a_new_class_is_named(pipeline: Path, called: Called) -> None:
    rows = pipeline / "rows.csv"
    lines = rows.read_text().splitlines()
    changed = [line.replace(",oil", ",zinc") if number < 40 else line for number, line in enumerate(lines)]
    rows.write_text("\n".join(changed) + "\n")
    status, _, told = quality(called)
    assert status == 1
    assert told["new classes"].startswith("'zinc'")
    assert "renamed classes" not in told
    assert "'train/" in told["rows with another label"]


def test_changed_weights_fail_by_digest_and_by_value(pipeline: Path, called: Called) -> None:
    weights = pipeline / "model" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if "layer.0" in name and name.endswith("intermediate.dense.weight"))
    tensors[name] *= 1.5
    stamp = weights.stat()
    save_file(tensors, weights, {"format": "pt"})
    # a remembered digest would not see a file of the same size and time
    os.utime(weights, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    found = failed(called)
    assert "weights: " in found["model: identity"]
    assert "at 2.mean" in found["model: values"]


def edited(pipeline: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((pipeline / "baseline.json").read_text())
    change(content)
    (pipeline / "baseline.json").write_text(json.dumps(content))


def test_changed_counts_fail(pipeline: Path, called: Called) -> None:
    tokens = _baselines[0].models["model"].tokens
    edited(pipeline, lambda content: content["models"]["model"].update(tokens=tokens - 1))
    assert failed(called) == {"model: counts": f"tokens: {tokens - 1} → {tokens}"}


def test_another_maximum_length_fails_wherever_it_shows(pipeline: Path, called: Called) -> None:
    edited(pipeline, lambda content: content["pinned"]["extraction"].update(max_length=6))
    assert {"model: identity", "model: counts", "model: values"} <= set(failed(called))


def test_folds_that_lack_a_class_are_scored_as_the_baseline_was(pipeline: Path) -> None:
    """Earlier versions counted such a class 0: their baselines are held against what is measured so, too."""
    lines = (pipeline / "rows.csv").read_text().splitlines()
    (pipeline / "rows.csv").write_text("\n".join([*lines, *(f"a rare word {row},rare" for row in range(3))]))
    pinned = _baselines[0].pinned
    both = {
        classes: measured(
            pinned.model_copy(update={"protocol": pinned.protocol.model_copy(update={"classes": classes})}),
            store_home(),
        )
        for classes in ("all", "held")
    }
    for before, now in zip(both["all"].scores, both["held"].scores, strict=True):
        assert before.f1 == now.f1, "out of fold every class has rows"
        parts = {round(a / b, 4) for a, b in zip(sum(before.folds, ()), sum(now.folds, ()), strict=True)}
        assert parts <= {1.0, round(2 / 3, 4)}
        assert len(parts) == 2, "three rows cannot be in each of four folds"
    for classes, baseline in both.items():
        write(pipeline / "b.json", baseline)
        assert read(pipeline / "b.json") == baseline
        assert ("classes" in json.loads((pipeline / "b.json").read_text())["pinned"]["protocol"]) == (classes == "held")


def test_accuracy_stands_beside_and_another_measure_may_be_pinned(pipeline: Path, called: Called) -> None:
    """A baseline of before has no accuracy, and is checked as it was."""
    edited(pipeline, lambda content: [scores.pop("beside") for scores in content["scores"]])
    status, out, _ = called(*CHECK, "--json")
    beside = [each["beside"]["accuracy"] for each in json.loads(out)["findings"] if each["group"] == "quality"]
    assert status == 0
    assert [then for then, _ in beside] == [None, None]
    assert all(0.5 < now <= 1 for _, now in beside)

    pinned = _baselines[0].pinned.model_copy(update={"measure": "balanced_accuracy"})
    found = measured(pinned, store_home())
    assert found.measure.title == "balanced accuracy"
    assert [each.title for each in found.pinned.beside] == ["macro-F1", "accuracy"]
    write(pipeline / "baseline.json", found)
    status, out, _ = called(*CHECK)
    assert status == 0
    assert "Balanced accuracy, paired by seed" in out


@pytest.mark.parametrize("measure", ["log_loss", "brier", "calibration_error"])
def test_probabilities_are_checked_where_less_is_better(
    pipeline: Path, called: Called, monkeypatch: pytest.MonkeyPatch, measure: str
) -> None:
    pinned = _baselines[0].pinned.model_copy(update={"measure": measure})
    write(pipeline / "baseline.json", measured(pinned, store_home()))
    assert called(*CHECK)[0] == 0
    prediction = FittedHead.prediction

    def unsure(*arguments: Any, **options: Any) -> Prediction:
        """The same classes, and another temperature: no measure of classes sees it."""
        p = prediction(*arguments, **options)
        logs = p.logs / 40
        return p._replace(logs=logs - np.log(np.exp(logs).sum(1, keepdims=True)))

    monkeypatch.setattr(FittedHead, "prediction", unsure)
    status, scores, _ = quality(called)
    assert status == 1
    assert {each["status"] for each in scores} == {"failed"}
    assert all(each["change"]["difference"] > 0 and " rose " in each["detail"] for each in scores)
    assert all(then == now for each in scores for then, now in each["beside"].values())
    # of rows that went no probabilities are kept, so that those that stayed are judged by their classes
    monkeypatch.setattr(FittedHead, "prediction", prediction)
    rows = pipeline / "rows.csv"
    head, *lines = rows.read_text().splitlines()
    rows.write_text("\n".join([head, *lines[6:]]) + "\n")
    _, scores, told = quality(called)
    assert "rows that went" in told
    assert all(each["detail"].startswith("macro-F1 on the") for each in scores)


def test_a_fall_of_what_is_better_lower_is_a_rise() -> None:
    """Log-losses of rows have heavy tails: the rule holds its level with them."""
    generator = np.random.default_rng(0)

    def losses(noise: np.ndarray, scale: float) -> np.ndarray:
        return np.log1p(np.exp(-(ease + noise) * scale)).reshape(checks, 3, 5, 40)

    checks = 400
    ease = 2 + 2 * generator.normal(size=(checks, 1, 200)) + 0.3 * generator.normal(size=(checks, 3, 200))
    noise = [0.5 * generator.normal(size=ease.shape) + 0.5 * generator.normal(size=(checks, 1, 200)) for _ in range(2)]
    before, after, worse = losses(noise[0], 1), losses(noise[1], 1), losses(noise[1] - 1, 1)

    def share(now: np.ndarray) -> float:
        both = [[RepeatedF1(one.mean((1, 2)), one.mean(2)) for one in pair] for pair in zip(before, now, strict=True)]
        return float(np.mean([changes([(a, b)], 200, sign=-1)[0].fell for a, b in both]))

    assert share(after) <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / checks)
    assert share(worse) > 0.9


def test_values_may_differ_by_rounding_and_no_more() -> None:
    values = np.random.default_rng(0).normal(size=(4, 4))
    values[:, 1] *= 1e4  # a massive activation
    moved = [distance(values, values * (1 + size)) for size in (0, 1e-5, 1e-2)]
    assert moved == pytest.approx([0, 1e-5, 1e-2], rel=0.5)
    shifted = values.copy()
    shifted[0, 0] += 1  # in one text and one dimension, far smaller than the massive one
    assert distance(values, shifted) > 0.05
    assert distance(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert distance(np.zeros((2, 2)), np.ones((2, 2))) == 1


def test_a_worse_head_fails_on_quality_alone_though_the_store_remembers_a_good_one(
    pipeline: Path, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert called(*CHECK)[0] == 0
    prediction = FittedHead.prediction
    generator = np.random.default_rng(0)

    def worse(*arguments: Any, **options: Any) -> Prediction:
        p = prediction(*arguments, **options)
        turned = generator.random((len(p.logs), 1)) < 0.4
        return Prediction(*(np.where(turned, each[:, ::-1], each) for each in p))

    monkeypatch.setattr(FittedHead, "prediction", worse)
    found = failed(called)
    assert len(found) == 2
    assert all("more than chance explains" in detail for detail in found.values())
    status, out, _ = called(*CHECK)
    assert status == 1
    assert "FAILED: 2 of" in out


def test_training_that_diverges_fails_and_makes_no_baseline(
    pipeline: Path, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise DivergedError("no")

    monkeypatch.setattr(evaluator, "fit", diverge)
    assert set(failed(called).values()) == {"its training diverges"}
    status, _, err = called(*CHECK, "--update", "--yes")
    assert status == 2
    assert "diverges" in err
    assert read(pipeline / "baseline.json") == _baselines[0]


def test_latency_warns_and_fails_only_where_asked(pipeline: Path) -> None:
    then = _baselines[0]
    facts = then.models["model"]
    now = then.model_copy(update={"models": {"model": facts.model_copy(update={"latency": 2 * facts.latency})}})
    assert [finding.status for finding in judge(then, now).findings if finding.group == "latency"] == ["warning"]
    assert not judge(then, now).failed
    [slow] = judge(then, now, fail_on_latency=1.8).failed
    assert "more than the 1.8 × allowed" in slow.detail
    assert not judge(then, now, fail_on_latency=2.5).failed


@pytest.mark.slow
def test_latency_is_relative_and_follows_depth(minilm: ResolvedModel) -> None:
    opened = transformers.open(minilm, resolve_settings(ExtractionSettings(device="cpu", max_length=32)))
    texts = [f"net profit of {row} mln dlrs vs one mln {'late ' * (row % 7)}" for row in range(12)]
    shallow, deep = (relative_latency(opened, texts, [layer]) for layer in (0, 6))
    opened.close()
    # six layers against none: far apart on the busiest machine
    assert 0 < 2 * shallow < deep
    assert Reference("cpu", "float16").seconds() > 0


def test_other_library_versions_are_told_and_do_not_fail(pipeline: Path) -> None:
    then = _baselines[0]
    now = then.model_copy(update={"software": then.software | {"torch": "99.0"}})
    [software] = [finding for finding in judge(then, now).findings if finding.group == "software"]
    assert software.status == "note"
    assert "→ 99.0" in software.detail
    assert not judge(then, now).failed


# Checks that could not run.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(extra=1), "not valid at extra"),
        (lambda content: content["scores"][0]["f1"].__setitem__(0, float("nan")), "not valid at scores.0.f1"),
        (
            lambda content: content["scores"][0]["folds"][0].__setitem__(0, float("inf")),
            "not valid at scores.0.folds",
        ),
        (lambda content: content["scores"][0]["f1"].__setitem__(0, 1.5), "no macro-F1 is better than 1"),
        (lambda content: next(iter(content["models"].values())).update(latency=float("nan")), "latency"),
        (lambda content: content["pinned"]["protocol"].update(fold=5), "not valid at pinned.protocol.fold"),
        (lambda content: content.update(format=2), "of format 2"),
        (lambda content: content["scores"].pop(), "contradicts itself"),
        (lambda content: content["scores"][0]["folds"][0].pop(), "contradicts itself"),
        (lambda content: content["models"].pop("model"), "contradicts itself"),
        (lambda content: content["pinned"]["dataset"].update(name="elsewhere.csv"), "elsewhere.csv"),
    ],
)
def test_a_baseline_that_cannot_be_used_is_status_2(
    pipeline: Path, called: Called, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    edited(pipeline, change)
    status, out, err = called(*CHECK)
    assert status == 2
    assert words in err
    assert "Traceback" not in err
    assert not out


def test_what_is_missing_is_status_2_and_told_in_the_reports(pipeline: Path, called: Called) -> None:
    shutil.rmtree(pipeline / "model")
    status, _, err = called(*CHECK, "--junit", "out.xml", "--markdown", "out.md")
    assert status == 2
    assert "There is no model 'model'" in err
    [case] = ET.parse("out.xml").getroot().iter("testcase")
    assert "There is no model" in case.find("error").attrib["message"]
    assert "could not run" in Path("out.md").read_text()
    assert called("check", "--baseline", "none.json")[0] == 2
    (pipeline / "torn.json").write_text('{"format": 1, ')
    status, _, err = called("check", "--baseline", "torn.json")
    assert status == 2
    assert "cannot be read" in err


@pytest.mark.parametrize(
    "words",
    [("--yes",), ("--study", "s"), ("--update", "--trial", "3"), ("--update", "--fail-on-latency", "2"), ("--nope",)],
)
def test_options_without_effect_are_usage_errors(pipeline: Path, called: Called, words: tuple[str, ...]) -> None:
    status, _, err = called(*CHECK, *words)
    assert status == 2
    assert "Usage: bench check" in err


# Updating.


def test_an_update_shows_the_difference_and_asks(pipeline: Path, called: Called) -> None:
    edited(pipeline, lambda content: content["models"]["model"].update(tokens=1))
    before = (pipeline / "baseline.json").read_bytes()
    status, out, err = called(*CHECK, "--update")
    assert status == 2
    assert "tokens: 1 → " in out
    assert "Nothing was written." in out
    assert "add --yes" in err
    assert (pipeline / "baseline.json").read_bytes() == before

    status, out, err = called(*CHECK, "--update", "--yes")
    assert (status, err.count("Traceback")) == (0, 0)
    assert "Wrote baseline.json." in out
    assert read(pipeline / "baseline.json").models["model"].tokens == _baselines[0].models["model"].tokens
    assert called(*CHECK)[0] == 0


def test_an_interrupted_update_leaves_the_old_file(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (pipeline / "baseline.json").read_bytes()

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(pipeline / "baseline.json", replace_software(_baselines[0]))
    assert (pipeline / "baseline.json").read_bytes() == before
    assert not list(pipeline.glob(".*.tmp"))


def replace_software(baseline: Baseline) -> Baseline:
    return baseline.model_copy(update={"software": {"bench": "0"}})


def test_a_baseline_is_the_same_after_reading_and_a_score_is_a_line(pipeline: Path) -> None:
    path = pipeline / "again.json"
    write(path, _baselines[0])
    assert read(path) == _baselines[0]
    scores = [line for line in path.read_text().splitlines() if '"f1": [' in line]
    assert len(scores) == 2
    # a line is longer only where it is a single text, which stands for all rows
    alone = re.compile(r' *("\w+": )?"\w[^" ]*"[\],}]*')
    wrapped = [line for line in path.read_text().splitlines() if not alone.fullmatch(line)]
    assert max(map(len, wrapped)) <= files.WIDTH + 20


@pytest.mark.slow
def test_candidates_come_from_a_study(run: Run, store: Store, tmp_path: Path) -> None:  # noqa: F811
    result = run(trials=3)
    pinned = from_study(tmp_path, "s")
    front = [entry.candidate for entry in result.front]
    assert list(pinned.candidates) == front or len(front) > 5
    assert pinned.extraction == request().extraction
    assert (pinned.protocol.folds, pinned.protocol.repetitions) == (3, 2)
    best = from_study(tmp_path, "s", ["best-f1", "best-f1"], max_train=60)
    assert best.candidates == (front[-1],)
    assert best.dataset.max_train == 60
    # what is measured is what the search scored, to the rounding of other batches
    [scores] = measured(from_study(tmp_path, "s", ["best-f1"]), store_home()).scores
    assert summarise(scores.f1).mean == pytest.approx(result.front[-1].search["f1_mean"], abs=2e-2)
    with pytest.raises(BenchError, match="no scored trial"):
        from_study(tmp_path, "s", ["999"])
    with pytest.raises(BenchError, match="There is no study"):
        from_study(tmp_path, "t")


# The store, the reports, the project's own gate.


def test_a_fresh_store_shares_conversions_and_clears_what_a_kill_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    checks = home / "checks"
    with ProcessPoolExecutor(1) as pool:
        gone = pool.submit(os.getpid).result()
    with fresh_store(home) as busy:
        dead = checks / busy.home.name.replace(f"-{os.getpid()}-", f"-{gone}-")
        earlier = [checks / "tmpabc", checks / "tmpabc.lock"]  # as an earlier bench called them
        for folder in (dead, *earlier):
            (folder / "embeddings").mkdir(parents=True)
        for path in (path for folder in earlier for path in (folder / "embeddings", folder)):
            os.utime(path, (0, 0))
        (home / "converted" / "sha").mkdir(parents=True)
        with fresh_store(home) as fresh:
            assert (fresh.home / "converted" / "sha").is_dir()
            assert not list(fresh.shelves())
            assert sorted(checks.iterdir()) == sorted([busy.home, fresh.home])
        assert not fresh.home.exists()
    assert (home / "converted" / "sha").is_dir()


def hostile_verdict() -> Verdict:
    change = Change(summarise([0.8]), summarise([0.5]), -0.3, 0.001, 0.05, fell=True)
    return Verdict(
        (
            Finding("quality", HOSTILE, "failed", HOSTILE, change),
            Finding("model", HOSTILE, "skipped", HOSTILE),
            Finding("latency", HOSTILE, "warning", HOSTILE),
        )
    )


def test_reports_are_well_formed_whatever_names_hold() -> None:
    suite = ET.fromstring(junit(hostile_verdict(), 1.5)).find("testsuite")
    assert {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    cases = list(suite.iter("testcase"))
    assert all(case.attrib["name"].startswith("a|b`<img") for case in cases)
    assert [[child.tag for child in case] for case in cases] == [["failure"], ["skipped"], ["system-out"]]
    assert ET.fromstring(junit_error(HOSTILE, 0.1)).find("testsuite").attrib["errors"] == "1"
    for text in (markdown(hostile_verdict()), markdown_error(HOSTILE)):
        assert not any(mark in text for mark in ("<img", "](", "**@", "`", "\x00", "@all"))
    rows = [line for line in markdown(hostile_verdict()).splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {5}
    # the spread of a single seed is unknown, which JSON calls null
    assert json.loads(json.dumps(hostile_verdict().to_json(), allow_nan=False))["findings"][0]["change"]["p"] == 0.001


def test_reports_are_written_and_a_job_summary_is_added_to(
    pipeline: Path, called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pipeline / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    status, _, _ = called(*CHECK, "--markdown", str(summary), "--junit", "out.xml")
    assert status == 0
    assert summary.read_text().startswith("before\n## bench check: passed")
    assert ET.parse("out.xml").getroot().find("testsuite").attrib["failures"] == "0"
    (pipeline / "other.md").write_text("before\n")
    (pipeline / "rows.csv").write_text(rows_file().replace("oil", "tin"))
    assert called(*CHECK, "--markdown", "other.md", "--junit", "out.xml")[0] == 1
    assert (pipeline / "other.md").read_text().startswith("## bench check: FAILED")
    suite = ET.parse("out.xml").getroot().find("testsuite")
    failures = [case.attrib["name"] for case in suite.iter("testcase") if case.find("failure") is not None]
    assert failures == ["train rows", "test rows", "rows that went", "renamed classes"]
    assert suite.attrib["failures"] == "4"


@pytest.mark.slow
def test_exit_statuses_of_real_processes(pipeline: Path) -> None:
    def status(*words: str) -> int:
        command = [sys.executable, "-m", "bench", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert "Traceback" not in done.stderr
        return done.returncode

    assert status(*CHECK) == 0
    (pipeline / "rows.csv").write_text(rows_file().replace("oil", "tin"))
    assert status(*CHECK) == 1
    assert status("check", "--baseline", "none.json") == 2
    assert status("check") == 2


def test_the_projects_own_baseline_is_what_the_readme_says() -> None:
    own = read(ROOT / "tests" / "baseline.json")
    assert any(candidate.fusion != "none" for candidate in own.pinned.candidates)
    assert own.data.train.rows == 200
    told = (ROOT / "tox.ini").read_text()
    assert "all" in told.split("env_list = ")[1].splitlines()[0]
    assert "{[testenv:check]commands}" in told.split("\n[testenv:all]")[1].split("\n[testenv:")[0]


def test_the_workflow_goes_on_with_the_last_history_of_the_main_branch(here: Path) -> None:
    """Against a stand-in for GitHub's command line, which has the runs of `--branch`, the newest first."""
    stand_in = here / "bin" / "gh"
    stand_in.parent.mkdir()
    stand_in.write_text(
        """#!/bin/sh
case "$1 $2" in
  "run list") case "$*" in *'--branch main'*'.event != "pull_request"'*) printf '30\\n20\\n10\\n' ;; esac ;;
  "run download") [ "$3" != 30 ] && echo "of run $3" > check-history.jsonl ;;
esac
"""
    )
    stand_in.chmod(0o755)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["check"]["steps"]}
    environment = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "BRANCH": "main"}

    def fetched(branch: str) -> bool:
        command = ["bash", "-e", "-c", steps["Fetch the history"]["run"]]
        subprocess.run(command, check=True, env=environment | {"BRANCH": branch}, cwd=here)
        return (here / "check-history.jsonl").exists()

    assert not fetched("elsewhere"), "the first run finds none, and goes on"
    assert fetched("main")
    assert (here / "check-history.jsonl").read_text() == "of run 20\n", "the newest that kept one"
    kept = steps["Keep the history"]
    assert kept["with"]["path"] == workflow["jobs"]["check"]["env"]["HISTORY"]
    assert kept["with"]["overwrite"], "a run that is run again has an artifact of that name"
    assert "pull_request" in kept["if"]


def test_the_workflow_runs_commands_that_exist(called: Called) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    assert {"pull_request", "schedule"} <= set(workflow[True])  # YAML 1.1 reads "on" as a truth value
    job = workflow["jobs"]["check"]
    uses = [step["uses"] for step in job["steps"] if "uses" in step]
    assert all(name.startswith("actions/") and name.partition("@v")[2].isdigit() for name in uses)
    [command] = [step["run"] for step in job["steps"] if step.get("name") == "Check"]
    words = command.split()
    assert words[:2] == ["bench", "check"]
    _, out, _ = called("check", "--help")
    assert all(word in out for word in words if word.startswith("--"))
    assert (ROOT / job["env"]["BASELINE"]).is_file()
