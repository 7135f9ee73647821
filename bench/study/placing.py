"""A study whose file of rows grows: what it remembers of the rows, and what becomes of later ones.

What the search scored stands on the training rows that it had. The confirmation tests on all test rows that there are
by now, none of which any search has seen, and an export trains on all training rows.
"""

from typing import Any

from bench.datasets.dataset import Dataset
from bench.datasets.sides import Sides
from bench.errors import BenchError, counted, listed
from bench.evaluation.protocol import Protocol
from bench.progress import Progress
from bench.study.journal import Journal

NOTE = "sides"


def placed(note: Any) -> Sides | None:
    """The sides of a study's rows, from its note; None where none were kept."""
    return None if note is None else Sides.model_validate(note)


def keep(journal: Journal, dataset: Dataset, protocol: Protocol) -> None:
    """Remember where rows were placed when they were first split."""
    if dataset.sides is not None and journal.note(NOTE) is None:
        # who selects on the test set must not be given another one
        closed = ("test",) if protocol.name == "paper" else ()
        journal.keep(NOTE, dataset.sides.model_copy(update={"closed": closed}).model_dump(mode="json"))


def tell(dataset: Dataset, progress: Progress) -> None:
    """Say what of a file has changed.

    Raises:
        BenchError: rows are gone that the study stands on.
    """
    grown = dataset.grown
    if grown is None:
        return
    if gone := [name for names in grown.gone.values() for name in names]:
        raise BenchError(
            f"{dataset.name} lacks {counted(len(gone), 'row')} that the study has searched, or their texts have "
            f"changed: {listed(gone)}. "
            "A file may grow: put them back, or search what is left under another `study` name."
        )
    train, test = grown.rows["train"], grown.rows["test"]
    if train + test:
        progress.say(
            f"{dataset.name} has {counted(train + test, 'row')} more than when the study began: {train} to train on "
            f"(an export does; what was searched stands on the {len(dataset.train)} before), {test} to test on (the "
            "confirmation does)."
        )
