"""Where rows belong together, a head tunes itself on folds that keep them together."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge

from bench.evaluation import evaluator as evaluator_module
from bench.evaluation.ask import Ask
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.inputs import Stored
from bench.evaluation.protocol import FoldRule, cut
from bench.evaluation.rows import SplitRows
from bench.heads import Job, fit, logistic
from bench.heads.closed import PENALTIES, fitted
from bench.heads.inner import NEVER, inner_folds
from bench.heads.regression import LeastSquares
from bench.heads.screening import Screening
from bench.specs import Candidate, Head, Logistic, Ridge, Source

SOURCE = Source(model="m", layer=0, pooling="mean")
GROUPS, EACH, WIDTH = 60, 10, 100


def by_group(groups: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Features that tell the groups apart far better than the labels, of which each group has one."""
    rng = np.random.default_rng(0)
    numbers = np.repeat(np.arange(groups), EACH)
    labels = rng.permutation(np.arange(groups) % 2)[numbers]
    x = rng.normal(size=(groups, WIDTH))[numbers] + 0.3 * rng.normal(size=(len(numbers), WIDTH))
    x[:, 0] += 2 * labels - 1
    return torch.from_numpy(x.astype(np.float32)), labels, numbers


@pytest.mark.parametrize("head", [Logistic(), Ridge()], ids=lambda head: head.kind)
def test_new_groups_are_as_uncertain_as_they_are(head: Head) -> None:
    x, labels, groups = by_group(2 * GROUPS)
    known = np.arange(GROUPS * EACH)
    job = Job(known, np.arange(GROUPS * EACH, len(labels)), 0)

    def loss(together: np.ndarray | None) -> float:
        (fitted,) = fit([x], labels, 2, [job], Candidate(sources=(SOURCE,), head=head), groups=together)
        probabilities = fitted.predict([x], job.predict)
        return float(-np.log(probabilities[np.arange(len(job.predict)), labels[job.predict]]).mean())

    assert loss(groups) < np.log(2)
    assert loss(None) > 1.5


@given(st.integers(0, 999), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=2, max_size=60))
@settings(deadline=None, max_examples=60)
def test_groups_stay_whole_and_no_class_is_missing(seed: int, rows: list[tuple[int, int]]) -> None:
    groups, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    labels = labels.unique(return_inverse=True)[1]
    folds = inner_folds(labels, groups, 3, seed)
    for group in groups.unique():
        assert len(folds[groups == group].unique()) == 1
    for fold in range(3):
        assert set(labels[folds != fold].tolist()) == set(labels.tolist())


def test_every_fold_gets_its_share_of_rows_and_of_each_class() -> None:
    _, labels, groups = by_group(GROUPS)
    folds = inner_folds(torch.from_numpy(labels), torch.from_numpy(groups), 3, 0)
    assert [int((folds == fold).sum()) for fold in range(3)] == [200, 200, 200]
    assert [int(labels[folds == fold].sum()) for fold in range(3)] == [100, 100, 100]


def test_the_only_group_of_a_class_is_never_held_out() -> None:
    labels, groups = torch.tensor([0, 0, 0, 1, 1, 0]), torch.tensor([4, 5, 5, 7, 7, 7])
    assert inner_folds(labels, groups, 2, 0).tolist()[3:] == [NEVER] * 3


