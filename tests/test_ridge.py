"""The ridge head: scikit-learn's regression on the training rows of each fold, with a penalty and a temperature."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier

from bench.fusion import FUSIONS
from bench.heads import FittedHead, Job, fit
from bench.heads import design as design_module
from bench.heads import ridge as ridge_module
from bench.heads.closed import PENALTIES
from bench.heads.ridge import best_temperature
from bench.specs import Candidate, ClassWeight, Ridge, Source
from bench.study.writing import candidate_params
from bench.threads import torch_threads

ROWS, CLASSES = 120, 3
EXPONENTS = {"none": 0.0, "sqrt": -0.5, "balanced": -1.0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def candidate(count: int = 1, fusion: str = "concat", class_weight: ClassWeight = "sqrt") -> Candidate:
    sources = tuple(Source(model=f"m{number}", layer=0, pooling="mean") for number in range(count))
    return Candidate(sources=sources, fusion="none" if count == 1 else fusion, head=Ridge(class_weight=class_weight))


def data(*widths: int, rows: int = ROWS, distance: float = 0.8) -> tuple[list[torch.Tensor], np.ndarray]:
    """Classes of unequal size around centres of their own, in units of their own."""
    rng = np.random.default_rng(sum(widths))
    labels = rng.choice(CLASSES, rows, p=[0.6, 0.3, 0.1])
    features = []
    for width in widths:
        x = rng.normal(size=(CLASSES, width))[labels] * distance + rng.normal(size=(rows, width))
        features.append(torch.from_numpy((x * rng.uniform(0.1, 50, width) + 7).astype(np.float32)))
    return features, labels


def jobs(rows: int = ROWS) -> list[Job]:
    folds = np.random.default_rng(1).permutation(np.arange(rows) % 4)
    return [Job(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold), fold) for fold in range(4)]


def standardised(features: list[torch.Tensor], job: Job) -> np.ndarray:
    x = torch.cat(features, 1).double().numpy()
    return (x - x[job.train].mean(0)) / x[job.train].std(0)


def weights(labels: np.ndarray, class_weight: str) -> np.ndarray:
    found = np.bincount(labels)[labels] ** EXPONENTS[class_weight]
    return found / found.mean()


def outputs(fitted: FittedHead, features: list[torch.Tensor], rows: np.ndarray) -> np.ndarray:
    """Of the regression, before the temperature."""
    with torch.inference_mode():
        logits = fitted.parts[0].logits(features, torch.from_numpy(rows)).double().numpy()
    return logits / fitted.report[0]["temperature"]


# more columns than rows, of one source and of two together; fewer columns than rows
@pytest.mark.parametrize("widths", [(200,), (70, 60), (15,)], ids=str)
@pytest.mark.parametrize("class_weight", EXPONENTS)
def test_it_is_scikit_learns_ridge_on_each_folds_own_training_rows(widths: tuple[int, ...], class_weight: str) -> None:
    features, labels = data(*widths)
    for job, fitted in zip(
        jobs(), fit(features, labels, CLASSES, jobs(), candidate(len(widths), class_weight=class_weight)), strict=True
    ):
        x, targets = standardised(features, job), np.eye(CLASSES)[labels]
        model = SklearnRidge(alpha=fitted.report[0]["alpha"])
        model.fit(x[job.train], targets[job.train], weights(labels[job.train], class_weight))
        np.testing.assert_allclose(outputs(fitted, features, job.predict), model.predict(x[job.predict]), atol=1e-5)


# more columns than rows, and fewer
@pytest.mark.parametrize("width", [900, 450], ids=str)
def test_float32_finds_the_same_penalty_and_exact_coefficients(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = data(width, rows=800, distance=0.15)
    job = Job(np.arange(700), np.arange(700, 800), 0)
    (rough,) = fit(features, labels, CLASSES, [job], candidate())
    assert 700 * min(700, width) > design_module.LARGEST_DOUBLE
    monkeypatch.setattr(design_module, "LARGEST_DOUBLE", 1 << 40)
    (double,) = fit(features, labels, CLASSES, [job], candidate())
    assert rough.report[0] == pytest.approx(double.report[0], rel=1e-4)
    x, targets = standardised(features, job), np.eye(CLASSES)[labels]
    model = SklearnRidge(alpha=rough.report[0]["alpha"])
    model.fit(x[job.train], targets[job.train], weights(labels[job.train], "sqrt"))
    for fitted in (rough, double):
        np.testing.assert_allclose(outputs(fitted, features, job.predict), model.predict(x[job.predict]), atol=1e-5)


@pytest.mark.parametrize(("class_weight", "theirs"), [("none", None), ("balanced", "balanced")])
def test_decisions_are_those_of_a_ridge_classifier_refitted_per_fold(class_weight: str, theirs: str | None) -> None:
    features, labels = data(70, 60, rows=400, distance=0.15)
    found = fit(features, labels, CLASSES, jobs(400), candidate(2, class_weight=class_weight))
    for job, fitted in zip(jobs(400), found, strict=True):
        x = standardised(features, job)
        model = RidgeClassifier(alpha=fitted.report[0]["alpha"], class_weight=theirs)
        decisions = model.fit(x[job.train], labels[job.train]).predict(x[job.predict])
        assert np.array_equal(fitted.predict(features, job.predict).argmax(1), decisions)
        assert 0.5 < (decisions == labels[job.predict]).mean() < 0.95


@pytest.mark.parametrize("widths", [(200,), (15,)], ids=str)
@pytest.mark.parametrize("class_weight", EXPONENTS)
def test_penalty_and_temperature_are_the_best_of_left_out_training_rows(
    widths: tuple[int, ...], class_weight: str
) -> None:
    features, labels = data(*widths)
    job = Job(np.arange(60), np.arange(60, ROWS), 0)
    (fitted,) = fit(features, labels, CLASSES, [job], candidate(class_weight=class_weight))
    x, y, w = standardised(features, job)[:60], np.eye(CLASSES)[labels[:60]], weights(labels[:60], class_weight)
    unit = (w[:, None] * (x - np.average(x, axis=0, weights=w)) ** 2).sum() / 60
    errors, left_out = [], []
    for penalty in PENALTIES:
        each = np.empty_like(y)
        for row in range(60):
            others = np.arange(60) != row
            model = SklearnRidge(alpha=penalty * unit).fit(x[others], y[others], w[others])
            each[row] = model.predict(x[row : row + 1])[0]
        errors.append((w[:, None] * (each - y) ** 2).sum())
        left_out.append(each)
    best = int(np.argmin(errors))
    (report,) = fitted.report
    assert report["penalty"] == PENALTIES[best]
    assert report["alpha"] == pytest.approx(PENALTIES[best] * unit, rel=1e-5)
    targets = (y + 0) * 60 / 61
    # one more row, of every class in equal parts

    def loss(temperature: float) -> float:
        logs = torch.from_numpy(left_out[best] * temperature).log_softmax(1).numpy()
        return float(-(targets * logs).sum(1).mean() - logs.mean() / 61)

    assert report["temperature"] == pytest.approx(minimize_scalar(loss, bounds=(1, 500), method="bounded").x, rel=1e-3)


def test_a_temperature_is_found_where_every_row_or_none_is_right() -> None:
    labels = torch.arange(30) % 3
    right = torch.eye(3)[labels]
    assert 4 < best_temperature(right, labels) < 5, "finite"
    assert best_temperature(1 - right, labels) == pytest.approx(1), "never turned round"
    assert best_temperature(torch.full((30, 3), 1 / 3), labels) == pytest.approx(1)


def test_what_projects_nothing_is_the_same_under_every_seed_and_what_projects_is_not() -> None:
    features, labels = data(24, 30)
    several = [Job(np.arange(80), np.arange(80, ROWS), seed) for seed in (0, 1)]
    for fusion, operator in FUSIONS.items():
        if operator.weighted or operator.compared:
            continue  # which want sources of one width
        one, other = (
            each.predict(features, np.arange(80, ROWS))
            for each in fit(features, labels, CLASSES, several, candidate(2, fusion))
        )
        assert np.array_equal(one, other) == (not operator.aligned), fusion


def test_seeds_that_change_nothing_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    solved: list[int] = []
    monkeypatch.setattr(ridge_module, "best_temperature", lambda *given: solved.append(1) or best_temperature(*given))
    features, labels = data(24, 30)
    several = [Job(np.arange(80), np.arange(80, ROWS), seed) for seed in (0, 1, 2)]
    counts = []
    for fusion in ("concat", "sum", "late"):
        solved.clear()
        assert len(fit(features, labels, CLASSES, several, candidate(2, fusion))) == 3
        counts.append(len(solved))
    assert counts == [1, 3, 2]


def test_a_class_without_training_rows_has_probability_zero() -> None:
    features, labels = data(30)
    job = Job(np.flatnonzero(labels != 1), np.arange(ROWS), 0)
    (fitted,) = fit(features, labels, CLASSES, [job], candidate())
    assert (fitted.predict(features, job.predict)[:, 1] == 0).all()


def test_features_that_say_nothing_leave_the_most_frequent_class() -> None:
    labels = np.array([1] * 60 + [0] * 20 + [2] * 10)
    job = Job(np.arange(90), np.arange(90), 0)
    (fitted,) = fit([torch.ones(90, 4)], labels, CLASSES, [job], candidate())
    assert (fitted.predict([torch.ones(90, 4)], job.predict).argmax(1) == 1).all()


@pytest.mark.parametrize("widths", [(200,), (15,)], ids=str)
def test_little_memory_changes_how_but_not_what(widths: tuple[int, ...]) -> None:
    features, labels = data(*widths)
    found = [
        fit(features, labels, CLASSES, jobs()[:1], candidate(), memory_bytes=memory)[0].predict(
            features, np.arange(ROWS)
        )
        for memory in (1 << 30, 1 << 12)
    ]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_beyond_the_largest_basis_coefficients_lie_in_the_span_of_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = data(150, 100, rows=400)
    job = Job(np.arange(300), np.arange(300, 400), 0)
    (exact,) = fit(features, labels, CLASSES, [job], candidate(2))
    monkeypatch.setattr(design_module, "LARGEST_BASIS", 120)
    (narrow,) = fit(features, labels, CLASSES, [job], candidate(2))
    right = [(each.predict(features, job.predict).argmax(1) == labels[300:]).mean() for each in (exact, narrow)]
    assert right[1] > right[0] - 0.05
    (again,) = fit(features, labels, CLASSES, [job], candidate(2))
    assert np.array_equal(again.predict(features, job.predict), narrow.predict(features, job.predict))
    assert not np.array_equal(exact.predict(features, job.predict), narrow.predict(features, job.predict))


def test_a_run_says_how_rows_were_weighed() -> None:
    source = Source(model="m", layer=0, pooling="mean")
    params = candidate_params(Candidate(sources=(source,), head=Ridge(class_weight="balanced")))
    assert (params["head"], params["class_weight"]) == ("ridge", "balanced")


WHOLE = """
import resource, sys
import numpy as np, torch
from bench.heads import Job, fit
from bench.specs import Candidate, Ridge, Source

rows, widths = int(sys.argv[1]), (384, 576)
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
features = [torch.randn(rows, width, generator=generator) for width in widths]
labels = (features[0][:, 0] + features[1][:, 0] > 0).long().numpy()
sources = tuple(Source(model=str(width), layer=0, pooling="mean") for width in widths)
candidate = Candidate(sources=sources, fusion="concat", head=Ridge())
few = [each[:2000] for each in features]
fit(few, labels[:2000], 2, [Job(np.arange(2000), np.arange(9), 0)], candidate)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(fitted,) = fit(features, labels, 2, [Job(np.arange(rows), np.arange(9), 0)], candidate, memory_bytes=256 << 20)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
predicted = fitted.predict(features, np.arange(rows)).argmax(1)
assert (predicted == labels).mean() > 0.95
"""


@pytest.mark.slow
@pytest.mark.parametrize("rows", [5_485, 67_349])
def test_many_rows_take_bounded_memory(rows: int) -> None:
    """Beside the features and a few matrices of the columns' products, about what was allowed; in MiB."""
    done = subprocess.run([sys.executable, "-c", WHOLE, str(rows)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 256 + 150
