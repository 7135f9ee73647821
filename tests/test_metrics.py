import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from bench.metrics import bootstrap_interval, holm, paired_permutation, score, summarise

seeds = st.integers(0, 2**31 - 1)


def labels_and_predictions(
    seed: int, n: int, classes: int, systems: int = 1, right: float = 0.7
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    wrong = rng.integers(0, classes, (systems, n))
    return y, np.where(rng.random((systems, n)) < right, y, wrong)


@given(seed=seeds, n=st.integers(1, 60), classes=st.integers(2, 9))
@settings(deadline=None)
def test_scores_are_scikit_learns(seed: int, n: int, classes: int) -> None:
    y, (p,) = labels_and_predictions(seed, n, classes)
    scores, names = score(y, p, classes), list(range(classes))
    per_class = f1_score(y, p, labels=names, average=None, zero_division=0)
    assert scores.f1 == pytest.approx(per_class)
    assert scores.macro_f1 == pytest.approx(f1_score(y, p, average="macro"))
    assert scores.accuracy == pytest.approx(accuracy_score(y, p))
    assert np.array_equal(scores.confusion, confusion_matrix(y, p, labels=names))
    assert scores.support == tuple(np.bincount(y, minlength=classes))


def test_a_class_that_is_neither_there_nor_predicted_has_no_part_in_macro_f1() -> None:
    assert score([0, 0], [0, 0], 3).macro_f1 == 1.0
    assert score([0, 0], [0, 1], 3).macro_f1 == pytest.approx((2 / 3 + 0) / 2), "a wrong guess counts 0"


def test_summaries_say_what_is_not_known() -> None:
    one, three = summarise([0.5]), summarise([0.2, 0.4, 0.9])
    assert math.isnan(one.std)
    assert (one.mean, one.floor, one.n) == (0.5, 0.5, 1)
    assert (three.mean, three.std, three.floor) == pytest.approx((0.5, np.std([0.2, 0.4, 0.9], ddof=1), 0.2))
    assert math.isnan(summarise([0.5, math.nan]).floor)


@pytest.mark.parametrize("statistic", ["f1", "accuracy"])
def test_bootstrap_agrees_with_drawing_rows_one_by_one(statistic: str) -> None:
    y, p = labels_and_predictions(1, 80, 3, systems=2)
    interval = bootstrap_interval(y, p, 3, statistic, seed=0, draws=4000)  # type: ignore[arg-type]
    rng = np.random.default_rng(9)
    values = []
    for _ in range(1500):
        rows = rng.integers(0, 80, 80)
        each = [score(y[rows], seed[rows], 3) for seed in p]
        values.append(np.mean([s.macro_f1 if statistic == "f1" else s.accuracy for s in each]))
    assert (interval.low, interval.high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.015)
    each = [score(y, seed, 3) for seed in p]
    assert interval.value == pytest.approx(np.mean([s.macro_f1 if statistic == "f1" else s.accuracy for s in each]))


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    # Accuracy 0.7 + 0.3 / 2 by construction.
    covered = 0
    for seed in range(200):
        y, p = labels_and_predictions(seed, 200, 2)
        interval = bootstrap_interval(y, p, 2, "accuracy", seed=seed, draws=300)
        covered += interval.low <= 0.85 <= interval.high
    assert 0.89 <= covered / 200 <= 0.985


def test_permutation_agrees_with_swapping_rows_one_by_one() -> None:
    y, p = labels_and_predictions(3, 60, 3, systems=4, right=0.6)
    a, b = p[:2], np.where(np.random.default_rng(0).random((2, 60)) < 0.35, y, p[2:])
    test = paired_permutation(y, a, b, 3, seed=0, draws=4000)

    def difference(first: np.ndarray, second: np.ndarray) -> float:
        return float(
            np.mean([score(y, s, 3).macro_f1 for s in first]) - np.mean([score(y, s, 3).macro_f1 for s in second])
        )

    observed, rng = difference(a, b), np.random.default_rng(5)
    null = []
    for _ in range(1500):
        swap = rng.random(60) < 0.5
        null.append(difference(np.where(swap, b, a), np.where(swap, a, b)))
    assert test.difference == pytest.approx(observed)
    assert test.p == pytest.approx((np.abs(null) >= abs(observed)).mean(), abs=0.04)
    assert test.resolvable == pytest.approx(2.8016 * np.std(null), rel=0.08)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    p_values = []
    for seed in range(300):
        y, p = labels_and_predictions(seed, 120, 3, systems=2)
        p_values.append(paired_permutation(y, p[:1], p[1:], 3, seed=seed, draws=199).p)
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.array(p_values) <= level)
        assert abs(share - level) < 3.5 * math.sqrt(level * (1 - level) / 300) + 0.01, level


def test_the_resolvable_difference_is_found_about_four_times_in_five() -> None:
    found, trials = 0, 150
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 2, 400)
        # Of the rows, a tenth are right for a alone and a twentieth for b alone: a true difference of 0.05.
        draw = rng.random(400)
        a = np.where(draw < 0.05, 1 - y, y)
        b = np.where((draw >= 0.05) & (draw < 0.15), 1 - y, y)
        test = paired_permutation(y, a, b, 2, "accuracy", seed=seed, draws=400)
        assert test.resolvable == pytest.approx(2.8016 * math.sqrt(0.15 / 400), rel=0.35)
        found += test.p <= 0.05
    # The standard error here is 0.0194, so 0.05 is 2.6 of them: a power of about 0.73.
    assert 0.6 <= found / trials <= 0.86


def test_identical_systems_have_p_one_and_resolve_nothing_known() -> None:
    y, p = labels_and_predictions(0, 50, 3)
    test = paired_permutation(y, p, p, 3, seed=0, draws=99)
    assert (test.difference, test.p) == (0, 1)
    assert math.isnan(test.resolvable)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_the_test_is_two_sided(seed: int) -> None:
    y, p = labels_and_predictions(seed, 40, 3, systems=2)
    one = paired_permutation(y, p[:1], p[1:], 3, seed=0, draws=500)
    other = paired_permutation(y, p[1:], p[:1], 3, seed=0, draws=500)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p == pytest.approx(other.p, abs=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_holm_is_monotone_and_never_below_the_raw_p(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(a >= raw and a <= 1 for a, raw in zip(adjusted, p, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    assert adjusted[order[0]] == min(1, len(p) * p[order[0]])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.slow
def test_large_test_sets_with_many_classes_are_bounded() -> None:
    y, p = labels_and_predictions(0, 100_000, 52, systems=4, right=0.95)
    interval = bootstrap_interval(y, p[:2], 52, seed=0, draws=300)
    assert interval.low < interval.value < interval.high
    assert paired_permutation(y, p[:2], p[2:], 52, seed=0, draws=300).p > 0.001
