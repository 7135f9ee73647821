"""What is asked of an application: files to read, how, and what answers them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal

from bench.application.places import Files, Here
from bench.errors import BenchError
from bench.evaluation.rule import LIKELIEST, Rule
from bench.packaging.texts import AS_USUAL, Reading

Format = Literal["parquet", "jsonl", "csv"]
SHARD_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class Applying:
    """One application.

    Attributes:
        package: The folder of an exported pipeline.
        source: Where a file of texts lies, or a folder of such files.
        out: Where the answers are to lie.
        reading: How the files are read.
        rule: How an answer follows from probabilities, whatever the package says.
        format: Of the answers' files.
        shard_rows: Texts of a shard, the unit of what is written and of what an interruption costs.
        trust_remote_code: Run a model's own code, which must be what was searched.
        settings: What decides about the answers and is none of these, for the record: as the user gave it.
    """

    package: Path
    source: Files
    out: Files
    reading: Reading = AS_USUAL
    rule: Rule = LIKELIEST
    format: Format = "parquet"
    shard_rows: int = SHARD_ROWS
    trust_remote_code: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise BenchError where the answers would come to lie among the texts, or a shard would have no rows."""
        if self.shard_rows < 1:
            raise BenchError(f"A shard has at least one row: `shard_rows` is {self.shard_rows}.")
        source, out = (_path(each) for each in (self.source, self.out))
        if out == source or out in source.parents or source in out.parents:
            raise BenchError(f"The answers need a folder of their own, apart from the texts: not {self.out.shown}.")
        if isinstance(self.out, Here) and self.out.path.is_file():
            raise BenchError(f"{self.out.shown} is a file: the answers are a folder of files, one a shard.")


def _path(place: Files) -> PurePath:
    return place.path.resolve() if isinstance(place, Here) else PurePosixPath(place.shown)
