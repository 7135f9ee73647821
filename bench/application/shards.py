"""Some rows of a file, and their answers as a file of their own: what a worker does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.application.places import Files
from bench.errors import BenchError
from bench.evaluation.rule import Rule
from bench.packaging.answers import Layout, writer_of
from bench.packaging.classifier import Classifier
from bench.packaging.texts import TextFile


@dataclass(frozen=True, eq=False)
class Opening:
    """By which a worker opens the package. `key` tells one opening from another."""

    key: str
    package: Path
    rule: Rule
    trust_remote_code: bool


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is written: its rows, those without a text, and the seconds that the answers and the file took."""

    rows: int
    blank: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Shard:
    """Rows of one file, in order, and where their answers go. An errand (see `bench.executors.base`)."""

    opening: Opening
    texts: list[str | None]
    beside: list[dict[str, Any]]
    types: Mapping[str, type]
    place: Files
    name: str

    @property
    def tool(self) -> str:
        """The classifier."""
        return self.opening.key

    def prepare(self, store: Path, device: str) -> Classifier:
        """The open classifier."""
        how = self.opening
        found = Classifier.open(how.package, store, trust_remote_code=how.trust_remote_code, device=device)
        try:
            return found.under(how.rule)
        except BaseException:
            found.close()
            raise

    def answer(self, tool: Classifier) -> WrittenShard:
        """Answer the rows and write them, whole or not at all."""
        started = time.perf_counter()
        # the shortest decimals that are these float32
        said = tool.answers(self.texts, lambda number: float(str(number)))
        rows = (beside | each for beside, each in zip(self.beside, said, strict=True))
        layout = Layout(self.types, tool.columns, tool.pipeline.labels)
        try:
            with self.place.written(self.name) as temporary:
                writer_of(Path(self.name))(rows, layout, temporary)
        except OSError as error:
            raise BenchError(
                f"{self.name} cannot be written to {self.place.shown} ({error.strerror or error}). The files that are "
                "there are whole: make room or get the right to write, then run the same command again."
            ) from error
        blank = sum(text is None for text in self.texts)
        return WrittenShard(len(self.texts), blank, time.perf_counter() - started)


def cut(rows: TextFile, size: int) -> Iterator[tuple[int, list[str | None], list[dict[str, Any]]]]:
    """Runs of `size` rows of a file, the last one shorter, each with the number of its first row, from 0."""
    start = 0
    texts: list[str | None] = []
    beside: list[dict[str, Any]] = []
    for part in rows:
        texts += part.texts
        beside += part.beside
        while len(texts) >= size:
            yield start, texts[:size], beside[:size]
            texts, beside, start = texts[size:], beside[size:], start + size
    if texts:
        yield start, texts, beside
