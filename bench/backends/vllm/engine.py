"""vLLM's engine in a process of its own: what it is asked, what it answers, and its main loop.

Messages go over a socket pair. The process ends when the other side closes it, for whatever reason.
"""

import os
import signal
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.backends.vllm.outbox import Slot

# Set in the engine's process alone.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # The runner that the tests cover; on GPUs vLLM would take another, whose pooling differs.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    # sentence-transformers' advice on lengths is no limit: bench's own is the model's positions.
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",
    # Its attention in float32 would multiply in TF32 on GPUs: an H200 was 1e-3 of a state away from float32.
    "TRITON_F32_DEFAULT": "ieee",
    # OMP_NUM_THREADS and the affinity that the user set hold here too.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


@dataclass(frozen=True)
class Start:
    """Start the engine with `arguments` of vLLM's `EngineArgs`; `layers` and `width` are what it must find."""

    arguments: dict[str, Any]
    layers: int
    width: int
    poolings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Compute:
    """Compute `texts`, token ids [t] each: pooled states of `layers`, or with `timing` the seconds of every layer."""

    texts: list[NDArray[np.int32]]
    layers: tuple[int, ...]
    timing: bool = False


@dataclass(frozen=True)
class Ready:
    """The engine is up."""


@dataclass(frozen=True, eq=False)
class Finished:
    """Pooled states of `shape` [len(texts), layers, poolings, width] of the texts of these numbers lie in a slot."""

    texts: NDArray[np.int64]
    slot: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Taken:
    """What lay in the slot was taken out; slots are emptied in the order in which they were filled."""


@dataclass(frozen=True)
class Computed:
    """All texts of a run are finished; `seconds` [layers + 1] where times were taken."""

    seconds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Broken:
    """The engine cannot go on. `ours` where the message is bench's own."""

    message: str
    ours: bool


Answer = Ready | Finished | Computed | Broken


def main(descriptor: int, slots: Sequence[int]) -> None:
    """Serve the socket `descriptor` until the other side closes it; states go into the files `slots`."""
    # Ctrl-C reaches every process of the terminal; the other side decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as connection:
        try:
            _serve(connection, [Slot(each) for each in slots])
        except (EOFError, BrokenPipeError, ConnectionResetError):
            # Nothing is left to save, and taking vLLM apart piece by piece takes seconds.
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side says it
            from bench.errors import BenchError

            traceback.print_exc()
            connection.send(Broken(f"{type(error).__name__}: {error}", isinstance(error, BenchError)))
            os._exit(1)


def _serve(connection: Connection, slots: Sequence[Slot]) -> None:
    start: Start = connection.recv()
    # Seen by vLLM as it is imported, and by its workers.
    from vllm import EngineArgs, LLMEngine

    import bench.backends.vllm.layers  # noqa: F401 - registers the loader
    from bench.errors import BenchError

    engine = LLMEngine.from_engine_args(EngineArgs(**start.arguments))
    if engine.vllm_config.cache_config.enable_prefix_caching:
        raise BenchError("vLLM caches prefixes, whose states would be missing: bench did not ask for it.")
    engine.collective_rpc("bench_install", args=(start.layers, start.width, start.poolings))
    connection.send(Ready())
    while True:
        run: Compute = connection.recv()
        engine.collective_rpc("bench_watch", args=(run.layers, run.timing))
        filled = 0
        for number, (texts, states) in enumerate(_states(engine, run.texts)):
            if run.timing:
                continue
            if filled == len(slots):
                _emptied(connection)
                filled -= 1
            slot = number % len(slots)
            room = slots[slot].array((len(states), *states[0].shape))
            for place, each in enumerate(states):
                room[place] = each
            connection.send(Finished(texts, slot, room.shape))
            filled += 1
        for _ in range(filled):
            _emptied(connection)
        seconds = engine.collective_rpc("bench_seconds")[0] if run.timing else ()
        connection.send(Computed(tuple(seconds)))


def _emptied(connection: Connection) -> None:
    taken = connection.recv()
    assert isinstance(taken, Taken)


def _states(
    engine: Any, texts: Sequence[NDArray[np.int32]]
) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.float32]]]]:
    """Numbers of texts and their states, step by step; the engine holds at most twice what enters a step."""
    from vllm import PoolingParams

    waiting = deque(range(len(texts)))
    most = 2 * engine.vllm_config.scheduler_config.max_num_seqs
    inside = 0
    while waiting or inside:
        while waiting and inside < most:
            number = waiting.popleft()
            prompt = {"prompt_token_ids": texts[number].tolist()}
            engine.add_request(str(number), prompt, PoolingParams(task="embed"))
            inside += 1
        finished = [output for output in engine.step() if output.finished]
        inside -= len(finished)
        if finished:
            numbers = np.array([int(output.request_id) for output in finished])
            yield numbers, [output.outputs.data.numpy() for output in finished]
