"""Whoever of a search by Ray is killed, and whenever: the same command again ends as if nothing had been.

`tox -e long -- tests/test_ray_kills.py --kills 50 --seed S`; not run otherwise. SIGKILL to the driver, a worker, an
actor that extracts, the raylet and the GCS server, each found among the driver's children, at a moment that is drawn.
"""

import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from formats.make import SEARCH, make_inputs
from kills import Running, run, start
from test_kills import searched

from bench.store import Store

pytest.importorskip("ray")
TRIALS = 16
SEARCHED = ("search", *SEARCH, "--trials", str(TRIALS), "--study", "s", "--json")
WORDS = (*SEARCHED, "--executor", "ray", "--workers", "2")
KINDS = {
    "driver": lambda process: False,
    "worker": lambda process: process.cmdline()[:1] in (["ray::asks"], ["ray::IDLE"]),
    "actor": lambda process: "".join(process.cmdline()[:1]).startswith("ray::Holder"),
    "raylet": lambda process: process.name() == "raylet",
    "gcs": lambda process: process.name() == "gcs_server",
}
OURS = ("driver", "worker", "actor")
"""Those that are killed where kills are few: what Ray does without its own processes differs from time to time."""
SECONDS = {"actor": 0.3}
"""Within so many seconds from when it is first seen; within three where nothing is said."""


def seen(running: Running, kind: str, family: set[psutil.Process]) -> psutil.Process | None:
    """The first process of a kind, once it is there; None where the command ends without one. Adds to `family`."""
    driver = psutil.Process(running.process.pid)
    ray = False
    while running.process.is_alive():
        try:
            children = driver.children(recursive=True)
            family.update(children)
            ray |= any(KINDS["raylet"](each) for each in children)
            if kind == "driver" and ray:
                return driver
            for each in children:
                if KINDS[kind](each):
                    return each
        except psutil.Error:
            pass  # it has just ended
        time.sleep(0.05)
    return None


@pytest.mark.night
@pytest.mark.timeout(0)
def test_whoever_is_killed_the_study_is_the_undisturbed_one(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path_factory.mktemp("kills").resolve()
    folder = home / "work"

    def begin() -> None:
        """Always in the same folder: paths are in what is written."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "before", folder)

    (home / "before").mkdir()
    make_inputs(home / "before")
    rng = random.Random(request.config.getoption("--seed"))
    wanted, left = request.config.getoption("--kills"), set[psutil.Process]()
    begin()
    ran = run(folder, WORDS)
    assert ran.status == 0, ran.err
    undisturbed, killed, studies = searched(folder, ran), Counter[str](), 0
    while killed.total() < wanted:
        begin()
        studies += 1
        ended = False
        while not ended:
            due = [
                kind
                for kind in (KINDS if wanted > len(OURS) else OURS)
                if kind != "actor" or not any(Store(folder / "store").shelves())
            ]
            kind = min(rng.sample(due, len(due)), key=killed.__getitem__) if killed.total() < wanted else ""
            ended = disturbed(folder, kind, rng, killed, left)
        ran = run(folder, SEARCHED)
        assert ran.status == 0, ran.err
        for name, value in searched(folder, ran).items():
            assert value == undisturbed[name], f"after {dict(killed)}: other {name}"
        in_use = [each.path for each in Store(folder / "store").leftovers() if each.in_use]
        assert not in_use
    with capsys.disabled():
        print(f"\n{killed.total()} kills in {studies} studies: {dict(killed)}")
    # agents that lost their raylet try to tell of it for a while
    assert not psutil.wait_procs(left, 60)[1], "processes of Ray's are left behind"


def disturbed(folder: Path, kind: str, rng: random.Random, killed: Counter[str], family: set[psutil.Process]) -> bool:
    """Run the search, and kill one of that kind; whether it came to its end."""
    running = start(folder, WORDS)
    victim = seen(running, kind, family) if kind else None
    if victim is not None:
        if kind == "driver":
            other = start(folder, SEARCHED, said="other").ended()
            assert other.status == 0 or "is open in another process" in other.err
        time.sleep(rng.uniform(0, SECONDS.get(kind, 3)))
        if running.process.is_alive() and victim.is_running():
            victim.kill()
            killed[kind] += 1
    ran = running.ended()
    where = f"{kind}, after {dict(killed)}: {ran.err}"
    assert "Traceback" not in ran.err, where
    assert "bug in bench" not in ran.err, where
    if kind in ("raylet", "gcs") and ran.status == 1:
        # Ray itself ends a process that waits in a call of its own, with a line of its own
        assert re.search(r"core_worker\w*\.cc|The program will terminate", ran.err), where
        return False
    assert ran.status in ({0, -9} if kind == "driver" else {0, 2} if kind in ("raylet", "gcs") else {0}), where
    if ran.status == 2:
        assert "One of Ray's own processes was ended" in ran.err or "Ray cannot be started" in ran.err, where
    return ran.status == 0
