"""What every worker does with an ask, whichever executor brought it."""

from pathlib import Path
from typing import Any

from bench.backends.base import Backend
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.resolve import evaluator_of
from bench.executors.base import Failure
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

    def answer(self, ask: Any) -> Any:
        """The answer to an ask, or a `Failure`. Texts without rows are given them, which has no answer but None."""
        try:
            if isinstance(ask, Portion):
                return fill(ask, self._store, self._opened(ask))
            if isinstance(ask, Ask):
                return self._evaluator_of(ask).answer(ask)
            raise TypeError(f"{type(ask).__name__} is no ask")
        except BenchError as error:
            if not isinstance(error, DivergedError):
                self.clear()  # what is damaged or took the memory is opened anew for the next ask
            return Failure(error)

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

    def clear(self) -> None:
        """Let go of what is at hand."""
        if self._backend is not None:
            self._backend.close()
        self._backend = self._evaluator = None
