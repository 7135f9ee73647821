"""What every worker does with an ask, whichever executor brought it."""

from pathlib import Path
from typing import Any

from bench.backends.base import Backend
from bench.backends.base import backend as backend_module
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.executors.base import Failure
from bench.extraction import Portion, fill
from bench.models.resolve import ResolvedModel
from bench.store import Store


class Desk:
    """Answers asks from the store under `home` alone; what the last ask needed is kept at hand for the next.

    `device` is the one that this desk's models run on.
    """

    def __init__(self, home: Path, device: str) -> None:
        self._store, self._device = Store(home), device
        self._model: tuple[ResolvedModel, ResolvedSettings] | None = None
        self._backend: Backend | None = None

    def answer(self, ask: Any) -> Any:
        """The answer to an ask, or a `Failure`: texts still without rows are stored, which has no outcome (None)."""
        try:
            if isinstance(ask, Portion):
                return fill(ask, self._store, self._opened(ask))
            raise TypeError(f"{type(ask).__name__} is no ask")
        except BenchError as error:
            # what was damaged or ran out of memory is read or opened anew for the next ask
            self.clear()
            return Failure(error)

    def _opened(self, ask: Portion) -> Backend:
        settings = ask.settings.model_copy(update={"device": self._device})
        if self._backend is None or self._model != (ask.model, settings):
            self.clear()
            self._backend = backend_module(settings.backend).open(ask.model, settings)
            self._model = (ask.model, settings)
        return self._backend

    def clear(self) -> None:
        """Let go of what is at hand."""
        if self._backend is not None:
            self._backend.close()
        self._backend = self._model = None
