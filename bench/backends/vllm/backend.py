"""One model held by vLLM, and its passes."""

import os
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.backends.base import Encoded, LayerTimes, Pooled, check_finite
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer
from bench.backends.vllm.engine import (
    ENVIRONMENT,
    Answer,
    Broken,
    Compute,
    Computed,
    Finished,
    Ready,
    Start,
    Taken,
)
from bench.backends.vllm.outbox import Slot, new_descriptors
from bench.backends.vllm.plan import GIB, engine_arguments, weight_bytes
from bench.errors import BenchError
from bench.models import checkpoint
from bench.models.resolve import ResolvedModel

# What vLLM and torch say when memory runs out → what to do about it. The first that fits holds.
MEMORY = {
    "on startup is less than desired": "Lower `gpu_memory_share`, or free what others hold on the device.",
    "No available memory for the cache blocks": "Raise `gpu_memory_share` or `tensor_parallel`, or lower "
    "`token_budget`, `max_length` or `dtype`.",
    "is needed, which is larger than the available KV cache": "Lower `max_length`, or raise `gpu_memory_share` or "
    "`tensor_parallel`.",
    "out of memory": "Lower `token_budget`, `gpu_memory_share` or `dtype`, or raise `tensor_parallel`.",
    "OutOfMemoryError": "Lower `token_budget`, `gpu_memory_share` or `dtype`, or raise `tensor_parallel`.",
    "can't allocate memory": "Lower `token_budget`, `max_length` or `dtype`.",
    "MemoryError": "Lower `token_budget`, `max_length` or `dtype`.",
}
SECONDS_TO_STOP = 5
LAST_LINES = 15


class VLLMBackend:
    """A model held by an engine of vLLM's (see `bench.backends.base.Backend`)."""

    def __init__(self, model: ResolvedModel, settings: ResolvedSettings) -> None:
        started = time.perf_counter()
        if model.pools_part:
            raise _all_pooled(model)
        self.model = model
        self.settings = settings
        self.poolings = model.poolings
        self._tokenizer = Tokenizer(model, settings)
        # The engine reads the configuration while it starts; its log is kept for the message if it stops.
        self._folder = tempfile.TemporaryDirectory(prefix="bench-vllm-")
        folder = Path(self._folder.name)
        arguments = engine_arguments(model, settings, folder)
        self._log = folder / "engine.log"
        with self._log.open("wb") as log:
            descriptors = new_descriptors()
            self._process, self._connection = _launch(settings, log, descriptors)
        self._slots = [Slot(each) for each in descriptors]
        self._stop = weakref.finalize(self, _stop, self._process, self._connection, descriptors, self._folder)
        self._connection.send(Start(arguments, model.layers, model.width, model.poolings))
        ready = self._receive()
        assert isinstance(ready, Ready)
        self.weights_gb = weight_bytes(settings, checkpoint.parameters(model.folder)) / GIB
        self.load_seconds = time.perf_counter() - started

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`; see the protocol."""
        return self._tokenizer.encode(texts)

    def hidden_states(self, encoded: Encoded, rows: Sequence[int], layers: Sequence[int]) -> Iterator[Pooled]:
        """Pooled states as vLLM's steps finish; see the protocol. All layers are computed, those asked for kept."""
        if encoded.spans is not None:
            raise _all_pooled(self.model)
        todo = _longest_first(encoded, rows)
        self._send(Compute([encoded.text(row) for row in todo], tuple(layers)))
        try:
            while isinstance(answer := self._receive(), Finished):
                states = torch.from_numpy(self._slots[answer.slot].array(answer.shape)).clone()
                self._send(Taken())
                batch = todo[answer.texts]
                check_finite(states, self.model, self.settings, batch, layers)
                yield Pooled(batch, states)
        except BaseException:
            # What was left of the run would come before the answers to the next.
            self.close()
            raise

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        """Cumulative seconds by layer, each measured; see the protocol.

        What passes outside of the model (scheduling, handing over) counts for every layer.
        """
        started = time.perf_counter()
        self._send(
            Compute([encoded.text(row) for row in _longest_first(encoded, rows)], (self.model.layers,), timing=True)
        )
        done = self._receive()
        assert isinstance(done, Computed)
        outside = time.perf_counter() - started - done.seconds[-1]
        return LayerTimes(tuple(outside + inside for inside in done.seconds))

    def close(self) -> None:
        """End the engine and its workers, and with them all that they hold."""
        self._stop()

    def _send(self, message: Compute | Taken) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._stopped("") from error

    def _receive(self) -> Answer:
        try:
            answer: Answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._stopped("") from error
        if isinstance(answer, Broken):
            if answer.ours:
                self.close()
                raise BenchError(f"Model '{self.model.name}': {answer.message.partition(': ')[2]}")
            raise self._stopped(answer.message)
        return answer

    def _stopped(self, message: str) -> BenchError:
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        self.close()
        for sign, advice in MEMORY.items():
            if sign in message or sign in log:
                reason = next((line for line in (message + "\n" + log).splitlines() if sign in line), sign)
                return BenchError(
                    f"Model '{self.model.name}' ran out of memory under vLLM. {advice} (vLLM: {reason.strip()[:300]})"
                )
        last = "\n".join(log.splitlines()[-LAST_LINES:])
        status = "" if message else f" (exit status {self._process.returncode})"
        return BenchError(f"vLLM stopped on model '{self.model.name}'{status}. Its last words:\n{message or last}")


def _all_pooled(model: ResolvedModel) -> BenchError:
    return BenchError(
        f"The vllm backend pools all tokens, and of '{model.name}' the text's alone, or those of its second time, are "
        "asked for: use `backend='transformers'`."
    )


def _longest_first(encoded: Encoded, rows: Sequence[int]) -> NDArray[np.int64]:
    """The rows so that what does not fit shows at once."""
    todo = np.asarray(rows, dtype=np.int64)
    return todo[np.argsort(-encoded.lengths[todo], kind="stable")]


def _launch(
    settings: ResolvedSettings, log: IO[bytes], slots: Sequence[int]
) -> tuple[subprocess.Popen[bytes], Connection]:
    here, there = Pipe()
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if index := settings.device.partition(":")[2]:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        environment["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(index)] if visible else index
    with there:
        # -P: a file of the user's in the current folder is no module.
        process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, "-P", "-m", "bench.backends.vllm", *map(str, (there.fileno(), *slots))],
            env=environment,
            pass_fds=[there.fileno(), *slots],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return process, here


def _stop(process: subprocess.Popen[bytes], connection: Connection, slots: Sequence[int], folder: Any) -> None:
    connection.close()
    for each in slots:
        os.close(each)
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    folder.cleanup()
