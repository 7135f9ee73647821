# ruff: noqa: F811
"""Ray's workers in place of this process: the same study, whoever dies, and nothing of it left behind.

Real workers of a Ray that is started here, on loopback; another version of torch is a reported one.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from formats.make import SEARCH, make_inputs
from mlflow import MlflowClient
from safetensors.numpy import load_file
from test_executors import asked, gathered, place, rows  # noqa: F401 - a fixture among them
from test_search import cost, request
from test_waves import Search, draw, search, told  # noqa: F401 - a fixture among them

from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.outcome import Outcome
from bench.evaluation.protocol import Protocol
from bench.executors.assignment import versions
from bench.executors.base import Failure, Place, WorkerDiedError, open_executor
from bench.executors.cluster import Cluster
from bench.executors.ray import Ray
from bench.material import Material
from bench.progress import SILENT
from bench.specs import MLP, Candidate, Ridge, Source
from bench.store import Store
from bench.study.journal import opened, read
from bench.study.plan import begun
from bench.study.prepared import prepare
from bench.study.run import search as run_search
from bench.study.run import shared_threads
from bench.tracking import NoTracker

pytest.importorskip("ray")


class Unreliable:
    """So many workers that finish in any order, and die over every third ask or so."""

    def __init__(self, workers: int, seed: int) -> None:
        self.workers, self.rng, self.deaths = workers, np.random.default_rng(seed), 0

    def run(self, asks: Any) -> Iterator[tuple[Ask, Any]]:
        flying: list[Ask] = []
        while asks or flying:
            while asks and len(flying) < self.workers:
                flying.append(asks.popleft())
            ask = flying.pop(self.rng.integers(len(flying)))
            if self.rng.random() < 0.3:
                self.deaths += 1
                yield ask, Failure(WorkerDiedError("killed"))
                continue
            try:
                yield ask, draw(ask)
            except BenchError as error:
                yield ask, Failure(error)


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_finish_in_any_order_and_die_make_the_same_study(search: Search, seed: int) -> None:
    straight = search("a", 64, 128, rate=0.2)
    unreliable = Unreliable(64, seed)
    assert search("b", 64, 128, rate=0.2, executor=unreliable) == straight
    assert unreliable.deaths > 50
    assert {record["state"] for record in straight} >= {"complete", "pruned", "infeasible", "failed"}


def test_optuna_records_who_died_over_a_trial(search: Search, tmp_path: Path) -> None:
    unreliable = Unreliable(4, 0)
    search("s", 4, 12, executor=unreliable)
    attrs = [trial.user_attrs for trial in read(tmp_path, "s").study.get_trials()]
    assert sum(each.get("bench.retries", 0) for each in attrs) == unreliable.deaths > 4


def test_a_cluster_that_does_not_answer_is_told_at_once(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match=r"No Ray cluster can be joined at 127\.0\.0\.1:1 .*refused"),
        open_executor("ray", Place(tmp_path, ("cpu",), address="127.0.0.1:1")) as executor,
    ):
        list(executor.run(["what"]))


def test_what_a_joined_cluster_meets_in_this_process_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ended but what was started for this, as a notebook's server is not."""
    import ray

    from bench.executors import cluster

    server = list[subprocess.Popen[bytes]]()

    def init(**_: Any) -> None:
        assert "RAY_AUTH_TOKEN" not in os.environ
        server.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}])
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)
    monkeypatch.setattr(cluster, "_hush", lambda: None)
    before = dict(os.environ)
    with cluster.connected("auto", 2) as found:
        assert (found.processors, found.started) == ((4,), None)
    assert server[0].poll() is None
    server[0].kill()
    server[0].wait()
    assert dict(os.environ) == before


@pytest.mark.slow
def test_one_after_the_other_is_started_and_leaves_the_environment_as_it_was() -> None:
    import ray

    from bench.executors.cluster import connected

    def of_ray() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("RAY_")}

    before = of_ray()
    for _ in range(2):
        with connected(None, 1):
            assert os.environ["RAY_AUTH_MODE"] == "token"
            assert ray.get(ray.remote(lambda: 1).remote()) == 1
        assert of_ray() == before


