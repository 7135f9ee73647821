"""Baselines that are candidates as any other: tuned, priced, on the front, chosen by name, shipped and pinned."""

# ruff: noqa: F811 - fixtures of another file

import csv
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from test_cascades import CASCADING
from test_evaluation import scorer
from test_search import Run, run, store  # noqa: F401

from bench.comparison import compare, find
from bench.cost import text_key
from bench.datasets.load import DatasetRequest, load
from bench.errors import BenchError
from bench.evaluation import tfidf, tuning, words
from bench.evaluation.baselines import tfidf_logistic
from bench.evaluation.protocol import Fold, Protocol
from bench.evaluation.tfidf import Tfidf, TfidfSettings
from bench.gate.baseline import read as read_baseline
from bench.gate.baseline import write
from bench.gate.check import check, from_study, measured
from bench.gate.update import update
from bench.metrics import log_loss
from bench.packaging.export import export
from bench.packaging.pipeline import read as read_package
from bench.progress import Silent
from bench.specs import TextCandidate
from bench.store import Store
from bench.study import outside
from bench.study.baselines import baselines
from bench.study.bundle import pack, verify
from bench.study.cascades import chosen, keep
from bench.study.keeping import look
from bench.study.reopen import reopen
from bench.study.study import Study
from bench.tracking import MlflowTracker

TFIDF = TextCandidate(classifier="tfidf")


def test_tuned_tfidf_is_what_a_linear_svm_can_do_on_few_rows_and_takes_seconds(tmp_path: Path) -> None:
    """A reviewer's own tuned SVM had .81 to .85 and .95 there, and TF-IDF untuned .55 and .88."""
    found = scorer(tmp_path, load(DatasetRequest(name="r8", max_train=600, max_test=600)), Protocol(confirm=1))
    started = time.process_time()
    tuned = found.scored(TFIDF, "confirm")
    assert time.process_time() - started < 20
    assert tuned.f1.mean > 0.8
    assert tuned.accuracy.mean > 0.94
    assert tuned.f1.mean > found.scored("tfidf-logistic", "confirm").f1.mean + 0.1
    (repetition,) = tuned.repetitions
    logs = repetition.predictions.log_probabilities
    assert logs is not None
    assert log_loss(repetition.predictions.truth, logs.astype(np.float64)) < 0.3


def grouped(groups: int, rows: int, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts of groups, each with a word of its own and a label of its own that no other word tells."""
    random = np.random.default_rng(seed)
    number = np.repeat(np.arange(groups), rows)
    texts = [f"own{group} " + " ".join(f"w{word}" for word in random.integers(0, 50, 6)) for group in number]
    return texts, random.integers(0, 2, groups)[number], number


def test_rows_of_a_group_stay_together_while_it_is_tuned() -> None:
    """Held apart, each group's own word would look like knowledge, and new groups be answered far too surely."""
    texts, labels, groups = grouped(60, 10)
    new, truth, _ = grouped(60, 10, seed=1)
    losses = []
    for told in (groups, np.arange(len(texts))):
        logs = Tfidf.fit(texts, labels, told, 2).logs([text.replace("own", "new") for text in new])
        losses.append(log_loss(truth, logs.astype(np.float64)))
    assert losses[0] < 0.75 < losses[1]


@given(st.integers(1, 4), st.integers(3, 30), st.integers(0, 99))
@settings(max_examples=25)
def test_whatever_it_is_trained_on_it_says_probabilities_and_is_restored(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    texts = [" ".join(f"w{word}" for word in random.integers(0, 20, 5)) + f" c{label}" for label in labels]
    fitted = Tfidf.fit(texts, labels, np.arange(rows), classes + 1)
    logs = fitted.logs([*texts, "of nothing known"])
    assert logs.dtype == np.float32
    assert np.exp(logs).sum(1) == pytest.approx(1, abs=1e-5)
    absent = np.setdiff1d(np.arange(classes + 1), labels)
    assert (logs[:, absent] == -np.inf).all(), "a class without training rows is out of the question"
    again = Tfidf.restored(fitted.description(), fitted.arrays())
    assert np.array_equal(again.logs(texts), fitted.logs(texts))
    assert TfidfSettings.model_validate(fitted.description()["settings"]) == fitted.settings


def test_folds_take_from_texts_read_once_what_a_vectorizer_of_their_own_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in random.zipf(1.3, 12) % 90) + " !" for _ in range(120)]
    parts = [Fold(np.arange(0, 80), np.arange(80, 120)), Fold(np.arange(40, 120), np.arange(0, 40))]
    for most, rare in ((100_000, 2_000), (50, 2_000), (100_000, 10)):
        for module in (tuning, words):
            monkeypatch.setattr(module, "MOST_TERMS", most)
        monkeypatch.setattr(words, "MANY", rare)
        found = tuning.counted(texts, parts)
        for pairs, part, each in ((p, *each) for p in found for each in zip(parts, found[p], strict=True)):
            vectorizer = words.vectorizer(pairs, len(part.train))
            expected = vectorizer.fit_transform([texts[row] for row in part.train])
            if most == 50:  # which of equally frequent terms are left out is open
                assert each.seen.shape == expected.shape
                continue
            assert abs(each.seen - expected).max() < 1e-12
            assert abs(each.unseen - vectorizer.transform([texts[row] for row in part.predict])).max() < 1e-12


