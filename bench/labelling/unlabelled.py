"""Which texts without a label to label next: those that several candidates are least sure of, and no two alike.

The committee's mean probabilities have a small margin both where its members are unsure and where they contradict each
other (query by committee: Seung, Opper and Sompolinsky, COLT 1992). Of the texts with the smallest margins as many
clusters are made as texts are wanted, in which unsure ones weigh more, and each gives the text that is the least sure
(Zhdanov, Diverse mini-batch Active Learning, 2019).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cascade import margins
from bench.datasets.checks import mended
from bench.datasets.dataset import Dataset, Split, split_fingerprint
from bench.datasets.load import strips
from bench.errors import BenchError
from bench.evaluation.scoring import Scorer
from bench.labelling.committee import Voter, best, mean
from bench.labelling.written import save
from bench.metrics.counts import Floats, Ints
from bench.progress import SILENT, Progress
from bench.specs import AnyCandidate
from bench.study.study import Study
from bench.views import plain

if TYPE_CHECKING:
    from scipy.sparse import spmatrix

POOL = 10
"""So many times the wanted texts are clustered: those with the smallest margins."""


@dataclass(frozen=True)
class ToLabel:
    """A text that should be labelled.

    Attributes:
        id: The row's own, of the first of equal texts.
        label: The class that the candidates together hold most likely.
        second: The one after it.
        margin: How far the first is ahead of the second, from 0 to 1.
        votes: How many candidates hold the first most likely.
        rows: How many rows have this text.
        text: None where texts are to be kept out.
    """

    id: str
    label: str
    second: str
    margin: float
    votes: int
    rows: int
    text: str | None


@dataclass(frozen=True, repr=False)
class Unlabelled:
    """Texts to label next, the least sure first.

    Attributes:
        study: Whose candidates were asked.
        candidates: Who was asked, in words, the best first.
        rows: How many rows with a text there were.
        known: How many of these have the text of a row that is labelled.
        found: What to label.
    """

    study: str
    candidates: tuple[str, ...]
    rows: int
    known: int
    found: tuple[ToLabel, ...]

    def __iter__(self) -> Iterator[ToLabel]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __repr__(self) -> str:
        """How many of how many: the rows hold texts."""
        return f"<{len(self.found)} of {self.rows} texts to label next, by candidates of '{self.study}'>"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "study": self.study,
            "candidates": list(self.candidates),
            "rows": self.rows,
            "known": self.known,
            "label_next": [asdict(each) for each in self.found],
        }

    def save(self, out: Path | str) -> None:
        """Write them to `out`, a row each, as the ending of its name says: .csv or .jsonl.

        Raises:
            BenchError: it is another ending.
        """
        save([asdict(each) for each in self.found], [*ToLabel.__dataclass_fields__], Path(out))


def to_label(
    study: Study, ids: Sequence[str], texts: Sequence[str | None], wanted: int, progress: Progress = SILENT
) -> Unlabelled:
    """The texts to label next; hidden states of those that are new are extracted into the store.

    Args:
        study: Whose best candidates are asked, trained on all its training rows.
        ids: What the rows are called, [rows].
        texts: Without labels, [rows]; None where there is none.
        wanted: How many to choose; fewer where there are no more.
        progress: Told how far it is.

    Raises:
        BenchError: there is no text, the labels are no classes, or a model cannot be run.
    """
    study = study.whole(progress)
    dataset = study.material.dataset
    strip = strips(study.request.dataset.name)
    given = [(name, mended(text.strip() if strip else text)) for name, text in zip(ids, texts, strict=True) if text]
    labelled = {*dataset.train.texts, *dataset.test.texts}
    rows: dict[str, list[str]] = {}
    for name, text in given:
        if text not in labelled:
            rows.setdefault(text, []).append(name)
    known = len(given) - sum(map(len, rows.values()))
    if not given:
        raise BenchError("There is no text to label.")
    if not rows:
        return Unlabelled(study.name, (), len(given), known, ())
    new = _side([each[0] for each in rows.values()], list(rows))
    members, scorer = _asked(study, replace(dataset, test=new, test_only_labels=(), grown=None), progress)
    together = mean(members)
    sure = margins(together)
    chosen = _diverse(_vectors(scorer, members[0].candidate), sure, wanted, scorer.protocol.seed)
    order = np.argsort(-together, axis=1, kind="stable")
    votes = np.sum([each.probabilities.argmax(1) == order[:, 0] for each in members], axis=0)
    found = tuple(
        ToLabel(
            id=new.ids[row],
            label=dataset.labels[order[row, 0]],
            second=dataset.labels[order[row, 1]],
            margin=float(sure[row]),
            votes=int(votes[row]),
            rows=len(rows[new.texts[row]]),
            text=None if study.request.dataset.no_texts else plain(new.texts[row]),
        )
        for row in chosen.tolist()
    )
    return Unlabelled(study.name, tuple(each.name for each in members), len(given), known, found)


def _side(ids: Sequence[str], texts: Sequence[str]) -> Split:
    """Rows of distinct texts in the place of test rows; what their labels are nobody knows, and nothing reads."""
    groups = np.arange(len(texts))
    labels = np.zeros(len(texts), dtype=np.int64)
    return Split(tuple(ids), tuple(texts), labels, groups, split_fingerprint(texts, [""] * len(texts), groups))


def _asked(study: Study, dataset: Dataset, progress: Progress) -> tuple[list[Voter], Scorer]:
    """The best candidates with what they say of a data set's test rows, under the first seed of the confirmation."""
    records = best(study, trainable=True)
    deepest: dict[str, int] = {}
    for source in (source for record in records for source in record.candidate.sources):
        deepest[source.model] = max(source.layer, deepest.get(source.model, 0))
    material = replace(study.material, dataset=dataset).within(deepest)
    material.extract(progress)
    scorer = material.scorer(study.request.protocol, progress)
    members = []
    with progress.task("ask candidates", len(records), "candidates") as task:
        for record in records:
            (answer,) = scorer.evaluator.answers(
                scorer.asks(record.candidate, "confirm", scorer.protocol.confirm_seeds[:1])
            )
            members.append(Voter(record.title, record.candidate, np.exp(answer.scores.astype(np.float64))))
            task.advance()
    return members, scorer


def _vectors(scorer: Scorer, candidate: AnyCandidate) -> "Floats | spmatrix":
    """By which texts are alike, [rows, width]: the sources of a candidate, or the words where it has none."""
    if not candidate.sources:
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(sublinear_tf=True).fit_transform(scorer.dataset.test.texts)
    parts = [scorer.evaluator.features.test(scorer.locate(each)).numpy() for each in candidate.sources]
    scaled = [(each - each.mean(0)) / np.maximum(each.std(0), 1e-6) for each in parts]
    joined: Floats = np.concatenate(scaled, axis=1)
    return joined


def _diverse(vectors: "Floats | spmatrix", sure: Floats, wanted: int, seed: int) -> Ints:
    """The rows that are chosen, the least sure first."""
    from sklearn.cluster import KMeans

    pool = np.argsort(sure, kind="stable")[: POOL * wanted]
    if len(pool) <= wanted:
        return pool
    weights = np.maximum(1 - sure[pool], 1e-3)
    cluster = KMeans(wanted, n_init=3, random_state=seed).fit_predict(vectors[pool], sample_weight=weights)
    # the pool is sorted: the first of each cluster is its least sure
    _, first = np.unique(cluster, return_index=True)
    return pool[np.sort(first)]
