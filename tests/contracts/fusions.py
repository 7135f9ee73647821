"""What every fusion operator must hold to."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fusion import FUSIONS, Operator

WIDTH = 16
"""Suits every operator: a perfect square, and a multiple of four."""
seeds = st.integers(0, 2**31 - 1)
counts = st.integers(2, 5)
# the suite is collected once more, under a class of its own, when a plugin is tried
drawn = settings(suppress_health_check=[HealthCheck.differing_executors])


class FusionContract:
    """Runs for each operator that is registered when tests are collected."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.parametrize("operator", list(FUSIONS.values()), ids=list(FUSIONS))

    def test_it_says_what_it_is(self, operator: Operator) -> None:
        assert FUSIONS[operator.name] is operator
        assert operator.summary

    @drawn
    @given(seed=seeds, count=counts)
    def test_a_row_is_fused_alone_and_the_sources_stay_as_they_are(
        self, operator: Operator, seed: int, count: int
    ) -> None:
        given_ = sources(operator, seed, count, 5)
        kept = [x.clone() for x in given_]
        fused = operator.fuse(given_)
        assert fused.shape[0] == 5
        assert fused.ndim == 2
        assert all(map(torch.equal, given_, kept))
        for row in range(5):
            torch.testing.assert_close(operator.fuse([x[row : row + 1] for x in given_])[0], fused[row])

    @drawn
    @given(seed=seeds, count=counts)
    def test_the_order_of_sources_matters_only_where_it_says_so(
        self, operator: Operator, seed: int, count: int
    ) -> None:
        """Of a commutative operator that joins, the same columns come out in another order."""
        if not operator.commutative:
            first, second = sources(operator, seed, 2, 3)
            assert not torch.allclose(operator.fuse([first, second]), operator.fuse([second, first]))
            return
        given_ = sources(operator, seed, count, 3)
        order = torch.randperm(len(given_), generator=torch.Generator().manual_seed(seed)).tolist()
        fused, shuffled = operator.fuse(given_), operator.fuse([given_[place] for place in order])
        if fused.shape[-1] > WIDTH:
            fused, shuffled = fused.sort(dim=-1).values, shuffled.sort(dim=-1).values
        torch.testing.assert_close(shuffled, fused)

    @drawn
    @given(seed=seeds)
    def test_leading_dimensions_are_batched_over(self, operator: Operator, seed: int) -> None:
        given_ = [x.unflatten(0, (2, 5)) for x in sources(operator, seed, 3, 10)]
        each = torch.stack([operator.fuse([x[job] for x in given_]) for job in range(2)])
        torch.testing.assert_close(operator.fuse(given_), each)

    @settings(drawn, max_examples=40)
    @given(seed=seeds, count=st.integers(2, 30), scale=st.sampled_from([1e-20, 1.0, 1e3, 1e30]))
    def test_many_sources_of_any_scale_stay_finite_with_their_gradients(
        self, operator: Operator, seed: int, count: int, scale: float
    ) -> None:
        scaled = 1.0 if operator.late or not operator.aligned else scale
        given_ = [(x.float() * scaled).requires_grad_() for x in sources(operator, seed, count, 2)]
        fused = operator.fuse(given_)
        assert fused.isfinite().all()
        fused.mean().backward()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in given_)

    @drawn
    @given(width=st.integers(4, 10_000))
    def test_a_fitted_width_is_the_largest_that_it_can_fuse(self, operator: Operator, width: int) -> None:
        fitted = operator.fit_width(width)
        assert 0 < fitted <= width
        assert all(operator.fit_width(between) == fitted for between in (fitted, (fitted + width) // 2, width))

    def test_a_fitted_width_can_be_fused(self, operator: Operator) -> None:
        for width in range(4, 40):
            fitted = operator.fit_width(width)
            given_ = [torch.randn(3, fitted * operator.parts) for _ in range(2)]
            assert operator.fuse(given_).isfinite().all()


def sources(operator: Operator, seed: int, count: int, rows: int) -> list[torch.Tensor]:
    """What the operator is given: float64 [rows, width × parts] a source, or class probabilities.

    There are `count` sources, but two of an operator that compares them.
    """
    count = 2 if operator.compared else count
    generator = torch.Generator().manual_seed(seed)
    given_ = [torch.randn(rows, WIDTH * operator.parts, generator=generator).double() for _ in range(count)]
    return [x.softmax(-1) for x in given_] if operator.late else given_
