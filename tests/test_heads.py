import gzip
import json
import math
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bench.errors import BenchError
from bench.fusion import FUSIONS
from bench.heads import HEAD_KINDS, FittedHead, Job, fit, fit_predict
from bench.heads import logistic as logistic_module
from bench.heads.design import Design
from bench.heads.inner import inner_folds
from bench.heads.lbfgs import minimise
from bench.heads.pipeline import standardisation
from bench.metrics import score
from bench.products import fast_exact_products
from bench.specs import KNN, MLP, Candidate, Centroid, HeadSettings, Logistic, Ridge, Source
from bench.threads import torch_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Problems this small only wait for a second thread, and long where the machine is shared."""
    with torch_threads(1):
        yield


QUICK = MLP(hidden=8, epochs=4, batch_size=32, learning_rate=1e-2)
KINDS: list[HeadSettings] = [QUICK, Logistic(), Ridge(), Centroid(), KNN()]


def candidate(fusion: str = "none", head: HeadSettings = QUICK, count: int | None = None, **more: Any) -> Candidate:
    count = count or (1 if fusion == "none" else 2)
    sources = tuple(Source(model=f"m{number}", layer=0, pooling="mean") for number in range(count))
    return Candidate(sources=sources, fusion=fusion, head=head, **more)


def data(
    widths: Sequence[int] = (12,), rows: int = 90, classes: int = 3, seed: int = 0, distance: float = 1.0
) -> tuple[list[torch.Tensor], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes)
    features = []
    for width in widths:
        centres = rng.normal(size=(classes, width)) * distance
        x = (centres[labels] + rng.normal(size=(rows, width))) * rng.uniform(0.1, 50, width) + rng.normal(size=width)
        features.append(torch.from_numpy(x.astype(np.float32)))
    return features, labels


def folds(rows: int, count: int = 3, seeds: Sequence[int] = (0, 1)) -> list[Job]:
    jobs = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(rows)
        jobs += [
            Job(order[np.arange(rows) % count != k], order[np.arange(rows) % count == k], seed) for k in range(count)
        ]
    return jobs


def standardised(x: torch.Tensor, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    train = x[job.train].double()
    mean, deviation = train.mean(0), train.std(0, correction=0)
    return ((x.double() - mean) / deviation).float()[job.train], ((x.double() - mean) / deviation).float()[job.predict]


@pytest.mark.parametrize("head", [Ridge(), Logistic(), MLP(learning_rate="tuned", epochs=9, hidden=8)], ids=str)
@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_how_many_threads_there_are_changes_nothing(head: HeadSettings, fusion: str) -> None:
    features, y = data((300, 200), rows=240)
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(np.stack(fit_predict(features, y, 3, folds(240), candidate(fusion, head))))
        assert torch.get_num_threads() == threads
    assert np.array_equal(*found)


# The multilayer perceptron


@pytest.mark.parametrize("batch_size", [1000, 25])
def test_mlp_is_a_plain_torch_loop_with_the_same_start_and_order(batch_size: int) -> None:
    (x,), y = data(rows=90)
    settings_ = MLP(hidden=16, epochs=7, batch_size=batch_size, learning_rate=1e-2)
    job = folds(90)[4]
    train, held_out = standardised(x, job)
    labels = torch.from_numpy(y[job.train])

    torch.manual_seed(job.seed)
    net = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(7):
        # A single batch holds every row in any order, so none is drawn.
        batches = [torch.arange(60)] if batch_size > 60 else torch.randperm(60).split(batch_size)
        for batch in batches:
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(train[batch]), labels[batch]).backward()
            adam.step()
    with torch.no_grad():
        expected = net(held_out).softmax(-1).numpy()

    (predicted,) = fit_predict([x], y, 3, [job], candidate(head=settings_))
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(predicted, expected, atol=2e-5)


@pytest.mark.parametrize("fusion", [name for name, operator in FUSIONS.items() if operator.aligned])
def test_projections_are_learned_as_torch_would(fusion: str) -> None:
    features, y = data((12, 20))
    job = folds(90)[0]
    operator = FUSIONS[fusion]
    width = operator.fit_width(12)
    pairs = [standardised(x, job) for x in features]
    torch.manual_seed(job.seed)
    projections = [torch.nn.Linear(x.shape[1], operator.parts * width) for x in features]
    net = torch.nn.Sequential(torch.nn.Linear(width, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))

    def logits(part: int) -> torch.Tensor:
        projected = [project(pair[part]) for project, pair in zip(projections, pairs, strict=True)]
        return net(operator.fuse(projected))  # type: ignore[no-any-return]

    parameters = [p for module in [*projections, net] for p in module.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(10):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(logits(0), torch.from_numpy(y[job.train])).backward()
        adam.step()
    with torch.no_grad():
        expected = logits(1).softmax(-1).numpy()
    head = MLP(hidden=8, epochs=10, batch_size=100, learning_rate=1e-2)
    (fitted,) = fit(features, y, 3, [job], candidate(fusion, head))
    assert fitted.parts[0].projections[0].bias.any()
    np.testing.assert_allclose(fitted.predict(features, job.predict), expected, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "fast"])
@given(
    sizes=st.lists(st.integers(5, 80), min_size=2, max_size=5), fusion=st.sampled_from(["none", "concat", "hadamard"])
)
@settings(max_examples=8, deadline=None)
def test_a_job_does_not_depend_on_those_beside_it(precision: Any, sizes: list[int], fusion: str) -> None:
    # Wide enough that torch takes one library for a product whatever the number of heads (4,096 multiply-adds a head).
    features, y = data((24, 30) if fusion != "none" else (24,))
    head = MLP(hidden=128, epochs=4, batch_size=32)
    jobs = [Job(np.random.default_rng(i).permutation(90)[:size], np.arange(90), i) for i, size in enumerate(sizes)]
    together = fit_predict(features, y, 3, jobs, candidate(fusion, head), precision=precision)
    for job, expected in zip(jobs, together, strict=True):
        (alone,) = fit_predict(features, y, 3, [job], candidate(fusion, head), precision=precision)
        assert np.array_equal(alone, expected)


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
@pytest.mark.parametrize("fusion", ["none", "concat", "quaternion", "late"])
def test_memory_changes_how_but_not_what(fusion: str, head: HeadSettings) -> None:
    features, y = data((12, 9) if fusion != "none" else (12,))
    jobs = folds(90)
    ample = fit_predict(features, y, 3, jobs, candidate(fusion, head))
    tight = fit_predict(features, y, 3, jobs, candidate(fusion, head), memory_bytes=10_000)
    for one, other in zip(ample, tight, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 if head.kind == "mlp" else 5e-4)


def test_seeds_differ_and_repeat() -> None:
    features, y = data()
    rows = np.arange(60)
    jobs = [Job(rows, np.arange(60, 90), seed) for seed in (0, 1, 0)]
    a, b, again = fit_predict(features, y, 3, jobs, candidate())
    assert np.array_equal(a, again)
    assert not np.allclose(a, b)


def test_torchs_own_random_state_is_neither_read_nor_moved() -> None:
    features, y = data()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = fit_predict(features, y, 3, folds(90), candidate())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    other = fit_predict(features, y, 3, folds(90), candidate())
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_the_fast_mode_scores_as_float32_does() -> None:
    # Hard enough that heads err: 25 heads each, the same seeds and folds, the difference of accuracies paired.
    (x,), y = data((256,), rows=200, classes=2, distance=0.12)
    jobs = folds(200, count=5, seeds=range(5))
    head = MLP(epochs=60, learning_rate=1e-3)
    accuracies = []
    for precision in ("float32", "fast"):
        predictions = fit_predict([x], y, 2, jobs, candidate(head=head), precision=precision)  # type: ignore[arg-type]
        accuracies.append([(p.argmax(1) == y[j.predict]).mean() for p, j in zip(predictions, jobs, strict=True)])
    difference = np.subtract(*accuracies)
    assert 0.6 < np.mean(accuracies[0]) < 0.97
    assert abs(difference.mean()) < 0.005 + 2 * difference.std(ddof=1) / math.sqrt(25)


# The logistic regression


@pytest.mark.parametrize(("classes", "width", "rows"), [(2, 150, 90), (3, 12, 90), (5, 120, 100)])
def test_logistic_is_scikit_learns_at_the_same_c(classes: int, width: int, rows: int) -> None:
    (x,), y = data((width,), rows, classes, distance=0.3)
    job = folds(rows)[0]
    (fitted,) = fit([x], y, classes, [job], candidate(head=Logistic()))
    train, held_out = (part.double().numpy() for part in standardised(x, job))
    reference = LogisticRegression(C=fitted.report[0]["C"], tol=1e-9, max_iter=10_000).fit(train, y[job.train])
    assert fitted.converged
    np.testing.assert_allclose(fitted.predict([x], job.predict), reference.predict_proba(held_out), atol=5e-5)


def test_logistic_chooses_c_by_the_training_rows_it_has() -> None:
    chosen = []
    for distance in (0.0, 0.8):
        features, y = data((40,), 120, 2, distance=distance)
        heads = fit(features, y, 2, folds(120), candidate(head=Logistic()))
        chosen.append(np.median([head.report[0]["C"] for head in heads]))
    # Where there is nothing to learn, everything is penalised away.
    assert chosen[0] <= 1e-4 < 1e-3 <= chosen[1]


def test_strongly_penalised_problems_take_a_handful_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unequal classes too: the preconditioner is the Hessian at the start, and there is hardly a way to go."""
    monkeypatch.setattr(logistic_module, "GRID", (1e-5,))
    (x,), y = data((60,), 300, 2, distance=0.5)
    unequal = np.where(np.arange(300) % 20 == 0, 2, np.where(np.arange(300) % 7 == 0, 3, y))
    for head in fit([x], unequal, 4, folds(300), candidate(head=Logistic())):
        assert head.converged
        assert head.report[0]["iterations"] <= 10


