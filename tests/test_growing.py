"""A file of rows that grows: every row keeps its side, and a study opens with what came since."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.datasets.columns import Rows
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.datasets.sides import Sides, place
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.study import placing

COLUMNS = ["id", "text", "label", "author"]


def frame(rows: int, start: int = 0, authors: int | None = None) -> pd.DataFrame:
    """Texts that differ, of two classes; an author writes several."""
    numbers = range(start, start + rows)
    by = [f"author {number % authors}" if authors else "" for number in numbers]
    return pd.DataFrame(
        {
            "id": [f"r{number}" for number in numbers],
            "text": [f"text number {number}" for number in numbers],
            "label": ["yes" if number % 3 else "no" for number in numbers],
            "author": by,
        }
    )


def asked(file: Path, **settings: object) -> DatasetRequest:
    return DatasetRequest.model_validate({"name": str(file), **settings})


def test_rows_keep_their_sides_and_their_order_when_rows_are_added_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    frame(100).to_csv(file, index=False)
    first = load(asked(file))
    assert first.grown is None
    mixed = pd.concat([frame(100), frame(400, start=100)]).sample(frac=1, random_state=0)
    mixed.to_csv(file, index=False)
    again = load(asked(file), placed=first.sides)
    assert again.train.texts == first.train.texts
    assert again.test.texts[: len(first.test)] == first.test.texts
    assert again.fingerprint == first.fingerprint, "it is still the same study"
    assert again.train.fingerprint == first.train.fingerprint
    assert again.grown is not None
    added = again.grown.rows["test"] / 400
    assert 0.15 < added < 0.25, "a fifth of what came since"
    every = again.whole
    assert every.train.texts[: len(first.train)] == first.train.texts
    assert len(every.train) + len(every.test) == 500
    assert not set(every.train.texts) & set(every.test.texts)
    # a row that came is placed by itself: neither order nor what comes after it matters
    frame(350).sample(frac=1, random_state=1).to_csv(file, index=False)
    part = load(asked(file), placed=first.sides)
    assert set(part.test.texts) == {text for text in again.test.texts if int(text.split()[-1]) < 350}


def test_a_later_row_goes_with_its_group(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    frame(60, authors=40).to_csv(file, index=False)
    first = load(asked(file, group_column="author"))
    frame(300, authors=40).to_csv(file, index=False)
    again = load(asked(file, group_column="author"), placed=first.sides).whole
    author = dict(zip(frame(300, authors=40).text, frame(300, authors=40).author, strict=True))
    assert not {author[text] for text in again.train.texts} & {author[text] for text in again.test.texts}
    assert len(again.test) > len(first.test)
    assert len(np.unique(again.train.groups)) == len({author[text] for text in again.train.texts})


def test_a_reduced_side_stays_as_large_as_was_asked_for_and_rare_classes_what_they_were(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    frame(100).to_csv(file, index=False)
    request = asked(file, max_train=30)
    first = load(request)
    assert load(request, placed=first.sides).grown is None, "what was left out is not what came since"
    frame(200).to_csv(file, index=False)
    again = load(request, placed=first.sides)
    assert again.whole.train.texts == first.train.texts
    assert len(again.test) > len(first.test)

    rare = pd.concat([frame(100), frame(3, start=100).assign(label="rare")])
    rare.to_csv(file, index=False)
    request = asked(file, min_class_rows=10, rare="merge")
    first = load(request)
    pd.concat([rare, frame(60, start=200).assign(label="rare")]).to_csv(file, index=False)
    again = load(request, placed=first.sides)
    assert again.labels == first.labels
    assert again.fingerprint == first.fingerprint
    assert len(again.whole.train) > len(first.train)


def test_a_class_that_training_has_not_is_left_out_of_later_training(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    frame(50).to_csv(file, index=False)
    first = load(asked(file))
    pd.concat([frame(50), frame(40, start=50).assign(label="new")]).to_csv(file, index=False)
    again = load(asked(file), placed=first.sides)
    assert again.labels == first.labels
    assert again.whole.train.texts == first.train.texts
    assert again.test_only_labels == ("new",)
    assert any("left out, of 1 class that the first split had not: 'new'" in each for each in again.warnings)


def test_a_row_that_is_gone_is_said_and_the_study_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    frame(50).to_csv(file, index=False)
    first = load(asked(file))
    kept = frame(50)
    kept.loc[7, "text"] = "another text"
    kept.drop(index=[8]).to_csv(file, index=False)
    again = load(asked(file), placed=first.sides)
    assert again.grown is not None
    assert sum(map(len, again.grown.gone.values())) == 2
    with pytest.raises(BenchError, match="lacks 2 rows that the study has searched"):
        placing.tell(again, Silent())


class Silent:
    def say(self, line: str) -> None:
        """Nothing."""


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30), st.integers(0, 100))
def test_every_row_is_placed_once_whatever_repeats(texts: list[str], seed: int) -> None:
    rows = Rows([str(n) for n in range(len(texts))], texts, ["x"] * len(texts), [None] * len(texts))
    cut = seed % (len(texts) + 1)
    sides = Sides.of({"train": rows.take(range(cut)), "test": rows.take(range(cut, len(texts)))})
    assert sides is not None
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    placed = place({"train": rows.take(order)}, sides)
    assert placed.known["train"].texts == texts[:cut]
    assert placed.known["test"].texts == texts[cut:]
    assert not placed.differs


def test_who_selects_on_the_test_set_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    frame(60).to_csv(file, index=False)
    first = load(asked(file))
    kept: dict[str, object] = {}

    class Notes:
        def note(self, name: str) -> object:
            return kept.get(name)

        def keep(self, name: str, value: object) -> None:
            kept[name] = value

    placing.keep(Notes(), first, Protocol(name="paper"))  # type: ignore[arg-type]
    frame(200).to_csv(file, index=False)
    again = load(asked(file), placed=placing.placed(kept[placing.NOTE]))
    assert again.test.texts == first.test.texts
    assert len(again.whole.train) > len(first.train)
