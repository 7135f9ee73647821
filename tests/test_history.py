"""A slow fall is seen in what checks found one after the other, and chance hardly ever is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.gate import history
from bench.gate.baseline import Baseline, CandidateScores, Data, Pinned, Repeats, RowsDigest
from bench.gate.rule import Change
from bench.gate.verdict import Finding, Verdict
from bench.metrics import capital, change_point, ranks, summarise
from bench.specs import Candidate, ExtractionSettings, Source

NOISE = 0.004


def baseline(candidates: int = 1, score: float = 0.9) -> Baseline:
    subjects = tuple(Candidate(sources=(Source(model="m", layer=each, pooling="mean"),)) for each in range(candidates))
    pinned = Pinned(
        origin="tests",
        dataset=DatasetRequest(name="rows.csv"),
        extraction=ExtractionSettings(),
        protocol=Repeats(),
        candidates=subjects,
    )
    rows = RowsDigest(rows=100, contents="0")
    scores = tuple(CandidateScores(name=str(each), f1=(score,), folds=((score,),)) for each in subjects)
    return Baseline(pinned=pinned, software={}, data=Data(train=rows, test=rows, labels=2), models={}, scores=scores)


def verdict(*differences: float) -> Verdict:
    def change(difference: float) -> Change:
        return Change(summarise([0.9]), summarise([0.9 + difference]), difference, 1.0, 0.1, fell=False)

    return Verdict(
        tuple(Finding("quality", str(place), "passed", "", change(each)) for place, each in enumerate(differences)),
        "macro-F1",
    )


def after(path: Path, made: Baseline, series: Any) -> Verdict:
    found = verdict()
    for differences in series:
        found = history.noted(path, made, verdict(*np.atleast_1d(differences)), {"torch": "2"})
    return found


def alarms(series: np.ndarray, seed: int, candidates: int = 1) -> bool:
    values = np.concatenate([[0.0], series])
    return bool(capital(ranks(values, seed)).max() >= candidates / history.LEVEL)


@pytest.mark.parametrize("ties", [False, True])
def test_false_alarms_stay_under_the_level_over_a_whole_history(ties: bool) -> None:
    random = np.random.default_rng(0)
    found = 0
    for seed in range(600):
        series = (random.binomial(6, 0.5, 80) - 3) / 600 if ties else random.normal(0, NOISE, 80)
        found += alarms(series, seed)
    assert found <= 0.01 * 600


def test_a_slow_fall_is_seen_long_before_a_single_check_would_see_it() -> None:
    random = np.random.default_rng(1)
    delays = []
    for seed in range(100):
        series = -0.001 * np.maximum(0, np.arange(60) - 10) + random.normal(0, NOISE, 60)
        grown = capital(ranks(np.concatenate([[0.0], series]), seed))
        delays.append(int(np.argmax(grown >= 1 / history.LEVEL)) - 10 if grown.max() >= 1 / history.LEVEL else 99)
    assert max(delays) < 99
    assert np.median(delays) <= 20


def test_the_change_point_is_where_two_means_fit_best() -> None:
    assert change_point([0, 0, 0, -1, -1]) == 3
    assert change_point([1.0, 0.0]) == 1


def test_a_history_is_kept_and_read_again_and_fails_a_check_from_which_on_scores_fell(tmp_path: Path) -> None:
    path, made = tmp_path / "history.jsonl", baseline(2)
    random = np.random.default_rng(2)
    steady = [(value, 0.001) for value in random.normal(0, NOISE, 12)]
    found = after(path, made, steady)
    assert not found.failed
    assert found.findings[-1].group == "history"
    assert "12 checks of this baseline, 12 different in turn" in found.findings[-1].detail
    found = after(path, made, [(-0.002 * each - 0.004, 0.001) for each in range(1, 16)])
    (finding,) = found.failed
    assert finding.group == "history"
    assert "lower since the check of 20" in finding.detail
    assert len(path.read_text().splitlines()) == 27
    assert json.loads(path.read_text().splitlines()[0])["software"] == {"torch": "2"}
    # another baseline begins anew
    assert not after(path, baseline(2, score=0.8), [(-0.05, 0.0)]).failed


def test_checks_that_compute_the_same_count_once(tmp_path: Path) -> None:
    made = baseline()
    found = after(tmp_path / "history.jsonl", made, [0.0] * 5 + [-0.012] * 60)
    assert not found.failed, "one change of an environment, however often it is checked"
    assert "65 checks of this baseline, 1 different" in found.findings[-1].detail


def test_a_fall_that_does_not_matter_is_none(tmp_path: Path) -> None:
    assert not after(tmp_path / "h.jsonl", baseline(), [-0.0001 * each for each in range(1, 60)]).failed


def test_a_file_that_is_no_history_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"time": "now"}\n')
    with pytest.raises(BenchError, match="line 1 is no check"):
        history.read(path)
    assert history.read(tmp_path / "none.jsonl") == []