@pytest.fixture(scope="module")
def joined() -> Iterator[None]:
    """One Ray for this module's tests: those who find it joined go on with it."""
    from bench.executors.cluster import connected

    with connected(None, 2):
        yield


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory, in_model_store: None) -> Path:
    """A store with the hidden states of R8's first rows."""
    home = tmp_path_factory.mktemp("extracted") / "store"
    prepare(request(), Store(home), SILENT).material.extract()
    return home


@pytest.mark.slow
def test_any_number_of_rays_workers_makes_the_same_study(
    joined: None, extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.preparation.measure", cost)
    found = []
    for workers, executor in ((1, None), (1, "ray"), (2, "ray")):
        # a store each, so that the workers find nothing that is answered
        home = tmp_path / f"{workers}-{executor}"
        shutil.copytree(extracted, home / "store")
        if executor is not None:  # all that is asked is answered elsewhere
            monkeypatch.setattr("bench.evaluation.evaluator.Evaluator.answer", pytest.fail)
        asked = prepare(request(wave=4, workers=workers, executor=executor), Store(home / "store"), SILENT)
        result = run_search(asked, home, NoTracker(), SILENT)
        found.append((told(read(home, "s").records), result.to_json()["front"]))
    assert found[0] == found[1] == found[2]


@dataclass(frozen=True)
class Device:
    """The tool of `Told`: the device that it was prepared for."""

    name: str

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Told:
    """An errand that tells who answers it, on which device and how many threads, after some seconds."""

    number: int
    seconds: float = 0.0
    tool: str = "device"

    def prepare(self, store: Path, device: str) -> Device:
        return Device(device)

    def answer(self, tool: Device) -> tuple[int, str, int]:
        import torch

        time.sleep(self.seconds)
        return os.getpid(), tool.name, torch.get_num_threads()


Having = Callable[..., None]


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Having:
    """A cluster of machines with so many processors and GPUs each, which nobody has."""

    def have(*machines: tuple[int, int]) -> None:
        cluster = Cluster(tuple(each for each, _ in machines), tuple(each for _, each in machines))
        monkeypatch.setattr("bench.executors.ray.connected", lambda address, workers: nullcontext(cluster))

    return have


def test_actors_are_no_more_than_their_machines_seat(having: Having, tmp_path: Path) -> None:
    having((8, 2), (2, 4), (16, 0))
    assert Ray(Place(tmp_path, ("cuda",) * 9))._slots(Told(0)) == 4, "one GPU and one processor each"
    assert Ray(Place(tmp_path, ("cuda",) * 3))._slots(Told(0)) == 3
    assert Ray(Place(tmp_path, ("cpu",) * 99))._slots(Told(0)) == 26
    assert Cluster((8, 2, 16), (2, 4, 0)).seats(2) == [(8, 1), (2, 2)]
    having((8, 0))
    with pytest.raises(BenchError, match="The Ray cluster has no machine with 1 GPU to give"):
        list(Ray(Place(tmp_path, ("cuda:0",))).run([Told(0)]))
    with pytest.raises(BenchError, match="all workers have devices of one kind, not cpu and cuda"):
        list(Ray(Place(tmp_path, ("cuda:0", "cpu"))).run([Told(0)]))


def test_a_cluster_without_processors_is_refused_whatever_is_asked(having: Having, tmp_path: Path) -> None:
    having()
    for ask in (Told(0), object.__new__(Ask)):
        with pytest.raises(BenchError, match="The Ray cluster has no processors to give: add machines"):
            list(Ray(Place(tmp_path, ("cpu",))).run([ask]))


@pytest.mark.slow
def test_errands_are_actors_which_share_the_processors_and_end_with_the_run(joined: None, tmp_path: Path) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    no_store = tmp_path / "nowhere"  # what an errand needs it says itself
    with open_executor("ray", Place(no_store, ("cpu",) * 2)) as executor:
        found = [answer for _, answer in executor.run([Told(number, seconds=0.2) for number in range(6)])]
        workers = {worker for worker, _, _ in found}
        share = int(ray.cluster_resources()["CPU"]) // 2
        assert {each[1:] for each in found} == {("cpu", share)}
        assert 1 <= len(workers) <= 2, "an actor keeps its tool from one errand to the next"
        deadline = time.monotonic() + 20
        while (left := {each for each in workers if psutil.pid_exists(each)}) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, "the executor is open, and nobody holds a model"


@pytest.mark.night
def test_a_long_silence_is_told_once(joined: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("bench.executors.ray.TICK", 0.1)
    monkeypatch.setattr("bench.executors.ray.LONG", 2)
    lines: list[str] = []
    with open_executor("ray", Place(tmp_path, ("cpu",), warn=lines.append)) as executor:
        list(executor.run([Told(number, seconds=1) for number in range(2)]))
    assert [line.partition(".")[0] for line in lines] == ["Ray has answered nothing for a minute"]


@pytest.mark.slow
def test_actors_write_the_segments_that_processes_write(
    joined: None,
    gathered: Callable[[str], Material],
) -> None:
    one, two = gathered("processes"), gathered("ray")
    with shared_threads(1), open_executor("processes", place(one, 2)) as executor:
        one.fill(one.needs[0], executor=executor)
    with open_executor("ray", place(two, 2)) as executor:
        filled = [found for _, found in executor.run(asked(two))]
    assert {each.shelf for each in filled} == {two.needs[0].shelf.fingerprint}
    assert sum(len(each.keys) for each in filled) == len(two.needs[0].missing)
    assert segments(one) == segments(two)


def segments(material: Material) -> dict[str, dict[str, Any]]:
    """Every file of a shelf by its name, with what it holds."""
    folder = material.needs[0].shelf.folder
    return {
        path.name: {name: array.tobytes() for name, array in load_file(path).items()}
        for path in folder.glob("*.safetensors")
    }


def heavy(material: Material, epochs: int) -> list[Ask]:
    """An ask that takes seconds, and others that do not."""
    scorer = material.scorer(Protocol(folds=3, repetitions=2, confirm=2))
    (model,) = material.models
    heads = [MLP(hidden=32, epochs=epochs), Ridge(), MLP(hidden=4, epochs=2)]
    # a layer each: what shares its sources goes to one worker
    sources = [Source(model=model, layer=layer, pooling="mean") for layer in range(3)]
    candidates = [Candidate(sources=(each,), head=head) for each, head in zip(sources, heads, strict=True)]
    return [scorer.blocks(candidate)[0] for candidate in candidates]


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_asks_alone(joined: None, gathered: Callable[[str], Material]) -> None:
    material = gathered("store")
    material.extract()
    asks = heavy(material, 200_000)
    killed: list[int] = []

    def kill() -> None:
        deadline, before = time.monotonic() + 60, set[psutil.Process]()
        while not killed and time.monotonic() < deadline:
            time.sleep(1)
            for each in before & (before := busy()):  # the others take no second
                each.kill()
                killed.append(each.pid)

    with open_executor("ray", place(material, 2)) as executor:
        # each worker has torch before the clock runs
        list(executor.run(heavy(material, 1)))
        killer = threading.Thread(target=kill)
        killer.start()
        found = dict(executor.run(asks))
        killer.join()
    assert killed
    assert isinstance(found[asks[0]], Failure)
    assert isinstance(found[asks[0]].error, WorkerDiedError)
    assert all(isinstance(found[ask], Outcome) for ask in asks[1:])


def busy() -> set[psutil.Process]:
    """Ray's workers that are at it."""
    found = psutil.Process().children(recursive=True)
    return {each for each in found if each.is_running() and each.cmdline()[:1] == ["ray::asks"]}


@pytest.mark.slow
def test_workers_who_would_answer_otherwise_are_refused(
    joined: None,
    gathered: Callable[[str], Material],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    material = gathered("store")
    material.extract()
    asks = heavy(material, 1)
    with open_executor("ray", place(material, 2)) as executor, monkeypatch.context() as patch:
        reported = {**versions(), "torch": "1.0"}
        patch.setattr("bench.executors.ray.versions", lambda: reported)
        with pytest.raises(BenchError, match=r"has torch .*, and this process has torch 1\.0: .* Install the same"):
            list(executor.run(asks))
        patch.undo()
        patch.setattr(Ask, "fingerprint", lambda self: "other code")
        with pytest.raises(BenchError, match="has other code of bench, or of a plugin"):
            list(executor.run(asks))
    with (
        open_executor("ray", Place(material.store.home / "elsewhere", ("cpu",))) as executor,
        pytest.raises(BenchError, match="does not see the store"),
    ):
        list(executor.run(asks))


def test_without_ray_it_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.setattr("bench.executors.cluster.find_spec", lambda name: None)
    with (
        pytest.raises(BenchError, match=r"pip install 'bench\[ray\]'"),
        open_executor("ray", Place(tmp_path, ("cpu",))),
    ):
        pass


def test_a_new_study_takes_twice_its_workers_and_keeps_that(tmp_path: Path, in_model_store: None) -> None:
    store = Store(tmp_path / "store")

    def wave(**changes: Any) -> tuple[str, int]:
        found = begun(request(executor="ray", **changes), store, tmp_path, SILENT)
        return found.study, found.settings.wave

    assert wave(workers=3)[1] == 6
    assert wave(workers=3, wave=5)[1] == 5
    for name in ("s", None):
        settings = begun(request(executor="ray", workers=2, study=name), store, tmp_path, SILENT)
        with opened(tmp_path, settings.study, settings.settings):
            pass
        assert wave(workers=1, study=name) == (settings.study, 4)
    assert begun(request(), store, tmp_path, SILENT).settings.wave == 4, "the same study, in this process"
    with pytest.raises(BenchError, match="set `executor='ray'` with it"):
        begun(request(ray_address="auto"), store, tmp_path, SILENT)


LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


@pytest.mark.night
def test_ctrl_c_leaves_nothing_behind_and_ray_is_not_heard_or_reached(tmp_path: Path) -> None:
    make_inputs(tmp_path)
    words = [*SEARCH, "--trials", "400", "--study", "s", "--executor", "ray", "--workers", "2", "--json"]
    environment = os.environ | {"BENCH_STORE": str(tmp_path / "store"), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    command = subprocess.Popen(
        [sys.executable, "-m", "bench", "search", *words],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    journal, family = tmp_path / "mlruns" / "studies" / "s.journal", list[psutil.Process]()
    deadline = time.monotonic() + 120
    while command.poll() is None and not (journal.exists() and '"bench":{' in journal.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    family = psutil.Process(command.pid).children(recursive=True)
    assert {"raylet", "gcs_server"} <= {each.name() for each in family}
    listening = [each for one in family for each in one.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert listening
    assert {each.laddr.ip for each in listening} <= LOOPBACK
    # as a terminal does, to all who are in the foreground
    os.killpg(command.pid, signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert (command.returncode, out) == (130, "")
    assert "Interrupted. What is done is kept" in err
    assert not [line for line in err.lower().splitlines() if "ray" in line or "traceback" in line], err
    assert not psutil.wait_procs(family, 10)[1], "processes outlive Ctrl-C"
    states = {trial.state.name for trial in read(tmp_path / "mlruns", "s").study.get_trials()}
    assert "RUNNING" not in states
    runs = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").search_runs(["1"])
    assert runs
    assert "RUNNING" not in {run.info.status for run in runs}
