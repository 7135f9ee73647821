"""A static student: taught without its fold's labels, scored, priced, shipped and left out as any baseline."""

# ruff: noqa: F811 - fixtures of another file

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from scipy.sparse import csr_matrix
from test_cascades import CASCADING
from test_search import Run, run, store  # noqa: F401

from bench.errors import BenchError
from bench.evaluation import student as student_module
from bench.evaluation.scoring import Scorer
from bench.evaluation.student import Lesson, Student, StudentSettings, Vectors, trained
from bench.gate.check import from_study
from bench.packaging.classifier import Classifier
from bench.packaging.export import export
from bench.progress import Silent
from bench.specs import TextCandidate
from bench.store import Store
from bench.study.baselines import baselines
from bench.study.distilling import distill
from bench.study.journal import read
from bench.study.reopen import reopen
from bench.study.study import Study
from bench.tracking import MlflowTracker, NoTracker


def lesson(labels: np.ndarray, classes: int, texts: tuple[str, ...] = (), width: int = 3) -> Lesson:
    """A teacher that is sure, and words whose vectors follow from their letters."""

    def vectors(words: "list[str]") -> np.ndarray:
        return np.array([np.random.default_rng([*map(ord, word)]).normal(size=width) for word in words]).reshape(
            -1, width
        )

    said = np.eye(classes)[labels] * 0.9 + 0.1 / classes
    return Lesson(said, texts, np.full((len(texts), classes), 1 / classes), vectors)  # type: ignore[arg-type]


