"""Intervals and tests over rows and groups, held to what they promise by simulation."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from bench.metrics import (
    bootstrap_interval,
    corrected_resampled,
    paired_interval,
    paired_permutation,
    row_interval,
    row_permutation,
    score,
)

sys.path.append(str(Path(__file__).with_name("perf")))
from worlds import WORLDS, World, other_profiles

SIMULATIONS, DRAWS = 200, 400


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_intervals_hold_the_truth_as_often_as_they_say(world: World) -> None:
    single, paired, accurate = [], [], []
    for seed in range(SIMULATIONS):
        drawn = world.drawn(seed)
        given = {"seed": seed, "groups": drawn.groups, "draws": DRAWS}
        rows = (drawn.labels, drawn.a), (drawn.labels, drawn.a, drawn.b)
        found = bootstrap_interval(*rows[0], world.classes, "f1", **given)  # type: ignore[arg-type]
        single.append(found.low <= world.f1()[drawn.held(drawn.a)].mean() <= found.high)
        found = bootstrap_interval(*rows[0], world.classes, "accuracy", **given)  # type: ignore[arg-type]
        accurate.append(found.low <= world.accuracy() <= found.high)
        found = paired_interval(*rows[1], world.classes, "f1", **given)  # type: ignore[arg-type]
        paired.append(found.low <= 0 <= found.high)
    for covered in (single, paired, accurate):
        # 95 % of 200 are missed by more than 0.04 once in a hundred
        assert 0.90 <= np.mean(covered) <= 0.985


@pytest.mark.parametrize("world", [*other_profiles()], ids=lambda world: world.name)
def test_a_difference_of_zero_is_held_where_profiles_differ(world: World) -> None:
    covered, rejected = [], []
    for seed in range(SIMULATIONS):
        drawn = world.drawn(seed)
        rows = drawn.labels, drawn.a, drawn.b, world.classes
        true = (world.f1() - world.f1(world.others))[drawn.held(drawn.a, drawn.b)].mean()
        found = paired_interval(*rows, "f1", seed=seed, draws=DRAWS)
        covered.append(found.low <= true <= found.high)
        rejected.append(paired_permutation(*rows, "f1", seed=seed, draws=DRAWS).p <= 0.05)
    assert 0.90 <= np.mean(covered) <= 0.985
    assert np.mean(rejected) <= 0.1


def test_rows_of_a_group_are_drawn_and_swapped_together() -> None:
    """Drawn one by one, rows that share their luck are taken for more than they are."""
    world = WORLDS[-2]
    missed, rejected = {"rows": 0, "groups": 0}, {"rows": 0, "groups": 0}
    for seed in range(SIMULATIONS):
        drawn = world.drawn(seed)
        for unit, groups in (("rows", None), ("groups", drawn.groups)):
            rows = drawn.labels, drawn.a, drawn.b, 2, "accuracy"
            found = paired_interval(*rows, seed=seed, groups=groups, draws=DRAWS)  # type: ignore[arg-type]
            missed[unit] += not found.low <= 0 <= found.high
            rejected[unit] += paired_permutation(*rows, seed=seed, groups=groups, draws=DRAWS).p <= 0.05  # type: ignore[arg-type]
    for wrong in (missed, rejected):
        assert wrong["rows"] > 0.15 * SIMULATIONS
        assert wrong["groups"] <= 0.1 * SIMULATIONS


@given(st.integers(0, 2**32 - 1))
def test_groups_of_one_row_are_rows(seed: int) -> None:
    drawn = WORLDS[4].drawn(seed)
    names = np.random.default_rng(seed).permutation(len(drawn.labels)) + 7
    rows = drawn.labels, drawn.a, drawn.b, 3
    for way in (paired_interval, paired_permutation):
        assert way(*rows, seed=0, draws=50) == way(*rows, seed=0, draws=50, groups=names)  # type: ignore[operator]


def test_equal_groups_swap_as_rows_do() -> None:
    """Twenty groups of ten equal rows are twenty rows."""
    drawn = WORLDS[4].drawn(0)
    labels, a, b = drawn.labels[:20], drawn.a[:, :20], drawn.b[:, :20]
    one = paired_permutation(labels, a, b, 3, seed=0)
    many = [np.repeat(each, 10, axis=-1) for each in (labels, a, b)]
    other = paired_permutation(*many, 3, seed=1, groups=np.repeat(np.arange(20), 10))
    assert other.difference == pytest.approx(one.difference)
    assert other.p == pytest.approx(one.p, abs=0.05)
    assert other.error == pytest.approx(one.error, rel=0.1)
    first = paired_interval(labels, a, b, 3, seed=0)
    second = paired_interval(*many, 3, seed=1, groups=np.repeat(np.arange(20), 10))
    assert (second.low, second.high) == pytest.approx((first.low, first.high), abs=0.05)


def test_what_is_no_function_of_counts_takes_groups_whole() -> None:
    groups = np.array([3, 1, 3, 2, 2, 2])
    seen: list[np.ndarray] = []

    def value(rows: np.ndarray) -> float:
        seen.append(rows)
        return float(np.mean(rows))

    row_interval(value, 6, seed=0, groups=groups, draws=50)
    for rows in seen:
        times = np.bincount(rows, minlength=6)
        assert times[0] == times[2]
        assert times[3] == times[4] == times[5]

    def difference(swapped: np.ndarray) -> float:
        assert swapped[0] == swapped[2]
        assert swapped[3] == swapped[4] == swapped[5]
        return float(swapped.sum())

    row_permutation(difference, 6, seed=0, groups=groups, draws=50)


def test_all_right_is_not_for_certain() -> None:
    """Of 60 rows that are all right, Jeffreys' interval for a share goes down to 0.959; no row was ever lost."""
    y = np.arange(60) % 2
    for statistic in ("f1", "accuracy"):
        found = bootstrap_interval(y, y[None], 2, statistic, seed=0)  # type: ignore[arg-type]
        assert (found.value, found.high) == (1, 1)
        assert 0.93 < found.low < 0.985


def test_a_class_of_one_row_leaves_its_f1_open() -> None:
    y = np.array([0] * 100 + [1] * 99 + [2])
    found = bootstrap_interval(y, y[None], 3, lambda counts: counts.f1[..., 2], seed=0)
    assert found.low < 0.6
    wrong = np.where(y == 2, 0, y)
    found = bootstrap_interval(y, wrong[None], 3, lambda counts: counts.f1[..., 2], seed=0)
    assert found.value == 0
    assert found.high > 0.5
    # a class that no row holds says nothing, and stays out
    four = bootstrap_interval(y, wrong[None], 4, "f1", seed=0)
    assert four.value == pytest.approx(score(y, wrong, 3).macro_f1)


def test_the_corrected_resampled_t_test_by_hand() -> None:
    differences = [0.01, 0.03, 0.02, 0.0, 0.05]
    found = corrected_resampled(differences, 1 / 4)
    error = np.std(differences, ddof=1) * np.sqrt(1 / 5 + 1 / 4)
    reach = t.ppf(0.975, 4) * error
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.022, 0.022 - reach, 0.022 + reach))
    assert found.p == pytest.approx(2 * t.sf(0.022 / error, 4))
    assert corrected_resampled([0.1], 0.25) is None
    nothing = corrected_resampled([0.0, 0.0], 0.25)
    assert nothing is not None
    assert (nothing.low, nothing.high, nothing.p) == (0, 0, 1)
