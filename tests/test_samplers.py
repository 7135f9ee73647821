"""Who chooses what is tried: the replay of searches on recorded tables."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def samplers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(HERE / "perf"), *sys.path])
    import samplers

    return samplers


def test_a_replay_follows_from_its_seed_and_what_is_screened_comes_first(samplers: ModuleType) -> None:
    job = samplers.Job(0, "screening, 10 best first, then `nsga2`", 2, 0)
    replayed = samplers.replay(job)
    assert samplers.replay(job).shares[:3] == replayed.shares[:3]
    best_first = samplers.replay(job._replace(way="screening, best first"))
    drawn = samplers.replay(job._replace(way="`random`"))
    assert best_first.shares[0] == replayed.shares[0] > drawn.shares[0]
    assert 0 < drawn.shares[2] < best_first.shares[2] <= 1


def test_a_recorded_table_holds_all_of_its_space(samplers: ModuleType) -> None:
    from bench.space.enumeration import count

    recorded = samplers.recorded
    assert count(recorded.SPACE, recorded.SHAPES) == len(recorded.INDEX)
    for table in recorded.load():
        assert table.trials.shape == table.screens.shape == (len(recorded.INDEX), recorded.REPETITIONS)
        points = zip(table.floors.tolist(), samplers.MS.tolist(), strict=True)
        assert samplers.volume(table, points) == pytest.approx(1)
