"""What is written down where a shelf has adopted the rows of another: they were computed under other library versions.

The record makes the adoption: it is written whole, last, and beside the shelf that adopts; the other stays as it is.
What was refused is written down too, beside the shelf that is extracted instead: rows are not asked about twice.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import BenchError, check_format, unreadable
from bench.files import write_json
from bench.specs import Spec
from bench.store.shelf import Shelf

FORMAT = 1
RECORD = "adopted.json"
REFUSED = "refused.json"
Kind = TypeVar("Kind", bound=Spec)


class Adoption(Spec):
    """That rows of the extraction `of` come out the same under the versions of now, as far as was looked.

    Attributes:
        of: The fingerprint of the extraction whose rows were adopted.
        versions: Library → its version then, and now.
        rows: How many were computed again.
        slots: The layers and poolings that were compared; of those that are not here nothing is known.
        error: How far the worst lies from what was stored, as a share of its norm.
        slot: The layer and pooling of that one.
        allowed: The error up to which rows are the same.
        when: The time, in UTC.
    """

    format: int = FORMAT
    of: str
    versions: Mapping[str, tuple[str | None, str | None]]
    rows: int
    slots: tuple[str, ...] = ()
    error: float
    slot: str
    allowed: float
    when: str


class Refusals(Spec):
    """Fingerprints of extractions whose rows are not adopted, and why."""

    format: int = FORMAT
    of: Mapping[str, str]


def adoption_of(folder: Path) -> Adoption | None:
    """What the shelf in `folder` has adopted; None where it has adopted nothing, or its record was altered.

    Raises:
        BenchError: the record cannot be read.
    """
    return _read(folder / RECORD, Adoption)


def refusals(folder: Path) -> Mapping[str, str]:
    """Fingerprint → why, of what the shelf in `folder` has refused; nothing where the record was altered.

    Raises:
        BenchError: the record cannot be read.
    """
    found = _read(folder / REFUSED, Refusals)
    return found.of if found else {}


def adopt(shelf: Shelf, adoption: Adoption) -> None:
    """Let `shelf`, whose identity names the adopted extraction, read its rows from now on.

    Raises:
        BenchError: the disk is full or the folder cannot be written.
    """
    _write(shelf, RECORD, adoption)


def refuse(shelf: Shelf, earlier: str, why: str) -> None:
    """Remember that `shelf` is not to adopt the rows of that extraction.

    Raises:
        BenchError: the disk is full or the folder cannot be written.
    """
    _write(shelf, REFUSED, Refusals(of={**refusals(shelf.folder), earlier: why}))


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, content["format"], FORMAT)
        return kind.model_validate(content)
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def _write(shelf: Shelf, name: str, record: Spec) -> None:
    content: dict[str, Any] = record.model_dump(mode="json")
    try:
        shelf.introduce()
        write_json(shelf.folder / name, content)
        shelf.files.publish(shelf.folder / name)
    except OSError as error:
        raise BenchError(f"Cannot write to {shelf.folder}: {error.strerror or error}.") from error
