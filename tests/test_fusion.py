import itertools
import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.fusion import FUSIONS, ROW_LIMIT, common_width, fold, fusion, hamilton

PAPERS_NINE = {
    "concat",
    "sum",
    "sum+residual",
    "hadamard",
    "hadamard+residual",
    "multiplication",
    "multiplication+residual",
    "quaternion",
    "quaternion+residual",
}
COMPARED = {"difference", "product", "comparison"}
ALIGNED = [name for name, operator in FUSIONS.items() if operator.aligned]
seeds = st.integers(0, 2**31 - 1)


def sources(seed: int, count: int, *shape: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=dtype) for _ in range(count)]


def test_the_papers_nine_late_fusion_and_those_that_learn_are_there() -> None:
    assert set(FUSIONS) == PAPERS_NINE | {"late", "gated-sum", "attention", "scalar-mix"} | COMPARED
    assert all(operator.summary for operator in FUSIONS.values())


def test_the_table_loads_without_torch() -> None:
    code = "import sys, bench.fusion; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_swapped_concatenation_only_permutes_columns() -> None:
    a, b = sources(0, 2, 3, 4)
    assert torch.equal(FUSIONS["concat"].fuse([a, b]), FUSIONS["concat"].fuse([b, a])[:, [4, 5, 6, 7, 0, 1, 2, 3]])


@given(seed=seeds, name=st.sampled_from(["sum", "hadamard", "multiplication", "quaternion"]))
@settings(deadline=None)
def test_folds_are_associative(seed: int, name: str) -> None:
    fuse = FUSIONS[name].fuse
    a, b, c = sources(seed, 3, 2, 16)
    torch.testing.assert_close(fuse([fuse([a, b]), c]), fuse([a, fuse([b, c])]))
    torch.testing.assert_close(fuse([fuse([a, b]), c]), fuse([a, b, c]))


@given(seed=seeds)
@settings(deadline=None)
def test_hamilton_product_keeps_the_norm_of_quaternions(seed: int) -> None:
    p, q = sources(seed, 2, 5, 12)
    norms = [x.unflatten(-1, (4, 3)).norm(dim=-2) for x in (p, q, hamilton(p, q))]
    torch.testing.assert_close(norms[2], norms[0] * norms[1])


def test_hamilton_product_has_the_table_of_the_units() -> None:
    one, i, j, k = torch.eye(4)
    assert torch.equal(hamilton(i, j), k)
    assert torch.equal(hamilton(j, k), i)
    assert torch.equal(hamilton(k, i), j)
    assert torch.equal(hamilton(j, i), -k)
    assert all(torch.equal(hamilton(unit, unit), -one) for unit in (i, j, k))


def test_multiplication_is_the_scaled_product_of_square_matrices() -> None:
    a, b = sources(1, 2, 9)
    expected = (a.view(3, 3) @ b.view(3, 3)).flatten() / math.sqrt(3)
    torch.testing.assert_close(FUSIONS["multiplication"].fuse([a, b]), expected)


@pytest.mark.parametrize("name", [name for name in ALIGNED if name.endswith("+residual")])
def test_residual_adds_the_mean_of_the_sources(name: str) -> None:
    tensors = sources(2, 3, 4, 16)
    plain = FUSIONS[name.removesuffix("+residual")].fuse(tensors)
    torch.testing.assert_close(FUSIONS[name].fuse(tensors), plain + torch.stack(tensors).mean(0))


@pytest.mark.parametrize("name", ["hadamard", "multiplication", "quaternion"])
def test_products_of_unit_variance_sources_have_unit_variance(name: str) -> None:
    fused = FUSIONS[name].fuse(sources(3, 2, 4000, 64))
    assert fused.var().item() == pytest.approx(1, abs=0.05)


def test_rows_within_the_limit_are_left_alone_and_zero_rows_too() -> None:
    rows = torch.tensor([[ROW_LIMIT / 2, ROW_LIMIT / 2], [0.0, 0.0]])
    assert torch.equal(fold(lambda left, right: left + right, [rows, torch.zeros_like(rows)]), rows)


def test_a_gate_scales_its_own_value() -> None:
    closed, half = torch.tensor([[3.0, 5.0, -1e9, -1e9]]), torch.tensor([[2.0, 4.0, 0.0, 0.0]])
    torch.testing.assert_close(FUSIONS["gated-sum"].fuse([closed, half]), torch.tensor([[1.0, 2.0]]))