def test_the_grid_is_solved_far_enough_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solved to the last digit, it gives the same C or, where rows are separable and losses tie, its neighbour."""
    for width, classes, distance in ((40, 2, 0.5), (150, 5, 0.3), (30, 8, 0.1)):
        features, y = data((width,), 200, classes, distance=distance)
        jobs = folds(200)
        rough = fit(features, y, classes, jobs, candidate(head=Logistic()))
        with monkeypatch.context() as patched:
            patched.setattr(logistic_module, "TUNING", 1e-7)
            patched.setattr(logistic_module, "ROUGH", torch.float64)
            exact = fit(features, y, classes, jobs, candidate(head=Logistic()))
        for job, one, other in zip(jobs, rough, exact, strict=True):
            assert 0.09 < one.report[0]["C"] / other.report[0]["C"] < 11
            labels = [head.predict(features, job.predict).argmax(1) for head in (one, other)]
            assert (labels[0] != labels[1]).mean() <= 0.02


def behind_a_large_axis(rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes apart along an axis that is small beside one that says nothing of them, as in hidden states."""
    draw = np.random.default_rng(3)
    large, small = draw.normal(size=(2, width))
    small -= large * (small @ large) / (large @ large)
    y = draw.permutation(np.arange(rows) % 2)
    signs = (2 * y[:, None] - 1) * 2.5
    noise = draw.normal(size=(rows, width)) + 5 * draw.normal(size=(rows, 1)) * large
    return (noise + signs * small / np.linalg.norm(small)).astype(np.float32), y


