"""What every worker does with an ask, whichever executor brought it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.backends.base import Backend
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.resolve import evaluator_of
from bench.executors.base import Closeable, Errand, Failure
from bench.extraction import Portion, fill
from bench.heads import DivergedError
from bench.models.resolve import ResolvedModel
from bench.proof import open_model
from bench.store import Store


class Desk:
    """Answers asks from the store under `home` alone; what the last ask needed is kept at hand for the next.

    `device` is the one that this desk's models run on.
    """

    def __init__(self, home: Path, device: str) -> None:
        self._store, self._device = Store(home), device
        self._model: tuple[ResolvedModel, ResolvedSettings] | None = None
        self._backend: Backend | None = None
        self._rows: tuple[str, str | None] | None = None
        self._evaluator: Evaluator | None = None
        self._tool: tuple[str, Closeable] | None = None

    def answer(self, ask: Any) -> Any:
        """The answer to an ask, or a `Failure`. Texts without rows are given them; the answer says which."""
        try:
            if isinstance(ask, Portion):
                return fill(ask, self._store, self._opened(ask))
            if isinstance(ask, Ask):
                return self._evaluator_of(ask).answer(ask)
            if isinstance(ask, Errand):
                return ask.answer(self._tool_of(ask))
            raise TypeError(f"{type(ask).__name__} is no ask")
        except BenchError as error:
            if not isinstance(error, DivergedError):
                self.clear()  # what is damaged or took the memory is opened anew for the next ask
            return Failure(error)

    def answers(self, asks: Sequence[Any]) -> list[Any]:
        """As `answer`, of several, in their order; those about the same rows are trained together where they can be."""
        alike = {(ask.train, ask.test) if isinstance(ask, Ask) else None for ask in asks}
        if len(asks) > 1 and len(alike) == 1 and None not in alike:
            try:
                return list(self._evaluator_of(asks[0]).answers(asks))
            except BenchError:
                pass  # what was answered before one failed is kept, and each has an answer of its own
        return [self.answer(ask) for ask in asks]

    def _opened(self, ask: Portion) -> Backend:
        settings = ask.settings.model_copy(update={"device": self._device})
        if self._backend is None or self._model != (ask.model, settings):
            self.clear()
            self._backend = open_model(ask.model, settings, self._store.home)
            self._model = (ask.model, settings)
        return self._backend

    def _evaluator_of(self, ask: Ask) -> Evaluator:
        if self._evaluator is None or self._rows != (ask.train, ask.test):
            self._evaluator, self._rows = evaluator_of(self._store.home, ask), (ask.train, ask.test)
        return self._evaluator

    def _tool_of(self, errand: Errand) -> Closeable:
        if self._tool is None or self._tool[0] != errand.tool:
            self.clear()
            self._tool = errand.tool, errand.prepare(self._store.home, self._device)
        return self._tool[1]

    def clear(self) -> None:
        """Let go of what is at hand."""
        if self._tool is not None:
            self._tool[1].close()
        if self._backend is not None:
            self._backend.close()
        self._backend = self._evaluator = self._tool = None
