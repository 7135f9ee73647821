"""An exported candidate applied to files of any number of texts, and what that would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.predictions import packaged, reading_of
from bench.home import Home
from bench.progress import SILENT, Progress
from bench.settings import given

if TYPE_CHECKING:
    from bench.application.asked import Format
    from bench.application.estimate import Estimate
    from bench.application.run import Applied
    from bench.datasets.tables.table import Quoting
    from bench.evaluation.rule import Rule


def apply(
    model: str,
    source: Path | str,
    out: Path | str,
    *,
    text_column: str | Sequence[str] | None = None,
    id_column: str | None = None,
    keep: Sequence[str] = (),
    reject_below: float | None = None,
    costs: Path | str | None = None,
    format: Format = "parquet",  # noqa: A002 - the option's name
    shard_rows: int | None = None,
    devices: Sequence[str] = (),
    workers: int | None = None,
    executor: str | None = None,
    ray_address: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    no_texts: bool = False,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
) -> Applied:
    """What an exported candidate says of each text of a file or of a folder of files, as a folder of files.

    The rows are answered in shards, each a file that is there whole or not at all: after an interruption the same call
    goes on with those that are missing, and with files that have come to the folder since. Memory does not grow with
    the files. A blank text has null for its answer.

    Args:
        model: A folder that `export` wrote, or an address in a tracking store (``models:/NAME@ALIAS`` …).
        source: A table as `search` reads it, a file with a text a line (.txt), or a folder of such files, at any depth;
            also by an address that fsspec reaches (``s3://BUCKET/TEXTS``).
        out: A folder for the answers, or such an address. The first row of a shard, from 0, stands in its file's name.
        text_column: As for `predict`.
        id_column: As for `predict`.
        keep: As for `predict`.
        reject_below: As for `predict`.
        costs: As for `predict`.
        format: Of the answers: ``parquet``, ``jsonl`` or ``csv``.
        shard_rows: Texts of a shard; None is 10,000.
        devices: For the workers, in turn; what the search ran on where none is given.
        workers: Processes with the package open in each; at least one a device.
        executor: As for `search`.
        ray_address: As for `search`.
        delimiter: As for `search`.
        encoding: As for `search`.
        quoting: As for `search`.
        no_texts: Let no message quote what the files hold.
        trust_remote_code: As for `predict`.
        home: As for `search`.
        tracking_uri: As for `search`.
        progress: What is told on the way; nothing by default.

    Raises:
        BenchError: a file or the model cannot be read, a file has changed since its answers were begun, or the folder
            holds something else.
    """
    folder = packaged(model, home, tracking_uri)

    from bench.application.asked import SHARD_ROWS, Applying
    from bench.application.places import place_of
    from bench.application.run import apply
    from bench.executors.settings import Workers
    from bench.files import sha256
    from bench.packaging.pipeline import fields_of

    place = Home.at(home)
    reading = reading_of(
        keep,
        no_texts=no_texts,
        text_column=text_column,
        id_column=id_column,
        delimiter=delimiter,
        encoding=encoding,
        quoting=quoting,
    ).of(fields_of(folder))
    said = {
        "text_column": text_column if text_column is None or isinstance(text_column, str) else ",".join(text_column),
        "id_column": id_column,
        "keep": ",".join(keep),
        "reject_below": None if reject_below is None else str(reject_below),
        "costs": sha256(Path(costs)) if costs is not None and Path(costs).is_file() else None,
        "delimiter": delimiter,
        "encoding": encoding,
        "quoting": quoting,
    }
    asked = Applying(
        package=folder.absolute(),
        source=place_of(source),
        out=place_of(out),
        reading=reading,
        rule=_rule(folder, reject_below, costs),
        format=format,
        shard_rows=SHARD_ROWS if shard_rows is None else shard_rows,
        trust_remote_code=trust_remote_code,
        settings={name: value for name, value in said.items() if value},
    )
    who = given(Workers, {"workers": workers, "executor": executor, "ray_address": ray_address})
    return apply(asked, who, devices, place.store, progress)


def estimate(
    model: str,
    *,
    rows: int | None = None,
    rate: float | None = None,
    workers: int = 1,
    price: float | None = None,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
) -> list[Estimate]:
    """What it would take to apply a candidate to so many texts, by the rate that its export measured.

    Args:
        model: As for `apply`.
        rows: How many texts; None is 10⁹.
        rate: Texts a second of one worker, where they were measured elsewhere.
        workers: Machines or devices, each as fast as that.
        price: Of one of them for an hour.
        home: As for `search`.
        tracking_uri: As for `search`.

    Raises:
        BenchError: the model cannot be read.
    """
    from bench.application.estimate import ROWS, estimated, rates_of
    from bench.packaging.pipeline import read

    pipeline, _ = read(packaged(model, home, tracking_uri))
    return estimated(rates_of(pipeline, rate), ROWS if rows is None else rows, workers, price)


def _rule(folder: Path, reject_below: float | None, costs: Path | str | None) -> Rule:
    """The package's rule, but for what is given in its place."""
    from bench.evaluation.mistakes import MistakeCosts
    from bench.packaging.pipeline import read

    pipeline, _ = read(folder)
    return pipeline.rule.but(reject_below, None if costs is None else MistakeCosts.read(Path(costs), pipeline.labels))