def test_attention_takes_equal_keys_equally_and_the_key_that_agrees_most() -> None:
    values = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[5.0, 5.0]])]
    equal = [torch.cat([value, torch.ones(1, 2)], 1) for value in values]
    torch.testing.assert_close(FUSIONS["attention"].fuse(equal), torch.tensor([[2.0, 2.0]]))
    keys = [torch.tensor([[30.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]])]
    chosen = [torch.cat(pair, 1) for pair in zip(values, keys, strict=True)]
    torch.testing.assert_close(FUSIONS["attention"].fuse(chosen), values[0])


@given(seed=seeds, count=st.integers(2, 5))
def test_attention_lies_between_the_values(seed: int, count: int) -> None:
    tensors = sources(seed, count, 3, 8)
    values = torch.stack([x[:, :4] for x in tensors])
    fused = FUSIONS["attention"].fuse(tensors)
    assert (fused <= values.amax(0) + 1e-9).all()
    assert (fused >= values.amin(0) - 1e-9).all()


def test_a_scalar_mix_wants_sources_of_one_width() -> None:
    assert common_width(FUSIONS["scalar-mix"], [16, 16]) is None
    with pytest.raises(BenchError, match="layers of one model"):
        common_width(FUSIONS["scalar-mix"], [16, 20])


def test_two_fields_are_compared_value_by_value() -> None:
    u, v = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 4.0]])
    assert FUSIONS["difference"].fuse([u, v]).tolist() == FUSIONS["difference"].fuse([v, u]).tolist() == [[2.0, 6.0]]
    assert FUSIONS["product"].fuse([u, v]).tolist() == [[3.0, -8.0]]
    assert FUSIONS["comparison"].fuse([u, v]).tolist() == [[1.0, -2.0, 3.0, 4.0, 2.0, 6.0, 3.0, -8.0]]
    assert {name for name, operator in FUSIONS.items() if operator.compared} == COMPARED
    for widths in ([4, 6], [4, 4, 4]):
        with pytest.raises(BenchError, match="compares two sources of one width"):
            common_width(FUSIONS["product"], widths)


def test_late_fusion_averages_probabilities() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    assert FUSIONS["late"].late
    assert torch.equal(FUSIONS["late"].fuse([a, b]), torch.tensor([[0.75, 0.25]]))


@given(width=st.integers(4, 10_000))
def test_squares_and_quarters_are_the_largest_that_fit(width: int) -> None:
    square, quarters = (FUSIONS[name].fit_width(width) for name in ("multiplication", "quaternion"))
    assert math.isqrt(square) ** 2 == square > width - 2 * math.isqrt(width) - 1
    assert quarters % 4 == 0
    assert width - 4 < quarters <= width


def test_common_width_is_the_smallest_source_adjusted() -> None:
    widths = [768, 576, 384]
    expected = {"concat": None, "late": None, "sum": 384, "hadamard": 384, "multiplication": 361, "quaternion": 384}
    assert {name: common_width(FUSIONS[name], widths) for name in expected} == expected
    assert common_width(FUSIONS["quaternion"], widths, requested=102) == 100
    assert common_width(FUSIONS["concat"], widths, requested=102) is None


def test_a_width_that_no_quaternion_fits_is_an_error_that_says_so() -> None:
    with pytest.raises(BenchError, match="'quaternion' cannot fuse sources at a width of 3"):
        common_width(FUSIONS["quaternion"], [3, 8])


def test_one_decorated_function_adds_an_operator() -> None:
    @fusion("largest of two", commutative=True, residual=True)
    def largest(tensors):  # type: ignore[no-untyped-def]
        """Elementwise maximum."""
        return torch.stack(list(tensors)).amax(0)

    try:
        a, b = sources(0, 2, 3, 4)
        assert FUSIONS["largest of two"].summary == "Elementwise maximum"
        assert torch.equal(FUSIONS["largest of two+residual"].fuse([a, b]), torch.maximum(a, b) + (a + b) / 2)
    finally:
        for name in ("largest of two", "largest of two+residual"):
            del FUSIONS._entries[name]


def test_every_pair_of_operators_differs() -> None:
    a, b = sources(5, 2, 3, 16)
    fused = {name: FUSIONS[name].fuse([a, b]) for name in ALIGNED}
    for one, other in itertools.combinations(fused, 2):
        same = fused[one].shape == fused[other].shape and torch.allclose(fused[one], fused[other])
        assert not same, (one, other)
