"""Asks on their way to a worker of Ray's, and what it does with them: this is the side that others run."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.evaluation.ask import Ask
from bench.executors.desk import Desk
from bench.extraction import Portion
from bench.home import Origin, local_part
from bench.version import __version__

DECIDING = ("torch", "numpy", "scipy", "scikit-learn")
"""Libraries whose versions have a part in what heads come out as."""


def versions() -> dict[str, str]:
    """What must be the same where asks are answered and where they come from."""
    return {"bench": __version__, **{name: version(name) for name in DECIDING}}


@dataclass(frozen=True)
class Assignment:
    """Asks on their way to a worker, and what they mean where they come from.

    Attributes:
        home: The store's folder where they come from.
        device: On which a model runs.
        asks: All for one task.
        fingerprints: Of each ask that has one: a worker with other code, or other plugins, makes another of it.
        versions: As `versions` has them.
        origin: The address that the store's folder is the local part of, if it is one.
    """

    home: Path
    device: str
    asks: tuple[Any, ...]
    fingerprints: tuple[str | None, ...]
    versions: Mapping[str, str]
    origin: Origin | None = None

    @property
    def store(self) -> Path:
        """The store's folder where they are answered."""
        return self.home if self.origin is None else local_part(self.origin)

    def refusal(self) -> str | None:
        """Why this process cannot answer for the one that asks; None where it can."""
        here = f"A worker on {socket.gethostname()}"
        own = versions()
        if other := [name for name, wanted in self.versions.items() if own.get(name) != wanted]:
            has, wanted = (", ".join(f"{name} {each.get(name)}" for name in other) for each in (own, self.versions))
            return (
                f"{here} has {has}, and this process has {wanted}: what they compute could not be told apart later. "
                "Install the same versions there, or leave that machine out."
            )
        # an errand says itself what it lacks, which may be nothing that is in the store
        if not self.store.is_dir() and any(isinstance(ask, Ask | Portion) for ask in self.asks):
            return (
                f"{here} does not see the store {self.home}: set BENCH_STORE to a folder that all machines share, or "
                "to an address (s3://…)."
            )
        if tuple(map(fingerprint_of, self.asks)) != self.fingerprints:
            return f"{here} has other code of bench, or of a plugin, than the search: install the same there."
        return None


@dataclass(frozen=True)
class Refused:
    """Why a worker answers nothing."""

    why: str


def fingerprint_of(ask: Any) -> str | None:
    """Of an ask that has one, None of any other."""
    return ask.fingerprint() if isinstance(ask, Ask) else None


def work(assigned: Assignment) -> list[Any] | Refused:
    """What a task does: the answers to its asks, or failures, in their order."""
    if (why := assigned.refusal()) is not None:
        return Refused(why)
    _take_threads()
    return _desk(assigned.store, assigned.device).answers(assigned.asks)


@lru_cache(maxsize=1)
def _desk(home: Path, device: str) -> Desk:
    """What a worker process keeps at hand from one task to the next."""
    return Desk(home, device)


def _take_threads() -> None:
    """As many threads as processors were granted; OpenVINO's backend takes torch's number."""
    import ray
    import torch

    granted = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    torch.set_num_threads(max(1, int(granted)))


class Holder:
    """An actor, which holds a model from one ask to the next."""

    def work(self, assigned: Assignment) -> list[Any] | Refused:
        """As `work` of this module."""
        return work(assigned)
