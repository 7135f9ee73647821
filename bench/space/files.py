"""Space files: found, read, and explained where they are wrong."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import BenchError, nearest
from bench.space.schema import FORMED, FORMS, SearchSpace


def spaces_folder() -> Path:
    """Where the space files lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"


def find(name: str) -> Path:
    """The file of a space given by name (`default`) or by path.

    Raises:
        BenchError: there is no such file.
    """
    for path in (spaces_folder() / f"{name}.toml", Path(name)):
        if path.is_file():
            return path
    known = [path.stem for path in spaces_folder().glob("*.toml")]
    raise BenchError(
        f"There is no search space '{name}', neither a file nor one of search_spaces/: {nearest(name, known)}"
    )


def load(name: str) -> SearchSpace:
    """Read and validate a space file.

    Raises:
        BenchError: the file cannot be read or breaks the schema; the message names file, key and nearest valid name.
    """
    path = find(name)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise BenchError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise BenchError(f"{path} is not valid TOML: {error}") from error
    try:
        return SearchSpace.model_validate(content)
    except ValidationError as error:
        # a list whose only member is wrong is also reported as too short
        problems = [each for each in error.errors() if each["type"] != "too_short" or not each["input"]]
        raise BenchError("\n".join(_explain(path, problem) for problem in problems)) from error


def _explain(path: Path, problem: Any) -> str:
    """One line a problem: file, key, what is wrong and the nearest valid name."""
    # pydantic names the form of a setting (a number, choices, a range) that it tried; the file has no such key
    parts = [str(part) for part in problem["loc"]]
    where = [part for index, part in enumerate(parts) if not (part in FORMS and parts[index - 1] in FORMED)]
    key = ".".join(where) or "(top level)"
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown key '{key}': {nearest(where[-1], _keys(where[:-1]))}"
    if problem["type"] == "missing":
        return f"{path}: the key '{key}' is missing"
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        choices = [word.strip("'") for word in problem["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return f"{path}: '{key}': there is no '{problem['input']}': {nearest(problem['input'], choices)}"
    message = problem["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list").replace("Tuple", "List")
    return f"{path}: '{key}': {message} (got {problem['input']!r:.60})"


def _keys(where: Sequence[str]) -> list[str]:
    """The keys that the schema knows at that place."""
    node = SearchSpace.model_json_schema()
    definitions = node.get("$defs", {})
    for part in where:
        node = node.get("properties", {}).get(part, {})
        options = (node, *node.get("anyOf", ()), *node.get("oneOf", ()))
        names = [option["$ref"].rsplit("/", 1)[-1] for option in options if "$ref" in option]
        properties = [definitions[name].get("properties", {}) for name in names]
        node = {"properties": {key: value for each in properties for key, value in each.items()}} if names else node
    return list(node.get("properties", {}))


def schema() -> str:
    """The JSON schema of space files, for editors."""
    return json.dumps(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **SearchSpace.model_json_schema()}, indent=2
    )
