"""What a study works on, and the candidates and questions that all studies have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from bench.cost import ModelCost
from bench.datasets.dataset import Dataset, Split, split_fingerprint
from bench.datasets.splits import first_appearance
from bench.evaluation.protocol import Protocol
from bench.evaluation.scoring import Scored
from bench.models.resolve import ResolvedModel
from bench.models.selection import Absent
from bench.reproduce.derived import Derivation
from bench.reproduce.questions import Question
from bench.space.candidates import canonical
from bench.specs import MLP, Candidate, Head, Logistic, Source
from bench.tasks import TASKS

HEADS: Mapping[str, Head] = {"mlp": MLP(), "logistic": Logistic()}
"""The paper's 120 epochs, and the converged control: on few rows the former may only show how fast a width trains."""


@dataclass(frozen=True)
class Setup:
    """A data set, models whose hidden states are stored (or will be), and the rules.

    Attributes:
        dataset: Training and test rows.
        models: By name.
        absent: Models that were asked for and cannot be had.
        protocol: Selection on the training rows: `search_seeds` and folds.
        seeds: Of runs on the test set, the paper's five.
        costs: By model; empty where no study needs them.
        others: The other data sets of the command that have the same labels.
        derived: How sources are computed that are computed from others.
    """

    dataset: Dataset
    models: Mapping[str, ResolvedModel]
    absent: Sequence[Absent]
    protocol: Protocol
    seeds: tuple[int, ...]
    costs: Mapping[str, ModelCost] = field(default_factory=dict)
    others: Sequence[Dataset] = ()
    derived: dict[Source, Derivation] = field(default_factory=dict)

    def last(self, model: str, pooling: str = "mean") -> Source:
        """The model's last layer."""
        return Source(model=model, layer=self.models[model].layers, pooling=pooling)

    def layers(self, model: str) -> range:
        """0, the embeddings, to the last."""
        return range(self.models[model].layers + 1)

    def candidate(self, sources: Sequence[Source], head: str, fusion: str = "concat") -> Candidate:
        """Sources fused under one of `HEADS`; a single source has no operator."""
        plain = Candidate(sources=tuple(sources), fusion=fusion, head=HEADS[head])
        return plain.model_copy(update={"fusion": "none"}) if len(sources) == 1 else canonical(plain, self.shapes)

    @property
    def shapes(self) -> "Mapping[str, ResolvedModel | Derivation]":
        """Depth and width of all that can be a source."""
        return {**self.models, **{how.name: how for how in self.derived.values()}}

    def derive(self, derivation: Derivation) -> Source:
        """A source that is computed from others."""
        self.derived[derivation.source] = derivation
        return derivation.source

    def test(self, candidate: Candidate, data: Dataset | None = None) -> Question:
        """Trained on all training rows under each seed, scored on the test rows.

        A linear head that projects nothing ends in the same place under every seed (only the folds that choose the C
        of a logistic regression differ), so it is fitted once.
        """
        seeds = self.seeds if candidate.drawn else self.seeds[:1]
        return Question(candidate, "confirm", seeds, data or self.dataset)

    def held_out(self, candidate: Candidate, data: Dataset | None = None) -> Question:
        """Every training row predicted out of fold; no test row is touched."""
        seeds = self.protocol.search_seeds
        return Question(candidate, "search", seeds if candidate.drawn else seeds[:1], data or self.dataset)

    def baselines(self, data: Dataset | None = None) -> dict[str, Question]:
        """TF-IDF with a linear classifier, tuned, and the majority class."""
        task = TASKS[self.dataset.task]
        return {
            name: Question(name, "confirm", self.seeds[:1], data or self.dataset)
            for name in (*task.text_classifiers, *task.text_baselines)
        }

    def singles(self) -> dict[tuple[str, str], Question]:
        """Every model's last layer under both heads, by model and head."""
        return {
            (model, head): self.test(self.candidate([self.last(model)], head))
            for model in self.models
            for head in HEADS
        }

    def subsets(self, least: int = 1, most: int | None = None) -> Iterator[tuple[str, ...]]:
        """Every subset of the models, by size."""
        for size in range(least, min(most or len(self.models), len(self.models)) + 1):
            yield from combinations(self.models, size)

    def few_subsets(self) -> Iterator[tuple[str, ...]]:
        """Every model, every pair, and all models."""
        yield from self.subsets(1, 2)
        if len(self.models) > 2:
            yield tuple(self.models)

    def drawn(self, subset: Sequence[str]) -> bool:
        """Whether a figure of many lines has one for this subset: single models and all fused have, pairs do not."""
        return len(subset) in {1, len(self.models)}


def for_task(dataset: Dataset, task: str) -> Dataset:
    """The same rows for another task whose labels are written as theirs."""

    def told(split: Split) -> Split:
        written = TASKS[dataset.task].written(split.labels, (*dataset.labels, *dataset.test_only_labels))
        return replace(split, fingerprint=split_fingerprint(split.texts, written, split.groups, task))

    return replace(dataset, task=task, train=told(dataset.train), test=told(dataset.test))


def training_rows(dataset: Dataset, rows: Sequence[int]) -> Dataset:
    """The data set with some of its training rows, in the order of the data set."""
    train, chosen = dataset.train, sorted(rows)
    if len(chosen) == len(train):
        return dataset
    texts = tuple(train.texts[row] for row in chosen)
    groups = first_appearance(train.groups[chosen].tolist())
    written = TASKS[dataset.task].written(train.labels[chosen], dataset.labels)
    return replace(
        dataset,
        train=Split(
            ids=tuple(train.ids[row] for row in chosen),
            texts=texts,
            labels=train.labels[chosen],
            groups=groups,
            fingerprint=split_fingerprint(texts, written, groups, dataset.task),
        ),
    )


def merged(parts: Sequence[Scored]) -> Scored:
    """Repetitions from several evaluations as one."""
    return Scored(tuple(repetition for part in parts for repetition in part.repetitions))
