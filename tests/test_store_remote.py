"""A store at an address: the same rows, whatever the connection does, and no secret on the way."""

import errno
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import platformdirs
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from formats.make import make_inputs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from bench import doctor, extraction
from bench.cli.main import cli
from bench.errors import BenchError
from bench.evaluation.rows import SplitRows, keep, read
from bench.executors.ray import Assignment, versions
from bench.files import remote
from bench.home import Home, origin, store_home
from bench.store import Shelf, Store, copies, slot, text_key
from bench.store.adoption import Adoption, adopt
from bench.store.remote import remote_of

IDENTITY = {"model": "owner/m", "storage_dtype": "bfloat16"}
MEAN, LAST = slot(0, "mean"), slot(1, "last")
KEYS = [text_key(str(number)) for number in range(40)]
SECRET = "s3cr3t-of-mine"


class Faulty(MemoryFileSystem):
    """An object store whose connection fails as `faults` says, one after the other, and then at random by `share`."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    faults: ClassVar[list[str]] = []
    share: ClassVar[float] = 0.0
    drawn: ClassVar[random.Random] = random.Random(0)
    asked: ClassVar[int] = 0

    def _fault(self) -> str:
        Faulty.asked += 1
        if Faulty.faults:
            return Faulty.faults.pop(0)
        return self.drawn.choice(["timeout", "throttle", "torn", "garbled"]) if self.drawn.random() < self.share else ""

    def _fail(self, fault: str) -> None:
        if fault == "timeout":
            raise TimeoutError("read timed out")
        if fault == "throttle":
            raise OSError(f"SlowDown: reduce your request rate, https://me:{SECRET}@host/?X-Amz-Signature={SECRET}")
        if fault == "denied":
            raise PermissionError("AccessDenied")

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        self._fail(fault := self._fault())
        content = bytes(super().cat_file(path, start, end, **options))
        if fault == "torn":
            return content[: len(content) // 2]
        if fault == "garbled":
            return content[:-1] + bytes([content[-1] ^ 1])
        return content

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        if (fault := self._fault()) == "late":
            super().pipe_file(path, value, mode, **options)
            raise TimeoutError("no answer, though it was written")
        self._fail(fault)
        super().pipe_file(path, value, mode, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._fail(self._fault())
        return super().ls(path, detail, **options)


class Plain(LocalFileSystem):
    """A server of files: what is written there is seen while it grows, and the connection ends in the middle of it."""

    protocol = "plain"
    broken: ClassVar[bool] = False

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        if Plain.broken:
            Path(path).write_bytes(value[: len(value) // 2])
            raise ConnectionResetError("connection reset by peer")
        super().pipe_file(path, value, mode, **options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).removeprefix("plain://"))


@pytest.fixture(autouse=True)
def faulty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Faulty]]:
    """Nothing fails at first; nobody waits; the user's cache is here."""
    for each in (Faulty, Plain):
        fsspec.register_implementation(each.protocol, each, clobber=True)
    Faulty.store.clear()
    Faulty.pseudo_dirs[:] = [""]
    Faulty.faults, Faulty.share, Faulty.asked, Plain.broken = [], 0.0, 0, False
    monkeypatch.setattr(remote, "PAUSE", 0.0)
    here = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: here)
    monkeypatch.setenv("BENCH_STORE", "faulty://bucket/deep")
    remote_of.cache_clear()
    yield Faulty
    remote_of.cache_clear()


