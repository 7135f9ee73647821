"""Labelled rows held against a package: scores, what changed, and whether rows drifted."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli.main import cli
from bench.datasets.columns import Columns, Rows
from bench.datasets.tables import Hints
from bench.errors import BenchError
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.rule import LIKELIEST, Rule
from bench.evaluation.sureness import Errors, Sureness, Threshold
from bench.metrics import Interval, binned, difference_of, edges_of, holm, shift
from bench.packaging.classifier import Predicted
from bench.packaging.drift import LEVEL, MATTERS
from bench.packaging.evaluated import Evaluated, evaluate, labelled
from bench.packaging.pipeline import PackagedPipeline
from bench.packaging.remembered import Distribution, Remembered
from bench.progress import SILENT
from bench.specs import Candidate, Source
from bench.tasks import TASKS

LABELS = ("cat", "dog")


def reference(random: np.random.Generator, rows: int = 400) -> Remembered:
    """Of a package that is right about nine rows in ten."""
    return Remembered(
        rows=rows,
        scores={"f1": Interval(0.9, 0.87, 0.93), "accuracy": Interval(0.9, 0.87, 0.93)},
        by_class=(Interval(0.9, 0.85, 0.94), Interval(0.9, 0.85, 0.94)),
        confusion=((180, 20), (20, 180)),
        classes=(500, 500),
        inputs={
            "characters": Distribution.of(random.integers(20, 60, 1000)),
            "distance": Distribution.of(random.gamma(4, 0.25, 1000)),
        },
        confidence=Distribution.of(random.uniform(0.5, 1, rows)),
    )


def package(made: Remembered | None) -> PackagedPipeline:
    return PackagedPipeline(
        bench="0",
        study="s",
        trial=1,
        chosen="knee",
        candidate=Candidate(sources=(Source(model="m", layer=0, pooling="mean"),)),
        labels=LABELS,
        dataset="d",
        dataset_fingerprint="0",
        rows=1000,
        seed=0,
        strip=False,
        remote_code=False,
        models=(),
        search={},
        test={},
        remembered=made,
    )


@dataclass
class Told:
    """A classifier whose answers stand in the texts: `LABEL CONFIDENCE DISTANCE padding`."""

    pipeline: PackagedPipeline
    rule: Rule = LIKELIEST
    task = TASKS["classification"]

    def predict(self, texts: list[str]) -> Predicted:
        parts = [text.split(maxsplit=3) for text in texts]
        sure = np.array([float(part[1]) for part in parts], dtype=np.float32)
        first = np.array([part[0] == LABELS[0] for part in parts])
        scores = np.where(first[:, None], np.column_stack([sure, 1 - sure]), np.column_stack([1 - sure, sure]))
        labels = [LABELS[place] for place in scores.argmax(1)]
        far = np.array([float(part[2]) for part in parts], dtype=np.float32)
        return Predicted(labels, scores.astype(np.float32), np.zeros(len(texts), dtype=np.int64), far)


def rows_of(random: np.random.Generator, rows: int, right: float = 0.9, longer: int = 0) -> Rows:
    labels = random.choice(LABELS, rows)
    hit = random.random(rows) < right
    said = [label if yes else LABELS[1 - LABELS.index(label)] for label, yes in zip(labels, hit, strict=True)]
    texts = []
    for answer, sure, far in zip(said, random.uniform(0.5, 1, rows), random.gamma(4, 0.25, rows), strict=True):
        start = f"{answer} {sure:.4f} {far:.4f} "
        texts.append(start + "x" * (int(random.integers(20, 60)) - len(start) + longer))
    return Rows([str(row) for row in range(rows)], texts, labels.tolist(), [None] * rows)


def evaluated(made: Remembered | None, rows: Rows, **least: float) -> Evaluated:
    return evaluate(Told(package(made)), rows, "new.csv", least, SILENT)  # type: ignore[arg-type]


def test_scores_are_those_of_the_rows_and_changes_are_beside_the_test_set() -> None:
    from sklearn.metrics import confusion_matrix, f1_score

    random = np.random.default_rng(0)
    rows = rows_of(random, 300, right=0.7)
    found = evaluated(reference(random), rows)
    said = [text.split()[0] for text in rows.texts]
    assert found.scores["f1"].value == pytest.approx(f1_score(rows.labels, said, average="macro"))
    assert found.confusion.tolist() == confusion_matrix(rows.labels, said, labels=LABELS).tolist()
    by_class = f1_score(rows.labels, said, average=None, labels=LABELS)
    assert [each.f1.value for each in found.classes] == pytest.approx(by_class.tolist())
    assert [each.rows for each in found.classes] == [rows.labels.count(label) for label in LABELS]
    change = found.changes["accuracy"]
    assert change.value == pytest.approx(found.scores["accuracy"].value - 0.9)
    assert change.high < 0, "a fall of a fifth is seen on 300 rows"
    assert json.loads(json.dumps(found.to_json()))["changes"]["accuracy"]["value"] == change.value


def test_what_is_not_sure_is_rejected_and_what_is_asked_is_of_the_rest() -> None:
    random = np.random.default_rng(3)
    rows = rows_of(random, 400)
    made = package(None)
    found = evaluate(Told(made, Rule(0.8)), rows, "new.csv", {"accuracy": 0.5}, SILENT)  # type: ignore[arg-type]
    sure = np.array([float(text.split()[1]) for text in rows.texts], dtype=np.float32) >= 0.8
    right = np.array([text.split()[0] == label for text, label in zip(rows.texts, rows.labels, strict=True)])
    answered = found.answered
    assert answered is not None
    assert answered.rows == sure.sum()
    assert answered.scores["accuracy"].value == pytest.approx(right[sure].mean())
    assert answered.rejected_right == pytest.approx(right[~sure].mean())
    assert sum(answered.by_class.values()) == (~sure).sum()
    assert found.scores["accuracy"].value == pytest.approx(right.mean()), "those of all rows stay"
    assert found.passed
    high = {"accuracy": float(right[sure].mean()) + 0.01}
    assert not evaluate(Told(made, Rule(0.8)), rows, "new.csv", high, SILENT).passed  # type: ignore[arg-type]
    none = evaluate(Told(made, Rule(1.0)), rows, "new.csv", {"f1": 0.1}, SILENT)  # type: ignore[arg-type]
    assert none.missed == ("no row is answered",)
    assert json.loads(json.dumps(found.to_json()))["answered"]["rows"] == answered.rows


def test_a_package_answers_at_its_temperature_and_its_thresholds_are_tried_on_the_rows() -> None:
    """The answers' confidence is uniform from .5 to 1 and nine in ten are right: colder is nearer."""
    random = np.random.default_rng(4)
    rows = rows_of(random, 2000)
    wanted = Threshold(
        wanted=0.95,
        probability=0.9,
        coverage=0.5,
        accuracy=0.95,
        test_coverage=0.4,
        test_accuracy=0.94,
        low=0.9,
        high=1,
    )
    errors = {"out of fold": Errors(before=0.2, after=0.1), "test": Errors(before=0.2, after=0.1)}
    known = Sureness(temperature=0.5, errors=errors, accuracy={"test": 0.9}, areas={"test": 0.1}, thresholds=(wanted,))
    made = package(None).model_copy(update={"sureness": known})
    found = evaluate(Told(made), rows, "new.csv", {}, SILENT)  # type: ignore[arg-type]
    assert found.sure is not None
    assert found.sure.errors.after < found.sure.errors.before
    odds = [float(text.split()[1]) for text in rows.texts]
    sure = np.array([p**2 / (p**2 + (1 - p) ** 2) for p in odds])
    (tried,) = found.sure.thresholds
    assert tried.coverage == pytest.approx((sure >= 0.9).mean(), abs=1e-3)
    assert tried.low is not None
    plain = evaluate(Told(package(None)), rows, "new.csv", {}, SILENT)  # type: ignore[arg-type]
    assert plain.sure is not None
    assert (plain.sure.thresholds, plain.sure.errors.before) == ((), found.sure.errors.before)
    assert plain.scores == found.scores, "no label changes"


