"""Probabilities that mean what they say, and what is answered where only sure texts are."""

import numpy as np
import pytest

from bench.errors import BenchError
from bench.evaluation.mistakes import REJECTED
from bench.evaluation.rule import LIKELIEST, Rule
from bench.evaluation.scoring import Repetition, Scored
from bench.evaluation.sureness import OUT_OF_FOLD, TEST, Sureness, cross_fitted, sureness, tried_on, typed, worthwhile
from bench.measures import Predictions
from bench.metrics import RiskCoverage, best_temperature, calibration_error, log_loss, tempered, wilson


def drawn(rows: int, classes: int, seed: int, sharper: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that are drawn from the probabilities, and log-probabilities that are so many times too sharp."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (rows, classes))
    logs = tempered(logits, 1.0)
    truth = (random.random((rows, 1)) > np.exp(logs).cumsum(1)).sum(1).clip(max=classes - 1)
    return truth, tempered(logs, 1 / sharper)


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_probabilities_too_sharp_or_too_flat(sharper: float) -> None:
    truth, logs = drawn(20_000, 4, 0, sharper)
    found = best_temperature(truth, logs)
    assert found == pytest.approx(sharper, rel=0.04)
    after = tempered(logs, found)
    assert (after.argmax(1) == logs.argmax(1)).all(), "no prediction changes"
    assert np.exp(after).sum(1) == pytest.approx(1)
    assert calibration_error(truth, after.argmax(1), after) < 0.012
    assert log_loss(truth, after) <= min(log_loss(truth, tempered(logs, found * step)) for step in (0.9, 1.1))


def test_rows_that_are_all_right_make_nothing_infinitely_sure() -> None:
    truth = np.arange(60) % 3
    logs = np.where(np.arange(3) == truth[:, None], np.log(0.6), np.log(0.2))
    sure = np.exp(tempered(logs, best_temperature(truth, logs))).max()
    assert 0.9 < sure < 0.999


def test_a_class_that_a_fold_lacks_stays_out_of_the_question() -> None:
    logs = np.array([[np.log(0.7), np.log(0.3), -np.inf]] * 4)
    found = tempered(logs, best_temperature(np.array([0, 0, 1, 2]), logs))
    assert np.isneginf(found[:, 2]).all()
    assert np.isfinite(found[:, :2]).all()


def test_the_curve_counts_who_is_answered_and_who_of_them_is_right() -> None:
    confidence, right = np.array([0.9, 0.5, 0.9, 0.7, 0.6]), np.array([True, False, True, False, True])
    curve = RiskCoverage.of(confidence, right)
    assert curve.thresholds.tolist() == [0.9, 0.7, 0.6, 0.5], "rows that are as sure go together"
    assert curve.coverage.tolist() == [0.4, 0.6, 0.8, 1.0]
    assert curve.accuracy == pytest.approx([1, 2 / 3, 3 / 4, 3 / 5])
    for threshold in (0.95, 0.9, 0.8, 0.7, 0.55, 0.1):
        answered = confidence >= threshold
        coverage, accuracy = curve.at(threshold)
        assert coverage == pytest.approx(answered.mean())
        assert accuracy == pytest.approx(right[answered].mean() if answered.any() else np.nan, nan_ok=True)
    assert curve.area == pytest.approx(0.4 * 0 + 0.2 / 3 + 0.2 / 4 + 0.2 * 2 / 5)


def test_an_accuracy_is_kept_only_where_rows_enough_show_it() -> None:
    confidence = np.linspace(1, 0.5, 100)
    right = np.ones(100, dtype=bool)
    right[60:] = False
    curve = RiskCoverage.of(confidence, right)
    place = curve.widest(0.9)
    assert place is not None
    assert curve.coverage[place] == pytest.approx(0.66), "60 right of 66"
    assert curve.widest(0.99) is None, "sixty rows do not show one miss in a hundred"
    assert RiskCoverage.of(np.tile(confidence, 2), np.tile(right, 2), 2).widest(0.99) is None, "nor do they twice"


def test_the_interval_of_a_share_is_that_of_scipy() -> None:
    from scipy.stats import binomtest

    for hits, rows in ((0, 12), (7, 10), (55, 55)):
        expected = binomtest(hits, rows).proportion_ci(method="wilson")
        found = wilson(hits / rows, rows)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def scored(rows: int, seed: int, sharper: float, repetitions: int = 2) -> Scored:
    truth, logs = drawn(rows, 3, seed, sharper)
    random = np.random.default_rng(seed)
    made = []
    for number in range(repetitions):
        said = tempered(logs + random.normal(0, 0.05, logs.shape), 1.0)
        predictions = Predictions(truth, said.argmax(1), ("a", "b", "c"), said, np.arange(rows))
        made.append(Repetition(number, np.arange(rows), predictions))
    return Scored(tuple(made))


def test_what_is_known_of_probabilities_is_found_out_of_fold_and_tried_on_the_test_set() -> None:
    searched, tested = scored(1500, 1, 3.0), scored(1000, 2, 3.0)
    found = sureness(searched, tested, np.arange(1500), 0)
    assert found is not None
    assert found.temperature == pytest.approx(3, rel=0.1)
    for side in (OUT_OF_FOLD, TEST):
        assert found.errors[side].after < 0.4 * found.errors[side].before
        assert 0 < found.areas[side] < 1 - found.accuracy[side]
    assert [each.wanted for each in found.thresholds] == sorted(each.wanted for each in found.thresholds)
    assert len(found.thresholds) >= 2
    for each in found.thresholds:
        assert each.wanted > found.accuracy[OUT_OF_FOLD]
        assert each.accuracy >= each.wanted - 0.003, "a threshold is typed with few digits"
        assert each.low is not None
        assert each.low < each.test_accuracy <= each.high + 1e-9
        assert abs(each.test_coverage - each.coverage) < 0.08
    assert Sureness.model_validate_json(found.model_dump_json()) == found
    assert (chosen := worthwhile(found)) is None or chosen.coverage >= 0.5


def test_no_row_has_a_part_in_its_own_temperature_nor_has_its_group() -> None:
    searched = scored(300, 3, 3.0, 1)
    groups = np.arange(300) // 3
    (before,) = cross_fitted(searched, groups, 0)
    truth = searched.repetitions[0].predictions.truth.copy()
    row = 7
    truth[row] = (truth[row] + 1) % 3
    changed = Predictions(
        truth, searched.repetitions[0].predicted, ("a", "b", "c"), searched.predictions[0].log_probabilities
    )
    (after,) = cross_fitted(Scored((Repetition(0, np.arange(300), changed),)), groups, 0)
    assert before.log_probabilities is not None
    assert after.log_probabilities is not None
    same = (before.log_probabilities == after.log_probabilities).all(1)
    assert same[groups == groups[row]].all()
    assert not same.all()


def test_without_probabilities_nothing_is_known() -> None:
    searched = scored(40, 4, 1.0)
    bare = Scored(
        tuple(
            Repetition(each.seed, each.rows, Predictions(each.predictions.truth, each.predicted, ("a", "b", "c")))
            for each in searched.repetitions
        )
    )
    assert sureness(bare, searched, np.arange(40), 0) is None
    assert sureness(searched, bare, np.arange(40), 0) is None


def test_a_threshold_is_typed_no_lower_than_it_is() -> None:
    for probability in (0.5, 0.87214, 0.99871234, 0.99999991, 1.0):
        assert probability <= typed(probability) <= probability + 1e-4
    assert typed(0.87214) == 0.8722


def test_a_rule_rejects_what_is_less_likely() -> None:
    said = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    assert LIKELIEST.decide(said).tolist() == [0, 1, 0]
    assert Rule(0.6).decide(said).tolist() == [0, 1, REJECTED]
    assert Rule(1.0).decide(said).tolist() == [REJECTED] * 3
    assert Rule(0.6).rejects
    assert LIKELIEST.plain
    with pytest.raises(BenchError, match="`reject_below` is a probability"):
        Rule(1.5)


def test_groups_are_what_an_interval_is_over() -> None:
    predictions = scored(200, 5, 1.0, 1).predictions[0]
    alone = tried_on([predictions], 0.5)
    together = tried_on(
        [
            Predictions(
                predictions.truth,
                predictions.predicted,
                predictions.labels,
                predictions.log_probabilities,
                np.arange(200) // 10,
            )
        ],
        0.5,
    )
    assert together["test_accuracy"] == alone["test_accuracy"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])  # type: ignore[operator]