def elsewhere(monkeypatch: pytest.MonkeyPatch, place: Path) -> Path:
    """The store's home as another machine has it."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_, **__: place)
    return store_home()


def states(numbers: list[int]) -> dict[str, torch.Tensor]:
    base = (torch.tensor(numbers)[:, None] + torch.arange(8) / 8).bfloat16()
    return {MEAN: base, LAST: -base}


def fill(shelf: Shelf, numbers: list[int]) -> None:
    shelf.append([KEYS[each] for each in numbers], numbers, [False] * len(numbers), states(numbers))


def read_all(shelf: Shelf, numbers: list[int]) -> None:
    keys = [KEYS[each] for each in numbers]
    assert shelf.missing(keys, [MEAN, LAST]) == []
    for name in (MEAN, LAST):
        assert torch.equal(shelf.matrix(keys, name), states(numbers)[name].float())
    assert shelf.counts(keys)[0].tolist() == numbers


def test_what_one_machine_writes_another_reads_and_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(Store(store_home()).shelf(IDENTITY), list(range(20)))
    fill(Store(store_home()).shelf(IDENTITY), list(range(20, 30)))
    home = elsewhere(monkeypatch, tmp_path / "other")
    (shelf,) = Store(home).shelves()
    assert (shelf.identity, shelf.folder.parent.parent) == (IDENTITY, home)
    read_all(shelf, [29, 3, 0, 25])
    assert shelf.rows() == 30
    assert shelf.size() > 0
    before = Faulty.asked
    shelf.matrix(KEYS[:30], MEAN)
    read_all(Store(home).find(shelf.fingerprint), [5, 6, 28])
    assert Faulty.asked - before <= 6, "listings alone; what was read is here"
    read_all(Store(home).shelf(IDENTITY | {"model": "another name"}), [1, 2])
    assert Store(home).shelf(IDENTITY).verify() == 2


@pytest.mark.parametrize("seed", range(4))
def test_times_out_throttles_and_torn_reads_are_asked_again(
    seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Faulty.drawn, Faulty.share = random.Random(seed), 0.3
    shelf = Store(store_home()).shelf(IDENTITY)
    for start in range(0, 40, 10):
        fill(shelf, list(range(start, start + 10)))
    home = elsewhere(monkeypatch, tmp_path / "other")
    found = Store(home).shelf(IDENTITY)
    read_all(found, list(range(40)))
    assert not found.damaged
    assert found.verify() == 4


@pytest.mark.parametrize("fault", ["timeout", "throttle"])
def test_it_is_given_up_after_a_stated_number_of_times_in_words_without_a_secret(fault: str) -> None:
    shelf = Store(store_home()).shelf(IDENTITY)
    fill(shelf, [1, 2])
    Faulty.faults = [fault] * remote.TRIES
    with pytest.raises(BenchError, match=r"Cannot list faulty://bucket/deep.*tried 6 times.*the same command") as told:
        shelf.refresh()
    assert SECRET not in str(told.value)
    Faulty.faults = [fault] * remote.TRIES
    with pytest.raises(BenchError, match="Cannot write"):
        fill(shelf, [3])
    Faulty.faults = ["denied"]
    with pytest.raises(BenchError, match=r"tried once \(PermissionError: AccessDenied"):
        shelf.refresh()
    read_all(shelf, [1, 2])


def test_a_write_whose_answer_is_lost_is_written_once() -> None:
    shelf = Store(store_home()).shelf(IDENTITY)
    fill(shelf, [1])
    Faulty.faults = ["late"]
    fill(shelf, [2, 3])
    assert len([name for name in Faulty.store if name.endswith(".safetensors")]) == 2
    read_all(shelf, [1, 2, 3])


def test_what_stays_garbled_is_damage_and_is_healed() -> None:
    shelf = Store(store_home()).shelf(IDENTITY)
    fill(shelf, [1, 2])
    (name,) = (name for name in Faulty.store if name.endswith(".safetensors"))
    content = bytearray(Faulty.store[name].getvalue())
    content[-20] ^= 1  # of the keys, which lie nearly last
    shelf.files.remote.write(name.partition("/deep/")[2], bytes(content))  # type: ignore[attr-defined]
    assert shelf.missing(KEYS[1:3], [MEAN]) == [0, 1]
    assert "does not match its checksum" in shelf.damaged[0]
    assert [name for name in Faulty.store if name.endswith(".damaged")]
    fill(shelf, [1, 2])
    read_all(shelf, [1, 2])


def test_a_damaged_copy_is_fetched_again() -> None:
    shelf = Store(store_home()).shelf(IDENTITY)
    fill(shelf, [1, 2])
    read_all(shelf, [1, 2])
    kept = [path for path in (store_home() / copies.PARTS).rglob("*-*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"x" * path.stat().st_size)
    again = Store(store_home()).shelf(IDENTITY)
    read_all(again, [1, 2])
    assert not again.damaged


def test_copies_take_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Store(store_home()).shelf(IDENTITY)
    for number in range(40):
        fill(shelf, [number])
    read_all(shelf, list(range(40)))

    def kept() -> int:
        return sum(path.stat().st_size for path in (store_home() / copies.PARTS).rglob("*") if path.is_file())

    assert kept() > 20_000
    monkeypatch.setenv("BENCH_STORE_CACHE", "0.00002")
    Store(store_home()).shelf(IDENTITY).refresh()
    assert 0 < kept() <= 60_000, "headers and keys were read anew"
    copies.drain(store_home() / copies.PARTS, 20_000)
    assert kept() <= 20_000
    read_all(Store(store_home()).shelf(IDENTITY), list(range(40)))
    monkeypatch.setenv("BENCH_STORE_CACHE", "much")
    with pytest.raises(BenchError, match="BENCH_STORE_CACHE=much is no number of gigabytes"):
        store_home()


def test_nothing_half_written_is_seen_where_writing_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a server of files a broken write leaves a file of another name, which nobody takes for a segment."""
    there = tmp_path / "there"
    monkeypatch.setenv("BENCH_STORE", f"plain://{there}")
    shelf = Store(store_home()).shelf(IDENTITY)
    fill(shelf, [1, 2])
    Plain.broken = True
    with pytest.raises(BenchError, match=r"Cannot write.*ConnectionResetError"):
        fill(shelf, [3, 4])
    assert len(list(there.rglob("*.safetensors"))) == 1
    assert len(list(there.rglob("*.tmp"))) == 1
    read_all(Store(elsewhere(monkeypatch, tmp_path / "other")).shelf(IDENTITY), [1, 2])
    assert Store(store_home()).shelf(IDENTITY).missing(KEYS[3:5], [MEAN]) == [0, 1]


