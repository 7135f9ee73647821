"""What an open package says of many rows, a part at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import atomic
from bench.packaging.answers import Layout, writer_of
from bench.packaging.classifier import Classifier
from bench.packaging.texts import TextFile
from bench.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Answers:
    """The answers to rows, in their order; they are computed while they are gone through, which can be done once.

    Raises:
        BenchError: a column that is to stand beside the answers has the name of one of theirs.
    """

    classifier: Classifier
    rows: TextFile
    title: str
    progress: Progress

    def __post_init__(self) -> None:
        for name in self.rows.beside:
            if name in self.classifier.columns:
                self.classifier.close()
                raise BenchError(f"The answer has a column '{name}' of its own: rename the one to be kept beside it.")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The columns beside the texts and those of the answer, as JSON values; closes the classifier at the end."""
        try:
            with self.progress.task(self.title, self.rows.count, "texts") as task:
                for part in self.rows:
                    # the shortest decimals that are these float32
                    said = self.classifier.answers(part.texts, lambda number: float(str(number)))
                    yield from (beside | answer for beside, answer in zip(part.beside, said, strict=True))
                    task.advance(len(said))
        finally:
            self.classifier.close()

    def to_frame(self) -> "pd.DataFrame":
        """All of them, a row a text; numbers by label are a column each, as in ``probabilities.spam``."""
        import pandas as pd

        found = pd.DataFrame(list(self))
        for name, kind in self.classifier.columns.items():
            if kind == "numbers by name":
                values = [value or {} for value in found.pop(name)]
                found = found.join(pd.DataFrame(values, columns=self.classifier.pipeline.labels).add_prefix(f"{name}."))
        return found if self.rows.index is None else found.set_index(self.rows.index)

    def __repr__(self) -> str:
        """How many there will be."""
        return f"<Answers to {self.rows.count} texts, computed as they are gone through>"

    def save(self, out: Path | str) -> None:
        """Write all of them to `out`, whole or not at all, as the ending of its name says: .jsonl, .csv or .parquet.

        Raises:
            BenchError: it is another ending.
        """
        write, pipeline = writer_of(Path(out)), self.classifier.pipeline
        layout = Layout(self.rows.beside, self.classifier.columns, pipeline.labels)
        with atomic(Path(out)) as temporary:
            write(self, layout, temporary)
