"""What a backend is, and how one is found by name.

A backend is a module with the functions of `BackendModule`; `open` gives the `Backend` that holds the weights.
Everything that decides a value is known from `identity` before any weight is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from bench.errors import BenchError
from bench.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings


@dataclass(frozen=True, eq=False)
class Encoded:
    """Texts as token ids, the model's prompt and special tokens included.

    `ids` [T] int32 holds all texts end to end, `offsets` [b + 1] int64 where each starts, `truncated` [b] which were
    cut to the maximum length. `spans` [b, 2] int64 are the first of each text's tokens that is pooled, and the one
    behind the last; None where all are. `windows` are those in which texts are read; None where each is read at once.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    spans: NDArray[np.int64] | None = None
    windows: Windows | None = None

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, [b]."""
        return cast("NDArray[np.int64]", self.offsets[1:] - self.offsets[:-1])

    def text(self, row: int) -> NDArray[np.int32]:
        """The token ids of one text."""
        return self.ids[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True, eq=False)
class Windows:
    """The w windows of b texts, end to end, text by text: `firsts` [b + 1] int64 is where in `each` those of one start.

    A text's `ids` are then those of its windows, one behind the other, and its length is theirs together.
    """

    each: Encoded
    firsts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pooled:
    """A finished batch: `states` [len(rows), layers asked for, poolings, width], float32, on the CPU, all finite.

    `kept`: its token states behind the deepest of these layers, where they were asked for.
    """

    rows: NDArray[np.int64]
    states: Tensor
    kept: TokenStates | None = None


@dataclass(frozen=True, eq=False)
class TokenStates:
    """The states of every token of some texts behind block `layer`, which deeper blocks can go on from.

    `texts`: row of `Encoded` → [t, width], in the model's dtype and on its device.
    """

    layer: int
    texts: Mapping[int, Tensor]


@dataclass(frozen=True)
class LayerTimes:
    """`seconds` up to and including each layer: layers + 1 cumulative values, of which the last is always measured.

    `estimated`: the others are shares of the last that were not measured layer by layer in this very pass.
    """

    seconds: tuple[float, ...]
    estimated: bool = False


class Backend(Protocol):
    """A loaded model. `weights_gb` is what its weights take, in GiB; `load_seconds` how long they took to load."""

    model: ResolvedModel
    settings: ResolvedSettings
    poolings: tuple[str, ...]
    load_seconds: float
    weights_gb: float

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Token ids of `texts`, cut on the right to the maximum length.

        Raises:
            BenchError: a text has no tokens at all.
        """
        ...

    def hidden_states(self, encoded: Encoded, rows: Sequence[int], layers: Sequence[int]) -> Iterator[Pooled]:
        """Pooled states of `rows` of `encoded` at `layers` (0 to `model.layers`), batch by batch as they finish.

        Each row comes once, in an order that is the backend's. One pass gives all layers and goes no deeper than the
        deepest. Batches shrink when memory runs out.

        Raises:
            BenchError: a value is not finite, or a single text does not fit.
        """
        ...

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        """Seconds that one pass over `rows` takes up to and including each layer that is loaded."""
        ...

    def close(self) -> None:
        """Free the weights; the backend cannot be used afterwards."""
        ...


class ResumableBackend(Backend, Protocol):
    """A backend whose passes can stop at a layer and go on from there later, for some of the texts."""

    def hidden_states(
        self,
        encoded: Encoded,
        rows: Sequence[int],
        layers: Sequence[int],
        start: TokenStates | None = None,
        *,
        keep: bool = False,
    ) -> Iterator[Pooled]:
        """As `Backend.hidden_states`; with `start`, which holds all `rows`, no block up to its layer runs again.

        No layer asked for may then lie before `start.layer`. With `keep` each batch has its token states too.
        """
        ...


class BackendModule(Protocol):
    """What the module behind a registered name provides. Importing it imports no library that may be absent.

    Attributes:
        SETTINGS: The settings that it has beside those of every backend; of others it is given the defaults alone.
        INSTEAD: Setting of another backend → how the same is had here, as a clause.
    """

    SETTINGS: Collection[str]
    INSTEAD: Mapping[str, str]

    def unavailable(self) -> str | None:
        """Why the backend cannot be used on this machine, and what to do about it; None where it can."""
        ...

    def supports(self, architecture: str) -> bool:
        """Whether the backend runs bodies of that class (transformers' name), answered without loading anything."""
        ...

    def resolve_settings(self, settings: ExtractionSettings) -> ExtractionSettings:
        """`settings` with a concrete device.

        Raises:
            BenchError: the device, dtype, or quantisation cannot be had here.
        """
        ...

    def identity(self, model: ResolvedModel, settings: ResolvedSettings) -> Mapping[str, Any]:
        """Everything besides the model's own identity that changes a value, as JSON values; loads no weights."""
        ...

    def goes_on(self, model: ResolvedModel, settings: ResolvedSettings) -> bool:
        """Whether passes of the model can stop and go on, so that what `open` gives is a `ResumableBackend`.

        Elsewhere a deeper layer is had by another pass, from the text on, which costs its whole depth.
        """
        ...

    def open(self, model: ResolvedModel, settings: ResolvedSettings, deepest: int | None = None) -> Backend:
        """Load the model; no layer beyond `deepest` will be asked for, and what lies beyond need not be loaded."""
        ...


def check_finite(
    states: Tensor,
    model: ResolvedModel,
    settings: ExtractionSettings,
    rows: NDArray[np.int64],
    layers: Sequence[int],
) -> None:
    """Raise BenchError where `states` [rows, layers, poolings, width] hold a value that is not finite."""
    # One pass, and a tenth of the time of looking at each value: what is not finite makes the sum so.
    if not states.sum().isfinite() and not states.isfinite().all():
        row, layer = (~states.isfinite()).flatten(2).any(dim=2).nonzero()[0].tolist()
        raise BenchError(
            f"Model '{model.name}' gives values that are not finite at layer {layers[layer]} for text "
            f"{rows[row]} in {settings.dtype}: use `dtype='float32'` or bfloat16, whose range is wider."
        )


AUTO = "auto"
"""In the place of a backend, a device or a dtype: what is best here (`backends.resolution`, `bench.precision`)."""

# Name → module.
BACKENDS: Registry[str] = Registry("backend")
BACKENDS.add("transformers", "bench.backends.transformers")
BACKENDS.add("vllm", "bench.backends.vllm")
BACKENDS.add("openvino", "bench.backends.openvino")


def backend(name: str) -> BackendModule:
    """The module of the backend `name`, imported now."""
    return cast(BackendModule, importlib.import_module(BACKENDS[name]))


def supporting(architecture: str) -> tuple[str, ...]:
    """The names of the backends that run bodies of that class, whether or not they can be used on this machine."""
    return tuple(name for name in BACKENDS if backend(name).supports(architecture))
