"""What there is: models, data sets, operators, studies, spaces, and this machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.known import known_study
from bench.home import Home
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    from bench.backends.parity import Parity
    from bench.datasets.catalog import Available
    from bench.doctor import Check
    from bench.fusion import Operator
    from bench.glossary import Term
    from bench.overview import ModelOverview, SpaceOverview, StudyOverview
    from bench.specs import AnyCandidate
    from bench.study.cascades import CascadeRecord
    from bench.study.keeping import Contents, Runs


def models() -> tuple[float, Sequence[ModelOverview]]:
    """This machine's memory in GiB, and the models by name: what they need, and whether they can be had here."""
    from bench.overview import models as overview

    return overview()


def datasets(data_home: str | None = None) -> Sequence[Available]:
    """Data sets by name, and the sources that may give them."""
    from bench.datasets.catalog import available

    return available(data_home)


def fusions() -> Mapping[str, Operator]:
    """Fusion operators by name."""
    from bench.fusion import FUSIONS

    return FUSIONS


def studies(home: Home | Path | str | None = None) -> Sequence[StudyOverview]:
    """The studies of a home, with how far they are."""
    from bench.overview import studies as overview

    return overview(Home.at(home).runs)


def aliases(names: Iterable[str], most: int | None = None) -> Mapping[str, str]:
    """Model → a short name that no other of them has, of `most` characters at most."""
    from bench.aliases import aliases as made

    return made(names, most)


def told(
    named: Mapping[str, AnyCandidate | CascadeRecord],
    width: int | None = None,
    models: Sequence[str] = (),
    most: int | None = None,
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Name → the candidate that it stands for, in a line of `width` characters, and model → its name there."""
    from bench.study.telling import told as tell

    return tell(named, width, models, most)


def study_overview(name: str, home: Home | Path | str | None = None) -> Contents:
    """What a study holds, by its journal alone: no data is loaded, and test scores are not looked up.

    Raises:
        BenchError: there is no such study, or it has no scored trial.
    """
    known_study(name, home)

    from bench.study.keeping import look

    return look(Home.at(home).runs, name)


def study_files(name: str, home: Home | Path | str | None = None) -> Mapping[Path, int]:
    """What `delete_study` would delete on disk, with its bytes."""
    from bench.files import size
    from bench.study.keeping import files

    return {path: size(path) for path in files(Home.at(home).runs, name)}


def delete_study(
    name: str, *, home: Home | Path | str | None = None, tracking_uri: str | None = None, tracking: bool = True
) -> int:
    """Delete a study: its journal, its report, and, where there is `tracking`, its runs; gives how many these were.

    Hidden states and evaluations stay in the store. MLflow keeps deleted runs until ``mlflow gc``.

    Raises:
        BenchError: there is no such study, it is open elsewhere, or the tracking store cannot be used.
    """
    known_study(name, home)

    from bench.study.keeping import delete

    place = Home.at(home)
    return delete(place.runs, name, _runs(place, tracking_uri, tracking=tracking))


def rename_study(
    name: str,
    new: str,
    *,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
) -> int:
    """Give a study another name, in the tracking store as well where there is `tracking`; gives how many runs have it.

    Raises:
        BenchError: there is no such study or one of the `new` name, it is open elsewhere, or the tracking store
            cannot be used.
    """
    known_study(name, home)

    from bench.study.keeping import rename

    place = Home.at(home)
    return rename(place.runs, name, new, _runs(place, tracking_uri, tracking=tracking))


def _runs(place: Home, uri: str | None, *, tracking: bool) -> Runs | None:
    """The tracking store, where there is one; one that was named must be there."""
    from bench.tracking import MlflowTracker

    if not tracking:
        return None
    tracker = MlflowTracker(place.runs, uri)
    if uri is not None:
        tracker.store.require()
    return tracker if tracker.store.exists() else None


def space(name: str) -> SpaceOverview:
    """A space file, and what it holds.

    Raises:
        BenchError: there is none, or it breaks the schema; the message names file, key and nearest valid name.
    """
    from bench.overview import space as overview

    return overview(name)


def space_schema() -> str:
    """The JSON schema of space files, for editors."""
    from bench.space.files import schema

    return schema()


def terms() -> Sequence[Term]:
    """The words of tables, pages and sentences, with their meanings."""
    from bench.glossary import TERMS

    return list(TERMS.values())


def explain(word: str) -> Term:
    """What a word of tables, pages and sentences means.

    Raises:
        BenchError: it is none of them; the nearest is named.
    """
    from bench.glossary import explain as found

    return found(word)


def doctor(home: Home | Path | str | None = None) -> Sequence[Check]:
    """What is installed, which devices and sources are at hand, and what to fix."""
    from bench.doctor import examine

    return examine(Home.at(home))


def compare_backends(
    model: str,
    backends: Collection[str] | None = None,
    *,
    dtype: str = "float32",
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> Sequence[Parity]:
    """How far the hidden states of two or more backends lie apart, on a dozen texts; all installed ones by default.

    Raises:
        BenchError: the model cannot be had, or fewer than two backends can run it.
    """
    from bench.backends.parity import compare, to_compare
    from bench.models.resolve import resolve
    from bench.settings import given
    from bench.specs import ExtractionSettings

    found = resolve(model, Home.at(home).store, progress=progress)
    settings = given(ExtractionSettings, {"dtype": dtype})
    return compare(found, settings, to_compare(found.architecture, backends), progress)


def open_ui(
    host: str = "127.0.0.1",
    port: int = 5000,
    *,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve MLflow's UI on a tracking store until it is interrupted.

    Raises:
        BenchError: there is no such store, it is a server already, or nothing can listen there.
    """
    from bench.tracking.mlflow import MlflowStore
    from bench.tracking.mlflow.ui import serve

    serve(MlflowStore(Home.at(home).runs, tracking_uri), host, port, say)


def check_address(uri: str) -> None:
    """Raise BenchError where `uri` cannot be the address of a tracking store; nothing is connected to."""
    from bench.tracking import check_address as check

    check(uri)
