"""An exported candidate applied to files in shards: every row once, in place, whatever ends it."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench import api
from bench.application.places import place_of
from bench.application.plan import PLAN
from bench.application.shards import WrittenShard, cut
from bench.errors import BenchError
from bench.evaluation.tfidf import Tfidf
from bench.executors import base as executors
from bench.executors.base import Failure, WorkerDiedError
from bench.packaging.pipeline import Latency, PackagedPipeline, write
from bench.packaging.texts import of_list
from bench.specs import TextCandidate

LABELS = ("grain", "ship")
WORDS = {"grain": "wheat corn harvest tonnes crop", "ship": "vessel port tanker strike cargo"}


def some_text(row: int) -> str:
    words = WORDS[LABELS[row % 2]].split()
    return f"{random.Random(row).choice(words)} {words[row % 5]} number{row}"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of texts, which opens in no time."""
    folder = tmp_path_factory.mktemp("model")
    texts, labels = [some_text(row) for row in range(80)], np.arange(80) % 2
    made = PackagedPipeline(
        bench="0",
        study="s",
        trial=None,
        baseline="tfidf",
        chosen="recommended",
        candidate=TextCandidate(classifier="tfidf"),
        labels=LABELS,
        dataset="d",
        dataset_fingerprint="0",
        rows=80,
        seed=0,
        strip=True,
        remote_code=False,
        models=(),
        search={},
        test={},
        latency=Latency(predicted_ms=0.1, measured_ms=0.1, texts=80),
    )
    (folder / "MLmodel").touch()
    (pipeline := folder / "artifacts" / "pipeline").mkdir(parents=True)
    write(pipeline, made, [Tfidf.fit(texts, labels, np.arange(80), 2)])
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files in a folder, one of them deeper: 25 and 13 rows, one without a text."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    rows = pd.DataFrame({"id": range(38), "text": [some_text(row) for row in range(38)], "size": np.arange(38) / 2})
    rows.loc[3, "text"] = None
    rows[:25].to_parquet(folder / "a.parquet")
    rows[25:].to_json(folder / "deep" / "b.jsonl", orient="records", lines=True)
    (folder / "notes.pdf").touch()
    return folder


def answers(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out).sort_values("id", ignore_index=True)


