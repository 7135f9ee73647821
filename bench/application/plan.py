"""What an application will do, written down before it does it, so that it goes on as it began."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from pydantic import ValidationError

from bench import files
from bench.application.asked import Applying
from bench.application.places import Files, Found
from bench.datasets.tables.read import suffix_of
from bench.errors import BenchError, counted, listed
from bench.packaging.pipeline import PackagedPipeline
from bench.packaging.texts import LINES, TextFile, read_texts
from bench.progress import SILENT, Progress
from bench.specs import Spec
from bench.version import __version__

PLAN = "_apply.json"
"""Readers of folders of Parquet files pass over names that begin like this."""
FORMAT = 1
TYPES: Mapping[str, type] = {"text": str, "whole number": int, "number": float, "yes or no": bool}
NAMES = {kind: name for name, kind in TYPES.items()}


class Input(Spec):
    """A file of texts by its path below the source, as it was looked through (see `Found`), and its rows."""

    name: str
    bytes: int
    stamp: str
    rows: int

    def require(self, now: Found | None, out: Files) -> None:
        """Raise BenchError where the file is not what was looked through."""
        if now is None or (self.bytes, self.stamp) != (now.bytes, now.stamp):
            raise BenchError(
                f"{self.name} has changed since its answers in {out.shown} were begun: give a new folder, or the "
                "changed file a new name."
            )


class ApplicationPlan(Spec):
    """Which files are answered, by what, and how.

    `package` is the SHA-256 of the package's list of checksums, `settings` all else that decides about the answers.
    `beside` are the columns that stand beside them, by type.
    """

    format: int = FORMAT
    bench: str = __version__
    package: str
    candidate: str
    settings: Mapping[str, str]
    beside: Mapping[str, str]
    inputs: tuple[Input, ...]

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(each.rows for each in self.inputs)

    @property
    def types(self) -> dict[str, type]:
        """Of the columns beside the answers."""
        return {name: TYPES[kind] for name, kind in self.beside.items()}


def planned(asked: Applying, pipeline: PackagedPipeline, progress: Progress) -> ApplicationPlan:
    """The plan that stands in the answers' folder, with the files that have come since; else a new one.

    Each new file is looked through once, which refuses rows that cannot be answered before any are.

    Raises:
        BenchError: a file cannot be read or has changed since, or the folder holds answers of something else.
    """
    kept = _kept(asked.out)
    new = ApplicationPlan(
        package=files.sha256(asked.package / files.CHECKSUMS),
        candidate=f"{pipeline.title} of {pipeline.study}",
        settings=_settings(asked),
        beside={} if kept is None else kept.beside,
        inputs=() if kept is None else kept.inputs,
    )
    if kept is not None:
        _refuse_other(asked.out, kept, new)
    known = {each.name: each for each in new.inputs}
    beside = None if kept is None else kept.types
    lying = sources(asked.source, progress)
    gone = known.keys() - {each.name for each in lying}
    for name in sorted(gone):
        progress.warn(f"{name} is not there any more: no more of it is answered, and what was stays.")
        del known[name]
    with progress.task("look through", len(lying), "files") as task:
        for each in lying:
            task.advance()
            if each.name in known:
                known[each.name].require(each, asked.out)
                continue
            task.note(each.name)
            with asked.source.opened(each.name) as path, _within(each.name):
                found = read_texts(path, asked.reading)
            beside = _joined(beside, found, each.name, begun=kept is not None)
            known[each.name] = Input(**vars(each), rows=found.count)
    types = {name: NAMES[kind] for name, kind in (beside or {}).items()}
    plan = new.model_copy(update={"beside": types, "inputs": tuple(known.values())})
    if plan != kept:
        with asked.out.written(PLAN) as temporary:
            temporary.write_text(json.dumps(plan.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", "utf-8")
        if _kept(asked.out) != plan:
            raise BenchError(f"Another process has just begun answers in {asked.out.shown}: give another folder.")
    return plan


@contextmanager
def _within(name: str) -> Iterator[None]:
    """Of many files of one name say which."""
    try:
        yield
    except BenchError as error:
        raise BenchError(f"{name}: {error}" if "/" in name else str(error)) from error


def sources(source: Files, progress: Progress = SILENT) -> list[Found]:
    """The files of texts at a place, by name; of others it is said that they are passed over.

    Raises:
        BenchError: there are none.
    """
    lying = source.found()
    if len(lying) == 1 and lying[0].name == PurePath(source.shown).name:
        return lying  # whoever names a file knows what it holds
    found = [each for each in lying if _holds_texts(each.name)]
    if not lying:
        raise BenchError(f"There is nothing at {source.shown}: give a file of texts, or a folder of such files.")
    if not found:
        raise BenchError(
            f"{source.shown} holds no file of texts: a table (.csv, .jsonl, .parquet …), or .txt with one a line."
        )
    if passed := sorted(each.name for each in lying if not _holds_texts(each.name) and not hidden(each.name)):
        progress.say(f"{counted(len(passed), 'file')} passed over, which are no tables and no .txt: {listed(passed)}.")
    for each in found:
        try:
            each.name.encode()
        except UnicodeEncodeError:
            raise BenchError(f"The name {each.name!r} is no UTF-8: rename that file.") from None
    return found


def hidden(name: str) -> bool:
    """Whether a path is none of people's: tools keep what begins like this, as .ipynb_checkpoints or _temporary."""
    return any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def _holds_texts(name: str) -> bool:
    if hidden(name):
        return False
    return suffix_of(name) is not None or Path(name).suffix.lower() in LINES - {""}


