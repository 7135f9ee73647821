"""Cascades of scored candidates: what they say and cost, how they are chosen, and what a study makes of them."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from costs import made_up
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from test_search import SPACE, Run, cost, run, store  # noqa: F401

from bench import api
from bench.cost import costs_of, costs_of_cascade, starts_again
from bench.errors import BenchError
from bench.evaluation.cascades import (
    PARTS,
    Stage,
    answered,
    at_random,
    cross_fitted,
    decided,
    parts_of,
    thresholds_of,
)
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Repetition, Scored
from bench.measures import Predictions
from bench.progress import SILENT
from bench.report import write
from bench.space.objectives import Objectives
from bench.space.schema import Cascades
from bench.specs import Candidate, Ridge, Source
from bench.store import Store
from bench.study.cascades import chosen, forget
from bench.study.choosing import SHARES, Choosing
from bench.study.confirm import Confirmation
from bench.study.journal import read
from bench.study.record import TrialRecord
from bench.study.reopen import reopen
from bench.study.settings import Constraints
from bench.study.trials import Trials
from bench.tracking import MlflowTracker

COSTS = {"a": made_up("a", *(1.0 + layer for layer in range(7)), memory=1.0), "b": made_up("b", 5, 20, memory=3.0)}


def single(model: str, layer: int) -> Candidate:
    return Candidate(sources=(Source(model=model, layer=layer, pooling="mean"),), head=Ridge())


CHEAP, DEEP, OTHER = single("a", 1), single("a", 6), single("b", 1)
BOTH = Candidate(sources=(*DEEP.sources, *OTHER.sources), fusion="concat", head=Ridge())


def stage(right: np.ndarray, sure: np.ndarray, classes: int = 2) -> Stage:
    """Says class 0 or 1 of rows whose truth is their number modulo 2; [repetitions, rows] of being right and sure."""
    truth = np.arange(right.shape[1]) % 2
    found = []
    for seed, (correct, certain) in enumerate(zip(right, sure, strict=True)):
        said = np.where(correct, truth, 1 - truth)
        shares = np.full((len(truth), classes), 1e-9)
        shares[np.arange(len(truth)), said] = (1 + certain) / 2
        shares[np.arange(len(truth)), 1 - said] = (1 - certain) / 2
        predictions = Predictions(truth, said, tuple("abcdefgh"[:classes]), np.log(shares).astype(np.float32))
        found.append(Repetition(seed, np.arange(len(truth)), predictions))
    made = Stage.of(Scored(tuple(found)))
    assert made is not None
    return made


def random_stage(seed: int, accuracy: float, rows: int = 400, repetitions: int = 3) -> Stage:
    """Right at random, and sure at random: margins that say nothing."""
    random = np.random.default_rng(seed)
    return stage(random.random((repetitions, rows)) < accuracy, random.random((repetitions, rows)))


def wise_stage(seed: int, accuracy: float, rows: int = 400, repetitions: int = 3) -> Stage:
    """Sure where it is right."""
    random = np.random.default_rng(seed)
    right = random.random((repetitions, rows)) < accuracy
    return stage(right, np.where(right, random.uniform(0.4, 0.9, right.shape), random.uniform(0.1, 0.6, right.shape)))


# --- what a cascade says


@given(st.integers(0, 1000), st.sampled_from([0.6, 0.9]))
def test_no_threshold_is_the_cheap_one_alone_and_one_above_1_the_dear_one(seed: int, accuracy: float) -> None:
    cheap, dear = wise_stage(seed, accuracy, 60), wise_stage(seed + 1, 0.95, 60)
    for threshold, alone, share in ((0.0, cheap, 0.0), (1.5, dear, 1.0)):
        found = decided([cheap, dear], (threshold,))
        assert found.reached == (share,)
        assert (found.scored.predicted == alone.scored.predicted).all()
        for one, other in zip(found.scored.predictions, alone.scored.predictions, strict=True):
            assert np.array_equal(one.log_probabilities, other.log_probabilities)


@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_more_is_left_the_higher_the_threshold(seed: int, one: float, other: float) -> None:
    stages = [wise_stage(seed, 0.7, 50), wise_stage(seed + 1, 0.9, 50), wise_stage(seed + 2, 0.95, 50)]
    low, high = sorted((one, other))
    assert decided(stages[:2], (low,)).reached <= decided(stages[:2], (high,)).reached
    second, third = decided(stages, (low, high)).reached
    assert third <= second


def test_a_third_stage_gets_what_the_second_leaves_of_what_came_to_it() -> None:
    sure = np.array([[0.9, 0.1, 0.1, 0.1]])
    right = np.array([[True, False, False, False]])
    second = stage(np.array([[False, True, False, False]]), np.array([[0.1, 0.9, 0.1, 0.1]]))
    third = stage(np.array([[False, False, True, True]]), np.array([[0.9, 0.9, 0.9, 0.9]]))
    found = decided([stage(right, sure), second, third], (0.5, 0.5))
    assert found.reached == (0.75, 0.5)
    assert found.scored.accuracy.mean == 1.0


@given(st.integers(0, 500), st.sampled_from(SHARES))
def test_a_threshold_leaves_about_the_share_that_is_wanted(seed: int, share: float) -> None:
    stages = [random_stage(seed, 0.7), random_stage(seed + 1, 0.9)]
    assert decided(stages, thresholds_of(stages, (share,))).reached[0] == pytest.approx(share, abs=0.01)
    parts = [parts_of(np.arange(400), 0)] * 3
    assert answered(stages, cross_fitted(stages, (share,), parts)).reached[0] == pytest.approx(share, abs=0.04)


def test_no_row_has_a_part_in_the_threshold_that_decides_about_it() -> None:
    stages, parts = [random_stage(1, 0.7), random_stage(2, 0.9)], [parts_of(np.arange(400), 0)] * 3
    before = cross_fitted(stages, (0.3,), parts)
    inside = parts[0] == 2
    # margins of one part turned round: what is decided elsewhere changes, and inside its order alone
    moved = [np.where(inside, 1 - margin, margin) for margin in stages[0].margins]
    low = [np.where(inside, 0.0, margin) for margin in stages[0].margins]
    for margins in (moved, low):
        after = cross_fitted([Stage(stages[0].scored, tuple(margins)), stages[1]], (0.3,), parts)
        thresholds = [
            {float(np.max(margin[inside & mask[0]], initial=0)) for margin, mask in zip(margins_of, masks, strict=True)}
            for margins_of, masks in ((stages[0].margins, before), (margins, after))
        ]
        bound = np.quantile(np.concatenate([margin[~inside] for margin in stages[0].margins]), 0.3)
        assert all(value <= bound for found in thresholds for value in found)


def test_rows_of_one_group_are_in_one_part() -> None:
    groups = np.repeat(np.arange(50), 3)
    parts = parts_of(groups, 7)
    assert set(parts) == set(range(PARTS))
    assert all(len(set(parts[groups == group])) == 1 for group in range(50))


def test_margins_that_say_nothing_give_no_more_than_deferring_at_random() -> None:
    """A leak would show as a cascade of noise that is better than the mixture of its stages."""
    parts, over = [parts_of(np.arange(400), 0)] * 3, []
    for seed in range(60):
        stages = [random_stage(2 * seed, 0.6), random_stage(2 * seed + 1, 0.8)]
        found = answered(stages, cross_fitted(stages, (0.3,), parts))
        accuracy = [each.scored.accuracy.mean for each in stages]
        over.append(found.scored.accuracy.mean - (0.7 * accuracy[0] + 0.3 * accuracy[1]))
    assert abs(np.mean(over)) < 3 * np.std(over) / np.sqrt(len(over)) + 1e-3


def test_the_control_leaves_as_many_texts_but_any() -> None:
    stages = [wise_stage(1, 0.8), wise_stage(2, 0.95)]
    found = decided(stages, thresholds_of(stages, (0.25,)))
    drawn = [at_random(stages, found.reached, seed).accuracy.mean for seed in range(20)]
    accuracy = [each.scored.accuracy.mean for each in stages]
    assert np.mean(drawn) == pytest.approx(0.75 * accuracy[0] + 0.25 * accuracy[1], abs=0.01)
    assert found.scored.accuracy.mean > np.mean(drawn) + 0.05
    assert at_random(stages, (0.25,), 3).predicted.tolist() == at_random(stages, (0.25,), 3).predicted.tolist()


# --- what it costs


def latency(*stages: Candidate, reached: tuple[float, ...], resumable: tuple[str, ...] = ()) -> float:
    return costs_of_cascade(COSTS, stages, reached, resumable)["latency_ms"]


def test_a_cascade_costs_its_first_stage_and_the_share_of_what_is_not_computed_yet() -> None:
    assert latency(CHEAP, OTHER, reached=(0.25,)) == pytest.approx(2 + 0.25 * 20)
    assert latency(DEEP, BOTH, reached=(0.1,)) == pytest.approx(7 + 0.1 * 20), "what is there is not paid twice"
    assert latency(CHEAP, DEEP, reached=(0.5,)) == pytest.approx(2 + 0.5 * 7), "another pass, from the text on"
    assert latency(CHEAP, DEEP, reached=(0.5,), resumable=("a",)) == pytest.approx(2 + 0.5 * 5)
    assert latency(CHEAP, DEEP, BOTH, reached=(0.5, 0.1), resumable=("a",)) == pytest.approx(2 + 0.5 * 5 + 0.1 * 20)
    assert latency(DEEP, CHEAP, reached=(0.5,)) == pytest.approx(7), "a shallower layer is on the way"
    assert costs_of_cascade(COSTS, (CHEAP, OTHER), (0.01,), ())["memory_gb"] == pytest.approx(4), "all are loaded"


@given(st.floats(0, 1), st.floats(0, 1))
def test_going_on_never_costs_more_and_deferring_more_never_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert latency(CHEAP, BOTH, reached=(low,)) <= latency(CHEAP, BOTH, reached=(high,))
    assert latency(CHEAP, BOTH, reached=(one,), resumable=("a",)) <= latency(CHEAP, BOTH, reached=(one,))
    assert latency(CHEAP, BOTH, reached=(1.0,), resumable=("a",)) == pytest.approx(costs_of(COSTS, BOTH)["latency_ms"])


@pytest.mark.parametrize(
    ("stages", "expected"),
    [((CHEAP, OTHER), False), ((CHEAP, DEEP), True), ((DEEP, BOTH), False), ((CHEAP, OTHER, BOTH), True)],
)
def test_a_deeper_layer_of_a_model_that_cannot_go_on_starts_it_again(
    stages: tuple[Candidate, ...], expected: bool
) -> None:
    assert starts_again(stages, ()) is starts_again(stages, ("b",)) is expected
    assert not starts_again(stages, ("a",))


# --- how it is chosen


class Journal:
    """What choosing needs of one."""

    def __init__(self, records: list[TrialRecord]) -> None:
        self.records, self.notes = records, {}  # type: ignore[var-annotated]

    def of(self, _: str) -> list[TrialRecord]:
        return self.records

    def note(self, name: str) -> Any:
        return self.notes.get(name)

    def keep(self, name: str, value: Any) -> None:
        self.notes[name] = json.loads(json.dumps(value))


OBJECTIVES = Objectives(maximize=("accuracy_mean",))


def world(said: dict[Candidate, Stage], **changes: Any) -> tuple[Choosing, Journal]:
    records = [
        TrialRecord(
            number=number,
            state="complete",
            candidate=candidate,
            metrics=each.scored.metrics() | costs_of(COSTS, candidate),
        )
        for number, (candidate, each) in enumerate(said.items())
    ]
    scorer: Any = SimpleNamespace(
        scored=lambda candidate, _: said[candidate].scored,
        dataset=SimpleNamespace(train=SimpleNamespace(groups=np.arange(400))),
        protocol=Protocol(),
    )
    settings = Cascades(enabled=True, **changes)
    return Choosing(scorer, COSTS, OBJECTIVES, settings, Constraints(), ("a",)), Journal(records)


WISE = {CHEAP: wise_stage(1, 0.8), DEEP: wise_stage(2, 0.9), OTHER: wise_stage(3, 0.97)}


@pytest.mark.parametrize("stages", [2, 3])
def test_what_is_sure_where_it_is_right_becomes_a_cascade_on_the_front(stages: int) -> None:
    chooser, journal = world(WISE, stages=stages, at_most=4)
    found = chooser.run(journal)
    assert 1 <= len(found.records) <= 4
    assert found.on_front >= len(found.records)
    assert found.considered >= 3 * len(SHARES)
    latencies = [each.metrics["latency_ms"] for each in found.records]
    assert latencies == sorted(latencies)
    assert {len(each.cascade.stages) for each in found.records} <= {2, stages}
    assert [each.name for each in found.records] == [f"cascade-{n + 1}" for n in range(len(found.records))]
    dear = WISE[OTHER].scored.accuracy.mean - 0.02
    assert any(each.metrics["accuracy_mean"] > dear and each.metrics["latency_ms"] < 13 for each in found.records)
    for each in found.records:
        stages_of = [WISE[candidate] for candidate in each.cascade.stages]
        assert each.cascade.thresholds == thresholds_of(stages_of, each.shares)
        assert not any(
            other.metrics["latency_ms"] <= each.metrics["latency_ms"]
            and other.metrics["accuracy_mean"] >= each.metrics["accuracy_mean"]
            for other in [*journal.records, *found.records]
            if other is not each
        )


def test_the_same_trials_give_the_same_cascades_and_names_stay() -> None:
    chooser, journal = world(WISE)
    first = chooser.run(journal)
    assert chooser.run(journal) == first == chosen(journal)  # type: ignore[arg-type]
    more = dict(WISE) | {single("a", 0): wise_stage(9, 0.79)}
    other, again = world(more)
    again.notes = journal.notes
    second = other.run(again)
    names = {each.cascade.fingerprint(): each.name for each in (*first.records, *second.records)}
    assert len(set(names.values())) == len(names), "a name is never given twice"
    assert all(second.names[key] == name for key, name in first.names.items())


def test_a_cascade_over_a_limit_is_none() -> None:
    chooser, journal = world(WISE)
    limited = replace(chooser, limits=Constraints(max_memory_gb=2))
    found = limited.run(journal).records
    assert found
    assert all(each.metrics["memory_gb"] <= 2 for each in found)


def test_no_stage_needs_a_deeper_layer_of_a_model_that_cannot_go_on() -> None:
    chooser, journal = world(WISE)
    found = replace(chooser, resumable=()).run(journal).records
    assert found
    assert not any(starts_again(each.cascade.stages, ()) for each in found)
    assert any(starts_again(each.cascade.stages, ()) for each in chooser.run(journal).records)


def test_a_trial_that_would_be_scored_otherwise_now_is_no_stage() -> None:
    chooser, journal = world(WISE)
    old = journal.records[0]
    metrics = dict(old.metrics) | {"accuracy_mean": old.metrics["accuracy_mean"] + 1e-3}
    journal.records[0] = old.model_copy(update={"metrics": metrics})
    found = chooser.run(journal).records
    assert found
    assert not any(0 in each.trials for each in found)


def test_a_trial_that_was_scored_since_may_beat_a_cascade() -> None:
    chooser, journal = world(WISE, at_most=4)
    found = chooser.run(journal).records
    confirmation = Confirmation(chooser.scorer, {}, COSTS, OBJECTIVES, SILENT)
    assert confirmation._standing(found, journal.records) == list(found)
    later = journal.records[0].model_copy(update={"metrics": found[0].metrics})
    assert confirmation._standing(found, [*journal.records, later]) == list(found[1:])


def test_cascades_that_are_no_longer_asked_for_leave_their_names() -> None:
    chooser, journal = world(WISE)
    before = chooser.run(journal)
    forget(journal)  # type: ignore[arg-type]
    after = chosen(journal)  # type: ignore[arg-type]
    assert after is not None
    assert (after.records, after.on_front, after.names) == ((), 0, before.names)
    assert chooser.run(journal) == before


def test_candidates_without_probabilities_are_no_stages() -> None:
    bare = Scored(
        tuple(
            Repetition(
                each.seed, each.rows, Predictions(each.predictions.truth, each.predicted, each.predictions.labels)
            )
            for each in WISE[CHEAP].scored.repetitions
        )
    )
    assert Stage.of(bare) is None
    chooser, journal = world({CHEAP: SimpleNamespace(scored=bare), DEEP: WISE[DEEP]})  # type: ignore[dict-item]
    found = chooser.run(journal)
    assert (found.considered, found.records) == (0, ())


# --- in a study

CASCADING = SPACE.model_copy(
    update={
        "cascade": Cascades(enabled=True, at_most=3),
        "head": SPACE.head.model_copy(update={"kinds": ("ridge", "logistic")}),
    }
)
"""Of the tiny searches of tests/test_search.py: one model, whose deeper layers follow shallower ones."""


def test_a_search_confirms_cascades_and_writes_them_down(
    run: Run,  # noqa: F811
    tmp_path: Path,
    store: Store,  # noqa: F811
) -> None:
    tracker = MlflowTracker(tmp_path)
    result = run(tracker, space=CASCADING, trials=14)
    found = result.to_json()
    json.dumps(found, allow_nan=False)
    cascades = found["cascades"]
    assert found["trials"]["tried"] == 14, "cascades count for no trial"
    assert cascades["considered"] >= cascades["on_front"] >= len(cascades["confirmed"]) >= 1
    front = {(entry["latency_ms"], entry["f1_floor"]) for entry in found["front"]}
    for each in cascades["confirmed"]:
        assert len(each["thresholds"]) == len(each["stages"]) - 1 == len(each["reached"])
        assert 0 < each["confirm"]["reached"][0] < 1
        assert set(each["confirm"]["random_deferral"]) == {"f1", "accuracy"}
        low, high = each["confirm"]["beside"]["ci95"]
        assert low <= each["confirm"]["beside"]["difference"] <= high
        assert not any(ms <= each["latency_ms"] and floor >= each["f1_floor"] for ms, floor in front)

    client = MlflowClient(tracker.store.address)
    parent = result.session.parent_run_id  # type: ignore[union-attr]
    experiment = client.get_run(parent).info.experiment_id
    runs = client.search_runs([experiment], "tags.`bench.kind` = 'cascade' and tags.`bench.front` = 'true'")
    assert sorted(each.info.run_id for each in runs) == sorted(each["run_id"] for each in cascades["confirmed"])
    assert all("confirm_f1_random_deferral" in each.data.metrics for each in runs)
    kinds = {each.data.tags.get("bench.kind") for each in client.search_runs([experiment])}
    assert {"trial", "baseline", "cascade"} <= kinds
    with Path(client.download_artifacts(parent, "cascades.csv", str(tmp_path))).open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == [each["name"] for each in cascades["confirmed"]]

    written = cascades["confirmed"][0]["run_id"]
    before = client.get_run(written).data.metrics
    client.log_metric(written, "confirm_p", before["confirm_p"] + 1)
    run(tracker, space=CASCADING, trials=14)
    assert client.get_run(written).data.metrics == before, "as this session confirmed it"
    assert len(client.search_runs([experiment])) == len(runs) + 1 + found["trials"]["complete"] + found["trials"][
        "pruned"
    ] + len(found["baselines"]), "nothing is written twice"

    again = reopen(tmp_path, "s", store)
    once, other = (
        [(e.name, e.confirmed.predicted.tolist(), e.cascade.reached) for e in study.cascades]  # type: ignore[union-attr]
        for study in (result, again)
    )
    assert once == other
    name = cascades["confirmed"][0]["name"]
    made = write(again, tmp_path / "report", name)
    assert made.trial == name
    page = made.page.read_text()
    assert "What " + name + " gets wrong" in page
    assert 'id="cascades"' in page
    home = api.Home(runs=tmp_path, store=store.home)
    (compared,) = api.compare(f"s:{name}", "s:best", home=home)
    assert compared.to_json()["a"]["trial"] == name
    with pytest.raises(BenchError, match="did you mean 'cascade-"):
        again.choose("cascade-l")

    # without cascades, in another store and then in the first: no run of the other is asked for
    without = CASCADING.model_copy(update={"cascade": Cascades()})
    for each in (MlflowTracker(tmp_path / "elsewhere"), tracker):
        gone = run(each, space=without, trials=14)
        assert gone.session.untracked is None  # type: ignore[union-attr]
        assert gone.cascades == []
    assert client.get_run(written).data.tags["bench.front"] == "false"


def test_a_study_killed_anywhere_has_the_undisturbed_ones_cascades(
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(space=CASCADING, study="undisturbed", trials=10)
    calls, original = [0], Trials._try

    def dies(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(Trials, "_try", dies)
    with pytest.raises(KeyboardInterrupt):
        run(space=CASCADING, trials=10)
    run(space=CASCADING, trials=10)
    once, again = chosen(read(tmp_path, "undisturbed")), chosen(read(tmp_path, "s"))
    assert once is not None
    assert again is not None
    # what a kill broke off was tried again under another number
    records = [[each.model_dump(exclude={"trials"}) for each in found.records] for found in (once, again)]
    assert records[0] == records[1] != []
    assert (once.considered, once.on_front, once.names) == (again.considered, again.on_front, again.names)


def test_without_the_table_there_are_none_and_elsewhere_words_say_why(
    run: Run,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = run(study="plain", trials=3)
    assert "cascades" not in plain.to_json()
    assert not plain.cascades
    # the same study goes on with cascades: they change no trial
    assert (
        "cascades"
        in run(study="plain", space=SPACE.model_copy(update={"cascade": Cascades(enabled=True)}), trials=3).to_json()
    )
