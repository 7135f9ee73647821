"""What a reproduction leaves: findings and files of each study, and a page that leads to all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import atomic
from bench.notebook import Shown
from bench.reproduce.columns import Row
from bench.reproduce.index import Part, index_page
from bench.reproduce.study import Findings, PaperStudy

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class FinishedStudy(Shown):
    """A study on a data set, finished. `dataset` joins the names where it is across several.

    `untracked` says why the tracking store lacks something of it, `index` where the page of the whole run lies, and
    `models` which were run.
    """

    study: PaperStudy
    dataset: str
    findings: Findings
    files: tuple[Path, ...]
    tracking_uri: str | None
    parent_run_id: str | None
    untracked: str | None
    index: Path | None = None
    models: tuple[str, ...] = ()

    @property
    def shown_words(self) -> str:
        """The findings in sentences."""
        return "\n".join(self.findings.notes)

    def to_frame(self) -> "pd.DataFrame":
        """The rows of the study's table."""
        import pandas as pd

        return pd.DataFrame(self.findings.rows)

    def to_json(self) -> dict[str, Any]:
        """As `--json` gives it."""
        return {
            "study": self.study.name,
            "dataset": self.dataset,
            "rows": [_plain(row) for row in self.findings.rows],
            "published": [_plain(row) for row in self.findings.published],
            "files": [str(path) for path in self.files],
            "tracking_uri": self.tracking_uri,
            "parent_run_id": self.parent_run_id,
        } | ({} if self.untracked is None else {"untracked": self.untracked})


def _plain(row: Row) -> Row:
    return {name: None if value != value else value for name, value in row.items()}


def write(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Contents as files of a folder, each whole or as it was.

    Raises:
        BenchError: one cannot be written.
    """
    paths = []
    for name, content in contents.items():
        path = folder / name
        try:
            with atomic(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise BenchError(f"{path} cannot be written: {error.strerror}. Name another folder with `out`.") from error
        paths.append(path)
    return tuple(paths)


def indexed(done: Sequence[FinishedStudy], folder: Path, about: Mapping[str, Any]) -> list[FinishedStudy]:
    """The same with a page in `folder` that leads to all of them."""
    parts = [
        Part.of(
            f"{each.study.name}: {each.dataset}",
            f"{each.findings.title or each.study.summary}. In the paper: {each.study.paper}.",
            each.findings.notes,
            each.files,
            folder,
        )
        for each in done
    ]
    title = f"Reproduced on {', '.join(dict.fromkeys(name for each in done for name in each.dataset.split(', ')))}"
    (path,) = write(folder, {"index.html": index_page(title, about, parts)})
    return [replace(each, index=path) for each in done]