def test_an_adoption_and_rows_of_a_data_set_are_found_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = store_home()
    old = Store(home).shelf(IDENTITY)
    fill(old, [1, 2])
    adopting = Store(home).shelf(IDENTITY | {"adopted": old.fingerprint})
    adopt(adopting, Adoption(of=old.fingerprint, versions={}, rows=2, error=0.0, slot=MEAN, allowed=1.0, when="now"))
    side = SplitRows(
        "ab" * 8, tuple(KEYS[:2]), ("x",), torch.zeros(2).long().numpy(), torch.arange(2).numpy(), ("a", "b")
    )
    keep(home, "data", side)
    other = elsewhere(monkeypatch, tmp_path / "other")
    read_all(Store(other).find(adopting.fingerprint), [1, 2])
    assert read(other, side.fingerprint).keys == side.keys
    shutil.rmtree(other)


@pytest.mark.parametrize(
    "address",
    [f"s3://key:{SECRET}@bucket/x", f"ftp://me:{SECRET}@host/x", f"https://host/x?token={SECRET}"],
)
def test_an_address_with_a_password_is_refused_without_showing_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", address)
    with pytest.raises(BenchError, match=r"holds a password or key.*AWS_SECRET_ACCESS_KEY") as told:
        store_home()
    assert SECRET not in str(told.value)
    ran = CliRunner().invoke(cli, ["store", "list"])
    assert SECRET not in ran.output + str(ran.exception)


