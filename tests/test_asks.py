"""One question, one answer: what an ask is, and that nothing but the ask decides its outcome."""

import json
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_evaluation import QUICK, SOURCE, scorer

from bench.cli.main import cli
from bench.datasets.dataset import Dataset
from bench.datasets.load import DatasetRequest, load
from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.outcome import Outcome
from bench.evaluation.protocol import Protocol
from bench.evaluation.resolve import evaluator_of
from bench.evaluation.rows import FOLDER, keep, kept, read, sides
from bench.registry import Registry
from bench.specs import MLP, Candidate, Logistic

PROTOCOL = Protocol(folds=3, repetitions=2, confirm=2)
CANDIDATES = {
    "mlp": Candidate(sources=(SOURCE,), head=QUICK),
    "logistic": Candidate(sources=(SOURCE,), head=Logistic()),
    "late": Candidate(sources=(SOURCE, SOURCE), fusion="late", head=QUICK),
}
SUBJECTS: dict[str, Candidate | str] = {**CANDIDATES, "tfidf-logistic": "tfidf-logistic", "majority": "majority"}


@pytest.fixture(scope="module")
def r8() -> Dataset:
    return load(DatasetRequest(name="r8", max_train=160, max_test=80))


def same(one: Outcome, other: Outcome) -> bool:
    """Equal bit for bit: values, types and shapes."""
    arrays = [
        (getattr(one, name), getattr(other, name), getattr(one, name).dtype == getattr(other, name).dtype)
        for name in ("rows", "predicted", "scores")
    ]
    equal = all(like and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b, like in arrays)
    return equal and one.kind == other.kind and one.reports == other.reports


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
@pytest.mark.parametrize(("phase", "only"), [("search", None), ("search", (2, 0)), ("confirm", None)])
def test_a_remembered_answer_is_the_fresh_one_bit_for_bit(
    tmp_path: Path, r8: Dataset, subject: Candidate | str, phase: str, only: tuple[int, ...] | None
) -> None:
    first = scorer(tmp_path, r8, PROTOCOL, tmp_path)
    asks = first.asks(subject, phase, only=only)  # type: ignore[arg-type]
    fresh = first.evaluator.answers(asks)
    second = scorer(tmp_path, r8, PROTOCOL, tmp_path).evaluator
    second.features.train = second.features.test = None  # type: ignore[assignment,method-assign] - nothing is trained
    second = replace(second, texts=None)
    remembered = second.answers(asks)
    assert all(map(same, fresh, remembered))
    assert all(second.known(ask) is not None for ask in asks)
    # and asked one by one, elsewhere, it is the same again: nothing but the ask decides
    alone = scorer(tmp_path, r8, PROTOCOL).evaluator
    assert all(same(one, alone.answer(ask)) for one, ask in zip(fresh, asks, strict=True))


@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=CANDIDATES)
def test_some_folds_are_that_part_of_all_folds(tmp_path: Path, r8: Dataset, candidate: Candidate) -> None:
    asked = scorer(tmp_path, r8, PROTOCOL)
    (whole,), (part,) = (
        asked.evaluator.answers(asked.asks(candidate, "search", (3,), only=only)) for only in (None, (1,))
    )
    where = np.isin(whole.rows, part.rows)
    assert 0 < where.sum() < len(whole.rows)
    for name in ("rows", "predicted", "scores"):
        assert getattr(whole, name)[where].tobytes() == getattr(part, name).tobytes()
    assert part.reports == whole.reports[1:2]


