"""A study opened again gives what its search gave."""

from pathlib import Path

import pytest
from test_search import Run, request, run, store  # noqa: F401 - fixtures

from bench.errors import BenchError
from bench.store import Store
from bench.study.reopen import CHOICES, reopen


def test_a_reopened_study_has_the_front_that_the_search_confirmed(run: Run, store: Store, tmp_path: Path) -> None:  # noqa: F811
    result = run()
    before = (tmp_path / "studies" / "s.journal").read_bytes()
    study = reopen(tmp_path, "s", store)
    assert [(entry.trial, entry.confirmed.metrics(), entry.comparison) for entry in study.front] == [
        (entry.trial, entry.confirmed.metrics(), entry.comparison) for entry in result.front
    ]
    assert [entry.name for entry in study.baselines] == [entry.name for entry in result.baselines]
    assert (tmp_path / "studies" / "s.journal").read_bytes() == before

    front = {entry.trial for entry in study.front}
    assert {study.choose(which).number for which in CHOICES} <= front
    assert study.choose("cheapest").number == study.front[0].trial
    assert study.choose("best-f1").number == study.front[-1].trial
    other = study.journal.of("complete")[0].number
    assert study.choose(str(other)).number == other
    with pytest.raises(BenchError, match="no scored trial of the study 's'"):
        study.choose("999")


def test_a_study_over_data_that_changed_is_refused(run: Run, store: Store, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "rows.csv"
    lines = [f"word{i} {'good' if i % 2 else 'bad'},{i % 2}" for i in range(40)]
    file.write_text("text,label\n" + "\n".join(lines))
    run(dataset=request().dataset.model_copy(update={"name": str(file)}), trials=2)
    reopen(tmp_path, "s", store)
    file.write_text("text,label\n" + "\n".join(lines[:-1]))
    with pytest.raises(BenchError, match="dataset_fingerprint"):
        reopen(tmp_path, "s", store)
    with pytest.raises(BenchError, match="There is no study"):
        reopen(tmp_path, "t", store)