@given(st.integers(1, 4), st.integers(3, 30), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_whatever_it_is_taught_it_says_probabilities_and_is_restored(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    texts = [" ".join(f"w{word}" for word in random.integers(0, 20, 5)) + f" c{label}" for label in labels]
    fitted = Student.fit(texts, labels, np.arange(rows), classes, lesson(labels, classes, ("c0 w1 new", "w2")))
    logs = fitted.logs([*texts, "of nothing known"])
    assert logs.dtype == np.float32
    assert np.exp(logs).sum(1) == pytest.approx(1, abs=1e-5)
    again = Student.restored(fitted.description(), fitted.arrays())
    assert np.array_equal(again.logs(texts), fitted.logs(texts))
    assert StudentSettings.model_validate(fitted.description()["settings"]) == fitted.settings


def test_one_number_a_word_is_what_words_and_vectors_say_together() -> None:
    """The gradient vanishes at the folded table, where the penalty is that of both parts (by finite differences)."""
    random = np.random.default_rng(0)
    matrix = csr_matrix(random.random((40, 6)) * (random.random((40, 6)) < 0.5))
    vectors = Vectors(np.array([0, 2, 3]), random.normal(size=(3, 2)))
    targets = random.dirichlet(np.ones(3), 40)
    problem = student_module._Problem(targets, np.ones(40))
    found = trained(matrix, vectors, problem, 0.5)
    # the prior over a term's weight: its own, and what its vector shares with the others
    shared = np.zeros((6, 2))
    shared[vectors.columns] = vectors.values
    prior = np.linalg.inv(np.eye(6) + shared @ shared.T)

    def loss(weights: np.ndarray, bias: np.ndarray) -> float:
        values = matrix @ weights.T + bias
        logs = values - np.log(np.exp(values).sum(1, keepdims=True))
        return float(-(targets * logs).sum() + 0.25 * np.einsum("ci,ij,cj->", weights, prior, weights))

    least = loss(found.weights, found.bias)
    for _ in range(50):
        weights = found.weights + 1e-2 * random.normal(size=(3, 6))
        assert loss(weights, found.bias + 1e-2 * random.normal(size=3)) > least - 1e-6


def test_words_that_no_labelled_text_has_are_known_by_those_that_are_like_them() -> None:
    words = {"good": 1.0, "fine": 1.0, "bad": -1.0, "poor": -1.0}
    texts = ["good film", "bad film"] * 10
    labels = np.array([0, 1] * 10)
    taught = Lesson(
        np.eye(2)[labels],
        ("fine film", "poor film"),
        np.full((2, 2), 0.5),  # the teacher says nothing of them
        lambda asked: np.array([[words.get(word, 0.0)] for word in asked]),
    )
    fitted = Student.fit(texts, labels, np.arange(20), 2, taught)
    assert fitted.settings.vectors
    assert fitted.logs(["fine", "poor"]).argmax(1).tolist() == [0, 1]


# --- in a study

MORE = ("oil prices rose again in the third quarter", "the bank raised its prime rate", "shr cts vs cts net mln")


def taught(home: Path, store: Store, tracker: object = None, **changes: object) -> Study:
    return distill(home, "s", store, tracker or NoTracker(), **changes)  # type: ignore[arg-type]


def test_a_student_stands_beside_the_candidates_and_is_chosen_compared_shipped_and_left_out(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.packaging.timing.SECONDS", 0.2)
    tracker = MlflowTracker(tmp_path)
    before = run(tracker, trials=3, space=CASCADING)
    study = taught(tmp_path, store, tracker)
    assert study.trials == before.trials, "nothing more was tried"
    (entry,) = [each for each in study.baselines if each.name == "student"]
    assert entry.taught
    best = max(study.journal.of("complete"), key=lambda each: each.metrics["f1_floor"])
    assert entry.candidate == TextCandidate(classifier="student", teacher=best.candidate)
    assert entry.latency_ms is not None
    assert entry.latency_ms < 5
    assert entry.confirmed.f1.mean > next(each for each in study.baselines if each.name == "majority").confirmed.f1.mean
    client = MlflowClient(tracker.store.address)
    assert client.get_run(entry.run_id).data.tags["bench.kind"] == "student"

    again = reopen(tmp_path, "s", store)
    assert [each.name for each in again.baselines] == [each.name for each in study.baselines]
    chosen = again.choose("student")
    made = export(again, chosen, tmp_path / "out", chosen="student").pipeline
    assert made.models == ()
    assert made.agreement is not None
    assert made.agreement.same == made.agreement.rows
    texts = list(again.material.dataset.test.texts)
    classifier = Classifier.open(tmp_path / "out" / "artifacts" / "pipeline", store.home)
    assert classifier.predict(texts).labels == [
        again.material.dataset.labels[each] for each in entry.confirmed.repetitions[0].predicted
    ]
    pinned = from_study(tmp_path, "s", ["student"])
    assert pinned.candidates == (entry.candidate,)
    assert pinned.poolings == tuple(dict.fromkeys(source.pooling for source in best.candidate.sources))

    # a search that goes on keeps it, and does not teach it again
    fitted = Scorer.fitted
    monkeypatch.setattr(Scorer, "fitted", lambda *_: pytest.fail("nothing is fitted"))
    went_on = run(tracker, trials=3, space=CASCADING)
    assert went_on.choose("student").metrics == chosen.metrics
    monkeypatch.setattr(Scorer, "fitted", fitted)

    more = taught(tmp_path, store, tracker, texts=[*MORE, None, texts[0]], trial=str(best.number))
    (now,) = [each for each in more.baselines if each.name == "student"]
    assert isinstance(now.candidate, TextCandidate)
    assert now.candidate.unlabelled is not None
    assert more.material.unlabelled(now.candidate.unlabelled) == list(MORE), "no row of the data set is among them"
    with pytest.raises(BenchError, match="texts without labels, which a check does not have"):
        from_study(tmp_path, "s", ["student"])

    monkeypatch.setattr(Student, "revision", Student.revision + 1)
    warned: list[str] = []
    monkeypatch.setattr(Silent, "warn", lambda _, words: warned.append(words))
    old = reopen(tmp_path, "s", store)
    assert "student" not in {each.name for each in (*old.front, *old.baselines)}
    command = f"`bench distill s` with `trial={best.number}` and the file of `unlabelled` texts"
    assert any("Left out: student" in words and command in words for words in warned)
    run(trials=3, space=CASCADING)
    assert baselines(read(tmp_path, "s")).by_name.get("student") is None, "a search teaches none"  # type: ignore[union-attr]
    taught(tmp_path, store)
    assert reopen(tmp_path, "s", store).choose("student").revision == Student.revision + best.candidate.head.revision  # type: ignore[union-attr]


def test_no_label_of_a_fold_reaches_what_is_said_of_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not through the teacher: with other labels in a fold, the student says the same of it, bit for bit."""
    study = run(trials=2)
    teacher = study.journal.of("complete")[0].candidate
    (ask, *_) = study.scorer.asks(TextCandidate(classifier="student", teacher=teacher), "search")
    ask = ask.of_folds((0,))
    evaluator = study.scorer.evaluator
    rows = evaluator.predicted(ask)
    said = evaluator._compute([ask])[0].scores
    labels = evaluator.train.labels.copy()
    evaluator.train.labels[rows] = np.roll(labels[rows], 1)  # the folds were cut before
    try:
        assert (evaluator.train.labels != labels).any()
        assert np.array_equal(evaluator._compute([ask])[0].scores, said)
    finally:
        evaluator.train.labels[:] = labels


@pytest.mark.parametrize(("trial", "words"), [("tfidf", "give `trial` a number"), ("99", "is no scored trial")])
def test_who_cannot_teach_is_told(run: Run, store: Store, tmp_path: Path, trial: str, words: str) -> None:
    run(trials=2)
    with pytest.raises(BenchError, match=words):
        taught(tmp_path, store, trial=trial)
