"""The hub, as files: tables are downloaded at a commit and read here, so that no code of a data set can run.

`datasets.load_dataset` is not used: on any failure it takes the newest copy in its cache, whatever its revision.
"""

import glob
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.datasets.columns import Columns, Rows, rows_of
from bench.datasets.dataset import Provenance
from bench.datasets.rows import CONVERTED
from bench.datasets.sources import Fetched, UnavailableError
from bench.datasets.tables import FORMATS, Hints, Table, read_table, suffix_of
from bench.errors import BenchError, nearest

_PARTS = re.compile(r"-\d+-of-(\d+)\.")
"""How names of parts of a split tell the number of parts."""

TIMEOUT = 10.0
"""Seconds for which the hub may stay silent."""


@dataclass(frozen=True)
class Request:
    """What is wanted of the hub.

    Attributes:
        repo: ``owner/name``.
        config: The configuration; None for the only one.
        train: The hub's name of the training split.
        test: The hub's name of the test split; None for ``test``, else ``validation``, else none.
        revision: A branch, a tag or a commit.
        label_names: Names of integer labels; None for those that the files state.
    """

    repo: str
    config: str | None = None
    train: str = "train"
    test: str | None = None
    revision: str = "main"
    label_names: Sequence[str] | None = None

    def __str__(self) -> str:
        return self.repo if self.config is None else f"{self.repo}, {self.config}"


@dataclass(frozen=True)
class Snapshot:
    """The tables of a data set of the hub at one commit; without the hub, those that its cache holds."""

    repo: str
    revision: str
    commit: str
    names: tuple[str, ...]
    cached: bool

    def places(self, split: str) -> dict[str, list[str]]:
        """Folder → tables of one split.

        The split's name is the file's (``sst2/train-00000-of-00001.parquet``, ``train.csv``) or is that of its
        folder (``default/train/0000.parquet``); the rest of the path is the place, ``""`` at the top.
        """
        # `train_small.csv` or `validation_matched.csv` is another split, a number after the name is a part.
        begins = re.compile(rf"{re.escape(split)}([-_]?\d[\w-]*)?\.", re.IGNORECASE)
        places: dict[str, list[str]] = {}
        for name in self.names:
            *folders, file = name.split("/")
            if split in folders or begins.match(file):
                place = "/".join(folder for folder in folders if folder not in (split, "data"))
                places.setdefault(place, []).append(name)
        return {place: _of_one_format(names) for place, names in places.items()}

    def files(self, config: str | None, split: str) -> list[str]:
        """The tables of one split of a configuration; none, if there is no such split or configuration.

        Raises:
            BenchError: No configuration is named and there are several.
        """
        places = self.places(split)
        if config is not None:
            return next((files for place, files in places.items() if config in place.split("/")), [])
        if len(places) > 1 and "default" not in places and "" not in places:
            raise BenchError(
                f"{self.repo} has several configurations: name one, as {self.repo}:{min(places)} "
                f"(known: {', '.join(sorted(places)[:20])})."
            )
        return places.get("") or places.get("default") or next(iter(places.values()), [])

    def read(self, names: Sequence[str], columns: Columns) -> list[Table]:
        """Download what is not in the cache, and read."""
        from huggingface_hub import snapshot_download

        try:
            folder = Path(
                snapshot_download(
                    self.repo,
                    repo_type="dataset",
                    # The name, not the commit: the cache then remembers what the name meant.
                    revision=self.revision,
                    allow_patterns=[glob.escape(name) for name in names],
                    etag_timeout=TIMEOUT,
                    local_files_only=self.cached,
                )
            )
        except _failures() as error:
            raise UnavailableError(f"hub: {self.repo} could not be downloaded ({_reason(error)})") from None
        if folder.name != self.commit:
            raise UnavailableError(f"hub: {self.repo} was changed during the download; try again")
        parts = {len(names)} | {int(part[1]) for name in names if (part := _PARTS.search(name))}
        if len(parts) > 1 or not all((folder / name).is_file() for name in names):
            raise UnavailableError(f"hub: {self.repo} is incomplete in the cache, and the hub was not reached")
        hints = Hints(no_texts=columns.no_texts)
        return [read_table(folder / name, columns.wanted, name, hints) for name in names]


