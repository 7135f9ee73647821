"""The heads of few rows and many classes: nearest centroid and nearest neighbours, beside scikit-learn's."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from bench.heads import FittedHead, Job, centroid, fit, knn
from bench.space.candidates import canonical
from bench.specs import HEAD_SETTINGS, KNN, MLP, Candidate, Centroid, HeadSettings, Ridge, Source

ROWS, CLASSES = 120, 6


def candidate(head: HeadSettings, fusion: str = "none") -> Candidate:
    count = 1 if fusion == "none" else 2
    sources = tuple(Source(model=f"m{number}", layer=0, pooling="mean") for number in range(count))
    return Candidate(sources=sources, fusion=fusion, head=head)


def problem(widths: Sequence[int] = (30,), seed: int = 0) -> tuple[list[torch.Tensor], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(ROWS) % CLASSES)
    centres = [rng.normal(size=(CLASSES, width)) for width in widths]
    return [
        torch.from_numpy(((each[labels] + rng.normal(size=(ROWS, len(each[0])))) * 7 + 3).astype(np.float32))
        for each in centres
    ], labels


def folds(count: int = 5) -> list[Job]:
    place = np.random.default_rng(1).permutation(ROWS) % count
    return [Job(np.flatnonzero(place != fold), np.flatnonzero(place == fold), 0) for fold in range(count)]


def standardised(x: torch.Tensor, job: Job) -> tuple[np.ndarray, np.ndarray]:
    rows = x.double().numpy()
    rows = (rows - rows[job.train].mean(0)) / rows[job.train].std(0)
    return rows[job.train], rows[job.predict]


def test_the_nearest_centroid_is_that_of_sklearn_in_every_fold() -> None:
    (x,), y = problem()
    for job, head in zip(folds(), fit([x], y, CLASSES, folds(), candidate(Centroid())), strict=True):
        train, held_out = standardised(x, job)
        expected = NearestCentroid().fit(train, y[job.train])
        said = head.predict([x], job.predict)
        assert np.array_equal(said.argmax(1), expected.predict(held_out))
        distances = np.square(held_out[:, None] - expected.centroids_).sum(2) / x.shape[1]
        logits = -head.report[0]["temperature"] * distances
        wanted = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose(said, wanted / wanted.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_centroid_is_left_out_as_if_it_were_computed_again(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (x,), y = problem()
    groups = np.arange(ROWS) // 4 if grouped else np.arange(ROWS)
    seen = []
    monkeypatch.setattr(centroid, "best_temperature", lambda outputs, labels: seen.append((outputs, labels)) or 8.0)
    job = folds()[0]
    fit([x], y, CLASSES, [job], candidate(Centroid()), groups=groups)
    ((outputs, labels),) = seen
    train, _ = standardised(x, job)
    y, groups = y[job.train], groups[job.train]
    assert labels.tolist() == y.tolist()
    for row in range(0, len(train), 7):
        rest = groups != groups[row]
        means = np.stack([train[rest & (y == label)].mean(0) for label in range(CLASSES)])
        wanted = -np.square(train[row] - means).mean(1)
        np.testing.assert_allclose(outputs[row].numpy(), wanted, rtol=1e-5)


def test_a_class_of_one_row_is_predicted_and_tells_nothing_of_the_temperature() -> None:
    (x,), y = problem()
    train = np.concatenate([np.flatnonzero(y == 0)[:1], np.flatnonzero(y == 1)])
    (head,) = fit([x], y, CLASSES, [Job(train, np.arange(ROWS), 0)], candidate(Centroid()))
    said = head.predict([x], np.arange(ROWS))
    assert said[train[0]].argmax() == 0
    assert np.array_equal(said[:, 2:], np.zeros((ROWS, CLASSES - 2)))
    single = np.concatenate([np.flatnonzero(y == label)[:1] for label in range(CLASSES)])
    (head,) = fit([x], y, CLASSES, [Job(single, np.arange(ROWS), 0)], candidate(Centroid()))
    assert np.array_equal(head.predict([x], single).argmax(1), y[single])


@pytest.mark.parametrize("k", [1, 3, 10])
def test_neighbours_are_those_of_sklearn_in_every_fold(k: int) -> None:
    (x,), y = problem()
    for job, head in zip(folds(), fit([x], y, CLASSES, folds(), candidate(KNN(neighbours=k))), strict=True):
        train, held_out = standardised(x, job)
        expected = KNeighborsClassifier(k).fit(train, y[job.train])
        said = head.predict([x], job.predict)
        assert np.array_equal(said.argmax(1), expected.predict(held_out))
        np.testing.assert_allclose(said, (k * expected.predict_proba(held_out) + 1 / CLASSES) / (k + 1), rtol=1e-5)


def test_how_many_neighbours_is_what_leave_one_out_asks_for() -> None:
    (x,), y = problem()
    job = folds()[0]
    groups = np.arange(ROWS) // 2
    (head,) = fit([x], y, CLASSES, [job], candidate(KNN()), groups=groups)
    train, _ = standardised(x, job)
    y, groups = y[job.train], groups[job.train]
    losses = dict.fromkeys(knn.NEIGHBOURS, 0.0)
    for row in range(len(train)):
        rest = groups != groups[row]
        for k in losses:
            shares = KNeighborsClassifier(k).fit(train[rest], y[rest]).predict_proba(train[row : row + 1])[0]
            losses[k] -= np.log((k * shares[y[row]] + 1 / CLASSES) / (k + 1))
    assert head.report[0]["neighbours"] == min(losses, key=losses.__getitem__)


@pytest.mark.parametrize("fusion", ["sum", "concat", "late"])
def test_neighbours_fuse_and_are_saved(fusion: str) -> None:
    features, y = problem((30, 20))
    (head,) = fit(features, y, CLASSES, folds()[:1], candidate(KNN(), fusion))
    again = FittedHead.from_state(fusion, load(save(head.state())))
    rows = np.arange(ROWS)
    assert np.array_equal(again.predict(features, rows), head.predict(features, rows))
    # rows are answered in parts where memory asks for it
    np.testing.assert_allclose(head.predict(features, rows, memory_bytes=1 << 14), head.predict(features, rows))
    assert (head.predict(features, rows).argmax(1) == y).mean() > 0.9


def test_heads_that_are_solved_take_a_rescaled_sum_for_the_sum() -> None:
    shapes = {f"m{number}": type("Shape", (), {"width": 8})() for number in range(2)}
    for kind in HEAD_SETTINGS.values():
        found = canonical(candidate(kind(), "sum+residual"), shapes)  # type: ignore[arg-type]
        assert found.fusion == ("sum+residual" if kind is MLP else "sum"), kind
    assert Ridge().solved
