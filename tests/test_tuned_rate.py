"""The MLP's learning rate, found on the training rows: how far Adam should go, said by rows that were held out."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.errors import BenchError
from bench.gate.baseline import describe
from bench.heads import Job, fit, predict_subsets
from bench.heads.inner import inner_folds
from bench.heads.mlp import BEYOND, GIVEN_UP, INNER_FOLDS, RATE, UNTUNED
from bench.space.candidates import Shape
from bench.space.enumeration import is_finite, members
from bench.space.files import load, spaces_folder
from bench.space.schema import SearchSpace
from bench.specs import MLP, Candidate, Head, Source
from bench.study.writing import candidate_params
from bench.threads import torch_threads

ROWS, WIDTH, CLASSES = 150, 20, 3
SOURCE = Source(model="m", layer=0, pooling="mean")
JOB = Job(np.arange(100), np.arange(100, ROWS), 5)
TUNED = MLP(learning_rate="tuned", hidden=16, epochs=60)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    with torch_threads(1):
        yield


def data(distance: float = 1.0, width: int = WIDTH) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, ROWS)
    x = distance * rng.normal(size=(CLASSES, width))[labels] + rng.normal(size=(ROWS, width))
    return torch.from_numpy((x * rng.uniform(0.1, 50, width)).astype(np.float32)), labels


def fitted(x: torch.Tensor, labels: np.ndarray, jobs: list[Job], head: Head = TUNED, **more: Any) -> list[Any]:
    return fit([x], labels, CLASSES, jobs, Candidate(sources=(SOURCE,), head=head), **more)


def rate(x: torch.Tensor, labels: np.ndarray, job: Job = JOB, head: Head = TUNED, **more: Any) -> float:
    return float(fitted(x, labels, [job], head, **more)[0].report[0]["learning_rate"])


def by_plain_loops(x: torch.Tensor, labels: np.ndarray, job: Job, head: MLP) -> float:
    """The rate as one would write it first."""
    train, known = x[job.train].double(), torch.from_numpy(labels[job.train])
    folds = inner_folds(known, None, INNER_FOLDS, job.seed)
    rates = np.full(head.epochs // INNER_FOLDS, RATE)
    losses = np.zeros(len(rates))
    for fold in range(INNER_FOLDS):
        inside, outside = folds != fold, folds == fold
        z = ((train - train[inside].mean(0)) / train[inside].std(0, correction=0)).float()
        torch.manual_seed(job.seed)
        net = torch.nn.Sequential(
            torch.nn.Linear(WIDTH, head.hidden), torch.nn.ReLU(), torch.nn.Linear(head.hidden, CLASSES)
        )
        adam = torch.optim.Adam(net.parameters())
        for epoch, each in enumerate(rates):
            adam.param_groups[0]["lr"] = each
            size = int(inside.sum())
            batches = [torch.arange(size)] if size <= head.batch_size else torch.randperm(size).split(head.batch_size)
            for batch in batches:
                adam.zero_grad()
                loss = torch.nn.functional.cross_entropy(net(z[inside][batch]), known[inside][batch])
                loss.backward()
                adam.step()
            with torch.no_grad():
                held = torch.nn.functional.cross_entropy(net(z[outside]), known[outside], reduction="sum")
            losses[epoch] += float(held)
    gone, best, end = np.cumsum(rates), 0, len(rates) - 1
    for epoch in range(1, len(rates)):
        if epoch >= best + 3 and gone[epoch] >= BEYOND * gone[best]:
            end = epoch
            break
        best = epoch if losses[epoch] < losses[best] else best
    least = losses[best]
    while best < end and losses[best + 1] - least <= GIVEN_UP * (losses[0] - least):
        best += 1
    batches = [-(-rows // head.batch_size) for rows in (int((folds != 0).sum()), len(job.train))]
    return float(gone[best] * batches[0] / (head.epochs * batches[1]))


@pytest.mark.parametrize("distance", [0.3, 2.0])
@pytest.mark.parametrize("batch_size", [1024, 30])
def test_the_rate_is_that_of_plain_loops(distance: float, batch_size: int) -> None:
    x, labels = data(distance)
    head = TUNED.model_copy(update={"batch_size": batch_size})
    assert rate(x, labels, head=head) == pytest.approx(by_plain_loops(x, labels, JOB, head))


def test_the_head_is_the_one_that_is_trained_at_that_rate() -> None:
    x, labels = data()
    (tuned,) = fitted(x, labels, [JOB])
    (given,) = fitted(x, labels, [JOB], TUNED.model_copy(update={"learning_rate": tuned.report[0]["learning_rate"]}))
    assert np.array_equal(tuned.predict([x], JOB.predict), given.predict([x], JOB.predict))
    assert given.report == ({},)


def test_it_goes_far_where_there_is_something_to_learn() -> None:
    x, labels = data(2.0)
    assert rate(x, np.random.default_rng(0).permutation(labels)) < 0.7 * rate(x, labels)


def test_a_job_does_not_depend_on_those_beside_it() -> None:
    x, labels = data(0.08, 120)
    jobs = [
        Job(np.random.default_rng(seed).permutation(ROWS)[:size], JOB.predict, seed)
        for seed, size in enumerate((100, 61, 140, 100, 90))
    ]
    together = fitted(x, labels, jobs)
    assert len({head.report[0]["learning_rate"] for head in together}) > 1
    for job, expected in zip(jobs, together, strict=True):
        (alone,) = fitted(x, labels, [job])
        assert alone.report == expected.report
        assert np.array_equal(alone.predict([x], job.predict), expected.predict([x], job.predict))
    # whatever the workspace
    (small,) = fitted(x, labels, jobs[:1], memory_bytes=1 << 16)
    assert small.report == together[0].report


def test_only_training_rows_are_read() -> None:
    x, labels = data()
    poisoned, hidden = x.clone(), labels.copy()
    poisoned[100:], hidden[100:] = torch.nan, -1
    assert rate(poisoned, hidden) == rate(x, labels)


def test_groups_are_held_out_whole() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 5)
    labels = rng.permutation(np.arange(30) % 2)[groups]
    x = torch.from_numpy((rng.normal(size=(30, 800))[groups] + 0.3 * rng.normal(size=(ROWS, 800))).astype(np.float32))
    job, head = replace(JOB, train=np.arange(ROWS)), TUNED.model_copy(update={"hidden": 128})
    assert rate(x, labels, job, head, groups=groups) < 0.4 * rate(x, labels, job, head)


def test_where_nothing_can_be_held_out_the_rate_is_the_papers() -> None:
    x, labels = data()
    lone = np.array([np.flatnonzero(labels == label)[0] for label in range(CLASSES)])
    assert rate(x, labels, Job(lone, JOB.predict, 0)) == UNTUNED == MLP().learning_rate


def test_every_source_of_late_fusion_has_a_rate_of_its_own() -> None:
    x, labels = data(2.0)
    noise = torch.randn(ROWS, 200, generator=torch.Generator().manual_seed(0))
    sources = (SOURCE, Source(model="n", layer=0, pooling="mean"))
    candidate = Candidate(sources=sources, fusion="late", head=TUNED)
    (found,) = fit([x, noise], labels, CLASSES, [JOB], candidate)
    first, second = (part["learning_rate"] for part in found.report)
    assert second < 0.7 * first


def test_a_space_may_ask_for_it_and_does_not_search_it() -> None:
    head = {"kinds": ["mlp", "ridge"], "learning_rate": "tuned"}
    space = SearchSpace.model_validate({"version": 1, "sources": {"models": ["m"]}, "head": head})
    assert not space.head.searched
    assert is_finite(space)
    assert SearchSpace.model_validate(space.model_dump(mode="json")) == space
    (mlp,) = [m.candidate for m in members(space, {"m": Shape(0, 8, ("mean",))}) if m.candidate.head.kind == "mlp"]
    assert Candidate.model_validate_json(mlp.model_dump_json()) == mlp
    assert candidate_params(mlp)["learning_rate"] == "tuned"
    assert "learning rate tuned" in describe(mlp)
    with pytest.raises(ValidationError, match="number"):
        SearchSpace.model_validate({"version": 1, "sources": {"models": ["m"]}, "head": {"learning_rate": "best"}})


@pytest.mark.parametrize("name", ["default", "legalbench", "quickstart", "paper"])
def test_spaces_that_come_with_bench_search_no_settings_of_heads(name: str) -> None:
    space = load(spaces_folder() / f"{name}.toml")
    assert not space.head.searched
    assert space.head.learning_rate == (1e-4 if name == "paper" else "tuned")


def test_heads_side_by_side_have_one_rate() -> None:
    x, labels = data()
    with pytest.raises(BenchError, match="give a number"):
        predict_subsets([x], [(0,)], labels, CLASSES, JOB, TUNED)