def fetch(request: Request, columns: Columns, *, download: bool = True) -> Fetched:
    """The rows of a data set of the hub; without `download`, as its cache holds them.

    Raises:
        UnavailableError: The hub cannot be reached and its cache does not hold the files; there is no such data set.
        BenchError: The data set is there, but not with such a configuration, split or column.
    """
    with _quiet():
        snapshot = _find(request, download)
        test = request.test
        notes: tuple[str, ...] = ()
        if test is None:
            test = next((name for name in ("test", "validation") if snapshot.files(request.config, name)), None)
            if test == "validation":
                notes = ("The data set has no test split: its validation split is the test side.",)
        tables: dict[str, list[Table]] = {}
        for split in (request.train,) if test is None else (request.train, test):
            if not (names := snapshot.files(request.config, split)):
                raise BenchError(f"{request} has no split '{split}' on the hub.")
            tables[split] = snapshot.read(names, columns)
    return Fetched(
        _join(tables[request.train], "train", columns, request.label_names),
        None if test is None else _join(tables[test], "test", columns, request.label_names),
        Provenance(
            kind="hub",
            description=f"hub, {request} at {snapshot.commit[:12]}",
            files={table.file: table.sha256 for split in tables.values() for table in split},
            repo=request.repo,
            revision=snapshot.commit,
        ),
        notes,
    )


def _find(request: Request, download: bool) -> Snapshot:
    """The snapshot that has the training split: at the revision, else in the hub's own conversion of main."""
    revisions = (request.revision, CONVERTED) if request.revision == "main" else (request.revision,)
    reasons: list[UnavailableError] = []
    seen: list[Snapshot] = []
    for revision in revisions:
        try:
            snapshot = resolve(request.repo, revision, download=download)
        except UnavailableError as error:
            reasons.append(error)
            continue
        if snapshot.files(request.config, request.train):
            return snapshot
        seen.append(snapshot)
    if not seen or all(snapshot.cached for snapshot in seen):
        raise reasons[0] if reasons else UnavailableError(f"hub: not reached, and {request} is not in its cache")
    known = {place for snapshot in seen for place in snapshot.places(request.train)}
    if request.config is not None and known:
        raise BenchError(f"{request.repo} has no configuration '{request.config}': {nearest(request.config, known)}")
    raise BenchError(
        f"{request.repo} has no table (csv, tsv, jsonl, parquet) of a split '{request.train}', neither at "
        f"{request.revision} nor in the hub's conversion. Loading scripts are never run; pass a file of it."
    )


def resolve(repo: str, revision: str, *, download: bool = True) -> Snapshot:
    """The commit that `revision` means now or, where the hub cannot or must not be asked, meant when it was last used.

    Raises:
        UnavailableError: Neither the hub nor its cache knows the data set or the revision.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if not download:
        if (found := _cached(repo, revision)) is None:
            raise UnavailableError(f"hub: not asked in a dry run, and {repo} is not in its cache")
        return found
    try:
        info = HfApi().dataset_info(repo, revision=revision, timeout=TIMEOUT)
    except _failures() as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        if isinstance(error, ValueError) or (status is not None and 400 <= status < 500):
            raise UnavailableError(f"hub: {repo} at {revision} is refused ({_reason(error)})") from None
        if (found := _cached(repo, revision)) is None:
            raise UnavailableError(f"hub: unreachable, and {repo} is not in its cache ({_reason(error)})") from None
        return found
    siblings = (sibling.rfilename for sibling in info.siblings or ())
    return Snapshot(repo, revision, str(info.sha), _tables(siblings), cached=False)


def _cached(repo: str, revision: str) -> Snapshot | None:
    from huggingface_hub import snapshot_download

    try:
        # No pattern: the folder alone is asked for; whether it has the files wanted is seen later.
        folder = Path(
            snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=[], local_files_only=True)
        )
    except _failures():
        return None
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Snapshot(repo, revision, folder.name, _tables(files), cached=True)


def _tables(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if suffix_of(name)))


def _of_one_format(names: list[str]) -> list[str]:
    """The names in the best typed format: a split that is there in several has the same rows in each."""
    formats = list(FORMATS)
    best = min((suffix_of(name) or "" for name in names), key=formats.index)
    return [name for name in names if suffix_of(name) == best]


def _join(tables: list[Table], side: str, columns: Columns, label_names: Sequence[str] | None) -> Rows:
    rows = Rows([], [], [], [])
    for table in tables:
        rows += rows_of(table, side, columns, label_names)
    if len(tables) == 1:
        return rows
    # Each part numbers its rows from zero.
    return Rows([f"{side}/{number}" for number in range(len(rows))], rows.texts, rows.labels, rows.groups)


def _failures() -> tuple[type[Exception], ...]:
    """What the hub's library raises when something is absent, unreachable or refused."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # The first base is the root of its HTTP client's errors; which client that is differs between releases.
    return (OSError, HFValidationError, HfHubHTTPError.__bases__[0])


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')[:160]}" if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the hub's library: its bars would tear ours, and its warnings end in our own messages."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger = logging.getLogger("huggingface_hub")
    level, bars = logger.level, not are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            enable_progress_bars()
