"""The JSON files of a model's folder, which others wrote."""

import json
from pathlib import Path
from typing import Any

from bench.errors import BenchError


def read_json(path: Path) -> Any:
    """What a JSON file holds; None of one that is not there.

    Raises:
        BenchError: it cannot be read, or is not valid JSON; a clause.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{path.name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{path.name} is not valid JSON ({error})") from error


def read_object(path: Path) -> dict[str, Any] | None:
    """The same of a file that holds an object.

    Raises:
        BenchError: it holds something else, too.
    """
    found = read_json(path)
    if found is None and not path.is_file():
        return None
    if not isinstance(found, dict):
        raise BenchError(f"{path.name} is not valid JSON (it is no object)")
    return found
