"""The scripts that hold a search against its goals and its peers: what in them can be checked without running one."""

import re
import sys
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
    assert 300 / 1024 < ran.peak < 1
    assert ran.processor > 0
    assert ran.clock > 0


def test_a_process_that_fails_is_not_measured(goals: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(goals.subprocess.CalledProcessError):
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


def test_a_case_without_its_data_is_left_out_and_counts_as_missed(
    goals: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_DATA_HOME", raising=False)

    assert goals.main(["--only", "legalbench"]) == 1
    assert "legalbench: not run, it needs --data-home" in capsys.readouterr().err