def _settings(asked: Applying) -> dict[str, str]:
    return {**asked.settings, "format": asked.format, "shard_rows": str(asked.shard_rows)}


def _kept(out: Files) -> ApplicationPlan | None:
    lying = out.read(PLAN)
    if lying is None:
        if any(not each.name.startswith(".") for each in out.found()):
            raise BenchError(f"{out.shown} holds files that are no answers of bench: give a new or an empty folder.")
        return None
    try:
        content: Any = json.loads(lying)
        if content["format"] == FORMAT:
            return ApplicationPlan.model_validate(content)
        written = content["format"]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise BenchError(f"{PLAN} in {out.shown} cannot be read ({error}): give a new folder.") from error
    raise BenchError(f"{PLAN} in {out.shown} has format {written}, and this bench reads {FORMAT}: give a new folder.")


def _refuse_other(out: Files, kept: ApplicationPlan, new: ApplicationPlan) -> None:
    def differ(names: Iterator[tuple[str, str | None, str | None]]) -> list[str]:
        return [f"`{name}` was {before or 'not given'} and is {now or 'not given'}" for name, before, now in names]

    if kept.package != new.package:
        raise BenchError(
            f"{out.shown} holds answers of {kept.candidate}, and not of {new.candidate} as it is now: "
            "give a new folder."
        )
    keys = sorted({*kept.settings, *new.settings})
    changed = differ(
        (key, kept.settings.get(key), new.settings.get(key))
        for key in keys
        if kept.settings.get(key) != new.settings.get(key)
    )
    if changed:
        raise BenchError(f"{out.shown} was begun with other settings ({'; '.join(changed)}): give a new folder.")


def _joined(beside: Mapping[str, type] | None, found: TextFile, name: str, *, begun: bool) -> dict[str, type]:
    """The columns beside the answers with those of one more file; all files must have the same.

    One that is of several types is written as text, as within a file, unless answers are `begun` under another.
    """
    if beside is None:
        return dict(found.beside)
    if list(beside) != list(found.beside):
        odd = sorted(set(beside) ^ set(found.beside)) or list(beside)
        raise BenchError(f"{name} and the files before it differ in {counted(len(odd), 'column')}: {listed(odd)}.")
    other = {each for each, kind in found.beside.items() if kind is not beside[each]}
    if begun and (lost := [each for each in other if beside[each] is not str]):
        kinds = ", ".join(
            f"'{each}' is {NAMES[found.beside[each]]}, not {NAMES[beside[each]]}" for each in sorted(lost)
        )
        raise BenchError(f"In {name} a column has another type than in the files before ({kinds}): give a new folder.")
    numbers = {each for each in other if {beside[each], found.beside[each]} == {int, float}}
    return {each: float if each in numbers else str if each in other else kind for each, kind in beside.items()}
