"""What is said of candidates beside single models: by hand, and over whole searches by simulation."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from bench.measures import ACCURACY, F1, Predictions
from bench.study.verdicts import Claim, judged

sys.path.append(str(Path(__file__).with_name("perf")))
import verdicts

BOTH = (F1, ACCURACY)
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(3, size=600)


def right(share: float, seed: int, truth: np.ndarray = TRUTH, groups: np.ndarray | None = None) -> list[Predictions]:
    """A classifier that is right about so many rows; two of a lower share are right about no others."""
    luck = np.random.default_rng(seed).permutation(len(truth)) / len(truth)
    wrong = (truth + 1) % 3
    return [Predictions(truth, np.where(luck < share, truth, wrong), ("a", "b", "c"), groups=groups)]


def test_better_is_better_than_each_of_the_singles_not_than_the_best_by_score() -> None:
    low, high, fusion = right(0.80, 1), right(0.90, 1), right(0.905, 1)
    alone = judged({"fusion": Claim(fusion, {"low": low})}, BOTH)["fusion"]
    assert (alone.verdict, alone.singles) == ("better", ("low",))
    both = judged({"fusion": Claim(fusion, {"low": low, "high": high})}, BOTH)["fusion"]
    assert both.verdict == "open"
    assert [each.against for each in both.by_measure] == ["high", "high"]
    assert both.p == max(each.p for each in both.by_measure) > 0.05
    assert "Not shown to be better than each of the 2 single models" in both.words()


def test_it_is_better_in_every_measure_or_it_is_not() -> None:
    truth = np.array([0] * 450 + [1] * 140 + [2] * 10)
    single = np.where(np.arange(600) < 60, 1, truth)  # wrong about the frequent
    fusion = np.where(truth == 2, 0, truth)  # never right about the rare
    sides = [[Predictions(truth, said, ("a", "b", "c"))] for said in (fusion, single)]
    found = judged({"fusion": Claim(sides[0], {"single": sides[1]})}, BOTH)["fusion"]
    f1, accuracy = found.by_measure
    assert f1.value < 0 < accuracy.value
    assert f1.p < 0.05
    assert accuracy.p < 0.05
    assert (found.verdict, found.p) == ("open", 1.0)


def test_worse_than_one_of_many_counts_how_many_could_have_been_that_one() -> None:
    singles = {f"single-{number}": right(0.9, number) for number in range(4)}
    candidate = right(0.84, 9)
    one = judged({"c": Claim(candidate, {"single-0": singles["single-0"]})}, BOTH)["c"]
    many = judged({"c": Claim(candidate, singles)}, BOTH)["c"]
    assert one.verdict == many.verdict == "worse"
    assert [each.level for each in one.by_measure] == [0.05, 0.05]
    assert [each.level for each in many.by_measure] == [0.0125, 0.0125]
    assert many.by_measure[0].resolvable > 1.1 * one.by_measure[0].resolvable
    assert (one.words().count("(95% "), many.words().count("(98.75% ")) == (2, 2)


def test_a_level_is_shared_over_the_front_as_holm_shares_it() -> None:
    single = {"single": right(0.8, 1)}
    shares = {"far": 0.9, "near": 0.801, "farther": 0.95}
    found = judged({name: Claim(right(share, 1), single) for name, share in shares.items()}, BOTH)
    assert {name: each.verdict for name, each in found.items()} == {
        "far": "better",
        "near": "open",
        "farther": "better",
    }
    levels = {name: each.by_measure[1].level for name, each in found.items()}
    assert sorted(levels.values()) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])
    assert levels["near"] == 0.05
    for each in found.values():
        for one in each.by_measure:
            assert (one.low > 0) == (one.p < 0.05), "an interval says what p says"
    # 2.8 standard errors at 5 %
    accuracy = found["near"].by_measure[1]
    error = np.sqrt(0.001 * 600) / 600
    assert accuracy.resolvable == pytest.approx((norm.ppf(0.975) + norm.ppf(0.8)) * error, rel=0.5)


def test_the_same_predictions_are_told_apart_from_nothing() -> None:
    found = judged({"same": Claim(right(0.8, 1), {"single": right(0.8, 1)})}, BOTH)["same"]
    assert (found.verdict, found.p) == ("open", 1.0)
    assert (found.by_measure[0].low, found.by_measure[0].high) == (0, 0)
    assert np.isnan(found.resolvable)


def test_groups_reach_the_verdict() -> None:
    """Thirty groups of twenty rows, each told apart as a whole: what six hundred rows show, thirty groups do not."""
    groups = np.repeat(np.arange(30), 20)
    better, worse = np.isin(groups, np.arange(9)), np.isin(groups, np.arange(20, 25))
    a, b = np.where(worse, (TRUTH + 1) % 3, TRUTH), np.where(better, (TRUTH + 1) % 3, TRUTH)
    verdict = {}
    for name, given in (("rows", None), ("groups", groups)):
        sides = [[Predictions(TRUTH, said, ("a", "b", "c"), groups=given)] for said in (a, b)]
        verdict[name] = judged({"c": Claim(sides[0], {"single": sides[1]})}, BOTH)["c"].verdict
    assert verdict == {"rows": "better", "groups": "open"}


@pytest.mark.slow
def test_a_search_of_equal_candidates_seldom_calls_one_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With few simulations what is found must be possible under what should be found."""
    monkeypatch.setattr(sys, "argv", ["verdicts.py", "--simulations", "20", "--out", str(tmp_path / "found.json")])
    verdicts.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert "power" in capsys.readouterr().out
    for world in found["coverage"].values():
        for name in ("f1", "accuracy", "difference"):
            assert world[name]["ci95"][1] >= 0.9
    for setting in found["searches"].values():
        assert setting["better"]["ci95"][0] <= 0.05
        assert setting["untrue"]["ci95"][0] <= 0.05
    clear = found["power"]["four classes, 600 + 600, fusions see 20% less noise"]
    assert clear["better"]["share"] >= 0.8


def test_what_is_committed_was_found_by_many() -> None:
    """Coverage of 90 to 97 in 100, at most 5 false verdicts in 100 searches, give or take what is chance."""
    found = json.loads(verdicts.OUT.read_text())
    assert found["simulations"] >= 400
    for world in found["coverage"].values():
        for name in ("f1", "accuracy", "difference"):
            assert 0.9 <= world[name]["share"] <= 0.985
    for setting in found["searches"].values():
        assert setting["any"]["share"] <= 0.05
