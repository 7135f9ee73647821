"""Labels that are contradicted, and texts to label next: in a small study whose flipped labels are known."""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from formats.make import COMMON, SPACE, WORDS, make_model

from bench import api
from bench.cli.main import cli
from bench.errors import BenchError
from bench.labelling.unlabelled import _diverse
from bench.metrics import contradicted, label_margins

ROWS, FLIPPED = 240, 12
MARKER = "Zephyrquill"


def text_of(rng: random.Random, label: str) -> str:
    words = rng.choices(WORDS[label], k=4) + rng.choices(COMMON, k=rng.randint(3, 7))
    return " ".join(rng.sample(words, len(words)))


@pytest.fixture(scope="module")
def flipped() -> set[str]:
    return {f"r{row}" for row in random.Random(1).sample(range(ROWS), FLIPPED)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, flipped: set[str]) -> Iterator[Path]:
    """A working folder with a study `s` of rows of which some have another label than their words say."""
    place, rng, names = tmp_path_factory.mktemp("labels"), random.Random(0), sorted(WORDS)
    for file, count in (("train.csv", ROWS), ("test.csv", 60)):
        with (place / file).open("w", newline="") as opened:
            rows = csv.writer(opened)
            rows.writerow(["id", "text", "label"])
            for row in range(count):
                name, label = f"{'r' if file == 'train.csv' else 't'}{row}", names[row % 3]
                given = names[(row + 1) % 3] if name in flipped and file == "train.csv" else label
                rows.writerow([name, text_of(rng, label), given])
    (place / "space.toml").write_text(SPACE)
    make_model(place / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("BENCH_STORE", str(place / "store"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        given = {"space": "space.toml", "models": ["./model"], "max_length": 16, "device": "cpu", "attention": "sdpa"}
        api.search("train.csv", test_file="test.csv", study="s", trials=6, tracking=False, **given)  # type: ignore[arg-type]
        yield place


def test_margins_and_contradictions_are_what_the_paper_says() -> None:
    draw = np.random.default_rng(0)
    probabilities, labels = draw.dirichlet((0.5, 0.5, 0.5, 0.5), 400), draw.integers(0, 4, 400)
    margins = label_margins(labels, probabilities)
    standard = [probabilities[labels == each, each].mean() for each in range(4)]
    for row in range(400):
        own = probabilities[row, labels[row]]
        assert margins[row] == pytest.approx(own - max(np.delete(probabilities[row], labels[row])))
        confident = {each: probabilities[row, each] for each in range(4) if probabilities[row, each] >= standard[each]}
        instead = max(confident, key=lambda each: confident[each]) if confident else labels[row]
        assert contradicted(labels, probabilities)[row] == (instead != labels[row])


def test_flipped_labels_are_found_and_nothing_is_trained_or_read_of_the_test_set(
    folder: Path, flipped: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_: object, **__: object) -> None:
        raise AssertionError("a head was trained")

    monkeypatch.setattr("bench.evaluation.evaluator.fit", trained)
    found = api.suspects("s")
    assert found.rows == ROWS
    first = [each.id for each in found][:FLIPPED]
    assert len(flipped & set(first)) >= FLIPPED - 4, "12 of 240 by chance"
    names = sorted(WORDS)
    for each in found.found[:FLIPPED]:
        if each.id in flipped:
            assert each.instead == names[(names.index(each.label) - 1) % 3]
    margins = [each.margin for each in found]
    assert margins == sorted(margins)
    assert all(each.id.startswith("r") for each in found), "training rows alone"
    assert "texts" not in repr(found)


def test_what_is_to_be_labelled_is_unsure_and_no_two_are_alike(folder: Path) -> None:
    rng = random.Random(2)
    mixed = [f"wheat bank barrel {' '.join(rng.choices(COMMON, k=5))}" for _ in range(15)]
    sure = [text_of(rng, sorted(WORDS)[row % 3]) for row in range(60)]
    with (folder / "train.csv").open() as opened:
        known = next(csv.DictReader(opened))["text"]
    texts = [*sure, *mixed, mixed[0], mixed[0], known, None]
    found = api.label_next("s", texts, rows=10)
    assert (found.rows, found.known, len(found)) == (78, 1, 10)
    chosen = [each.text for each in found]
    assert len(set(chosen)) == 10
    assert known not in chosen
    assert sum(each in mixed for each in chosen) >= 4, "texts that speak of all classes are among the first"
    assert [each.margin for each in found] == sorted(each.margin for each in found)
    assert {each.rows for each in found if each.text == mixed[0]} <= {3}
    again = api.label_next("s", texts, rows=10)
    assert [each.text for each in again] == chosen
    assert len(api.label_next("s", texts[:4], rows=10)) == 4, "as many as there are"
    assert api.label_next("s", [known]).found == ()
    with pytest.raises(BenchError, match="no text"):
        api.label_next("s", [None, " "])


def test_near_duplicates_are_one_cluster() -> None:
    draw = np.random.default_rng(0)
    alike = np.full((30, 4), 5.0) + draw.normal(0, 1e-3, (30, 4))
    others = draw.normal(0, 3, (30, 4))
    sure = np.concatenate([np.full(30, 0.01), np.full(30, 0.3)])
    chosen = _diverse(np.concatenate([alike, others]), sure, 6, 0)
    assert len(chosen) == 6
    assert (chosen < 30).sum() <= 2, "the thirty least sure ones say the same"


def called(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, ["labels", *arguments])
    assert ran.exit_code == 0, f"{ran.output}{ran.exception!r}"
    return ran.stdout


def test_the_command_shows_writes_and_gives_json(folder: Path, flipped: set[str]) -> None:
    out = called("s", "--rows", "3", "--out", "suspects.csv")
    assert "of 240 training rows have a label" in out
    assert "more: --rows" in out
    with (folder / "suspects.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert list(rows[0]) == ["id", "label", "instead", "margin", "probability", "against", "text"]
    told = json.loads(called("s", "--json"))
    assert [each["id"] for each in told["suspects"]] == [row["id"] for row in rows]
    private = json.loads(called("s", "--json", "--no-texts", "--out", "suspects.jsonl"))
    assert {each["text"] for each in private["suspects"]} == {None}
    assert "text" not in json.loads((folder / "suspects.jsonl").read_text().splitlines()[0])
    (folder / "new.txt").write_text("\n".join(["wheat and bank", "crude barrel", "wheat and bank"]) + "\n")
    assert "2 rows have this text" in called("s", "--unlabelled", "new.txt")
    told = json.loads(called("s", "--unlabelled", "new.txt", "--json"))
    assert {each["id"] for each in told["label_next"]} == {"row 1", "row 2"}


def test_no_text_is_in_what_is_said_without_texts(folder: Path) -> None:
    (folder / "private.csv").write_text(f"id,text\n1,{MARKER} wheat bank\n")
    assert MARKER in called("s", "--unlabelled", "private.csv", "--out", "next.csv")
    assert MARKER in (folder / "next.csv").read_text()
    assert MARKER not in called("s", "--unlabelled", "private.csv", "--no-texts", "--out", "next.csv")
    assert MARKER not in (folder / "next.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("s", "--out", "rows.xlsx"), "end in .csv or .jsonl"),
        (("s", "--text-column", "t"), "give --unlabelled too"),
        (("z",), "no study 'z'"),
        (("s", "--unlabelled", "train.csv", "--text-column", "txt"), "did you mean 'text'"),
    ],
)
def test_what_is_refused(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    ran = CliRunner().invoke(cli, ["labels", *arguments])
    assert ran.exit_code == 2 or isinstance(ran.exception, BenchError)
    assert words in f"{ran.output}{ran.exception}"


def test_a_study_that_chose_on_the_test_set_says_nothing_of_labels(folder: Path) -> None:
    given = {"space": "space.toml", "models": ["./model"], "max_length": 16, "device": "cpu", "attention": "sdpa"}
    api.search("train.csv", test_file="test.csv", study="p", trials=2, tracking=False, protocol="paper", **given)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match="predicts no training row out of fold"):
        api.suspects("p")
