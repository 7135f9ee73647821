import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.front import Direction, could_still_matter, dominates, knee, pareto

UP_DOWN: tuple[Direction, Direction] = ("maximize", "minimize")
values = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan])
points = st.lists(st.tuples(values, values), max_size=12)
numbers = st.lists(st.tuples(st.floats(0, 1), st.floats(1, 100)), min_size=1, max_size=12)


def strictly_better(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return (a[0] >= b[0] and a[1] <= b[1]) and (a[0] > b[0] or a[1] < b[1])


@given(points)
@settings(deadline=None)
def test_front_is_what_brute_force_says(cloud: list[tuple[float, float]]) -> None:
    expected = []
    for index, point in enumerate(cloud):
        if any(map(math.isnan, point)) or point in cloud[:index]:
            continue
        if not any(strictly_better(other, point) for other in cloud):
            expected.append(index)
    assert pareto(cloud, UP_DOWN) == expected


@given(points)
@settings(deadline=None)
def test_nothing_dominates_itself_or_in_both_ways(cloud: list[tuple[float, float]]) -> None:
    for a in cloud:
        assert not dominates(a, a, UP_DOWN)
        for b in cloud:
            assert dominates(a, b, UP_DOWN) == strictly_better(a, b)
            assert not (dominates(a, b, UP_DOWN) and dominates(b, a, UP_DOWN))


def test_three_objectives() -> None:
    cloud = [(1.0, 1.0, 1.0), (1.0, 2.0, 0.5), (0.5, 2.0, 0.5)]
    assert pareto(cloud, ("maximize", "minimize", "minimize")) == [0, 1]


@given(points, st.tuples(values, values))
@settings(deadline=None)
def test_a_candidate_is_hopeless_exactly_when_even_its_bound_would_not_join_the_front(
    complete: list[tuple[float, float]], bound: tuple[float, float]
) -> None:
    joins = len(complete) in pareto([*complete, bound], UP_DOWN)
    assert could_still_matter(bound, complete, UP_DOWN) == joins


@given(points, st.tuples(values, values), st.floats(0, 1))
@settings(deadline=None)
def test_stopping_a_hopeless_candidate_never_changes_the_front(
    complete: list[tuple[float, float]], bound: tuple[float, float], fall: float
) -> None:
    final = (bound[0] - fall, bound[1])
    if not could_still_matter(bound, complete, UP_DOWN):
        assert pareto([*complete, final], UP_DOWN) == pareto(complete, UP_DOWN)


def test_knee_is_the_corner() -> None:
    cloud = [(0.5, 1.0), (0.9, 2.0), (1.0, 10.0), (0.4, 9.0)]
    assert knee(cloud, UP_DOWN) == 1


def test_knee_of_short_straight_or_hollow_fronts_is_the_best_in_the_first_objective() -> None:
    assert knee([(0.5, 1.0)], UP_DOWN) == 0
    assert knee([(0.5, 1.0), (0.6, 2.0)], UP_DOWN) == 1
    assert knee([(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)], UP_DOWN) == 2
    assert knee([(0.0, 0.0), (0.1, 0.5), (1.0, 1.0)], UP_DOWN) == 2
    with pytest.raises(ValueError, match="no knee"):
        knee([(math.nan, 1.0)], UP_DOWN)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
@settings(deadline=None)
def test_knee_does_not_depend_on_units(x: float, y: float) -> None:
    cloud = [(0.5, 1.0), (0.8, 1.5), (0.9, 2.0), (0.97, 6.0), (1.0, 10.0)]
    assert knee([(a * x, b * y) for a, b in cloud], UP_DOWN) == 2