def test_the_minimum_is_that_of_the_whole_grid() -> None:
    """Not every C is tried: here scikit-learn tries every one, on the same inner folds."""
    plain = [(2, 60, 120, 0.2), (3, 120, 90, 0.1), (4, 20, 200, 0.3)]
    cases = [(*data((width,), rows, classes, distance=distance), classes) for classes, width, rows, distance in plain]
    large = behind_a_large_axis(120, 384)
    for (x,), y, classes in [*cases, ([torch.from_numpy(large[0])], large[1], 2)]:
        rows = len(y)
        job = folds(rows)[0]
        (fitted,) = fit([x], y, classes, [job], candidate(head=Logistic()))
        train, labels = standardised(x, job)[0].double().numpy(), y[job.train]
        inner = inner_folds(torch.from_numpy(labels), None, logistic_module.INNER_FOLDS, job.seed).numpy()
        losses = {}
        for c in logistic_module.GRID:
            logs = [
                LogisticRegression(C=c, tol=1e-8, max_iter=10_000)
                .fit(train[inner != fold], labels[inner != fold])
                .predict_log_proba(train[inner == fold])[np.arange((inner == fold).sum()), labels[inner == fold]]
                for fold in range(3)
            ]
            losses[c] = -np.concatenate(logs).mean()
        assert fitted.report[0]["C"] == min(losses, key=lambda c: losses[c])


