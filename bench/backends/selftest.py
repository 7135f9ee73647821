"""Whether the states of a text are what they should be: alone, among others, and beside transformers' own.

The tests compare a few bodies with transformers (`bench.backends.architectures`). Any other is compared here, on the
machine and with the weights that are to be used: a body may pad, permute or mix its tokens in ways that nobody foresaw,
and a wrong state is as good to look at as a right one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from bench.backends.base import Encoded
from bench.errors import BenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from bench.backends.base import Backend
    from bench.backends.transformers.backend import TransformersBackend
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings

# Of different lengths, so that a batch of them holds padding; of several scripts, so that most vocabularies know some.
SHORT = (
    "A text.",
    "Prices rose in the north, and fell elsewhere.",
    "Why does bread rise? ¿Por qué sube el pan? Почему растёт хлеб? 面包为什么会发酵？ 3 x 14 = 42.",
)
# Tokens of the first, which is as long as texts may be within what takes seconds: some bodies cut long texts into
# blocks, and long texts alone.
LONGEST = 1024
# The short ones together, and one of them beside the long one: both are padded, and neither costs much.
BATCHES = ([0, 1], [1, 2, 3])
# Batches and kernels move a pooled state by 1e-6 to 1e-5 of its norm in float32, and by 1e-2 in half precision; what
# does not belong to a text moves it by 2e-3 and more.
TOLERANCE = {"float32": 3e-4, "bfloat16": 0.1, "float16": 0.1}


@dataclass(frozen=True, eq=False)
class SelfTest:
    """How far pooled states lie apart, as relative errors of the worst text: [layers, poolings] each.

    `alone`: each text by itself beside transformers' own hidden states of it; all NaN where memory held no second copy
    of the model. `among`: the texts in one batch beside each by itself. `padded`: whether that batch was padded, rather
    than made of texts of one length.
    """

    alone: NDArray[np.float64]
    among: NDArray[np.float64]
    padded: bool = True

    @property
    def deepest(self) -> int:
        """The deepest layer that was tested."""
        return len(self.among) - 1


def self_test(opened: Backend, deepest: int, reference: TransformersBackend | None) -> SelfTest:
    """Run four texts through `opened`, up to layer `deepest`, and through transformers, plainly, one by one.

    Where texts are right alone, but not in a batch that is padded, and `opened` can do without, it does from then on.

    Raises:
        BenchError: see `TransformersBackend.plain_states` and `Backend.hidden_states`.
    """
    try:
        return _run(opened, deepest, reference)
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        # Whatever an unknown body may trip over.
        raise BenchError(
            f"Model '{opened.model.name}' ({opened.model.architecture}) does not run on four texts: "
            f"{type(error).__name__}: {str(error)[:300]}. {_advice(opened.settings)}"
        ) from error


def _run(opened: Backend, deepest: int, reference: TransformersBackend | None) -> SelfTest:
    encoded, layers = _four(opened), range(deepest + 1)
    rows = range(len(encoded))
    alone = [_states(opened, encoded, [row], layers) for row in rows]
    plain = None if reference is None else [reference.plain_states(encoded, row, layers) for row in rows]
    among = np.maximum(
        *(_worst(_states(opened, encoded, batch, layers).split(1), [alone[row] for row in batch]) for batch in BATCHES)
    )
    found = SelfTest(np.full_like(among, np.nan) if plain is None else _worst(alone, plain), among)
    dtype = opened.settings.dtype
    if reference is not opened or _beyond(found.alone, dtype).any() or not _beyond(among, dtype).any():
        return found
    reference.never_pad()
    return replace(found, among=_among_copies(opened, encoded, alone, layers), padded=False)


def _among_copies(
    opened: Backend, encoded: Encoded, alone: Sequence[Tensor], layers: Sequence[int]
) -> NDArray[np.float64]:
    """Each text in a batch of two of it beside what it was by itself."""
    errors = []
    for row, expected in enumerate(alone):
        ids = encoded.text(row)
        pair = Encoded(np.concatenate([ids, ids]), np.array([0, 1, 2]) * len(ids), np.zeros(2, dtype=np.bool_))
        errors.append(_worst(_states(opened, pair, range(2), layers).split(1), [expected, expected]))
    worst: NDArray[np.float64] = np.max(errors, axis=0)
    return worst


def check(found: SelfTest, model: ResolvedModel, settings: ExtractionSettings) -> None:
    """Raise BenchError where a layer under a pooling is further off than rounding explains."""
    for errors, what in (
        (found.alone, "transformers' own hidden states of the same text"),
        (found.among, "the same text alone"),
    ):
        wrong = _beyond(errors, settings.dtype)
        if wrong.any():
            layer, place = np.argwhere(wrong)[0]
            whose = "a text" if errors is found.alone else "a text among others"
            raise BenchError(
                f"Model '{model.name}' ({model.architecture}) cannot be read layer by layer with the "
                f"{settings.backend} backend: at layer {layer} under '{model.poolings[place]}', the states of {whose} "
                f"differ from those of {what} by {errors[layer, place]:.1e} of their norm, where rounding stays below "
                f"{TOLERANCE[settings.dtype]:.0e}. Nothing is extracted. {_advice(settings)}"
            )


def _advice(settings: ExtractionSettings) -> str:
    if settings.backend != "transformers":
        return "Use `backend='transformers'`."
    if settings.attention not in (None, "eager"):
        return "Try `attention='eager'`, a smaller `max_length`, or another model."
    return "Use another model, or a smaller `max_length`."


def _beyond(errors: NDArray[np.float64], dtype: str) -> NDArray[np.bool_]:
    # NaN where nothing was compared; states that are not finite were refused when they were computed.
    return errors > TOLERANCE[dtype]


def _four(opened: Backend) -> Encoded:
    """A long text and the short ones, each of at most `LONGEST` tokens."""
    # The long one first, as in an extraction: what it does to a body shows in the others.
    encoded = opened.encode([" ".join(islice(cycle(" ".join(SHORT).split()), LONGEST)), *SHORT])
    parts = [encoded.text(row)[:LONGEST] for row in range(len(encoded))]
    ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
    return Encoded(np.concatenate(parts), np.concatenate([[0], ends]), encoded.truncated)


def _states(opened: Backend, encoded: Encoded, rows: Sequence[int], layers: Sequence[int]) -> Tensor:
    from bench.backends.batches import in_order

    return in_order(opened.hidden_states(encoded, rows, layers), rows)


def _worst(found: Iterable[Tensor], expected: Iterable[Tensor]) -> NDArray[np.float64]:
    """The largest error over texts, whose states are [1, layers, poolings, width]: [layers, poolings]."""
    errors = []
    for ours, theirs in zip(found, expected, strict=True):
        scale = theirs.double().norm(dim=-1).clamp(min=1e-30)
        error = ((ours.double() - theirs.double()).norm(dim=-1) / scale)[0]
        # what is not finite agrees with nothing; NaN would pass for what was not compared
        errors.append(error.nan_to_num(nan=math.inf).numpy())
    worst: NDArray[np.float64] = np.max(errors, axis=0)
    return worst
