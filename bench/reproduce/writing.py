"""Findings as files: csv, markdown, and the parquet behind them; figures as pages and pictures."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bench.escaping import csv_file, shown
from bench.figures import drawn
from bench.progress import SILENT, Progress, attempted
from bench.reproduce.columns import Row, column_order
from bench.reproduce.study import Findings, PaperStudy
from bench.study.writing import as_json


def files(
    study: PaperStudy, findings: Findings, about: Mapping[str, Any], progress: Progress = SILENT
) -> dict[str, bytes]:
    """File name → content. `about` says what it was run on: data set, rows, models, seeds, protocol.

    A figure or table that cannot be made is missing, and `progress` is told of it.
    """
    tables = {study.name: findings.rows, **{f"{study.name}-{name}": rows for name, rows in findings.extras.items()}}
    makers: dict[str, Callable[[], bytes]] = {}
    for name, rows in tables.items():
        makers |= {f"{name}.csv": partial(_csv, rows), f"{name}.parquet": partial(parquet, rows)}
    if findings.published:
        makers["published.csv"] = partial(_csv, findings.published)
    makers[f"{study.name}.md"] = lambda: report(study, findings, about).encode()
    written: dict[str, bytes] = {}
    for name, make in makers.items():
        if (made := attempted(make, f"{name} is missing", progress.warn)) is not None:
            written[name] = made
    for figure in findings.figures:
        written |= drawn(figure.files, f"the figure '{figure.name}'", progress.warn) or {}
    written["about.json"] = as_json(dict(about))
    return written


def report(study: PaperStudy, findings: Findings, about: Mapping[str, Any]) -> str:
    """The study as a page of Markdown: what it is, the table, what the paper printed, and what is wrong with that."""
    parts = [f"# {study.name}: {about['dataset']}", f"{findings.title or study.summary}. In the paper: {study.paper}."]
    parts += [
        f"- {name}: {value}" for name, value in about.items() if name != "dataset" and value not in (None, "", [])
    ]
    parts += ["", *(f"> {note}" for note in findings.notes), ""] if findings.notes else [""]
    parts += ["## Ours", "", markdown(findings.rows), ""]
    if findings.published:
        parts += ["## Printed in the paper", "", findings.caption, "", markdown(findings.published), ""]
    if findings.errata:
        parts += ["## Where the paper contradicts itself", "", markdown(findings.errata), ""]
    return shown("\n".join(parts)) + "\n"


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; numbers to four digits, what is unknown as a dash."""
    header = column_order(rows)
    lines = [header, ["---"] * len(header), *([_cell(row.get(name)) for name in header] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _csv(rows: Sequence[Row]) -> bytes:
    header = column_order(rows)
    return csv_file(header, ([_flat(row.get(name)) for name in header] for row in rows))


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def parquet(rows: Sequence[Row]) -> bytes:
    """The rows with their types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    header = column_order(rows)
    sink = io.BytesIO()
    columns = {name: pa.array([_flat(row.get(name)) for row in rows]) for name in header}
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()