def test_seeds_of_the_same_rows_share_what_no_seed_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their inner folds differ, so each chooses its C; the matrix in its principal axes is found once."""
    made: list[int] = []
    original = Design.of

    def watched(read: Any, rows: torch.Tensor, memory_bytes: int) -> Design:
        made.append(len(rows))
        return original(read, rows, memory_bytes)

    monkeypatch.setattr(Design, "of", watched)
    features, y = data((12, 20))
    rows = np.arange(60)
    jobs = [Job(rows, np.arange(60, 90), seed) for seed in range(3)]
    fitted = fit(features, y, 3, jobs, candidate("concat", Logistic()))
    assert len(made) == 1
    for job, each in zip(jobs, fitted, strict=True):
        (alone,) = fit(features, y, 3, [job], candidate("concat", Logistic()))
        assert np.array_equal(alone.predict(features, job.predict), each.predict(features, job.predict))
    made.clear()
    fit(features, y, 3, jobs, candidate("sum", Logistic()))
    assert len(made) == 3, "each seed draws its own projections"


def test_what_did_not_converge_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logistic_module, "ITERATIONS", 1)
    features, y = data()
    (head, *_) = fit(features, y, 3, folds(90), candidate(head=Logistic()))
    assert not head.converged
    assert head.report[0]["iterations"] == 1
    assert "6 of 6 heads did not converge" in caplog.text


def test_logistic_projections_are_orthonormal_and_drawn_by_the_seed() -> None:
    features, y = data((12, 20))
    rows = np.arange(60)
    jobs = [Job(rows, rows, seed) for seed in (0, 1, 0)]
    heads = fit(features, y, 3, jobs, candidate("hadamard", Logistic()))
    first, other, again = (head.parts[0].projections for head in heads)
    for projection in first:
        torch.testing.assert_close(projection.weight @ projection.weight.T, torch.eye(12))
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.allclose(first[1].weight, other[1].weight)


def test_a_class_without_training_rows_has_probability_zero_under_logistic() -> None:
    features, y = data(rows=60, classes=2)
    (predicted,) = fit_predict(features, y * 2, 3, folds(60)[:1], candidate(head=Logistic()))
    assert (predicted[:, 1] == 0).all()
    np.testing.assert_allclose(predicted.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("labels", [[0] * 20, [0] * 19 + [1], [0] * 17 + [1, 1, 2], [0, 1] * 10])
def test_degenerate_training_rows(labels: list[int]) -> None:
    (x,), _ = data(rows=20)
    rows = np.arange(20)
    for head in KINDS:
        (predicted,) = fit_predict([x], np.array(labels), 3, [Job(rows, rows, 0)], candidate(head=head))
        assert np.isfinite(predicted).all()


@given(seed=st.integers(0, 2**31 - 1), count=st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_lbfgs_solves_quadratic_problems_independently(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(count, 6, 6, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT + torch.eye(6, dtype=torch.float64)
    target = torch.randn(count, 6, generator=generator, dtype=torch.float64)

    def objective(points: torch.Tensor, which: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gradient = (hessian[which] @ (points - target[which])[..., None]).squeeze(-1)
        return ((points - target[which]) * gradient).sum(1) / 2, gradient

    start = torch.zeros(count, 6, dtype=torch.float64)
    inverse = 1 / hessian.diagonal(dim1=1, dim2=2)
    solution = minimise(objective, start, inverse, tolerance=1e-8, iterations=200)
    assert solution.converged.all()
    torch.testing.assert_close(solution.points, target, atol=1e-6, rtol=0)


# Both


def test_a_scalar_mix_is_learned_as_torch_would_and_saved_as_scaling() -> None:
    features, y = data((12, 12))
    job = folds(90)[0]
    pairs = [standardised(x, job) for x in features]
    torch.manual_seed(job.seed)
    net = torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    numbers = torch.nn.Parameter(torch.zeros(2))

    def logits(part: int) -> torch.Tensor:
        shares = (100 * numbers).softmax(0)
        return net(sum(share * pair[part] for share, pair in zip(shares, pairs, strict=True)))  # type: ignore[no-any-return]

    adam = torch.optim.Adam([*net.parameters(), numbers], lr=1e-3)
    for _ in range(20):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(logits(0), torch.from_numpy(y[job.train])).backward()
        adam.step()
    with torch.no_grad():
        expected = logits(1).softmax(-1).numpy()
    head = MLP(hidden=8, epochs=20, batch_size=100, learning_rate=1e-3)
    (fitted,) = fit(features, y, 3, [job], candidate("scalar-mix", head))
    np.testing.assert_allclose(fitted.predict(features, job.predict), expected, atol=1e-4)
    assert (100 * numbers).softmax(0).sub(0.5).abs().max() > 0.05, "the weights have moved"


def test_a_scalar_mix_finds_the_source_that_says_something() -> None:
    (useful,), y = data((12,), distance=4)
    noise = torch.randn(*useful.shape, generator=torch.Generator().manual_seed(0))
    (job, *_) = folds(90)
    head = MLP(hidden=16, epochs=120)
    (fitted,) = fit([useful, noise], y, 3, [job], candidate("scalar-mix", head))
    (_, first), (_, second) = fitted.parts[0].scalings
    spread = useful[job.train].std(0, correction=0), noise[job.train].std(0, correction=0)
    assert (first * spread[0]).mean() > 0.55 > 0.45 > (second * spread[1]).mean()


def test_heads_are_found_by_the_kind_of_their_settings() -> None:
    assert {head.kind for head in KINDS} == {name for name, each in HEAD_KINDS.items() if each.trains}
    assert all(kind.summary for kind in HEAD_KINDS.values())


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
@pytest.mark.parametrize("fusion", ["none", *FUSIONS])
def test_every_fusion_learns_under_every_head_and_survives_saving(fusion: str, head: HeadSettings) -> None:
    widths = {"none": (16,), "scalar-mix": (16, 16, 16)}.get(fusion, (16, 20, 17))
    if fusion != "none" and FUSIONS[fusion].compared:
        widths = (16, 16)
    features, y = data(widths, distance=4)
    jobs = folds(90)[:3]
    slow = head if head.kind != "mlp" else MLP(hidden=32, epochs=60, learning_rate=1e-2)
    chosen = candidate(fusion, slow, count=len(features))
    heads = fit(features, y, 3, jobs, chosen)
    for fitted, job in zip(heads, jobs, strict=True):
        predicted = fitted.predict(features, job.predict)
        assert (predicted.argmax(1) == y[job.predict]).mean() > 0.45
        again = FittedHead.from_state(fusion, load(save(fitted.state())))
        assert np.array_equal(again.predict(features, job.predict), predicted)
        assert again.state().keys() == fitted.state().keys()


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
def test_late_fusion_is_the_mean_of_the_single_heads(head: HeadSettings) -> None:
    features, y = data((12, 20))
    jobs = folds(90)
    singles = [fit_predict([x], y, 3, jobs, candidate(head=head)) for x in features]
    for fused, *each in zip(fit_predict(features, y, 3, jobs, candidate("late", head)), *singles, strict=True):
        np.testing.assert_allclose(fused, np.mean(each, axis=0), atol=1e-6)


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
@pytest.mark.parametrize("fusion", ["concat", "multiplication+residual", "late"])
def test_only_training_rows_are_read_in_training(fusion: str, head: HeadSettings) -> None:
    features, y = data((12, 20))
    job = Job(np.arange(60), np.arange(60), 0)
    (clean,) = fit_predict(features, y, 3, [job], candidate(fusion, head))
    poisoned = [x.clone() for x in features]
    for x in poisoned:
        x[60:] = torch.nan
    labels = y.copy()
    labels[60:] = -1
    (predicted,) = fit_predict(poisoned, labels, 3, [job], candidate(fusion, head))
    assert np.array_equal(predicted, clean)


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
def test_units_and_constant_columns_make_no_difference(head: HeadSettings) -> None:
    (x,), y = data()
    jobs = folds(90)
    plain = fit_predict([x], y, 3, jobs, candidate(head=head))
    # Powers of two scale without rounding; a constant column, however large, says nothing.
    scaled = x * 2.0 ** torch.arange(-6, 6)
    other = fit_predict([scaled], y, 3, jobs, candidate(head=head))
    for one, two in zip(plain, other, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)
    constant = torch.cat([x, torch.full((90, 1), 82_800.1)], dim=1)
    for predicted in fit_predict([constant], y, 3, jobs, candidate(head=head)):
        assert np.isfinite(predicted).all()


def test_standardisation_keeps_its_precision_far_from_zero() -> None:
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) + 25_800
    scaling = standardisation(x.__getitem__, torch.arange(500), values=10)
    rows = scaling.apply(x)
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    constant = standardisation(torch.full((9, 1), 0.1).__getitem__, torch.arange(9))
    assert constant.scale.item() == 0


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
def test_a_label_that_is_missing_or_too_large_is_an_error(head: HeadSettings) -> None:
    features, y = data()
    for wrong in (-1, 3):
        labels = y.copy()
        labels[7] = wrong
        with pytest.raises(BenchError, match="label from 0 to 2"):
            fit(features, labels, 3, [Job(np.arange(60), np.arange(3), 0)], candidate(head=head))


def test_sources_and_fusion_must_fit_together() -> None:
    features, y = data((12, 20))
    jobs = folds(90)
    with pytest.raises(BenchError, match="2 sources need a fusion operator"):
        fit(features, y, 3, jobs, candidate("none", count=2))
    with pytest.raises(BenchError, match="two and more sources"):
        fit(features[:1], y, 3, jobs, candidate("sum", count=1))
    with pytest.raises(BenchError, match="did you mean 'hadamard'"):
        fit(features, y, 3, jobs, candidate("hadamrad", count=2))
    with pytest.raises(BenchError, match="2 sources, but 1"):
        fit(features[:1], y, 3, jobs, candidate("sum"))


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
def test_values_that_are_not_finite_are_an_error(head: HeadSettings) -> None:
    (x,), y = data()
    x[80] = torch.inf
    with pytest.raises(BenchError, match="Training features hold NaN or infinity"):
        fit([x], y, 3, [Job(np.arange(90), np.arange(3), 0)], candidate(head=head))
    with pytest.raises(BenchError, match="predicts values that are not finite"):
        fit_predict([x], y, 3, [Job(np.arange(60), np.arange(90), 0)], candidate(head=head))


def test_faster_products_are_as_exact_and_the_setting_is_restored() -> None:
    before = torch.get_float32_matmul_precision()
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(3, 200, 700, generator=generator), torch.randn(3, 700, 150, generator=generator)
    exact = a.double() @ b.double()
    with fast_exact_products(a.device):
        assert ((a @ b - exact).norm() / exact.norm()).item() < 1e-6
    assert torch.get_float32_matmul_precision() == before


def test_heads_are_the_same_from_another_thread() -> None:
    features, y = data()
    expected = fit_predict(features, y, 3, folds(90), candidate())
    found: list[list[np.ndarray]] = []
    thread = threading.Thread(target=lambda: found.append(fit_predict(features, y, 3, folds(90), candidate())))
    thread.start()
    thread.join()
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(found[0], expected, strict=True))


def r8_topics() -> tuple[torch.Tensor, np.ndarray]:
    """R8's training rows as 100 latent topics of TF-IDF, float32 [5485, 100], and their labels."""
    home = Path(os.environ.get("BENCH_DATA_HOME", Path(__file__).parents[2] / "shared" / "data"))
    file = home / "r8" / "train.jsonl.gz"
    if not file.exists():
        pytest.skip(f"needs R8 in a data home, and there is no {file}")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    names = sorted({row["label"] for row in rows})
    words = TfidfVectorizer(sublinear_tf=True, min_df=3).fit_transform([row["text"] for row in rows])
    topics = TruncatedSVD(100, random_state=0).fit_transform(words)
    return torch.from_numpy(topics.astype(np.float32)), np.array([names.index(row["label"]) for row in rows])


