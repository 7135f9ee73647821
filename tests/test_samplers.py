"""Who chooses what is tried: the page that says who wins, the defaults, and the replay that it comes from."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench.space.files import load
from bench.space.schema import Sampler, Screen
from bench.study.settings import SearchRequest

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "design" / "samplers.md"


@pytest.fixture
def samplers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(HERE / "perf"), *sys.path])
    import samplers

    return samplers


def winners() -> list[str]:
    """The first cell of the first row of each table of the page."""
    tables = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [table.splitlines()[2].split("|")[1].strip() for table in tables]


def test_what_wins_is_the_default() -> None:
    first, later, *_ = winners()
    assert first == "screening, best first"
    assert Screen().first >= SearchRequest.model_fields["trials"].default, (
        "as many as are tried unless more are asked for"
    )
    assert later == f"`{Sampler().name}`"


@pytest.mark.parametrize("space", ["default", "quickstart", "legalbench"])
def test_spaces_that_come_with_bench_search_as_the_winner_does(space: str) -> None:
    found = load(space)
    assert found.screen == Screen(enabled=True)
    assert found.sampler == Sampler()


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
