"""The regression gate: a baseline checked, or measured anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.known import known_study
from bench.home import Home
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    from bench.gate.update import Update
    from bench.gate.verdict import Verdict


def check(
    baseline: Path | str,
    *,
    data_home: str | None = None,
    fail_on_latency: float | None = None,
    history: Path | str | None = None,
    markdown: Path | str | None = None,
    junit: Path | str | None = None,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> Verdict:
    """Evaluate the candidates of a baseline again, from the data and the models' files on, and compare.

    Args:
        baseline: The JSON file.
        data_home: Folder of data sets; the baseline's own where it is None.
        fail_on_latency: The growth of a model's relative latency beyond which the check fails; it warns at 1.5.
        history: A file of JSON lines to which the check is appended, and by which a slow fall is seen; the check fails
            where past checks and this one show a change point, at most once in a hundred histories by chance.
        markdown: A file for a summary; also written where the check cannot run.
        junit: A file for the comparisons as JUnit XML; likewise.
        trust_remote_code: Run a model's own code, which must be the baseline's; a baseline permits nothing itself.
        home: Whose store has the converted models; nothing else in it is read.
        progress: What is told while it runs; nothing by default.

    Raises:
        BenchError: the check could not run: the baseline, data or models cannot be had, or not be run.
    """
    from bench.gate.baseline import read
    from bench.gate.history import noted
    from bench.gate.history import read as read_history
    from bench.gate.reports import Reports

    with Reports.to(markdown, junit) as reports:
        if history is not None:
            read_history(Path(history))  # what is wrong with it is said before anything is computed
        found = read(Path(baseline)).at_home(data_home)

        # seconds of imports, after what is misspelled is said
        from bench.gate.check import check as run_check
        from bench.gate.measure import software

        store = Home.at(home).store
        verdict = run_check(
            found, store, fail_on_latency=fail_on_latency, trust_remote_code=trust_remote_code, progress=progress
        )
        if history is not None:
            verdict = noted(Path(history), found, verdict, software())
        reports.write(verdict)
        return verdict


def new_baseline(
    baseline: Path | str,
    *,
    study: str | None = None,
    trials: Sequence[str] = (),
    max_train: int | None = None,
    max_test: int | None = None,
    measure: str | None = None,
    data_home: str | None = None,
    markdown: Path | str | None = None,
    junit: Path | str | None = None,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> Update:
    """Measure a baseline anew, or one of a study's candidates; `Update.write` writes it.

    Args:
        baseline: The JSON file; where it is there, the new one is compared with it.
        study: Take the candidates of this study, instead of those that the file pins.
        trials: Numbers of trials, or names as `Searched.choose` has them; the study's front by default.
        max_train: A subset of the study's training rows.
        max_test: A subset of its test rows.
        measure: By what candidates of the study are compared from now on, ``"log_loss"`` say; macro-F1 by default.
            The task's measures are shown beside it.
        data_home: As for `check`.
        markdown: As for `check`.
        junit: As for `check`.
        trust_remote_code: As for `check`.
        home: Where the study and the converted models are.
        progress: What is told while it runs; nothing by default.

    Raises:
        BenchError: there is no such baseline, study or trial, or data or models cannot be had or run.
    """
    place = Home.at(home)
    if study is not None:
        known_study(study, place)

    from bench.gate.reports import Reports
    from bench.gate.update import update

    with Reports.to(markdown, junit) as reports:
        found = update(
            Path(baseline),
            place.runs,
            place.store,
            study=study,
            trials=trials,
            subset=(max_train, max_test),
            measure=measure,
            data_home=data_home,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        if found.verdict is not None:
            reports.write(found.verdict)
        return found
