"""The scripts that hold a search against its goals and its peers: what in them can be checked without running one."""

import re
import resource
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def goals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE / "perf"))
    import goals

    return goals


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(HERE / "perf"))
    import peers

    return peers


@pytest.mark.parametrize(
    ("reached", "least", "met"), [(2, False, True), (3, False, False), (2, True, False), (3, True, True)]
)
def test_a_goal_is_met_from_its_own_side(goals: ModuleType, reached: float, least: bool, met: bool) -> None:
    goal = goals.Goal("case", "what", reached, 2.5, least=least)

    assert goal.met is met
    assert ("**no**" in goal.row()) is not met


def test_a_process_is_measured_from_its_start(goals: ModuleType, tmp_path: Path) -> None:
    script = "x = bytearray(300 << 20); sum(range(10**6)); print('before'); print({}); print('after')"

    ran = goals.measured([sys.executable, "-c", script], {}, tmp_path)

    assert ran.study == {}
    # a process begins as a copy of the one that starts it, whose peak counts for it until it is another program
    assert 300 / 1024 < ran.peak < 1 + resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    assert ran.processor > 0
    assert ran.clock > 0


def test_a_process_that_fails_is_not_measured(goals: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        goals.measured([sys.executable, "-c", "print('{}'); raise SystemExit(3)"], {}, tmp_path)


def test_every_version_of_the_peers_environment_is_pinned() -> None:
    lines = [line for line in (HERE / "peers.txt").read_text().splitlines() if not line.startswith("#")]
    torch = next(line for line in (HERE / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))

    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+", line) for line in lines)
    assert torch in lines


def test_the_peers_environment_is_made_once_and_again_where_its_pins_changed(
    peers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str | None] = []

    def create(folder: Path, **_: bool) -> None:
        folder.mkdir(exist_ok=True)

    def install(command: list[str], env: dict[str, str], **_: bool) -> None:
        made.append(env.get("PIP_CONSTRAINT"))

    monkeypatch.setenv("PIP_CONSTRAINT", "ours")
    monkeypatch.setattr(peers.venv, "create", create)
    monkeypatch.setattr(peers.subprocess, "run", install)
    pins = tmp_path / "pins.txt"
    for content in ("a==1", "a==1", "a==2"):
        pins.write_text(content)
        peers.environment(tmp_path / "environment", pins)

    assert made == [None, None]  # twice, and without our constraints


def test_a_peer_gets_the_rows_and_the_weights_of_the_search(peers: ModuleType, goals: ModuleType) -> None:
    asked = peers.request(
        goals.R8.model_copy(update={"max_train": 60, "max_test": 20}), goals.MINILM, 256, "classic-light"
    )

    assert (len(asked["train"]), len(asked["test"])) == (60, 20)
    assert {label for _, label in asked["train"]} <= set(range(asked["classes"]))
    assert (Path(asked["model"]) / "modules.json").is_file()


def test_the_peers_case_sets_its_search_beside_ours(
    goals: ModuleType, peers: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = {"sources": [1, 2], "f1_floor": 0.9, "confirm": {"accuracy_mean": 0.95, "f1_mean": 0.87}}
    study = {
        "front": [entry],
        "trials": {"tried": 40},
        "seconds": {"extract": 9.0, "screen": 1.0, "search": 20.0, "confirm": 4.0},
    }
    both = {"clock": 75.0, "processor": 70.0}
    seconds = {"whole": both, "encoding": both | {"clock": 40.0}, "embedding": both | {"clock": 52.0}}
    found = {"seconds": seconds, "accuracy": 0.938, "f1": 0.874}
    monkeypatch.setattr(peers, "environment", lambda _: tmp_path)
    monkeypatch.setattr(peers, "searched", lambda *_: found)
    bench = goals.Bench(tmp_path, None)
    monkeypatch.setattr(bench, "called", lambda *_, **__: goals.Ran(study, 40.0, 30.0, 1.0, (0.0, 0.0)))

    made = list(goals.peer(bench, Namespace(peers=tmp_path, preset="classic-light", rounds=2)))

    assert [(goal.reached, goal.bound, goal.met) for goal in made] == [
        (25.0, 35.0, True),
        (25.0, 23.0, False),
        *2 * [(0.95, 0.942, True), (0.87, 0.874, False)],
    ]
    assert "AutoIntent 0.938" in made[2].what
    assert "of 40 in AutoIntent's time" in made[4].what
    assert goals.table(made, bench.ran).count("| AutoIntent |") == 2


def test_of_a_front_fusions_and_cascades_are_counted(
    goals: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = [{"sources": [1], "f1_floor": 0.8}, {"sources": [1, 2], "f1_floor": 0.9}]
    study = {
        "front": front,
        "seconds": {"screen": 5.0, "search": 44.0},
        "baselines": {"late-fusion": {"f1_floor": 0.91}},
        "cascades": {"considered": 9, "on_front": 2, "confirmed": []},
    }
    bench = goals.Bench(tmp_path, None)
    monkeypatch.setattr(bench, "called", lambda *_, **__: goals.Ran(study, 40.0, 30.0, 1.0, (0.0, 0.0)))

    made = list(goals.legalbench(bench, Namespace(against=None)))

    assert [(goal.reached, goal.met) for goal in made] == [(49.0, True), (1, True), (2, True), (0.9, False)]


def test_a_cascade_counts_at_half_the_cost_and_less_than_a_point_behind(
    goals: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = [(0.3, -0.02), (0.5, -0.005), (0.6, 0.0)]  # of R8: the second
    others: list[tuple[float, float]] = [(0.4, -0.011), (0.51, 0.01)]
    found = iter([kept, others, kept, []])

    def called(command: str, *_: str) -> object:
        beside = [{"confirm": {"beside": {"cost": cost, "ci95": [low, 1.0]}}} for cost, low in next(found)]
        return goals.Ran({"cascades": {"confirmed": beside}}, 40.0, 30.0, 1.0, (0.0, 0.0))

    bench = goals.Bench(tmp_path, "data")
    monkeypatch.setattr(bench, "search", called)

    (goal,) = goals.cascades(bench, Namespace())

    assert (goal.reached, goal.met) == (2, True)


def test_a_case_without_its_data_is_left_out_and_counts_as_missed(
    goals: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_DATA_HOME", raising=False)

    assert goals.main(["--only", "legalbench"]) == 1
    assert "legalbench: not run, it needs --data-home" in capsys.readouterr().err