def test_fits_side_by_side_are_those_of_one_after_the_other() -> None:
    """liblinear's random generator is one of the process."""
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in random.zipf(1.3, 20) % 900) for _ in range(400)]
    labels = random.integers(0, 4, len(texts))

    def fitted(_: int) -> np.ndarray:
        own = tfidf._trained(matrix, labels, TfidfSettings(loss="logistic", c=10.0), 4)[0] @ matrix.T.toarray()
        return np.concatenate([own.T, tfidf_logistic(texts, labels, texts, 4).scores], axis=1)

    matrix = words.vectorizer(pairs=True, rows=len(texts)).fit_transform(texts)
    alone = fitted(0)
    with ThreadPoolExecutor(2) as pool:
        for each in pool.map(fitted, range(8)):
            assert np.array_equal(each, alone)


def test_texts_of_classes_that_cannot_be_held_out_have_the_usual_settings() -> None:
    """Each class is one group: without it, nothing could be learnt of the class."""
    labels = np.repeat([0, 1], 6)
    fitted = Tfidf.fit([f"w{label} x" for label in labels], labels, labels, 2)
    assert fitted.settings == TfidfSettings()
    assert (fitted.logs(["w0", "w1"]).argmax(1) == [0, 1]).all()


def test_settings_are_tried_uphill(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most eight of the full grid's 24: a small C only where a large one is no better."""
    tried: set[TfidfSettings] = set()
    trained = tfidf._trained

    def counted(matrix: Any, labels: np.ndarray, settings: TfidfSettings, *rest: Any) -> Any:
        tried.add(settings)
        return trained(matrix, labels, settings, *rest)

    monkeypatch.setattr(tfidf, "_trained", counted)
    texts, labels, groups = grouped(60, 3)
    Tfidf.fit(texts, labels, groups, 2)
    assert 6 <= len(tried) <= 8


def test_of_equally_good_settings_those_of_the_middle_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(matrix: Any, labels: np.ndarray, settings: TfidfSettings, *rest: Any) -> Any:
        """Held-out rows say whether it is logistic regression at 10 or 100."""
        return np.zeros((2, matrix.shape[1])), np.full(2, float(settings.loss == "logistic" and settings.c >= 10))

    monkeypatch.setattr(tfidf, "_trained", trained)
    monkeypatch.setattr(tfidf, "worth_of", lambda held: held.values[0, 0])
    settings, _ = tfidf.tuned(*grouped(60, 3), 2)
    assert (settings.loss, settings.c) == ("logistic", 10)


def test_a_text_classifier_that_was_revised_is_scored_anew(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MlflowTracker(tmp_path)
    study = run(tracker, trials=1)
    ask = study.scorer.asks(TFIDF, "search")[0]
    before = ask.fingerprint()
    kept = baselines(study.journal)
    assert kept is not None
    monkeypatch.setattr(Tfidf, "revision", Tfidf.revision + 1)
    monkeypatch.setattr(words, "WORDS", r"(?u)\w")
    timed = kept.costs[text_key(TFIDF)].model_copy(update={"texts": 77})
    monkeypatch.setattr("bench.study.baselines.measure_text", lambda *_: timed)
    assert ask.fingerprint() != before
    again = run(tracker, trials=1)
    now = baselines(again.journal)
    assert now is not None
    old, new = kept.by_name["tfidf"], now.by_name["tfidf"]
    assert (old.revision, new.revision) == (Tfidf.revision - 1, Tfidf.revision)
    assert old.model_copy(update={"revision": 0}).key == f"baseline:tfidf:{TFIDF.fingerprint()}", "as it always was"
    client = MlflowClient(tracker.store.address)
    was, is_now = (client.get_run(record.run_id) for record in (old, new))
    for record, found in ((old, was), (new, is_now)):
        assert found.data.metrics["f1_mean"] == pytest.approx(record.metrics["f1_mean"])
    assert was.data.metrics["f1_mean"] != is_now.data.metrics["f1_mean"]
    assert was.data.tags["bench.front"] == "false"
    assert [each.texts for each in (*kept.costs.values(), *now.costs.values())] == [32, 77], "it is timed again"


def test_a_study_of_an_earlier_text_classifier_opens_without_it_and_without_cascades_of_it(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scores and margins are those of another classifier than would be shipped; the same search makes them anew."""
    study = run(trials=3, space=CASCADING)
    gone = {each.name for each in study.cascades if each.cascade and "tfidf" in each.cascade.record.trials}
    assert gone
    assert study.front[0].name == "tfidf"
    pack(study, tmp_path / "study.zip")
    monkeypatch.setattr(Tfidf, "revision", Tfidf.revision + 1)

    warned: list[str] = []
    monkeypatch.setattr(Silent, "warn", lambda _, words: warned.append(words))
    again = reopen(tmp_path, "s", store)
    assert not {"tfidf", *gone} & {each.name for each in (*again.front, *again.cascades, *again.baselines)}
    assert not {"tfidf", *gone} & {again.selection.winner, *again.selection.near, *again.selection.entrants}
    assert any(
        "Left out: tfidf" in words and all(name in words for name in gone) and "`bench search " in words
        for words in warned
    )
    assert "tfidf" not in " ".join(line.words for line in again.decision.lines)
    for name in ("tfidf", *gone):
        with pytest.raises(BenchError, match=r"Left out: tfidf, .*`study=s`"):
            reopen(tmp_path, "s", store, trial=name)
    seen = look(tmp_path, "s")
    assert not {"tfidf", *gone} & {*map(str, seen.roles.values()), *(str(each.id) for each in seen.found)}
    assert seen.left_out in warned
    assert TFIDF not in from_study(tmp_path, "s").candidates
    (told,) = verify(tmp_path / "study.zip").differences
    assert "verify it with the bench of then, " in told

    warned.clear()
    anew = run(trials=3, space=CASCADING)
    assert anew.trials == study.trials, "nothing more was tried"
    assert anew.choose("tfidf").revision == Tfidf.revision  # type: ignore[union-attr]
    opened = reopen(tmp_path, "s", store)
    assert [each.name for each in opened.found] == [each.name for each in anew.found]
    assert not [words for words in warned if "Left out" in words]


# --- in a study


def table(path: Path, study: Study, sides: Sequence[str], ms: float, right: float = 1.0) -> Path:
    """Predictions from outside of some sides of a study's rows, as many of them right as wanted."""
    dataset, random = study.material.dataset, np.random.default_rng(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", "ms"])
        for side in (getattr(dataset, name) for name in sides):
            for row, label in zip(side.ids, side.labels, strict=True):
                said = label if random.random() < right else random.integers(len(dataset.labels))
                rows.writerow([row, dataset.labels[said], ms])
    return path


def test_tfidf_is_on_the_front_is_chosen_compared_shipped_pinned_and_checked(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.packaging.timing.SECONDS", 0.2)
    study = run(MlflowTracker(tmp_path), trials=3, space=CASCADING)
    entry = study.front[0]
    assert (entry.name, entry.trial, entry.candidate, entry.latency_ms) == ("tfidf", None, TFIDF, 0.1)
    assert study.trials["tried"] == 3, "it counts for no trial"
    beaten = [
        record for record in study.journal.of("complete") if record.metrics["f1_floor"] <= entry.search["f1_floor"]
    ]
    assert not {record.number for record in beaten} & {each.trial for each in study.front}
    assert [each["name"] for each in study.to_json()["front"]] == [each.name for each in study.front]
    assert study.to_json()["front"][0]["run_id"] == study.choose("tfidf").run_id is not None
    stages = [stage for each in study.cascades for stage in each.cascade.record.cascade.stages]  # type: ignore[union-attr]
    assert all(each.classifier == "tfidf" for each in stages if isinstance(each, TextCandidate))
    again = reopen(tmp_path, "s", store)
    assert [each.name for each in again.front] == [each.name for each in study.front]

    aside = next(each for each in study.journal.of("complete") if each.number not in {one.trial for one in study.front})
    made = chosen(study.journal)
    assert made is not None
    shipped = made.records[0].model_copy(update={"trials": ("tfidf", aside.number)})
    keep(study.journal, made.model_copy(update={"records": (shipped,)}))
    choice = study.selection.model_copy(update={"recommended": shipped.name})
    study.journal.keep("selection", choice.model_dump(mode="json"))
    assert aside.candidate in from_study(tmp_path, "s").candidates, "a stage of what is shipped is on no front"

    out = tmp_path / "package"
    export(again, again.choose("tfidf"), out, chosen="tfidf")
    pipeline, (fitted,) = read_package(out / "artifacts" / "pipeline")
    assert (pipeline.trial, pipeline.baseline, pipeline.models) == (None, "tfidf", ())
    assert not list(out.rglob("*.pkl"))
    said = entry.confirmed.repetitions[0].predictions.log_probabilities
    assert isinstance(fitted, Tfidf)
    assert fitted.logs(study.material.dataset.test.texts) == pytest.approx(said, abs=1e-5)

    pinned = from_study(tmp_path, "s", ["tfidf"])
    made = measured(pinned, store.home)
    write(tmp_path / "baseline.json", made)
    assert not check(read_baseline(tmp_path / "baseline.json"), store.home).failed
    assert made.scores[0].f1 == pytest.approx(study.choose("tfidf").values["f1"], abs=1e-6)
    (found,) = compare(*(find(name, tmp_path).sides(lambda _: again) for name in ("s:tfidf", "s:best")))
    assert found.a.record.id == "tfidf"


def test_predictions_from_outside_join_and_cannot_be_shipped(run: Run, store: Store, tmp_path: Path) -> None:
    first = run(trials=3)
    blind = table(tmp_path / "llm.csv", first, ("test",), 300)
    seen = table(tmp_path / "tuned.csv", first, ("train", "test"), 400)
    study = run(trials=3, against=(f"llm={blind}", f"tuned={seen}"))
    named = {entry.name: entry for entry in (*study.front, *study.baselines)}
    assert [entry.name for entry in study.front][-1] == "tuned", "right in every row, and the dearest"
    assert study.selection.winner == "tuned"
    assert "llm" not in {entry.name for entry in study.front}, "nobody knows what it is worth out of fold"
    assert named["llm"].confirmed.accuracy.mean == 1
    assert named["llm"].latency_ms == 300
    assert named["llm"].comparison is not None
    for path in (blind, seen):
        path.unlink()
    again = run(trials=3)
    assert {"llm", "tuned"} <= {entry.name for entry in again.baselines}, "it is remembered"
    (found,) = compare(*(find(name, tmp_path).sides(lambda _: again) for name in ("s:llm", "s:knee")))
    assert found.by_seed == ()
    with pytest.raises(BenchError, match="from outside: nothing can be exported"):
        export(again, again.choose("tuned"), tmp_path / "out", chosen="tuned")
    with pytest.raises(BenchError, match="test rows alone"):
        from_study(tmp_path, "s", ["llm", "tfidf"])
    with pytest.raises(BenchError, match="name what is to stay above it as well"):
        from_study(tmp_path, "s", ["tuned"])
    assert all(candidate.models or candidate == TFIDF for candidate in from_study(tmp_path, "s").candidates)


def test_a_check_holds_candidates_above_predictions_from_outside(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(trials=3)
    weak = table(tmp_path / "weak.csv", first, ("train", "test"), 400, right=0.5)
    strong = table(tmp_path / "strong.csv", first, ("train", "test"), 400)
    run(trials=3, against=(f"weak={weak}", f"strong={strong}"))
    pinned = from_study(tmp_path, "s", ["tfidf", "weak", "strong"])
    assert [str(each) for each in pinned.candidates] == ["tfidf"]
    assert [each.classifier for each in pinned.references] == ["weak", "strong"]
    write(tmp_path / "baseline.json", measured(pinned, store.home))
    made = read_baseline(tmp_path / "baseline.json")
    assert made.references[0].f1 == pytest.approx(list(reopen(tmp_path, "s", store).choose("weak").values["f1"]))

    def beside() -> dict[str, tuple[str, str]]:
        found = check(made, store.home).findings
        return {each.subject: (each.status, each.detail) for each in found if each.group == "reference"}

    held = beside()
    assert {name: status for name, (status, _) in held.items()} == {"weak": "passed", "strong": "note"}
    assert "held to nothing" in held["strong"][1]
    # a pipeline that has fallen below what it was above fails for that as well
    monkeypatch.setattr(Tfidf, "logs", lambda self, texts: np.log(np.full((len(texts), 8), 1 / 8, dtype=np.float32)))
    fallen = beside()
    assert fallen["weak"][0] == "failed", fallen
    assert "now worse" in fallen["weak"][1]
    assert fallen["strong"][0] == "note"
    monkeypatch.undo()
    # lines stay with the rows that they are of
    again = update(tmp_path / "baseline.json", tmp_path, store.home)
    assert again.new.references == made.references
    assert again.differences == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,label\ntest/1,earn\n", "no column 'ms'"),
        ("id,label,ms\ntest/1,earn,3\n", r"lacks \d+ test rows"),
        ("id,label,ms\ntest/1,earn,3\ntest/1,earn,3\n", "line 3: the id 'test/1' was there before"),
        ("id,label,ms\ntest/1,ern,3\n", "line 2: 'ern' is no label of r8: did you mean 'earn'"),
        ("id,label,ms\ntest/1,earn,soon\n", "line 2: column 'ms' holds 'soon'"),
        ("id,ms\ntest/1,3\n", "neither a column 'label' nor scores"),
        ("id,scores.earn,ms\ntest/1,1,3\n", "and none of 'acq'"),
    ],
)
def test_a_file_from_outside_that_cannot_be_used_says_why(tmp_path: Path, content: str, words: str) -> None:
    path, dataset = tmp_path / "p.csv", load(DatasetRequest(name="r8", max_train=60, max_test=40))
    path.write_text(content)
    with pytest.raises(BenchError, match=words):
        outside.read([f"llm={path}"], dataset, {"knee"})
    for name in ("knee", "cascade-1", "12"):
        with pytest.raises(BenchError):
            outside.read([f"{name}={path}"], dataset, {"knee"})


def test_scores_that_are_probabilities_are_kept_as_such(tmp_path: Path) -> None:
    path, dataset = tmp_path / "p.csv", load(DatasetRequest(name="r8", max_train=60, max_test=40))
    head = ",".join(["id", *(f"probabilities.{label}" for label in dataset.labels), "ms"])
    shares = ",".join(["0.93", *["0.01"] * (len(dataset.labels) - 1)])
    path.write_text("\n".join([head, *(f"{row},{shares},2" for row in dataset.test.ids)]))
    (found,) = outside.read([f"llm={path}"], dataset, ())
    assert (found.test.kind, found.train) == ("log-probability", None)
    assert np.exp(found.test.scores[0, 0]) == pytest.approx(0.93)