def test_every_row_is_answered_as_by_predict(package: Path, source: Path, tmp_path: Path) -> None:
    found = api.apply(str(package), source, tmp_path / "out", keep=["size"], shard_rows=10)
    assert (found.files, found.rows, found.shards, found.before, found.blank) == (2, 38, 5, 0, 1)
    assert sorted(path.relative_to(Path(found.out)).as_posix() for path in Path(found.out).rglob("*.parquet")) == [
        *(f"a.parquet-{start:010d}.parquet" for start in (0, 10, 20)),
        *(f"deep/b.jsonl-{start:010d}.parquet" for start in (0, 10)),
    ]
    said = [row for path in sorted(Path(found.out).rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["size"] for row in said] == [row / 2 for row in range(38)]
    single = list(api.predict(str(package), source / "a.parquet", keep=["size"]))
    single += list(api.predict(str(package), source / "deep" / "b.jsonl", keep=["size"]))
    blank = single.pop(3)
    assert blank == {"id": 3, "size": 1.5, "label": None, "probabilities": None}
    assert [row["label"] for row in (said.pop(3), *said)] == [None, *(row["label"] for row in single)]
    assert said == single


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_other_formats_hold_the_same(form: Any, package: Path, source: Path, tmp_path: Path) -> None:
    api.apply(str(package), source / "a.parquet", tmp_path / "out", format=form, shard_rows=20)
    api.predict(str(package), source / "a.parquet").save(tmp_path / f"whole.{form}")
    shards = [path.read_text() for path in sorted((tmp_path / "out").glob(f"*.{form}"))]
    header = shards[1].partition("\n")[0] + "\n" if form == "csv" else ""
    assert shards[0] + shards[1].removeprefix(header) == (tmp_path / f"whole.{form}").read_text()


def test_it_goes_on_with_what_is_missing_and_what_has_come(package: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    api.apply(str(package), source, out, shard_rows=10)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    gone = out / "a.parquet-0000000010.parquet"
    gone.unlink()
    (source / "c.jsonl").write_text('{"id": 38, "text": "wheat", "size": 1.5}\n')
    found = api.apply(str(package), source, out, shard_rows=10)
    assert (found.rows, found.before, found.files) == (39, 28, 3)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items() if path != gone)
    assert answers(out)["id"].tolist() == list(range(39))
    again = api.apply(str(package), source, out, shard_rows=10)
    assert (again.before, again.rate) == (39, None)


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ("nothing", {"shard_rows": 20}, "`shard_rows` was 10 and is 20"),
        ("nothing", {"format": "csv"}, "`format` was parquet and is csv"),
        ("nothing", {"keep": ["size"]}, "`keep` was not given and is size"),
        ("nothing", {"reject_below": 0.9}, "`reject_below` was not given and is 0.9"),
        ("text", {}, "a.parquet has changed since its answers"),
        ("other column", {}, "c.csv has no column 'text'"),
        ("model", {}, "and not of tfidf of s as it is now"),
    ],
)
def test_what_does_not_fit_what_was_begun_is_refused(
    change: str, settings: dict[str, Any], words: str, package: Path, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    api.apply(str(package), source, out, shard_rows=10)
    plan = (out / PLAN).read_bytes()
    if change == "text":
        pd.DataFrame({"id": [1], "text": ["x"]}).to_parquet(source / "a.parquet")
    elif change == "other column":
        (source / "c.csv").write_text("id,body\n1,x\n")
    elif change == "model":
        value = json.loads(plan)
        (out / PLAN).write_text(json.dumps({**value, "package": "0" * 64}))
        plan = (out / PLAN).read_bytes()
    with pytest.raises(BenchError, match=words):
        api.apply(str(package), source, out, **{"shard_rows": 10, **settings})
    assert (out / PLAN).read_bytes() == plan


def test_values_of_one_column_in_several_types_are_text(package: Path, source: Path, tmp_path: Path) -> None:
    (source / "c.csv").write_text("id,text\nx,wheat\n")
    api.apply(str(package), source, tmp_path / "out")
    assert sorted(pd.read_parquet(tmp_path / "out")["id"]) == sorted([*map(str, range(38)), "x"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda here: (here / "gone", here / "out"), "nothing at"),
        (lambda here: (here / "in", here / "in" / "out"), "apart from the texts"),
        (lambda here: (here / "in", here), "apart from the texts"),
        (lambda here: (here / "in", f"file://{here}/in/out"), "apart from the texts"),
        (lambda here: ("~nobody-of-that-name/in", here / "out"), "nothing at"),
        (lambda here: (here / "in", here / "full"), "no answers of bench"),
        (lambda here: (here / "in", here / "full" / "file"), "is a file"),
        (lambda here: (here / "full", here / "out"), "holds no file of texts"),
    ],
)
def test_places_that_will_not_do(make: Any, words: str, package: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    where, out = make(tmp_path)
    with pytest.raises(BenchError, match=words):
        api.apply(str(package), where, out)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_a_wrong_row_is_refused_before_anything_is_written(package: Path, source: Path, tmp_path: Path) -> None:
    (source / "z.jsonl").write_text('{"id": 1, "text": "wheat"}\n{"id": 2, "text": 7}\n')
    with pytest.raises(BenchError, match="line 2: column 'text' holds int"):
        api.apply(str(package), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_processes_do_not_write_to_one_folder(package: Path, source: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    (out := tmp_path / "out").mkdir()
    with FileLock(out / "._apply.lock"), pytest.raises(BenchError, match="Another process writes answers"):
        api.apply(str(package), source, out)


class Mortal:
    """Workers of which the one with the third shard dies as often as it is told to."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    def run(self, asks: Any) -> Iterator[tuple[Any, Any]]:
        while asks:
            ask = asks.popleft()
            tool = ask.prepare(Path(), "cpu")
            if "0000000020" in ask.name and self.deaths:
                self.deaths -= 1
                yield ask, Failure(WorkerDiedError("A worker on cpu was killed by SIGKILL."))
            else:
                yield ask, ask.answer(tool)

    def __enter__(self) -> "Mortal":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("deaths", [3, 4])
def test_a_worker_that_dies_costs_its_shard_alone(
    deaths: int, package: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.application.run.open_executor", lambda *_: Mortal(deaths))
    if deaths == 3:
        assert api.apply(str(package), source, tmp_path / "out", shard_rows=10).rows == 38
        assert answers(tmp_path / "out")["id"].tolist() == list(range(38))
        return
    with pytest.raises(BenchError, match="killed by SIGKILL"):
        api.apply(str(package), source, tmp_path / "out", shard_rows=10)
    assert len(answers(tmp_path / "out")) >= 20  # there for when it is tried again


@pytest.mark.slow
def test_killed_anywhere_it_ends_with_every_row_once(package: Path, tmp_path: Path) -> None:
    """Two real workers, killed with the process that asks, at moments of a seeded draw."""
    rows = 600
    (tmp_path / "rows.csv").write_text("id,text\n" + "".join(f"{row},{some_text(row)}\n" for row in range(rows)))
    command = [sys.executable, "-m", "bench", "apply", "--model", str(package), "rows.csv", "out"]
    command += ["--shard-rows", "20", "--workers", "2"]
    draw, kills = random.Random(0), 0
    for _ in range(40):
        process = subprocess.Popen(
            command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        shards, wanted = len(list(tmp_path.glob("out/*.parquet"))), draw.randrange(6, 11)
        while process.poll() is None and len(list(tmp_path.glob("out/*.parquet"))) < shards + wanted:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills >= 2
    found = pd.concat([pq.read_table(path).to_pandas() for path in sorted(tmp_path.glob("out/*.parquet"))])
    assert found["id"].tolist() == [str(row) for row in range(rows)]
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.endswith(".tmp")] == []
    assert found["label"].tolist() == [row["label"] for row in api.predict(str(package), tmp_path / "rows.csv")]


def test_rows_are_cut_into_runs() -> None:
    texts = [str(row) for row in range(1_000)]
    found = list(cut(of_list(texts), 300))
    assert [(start, len(each)) for start, each, _ in found] == [(0, 300), (300, 300), (600, 300), (900, 100)]
    assert [text for _, each, _ in found for text in each] == texts


def test_memory_does_not_grow_with_the_rows(package: Path, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        (tmp_path / f"{count}.csv").write_text("id,text\n" + "".join(f"{row},wheat {row}\n" for row in range(count)))
        tracemalloc.start()
        api.apply(str(package), tmp_path / f"{count}.csv", tmp_path / f"out{count}", shard_rows=500)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(100)  # imports
    assert peak(9_000) < 1.3 * peak(3_000)


def test_an_estimate_is_rows_over_measured_rates(package: Path) -> None:
    (one,) = api.estimate(str(package), rows=36_000_000, workers=5, price=2.0)
    assert (one.rate.texts_per_second, one.hours, one.cost) == pytest.approx((10_000, 0.2, 2.0))
    (given,) = api.estimate(str(package), rows=7_200, rate=2.0)
    assert (given.hours, given.cost) == (1.0, None)


def test_texts_and_answers_may_lie_at_addresses(package: Path, source: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(f"{source}/", "/bucket/texts/", recursive=True)
    found = api.apply(str(package), "memory://bucket/texts", "memory://bucket/answers", shard_rows=10)
    assert (found.files, found.rows, found.out) == (2, 38, "memory://bucket/answers")
    api.apply(str(package), source, tmp_path / "out", shard_rows=10)
    for path in (tmp_path / "out").rglob("*.parquet"):
        assert memory.cat_file(f"/bucket/answers/{path.relative_to(tmp_path / 'out')}") == path.read_bytes()
    memory.rm("/bucket/answers/a.parquet-0000000010.parquet")
    assert api.apply(str(package), "memory://bucket/texts", "memory://bucket/answers", shard_rows=10).before == 28
    one = api.apply(str(package), "memory://bucket/texts/deep/b.jsonl", "memory://bucket/one")
    assert (one.rows, one.shards) == (13, 1)
    memory.pipe_file("/bucket/texts/a.parquet", b"more than before" * 1000)
    with pytest.raises(BenchError, match=r"a\.parquet has changed since its answers in memory://bucket/answers"):
        api.apply(str(package), "memory://bucket/texts", "memory://bucket/answers", shard_rows=10)
    with pytest.raises(BenchError, match=r"^s3://bucket/texts holds a password"):
        api.apply(str(package), "s3://me:secret@bucket/texts", tmp_path / "two")


def test_what_lies_at_an_address_is_found_as_it_is_now(package: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    row = b'{"id": %d, "text": "wheat"}\n'
    for number, name in enumerate(("a.jsonl", "deep/deep/b.jsonl", "deep/.cache/c.jsonl", "deep/_old/d.jsonl")):
        memory.pipe_file(f"/place/in/{name}", row % number)
    memory.pipe_file("/place/b.jsonl", row % 9)
    found = api.apply(str(package), "memory://place/in", "memory://place/out")
    assert (found.files, found.rows) == (2, 2), "folders of one name in each other; nothing that is hidden"
    memory.pipe_file("/place/in/a.jsonl", row % 7)
    with pytest.raises(BenchError, match=r"a\.jsonl has changed since"):
        api.apply(str(package), "memory://place/in", "memory://place/out")
    memory.pipe_file("/place/in/b.jsonl", row % 8)
    place = place_of("memory://place/in")
    memory.rm("/place/in/b.jsonl")
    with pytest.raises(BenchError, match="is gone"), place.opened("b.jsonl"):
        pass


def test_a_file_that_changes_meanwhile_is_not_taken_for_answered(
    package: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meddler(Mortal):
        def run(self, asks: Any) -> Iterator[tuple[Any, Any]]:
            pd.DataFrame({"id": [1], "text": ["x"]}).to_json(source / "deep" / "b.jsonl", orient="records", lines=True)
            yield from super().run(asks)

    monkeypatch.setattr("bench.application.run.open_executor", lambda *_: Meddler(0))
    with pytest.raises(BenchError, match=r"deep/b\.jsonl has changed since"):
        api.apply(str(package), source, tmp_path / "out", shard_rows=10)


def test_workers_that_write_elsewhere_are_noticed(
    package: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere(Mortal):
        def run(self, asks: Any) -> Iterator[tuple[Any, Any]]:
            while asks:
                yield asks.popleft(), WrittenShard(10, 0, 0.1)

    monkeypatch.setattr("bench.application.run.open_executor", lambda *_: Elsewhere(0))
    with pytest.raises(BenchError, match="Answers to 38 texts are not in"):
        api.apply(str(package), source, tmp_path / "out", shard_rows=10)


def test_a_file_that_is_gone_holds_up_no_other(package: Path, source: Path, tmp_path: Path) -> None:
    api.apply(str(package), source, tmp_path / "out", shard_rows=10)
    (tmp_path / "out" / "a.parquet-0000000010.parquet").unlink()
    (source / "a.parquet").unlink()
    (source / "c.jsonl").write_text('{"id": 38.5, "text": "wheat"}\n')
    with pytest.raises(BenchError, match="'id' is number, not whole number"):
        api.apply(str(package), source, tmp_path / "out", shard_rows=10)
    (source / "c.jsonl").write_text('{"id": 38, "text": "wheat"}\n')
    found = api.apply(str(package), source, tmp_path / "out", shard_rows=10)
    assert (found.files, found.rows, found.before) == (2, 14, 13)


def test_whole_numbers_and_others_are_numbers(package: Path, source: Path, tmp_path: Path) -> None:
    (source / "c.jsonl").write_text('{"id": 38.5, "text": "wheat"}\n')
    api.apply(str(package), source, tmp_path / "out")
    assert answers(tmp_path / "out")["id"].tolist() == [*range(38), 38.5]


def test_a_full_disk_is_said_in_words(
    package: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bench.application.shards.writer_of", lambda _: full)
    with pytest.raises(BenchError, match=r"No space left on device.*run the same command again"):
        api.apply(str(package), source, tmp_path / "out")


def test_executors_are_known_by_name(package: Path, source: Path, tmp_path: Path) -> None:
    assert "inline" in executors.EXECUTORS
    with pytest.raises(BenchError, match="did you mean 'processes'"):
        api.apply(str(package), source, tmp_path / "out", executor="proceses")
