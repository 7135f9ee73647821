"""A report from study to files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.sureness import Sureness
from bench.figures import Figure, drawn
from bench.figures.page import page, template
from bench.files import atomic
from bench.measures import Measure
from bench.progress import SILENT, Progress
from bench.report.cards import class_rows, dataset_card, environment_card, model_rows
from bench.report.choices import importance_chart, layer_chart, operator_chart, pooling_chart, source_rows
from bench.report.choosing import standings
from bench.report.confirmation import confirmation_chart, spread_chart
from bench.report.costs import costly
from bench.report.mistakes import class_names, confusion, confusion_chart, examples, label_rows, pairs
from bench.report.scores import Gap, Spread, gaps, in_words, lines, score_of, spreads
from bench.report.screening import screened_rows, screening_chart
from bench.report.sure import reliability_chart, sure_chart, sure_in_words
from bench.study.cascades import Selected
from bench.study.columns import search_columns
from bench.study.figure import front_figure, knee_of
from bench.study.importance import FEWEST, importance
from bench.study.roles import CHOICES, RECOMMENDED, role
from bench.study.seen import by_measure, selected
from bench.study.study import Study
from bench.study.sureness import calibrated, sureness_of
from bench.tasks import TASKS
from bench.tracking import UNTRACKED, Tracker, TrackingError

PAGE = "report.html"
FRONT = "Front, by cost. Search scores, then the test set under fresh seeds."
CASCADED = " A cascade counts for no trial, and a trial that one beats stays."


@dataclass(frozen=True)
class Report:
    """A written report. `note` says why it is in no tracking store, where it is not."""

    study: str
    trial: int | str
    measure: str
    folder: Path
    files: tuple[str, ...]
    parent_run_id: str | None
    tracking_uri: str | None
    compare_url: str | None
    runs_url: str | None
    note: str | None

    @property
    def page(self) -> Path:
        """The page itself."""
        return self.folder / PAGE

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; paths are absolute."""
        return {
            "study": self.study,
            "trial": self.trial,
            "measure": self.measure,
            "page": str(self.page.resolve()),
            "files": [str((self.folder / name).resolve()) for name in self.files],
            "parent_run_id": self.parent_run_id,
            "tracking_uri": self.tracking_uri,
            "compare_url": self.compare_url,
            "runs_url": self.runs_url,
            "note": self.note,
        }


def write(
    study: Study,
    folder: Path,
    which: str = RECOMMENDED,
    tracker: Tracker = UNTRACKED,
    progress: Progress = SILENT,
    measure: str | None = None,
    costs: MistakeCosts | None = None,
) -> Report:
    """Write the report of a study to `folder`, and put it on the study's parent run where the tracker has one.

    Args:
        study: Reopened.
        folder: Made where it is missing; files of the same names are replaced, each at once.
        which: The candidate that is looked at closely (see `Study.choose`).
        tracker: Where the study may have been written down; nowhere by default.
        progress: Told of figures that cannot be drawn, which the report then lacks.
        measure: By which scores are shown; by default that which was searched for. One of another measure stands in
            the tracking store beside the study's own.
        costs: Of mistakes, which then stand beside the scores.

    Raises:
        BenchError: there is no such candidate or measure.
        OSError: the folder cannot be written.
    """
    chosen = study.choose(which)
    parent, note = _parent(study, tracker)
    uri = None if parent is None else tracker.uri
    found = ReportData.of(study, chosen, measure)
    place = "report" if found.shown is study else f"report/{score_of(found.shown).name}"
    figures: dict[str, Figure] = {}
    images: dict[str, bytes] = {}
    for name, figure in draw(study, chosen, found, progress.warn).items():
        if made := drawn(partial(_images, figure), f"the figure '{name}'", progress.warn):
            figures[name] = figure
            images |= made
    files = {PAGE: render(study, chosen, which, found, figures, parent, uri or "", costs).encode(), **images}
    for name, content in files.items():
        with atomic(folder / name) as temporary:
            temporary.write_bytes(content)
    url = listed = None
    if parent is not None:
        try:
            tracker.attach({f"{place}/{name}": content for name, content in files.items()})
        except TrackingError as error:
            note = f"the report is in no tracking store: {str(error).rstrip('.')}"
        runs = [entry.run_id for entry in study.found if entry.run_id is not None]
        url, listed = tracker.compare_url(runs) if runs else None, tracker.runs_url()
    by = score_of(found.shown).name
    return Report(study.name, chosen.id, by, folder, tuple(files), parent, uri, url, listed, note)


def _images(figure: Figure) -> dict[str, bytes]:
    return {f"{figure.name}.png": figure.png(), f"{figure.name}.svg": figure.svg()}


def _parent(study: Study, tracker: Tracker) -> tuple[str | None, str | None]:
    """The study's parent run, or why there is none."""
    if tracker.uri is None:
        return None, "the report is in no tracking store: none was asked for"
    try:
        parent = tracker.look(study.tracked)
    except BenchError as error:
        return None, f"the report is in no tracking store: {str(error).rstrip('.')}"
    note = None if parent else f"the report is in no tracking store: {tracker.uri} has no run of the study"
    return parent, note


