"""What mistakes cost: tables as people write them, and the answers that they make cheapest."""

from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError
from bench.evaluation.mistakes import REJECTED, MistakeCosts
from bench.evaluation.rule import Rule
from bench.measures import Predictions

LABELS = ("ham", "spam", "virus")
TABLE = "label,ham,spam,virus\nham,0,5,5\nspam,1,0,0.5\nvirus,20,8,0\n"


def read(folder: Path, text: str, name: str = "costs.csv", **given: tuple[str, ...]) -> MistakeCosts:
    (folder / name).write_text(text)
    return MistakeCosts.read(folder / name, LABELS, **given)


def test_the_answer_is_that_of_least_expected_cost(tmp_path: Path) -> None:
    costs = read(tmp_path, TABLE)
    said = np.random.default_rng(0).dirichlet((1, 1, 1), 200)
    expected = [
        [sum(row[true] * costs.table[true, answer] for true in range(3)) for answer in range(3)] for row in said
    ]
    assert costs.decide(said).tolist() == np.argmin(expected, axis=1).tolist()
    assert costs.decide(np.array([[0.6, 0.1, 0.3]])).tolist() == [2], "a likely ham may be a dear virus"
    assert not costs.rejects


def test_alike_mistakes_leave_the_likeliest_label(tmp_path: Path) -> None:
    costs = read(tmp_path, "label,ham,spam,virus\nham,0,1,1\nspam,1,0,1\nvirus,1,1,0\n")
    said = np.random.default_rng(1).dirichlet((1, 1, 1), 100)
    assert costs.decide(said).tolist() == said.argmax(1).tolist()


def test_rejecting_has_a_price_and_is_chosen_where_it_is_the_least(tmp_path: Path) -> None:
    """With alike mistakes that is below 1 − price: Chow's rule."""
    costs = read(tmp_path, "label,ham,spam,virus,reject\nham,0,1,1,.3\nspam,1,0,1,.3\nvirus,1,1,0,.3\n")
    said = np.random.default_rng(2).dirichlet((1, 1, 1), 300)
    decided = costs.decide(said)
    assert ((decided == REJECTED) == (said.max(1) < 0.7)).all()
    assert (decided[decided != REJECTED] == said.argmax(1)[decided != REJECTED]).all()
    assert costs.of(np.array([0, 1]), np.array([REJECTED, 0])).tolist() == [0.3, 1]
    assert Rule(costs=costs).rejects
    with pytest.raises(BenchError, match="leave out `reject_below`"):
        Rule(0.5, costs)


def test_rows_and_columns_stand_in_any_order_and_a_measure_follows(tmp_path: Path) -> None:
    costs = read(tmp_path, "virus,label,spam,ham\n0,virus,8,20\n5,ham,5,0\n.5,spam,0,1\n")
    assert costs.table.tolist() == read(tmp_path, TABLE).table.tolist()
    said = np.log(np.array([[0.98, 0.01, 0.01], [0.1, 0.1, 0.8]]))
    predictions = Predictions(np.array([1, 0]), np.array([0, 2]), LABELS, said)
    assert costs.measure.compute(predictions) == pytest.approx((1 + 5) / 2)
    bare = Predictions(np.array([1, 0]), np.array([0, 2]), LABELS)
    assert costs.measure.compute(bare) == pytest.approx(3), "as it was predicted, where nothing is probable"


def test_a_label_of_the_test_rows_alone_may_have_a_row_and_is_no_answer(tmp_path: Path) -> None:
    known = read(tmp_path, TABLE + "worm,9,9,9\n", unseen=("worm",))
    assert known.of(np.array([3]), np.array([0])).tolist() == [9]
    unknown = read(tmp_path, TABLE, unseen=("worm",))
    predictions = Predictions(np.array([0, 3]), np.array([1, 1]), (*LABELS, "worm"))
    assert unknown.measure.compute(predictions) == 5, "what is not known has no part in the mean"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label,ham,spam\nham,0,1\nspam,1,0\nvirus,1,1\n", r"no column for 'virus'"),
        ("label,ham,spam,virus\nham,0,1,1\nspam,1,0,1\n", r"no row for 'virus'"),
        (TABLE.replace("spam,1", "spamm,1"), r"line 3: 'spamm' is no label: did you mean 'spam'\?"),
        (
            TABLE.replace("label,ham,spam", "label,ham,smap"),
            r"column 'smap': 'smap' is no label: did you mean 'spam'\?",
        ),
        (TABLE + "ham,0,5,5\n", r"two rows 'ham'"),
        (TABLE.replace("20", "much"), r"line 4: column 'ham' holds 'much'"),
        (TABLE.replace("20", "inf"), r"line 4: column 'ham' holds 'inf'"),
        (TABLE.replace("label,", "true,"), r"no column 'label'"),
    ],
)
def test_what_is_no_table_of_costs_is_refused_with_the_nearest(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=words):
        read(tmp_path, text)


def test_a_table_as_values_is_the_same_table(tmp_path: Path) -> None:
    rejecting = TABLE.replace("virus\n", "virus,reject\n", 1)
    rejecting = "\n".join(f"{line},.5" if place else line for place, line in enumerate(rejecting.splitlines()))
    for text in (TABLE, rejecting):
        known = read(tmp_path, text)
        again = MistakeCosts.of_values(known.values, LABELS)
        assert (again.table.tolist(), again.rejects) == (known.table.tolist(), known.rejects)
    for wrong, words in (
        ({"ham": {"ham": 0}}, "no column for 'spam', 'virus'"),
        ({**known.values, "spam": {"ham": 1}}, "column 'spam' holds None"),
        ({**known.values, "spam": 3}, "'spam' has none"),
    ):
        with pytest.raises(BenchError, match=words):
            MistakeCosts.of_values(wrong, LABELS)


def test_rows_of_labels_that_nobody_knows_have_no_cost(tmp_path: Path) -> None:
    assert np.isnan(read(tmp_path, TABLE).of(np.array([3]), np.array([0]))).all()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="There is no file"):
        MistakeCosts.read(tmp_path / "gone.csv", LABELS)


def test_a_class_may_be_called_reject(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("label,accept,reject\naccept,0,2\nreject,3,0\n")
    costs = MistakeCosts.read(tmp_path / "c.csv", ("accept", "reject"))
    assert not costs.rejects
    assert costs.decide(np.array([[0.5, 0.5]])).tolist() == [1]