def test_costs_of_mistakes_stand_beside_the_scores(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    rows = rows_of(random, 500)
    (tmp_path / "costs.csv").write_text("label,cat,dog\ncat,0,1\ndog,9,0\n")
    costs = MistakeCosts.read(tmp_path / "costs.csv", LABELS)
    found = evaluate(Told(package(None), Rule(costs=costs)), rows, "new.csv", {}, SILENT).answered  # type: ignore[arg-type]
    assert found is not None
    assert found.cost is not None
    assert found.cost_likeliest is not None
    assert found.rows == 500
    wrong = {
        label: sum(text.split()[0] != label == given for text, given in zip(rows.texts, rows.labels, strict=True))
        for label in LABELS
    }
    assert found.cost_likeliest.value == pytest.approx((wrong["cat"] + 9 * wrong["dog"]) / 500)
    assert found.changed > 0
    assert found.cost.low <= found.cost.value <= found.cost.high


def test_what_is_asked_decides_and_says_where_the_rows_are_too_few_to_tell() -> None:
    random = np.random.default_rng(1)
    rows = rows_of(random, 60)
    value = evaluated(None, rows).scores["accuracy"].value
    assert evaluated(None, rows, accuracy=value).passed
    near = evaluated(None, rows, accuracy=value + 0.01)
    assert not near.passed
    assert "60 rows do not rule" in near.missed[0]
    beyond = evaluated(None, rows_of(random, 400, right=0.6), accuracy=0.9)
    assert "rule" not in beyond.missed[0]


def test_drift_is_seen_where_there_is_some_and_rarely_where_there_is_none() -> None:
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(150):
        found = evaluated(reference(random), rows_of(random, 150))
        alarms += any(each.shifted for each in found.drift)
    assert alarms <= 5, f"at a level of {LEVEL}"
    drift = {each.name: each for each in evaluated(reference(random), rows_of(random, 150, longer=15)).drift}
    assert drift["characters"].shifted
    assert not drift["distance"].shifted
    assert not drift["confidence"].shifted
    assert sum(drift["characters"].now) == pytest.approx(1)


def test_a_shift_is_of_shares_and_not_of_row_counts() -> None:
    assert shift((10, 20, 30), (100, 200, 300)).p > 0.9
    assert abs(shift((10, 20, 30), (100, 200, 300)).index) < 0.01
    assert shift((100, 0), (0, 100)).index > 1
    assert shift((5,), (7,)).p == 1
    edges = edges_of([1, 1, 1, 1, 2])
    assert binned([0, 1, 2, 3], edges) == tuple(binned([0, 1, 2, 3], edges))
    assert sum(binned([0, 1, 2, 3], edges)) == 4
    corrected = holm([shift((50, 50), (10, 90)).p])
    assert corrected[0] < LEVEL
    assert shift((50, 50), (10, 90)).index > MATTERS


def test_the_interval_of_a_difference_covers_it() -> None:
    """Of two shares of independent rows, each of whose own intervals is exact."""
    from scipy.stats import binomtest

    def share(hits: int, rows: int) -> Interval:
        bounds = binomtest(hits, rows).proportion_ci(method="wilson")
        return Interval(hits / rows, bounds.low, bounds.high)

    random = np.random.default_rng(3)
    covered = 0
    for now, before in zip(random.binomial(80, 0.9, 400), random.binomial(150, 0.95, 400), strict=True):
        found = difference_of(share(now, 80), share(before, 150))
        covered += found.low <= -0.05 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_unknown_labels_are_named_and_a_file_of_other_classes_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    rows = rows_of(random, 40)
    labels = ["cow", *rows.labels[1:]]
    labels[1] = "cat\u200b" if labels[1] == "cat" else "dog\u200b"
    found = evaluated(None, Rows(rows.ids, rows.texts, labels, rows.groups))
    assert found.labels == ("cat", "dog", "cow")
    assert any("1 row with a label that the package does not know: cow" in note for note in found.notes)
    assert any("earlier bench" in note for note in found.notes)
    assert found.drift == () == tuple(found.changes)
    with pytest.raises(BenchError, match="No test row has a label that training knows"):
        evaluated(None, Rows(rows.ids, rows.texts, ["0"] * 40, rows.groups))
    file = tmp_path / "rows.csv"
    file.write_text("text,label\na text,\n")
    with pytest.raises(BenchError, match="label is missing"):
        labelled(file, Columns(), Hints())


def test_options_are_checked_before_a_model_is_opened(tmp_path: Path) -> None:
    ran: Any = CliRunner().invoke(cli, ["evaluate", "--model", "nowhere", "rows.csv", "--min-f1", "90"])
    assert ran.exit_code == 2
    assert "0<=x<=1" in ran.output


def test_rows_of_a_group_count_together() -> None:
    random = np.random.default_rng(5)
    rows = rows_of(random, 400, right=0.8)
    alone = evaluated(reference(random), rows)
    # ten rows a group, right or wrong together
    single = rows_of(random, 40, right=0.8)
    ten = Rows(
        [str(row) for row in range(400)],
        [f"{text}{copy}" for text in single.texts for copy in range(10)],
        [label for label in single.labels for _ in range(10)],
        [name for name in single.ids for _ in range(10)],
    )
    together = evaluated(reference(random), ten)
    wide, narrow = (each.scores["accuracy"].high - each.scores["accuracy"].low for each in (together, alone))
    assert wide > 2 * narrow
    assert not any(each.shifted for each in together.drift), "forty texts, and not four hundred"


def test_rare_classes_are_what_the_search_made_of_them() -> None:
    random = np.random.default_rng(6)
    rows = rows_of(random, 60)
    rows = Rows(rows.ids, rows.texts, ["kitten", "cow", *rows.labels[2:]], rows.groups)
    made = reference(random).model_copy(update={"rare": {"kitten": "cat", "cow": None}})
    found = evaluated(made, rows)
    assert found.labels == LABELS
    assert found.rows == 59
    assert any("left out as rare" in note for note in found.notes)
