"""One model held by OpenVINO, and its passes."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.backends.base import Encoded, LayerTimes, Pooled, check_finite
from bench.backends.batches import run_batches
from bench.backends.openvino.graph import Graph, build
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer
from bench.models.resolve import ResolvedModel

TOKEN_BUDGET = 2048


class OpenVINOBackend:
    """A model compiled by OpenVINO (see `bench.backends.base.Backend`)."""

    def __init__(self, model: ResolvedModel, settings: ResolvedSettings, deepest: int | None = None) -> None:
        started = time.perf_counter()
        self.model = model
        self.settings = settings
        self.poolings = model.poolings
        self._tokenizer = Tokenizer(model, settings)
        self._budget = settings.token_budget or TOKEN_BUDGET
        self._graph = self._build(model.layers if deepest is None else deepest)
        self.weights_gb = self._graph.weights_gb
        self.load_seconds = time.perf_counter() - started

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`; see the protocol."""
        return self._tokenizer.encode(texts)

    def hidden_states(self, encoded: Encoded, rows: Sequence[int], layers: Sequence[int]) -> Iterator[Pooled]:
        """Pooled states, batch by batch; see the protocol.

        A graph has one depth: asking for less than the backend was opened for converts the model again, once.
        """
        if max(layers) != self._graph.depth:
            del self._graph
            self._graph = self._build(max(layers))
        graph, chosen = self._graph, list(layers)

        def pooled(batch: NDArray[np.int64]) -> torch.Tensor:
            return graph.run(graph.form.collate(encoded, batch))[:, chosen]

        for batch, states in run_batches(encoded, rows, graph.form, self._budget, pooled):
            check_finite(states, self.model, self.settings, batch, layers)
            yield Pooled(batch, states)

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        """Cumulative seconds by layer; see the protocol.

        OpenVINO times every operation of the pass; what a layer's operations took is its share of the wall time.
        """
        graph = self._graph

        def timed(batch: NDArray[np.int64]) -> NDArray[np.float64]:
            started = time.perf_counter()
            graph.run(graph.form.collate(encoded, batch))
            seconds = time.perf_counter() - started
            each = graph.profile()
            upto: NDArray[np.float64] = seconds * each.cumsum() / each.sum()
            return upto

        total = np.zeros(graph.depth + 1)
        for _, seconds in run_batches(encoded, rows, graph.form, self._budget, timed):
            total += seconds
        return LayerTimes(tuple(map(float, total)))

    def close(self) -> None:
        """Free the weights."""
        del self._graph

    def _build(self, depth: int) -> Graph:
        return build(self.model, self.settings, depth, self._tokenizer)
