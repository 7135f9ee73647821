"""Where bench keeps its things: said once, where a command or a Python call comes in, and passed on from there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import platformdirs

from bench.addresses import holds_secret, redacted
from bench.errors import BenchError, check_format
from bench.files import write_json

RUNS = Path("mlruns")
STORE = "BENCH_STORE"
CACHE = "BENCH_STORE_CACHE"
CACHED_GB = 20
ORIGIN = "origin.json"
FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """What the store in a folder is the local part of.

    Attributes:
        address: Of an object store, or of any other place that fsspec reaches.
        bound: Bytes that copies of what was read there may take.
    """

    address: str
    bound: int


def store_home() -> Path:
    """The folder of embeddings and evaluations: `BENCH_STORE`, else a folder of the user's cache.

    Of an address (s3://BUCKET/PATH) it is the folder of what is kept of it here, which says so (`origin`).

    For doors alone (the API, a package that is served): whatever is behind one is given a folder.

    Raises:
        BenchError: the address holds a password.
    """
    place = os.environ.get(STORE)
    if not place:
        return platformdirs.user_cache_path("bench", appauthor=False)
    if place.startswith("file://"):
        return Path(url2pathname(urlsplit(place).path)).resolve()
    return local_part(_given(place.rstrip("/"))) if "://" in place else Path(place).expanduser().resolve()


def _given(address: str) -> Origin:
    if holds_secret(address):
        raise BenchError(
            f"BENCH_STORE={redacted(address)} holds a password or key, which would be seen wherever the address is: "
            "leave it out. fsspec and its packages find it elsewhere, as in AWS_SECRET_ACCESS_KEY or "
            "FSSPEC_FTP_PASSWORD."
        )
    size = os.environ.get(CACHE, str(CACHED_GB))
    try:
        bound = int(float(size) * 1e9)
    except (ValueError, OverflowError):
        raise BenchError(f"{CACHE}={size} is no number of gigabytes.") from None
    return Origin(address, bound)


def local_part(found: Origin) -> Path:
    """This machine's folder of what is kept of an address, which says so (`origin`)."""
    name = re.sub(r"[^\w.-]+", "-", found.address)[-60:].strip("-.")
    home = platformdirs.user_cache_path("bench", appauthor=False) / "remote" / f"{name}-{_digest(found.address)}"
    if origin(home) != found:
        write_json(home / ORIGIN, {"format": FORMAT, **asdict(found)})
    return home


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def origin(home: Path) -> Origin | None:
    """What the store in a folder is the local part of; None where it is whole in itself.

    Raises:
        BenchError: a newer bench has written it.
    """
    try:
        content = json.loads((home / ORIGIN).read_text(encoding="utf-8"))
        check_format(home / ORIGIN, content["format"], FORMAT)
        return Origin(str(content["address"]), int(content["bound"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Home:
    """Two folders.

    Attributes:
        runs: Studies' journals, reports and MLflow's database.
        store: Hidden states, evaluations, and what is known of model files.
    """

    runs: Path
    store: Path

    @classmethod
    def at(cls, place: Home | Path | str | None = None) -> Home:
        """A home as it is, or a folder of runs (``mlruns`` where there is none) with the usual store.

        Raises:
            BenchError: it is neither.
        """
        if isinstance(place, Home):
            return place
        if not isinstance(place, str | os.PathLike | None):
            raise BenchError(f"A home is a folder, and not {place!r}.")
        return cls(RUNS if place is None else Path(place), store_home())
