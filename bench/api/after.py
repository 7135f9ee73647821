"""After a search: a study reported, exported, compared, and its costs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.known import known_pipeline, known_study
from bench.api.study import Searched, reopen
from bench.home import Home
from bench.measures import score
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    from bench.comparison import Compared
    from bench.packaging.export import Exported
    from bench.packaging.graphs.manifest import Form, Precision
    from bench.report import Report
    from bench.study.elsewhere import StudyCosts
    from bench.study.study import Study


def report(
    study: str,
    out: Path | str | None = None,
    trial: int | str = "recommended",
    *,
    measure: str | None = None,
    costs: Path | str | None = None,
    trust_remote_code: bool = False,
    no_texts: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
) -> Report:
    """Write the report of a study that was searched before, and put it on the study's run in the tracking store.

    Scores are those that were searched for, or by a `measure` of that name. `costs` is a table of what mistakes cost,
    as for `predict`; the page then has what those of each candidate do.

    Raises:
        BenchError: there is no such study, trial or measure; or `tracking_uri` is given and is no store that can be
            used.
    """
    from bench.tracking import MlflowTracker

    if measure is not None:
        score(measure)  # what is misspelled is said before anything is opened
    if tracking_uri is not None:
        # without one, a store that cannot be used is only noted
        MlflowTracker(Home.at(home).runs, tracking_uri).store.connect()
    opened = reopen(
        study,
        trial=trial,
        trust_remote_code=trust_remote_code,
        no_texts=no_texts,
        home=home,
        tracking_uri=tracking_uri,
        progress=progress,
    )
    return opened.report(out, trial, measure=measure, costs=costs)


def export(
    study: str,
    out: Path | str | None = None,
    trial: int | str = "recommended",
    *,
    register: str | None = None,
    alias: str | None = None,
    with_weights: bool = False,
    reject_below: float = 0.0,
    costs: Path | str | None = None,
    format: Form = "mlflow",  # noqa: A002 - as the option is called
    precision: Precision = "float32",
    trust_remote_code: bool = False,
    no_texts: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
) -> Exported:
    """Package a candidate of a study that was searched before, as an MLflow model.

    Args:
        study: Its name.
        out: A new folder; a logged model in the tracking store where it is None.
        trial: Which candidate (see `Searched.choose`).
        register: Also register the logged model under this name.
        alias: An alias of the registered version.
        with_weights: Pack the weights of the layers that are used; else models are found by name.
        reject_below: A text whose likeliest label is less probable gets none, unless a call asks for another bound.
        costs: A table of what mistakes cost, as for `predict`, by which it answers unless a call has another.
        format: What answers: torch (``"mlflow"``), or one graph a stage of ONNX Runtime (``"onnx"``) or of OpenVINO
            (``"openvino"``), which then needs neither bench nor torch (see `graph_classifier.py` in the package).
        precision: Of such a graph: float32, int8 (calibrated on training rows), or bfloat16 (OpenVINO alone).
        trust_remote_code: As for `reopen`.
        no_texts: As for `reopen`.
        home: As for `search`.
        tracking_uri: As for `search`.
        progress: As for `search`.

    Raises:
        BenchError: there is no such study or trial, `out` is taken, or the package does not predict as the search did.
    """
    known_study(study, home)

    from bench.evaluation.rule import Rule
    from bench.packaging.export import asked_graphs, refuse_taken
    from bench.study.reopen import searched
    from bench.tasks import require_trained

    # refused before anything is opened
    require_trained(searched(Home.at(home).runs, study)[1].dataset.task, "An export")
    Rule(reject_below)
    asked_graphs(format, precision, with_weights=with_weights)
    if out is not None:
        refuse_taken(Path(out))
    opened = reopen(
        study,
        trial=trial,
        trust_remote_code=trust_remote_code,
        no_texts=no_texts,
        home=home,
        tracking_uri=tracking_uri,
        progress=progress,
    )
    return opened.export(
        out,
        trial,
        register=register,
        alias=alias,
        with_weights=with_weights,
        reject_below=reject_below,
        costs=costs,
        format=format,
        precision=precision,
    )


def compare(
    a: Searched | str,
    b: Searched | str,
    *,
    within: str | None = None,
    measure: str | None = None,
    costs: Path | str | None = None,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> list[Compared]:
    """Two studies, candidates (``"STUDY:best"``) or runs side by side, paired; see `bench.comparison`.

    `within` a study, models joined by commas name the best scored candidate of exactly these. The verdict is by
    `measure` alone where one is named (``"log_loss"``, ``"f1.earn"``), else by those of the task. With a
    table of what mistakes `costs`, as for `predict`, those are compared as well, in `.cost`. `trust_remote_code` is
    that of `reopen`.

    Raises:
        BenchError: there is no such thing, the two share no test rows, or a side has no probabilities for the measure.
    """
    if within is None:
        for each in (a, b):
            if isinstance(each, str):
                known_pipeline(each, home)

    from bench import comparison
    from bench.store import Store
    from bench.study.reopen import reopen as reopen_study

    if measure is not None:
        score(measure)  # what is misspelled is said before anything is opened
    given = {each.study.name: each.study for each in (a, b) if isinstance(each, Searched)}
    place = Home.at(home)

    def opened(name: str) -> Study:
        if name not in given:
            given[name] = reopen_study(
                place.runs, name, Store(place.store), progress, trust_remote_code=trust_remote_code
            )
        return given[name]

    names = [each.study.name if isinstance(each, Searched) else each for each in (a, b)]
    found = [comparison.find(name, place.runs, within) for name in names]
    one, other = (each.sides(opened) for each in found)
    return comparison.compare(one, other, measure, None if costs is None else Path(costs))


def cost(
    study: str,
    *,
    here: bool = False,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> StudyCosts:
    """What the candidates of a searched study cost, and which to take at these costs; nothing is searched.

    `.front`, `.recommended` and `.figure` follow from the costs; `.save(FOLDER)` writes the figure.

    Args:
        study: Its name.
        here: Time its models on this machine; else the costs are those of the search.
        trust_remote_code: As for `reopen`.
        home: As for `search`.
        progress: As for `search`.

    Raises:
        BenchError: there is no such study, it has no scored trial, or its data or models cannot be had here.
    """
    known_study(study, home)

    from bench.store import Store
    from bench.study.elsewhere import study_costs

    place = Home.at(home)
    return study_costs(place.runs, study, Store(place.store), progress, here=here, trust_remote_code=trust_remote_code)
