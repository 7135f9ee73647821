"""Training rows whose label is contradicted by what several candidates said of them out of fold.

A row is listed where the mean over candidates is confidently of another class (confident learning, see
`bench.metrics.confident`); those whose label is farthest behind come first. That is a question to a person and no
verdict: a text that is hard for every candidate is listed as well. Test rows have no part in it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.labelling.committee import mean, out_of_fold
from bench.labelling.written import save
from bench.metrics import contradicted, label_margins
from bench.study.study import Study
from bench.views import plain


@dataclass(frozen=True)
class Suspect:
    """A training row whose label is contradicted.

    Attributes:
        id: The row's own.
        label: As it is.
        instead: The class that the candidates together hold most likely.
        margin: How far the label is ahead of the likeliest other class, in the mean over candidates, from −1 to 1.
        probability: Of the label, in the mean over candidates.
        against: How many of the candidates hold another class most likely.
        text: None where texts are to be kept out.
    """

    id: str
    label: str
    instead: str
    margin: float
    probability: float
    against: int
    text: str | None


@dataclass(frozen=True, repr=False)
class Suspects:
    """The rows of a study whose labels are contradicted, the clearest first.

    Attributes:
        study: Its name.
        candidates: Who was asked, in words, the best first.
        rows: How many training rows they were asked about.
        found: What they contradict.
    """

    study: str
    candidates: tuple[str, ...]
    rows: int
    found: tuple[Suspect, ...]

    def __iter__(self) -> Iterator[Suspect]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __repr__(self) -> str:
        """How many of how many: the rows hold texts."""
        return f"<{len(self.found)} of {self.rows} training rows of '{self.study}' whose label is contradicted>"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found = [asdict(each) for each in self.found]
        return {"study": self.study, "candidates": list(self.candidates), "rows": self.rows, "suspects": found}

    def save(self, out: Path | str) -> None:
        """Write all of them to `out`, a row each, as the ending of its name says: .csv or .jsonl.

        Raises:
            BenchError: it is another ending.
        """
        save([asdict(each) for each in self.found], [*Suspect.__dataclass_fields__], Path(out))


def suspects(study: Study) -> Suspects:
    """The training rows of a study whose labels its best candidates contradict, from predictions that are kept.

    Raises:
        BenchError: the labels are no classes, or no candidate has probabilities of rows that it was not trained on.
    """
    rows, members = out_of_fold(study)
    train, names = study.scorer.dataset.train, study.scorer.dataset.labels
    labels, together = train.labels[rows], mean(members)
    each_margin = np.stack([label_margins(labels, each.probabilities) for each in members])
    margins, against = each_margin.mean(axis=0), (each_margin < 0).sum(axis=0)
    places = np.flatnonzero(contradicted(labels, together))
    order = places[np.argsort(margins[places], kind="stable")]
    found = tuple(
        Suspect(
            id=train.ids[rows[place]],
            label=names[labels[place]],
            instead=names[together[place].argmax()],
            margin=float(margins[place]),
            probability=float(together[place, labels[place]]),
            against=int(against[place]),
            text=None if study.request.dataset.no_texts else plain(train.texts[rows[place]]),
        )
        for place in order.tolist()
    )
    return Suspects(study.name, tuple(each.name for each in members), len(rows), found)