def test_scores_are_log_probabilities_or_say_that_they_are_not(tmp_path: Path, r8: Dataset) -> None:
    asked = scorer(tmp_path, r8, PROTOCOL)
    for name, subject in SUBJECTS.items():
        outcome = asked.evaluator.answer(asked.asks(subject, "confirm")[0])
        assert outcome.scores.shape == (len(r8.test), len(r8.labels))
        assert outcome.scores.dtype == np.float32
        assert (outcome.scores.argmax(axis=1) == outcome.predicted).mean() > 0.99
        assert outcome.kind == ("decision" if name == "tfidf-logistic" else "log-probability")
        if outcome.kind == "log-probability":
            np.testing.assert_allclose(np.exp(outcome.scores.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
    (report,) = asked.evaluator.answer(asked.asks(CANDIDATES["logistic"], "confirm")[0]).reports
    assert report[0]["converged"]
    assert report[0]["penalty"] == pytest.approx(1 / (report[0]["C"] * len(r8.train)))


def test_an_ask_is_a_value_that_travels(tmp_path: Path, r8: Dataset) -> None:
    asked = scorer(tmp_path, r8, PROTOCOL)
    asks = [ask for subject in SUBJECTS.values() for ask in asked.asks(subject, "search", only=(0,))]
    for ask in asks:
        again = Ask.model_validate_json(ask.model_dump_json())
        assert again == ask == ForkingPickler.loads(ForkingPickler.dumps(ask))
        assert again.fingerprint() == ask.fingerprint()
    assert len({ask.fingerprint() for ask in asks}) == len(asks)


@pytest.mark.parametrize(("subject", "name"), [("mlp", "mlp"), ("late", "late"), ("majority", "majority")])
def test_an_edited_plugin_is_asked_anew(
    tmp_path: Path, r8: Dataset, monkeypatch: pytest.MonkeyPatch, subject: str, name: str
) -> None:
    (ask,) = scorer(tmp_path, r8, PROTOCOL).asks(SUBJECTS[subject], "confirm", (1,))
    seen = {ask.fingerprint()}
    for source in ("first", "edited"):
        monkeypatch.setattr(Registry, "source", lambda _, each, source=source: source if each == name else None)
        seen.add(ask.fingerprint())
    assert len(seen) == 3


def test_a_kind_of_head_that_computes_something_else_is_asked_anew(
    tmp_path: Path, r8: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other kind: what the MLP answered before the logistic head was revised is still read."""
    asks = {
        name: scorer(tmp_path, r8, PROTOCOL).asks(CANDIDATES[name], "search")[0] for name in ("mlp", "logistic", "late")
    }
    before = {name: ask.fingerprint() for name, ask in asks.items()}
    monkeypatch.setattr(Logistic, "revision", Logistic().revision + 1)
    assert [name for name, ask in asks.items() if ask.fingerprint() != before[name]] == ["logistic"]
    assert "revision" not in asks["mlp"].identity()


def test_a_deterministic_baseline_has_one_answer_where_its_rows_are_the_same(tmp_path: Path, r8: Dataset) -> None:
    asked = scorer(tmp_path, r8, PROTOCOL)
    assert len({ask.fingerprint() for ask in asked.asks("majority", "confirm")}) == 1
    assert len({ask.fingerprint() for ask in asked.asks("majority", "search")}) == 2
    split = replace(asked, protocol=PROTOCOL.model_copy(update={"validation_above": 10}))
    assert len({ask.fingerprint() for ask in split.asks("majority", "search")}) == 1
    assert len({ask.fingerprint() for ask in split.asks(CANDIDATES["mlp"], "search")}) == 2
    assert [each.seed for each in asked.scored("majority", "confirm").repetitions] == list(PROTOCOL.confirm_seeds)


def test_side_by_side_is_another_question_only_where_the_order_of_batches_is(tmp_path: Path, r8: Dataset) -> None:
    asked = scorer(tmp_path, r8, PROTOCOL)
    for batch_size, equal in ((1024, True), (32, False)):
        candidate = Candidate(sources=(SOURCE,), head=MLP(hidden=16, epochs=2, batch_size=batch_size))
        (alone,), (beside,) = (asked.asks(candidate, "confirm", (1,), side_by_side=side) for side in (False, True))
        assert (alone.fingerprint() == beside.fingerprint()) is equal


def test_what_makes_no_sense_is_no_ask(tmp_path: Path, r8: Dataset) -> None:
    ask = scorer(tmp_path, r8, PROTOCOL).asks(CANDIDATES["logistic"], "search")[0]
    value = ask.model_dump()
    for change in ({"test": "abc"}, {"folds": None}, {"inputs": ()}, {"beside": "same"}):
        with pytest.raises(ValueError, match=r"an ask predicts|matrices|side by side"):
            Ask(**{**value, **change})


def test_an_ask_is_answered_from_the_store_alone(tmp_path: Path, r8: Dataset) -> None:
    here = scorer(tmp_path, r8, PROTOCOL)
    for side in sides(r8):
        keep(tmp_path, r8.name, side)
    assert {(name, rows) for _, name, rows in kept(tmp_path)} == {("r8", 160), ("r8", 80)}
    for phase in ("search", "confirm"):
        asks = here.asks(CANDIDATES["mlp"], phase)  # type: ignore[arg-type]
        there = evaluator_of(tmp_path, asks[0])
        assert all(map(same, here.evaluator.answers(asks), there.answers(asks)))
        assert there.known(asks[0]) is not None
    (words,) = here.asks("majority", "confirm", (1,))
    with pytest.raises(BenchError, match="texts"):
        evaluator_of(tmp_path, words).answer(words)


def test_what_is_kept_is_listed_and_deleted(tmp_path: Path, r8: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    here = scorer(tmp_path, r8, PROTOCOL, tmp_path)
    keep(tmp_path, r8.name, sides(r8)[0])
    here.scored("majority", "search")
    old = tmp_path / "evaluations" / "ab" / "abcd.safetensors"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of an earlier bench")
    monkeypatch.setenv("BENCH_STORE", str(tmp_path))
    found = json.loads(CliRunner().invoke(cli, ["store", "list", "--json"]).stdout)
    assert found["evaluations"]["files"] == 2
    assert found["evaluations"]["bytes"] > 2 * len(r8.train) * len(r8.labels) * 4
    assert (found["evaluations"]["earlier"], found["evaluations"]["earlier_bytes"]) == (1, 19)
    assert found["splits"] == [{"fingerprint": r8.train.fingerprint, "dataset": "r8", "rows": 160}]
    assert "2 evaluations are remembered" in CliRunner().invoke(cli, ["store", "list"]).stdout
    CliRunner().invoke(cli, ["store", "prune", "--evaluations", "--yes"])
    assert not list((tmp_path / "evaluations").rglob("*.safetensors"))


def test_rows_without_texts_come_back_as_they_were_and_torn_ones_are_written_again(tmp_path: Path, r8: Dataset) -> None:
    labels = r8.test.labels.copy()
    labels[:5] = len(r8.labels)
    odd = replace(r8, test=replace(r8.test, labels=labels), test_only_labels=("odd",))
    names = (*odd.labels, "odd")
    train, test = sides(odd)
    for side, split in ((train, odd.train), (test, odd.test)):
        keep(tmp_path, odd.name, side)
        again = read(tmp_path, split.fingerprint)
        assert again.keys == side.keys
        assert again.ids == split.ids
        assert (again.groups == split.groups).all()
        assert [again.names[label] for label in again.labels] == [names[label] for label in split.labels]
        assert (again.labels_in(names) == split.labels).all()
    assert (test.labels_in(odd.labels)[:5] == -1).all()
    path = tmp_path / FOLDER / f"{train.fingerprint}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BenchError, match="does not hold the rows"):
        read(tmp_path, train.fingerprint)
    keep(tmp_path, odd.name, train)
    assert read(tmp_path, train.fingerprint).keys == train.keys
    assert not any(text.encode() in path.read_bytes() for text in odd.train.texts[:20])
    assert json.loads(json.dumps(list(train.ids))) == list(odd.train.ids)
