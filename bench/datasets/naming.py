"""What a data set's name means: a row of the table, a task of LegalBench, a folder, a file, or a hub id."""

import re
from pathlib import Path

from bench.datasets.request import DatasetRequest
from bench.datasets.rows import DATASETS, DatasetRow, legalbench_task
from bench.datasets.sources import home, hub
from bench.datasets.tables import refusal, suffix_of
from bench.errors import BenchError, nearest

_HUB_NAME = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(?::([^:\s]+))?")


def require_known(request: DatasetRequest) -> None:
    """Raise BenchError where nothing has the name, without reading or fetching what has it."""
    if suffix_of(request.name):
        for name in (request.name, request.test_file):
            if name is not None and not (path := Path(name).expanduser()).exists():
                raise BenchError(f"There is no file {path}.")
        return
    if request.test_file is not None:
        raise BenchError(f"`test_file` goes with a training file, and '{request.name}' is not a file of rows.")
    folder = home.data_home(request.data_home)
    online = hub_request(request, row_of(request.name))
    if online is None and (folder is None or not home.has_folder(folder, request.name)):
        raise BenchError(refusal(Path(request.name).expanduser()) or _unknown(request.name, folder))


def row_of(name: str) -> DatasetRow | None:
    """The row of a registered data set."""
    if name in DATASETS:
        return DATASETS[name]
    family, _, task = name.partition("/")
    return legalbench_task(task) if family == "legalbench" and re.fullmatch(r"\w+", task) else None


def hub_request(request: DatasetRequest, row: DatasetRow | None) -> hub.Request | None:
    """What the hub is asked for; None where it can have nothing of that name."""
    if row is not None:
        revision = request.revision or row.revision
        return hub.Request(row.repo, row.config, row.train, row.test, revision, row.label_names)
    if match := _HUB_NAME.fullmatch(request.name):
        return hub.Request(match[1], match[2], revision=request.revision or "main")
    return None


def _unknown(name: str, folder: Path | None) -> str:
    known = [*DATASETS, *(home.names(folder) if folder is not None else ())]
    return (
        f"There is no data set '{name}' (others are legalbench/TASK, the hub's owner/name or owner/name:config, and "
        f"files ending in .csv, .tsv, .jsonl, .json or .parquet): {nearest(name, known)}"
    )
