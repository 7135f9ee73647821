"""The contract suites run for everything that is registered, and so for what a plugin registers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas as pd
import pandas.core.arrays.arrow.extension_types  # imports but once; pytester forgets what its runs import
import pytest
import torch
from contracts.fusions import FusionContract
from contracts.heads import HeadContract
from contracts.sources import SOURCES, Sides, SourceContract, source

from bench.datasets.request import DatasetRequest
from bench.fusion import FUSIONS, fusion
from bench.heads import HEAD_KINDS
from bench.heads.kinds import Problem, Trained, head
from bench.heads.pipeline import Affine, Pipeline, standardisations
from bench.specs import HEAD_SETTINGS, Candidate, HeadSettings

pytest_plugins = ["pytester"]


class TestHeads(HeadContract):
    pass


class TestFusions(FusionContract):
    pass


class TestSources(SourceContract):
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


def run_suite(pytester: pytest.Pytester, name: str, like: str) -> None:
    """Collect this file again and run what is there for `name`: as much as for `like`, and it passes."""
    items, _ = pytester.inline_genitems(Path(__file__))
    suite = [item for item in items if f"[{name}" in item.name]
    assert len(suite) == sum(f"[{like}" in item.name for item in items) > 5
    run = pytester.inline_run("-k", name, "-p", "no:cacheprovider", str(Path(__file__)))
    run.assertoutcome(passed=len(suite))


def test_a_registered_head_has_its_suite_collected_and_passes(nearest_mean: str, pytester: pytest.Pytester) -> None:
    run_suite(pytester, nearest_mean, like="logistic")


def test_a_registered_operator_has_its_suite_collected_and_passes(pytester: pytest.Pytester) -> None:
    @fusion("largest-of-two", commutative=True)
    def largest(tensors):  # type: ignore[no-untyped-def]
        """Elementwise maximum."""
        return torch.stack(list(tensors)).amax(0)

    try:
        run_suite(pytester, "largest-of-two", like="hadamard]")
    finally:
        del FUSIONS._entries["largest-of-two"]


def test_a_registered_source_has_its_suite_collected_and_passes(pytester: pytest.Pytester) -> None:
    @source("parquet-files", kind="file")
    def lay_out(folder: Path, sides: Sides, _: pytest.MonkeyPatch) -> DatasetRequest:
        folder.mkdir(parents=True)
        for side, rows in sides.items():
            pd.DataFrame(rows, columns=["text", "label"]).to_parquet(folder / f"{side}.parquet", compression=None)
        return DatasetRequest(name=str(folder / "train.parquet"), test_file=str(folder / "test.parquet"))

    try:
        run_suite(pytester, "parquet-files", like="package")
    finally:
        del SOURCES._entries["parquet-files"]


def test_a_registered_head_is_part_of_a_candidate(nearest_mean: str) -> None:
    written = {"sources": [{"model": "m", "layer": 0, "pooling": "mean"}], "head": {"kind": nearest_mean}}
    candidate = Candidate.model_validate(written)
    assert candidate.head == NearestMean()
    assert Candidate.model_validate(candidate.model_dump(mode="json")) == candidate
