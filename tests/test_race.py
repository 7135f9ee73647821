"""What is given up before its end: by a bound that is exact, or by a test whose error rate is checked by simulation."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Repetition, Scored, Scorer
from bench.measures import MEASURES, Predictions
from bench.space.objectives import Objectives
from bench.study.race import Race
from bench.study.record import GivenUp

ROWS, FOLDS, LABELS = 200, 5, ("a", "b")
TRUTH = np.arange(ROWS) % 3 % 2
F1 = Objectives(maximize=("f1_mean",))
TOTAL = FOLDS + 2


def race(rate: float | None, objectives: Objectives = F1) -> Race:
    dataset: Any = SimpleNamespace(train=SimpleNamespace(labels=TRUTH), labels=LABELS)
    nobody: Any = None
    return Race(Scorer(dataset, Protocol(race=rate), nobody, nobody), objectives)


def classifier(rng: np.random.Generator, hard: np.ndarray, accuracy: float) -> list[np.ndarray]:
    """Predictions of three repetitions; rows differ in how often they are predicted rightly."""
    chance = np.clip(accuracy + 0.5 * (hard - hard.mean()), 0, 1)
    rightly = rng.random(ROWS) < chance
    again = [np.where(rng.random(ROWS) < 0.8, rightly, rng.random(ROWS) < chance) for _ in range(3)]
    return [np.where(each, TRUTH, 1 - TRUTH) for each in again]


def scored(predicted: list[np.ndarray], folds: np.ndarray, blocks: int = TOTAL) -> Scored:
    """The first blocks of an evaluation."""
    repetitions = []
    for seed, each in enumerate(predicted[: max(1, blocks - FOLDS + 1)]):
        rows = np.flatnonzero(folds < blocks) if seed == 0 else np.arange(ROWS)
        repetitions.append(Repetition(seed, rows, Predictions(TRUTH[rows], each[rows], LABELS)))
    return Scored(tuple(repetitions), blocks < FOLDS)


def trial(of: Race, number: int, predicted: list[np.ndarray], cost: float = 1.0) -> Any:
    whole = scored(predicted, np.zeros(ROWS))
    of._known[number] = whole
    metrics = {each.name: each.value(whole.predictions) for each in of.objectives.scores}
    return SimpleNamespace(number=number, metrics={**metrics, "latency_ms": cost}, candidate=None)


def ended(of: Race, predicted: list[np.ndarray], finished: list[Any], folds: np.ndarray) -> GivenUp | None:
    for blocks in range(1, TOTAL + 1):
        found = of.given_up(scored(predicted, folds, blocks), blocks, TOTAL, {"latency_ms": 2.0}, finished)
        if found is not None:
            return found
    return None


def drawn(seed: int, better: float) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    hard = rng.random(ROWS)
    return classifier(rng, hard, 0.8), classifier(rng, hard, 0.8 + better), rng.permutation(np.arange(ROWS) % FOLDS)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_as_good_as_the_opponent_is_given_up_at_the_stated_rate_at_most(rate: float) -> None:
    found = 0
    for seed in range(200):
        ours, theirs, folds = drawn(seed, 0.0)
        of = race(rate)
        lost = ended(of, ours, [trial(of, 0, theirs)], folds)
        found += lost is not None and lost.by == "race"
    # two standard errors of a share of 200
    assert found / 200 <= rate + 2 * (rate * (1 - rate) / 200) ** 0.5
    assert found > 0, "it is a race"


def test_clearly_worse_is_given_up_early() -> None:
    blocks = []
    for seed in range(60):
        ours, theirs, folds = drawn(seed, 0.15)
        of = race(0.05)
        lost = ended(of, ours, [trial(of, 7, theirs)], folds)
        assert lost is None or lost.against == 7
        blocks.append(TOTAL if lost is None else lost.blocks)
    assert np.mean(blocks) < 4, "of seven"
    ours, theirs, folds = drawn(0, 0.15)
    of = race(0.0)
    exact = ended(of, ours, [trial(of, 7, theirs)], folds)
    assert exact is None or exact.by == "bound", "at no error there is no test"


def test_the_opponent_is_the_best_of_those_that_cost_no_more() -> None:
    ours, theirs, folds = drawn(3, 0.15)
    of = race(0.05)
    dear = trial(of, 1, theirs, cost=3.0)
    assert ended(of, ours, [dear], folds) is None
    found = ended(of, ours, [dear, trial(of, 2, ours), trial(of, 3, theirs)], folds)
    assert found is not None
    assert found.against == 3
    spread = Objectives(maximize=("f1_mean",), minimize=("f1_std", "latency_ms"))
    of = race(0.5, spread)
    record = trial(of, 3, theirs)
    assert ended(of, ours, [record], folds) is None or record.metrics["f1_std"] == 0, "nothing is known of a spread"


BOUNDED = [name for name, each in MEASURES.items() if each.grows]


@pytest.mark.parametrize("name", BOUNDED)
@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6))
def test_no_rest_of_a_repetition_is_better_than_its_bound(name: str, seed: int) -> None:
    rng, measure = np.random.default_rng(seed), MEASURES[name]
    sets = measure.task == "multilabel"

    def decided(logs: np.ndarray) -> np.ndarray:
        return (logs > np.log(0.4)).astype(int) if sets else logs.argmax(1)

    truth = rng.integers(0, 2, (30, 3)) if sets else rng.integers(0, 3, 30)
    logs = np.log(rng.dirichlet(np.ones(3), 30))
    said = Predictions(truth, decided(logs), ("a", "b", "c"), logs)
    hidden = rng.random(30) < rng.random()
    bound = said.mixed(said.perfect, hidden).value(measure)
    other = np.log(rng.dirichlet(np.full(3, 0.3), 30).clip(1e-9))
    rest = Predictions(truth, decided(other), said.labels, other)
    for way in (rest, said, said.perfect.mixed(rest, rng.random(30) < 0.2)):
        assert measure.sign * said.mixed(way, hidden).value(measure) <= measure.sign * bound + 1e-12
    assert {"f1", "accuracy", "log_loss"} <= set(BOUNDED)


@pytest.mark.parametrize("objective", ["f1_floor", "accuracy_mean", "mcc_floor"])
def test_what_the_bound_gives_up_could_not_have_joined_the_front(objective: str) -> None:
    early = 0
    for seed in range(40):
        ours, theirs, folds = drawn(seed, 0.1)
        of = race(0.0, Objectives(maximize=(objective,)))
        finished = [trial(of, 0, theirs)]
        found = ended(of, ours, finished, folds)
        if found is not None:
            early += found.blocks < FOLDS
            assert trial(of, 1, ours).metrics[objective] <= finished[0].metrics[objective]
    assert (early > 0) == (objective == "f1_floor"), "of a mean, and of what has no bound, nothing is known so early"
