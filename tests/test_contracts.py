"""The contract suites run for everything that is registered, and so for what a plugin registers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from contracts.heads import HeadContract

from bench.heads import HEAD_KINDS
from bench.heads.kinds import Problem, Trained, head
from bench.heads.pipeline import Affine, Pipeline, standardisations
from bench.specs import HEAD_SETTINGS, Candidate, HeadSettings

pytest_plugins = ["pytester"]


class TestHeads(HeadContract):
    pass


class NearestMean(HeadSettings):
    kind: Literal["nearest-mean"] = "nearest-mean"


@pytest.fixture
def nearest_mean() -> Iterator[str]:
    """A kind of head as a plugin would register it, for one test."""

    @head(NearestMean)
    def train(problem: Problem) -> list[Trained]:
        """The class whose mean is nearest."""
        trained = []
        for job in problem.jobs:
            rows = problem.rows(job)
            scalings = standardisations(problem.features, rows)
            pipeline = Pipeline(scalings, (), problem.operator, ())
            x, labels = pipeline.fused(problem.features, rows), problem.labels[rows]
            present = labels.unique()
            means = torch.stack([x[labels == each].mean(0) for each in present])
            weight, bias = x.new_zeros(problem.classes, x.shape[1]), x.new_full((problem.classes,), -torch.inf)
            weight[present], bias[present] = means, -means.square().sum(1) / 2
            trained.append(Trained(Pipeline(scalings, (), problem.operator, (Affine(weight, bias),)), {}))
        return trained

    yield "nearest-mean"
    for registry in (HEAD_KINDS, HEAD_SETTINGS):
        del registry._entries["nearest-mean"]


def test_a_registered_head_has_its_suite_collected_and_passes(nearest_mean: str, pytester: pytest.Pytester) -> None:
    items, _ = pytester.inline_genitems(Path(__file__))
    suite = [item for item in items if f"[{nearest_mean}" in item.name]
    assert len(suite) == sum("[logistic" in item.name for item in items) > 10
    run = pytester.inline_run("-k", nearest_mean, "-p", "no:cacheprovider", str(Path(__file__)))
    run.assertoutcome(passed=len(suite))


def test_a_registered_head_is_part_of_a_candidate(nearest_mean: str) -> None:
    written = {"sources": [{"model": "m", "layer": 0, "pooling": "mean"}], "head": {"kind": nearest_mean}}
    candidate = Candidate.model_validate(written)
    assert candidate.head == NearestMean()
    assert Candidate.model_validate(candidate.model_dump(mode="json")) == candidate
