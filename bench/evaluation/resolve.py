"""From an ask and a store alone to who can answer it: what a worker in another process or place needs."""

from dataclasses import dataclass, field
from pathlib import Path

from bench.evaluation.ask import Ask
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.features import Features
from bench.evaluation.rows import read
from bench.store import Shelf, Store


def evaluator_of(home: Path, ask: Ask) -> Evaluator:
    """Who can answer `ask`, and every other about the same rows, from the store at `home`.

    Texts are not kept, so that a text baseline can only be answered where it was answered before.

    Raises:
        BenchError: the store does not hold the ask's rows.
    """
    train, test = read(home, ask.train), None if ask.test is None else read(home, ask.test)
    shelves = _Shelves(Store(home))
    features = Features(train.by_view, {} if test is None else test.by_view, shelves.find)
    return Evaluator(train, test, features, EvaluationCache(home))


@dataclass(frozen=True)
class _Shelves:
    store: Store
    _found: dict[str, Shelf] = field(default_factory=dict, init=False)

    def find(self, fingerprint: str) -> Shelf:
        """The shelf of an extraction, with what is on it now."""
        if fingerprint not in self._found:
            self._found[fingerprint] = self.store.find(fingerprint)
        self._found[fingerprint].refresh()
        return self._found[fingerprint]