def test_an_address_that_leads_nowhere_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    for address, words in (
        ("nonsense://x/y", "cannot be used.*set BENCH_STORE to a folder"),
        ("gs://bucket/x", r"pip install 'bench\[gcs\]'"),
    ):
        monkeypatch.setenv("BENCH_STORE", address)
        with pytest.raises(BenchError, match=words):
            list(Store(store_home()).shelves())


def test_a_file_address_is_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_STORE", f"file://{tmp_path}/a%20b")
    assert store_home() == (tmp_path / "a b").resolve()
    assert origin(store_home()) is None


def test_commands_work_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Extract here, look and search elsewhere without computing a state."""
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        ran = CliRunner().invoke(cli, words)
        assert ran.exit_code == 0, f"{ran.output}{ran.exception!r}"
        return ran.stdout

    asked = ("--dataset", "train.csv", "--test-file", "test.csv", "--models", "./model", "--device", "cpu")
    acquire = FileLock.acquire

    def unlocked(lock: FileLock, *arguments: Any, **options: Any) -> Any:
        if "claims" in str(lock.lock_file):
            raise OSError(errno.ENOLCK, "No locks available")  # as some disks of networks say
        return acquire(lock, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", unlocked)
        found = json.loads(said("extract", *asked, "--json"))
    assert found["store"] == "faulty://bucket/deep/"
    elsewhere(monkeypatch, tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "open_model", None)  # nothing is computed
        assert json.loads(said("extract", *asked, "--json"))["models"][0]["shelf"] == found["models"][0]["shelf"]
    listed = json.loads(said("store", "list", "--json"))
    assert (listed["store"], listed["shelves"][0]["rows"]) == ("faulty://bucket/deep/", 90)
    assert not json.loads(said("store", "verify", "--json"))["shelves"][0]["damaged"]
    ran = CliRunner().invoke(cli, ["store", "prune", "--shelf", "model", "--yes"])
    assert "delete it there" in str(ran.exception)
    (checked,) = (each for each in doctor._disk(Home.at()) if each.what == "store's address")
    assert checked.detail == "faulty://bucket/deep/, shelves: 1, copies here: up to 20 GB"
    Faulty.faults = ["timeout"] * remote.TRIES
    assert [each.state for each in doctor._disk(Home.at())][-1] == "problem"
    front = json.loads(said("search", *asked, "--space", "space.toml", "--trials", "4", "--json"))["front"]
    assert front


def test_a_worker_of_another_machine_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = store_home()
    fill(Store(home).shelf(IDENTITY), [1, 2])
    sent = Assignment(home, "cpu", (), (), versions(), origin(home))
    there = elsewhere(monkeypatch, tmp_path / "other")
    shutil.rmtree(there)
    monkeypatch.delenv("BENCH_STORE")
    assert sent.refusal() is None
    assert sent.store == there
    read_all(Store(sent.store).shelf(IDENTITY), [1, 2])


def test_an_s3_server_holds_what_a_folder_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """moto's server, which is no more than an imitation: its protocol is S3's. Needs `s3fs` and `moto[server]`."""
    s3fs, server = pytest.importorskip("s3fs"), pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    running.start()
    try:
        host, port = running.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "mine",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "BENCH_STORE": "s3://bucket/deep",
        }.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        shelf = Store(store_home()).shelf(IDENTITY)
        with pytest.raises(
            BenchError, match=r"s3://bucket/deep.*cannot be written|Cannot write s3://bucket/deep"
        ) as told:
            fill(shelf, [1])
        assert SECRET not in str(told.value)
        s3fs.S3FileSystem().mkdir("bucket")
        for start in range(0, 40, 10):
            fill(shelf, list(range(start, start + 10)))
        found = Store(elsewhere(monkeypatch, tmp_path / "other")).shelf(IDENTITY)
        read_all(found, list(range(40)))
        assert found.verify() == 4
        assert found.size() == sum(s3fs.S3FileSystem().du("bucket", total=False).values())
    finally:
        running.stop()
