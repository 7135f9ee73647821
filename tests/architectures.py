"""What becomes of every kind of text body that transformers has: read exactly, or refused. Small random bodies.

python tests/architectures.py            prints the table
python tests/architectures.py NAME …     of these alone
python tests/architectures.py --write    also writes it to docs/architectures.md

The bodies stand in architectures.json: configuration class, then what it is made with beside `conftest.SMALL` (null
leaves one of those out). Each goes through the self-test of `bench.proof`, on a processor, in float32.
"""

import json
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import transformers
from conftest import SMALL, random_body

from bench import proof
from bench.backends.architectures import fastest_attention
from bench.backends.resolution import resolve as resolve_settings
from bench.errors import BenchError
from bench.models.resolve import resolve
from bench.specs import ExtractionSettings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architectures.md"
BODIES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
HEADER = ("body", "attention", "tokens see", "verdict", "seconds")


class Row(NamedTuple):
    """A line of the table; `seconds` are those of loading and testing it."""

    body: str
    attention: str
    sees: str
    verdict: str
    seconds: float

    @property
    def cells(self) -> tuple[str, ...]:
        return self.body, self.attention, self.sees, self.verdict, f"{self.seconds:.1f}"


def rows(names: Iterable[str] = BODIES) -> Iterator[Row]:
    settings = resolve_settings(ExtractionSettings(device="cpu"))
    for name in names:
        with tempfile.TemporaryDirectory() as home:
            model = resolve(str(_saved(name, Path(home) / "body")), Path(home))
            started = time.perf_counter()
            try:
                opened, found = proof._proven(model, settings, Path(home), proof.SILENT, model.layers)
                opened.close()
                verdict = "exact" if found.padded else "exact, texts of one length together"
            except BenchError as error:
                verdict = f"refused: {_short(str(error), model.name)}"
            seconds = time.perf_counter() - started
            sees = "those before" if model.causal else "all"
            yield Row(name.replace("Config", ""), fastest_attention(model), sees, verdict, seconds)


def _saved(name: str, folder: Path) -> Path:
    options = {key: value for key, value in {**SMALL, **BODIES[name]}.items() if value is not None}
    kind = getattr(transformers, name.partition(",")[0])
    return random_body({"model_type": kind.model_type, **options}, folder)


def _short(message: str, name: str) -> str:
    """The clause that says what is wrong."""
    said = message.replace(f"'{name}' ", "").removeprefix("Model ")
    if found := re.search(r"at (layer \d+) under .*? differ from those of (.*?) by", said):
        return f"{found[1]} differs from {found[2]}"
    clause = re.split(r": |\. | is expected", re.sub(r"\(\w+\) ", "", said))[0]
    return re.sub(r", where (one|\[2, 5, \d+\])$", "", clause)


def table(found: Iterable[Row]) -> str:
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells for row in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(found: list[Row]) -> str:
    exact = sum(row.verdict.startswith("exact") for row in found)
    return f"""# Which bodies can be read

Small random bodies of the text models that transformers {transformers.__version__} has, in the self-test that runs when
[a model is first opened](backends.md): {exact} of {len(found)} are read exactly, the others are refused before anything
is extracted. The bodies that bench's tests compare under every backend (Llama, Mistral, Phi-3, Qwen 2 and 3, Gemma 3,
BERT, RoBERTa, XLM-R) need no such test. Written by `python tests/architectures.py --write`.

{table(found)}
"""


def main(arguments: list[str]) -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    names = [name for name in arguments if name != "--write"]
    found = []
    for row in rows(names or BODIES):
        found.append(row)
        print(" | ".join(row.cells), flush=True)
    if "--write" in arguments:
        PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
