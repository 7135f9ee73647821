"""What every source of data must hold to: the same rows are the same data set, wherever they come from."""

import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.datasets.rows import DATASETS, DatasetRow, PackageFiles
from bench.errors import BenchError
from bench.registry import Registry

NAME = "contract"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Row = tuple[str, str]
Sides = dict[Literal["train", "test"], list[Row]]
ROWS: Sides = {
    "train": [(f'Text {number}: "quoted", a; ünïcode – 中文 {number % 7}', "abc"[number % 3]) for number in range(24)],
    "test": [(f"Another text, {number}", "abc"[number % 3]) for number in range(9)],
}


@dataclass(frozen=True)
class Way:
    """A source: `lay_out` puts rows into a folder as the source has them, and says how they are asked for."""

    kind: str
    lay_out: Callable[[Path, Sides, pytest.MonkeyPatch], DatasetRequest]


SOURCES: Registry[Way] = Registry("source of data")


def source(name: str, kind: str) -> Callable[[Callable[..., DatasetRequest]], Callable[..., DatasetRequest]]:
    """Enter a function that lays out rows."""

    def register(lay_out: Callable[..., DatasetRequest]) -> Callable[..., DatasetRequest]:
        SOURCES.add(name, Way(kind, lay_out))
        return lay_out

    return register


class SourceContract:
    """Runs for each source of `SOURCES`."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.parametrize("way", list(SOURCES.values()), ids=list(SOURCES))

    @pytest.fixture(autouse=True)
    def alone(self, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither the hub nor anything of the user's is at hand."""
        monkeypatch.delenv("BENCH_DATA_HOME", raising=False)
        monkeypatch.delitem(DATASETS._entries, NAME, raising=False)

    def test_rows_come_as_they_are_in_their_order(
        self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dataset = load(way.lay_out(tmp_path / "source", ROWS, monkeypatch))
        assert dataset.labels == ("a", "b", "c")
        for split, rows in ((dataset.train, ROWS["train"]), (dataset.test, ROWS["test"])):
            found = zip(split.texts, (dataset.labels[label] for label in split.labels), strict=True)
            assert list(found) == rows
            assert len(set(split.ids)) == len(rows)

    def test_the_source_plays_no_part_in_what_the_data_set_is(
        self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for changes in ({}, {"max_train": 9, "max_test": 6, "seed": 3}):
            asked = [
                each.lay_out(tmp_path / f"{place}{len(changes)}", ROWS, monkeypatch).model_copy(update=changes)
                for place, each in enumerate((way, SOURCES["file"]))
            ]
            here, file = map(load, asked)
            assert here.fingerprint == file.fingerprint
            assert here.train.texts == file.train.texts
            assert here.train.groups.tolist() == file.train.groups.tolist()

    def test_it_says_where_the_rows_come_from_and_by_which_bytes(
        self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = way.lay_out(tmp_path / "source", ROWS, monkeypatch)
        found = load(request).source
        assert found.kind == way.kind
        assert found.description
        there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in contents(tmp_path / "source")}
        assert len(found.files) == 2
        assert set(found.files.values()) <= there
        assert load(request).source == found

    def test_reading_changes_nothing(self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        request = way.lay_out(tmp_path / "source", ROWS, monkeypatch)
        before = {path: path.read_bytes() for path in contents(tmp_path / "source")}
        load(request)
        assert {path: path.read_bytes() for path in contents(tmp_path / "source")} == before

    def test_another_byte_is_another_data_set_or_none(
        self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = way.lay_out(tmp_path / "source", ROWS, monkeypatch)
        before = fingerprint(request)
        for path in contents(tmp_path / "source"):
            path.write_bytes(path.read_bytes().replace(b"Text 3:", b"Text 4:"))
        assert fingerprint(request) != before

    def test_what_is_gone_is_said_with_the_name(
        self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = way.lay_out(tmp_path / "source", ROWS, monkeypatch)
        for path in contents(tmp_path / "source"):
            path.unlink()
        with pytest.raises(BenchError) as caught:
            load(request)
        assert Path(request.name).name in str(caught.value)

    def test_blank_texts_are_refused_or_left_out_by_one_rule(
        self, way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spoilt: Sides = {"train": [*ROWS["train"], (" ", "a")], "test": ROWS["test"]}
        outcomes = []
        for place, each in enumerate((way, SOURCES["file"])):
            request = each.lay_out(tmp_path / str(place), spoilt, monkeypatch)
            try:
                outcomes.append(str(len(load(request).train)))
            except BenchError:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]


def fingerprint(request: DatasetRequest) -> str | None:
    """That of the data set; None where it is refused."""
    try:
        return load(request).fingerprint
    except BenchError:
        return None


def contents(folder: Path) -> list[Path]:
    """The files of a source."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def jsonl(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@source("file", kind="file")
def lay_out_files(folder: Path, sides: Sides, _: pytest.MonkeyPatch) -> DatasetRequest:
    """A table a side."""
    folder.mkdir(parents=True)
    for side, rows in sides.items():
        with (folder / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return DatasetRequest(name=str(folder / "train.csv"), test_file=str(folder / "test.csv"))


@source("home", kind="home")
def lay_out_home(folder: Path, sides: Sides, _: pytest.MonkeyPatch) -> DatasetRequest:
    """A folder of the data home."""
    for side, rows in sides.items():
        jsonl(folder / NAME / f"{side}.jsonl", rows)
    return DatasetRequest(name=NAME, data_home=str(folder))


@source("hub", kind="hub")
def lay_out_hub(folder: Path, sides: Sides, monkeypatch: pytest.MonkeyPatch) -> DatasetRequest:
    """The hub's cache after a download."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    home = folder / f"datasets--owner--{NAME}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    for side, rows in sides.items():
        jsonl(home / "snapshots" / COMMIT / f"{side}.jsonl", rows)
    return DatasetRequest(name=f"owner/{NAME}")


@source("package", kind="package")
def lay_out_package(folder: Path, sides: Sides, monkeypatch: pytest.MonkeyPatch) -> DatasetRequest:
    """An installed distribution that carries the rows of a data set that is known by name."""
    distribution = f"bench-contract-{folder.name}"
    about = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    digests = {}
    for side, rows in sides.items():
        lines = ["class\ttext", "d\tstring", "class\tmeta", *(f"{label}\t{text}" for text, label in rows)]
        data = ("\n".join(lines) + "\n").encode()
        (folder / f"{side}.tab").write_bytes(data)
        digests[side] = hashlib.sha256(data).hexdigest()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (about / "RECORD").write_text("train.tab,,\ntest.tab,,\n")
    row = DatasetRow(
        name=NAME,
        title=NAME,
        repo=f"owner/{NAME}",
        recipe="",
        licence="",
        citation="",
        package=PackageFiles(
            distribution=distribution,
            version="1.0",
            train="train.tab",
            train_sha256=digests["train"],
            test="test.tab",
            test_sha256=digests["test"],
        ),
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(DATASETS._entries, NAME, row)
    return DatasetRequest(name=NAME)
