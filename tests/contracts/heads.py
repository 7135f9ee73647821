"""What every kind of head must hold to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from bench.heads import HEAD_KINDS, FittedHead, Job, fit, fit_predict
from bench.specs import DEFAULT_TASK, HEAD_SETTINGS, Candidate, Source

QUICK: dict[str, dict[str, Any]] = {"mlp": {"hidden": 128, "epochs": 6, "batch_size": 32, "learning_rate": 1e-2}}
"""Settings with which a head trains in no time; those of other kinds are their defaults."""
DRAWN = {"mlp"}
"""Kinds that start from drawn numbers: another order of the classes is another draw."""
ROWS, CLASSES = 60, 3
TOGETHER = ("none", "concat", "late")


class HeadContract:
    """Runs for each kind of head for classification that is registered when tests are collected."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.parametrize("kind", [name for name, each in HEAD_KINDS.items() if each.training(DEFAULT_TASK)])

    @pytest.fixture
    def problem(self) -> tuple[list[torch.Tensor], np.ndarray]:
        return _problem((24, 20))

    def test_a_probability_is_one_and_known(self, kind: str, problem: Any) -> None:
        features, labels = problem
        for fusion in TOGETHER:
            for predicted in _predictions(kind, features, labels, fusion=fusion):
                assert predicted.dtype == np.float32
                assert predicted.shape == (ROWS, CLASSES)
                assert np.isfinite(predicted).all()
                assert (predicted >= 0).all()
                np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-5)

    def test_it_learns(self, kind: str, problem: Any) -> None:
        features, labels = problem
        for job, predicted in zip(JOBS, _predictions(kind, features, labels), strict=True):
            assert (predicted.argmax(1)[job.train] == labels[job.train]).mean() > 0.8

    @pytest.mark.parametrize("fusion", TOGETHER)
    def test_a_seed_gives_the_same_head_again(self, kind: str, fusion: str, problem: Any) -> None:
        features, labels = problem
        torch.manual_seed(1)
        first = _predictions(kind, features, labels, fusion=fusion)
        torch.manual_seed(2)
        again = _predictions(kind, features, labels, fusion=fusion)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))

    @pytest.mark.parametrize("fusion", TOGETHER)
    def test_a_job_does_not_depend_on_those_beside_it(self, kind: str, fusion: str, problem: Any) -> None:
        features, labels = problem
        together = _predictions(kind, features, labels, fusion=fusion)
        for job, expected in zip(JOBS, together, strict=True):
            (alone,) = _predictions(kind, features, labels, [job], fusion=fusion)
            assert np.array_equal(alone, expected)

    @pytest.mark.parametrize("fusion", TOGETHER)
    def test_what_is_saved_predicts_the_same_bit_for_bit(self, kind: str, fusion: str, problem: Any) -> None:
        features, labels = problem
        features = features[: 1 if fusion == "none" else 2]
        for head in fit(features, labels, CLASSES, JOBS, _candidate(kind, fusion)):
            again = FittedHead.from_state(fusion, load(save(head.state())))
            rows = np.arange(ROWS)
            assert np.array_equal(again.predict(features, rows), head.predict(features, rows))

    def test_only_training_rows_are_read(self, kind: str, problem: Any) -> None:
        features, labels = problem
        job = Job(np.arange(40), np.arange(40), 0)
        (expected,) = _predictions(kind, features, labels, [job])
        poisoned, hidden = features[0].clone(), labels.copy()
        poisoned[40:], hidden[40:] = torch.nan, -1
        (predicted,) = _predictions(kind, [poisoned], hidden, [job])
        assert np.array_equal(predicted, expected)

    @pytest.mark.parametrize(
        "labels", [[0] * ROWS, [0] * (ROWS - 1) + [2], [0, 2] * (ROWS // 2)], ids=["one class", "a lone row", "a gap"]
    )
    def test_classes_may_be_missing_in_training(self, kind: str, labels: list[int], problem: Any) -> None:
        features, _ = problem
        for predicted in _predictions(kind, features, np.array(labels)):
            assert predicted.shape == (ROWS, CLASSES)
            assert np.isfinite(predicted).all()

    def test_a_constant_column_says_nothing_and_harms_nothing(self, kind: str, problem: Any) -> None:
        (x, _), labels = problem
        wider = torch.cat([x, torch.full((ROWS, 1), 82_800.1)], 1)
        changed = wider.clone()
        changed[40:, -1] = 0
        job = Job(np.arange(40), np.arange(ROWS), 0)
        (predicted,) = _predictions(kind, [wider], labels, [job])
        (other,) = _predictions(kind, [changed], labels, [job])
        assert np.isfinite(predicted).all()
        assert np.array_equal(predicted, other), "a column without spread in training has no weight"

    def test_one_feature_is_enough(self, kind: str) -> None:
        (x,), labels = _problem((1,))
        for predicted in _predictions(kind, [x], labels):
            assert np.isfinite(predicted).all()
        for predicted in _predictions(kind, [torch.ones(ROWS, 1)], labels):
            assert np.ptp(predicted, axis=0).max() == 0

    def test_classes_may_stand_in_any_order(self, kind: str, problem: Any) -> None:
        if kind in DRAWN:
            pytest.skip("another order of the classes is another draw")
        features, labels = problem
        order = np.array([2, 0, 1])
        pairs = zip(_predictions(kind, features, labels), _predictions(kind, features, order[labels]), strict=True)
        for predicted, turned in pairs:
            np.testing.assert_allclose(turned[:, order], predicted, atol=1e-3)


def _problem(widths: Sequence[int]) -> tuple[list[torch.Tensor], np.ndarray]:
    """Features around a centre a class, in units of their own, and labels."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(ROWS) % CLASSES)
    features = []
    for width in widths:
        x = rng.normal(size=(CLASSES, width))[labels] * 2 + rng.normal(size=(ROWS, width))
        features.append(torch.from_numpy((x * rng.uniform(0.1, 50, width)).astype(np.float32)))
    return features, labels


def _job(seed: int, size: int) -> Job:
    return Job(np.random.default_rng(seed).permutation(ROWS)[:size], np.arange(ROWS), seed)


JOBS = [_job(0, 40), _job(1, 33), _job(2, 48)]


def _candidate(kind: str, fusion: str) -> Candidate:
    sources = [Source(model=model, layer=0, pooling="mean") for model in ("a", "b")]
    settings = HEAD_SETTINGS[kind].model_validate(QUICK.get(kind, {}))
    return Candidate(sources=tuple(sources[: 1 if fusion == "none" else 2]), fusion=fusion, head=settings)


def _predictions(
    kind: str, features: Sequence[torch.Tensor], labels: np.ndarray, jobs: Sequence[Job] = JOBS, fusion: str = "none"
) -> list[np.ndarray]:
    sources = features[: 1 if fusion == "none" else 2]
    return fit_predict(sources, labels, CLASSES, jobs, _candidate(kind, fusion))