# fewer columns than rows, so that groups have fewer and more rows than there are axes; more columns than rows
@pytest.mark.parametrize("width", [6, 90])
@pytest.mark.parametrize("penalty", [0.5, 200.0])
@pytest.mark.parametrize("memory", [1 << 12, 1 << 24])
def test_left_out_is_what_a_regression_without_the_group_says(width: int, penalty: float, memory: int) -> None:
    rng = np.random.default_rng(width)
    groups = rng.permutation(np.repeat(np.arange(30), [1] * 12 + [2] * 10 + [5] * 6 + [9] * 2))
    count = len(groups)
    x, y, w = rng.normal(size=(count, width)), np.eye(3)[rng.integers(0, 3, count)], rng.uniform(0.5, 2, count)
    rows = torch.from_numpy((x - np.average(x, axis=0, weights=w)) * np.sqrt(w)[:, None])
    problem = LeastSquares.of(
        rows.__getitem__, torch.from_numpy(y), torch.from_numpy(w), memory, torch.from_numpy(groups)
    )
    expected = np.empty_like(y)
    for group in range(30):
        others = groups != group
        expected[~others] = SklearnRidge(alpha=penalty).fit(x[others], y[others], w[others]).predict(x[~others])
    np.testing.assert_allclose(fitted(problem, penalty).left_out(), expected, atol=1e-8)
    error = (w[:, None] * (expected - y) ** 2).sum() / (3 * w.sum())
    assert fitted(problem, penalty).error == pytest.approx(error, rel=1e-8)


def test_logistics_c_is_the_best_of_scikit_learns_on_held_out_groups() -> None:
    x, labels, groups = by_group(GROUPS)
    job = Job(np.arange(len(labels)), np.arange(1), 3)
    (fitted,) = fit([x], labels, 2, [job], Candidate(sources=(SOURCE,), head=Logistic()), groups=groups)
    z = ((x - x.mean(0)) / x.std(0, correction=0)).double().numpy()
    folds = inner_folds(torch.from_numpy(labels), torch.from_numpy(groups), logistic.INNER_FOLDS, 3).numpy()
    losses = {}
    for c in logistic.GRID[:5]:  # beyond, the loss rises further
        held = []
        for fold in range(logistic.INNER_FOLDS):
            out = folds == fold
            model = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(z[~out], labels[~out])
            held.append(model.predict_log_proba(z[out])[np.arange(out.sum()), labels[out]])
        losses[c] = -np.concatenate(held).mean()
    assert fitted.report[0]["C"] == min(losses, key=lambda c: losses[c]) < 0.1


def test_screening_chooses_its_penalty_on_left_out_groups() -> None:
    x, labels, groups = by_group(GROUPS)
    folds = np.arange(len(labels))[None] // EACH % 5

    def penalty(together: np.ndarray | None) -> float:
        return Screening(lambda _: x, labels, 2, folds, groups=together).score(Candidate(sources=(SOURCE,))).penalty

    assert penalty(None) < 1 < 10 <= penalty(groups) <= PENALTIES[-1]


def test_an_evaluator_tells_heads_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels, groups = by_group(20)
    train = SplitRows("train", ("",) * len(labels), ("a", "b"), labels, groups, tuple(map(str, labels)))
    test = replace(train, fingerprint="test")
    told: list[np.ndarray] = []
    original = evaluator_module.fit

    def watched(*args: Any, groups: np.ndarray, **options: Any) -> Any:
        told.append(groups)
        return original(*args, groups=groups, **options)

    class Matrices:
        def train(self, _: Any) -> torch.Tensor:
            return x

        test = train

    monkeypatch.setattr(evaluator_module, "fit", watched)
    answers = Evaluator(train, test, Matrices(), EvaluationCache(None))  # type: ignore[arg-type]
    common: dict[str, Any] = {
        "subject": Candidate(sources=(SOURCE,), head=Ridge()),
        "train": "train",
        "labels": ("a", "b"),
        "inputs": (Stored(shelf="", layer=0, pooling="mean"),),
        "seed": 0,
    }
    answers.answer(Ask(**common, folds=FoldRule(folds=5)))
    answers.answer(Ask(**common, test="test"))
    answers.fitted(Ask(**common, test="test"))
    assert all(np.array_equal(each[: len(groups)], groups) for each in told)
    assert [len(each) for each in told] == [200, 400, 200]


def test_folds_are_cut_in_silence_by_many_threads() -> None:
    """Classes with fewer rows than folds are said once, by the data set; here a warning is an error."""
    labels, groups = np.array([0] * 40 + [1] * 40 + [2]), np.arange(81)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: cut(labels, groups, FoldRule(folds=3), seed), range(400)))
    assert all(len(each) == 3 for each in found)
