"""Small inputs of the kinds that once passed in silence, by the number of the kind: `tests/inputs/NN/`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.datasets.columns import Columns, rows_of
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.datasets.tables import read_table
from bench.errors import BenchError
from bench.files import CHECKSUMS, altered, write_checksums
from bench.gate import baseline
from bench.packaging.pipeline import PackagedModel
from bench.specs import ExtractionSettings
from bench.study.settings import SearchRequest
from bench.tracking.mlflow.patience import reason_of

INPUTS = Path(__file__).parent / "inputs"
LEAST = 3


def outage(path: Path, _: Path) -> str:
    """What people are told of an answer of the tracking store."""
    content = json.loads(path.read_text())
    return reason_of(Exception(content["error"]), content["address"])


def conversion(path: Path, scratch: Path) -> str | None:
    """What is wrong with a folder of a conversion into which the input was put."""
    (scratch / "config.json").write_text("{}")
    write_checksums(scratch)
    put = CHECKSUMS if path.name.startswith("checksums") else "config.json"
    (scratch / put).write_bytes(path.read_bytes())
    return altered(scratch)


def permission(path: Path, _: Path) -> bool:
    """Whether what was read lets code run."""
    kinds: dict[str, Any] = {
        "extraction": ExtractionSettings,
        "request": SearchRequest,
        "pinned": baseline.Pinned,
        "packaged": PackagedModel,
    }
    content = json.loads(path.read_text())
    found = kinds[content["kind"]].model_validate(content["value"])
    settings = {"request": "extraction", "pinned": "extraction", "packaged": "settings"}.get(content["kind"])
    return bool((getattr(found, settings) if settings else found).trust_remote_code)


def gate(path: Path, scratch: Path) -> Any:
    """The project's own baseline with a value of the input in it."""
    whole, change = json.loads((INPUTS.parent / "baseline.json").read_text()), json.loads(path.read_text())
    inside, (*way, last) = whole, change["at"]
    for step in [*way, last]:
        # of a mapping the first value
        keys = list(inside) if isinstance(inside, dict) and isinstance(step, int) else None
        step = keys[step] if keys else step
        holder, inside = inside, inside[step]
    holder[step] = change["value"]
    (scratch / "baseline.json").write_text(json.dumps(whole))
    return baseline.read(scratch / "baseline.json")


def table(path: Path, _: Path) -> Any:
    found = rows_of(read_table(path, Columns().wanted), "train", Columns())
    return list(zip(found.texts, found.labels, strict=True))


def missing(path: Path, _: Path) -> Any:
    columns = Columns(group="group", drop_unlabelled=True)
    found = rows_of(read_table(path, columns.wanted), "train", columns)
    return found.ids, found.texts, found.labels, found.groups


def labels(path: Path, _: Path) -> Any:
    return set(load(DatasetRequest(name=str(path))).labels)


QUOTED = [("one, two", "a"), ('three "quoted"', "b")]
PRESENT = (["train/0", "train/2", "train/3"], ["one", "", "four"], ["a", "b", "b"], ["g", None, None])
FOUND: dict[str, tuple[Callable[[Path, Path], Any], Any]] = {
    "05/page-of-a-proxy.json": (outage, "API request to https://mlflow.example/api/2.0/mlflow/runs/create failed"),
    "08/config-with-auto-map.json": (conversion, "config.json was altered"),
    "08/checksums-of-nothing.json": (conversion, "its checksums.json is damaged"),
    "08/checksums-that-lack-a-file.json": (conversion, "config.json was altered"),
    "09/extraction-says-yes.json": (permission, False),
    "09/request-of-a-journal.json": (permission, False),
    "09/baseline-of-a-pull-request.json": (permission, False),
    "09/package-of-a-stranger.json": (permission, False),
    "10/nan-in-a-fold.json": (gate, BenchError("is not valid at scores.0.folds.1.2")),
    "10/infinite-score.json": (gate, BenchError("is not valid at scores.0.f1.0")),
    "10/no-latency.json": (gate, BenchError("latency: Input should be greater than 0")),
    "10/infinite-hidden-state.json": (gate, BenchError("Input should be a finite number")),
    "10/better-than-all-right.json": (gate, BenchError("no macro-F1 is better than 1")),
    "13/excel-semicolons.csv": (table, [("one; and two", "a"), ('three "quoted"', "b")]),
    "13/comments-and-bars.csv": (table, QUOTED),
    "13/utf-16-without-a-mark.tsv": (table, QUOTED),
    "13/columns-of-pandas.json": (table, BenchError("holds columns, not rows")),
    "13/ragged.csv": (table, BenchError("2 rows cannot be used")),
    "14/empty-cells.csv": (missing, PRESENT),
    "14/null-and-absent.jsonl": (missing, PRESENT),
    "14/not-a-number.json": (missing, PRESENT),
    "15/normal-forms.csv": (labels, {"café", "bar"}),
    "15/invisible-and-doubled.csv": (labels, {"in time", "late"}),
    "15/truth-values.jsonl": (labels, {"true", "false"}),
    "15/case-alone.csv": (labels, {"Yes", "yes", "no"}),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_made_of_an_input(name: str, tmp_path: Path) -> None:
    read, expected = FOUND[name]
    if isinstance(expected, BenchError):
        with pytest.raises(BenchError) as refused:
            read(INPUTS / name, tmp_path)
        assert str(expected) in str(refused.value)
    elif isinstance(expected, str):
        assert str(read(INPUTS / name, tmp_path)).startswith(expected)
    else:
        assert read(INPUTS / name, tmp_path) == expected


NUMBERS = [f"{number:02}" for number in range(1, 20)]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_kind_has_inputs_of_its_own(number: str) -> None:
    found = [path for path in (INPUTS / number).rglob("*") if path.is_file()]
    assert len(found) >= LEAST, f"tests/inputs/{number} has {len(found)}: put small inputs there, and use them in tests"


@pytest.mark.parametrize("number", NUMBERS)
def test_every_input_is_used(number: str) -> None:
    """By its name, or by that of a folder above it, or by a pattern over all of its kind."""
    tests = "".join(path.read_text(encoding="utf-8") for path in INPUTS.parent.glob("*.py"))
    for path in (each for each in (INPUTS / number).rglob("*") if each.is_file()):
        inside = path.relative_to(INPUTS)
        names = inside.parts[1:]
        assert any(name in tests for name in names) or f'"{number}"' in tests, f"no test names tests/inputs/{inside}"