@dataclass(frozen=True, eq=False)
class ReportData:
    """What both figures and tables show.

    `confusion` is of the chosen candidate, mean test rows [label, predicted]; None where labels are no classes. `shown`
    is the study, by the measure that scores are shown by; `spreads` are by measure, this one first. `sure` is what is
    known of the chosen candidate's probabilities.
    """

    shown: Study
    gaps: list[Gap]
    spreads: dict[Measure, list[Spread]]
    confusion: np.ndarray | None
    sure: Sureness | None

    @classmethod
    def of(cls, study: Study, chosen: Selected, measure: str | None = None) -> "ReportData":
        """Of a study and its chosen candidate, by the measure that it was searched for or another."""
        shown = study if measure is None else by_measure(study, measure)
        measures = (score_of(shown), *shown.request.space.objectives.beside)
        found = {each: spreads(shown, chosen, each) for each in measures}
        sure = study.sureness if str(chosen.id) == study.selection.recommended else sureness_of(study, chosen)
        task = TASKS[study.scorer.dataset.task]
        return cls(shown, gaps(shown), found, confusion(study, chosen) if task.by_class else None, sure)


def draw(study: Study, chosen: Selected, findings: ReportData, warn: Callable[[str], None]) -> dict[str, Figure]:
    """The figures of a report by name.

    Those that the study has nothing for are missing, and those that cannot be drawn, of which `warn` is told.
    """
    shown = findings.shown
    score, test = score_of(shown), study.scorer.dataset.test
    protocol = study.request.protocol
    described = study.protocol
    trained = [*shown.journal.of("complete"), *(each for each in shown.journal.of("pruned") if each.repetitions)]
    depths = {name: model.layers for name, model in study.material.models.items()}
    tested = f"test set of n = {len(test)} rows, {protocol.confirm} seeds"
    tried = f"{len(trained)} tried candidates, pruned ones (faint) over the repetitions that they had; {described}"
    rows = source_rows(trained, depths, score, shown.request.space.objectives.beside)
    complete, objectives = shown.journal.of("complete"), shown.request.space.objectives
    both = f"Search: {described}. Test: {tested}"
    operators = {row["operator"] for row in rows}

    def choices() -> Figure | None:
        mattered = importance(study.journal, study.request.space.objectives)
        return None if mattered is None else importance_chart(mattered)

    predicted = None if findings.sure is None else calibrated(study, chosen)
    of_chosen = f"{chosen.title.capitalize()}. {both}"

    def reliability() -> Figure | None:
        known, sure = predicted, findings.sure
        return None if known is None or sure is None else reliability_chart(known, sure, of_chosen)

    def sure() -> Figure | None:
        known, sure = predicted, findings.sure
        return None if known is None or sure is None else sure_chart(known.after, sure, of_chosen)

    def confused() -> Figure | None:
        if findings.confusion is None:
            return None
        return confusion_chart(findings.confusion, class_names(study), f"{chosen.title.capitalize()} on the {tested}")

    makers: dict[str, Callable[[], Figure | None]] = {
        "front": lambda: front_figure(
            complete, shown.front, shown.baselines, objectives, described, shown.cascades, study.selection
        ),
        "confirmation": lambda: confirmation_chart(findings.gaps, score, both),
        "spread": lambda: spread_chart(findings.spreads, both),
        "layers": lambda: layer_chart(rows, score, tried),
        "poolings": lambda: pooling_chart(rows, score, tried),
        "confusion": confused,
        "reliability": reliability,
        "sure": sure,
        "operators": lambda: operator_chart(rows, score, tried) if len(operators) > 1 else None,
        "importance": choices,
        "screening": lambda: screening_chart(study),
    }
    found = {name: drawn(make, f"the figure '{name}'", warn) for name, make in makers.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


def render(
    study: Study,
    chosen: Selected,
    which: str,
    findings: ReportData,
    figures: Mapping[str, Figure],
    parent: str | None,
    uri: str,
    costs: MistakeCosts | None = None,
) -> str:
    """The page."""
    shown, searched = findings.shown, study.request.space.objectives
    objectives = shown.request.space.objectives
    knee, task = knee_of(study.front, searched), TASKS[study.scorer.dataset.task]
    part = role(which)
    kind = f"The {part} ({CHOICES[part]})" if part in CHOICES else "Chosen by number"
    body = template(
        "report.html",
        package="bench.report",
        study=study,
        decision=study.decision,
        by=searched.single,
        price=searched.cost,
        choice=study.selection,
        standings=standings(study),
        figures=figures,
        chosen=chosen,
        words=in_words(shown, chosen if shown is study else selected(shown, chosen), kind),
        columns=search_columns(objectives),
        score=score_of(shown).title,
        measure=score_of(shown),
        sought=None if shown is study else searched.score,
        beside=objectives.beside,
        deferring=shown.cascades,
        cascades=study.considered,
        front_caption=FRONT + CASCADED * bool(study.cascades),
        protocol=study.protocol,
        optimistic=study.request.protocol.name == "paper",
        front=lines(shown, shown.found, knee, chosen),
        baselines=lines(shown, shown.baselines, knee, chosen),
        spreads=findings.spreads,
        pairs=[] if findings.confusion is None else pairs(findings.confusion, class_names(study)),
        labelled=label_rows(study, chosen) if task.by_label else [],
        by_class=task.by_class,
        sure=findings.sure,
        sure_words=[] if findings.sure is None else sure_in_words(findings.sure),
        costly=[] if costs is None else costly(study, costs),
        examples=examples(study, chosen, findings.confusion) if task.by_class or task.by_label else [],
        fewest=FEWEST,
        lazy=study.lazy,
        screening=study.screening,
        screened=screened_rows(study),
        dataset=dataset_card(study),
        classes=class_rows(study),
        models=model_rows(study),
        environment=environment_card(study, parent, uri),
    )
    return page(f"{study.name}: report", body, style=str(template("report.css", package="bench.report")))