@pytest.mark.slow
def test_both_heads_classify_r8() -> None:
    x, y = r8_topics()
    jobs = folds(len(y), seeds=[0])[:1]
    scores = {}
    for head in (MLP(epochs=30, learning_rate=1e-3), Logistic()):
        (fitted,) = fit([x], y, 8, jobs, candidate(head=head))
        assert fitted.converged
        predicted = fitted.predict([x], jobs[0].predict).argmax(1)
        scores[head.kind] = score(y[jobs[0].predict], predicted, 8)
    assert scores["mlp"].accuracy > 0.9
    assert scores["logistic"].accuracy > 0.94
    assert scores["logistic"].macro_f1 > 0.82


@pytest.mark.parametrize("head", KINDS, ids=lambda head: head.kind)
def test_features_that_are_all_constant_leave_the_shares_of_the_classes(head: HeadSettings) -> None:
    """As the first token's embedding of an encoder is the same for every text."""
    labels = np.array([0] * 60 + [1] * 20 + [2] * 10)
    (predicted,) = fit_predict(
        [torch.ones(90, 4)], labels, 3, [Job(np.arange(90), np.arange(90), 0)], candidate(head=head)
    )
    assert np.ptp(predicted, axis=0).max() == 0
    if head.kind == "logistic":
        np.testing.assert_allclose(predicted[0], [60 / 90, 20 / 90, 10 / 90], atol=1e-3)
